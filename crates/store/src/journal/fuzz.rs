//! What must hold of any bytes where a file of the journal should be. Compiled for the tests and for the fuzzer only.

use evergrant_core::id::{AttemptId, ConnectionId, InstallationId};
use evergrant_core::time::Timestamp;
use zeroize::Zeroizing;

use super::segment::{self, FIRST, Head, RecordKind};
use super::{EntryKind, JournalEntry};

/// The segment that the file is in its present use.
const SEGMENT: u64 = 3;

fn at() -> Timestamp {
    Timestamp::from_seconds(1_795_000_000)
}

fn installation() -> InstallationId {
    InstallationId::make(at(), [7; 10])
}

/// A file in its second use with these payloads, behind which the first use is still seen; and where each record lies.
fn file(lengths: &[u8]) -> (Vec<u8>, Vec<std::ops::Range<usize>>) {
    let mut bytes = segment::file_head(SEGMENT, &installation()).to_vec();
    let mut places = Vec::new();
    for (sequence, length) in (100..).zip(lengths) {
        let kind = if sequence % 3 == 2 { RecordKind::Committed } else { RecordKind::Entry };
        let start = bytes.len();
        let head = Head { segment: SEGMENT, sequence, kind, received_at: at() };
        segment::encode(&mut bytes, head, &vec![*length; usize::from(*length) * 3]);
        places.push(start..bytes.len());
    }
    for sequence in 0..4 {
        let head = Head { segment: SEGMENT - 1, sequence, kind: RecordKind::Entry, received_at: at() };
        segment::encode(&mut bytes, head, &[9; 90]);
    }
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    (bytes, places)
}

/// First byte: 0, the rest is an entry as it is sealed; 1, the rest is a file; above, the rest damages a file: how many
/// records it has, their lengths, then triples: where (two bytes), and what stands there instead.
pub fn journal(input: &[u8]) {
    match input {
        [] => {}
        [0, rest @ ..] => entry(rest),
        [1, rest @ ..] => any_file(rest),
        [_, count, rest @ ..] => {
            let (lengths, damage) = rest.split_at(rest.len().min(usize::from(*count % 16)));
            damaged_file(lengths, damage);
        }
        _ => {}
    }
}

fn entry(bytes: &[u8]) {
    let Some(read) = JournalEntry::from_bytes(bytes) else { return };
    let written = read.to_bytes().expect("what was read can be written");
    let again = JournalEntry::from_bytes(&written).expect("what was written can be read");
    assert_eq!((&again.attempt, &again.kind, again.status), (&read.attempt, &read.kind, read.status));
    assert_eq!((again.sent_at, again.received_at), (read.sent_at, read.received_at));
    assert!(again.headers == read.headers && *again.body == *read.body, "an entry changes when it is written again");
}

fn any_file(bytes: &[u8]) {
    let scan = segment::scan(bytes);
    for record in &scan.records {
        assert_eq!(record.head.segment, scan.number, "a record of another use of the file");
        let mut written = Vec::new();
        segment::encode(&mut written, record.head, &record.payload);
        let at = record.at as usize;
        // All but the padding, which nothing depends on.
        let length = 40 + record.payload.len();
        let checked = |bytes: &[u8]| [&bytes[..33], &bytes[36..length]].concat();
        assert!(record.at >= FIRST && bytes.len() >= at + length, "a record outside of the file");
        let (found, written) = (checked(&bytes[at..]), checked(&written));
        // The checksum covers the padding; with other padding it is another one.
        assert!(bytes[at + 33..at + 36] != [0; 3] || found == written, "a record that is not in the file");
    }
    assert!(scan.end >= FIRST && scan.end <= (bytes.len() as u64).max(FIRST).next_multiple_of(8), "{}", scan.end);
}

fn damaged_file(lengths: &[u8], damage: &[u8]) {
    let (whole, places) = file(lengths);
    let mut bytes = whole.clone();
    for triple in damage.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([triple[0], triple[1]])) % bytes.len().max(1);
        if triple[2] == 255 {
            bytes.truncate(at.max(1));
        } else if let Some(byte) = bytes.get_mut(at) {
            *byte = triple[2];
        }
    }
    let scan = segment::scan(&bytes);
    let untouched = |place: &std::ops::Range<usize>| bytes.get(place.clone()) == whole.get(place.clone());
    let head_is_whole = bytes.get(..FIRST as usize) == whole.get(..FIRST as usize);
    for (sequence, (place, length)) in (100..).zip(places.iter().zip(lengths)) {
        let found = scan.records.iter().find(|record| record.at as usize == place.start);
        match found {
            Some(record) => {
                assert_eq!(record.head.sequence, sequence);
                assert_eq!(record.payload, vec![*length; usize::from(*length) * 3], "a changed record is believed");
            }
            None => assert!(!untouched(place), "record {sequence} is whole and was lost"),
        }
    }
    if head_is_whole {
        assert!(scan.records.iter().all(|record| places.iter().any(|place| place.start as u64 == record.at)));
        let last = places.iter().filter(|place| untouched(place)).map(|place| place.end).max();
        assert!(
            last.is_none_or(|last| scan.end >= last as u64),
            "the next record would be written over one that is whole"
        );
    }
}

/// Inputs to begin with.
pub fn journal_seeds() -> Vec<Vec<u8>> {
    let entry = JournalEntry {
        attempt: AttemptId::make(at(), [1; 10]),
        kind: EntryKind::Refresh { connection: ConnectionId::make(at(), [2; 10]), generation: 7 },
        sent_at: at(),
        received_at: at(),
        status: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Zeroizing::new(b"{\"access_token\":\"x\"}".to_vec()),
    };
    let entry = entry.to_bytes().expect("it can be written");
    let (file, _) = file(&[1, 20, 0, 60]);
    vec![
        [&[0], entry.as_slice()].concat(),
        [&[1], file.as_slice()].concat(),
        vec![2, 4, 1, 20, 0, 60],
        vec![2, 3, 9, 8, 7, 140, 0, 77],
        vec![2, 3, 9, 8, 7, 0, 0, 1, 200, 0, 2],
        vec![2, 3, 9, 8, 7, 0, 1, 255],
    ]
}
