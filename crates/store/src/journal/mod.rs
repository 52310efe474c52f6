//! The journal: every answer of a provider is sealed, appended and synced here before it is parsed.
//!
//! What the database does not get to see (a crash, a full disk, a restored backup) is put right from it. Files are
//! pre-allocated, because a full disk must still take the answer of a request that has been sent. Entries stay for seven
//! days after their commit. It decides nothing: what an entry means, and whether it is still wanted, its reader decides.

mod entry;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod segment;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use evergrant_core::id::{ConnectionId, InstallationId};
use evergrant_core::time::Timestamp;
use tokio::sync::oneshot;

pub use entry::{EntryKind, JournalEntry};
use segment::{RecordKind, SegmentFile};
use worker::{OpenEntry, Request, Segment, Worker};

use crate::error::{OpenError, StoreError, Trouble};
use crate::pace::{SharedPace, Step, Threads, in_turn};
use crate::queue::{NotTaken, Queue};
use crate::seal::{KeyRing, Place, SealedBytes};

/// At most so many requests wait.
const WAITING: usize = 65_536;

/// How much the journal may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalOptions {
    /// Size of a file in bytes.
    pub segment_bytes: u64,
    /// How many files are made at the first start.
    pub segments: u32,
    /// Beyond so many bytes committed entries are given up before their time; others never.
    pub most_bytes: u64,
    /// How long committed entries are kept.
    pub keep: Duration,
}

impl Default for JournalOptions {
    fn default() -> Self {
        JournalOptions {
            segment_bytes: 8 << 20,
            segments: 2,
            most_bytes: 1 << 30,
            keep: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// Names an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JournalSeq(u64);

/// An entry that was found.
#[derive(Debug, Clone)]
pub struct Journalled {
    /// Its name.
    pub seq: JournalSeq,
    /// What it says.
    pub entry: JournalEntry,
    /// Whether its commit was noted.
    pub committed: bool,
}

type OpenEntries = Arc<Mutex<BTreeMap<u64, OpenEntry>>>;

fn lock(open: &OpenEntries) -> MutexGuard<'_, BTreeMap<u64, OpenEntry>> {
    // The map is whole after each statement.
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

fn file_name(slot: u32) -> String {
    format!("journal-{slot:04}.seg")
}

/// Who writes.
enum Hand {
    /// A thread.
    Thread { queue: Arc<Queue<Request>>, thread: Mutex<Option<JoinHandle<()>>> },
    /// Whoever asks, one request at a time.
    Inline { worker: Mutex<Option<Worker>>, pace: SharedPace },
}

/// The journal of one process.
pub struct Journal {
    folder: PathBuf,
    ring: Arc<KeyRing>,
    hand: Hand,
    open: OpenEntries,
    healthy: Arc<AtomicBool>,
    next: AtomicU64,
    largest: u64,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<journal in {}>", self.folder.display())
    }
}

impl Journal {
    /// Opens the journal in `folder`, making it at the first start, and reads what is in it.
    pub(crate) fn open(
        folder: &Path,
        installation: &InstallationId,
        ring: Arc<KeyRing>,
        options: JournalOptions,
        threads: &Threads,
    ) -> Result<Self, OpenError> {
        let what = |cause| OpenError::io(format!("the journal in {}", folder.display()), cause);
        std::fs::create_dir_all(folder).map_err(what)?;
        let found = Found::read(folder, installation)?;
        let mut worker = Worker {
            options,
            folder: folder.to_owned(),
            installation: installation.clone(),
            current: found.current(),
            segments: found.segments,
            open: Arc::new(Mutex::new(found.open)),
            healthy: Arc::new(AtomicBool::new(true)),
            latest: found.latest,
        };
        while worker.segments.len() < options.segments.max(1) as usize {
            let path = folder.join(file_name(worker.segments.len() as u32 + 1));
            let file = SegmentFile::create(path, options.segment_bytes).map_err(what)?;
            let (end, newest) = (segment::FIRST, Timestamp::default());
            worker.segments.push(Segment { file, number: 0, end, newest, distrusted: false });
        }
        // Marks the first file with the installation's name before there is anything in it.
        worker.make_room(segment::room(0)).map_err(what)?;
        let (open, healthy) = (worker.open.clone(), worker.healthy.clone());
        let hand = Hand::of(worker, threads).map_err(what)?;
        Ok(Journal {
            folder: folder.to_owned(),
            ring,
            hand,
            open,
            healthy,
            next: AtomicU64::new(found.last + 1),
            largest: options.segment_bytes,
        })
    }

    /// Seals an answer and returns when it is on the disk.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it is not: then the answer must be held in memory and committed all the same.
    pub async fn append(&self, entry: &JournalEntry) -> Result<JournalSeq, StoreError> {
        let sequence = self.next.fetch_add(1, Ordering::Relaxed);
        let sealed = self.ring.seal(place(&sequence.to_string()), &entry.to_bytes()?)?;
        let (done, answer) = oneshot::channel();
        if segment::room(sealed.len()) + segment::FIRST > self.largest {
            return Err(StoreError::defect("journalling an answer that is larger than a file of the journal"));
        }
        let payload = sealed.as_bytes().into();
        self.ask(Request::Append { sequence, received_at: entry.received_at, payload, done }).await?;
        answer.await.unwrap_or_else(|_| Err(StoreError::closed()))?;
        Ok(JournalSeq(sequence))
    }

    /// Notes that an entry is in the database, or needs not be. Written lazily.
    pub fn mark_committed(&self, seq: JournalSeq) {
        // When the journal is closed, the entry is looked at once more at the next start.
        let _ = self.hand.take(Request::Committed { sequence: seq.0 });
    }

    /// The entries whose commit was never noted, oldest first. One that does not open is left out and logged.
    pub fn uncommitted(&self) -> Vec<Journalled> {
        let open: Vec<(u64, Arc<[u8]>)> =
            lock(&self.open).iter().map(|(sequence, entry)| (*sequence, entry.payload.clone())).collect();
        open.into_iter().filter_map(|(sequence, payload)| self.unseal(sequence, &payload, false)).collect()
    }

    /// What is kept of answers received at `from` or later, oldest first: for a database that has lost its last seconds.
    /// Reads the files; call it where waiting is fine.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when a file cannot be read.
    pub fn since(&self, from: Timestamp) -> Result<Vec<Journalled>, StoreError> {
        let (mut entries, mut committed) = (BTreeMap::new(), BTreeSet::new());
        self.visit(|record| match record.head.kind {
            RecordKind::Entry if record.head.received_at >= from => {
                drop(entries.insert(record.head.sequence, record.payload));
            }
            RecordKind::Entry => {}
            RecordKind::Committed => drop(committed.insert(record.head.sequence)),
            RecordKind::Erased => drop(entries.remove(&record.head.sequence)),
        })?;
        let found = entries.into_iter();
        Ok(found.filter_map(|(sequence, bytes)| self.unseal(sequence, &bytes, committed.contains(&sequence))).collect())
    }

    /// The numbers of all entries of these connections. Reads the files.
    pub(crate) fn entries_of(&self, connections: &BTreeSet<ConnectionId>) -> Result<Vec<u64>, StoreError> {
        let mut sequences = Vec::new();
        self.visit(|record| {
            let sequence = record.head.sequence;
            let entry = (record.head.kind == RecordKind::Entry).then(|| self.unseal(sequence, &record.payload, false));
            match entry.flatten().map(|found| found.entry.kind) {
                Some(EntryKind::Refresh { connection, .. }) if connections.contains(&connection) => {
                    sequences.push(sequence);
                }
                _ => {}
            }
        })?;
        Ok(sequences)
    }

    /// Overwrites entries, as part of erasing a subject.
    pub(crate) async fn erase(&self, sequences: Vec<u64>) -> Result<(), StoreError> {
        if sequences.is_empty() {
            return Ok(());
        }
        let (done, answer) = oneshot::channel();
        self.ask(Request::Erase { sequences, done }).await?;
        answer.await.unwrap_or_else(|_| Err(StoreError::closed()))
    }

    /// Whether answers can be written down; while not, nothing may be sent that spends a token.
    pub fn healthy(&self) -> bool {
        self.healthy.load(Ordering::Acquire)
    }

    /// Lets nothing more in and waits until everything that waited is on the disk.
    pub(crate) fn close(&self) {
        match &self.hand {
            Hand::Thread { queue, thread } => {
                queue.close();
                let thread = thread.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(thread) = thread {
                    let _ = thread.join();
                }
            }
            Hand::Inline { worker, .. } => drop(worker.lock().unwrap_or_else(PoisonError::into_inner).take()),
        }
    }

    async fn ask(&self, request: Request) -> Result<(), StoreError> {
        match &self.hand {
            Hand::Thread { .. } => self.hand.take(request),
            Hand::Inline { pace, .. } => in_turn(pace, Step::Journal, || self.hand.take(request)).await?,
        }
    }

    /// Looks at every record of every file, one file in memory at a time.
    fn visit(&self, mut look: impl FnMut(segment::Record)) -> Result<(), StoreError> {
        for path in files(&self.folder).map_err(StoreError::io)? {
            let bytes = std::fs::read(&path).map_err(StoreError::io)?;
            segment::scan(&bytes).records.into_iter().for_each(&mut look);
        }
        Ok(())
    }

    fn unseal(&self, sequence: u64, payload: &[u8], committed: bool) -> Option<Journalled> {
        let sealed = SealedBytes::stored(payload.to_vec());
        let opened = self.ring.open_at(place(&sequence.to_string()), &sealed);
        let entry = opened.ok().and_then(|bytes| JournalEntry::from_bytes(&bytes));
        if entry.is_none() {
            tracing::error!(sequence, "an entry of the journal does not open; it is left where it is");
        }
        Some(Journalled { seq: JournalSeq(sequence), entry: entry?, committed })
    }
}

impl Hand {
    fn of(worker: Worker, threads: &Threads) -> std::io::Result<Self> {
        if let Threads::Inline(pace) = threads {
            return Ok(Hand::Inline { worker: Mutex::new(Some(worker)), pace: pace.clone() });
        }
        let queue = Arc::new(Queue::new(WAITING));
        let taken = queue.clone();
        let builder = std::thread::Builder::new().name("eg-journal".to_owned());
        let thread = builder.spawn(move || worker.run(&taken))?;
        Ok(Hand::Thread { queue, thread: Mutex::new(Some(thread)) })
    }

    fn take(&self, request: Request) -> Result<(), StoreError> {
        match self {
            Hand::Thread { queue, .. } => queue.push(request).map_err(|refused| match refused {
                NotTaken::Closed => StoreError::closed(),
                NotTaken::Full => StoreError::Unavailable { trouble: Trouble::Overloaded, cause: None },
            }),
            Hand::Inline { worker, .. } => {
                let mut worker = worker.lock().unwrap_or_else(PoisonError::into_inner);
                worker.as_mut().ok_or(StoreError::closed()).map(|worker| worker.serve(vec![request]))
            }
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

fn place(row: &str) -> Place<'_> {
    Place { table: "journal", row, column: "entry", generation: 0 }
}

fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "seg") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// What lay in the folder at the start.
struct Found {
    segments: Vec<Segment>,
    open: BTreeMap<u64, OpenEntry>,
    last: u64,
    latest: Timestamp,
}

impl Found {
    fn read(folder: &Path, installation: &InstallationId) -> Result<Self, OpenError> {
        let what = |cause| OpenError::io(format!("the journal in {}", folder.display()), cause);
        let mut found = Found { segments: Vec::new(), open: BTreeMap::new(), last: 0, latest: Timestamp::default() };
        let mut done = BTreeSet::new();
        for path in files(folder).map_err(what)? {
            let (file, scan) = SegmentFile::open(path).map_err(what)?;
            if let Some(other) = scan.installation.filter(|other| other != installation) {
                let (folder, expected) = (folder.to_owned(), installation.clone());
                return Err(OpenError::ForeignJournal { folder, found: other, expected });
            }
            if scan.damaged > 0 {
                let file = file.path().display().to_string();
                tracing::warn!(file, bytes = scan.damaged, "part of the journal is damaged; the rest was read");
            }
            let newest = scan.records.iter().map(|record| record.head.received_at).max().unwrap_or_default();
            found.latest = found.latest.max(newest);
            for record in scan.records {
                found.last = found.last.max(record.head.sequence);
                match record.head.kind {
                    RecordKind::Entry => {
                        let (segment, received_at) = (scan.number, record.head.received_at);
                        let payload = record.payload.into();
                        found.open.insert(record.head.sequence, OpenEntry { segment, received_at, payload });
                    }
                    RecordKind::Committed | RecordKind::Erased => drop(done.insert(record.head.sequence)),
                }
            }
            let (number, end) = (scan.number, scan.end);
            found.segments.push(Segment { file, number, end, newest, distrusted: false });
        }
        found.open.retain(|sequence, _| !done.contains(sequence));
        Ok(found)
    }

    /// The file that was written last.
    fn current(&self) -> usize {
        let numbers = self.segments.iter().enumerate().map(|(at, segment)| (segment.number, at));
        numbers.max().map_or(0, |(_, at)| at)
    }
}
