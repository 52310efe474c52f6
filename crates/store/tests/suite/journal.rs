//! The journal: what has been answered is there after every kind of end.

use evergrant_core::id::{ConnectionId, InstallationId};
use evergrant_store::journal::EntryKind;
use evergrant_store::refresh::{Committed, RefreshedFrom};
use evergrant_store::{OpenError, Store};

use super::support::*;

fn bodies(store: &Store) -> Vec<String> {
    let found = store.journal().uncommitted();
    found.iter().map(|one| String::from_utf8(one.entry.body.to_vec()).expect("text")).collect()
}

#[tokio::test]
async fn an_answer_that_was_journalled_and_not_committed_is_found_and_put_right_after_a_kill() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = import(&store, "user-1", "one").await;
    let leased = claim(&store, &id, now()).await;
    let entry = answer(&id, leased.generation, "{\"access_token\":\"two\"}");
    store.mark_sending(&leased, &entry.attempt, now(), LEASE).await.unwrap();
    store.journal().append(&entry).await.unwrap();
    drop((leased, store));

    let store = home.open();
    let intents = store.open_intents(Some(now())).await.unwrap();
    assert_eq!((intents.len(), &intents[0].attempt), (1, &entry.attempt));
    let found = store.journal().uncommitted().pop().unwrap();
    assert_eq!((&found.entry.attempt, found.entry.status, found.committed), (&entry.attempt, 200, false));
    let EntryKind::Refresh { connection, generation } = found.entry.kind else { panic!("an exchange") };
    let from = RefreshedFrom::journalled(connection, generation);
    let committed = store.commit_success(&from, success(&entry.attempt, "two"), after(2)).await.unwrap();
    assert!(matches!(committed, Committed::Stored { .. }));
    store.journal().mark_committed(found.seq);
    store.close().await;

    let store = home.open();
    assert!(store.journal().uncommitted().is_empty());
    assert!(store.open_intents(Some(now())).await.unwrap().is_empty());
    assert_eq!(access(&store, &record(&store, &id).await), "access-token-two");
    let kept = store.journal().since(now()).unwrap();
    assert!(kept.len() == 1 && kept[0].committed, "kept for a database that loses its last seconds");
    assert!(store.journal().since(after(2)).unwrap().is_empty());
}

#[tokio::test]
async fn many_answers_at_once_are_all_there() {
    let home = Home::new();
    let store = home.open();
    let id = ConnectionId::make(now(), random());
    let mut all = tokio::task::JoinSet::new();
    for number in 0..300 {
        let (store, entry) = (store.clone(), answer(&id, number, &format!("{number:0>2000}")));
        all.spawn(async move { store.journal().append(&entry).await.unwrap() });
    }
    let seqs = all.join_all().await;
    seqs.iter().take(100).for_each(|seq| store.journal().mark_committed(*seq));
    drop(store);
    let store = home.open();
    assert_eq!(store.journal().uncommitted().len(), 200);
    assert_eq!(store.journal().since(now()).unwrap().len(), 300);
}

#[tokio::test]
async fn a_damaged_tail_costs_nothing_that_lies_before_it() {
    let home = Home::new();
    let store = home.open();
    let id = ConnectionId::make(now(), random());
    for body in ["first", "second", "third"] {
        store.journal().append(&answer(&id, 1, body)).await.unwrap();
    }
    drop(store);
    let path = home.journal().join("journal-0001.seg");
    let whole = std::fs::read(&path).unwrap();
    let last = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let mut torn = whole.clone();
    torn[last - 5] ^= 1;
    std::fs::write(&path, &torn).unwrap();
    let store = home.open();
    assert_eq!(bodies(&store), ["first", "second"]);
    store.journal().append(&answer(&id, 1, "fourth")).await.unwrap();
    drop(store);
    assert_eq!(bodies(&home.open()), ["first", "second", "fourth"]);
}

#[tokio::test]
async fn an_entry_that_was_moved_to_another_number_is_not_believed() {
    let home = Home::new();
    let store = home.open();
    let id = ConnectionId::make(now(), random());
    store.journal().append(&answer(&id, 1, "only")).await.unwrap();
    drop(store);
    let path = home.journal().join("journal-0001.seg");
    let mut bytes = std::fs::read(&path).unwrap();
    // The number stands 16 bytes after the record's mark; the checksum is made right again by whoever can write here.
    let at = 128;
    bytes[at + 16] += 1;
    let length = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
    let mut sum = crc32fast::Hasher::new();
    sum.update(&bytes[at + 4..at + 36]);
    sum.update(&bytes[at + 40..at + 40 + length]);
    bytes[at + 36..at + 40].copy_from_slice(&sum.finalize().to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    assert!(home.open().journal().uncommitted().is_empty());
}

#[tokio::test]
async fn a_journal_of_another_installation_is_refused_by_name() {
    let (home, other) = (Home::new(), Home::new());
    let mine = home.open().installation().clone();
    let theirs: InstallationId = other.open().installation().clone();
    std::fs::remove_dir_all(home.journal()).unwrap();
    let moved = std::process::Command::new("cp").arg("-r").arg(other.journal()).arg(home.journal()).status().unwrap();
    assert!(moved.success());
    let error = home.try_open().unwrap_err();
    let OpenError::ForeignJournal { found, expected, .. } = &error else { panic!("{error}") };
    assert_eq!((found, expected), (&theirs, &mine));
    assert!(error.to_string().contains(theirs.as_str()));
}

#[tokio::test]
async fn a_database_that_lost_its_last_commits_is_told_which_answers_it_does_not_know() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = import(&store, "user-1", "one").await;
    store.close().await;
    let backup = home.back_up();
    let store = home.open();
    for generation in [1, 2] {
        let entry = answer(&id, generation, "an answer");
        let seq = store.journal().append(&entry).await.unwrap();
        let from = RefreshedFrom::journalled(id.clone(), generation);
        store.commit_success(&from, success(&entry.attempt, &generation.to_string()), after(2)).await.unwrap();
        store.journal().mark_committed(seq);
    }
    assert!(store.lost_answers(now()).await.unwrap().is_empty());
    store.close().await;
    home.restore(&backup);
    let store = home.open();
    let lost = store.lost_answers(now()).await.unwrap();
    let generations = lost.iter().map(|found| match &found.entry.kind {
        EntryKind::Refresh { generation, .. } => *generation,
        EntryKind::Exchange { .. } => 0,
    });
    assert_eq!(generations.collect::<Vec<_>>(), [1, 2], "in the order in which they are to be put right");
}
