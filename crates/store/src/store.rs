//! The store: opened once by one process, closed at its end.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use evergrant_core::id::{InstallationId, NodeId};
use evergrant_core::time::Timestamp;
use tokio::sync::{broadcast, watch};
use zeroize::Zeroizing;

use crate::cache::ReadCache;
use crate::db::{Database, Learn, Opening, Readers, Row, Schema, Sql, Writer, values};
use crate::deployment::{self, Folder, Standing};
use crate::entropy::SharedEntropy;
use crate::error::{OpenError, StoreError, Trouble};
use crate::folder::HeldFolder;
use crate::follow::Following;
use crate::journal::Journal;
use crate::memory::Feed;
use crate::options::OpenOptions;
use crate::pace::Threads;
use crate::reads::ReadsLog;
use crate::seal::{KeyRing, MasterKey, Place, SealedBytes, WrappedKey};
use crate::shared::{Effect, Keeping, Shared, Tx};
use crate::tally::Tally;
use crate::{events, memory, nodes};

/// The folder of the journal, within the data folder.
const JOURNAL: &str = "journal";
/// The folder of the log of token reads, within the data folder.
const READS: &str = "reads";
/// So many events may wait for a slow listener; one that is slower reads the database from where it stopped.
const FEED: usize = 4096;
/// So long a use of a database on a server is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const CANARY: &[u8] = b"evergrant canary v1";

/// What is kept. Cheap to clone; all clones are one store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    pub(crate) shared: Arc<Shared>,
}

struct Inner {
    // Dropped in this order: who closes the last connection puts the log into the database.
    readers: Readers,
    writer: Writer<Effect>,
    following: Following,
    journal: Journal,
    reads: ReadsLog,
    standing: Standing,
    patience: Option<Duration>,
    inline: bool,
    folder: Mutex<Option<HeldFolder>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<store of {}>", self.shared.installation)
    }
}

impl Store {
    /// Takes the data folder, checks the master key, brings the schema up to date and starts the threads. Blocks while
    /// it reads the journal; meant for the start of the process.
    ///
    /// # Errors
    /// [`OpenError`] says what stands in the way; nothing has been changed then.
    pub fn open(options: &OpenOptions, entropy: SharedEntropy, now: Timestamp) -> Result<Store, OpenError> {
        // On a thread of its own: the client of a database server must not run where async tasks run.
        let opening = std::thread::scope(|scope| scope.spawn(|| open(options, entropy, now)).join());
        opening.unwrap_or_else(|_| Err(StoreError::defect("opening the store").into()))
    }

    /// Lets nothing more in, commits what waits, and lets go of the data folder.
    pub async fn close(&self) {
        let inner = self.inner.clone();
        let closing = self.blocking(move || {
            // The writer last: who closes the last connection puts the log into the database.
            inner.readers.close();
            inner.writer.close();
            inner.following.close();
            inner.journal.close();
            inner.reads.close();
            inner.folder.lock().unwrap_or_else(PoisonError::into_inner).take();
        });
        let _ = closing.await;
    }

    /// Runs what blocks where blocking harms nobody; none if it panicked.
    pub(crate) async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        if self.inner.inline { Some(work()) } else { tokio::task::spawn_blocking(work).await.ok() }
    }

    /// Whether the database can be written and read, and the journal too: does all of it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] says what is wrong.
    pub async fn check(&self, now: Timestamp) -> Result<(), StoreError> {
        let stamp = now.as_millis().to_string().into_bytes();
        self.write(move |tx, _| put_meta(tx, "checked_at", &stamp)).await?;
        self.read(|sql, _| meta(sql, "checked_at")).await?;
        if self.inner.journal.healthy() { Ok(()) } else { Err(journal_down()) }
    }

    pub(crate) fn standing(&self) -> &Standing {
        &self.inner.standing
    }

    /// The journal of answers.
    pub fn journal(&self) -> &Journal {
        &self.inner.journal
    }

    pub(crate) fn reads(&self) -> &ReadsLog {
        &self.inner.reads
    }

    /// What this installation is called; part of what every ciphertext is bound to.
    pub fn installation(&self) -> &InstallationId {
        &self.shared.installation
    }

    /// Whether what is in memory may be shown: nothing is missing of what other nodes have committed, or only for a moment.
    pub fn is_trusted(&self) -> bool {
        self.shared.is_trusted()
    }

    /// This process.
    pub fn node(&self) -> &NodeId {
        &self.shared.node
    }

    /// Names the master key in use without revealing it.
    pub fn master_key_fingerprint(&self) -> String {
        self.shared.ring.master().fingerprint()
    }

    /// 8 hexadecimal digits that stand for a text within this installation: for logs and `token_id`.
    pub fn fingerprint(&self, text: &str) -> String {
        self.shared.ring.fingerprint(text)
    }

    /// A key for another purpose (signing links, for one), stable for the installation.
    ///
    /// # Errors
    /// [`StoreError::Defect`] only if the library refuses.
    pub fn derived_key(&self, purpose: &str) -> Result<Zeroizing<[u8; 32]>, StoreError> {
        self.shared.ring.derived_key(purpose)
    }

    /// Bytes that the cache of sealed grants takes, roughly.
    pub fn cache_weight(&self) -> u64 {
        self.shared.cache.weight()
    }

    /// A use that writes: one transaction, answered after its commit.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tx<'_>, &Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = self.shared.clone();
        let ended = self.answered(self.inner.writer.run(move |tx| work(tx, &shared))).await;
        self.shared.tally().wrote(&ended);
        ended
    }

    /// What was done since the start of the process.
    pub fn tally(&self) -> Tally {
        self.shared.tally().clone()
    }

    /// Empties the database's log.
    pub(crate) async fn checkpoint(&self) -> Result<(), StoreError> {
        self.inner.writer.checkpoint().await
    }

    /// A use that reads.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Sql<'_>, &Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = self.shared.clone();
        self.answered(self.inner.readers.run(move |sql| work(sql, &shared))).await
    }

    /// A server that hangs holds nobody up for long: whether the use is still made is not known then.
    async fn answered<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let Some(patience) = self.inner.patience else { return work.await };
        let unanswered = Err(StoreError::Unavailable { trouble: Trouble::Unanswered, cause: None });
        tokio::time::timeout(patience, work).await.unwrap_or(unanswered)
    }
}

fn open(options: &OpenOptions, entropy: SharedEntropy, now: Timestamp) -> Result<Store, OpenError> {
    let folder = HeldFolder::take(&options.data_dir)?;
    let journal_folder = options.data_dir.join(JOURNAL);
    refuse_lost_file(&options.database, &journal_folder)?;
    let place = folder.name(&entropy)?;
    let mut opening = Opening::start(&options.database, &place, &options.node, options.database_clock)?;
    let new = opening.schema() == Schema::New;
    if new {
        refuse_lost_database(&options.database, &journal_folder)?;
        opening.migrate(|sql| fill(sql, &options.master_key, &entropy, now))?;
    }
    let (ring, installation) = opening.look(|sql| Ok(unlock(sql, options, &entropy)))??;
    let ring = Arc::new(ring);
    let had_journal = journal_folder.exists();
    if !new && !had_journal {
        tracing::warn!("the journal is gone; answers that it alone held are lost");
    }
    let journal = Journal::open(&journal_folder, &installation, ring.clone(), options.journal, &options.threads)?;
    if !new {
        opening.migrate(|_| Ok(()))?;
    }
    let behind = options.database.behind();
    let folder_now = Folder { path: &options.data_dir, place: place.clone(), had_journal };
    let standing = deployment::stand(&mut opening, folder_now, (behind.clone(), options.alone), &entropy, now)?;
    let former = match options.alone {
        true => opening.enter(|sql, former| nodes::begin(sql, former, &options.node, now))?,
        false => Vec::new(),
    };
    let mut shared = opening.look(|sql| load(sql, ring, installation, (entropy, behind), options))?;
    shared.former = former;
    let shared = Arc::new(shared);
    let connections = (0..options.readers.max(1)).map(|_| opening.reader()).collect::<Result<_, _>>()?;
    let threads = |cause| OpenError::io("a thread of the store", cause);
    let readers = Readers::start(connections, &learning(&shared), &options.threads).map_err(threads)?;
    let following = Following::start(opening.listener(), shared.clone()).map_err(threads)?;
    let keeping = Keeping { shared: shared.clone(), count: None, key: None };
    let writer = Writer::start(opening.into_base(), Box::new(keeping), &options.threads).map_err(threads)?;
    let reads = ReadsLog::open(&options.data_dir.join(READS), place, options.audit_reads)?;
    let patience = options.database.file().is_none().then_some(PATIENCE);
    let inline = matches!(options.threads, Threads::Inline(_));
    let folder = Mutex::new(Some(folder));
    let inner = Inner { writer, readers, following, journal, reads, standing, patience, inline, folder };
    Ok(Store { inner: Arc::new(inner), shared })
}

/// What a reader does that meets a data key of another node.
fn learning(shared: &Arc<Shared>) -> Learn {
    let shared = shared.clone();
    Arc::new(move |sql, newest| if newest > shared.ring.newest() { shared.learn(sql) } else { Ok(()) })
}

fn journal_down() -> StoreError {
    StoreError::Unavailable { trouble: Trouble::Io, cause: None }
}

/// A journal without its database: somebody has lost or moved the database, and an empty one would hide that. A file is
/// looked at before it would be made.
fn refuse_lost_file(database: &Database, journal: &Path) -> Result<(), OpenError> {
    let Some(file) = database.file() else { return Ok(()) };
    let empty = std::fs::metadata(file).map_or(true, |found| found.len() == 0);
    if empty { refuse_lost_database(database, journal) } else { Ok(()) }
}

/// A database that is empty must not stand beside a journal.
fn refuse_lost_database(database: &Database, journal: &Path) -> Result<(), OpenError> {
    if !journal.exists() {
        return Ok(());
    }
    Err(OpenError::DatabaseMissing { database: database.to_string(), journal: journal.to_owned() })
}

/// The first rows of a new database.
fn fill(sql: &Sql<'_>, master: &MasterKey, entropy: &SharedEntropy, now: Timestamp) -> Result<(), StoreError> {
    let installation = InstallationId::make(now, entropy.id());
    let key = KeyRing::first_key(master, &installation, entropy)?;
    let text = "INSERT INTO data_keys (id, wrapped, sealings, created_at) VALUES (?1, ?2, ?3, ?4)";
    sql.run_one("data_keys", text, values![key.id, key.wrapped, key.sealings, now])?;
    sql.newest_key(key.id)?;
    let ring = KeyRing::open(master, &installation, &[key], entropy.clone(), u64::MAX)
        .map_err(|_| StoreError::defect("opening a key ring that was just made"))?;
    put_meta(sql, "installation", installation.as_str().as_bytes())?;
    put_meta(sql, "master_key_fingerprint", master.fingerprint().as_bytes())?;
    put_meta(sql, "canary", ring.seal(canary(), CANARY)?.as_bytes())
}

pub(crate) fn canary() -> Place<'static> {
    Place { table: "meta", row: "canary", column: "value", generation: 0 }
}

pub(crate) fn put_meta(sql: &Sql<'_>, name: &str, value: &[u8]) -> Result<(), StoreError> {
    let text = "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    sql.run_one("meta", text, values![name, value])
}

pub(crate) fn meta(sql: &Sql<'_>, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    sql.one("SELECT value FROM meta WHERE name = ?1", values![name], |row| row.bytes(0))
}

fn meta_text(sql: &Sql<'_>, name: &str) -> Result<String, StoreError> {
    let bytes = meta(sql, name)?.ok_or_else(|| StoreError::damaged(format!("no `{name}` in `meta`")))?;
    String::from_utf8(bytes).map_err(|_| StoreError::damaged(format!("an unreadable `{name}` in `meta`")))
}

/// All data keys as they are stored, oldest first.
pub(crate) fn data_keys(sql: &Sql<'_>) -> Result<Vec<WrappedKey>, StoreError> {
    let text = "SELECT id, wrapped, sealings FROM data_keys ORDER BY id";
    sql.all(text, &[], |row| data_key(row, None))
}

/// The data keys behind a number, as far as other nodes have handed them on.
pub(crate) fn newer_data_keys(sql: &Sql<'_>, known: u32) -> Result<Vec<WrappedKey>, StoreError> {
    let text = "SELECT id, wrapped, sealings, handed FROM data_keys WHERE id > ?1 ORDER BY id";
    sql.all(text, values![known], |row| data_key(row, row.opt_sealed(3)?))
}

fn data_key(row: &Row<'_>, handed: Option<SealedBytes>) -> Result<WrappedKey, StoreError> {
    let id = u32::try_from(row.count(0)?).map_err(|_| StoreError::damaged("the number of a data key"))?;
    Ok(WrappedKey { id, wrapped: row.sealed(1)?, sealings: row.count(2)?, handed })
}

/// Opens the key ring and proves it on the canary, before anything else is touched.
fn unlock(
    sql: &Sql<'_>,
    options: &OpenOptions,
    entropy: &SharedEntropy,
) -> Result<(KeyRing, InstallationId), OpenError> {
    let database = || options.database.to_string();
    let installation = meta_text(sql, "installation")?;
    let installation: InstallationId =
        installation.parse().map_err(|_| StoreError::damaged("an unreadable `installation` in `meta`"))?;
    let (given, expected) = (options.master_key.fingerprint(), meta_text(sql, "master_key_fingerprint")?);
    let wrapped = data_keys(sql)?;
    let ring = KeyRing::open(&options.master_key, &installation, &wrapped, entropy.clone(), options.data_key_sealings);
    let ring = ring.map_err(|id| match given == expected {
        true => OpenError::KeyRingDamaged { database: database(), what: format!("data key {id} does not open") },
        false => OpenError::WrongMasterKey { database: database(), given, expected },
    })?;
    let sealed = meta(sql, "canary")?.map(SealedBytes::stored);
    let sings = sealed.is_some_and(|sealed| ring.open_at(canary(), &sealed).is_ok_and(|text| *text == CANARY));
    if !sings {
        let what = "the canary does not open".to_owned();
        return Err(OpenError::KeyRingDamaged { database: database(), what });
    }
    Ok((ring, installation))
}

fn load(
    sql: &Sql<'_>,
    ring: Arc<KeyRing>,
    installation: InstallationId,
    (entropy, behind): (SharedEntropy, Arc<watch::Sender<bool>>),
    options: &OpenOptions,
) -> Result<Shared, StoreError> {
    let counts = memory::load_counts(sql)?;
    let feed = Feed::new(sql.position()?, events::newest(sql)?);
    let shared = Shared {
        ring,
        entropy,
        node: options.node.clone(),
        former: Vec::new(),
        installation,
        cache: ReadCache::new(options.cache_bytes),
        cache_grace: options.cache_grace,
        rules: options.database_clock,
        integrations: RwLock::default(),
        keys: RwLock::default(),
        counts: Mutex::new(counts),
        events: broadcast::Sender::new(FEED),
        feed,
        tally: Mutex::default(),
        channels: options.channels.clone(),
        told: tokio::sync::Notify::new(),
        resolver: options.providers.clone(),
        behind,
    };
    let registry = shared.load_registry(sql)?;
    *shared.integrations.write().unwrap_or_else(PoisonError::into_inner) = registry.integrations;
    *shared.keys.write().unwrap_or_else(PoisonError::into_inner) = registry.keys;
    Ok(shared)
}
