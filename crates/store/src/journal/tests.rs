//! The journal's thread without the thread: what it does when the disk fails, and which files it uses again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evergrant_core::id::InstallationId;
use evergrant_core::time::Timestamp;
use proptest::prelude::*;
use tokio::sync::oneshot;

use super::segment::{self, FIRST, Head, RecordKind, SegmentFile};
use super::worker::{Request, Segment, Worker};
use super::{JournalOptions, file_name};
use crate::error::StoreError;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn day(number: u32) -> Timestamp {
    Timestamp::from_seconds(1_795_000_000).plus(DAY * number)
}

fn installation() -> InstallationId {
    InstallationId::make(day(0), [7; 10])
}

fn worker(folder: &std::path::Path, files: u32) -> Worker {
    let options = JournalOptions { segment_bytes: 4096, segments: files, most_bytes: 1 << 20, keep: 7 * DAY };
    let segments = (1..=files).map(|slot| {
        let file = SegmentFile::create(folder.join(file_name(slot)), 4096).expect("a file");
        Segment { file, number: 0, end: FIRST, newest: Timestamp::default(), distrusted: false }
    });
    Worker {
        options,
        folder: folder.to_owned(),
        installation: installation(),
        segments: segments.collect(),
        current: 0,
        open: Arc::new(Mutex::default()),
        healthy: Arc::new(AtomicBool::new(true)),
        latest: Timestamp::default(),
    }
}

fn append(worker: &mut Worker, sequence: u64, received_at: Timestamp, bytes: usize) -> Result<(), StoreError> {
    let (done, mut answer) = oneshot::channel();
    let payload = vec![sequence as u8; bytes].into();
    worker.serve(vec![Request::Append { sequence, received_at, payload, done }]);
    answer.try_recv().expect("the thread answers")
}

/// What a reader of the files finds.
fn found(worker: &Worker) -> Vec<(u64, RecordKind)> {
    let mut all = Vec::new();
    for segment in &worker.segments {
        let bytes = std::fs::read(segment.file.path()).expect("the file");
        all.extend(segment::scan(&bytes).records.into_iter().map(|record| (record.head.sequence, record.head.kind)));
    }
    all.sort_by_key(|(sequence, _)| *sequence);
    all
}

#[test]
fn after_a_failed_sync_the_file_is_left_alone_and_what_was_open_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = worker(folder.path(), 2);
    append(&mut worker, 1, day(0), 100).unwrap();
    append(&mut worker, 2, day(0), 100).unwrap();
    worker.serve(vec![Request::Committed { sequence: 1 }]);
    worker.segments[0].file.fail_sync.store(true, Ordering::Relaxed);
    append(&mut worker, 3, day(0), 100).unwrap();
    assert!(worker.healthy.load(Ordering::Relaxed));
    assert!(worker.segments[0].distrusted);
    let other = &worker.segments[worker.current];
    let bytes = std::fs::read(other.file.path()).unwrap();
    let held: Vec<u64> = segment::scan(&bytes).records.iter().map(|record| record.head.sequence).collect();
    assert_eq!(held, [2, 3], "all that was open, and nothing that was committed");
    append(&mut worker, 4, day(0), 100).unwrap();
    assert_ne!(worker.current, 0);
}

#[test]
fn while_no_file_can_be_written_it_says_so_and_it_recovers_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = worker(folder.path(), 2);
    append(&mut worker, 1, day(0), 100).unwrap();
    // No more files: what is there fails, and the folder is gone.
    for segment in &worker.segments {
        segment.file.fail_sync.store(true, Ordering::Relaxed);
    }
    let away = folder.path().with_extension("away");
    std::fs::rename(folder.path(), &away).unwrap();
    let error = append(&mut worker, 2, day(0), 100).unwrap_err();
    assert!(error.is_passing(), "{error}");
    assert!(!worker.healthy.load(Ordering::Relaxed));
    worker.heal();
    assert!(!worker.healthy.load(Ordering::Relaxed));
    std::fs::rename(&away, folder.path()).unwrap();
    worker.heal();
    assert!(worker.healthy.load(Ordering::Relaxed));
    append(&mut worker, 3, day(0), 100).unwrap();
    let entries: Vec<u64> = found(&worker).iter().map(|(sequence, _)| *sequence).collect();
    assert!(entries.contains(&1) && entries.contains(&3), "{entries:?}");
    assert!(super::lock(&worker.open).keys().copied().eq([1, 3]), "nobody was told that 2 is safe");
}

#[test]
fn a_file_is_used_again_only_when_all_of_it_is_committed_and_a_week_old() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = worker(folder.path(), 2);
    for sequence in 1..=6 {
        append(&mut worker, sequence, day(0), 1000).unwrap();
    }
    assert_eq!(worker.segments.len(), 3, "two are full or nearly so, the next one is there in good time");
    worker.serve((1..=6).map(|sequence| Request::Committed { sequence }).collect());
    for sequence in 7..=12 {
        append(&mut worker, sequence, day(6), 1000).unwrap();
    }
    let kept: Vec<u64> =
        found(&worker).into_iter().filter(|(_, kind)| *kind == RecordKind::Entry).map(|(seq, _)| seq).collect();
    assert_eq!(kept, (1..=12).collect::<Vec<_>>(), "nothing is given up before its time");
    let files = worker.segments.len();
    for sequence in 13..=18 {
        append(&mut worker, sequence, day(8), 1000).unwrap();
    }
    let kept: Vec<u64> =
        found(&worker).into_iter().filter(|(_, kind)| *kind == RecordKind::Entry).map(|(seq, _)| seq).collect();
    assert!(!kept.contains(&1), "{kept:?}");
    assert!((7..=18).all(|sequence| kept.contains(&sequence)), "those of today and the open ones stay: {kept:?}");
    assert_eq!(worker.segments.len(), files, "no new file was needed");
}

#[test]
fn an_erased_entry_is_gone_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = worker(folder.path(), 1);
    append(&mut worker, 1, day(0), 300).unwrap();
    append(&mut worker, 2, day(0), 300).unwrap();
    let (done, mut answer) = oneshot::channel();
    worker.serve(vec![Request::Erase { sequences: vec![1], done }]);
    answer.try_recv().unwrap().unwrap();
    assert_eq!(found(&worker), [(1, RecordKind::Erased), (2, RecordKind::Entry)]);
    let bytes = std::fs::read(worker.segments[0].file.path()).unwrap();
    assert!(!bytes.windows(64).any(|window| window == [1; 64]));
}

fn file_of(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = segment::file_head(3, &installation()).to_vec();
    // An earlier use of the file left something behind.
    let mut stale = bytes.clone();
    for sequence in 0..40 {
        let head = Head { segment: 2, sequence, kind: RecordKind::Entry, received_at: day(0) };
        segment::encode(&mut stale, head, &[9; 90]);
    }
    let mut ends = Vec::new();
    for (sequence, payload) in (100..).zip(payloads) {
        let head = Head { segment: 3, sequence, kind: RecordKind::Entry, received_at: day(1) };
        segment::encode(&mut bytes, head, payload);
        ends.push(bytes.len());
    }
    if stale.len() > bytes.len() {
        bytes.extend_from_slice(&stale[bytes.len()..]);
    }
    bytes.resize(bytes.len().next_multiple_of(4096), 0);
    (bytes, ends)
}

proptest! {
    #[test]
    fn damage_takes_no_record_before_it_and_changes_none(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..12),
        damage in prop::collection::vec((0usize..8192, any::<u8>()), 0..4),
        cut in prop::option::of(0usize..8192),
    ) {
        let (mut bytes, ends) = file_of(&payloads);
        let mut first = bytes.len();
        for (at, with) in damage {
            if at < bytes.len() && bytes[at] != with {
                bytes[at] = with;
                first = first.min(at);
            }
        }
        if let Some(cut) = cut.filter(|cut| *cut < bytes.len()) {
            bytes.truncate(cut);
            first = first.min(cut);
        }
        let scan = segment::scan(&bytes);
        for record in &scan.records {
            if record.head.segment == 3 {
                prop_assert_eq!(&record.payload, &payloads[(record.head.sequence - 100) as usize]);
            }
        }
        // A damaged head of the file must not cost the records either.
        let whole = ends.iter().filter(|end| **end <= first).count();
        let kept = (100..).take(whole).all(|seq| scan.records.iter().any(|record| record.head.sequence == seq));
        prop_assert!(kept, "{} of {} records lie before the damage at {}", whole, ends.len(), first);
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        prop_assert!(segment::scan(&bytes).records.is_empty());
    }
}
