//! Who read which token: one line for each, appended before the answer to files of this process, chained by hashes.
//!
//! Not in the database, because tokens are read thousands of times more often than anything is written. If the line
//! can't be appended, no token may leave. `batched` has it on the disk within a second, `strict` before the answer. The
//! chain's head is noted in the audit log now and then, so that a cut-off end is seen.

mod file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use evergrant_core::id::ConnectionId;
use evergrant_core::time::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use file::{Chain, LogFile};

use crate::audit::{AuditCheck, NewAudit};
use crate::db::values;
use crate::error::{OpenError, StoreError};
use crate::options::AuditReads;
use crate::queue::{Queue, Taken};
use crate::report::Report;
use crate::seal::hex;
use crate::store::Store;

/// The action of audit lines that note the head of the chain.
const HEAD: &str = "token_reads.head";
/// How long a line waits for the disk at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// So many may wait for the disk.
const WAITING: usize = 65_536;

/// A token was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRead {
    /// When.
    pub at: Timestamp,
    /// By whom: `key:<id>`, `operator`.
    pub actor: String,
    /// Whose token.
    pub connection: ConnectionId,
    /// Which token, by its name.
    pub token_id: String,
    /// In which request.
    pub request_id: String,
}

enum Sync {
    /// Within a second.
    Soon,
    /// Before somebody is answered.
    Now(oneshot::Sender<Result<(), StoreError>>),
}

/// The log of reads.
pub(crate) struct ReadsLog {
    mode: AuditReads,
    folder: PathBuf,
    /// What the data folder is called: every node has a log of its own, and all note their heads in one audit log.
    place: String,
    files: Arc<Mutex<LogFile>>,
    dirty: Arc<AtomicBool>,
    queue: Arc<Queue<Sync>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl ReadsLog {
    /// Opens the log, cutting off a line that a crash has left half written.
    pub fn open(folder: &Path, place: String, mode: AuditReads) -> Result<Self, OpenError> {
        let what = |cause| OpenError::io(format!("the log of token reads in {}", folder.display()), cause);
        std::fs::create_dir_all(folder).map_err(what)?;
        let files = Arc::new(Mutex::new(LogFile::open(folder).map_err(what)?));
        let (dirty, queue) = (Arc::new(AtomicBool::new(false)), Arc::new(Queue::new(WAITING)));
        let (held, flag, taken) = (files.clone(), dirty.clone(), queue.clone());
        let start = || {
            let builder = std::thread::Builder::new().name("eg-reads".to_owned());
            builder.spawn(move || run(&held, &flag, &taken)).map_err(what)
        };
        let thread = if mode == AuditReads::Off { None } else { Some(start()?) };
        let (folder, thread) = (folder.to_owned(), Mutex::new(thread));
        Ok(ReadsLog { mode, folder, place, files, dirty, queue, thread })
    }

    async fn log(&self, read: &TokenRead) -> Result<(), StoreError> {
        if self.mode == AuditReads::Off {
            return Ok(());
        }
        lock(&self.files).append(read).map_err(StoreError::io)?;
        if self.mode == AuditReads::Batched {
            if !self.dirty.swap(true, Ordering::AcqRel) && self.queue.push(Sync::Soon).is_err() {
                return Err(StoreError::closed());
            }
            return Ok(());
        }
        let (done, answer) = oneshot::channel();
        self.queue.push(Sync::Now(done)).map_err(|_| StoreError::closed())?;
        answer.await.unwrap_or_else(|_| Err(StoreError::closed()))
    }

    /// Lets nothing more in and waits until all is on the disk.
    pub fn close(&self) {
        self.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for ReadsLog {
    fn drop(&mut self) {
        self.close();
    }
}

fn lock(files: &Mutex<LogFile>) -> MutexGuard<'_, LogFile> {
    // A line is written whole or taken back before the lock is let go.
    files.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(files: &Mutex<LogFile>, dirty: &AtomicBool, queue: &Queue<Sync>) {
    loop {
        let asked = match queue.take(WAITING, None) {
            Taken::Items(asked) => asked,
            Taken::Nothing => continue,
            Taken::Closed => break,
        };
        let mut callers = Vec::new();
        asked.into_iter().for_each(|one| {
            if let Sync::Now(caller) = one {
                callers.push(caller);
            }
        });
        if callers.is_empty() {
            // Lines gather for a while; closing ends the wait.
            let _ = queue.take(WAITING, Some(PATIENCE));
        }
        dirty.store(false, Ordering::Release);
        let synced = sync(files);
        callers.into_iter().for_each(|caller| drop(caller.send(synced.clone())));
    }
    let _ = sync(files);
}

/// The lock is not held while the disk works.
fn sync(files: &Mutex<LogFile>) -> Result<(), StoreError> {
    let handle = lock(files).handle();
    let synced = handle.and_then(|file| file.sync_data());
    synced.map_err(|error| {
        tracing::error!(%error, "the log of token reads could not be written; it goes on in a new file");
        lock(files).distrust();
        StoreError::io(error)
    })
}

impl Store {
    /// Writes down that a token is about to be handed out.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: then it must not be handed out.
    pub async fn log_read(&self, read: &TokenRead) -> Result<(), StoreError> {
        self.reads().log(read).await
    }

    /// Notes the head of the chain in the audit log, if it has moved since.
    pub(crate) async fn note_reads_head(&self, now: Timestamp) -> Result<(), StoreError> {
        let chain = lock(&self.reads().files).unnoted();
        let Some(chain) = chain else { return Ok(()) };
        let line = NewAudit::new("service", HEAD, "token_reads").with("line", chain.lines);
        let line = line.with("hash", hex(&chain.hash)).with("log", self.reads().place.as_str());
        self.note(None, Report::audited(line), now).await?;
        lock(&self.reads().files).noted(&chain);
        Ok(())
    }

    /// Checks the chain of token reads, line by line, and against the heads in the audit log.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn check_reads(&self) -> Result<AuditCheck, StoreError> {
        let text = "SELECT detail FROM audit WHERE action = ?1";
        let place = self.reads().place.clone();
        let heads = self.read(move |sql, _| sql.all(text, values![HEAD], |row| Ok(noted_head(&row.json(0)?, &place))));
        let (heads, folder) = (heads.await?.into_iter().flatten().collect(), self.reads().folder.clone());
        let checked = self.blocking(move || check(&folder, &heads)).await;
        checked.unwrap_or_else(|| Err(StoreError::defect("reading the log of token reads")))
    }
}

/// A head of this log; none where it is that of another node's.
fn noted_head(detail: &Map<String, Value>, place: &str) -> Option<(u64, String)> {
    let is_ours = detail.get("log").and_then(Value::as_str).is_none_or(|log| log == place);
    let line = detail.get("line").and_then(Value::as_u64).unwrap_or(0);
    is_ours.then(|| (line, detail.get("hash").and_then(Value::as_str).unwrap_or_default().to_owned()))
}

fn check(folder: &Path, heads: &BTreeMap<u64, String>) -> Result<AuditCheck, StoreError> {
    let mut chain = Chain::default();
    let broken = |chain: &Chain| Ok(AuditCheck::Broken { sequence: chain.lines + 1 });
    for path in file::paths(folder).map_err(StoreError::io)? {
        let text = std::fs::read_to_string(&path).map_err(StoreError::io)?;
        // What stands after the last line break was never answered.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        for line in whole.lines() {
            let as_noted = |next: &Chain| heads.get(&next.lines).is_none_or(|head| *head == hex(&next.hash));
            let Some(next) = chain.follow(line).filter(as_noted) else { return broken(&chain) };
            chain = next;
        }
    }
    let noted = heads.keys().next_back().copied().unwrap_or(0);
    if chain.lines < noted {
        return broken(&chain);
    }
    Ok(AuditCheck::Whole { lines: chain.lines, head: hex(&chain.hash) })
}
