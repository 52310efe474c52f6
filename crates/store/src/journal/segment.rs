//! One pre-allocated file of the journal and the records in it.
//!
//! A record carries the number of its segment, so that what an earlier use of the file left behind is never taken for
//! one of its own, and a checksum, so that damage ends nothing but the record that it hit: the scan looks on behind it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use evergrant_core::id::InstallationId;
use evergrant_core::time::Timestamp;

const MAGIC: [u8; 8] = *b"EGJRNL\x00\x01";
/// Where records begin.
pub(super) const FIRST: u64 = 128;
/// Mark, length, segment, sequence, time of the answer, kind and padding, checksum.
const HEAD: usize = 40;
const MARK: [u8; 4] = *b"EGR1";

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordKind {
    /// A sealed entry.
    Entry,
    /// The entry of this number has been committed.
    Committed,
    /// An entry that was erased with its subject.
    Erased,
}

impl RecordKind {
    const fn code(self) -> u8 {
        match self {
            RecordKind::Entry => 1,
            RecordKind::Committed => 2,
            RecordKind::Erased => 3,
        }
    }

    const fn of(code: u8) -> Option<Self> {
        match code {
            1 => Some(RecordKind::Entry),
            2 => Some(RecordKind::Committed),
            3 => Some(RecordKind::Erased),
            _ => None,
        }
    }
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// The segment's number.
    pub segment: u64,
    /// The entry's number.
    pub sequence: u64,
    pub kind: RecordKind,
    /// When the answer came; it decides how long it is kept.
    pub received_at: Timestamp,
}

/// A record as it was found.
#[derive(Debug)]
pub(super) struct Record {
    pub head: Head,
    pub payload: Vec<u8>,
    /// Where it begins in the file.
    pub at: u64,
}

/// How much room a record with so much payload takes.
pub(super) fn room(payload: usize) -> u64 {
    ((HEAD + payload).next_multiple_of(8)) as u64
}

/// Appends a record to `bytes`.
pub(super) fn encode(bytes: &mut Vec<u8>, head: Head, payload: &[u8]) {
    let start = bytes.len();
    bytes.extend_from_slice(&MARK);
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&head.segment.to_le_bytes());
    bytes.extend_from_slice(&head.sequence.to_le_bytes());
    bytes.extend_from_slice(&head.received_at.as_millis().to_le_bytes());
    bytes.extend_from_slice(&[head.kind.code(), 0, 0, 0]);
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&bytes[start + 4..]);
    checksum.update(payload);
    bytes.extend_from_slice(&checksum.finalize().to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes.resize(start + room(payload.len()) as usize, 0);
}

fn decode(bytes: &[u8], at: usize) -> Option<Record> {
    let head = bytes.get(at..at + HEAD)?;
    if head[..4] != MARK {
        return None;
    }
    let length = u32::from_le_bytes(head[4..8].try_into().ok()?) as usize;
    let payload = bytes.get(at + HEAD..(at + HEAD).checked_add(length)?)?;
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&head[4..HEAD - 4]);
    checksum.update(payload);
    if checksum.finalize().to_le_bytes() != head[HEAD - 4..] {
        return None;
    }
    let head = Head {
        segment: u64::from_le_bytes(head[8..16].try_into().ok()?),
        sequence: u64::from_le_bytes(head[16..24].try_into().ok()?),
        received_at: Timestamp::from_millis(i64::from_le_bytes(head[24..32].try_into().ok()?)),
        kind: RecordKind::of(head[32])?,
    };
    Some(Record { head, payload: payload.to_vec(), at: at as u64 })
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Scan {
    /// Its number; 0: it has never been used.
    pub number: u64,
    /// Whose it is, where its head can be read.
    pub installation: Option<InstallationId>,
    /// What can be read.
    pub records: Vec<Record>,
    /// Where the next record goes.
    pub end: u64,
    /// Bytes that are neither records nor free.
    pub damaged: u64,
}

/// Reads all records of a file that can be read.
pub(super) fn scan(bytes: &[u8]) -> Scan {
    let head = read_head(bytes);
    let mut records = Vec::new();
    let (mut at, mut end, mut damaged) = (FIRST as usize, FIRST, 0);
    while at + HEAD <= bytes.len() {
        let Some(record) = decode(bytes, at) else {
            at += 8;
            continue;
        };
        let next = at + room(record.payload.len()) as usize;
        if head.as_ref().is_none_or(|head| head.0 == record.head.segment) {
            damaged += at as u64 - end;
            end = next as u64;
            records.push(record);
        }
        at = next;
    }
    let number = match &head {
        Some(head) => head.0,
        // The head is damaged: the newest use of the file is what counts.
        None => records.iter().map(|record| record.head.segment).max().unwrap_or(0),
    };
    records.retain(|record| record.head.segment == number);
    Scan { number, installation: head.map(|head| head.1), records, end, damaged }
}

fn read_head(bytes: &[u8]) -> Option<(u64, InstallationId)> {
    let head = bytes.get(..FIRST as usize)?;
    let checksum = crc32fast::hash(&head[..124]).to_le_bytes();
    if head[..8] != MAGIC || head[124..] != checksum {
        return None;
    }
    let number = u64::from_le_bytes(head[8..16].try_into().ok()?);
    let length = usize::from(head[16]);
    let installation = std::str::from_utf8(head.get(17..17 + length)?).ok()?.parse().ok()?;
    Some((number, installation))
}

pub(super) fn file_head(number: u64, installation: &InstallationId) -> [u8; FIRST as usize] {
    let mut head = [0u8; FIRST as usize];
    head[..8].copy_from_slice(&MAGIC);
    head[8..16].copy_from_slice(&number.to_le_bytes());
    let name = installation.as_str().as_bytes();
    let length = name.len().min(100);
    head[16] = length as u8;
    head[17..17 + length].copy_from_slice(&name[..length]);
    let checksum = crc32fast::hash(&head[..124]).to_le_bytes();
    head[124..].copy_from_slice(&checksum);
    head
}

/// A file of the journal.
#[derive(Debug)]
pub(super) struct SegmentFile {
    file: File,
    path: PathBuf,
    capacity: u64,
    #[cfg(test)]
    pub(super) fail_sync: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl SegmentFile {
    /// Makes a file with all its blocks written, so that a full disk still takes what goes into it.
    pub fn create(path: PathBuf, capacity: u64) -> std::io::Result<Self> {
        let partly = path.with_extension("new");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&partly)?;
        let made =
            fill(&file, capacity).and_then(|()| std::fs::rename(&partly, &path)).and_then(|()| sync_folder(&path));
        if let Err(error) = made {
            // Half a file would only take away space where there is none.
            let _ = std::fs::remove_file(&partly);
            return Err(error);
        }
        Ok(SegmentFile::new(file, path, capacity))
    }

    /// Opens one and reads it.
    pub fn open(path: PathBuf) -> std::io::Result<(Self, Scan)> {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let bytes = std::fs::read(&path)?;
        let scan = scan(&bytes);
        Ok((SegmentFile::new(file, path, bytes.len() as u64), scan))
    }

    fn new(file: File, path: PathBuf, capacity: u64) -> Self {
        SegmentFile {
            file,
            path,
            capacity,
            #[cfg(test)]
            fail_sync: std::sync::Arc::default(),
        }
    }

    /// Gives it to a new use: what stood in it belongs to nobody from now on.
    pub fn take_over(&self, number: u64, installation: &InstallationId) -> std::io::Result<()> {
        self.write(0, &file_head(number, installation))?;
        self.sync()
    }

    pub fn write(&self, at: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    /// Until this has returned, nothing that was written can be relied on.
    pub fn sync(&self) -> std::io::Result<()> {
        #[cfg(test)]
        if self.fail_sync.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(std::io::Error::other("a sync that the test lets fail"));
        }
        self.file.sync_data()
    }

    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn fill(file: &File, capacity: u64) -> std::io::Result<()> {
    let zeros = vec![0u8; 1 << 20];
    let mut at = 0;
    while at < capacity {
        let length = zeros.len().min((capacity - at) as usize);
        file.write_all_at(&zeros[..length], at)?;
        at += length as u64;
    }
    file.sync_all()
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
