//! The thread that writes the journal: everything that waits goes to the disk in one write and one sync.
//!
//! After a failed sync the kernel may have dropped what it could not write, and a second sync would say yes (Rebello et
//! al., USENIX ATC 2020): the file is left alone from then on, and what is not committed yet is written into another one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use evergrant_core::id::InstallationId;
use evergrant_core::time::Timestamp;
use tokio::sync::oneshot;

use super::segment::{self, FIRST, Head, RecordKind, SegmentFile};
use super::{JournalOptions, OpenEntries};
use crate::error::StoreError;
use crate::queue::{Queue, Taken};

/// How often a journal that cannot be written tries again by itself.
const HEALING: Duration = Duration::from_secs(1);
/// At most so many requests share a sync.
const GROUP: usize = 1024;

/// What is asked of the thread.
pub(super) enum Request {
    Append { sequence: u64, received_at: Timestamp, payload: Arc<[u8]>, done: oneshot::Sender<Result<(), StoreError>> },
    Committed { sequence: u64 },
    Erase { sequences: Vec<u64>, done: oneshot::Sender<Result<(), StoreError>> },
}

/// A file in use.
#[derive(Debug)]
pub(super) struct Segment {
    pub file: SegmentFile,
    /// 0: never used.
    pub number: u64,
    pub end: u64,
    /// The latest answer in it.
    pub newest: Timestamp,
    /// A sync of it failed.
    pub distrusted: bool,
}

/// An entry that is not known to be committed.
#[derive(Debug, Clone)]
pub(super) struct OpenEntry {
    pub segment: u64,
    pub received_at: Timestamp,
    pub payload: Arc<[u8]>,
}

/// The thread's own.
pub(super) struct Worker {
    pub options: JournalOptions,
    pub folder: PathBuf,
    pub installation: InstallationId,
    pub segments: Vec<Segment>,
    pub current: usize,
    pub open: OpenEntries,
    pub healthy: Arc<AtomicBool>,
    pub latest: Timestamp,
}

type Waiting = (u64, Timestamp, Arc<[u8]>, oneshot::Sender<Result<(), StoreError>>);

impl Worker {
    /// Works until the queue is closed.
    pub fn run(mut self, queue: &Queue<Request>) {
        loop {
            let patience = (!self.healthy.load(Ordering::Acquire)).then_some(HEALING);
            match queue.take(GROUP, patience) {
                Taken::Items(requests) => self.serve(requests),
                Taken::Nothing => self.heal(),
                Taken::Closed => return,
            }
        }
    }

    pub(super) fn serve(&mut self, requests: Vec<Request>) {
        let (mut waiting, mut committed) = (Vec::new(), Vec::new());
        for request in requests {
            match request {
                Request::Append { sequence, received_at, payload, done } => {
                    waiting.push((sequence, received_at, payload, done));
                }
                Request::Committed { sequence } => committed.push(sequence),
                Request::Erase { sequences, done } => {
                    let _ = done.send(self.erase(&sequences));
                }
            }
        }
        self.note_committed(&committed);
        if !waiting.is_empty() {
            self.append(waiting);
        }
    }

    /// Lazily: a mark that is lost makes an entry be looked at once more, which finds that nothing is left to do.
    fn note_committed(&mut self, committed: &[u64]) {
        let known: Vec<u64> = {
            let mut open = super::lock(&self.open);
            committed.iter().copied().filter(|sequence| open.remove(sequence).is_some()).collect()
        };
        if !self.healthy.load(Ordering::Acquire) {
            return;
        }
        for sequence in known {
            let written = self.make_room(segment::room(0)).and_then(|()| {
                let mut bytes = Vec::new();
                let current = &mut self.segments[self.current];
                let (segment, kind) = (current.number, RecordKind::Committed);
                segment::encode(&mut bytes, Head { segment, sequence, kind, received_at: current.newest }, &[]);
                current.file.write(current.end, &bytes)?;
                current.end += bytes.len() as u64;
                Ok(())
            });
            if let Err(error) = written {
                self.distrust(&error);
                return;
            }
        }
    }

    fn append(&mut self, waiting: Vec<Waiting>) {
        let mut outcome = self.write_all(&waiting);
        if let Err(error) = &outcome {
            self.distrust(error);
            self.forget(&waiting);
            outcome = self.rewrite().and_then(|()| self.write_all(&waiting));
        }
        match outcome {
            Ok(()) => self.healthy.store(true, Ordering::Release),
            Err(error) => {
                // Nobody was told that these are safe, so they are not held here either.
                self.forget(&waiting);
                let error = StoreError::io(error);
                waiting.into_iter().for_each(|(.., done)| drop(done.send(Err(error.clone()))));
                return;
            }
        }
        waiting.into_iter().for_each(|(.., done)| drop(done.send(Ok(()))));
        self.keep_one_free();
    }

    fn forget(&self, waiting: &[Waiting]) {
        let mut open = super::lock(&self.open);
        waiting.iter().for_each(|(sequence, ..)| drop(open.remove(sequence)));
    }

    /// Writes entries and syncs each file that they went to.
    fn write_all(&mut self, waiting: &[Waiting]) -> std::io::Result<()> {
        for (sequence, received_at, payload, _) in waiting {
            self.write(*sequence, *received_at, payload)?;
        }
        self.segments[self.current].file.sync()
    }

    fn write(&mut self, sequence: u64, received_at: Timestamp, payload: &Arc<[u8]>) -> std::io::Result<()> {
        self.make_room(segment::room(payload.len()))?;
        self.latest = self.latest.max(received_at);
        let current = &mut self.segments[self.current];
        let mut bytes = Vec::with_capacity(payload.len() + 64);
        let (segment, kind) = (current.number, RecordKind::Entry);
        segment::encode(&mut bytes, Head { segment, sequence, kind, received_at }, payload);
        current.file.write(current.end, &bytes)?;
        current.end += bytes.len() as u64;
        current.newest = current.newest.max(received_at);
        let entry = OpenEntry { segment: current.number, received_at, payload: payload.clone() };
        super::lock(&self.open).insert(sequence, entry);
        Ok(())
    }

    /// Sees that the current file has room, going on to another one if it has not.
    pub(super) fn make_room(&mut self, room: u64) -> std::io::Result<()> {
        let current = &self.segments[self.current];
        if !current.distrusted && current.number != 0 && current.end + room <= current.file.capacity() {
            return Ok(());
        }
        if room + FIRST > self.options.segment_bytes {
            return Err(std::io::Error::other("an answer that is larger than a file of the journal"));
        }
        if !current.distrusted && current.number != 0 {
            current.file.sync()?;
        }
        let next = match self.free_segment() {
            Some(free) => free,
            None => self.add_segment()?,
        };
        let number = self.segments.iter().map(|segment| segment.number).max().unwrap_or(0) + 1;
        let segment = &mut self.segments[next];
        if let Err(error) = segment.file.take_over(number, &self.installation) {
            segment.distrusted = true;
            return Err(error);
        }
        (segment.number, segment.end, segment.newest) = (number, FIRST, Timestamp::default());
        self.current = next;
        Ok(())
    }

    /// A file that nobody needs any more: never used, or all of it committed and older than it is kept.
    fn free_segment(&self) -> Option<usize> {
        let bytes: u64 = self.segments.iter().map(|segment| segment.file.capacity()).sum();
        let full = bytes + self.options.segment_bytes > self.options.most_bytes;
        let needed: BTreeMap<u64, ()> = super::lock(&self.open).values().map(|entry| (entry.segment, ())).collect();
        let kept_until = |segment: &Segment| segment.newest.plus(self.options.keep);
        let usable = self.segments.iter().enumerate().filter(|(at, segment)| {
            let unused = segment.number == 0;
            let done = !needed.contains_key(&segment.number) && (full || kept_until(segment) <= self.latest);
            !segment.distrusted && (unused || (done && *at != self.current))
        });
        usable.min_by_key(|(_, segment)| segment.number).map(|(at, _)| at)
    }

    fn add_segment(&mut self) -> std::io::Result<usize> {
        let name = (1..).map(|slot: u32| self.folder.join(super::file_name(slot)));
        let path = { name }.find(|path| !self.segments.iter().any(|segment| segment.file.path() == path));
        let path = path.ok_or_else(|| std::io::Error::other("no name is left for a file of the journal"))?;
        let file = SegmentFile::create(path, self.options.segment_bytes)?;
        let segment = Segment { file, number: 0, end: FIRST, newest: Timestamp::default(), distrusted: false };
        self.segments.push(segment);
        Ok(self.segments.len() - 1)
    }

    /// Sees in good time that the next file is there: when this one is full, the disk may be too.
    fn keep_one_free(&mut self) {
        let current = &self.segments[self.current];
        if current.end < current.file.capacity() / 2 || self.free_segment().is_some() {
            return;
        }
        if let Err(error) = self.add_segment() {
            tracing::warn!(%error, "no room for the journal's next file; the present one still takes answers");
        }
    }

    fn distrust(&mut self, error: &std::io::Error) {
        tracing::error!(%error, "the journal could not be written; no refresh token is sent until it can");
        self.healthy.store(false, Ordering::Release);
        self.segments[self.current].distrusted = true;
    }

    /// Writes what is not committed yet into a new file.
    fn rewrite(&mut self) -> std::io::Result<()> {
        let held: Vec<(u64, OpenEntry)> =
            super::lock(&self.open).iter().map(|(sequence, entry)| (*sequence, entry.clone())).collect();
        let lost_ground: Vec<u64> =
            self.segments.iter().filter(|segment| segment.distrusted).map(|segment| segment.number).collect();
        self.make_room(segment::room(0))?;
        for (sequence, entry) in held.into_iter().filter(|(_, entry)| lost_ground.contains(&entry.segment)) {
            self.write(sequence, entry.received_at, &entry.payload)?;
        }
        self.segments[self.current].file.sync()
    }

    pub(super) fn heal(&mut self) {
        match self.rewrite() {
            Ok(()) => {
                tracing::info!("the journal can be written again");
                self.healthy.store(true, Ordering::Release);
            }
            Err(error) => self.distrust(&error),
        }
    }

    /// Overwrites entries in place.
    fn erase(&mut self, sequences: &[u64]) -> Result<(), StoreError> {
        let mut open = super::lock(&self.open);
        sequences.iter().for_each(|sequence| drop(open.remove(sequence)));
        drop(open);
        for segment in &self.segments {
            let bytes = std::fs::read(segment.file.path()).map_err(StoreError::io)?;
            let mut touched = false;
            for record in segment::scan(&bytes).records {
                if record.head.kind == RecordKind::Entry && sequences.contains(&record.head.sequence) {
                    let mut blank = Vec::new();
                    let zeros = vec![0; record.payload.len()];
                    segment::encode(&mut blank, Head { kind: RecordKind::Erased, ..record.head }, &zeros);
                    segment.file.write(record.at, &blank).map_err(StoreError::io)?;
                    touched = true;
                }
            }
            if touched {
                segment.file.sync().map_err(StoreError::io)?;
            }
        }
        Ok(())
    }
}
