//! Several nodes on one database: what one commits counts on the others, and what one holds no other takes.

use std::time::Duration;

use evergrant_store::refresh::{Claim, Committed, Forced, Gate, VerdictCommit, VerdictCommitted};
use evergrant_store::{ApiKey, OpenError, Report, Store};
use tempfile::TempDir;

use super::support::*;

/// Another node on the same database, on a data folder of its own.
pub struct Node {
    pub store: Store,
    pub folder: TempDir,
}

pub fn try_join(home: &Home) -> (TempDir, Result<Store, OpenError>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = home.options();
    options.data_dir = folder.path().to_owned();
    let opened = Store::open(&options, entropy(), now());
    (folder, opened)
}

pub fn join(home: &Home) -> Node {
    let (folder, store) = try_join(home);
    Node { store: store.expect("it opens"), folder }
}

/// Waits until something holds, which is bounded by the length of the test.
pub async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = look().await {
            return found;
        }
        tokio::task::spawn_blocking(|| std::thread::park_timeout(Duration::from_millis(5))).await.expect("it ends");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_commits_counts_on_the_other() {
    let home = Home::new();
    let one = home.with_strava().await;
    let two = join(&home).store;
    let id = import(&one, "ann", "one").await;
    assert_eq!(access(&two, &record(&two, &id).await), "access-token-one");
    until(async || (two.status_counts(&name("strava")).connected == 1).then_some(())).await;
    let leased = claim(&one, &id, now()).await;
    one.commit_success(&leased.source(), success(&attempt(), "two"), now()).await.unwrap();
    until(async || (access(&two, &record(&two, &id).await) == "access-token-two").then_some(())).await;
    one.add_integration(integration("github"), Report::default()).await.unwrap();
    until(async || two.integration(&name("github"))).await;
    one.remove_integration(&name("github"), Report::default(), now()).await.unwrap();
    until(async || two.integration(&name("github")).is_none().then_some(())).await;
    let key = ApiKey {
        id: "k1".to_owned(),
        hash: [7; 32],
        environment: "test".to_owned(),
        name: None,
        permissions: Vec::new(),
        integrations: None,
        created_at: now(),
        expires_at: None,
        revoked_at: None,
    };
    two.add_api_key(key, None).await.unwrap();
    until(async || one.api_key("k1")).await;
    two.revoke_api_key("k1", None, now()).await.unwrap();
    until(async || one.api_key("k1").filter(|key| !key.is_valid(now()))).await;
    assert_eq!(one.nodes().unwrap().living, 2);
    two.close().await;
    until(async || (one.nodes().unwrap().living == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_reach_those_who_follow_on_another_node_in_the_order_of_commits() {
    let home = Home::new();
    let one = home.with_strava().await;
    let two = join(&home).store;
    let mut live = two.follow_events();
    let mut ids = Vec::new();
    for number in 0..20 {
        let store = if number % 2 == 0 { &one } else { &two };
        ids.push(import(store, &format!("user-{number}"), "one").await);
    }
    for id in ids {
        let event = live.recv().await.unwrap();
        assert_eq!(event.connection.as_ref(), Some(&id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_of_one_node_is_waited_for_on_the_other_and_told_when_it_ends() {
    let home = Home::new();
    let one = home.with_strava().await;
    let two = join(&home).store;
    let id = import(&one, "ann", "one").await;
    let leased = claim(&one, &id, now()).await;
    let watch = two.watch(&id);
    let Claim::Busy { owner, .. } = two.claim(&id, now(), LEASE).await.unwrap() else { panic!("two leases") };
    assert_eq!(owner.as_ref(), Some(one.node()));
    one.commit_success(&leased.source(), success(&attempt(), "two"), now()).await.unwrap();
    watch.changed().await;
    assert_eq!(access(&two, &two.token_record(&id, true).await.unwrap().unwrap()), "access-token-two");
    let leased = claim(&one, &id, now()).await;
    one.release(leased, None).await.unwrap();
    watch.changed().await;
    assert!(matches!(two.claim(&id, now(), LEASE).await.unwrap(), Claim::Leased(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_says_good_bye_and_a_folder_that_has_put_its_answers_in_free_their_leases_and_no_others() {
    let home = Home::new();
    let one = home.with_strava().await;
    let two = join(&home);
    let (first, second) = (import(&one, "ann", "one").await, import(&one, "bob", "two").await);
    let (third, fourth) = (import(&one, "cyd", "three").await, import(&one, "dan", "four").await);
    claim(&one, &first, now()).await;
    claim(&two.store, &second, now()).await;
    claim(&two.store, &fourth, now()).await;
    // The same folder again, without a good-bye: as after a kill.
    let mut options = home.options();
    options.data_dir = two.folder.path().to_owned();
    let refused = Store::open(&options, entropy(), now());
    assert!(matches!(refused, Err(OpenError::InUse { .. })), "one process on a folder");
    let three = join(&home).store;
    assert!(matches!(three.claim(&second, now(), LEASE).await.unwrap(), Claim::Busy { .. }), "a start takes nothing");
    let place = std::fs::read_to_string(two.folder.path().join("evergrant.lock")).unwrap();
    let again = tempfile::tempdir().unwrap();
    std::fs::write(again.path().join("evergrant.lock"), place).unwrap();
    options.data_dir = again.path().to_owned();
    options.node = node();
    let again = Store::open(&options, entropy(), now()).unwrap();
    assert!(matches!(three.claim(&first, now(), LEASE).await.unwrap(), Claim::Busy { .. }));
    // Others would send again what the journal of that folder may have an answer for.
    assert!(matches!(three.claim(&second, now(), LEASE).await.unwrap(), Claim::Busy { .. }));
    let leased = again.claim_again(&second, now(), LEASE).await.unwrap().expect("it is there");
    assert!(leased.fence > 0, "the lease of an earlier process of the folder is the folder's");
    again.release(*leased, None).await.unwrap();
    // Under another node's lease a grant is stored by its generation, and a verdict is not.
    let unleased = again.claim_again(&first, now(), LEASE).await.unwrap().expect("it is there");
    let life = unleased.connection.life.clone();
    let verdict = VerdictCommit { outcome: None, life, next_at: None, notices: Vec::new(), events: Vec::new() };
    let judged = again.commit_verdict(&unleased, verdict, now()).await.unwrap();
    assert!(matches!(judged, VerdictCommitted::FenceLost), "{judged:?}");
    let stored = again.commit_success(&unleased.source(), success(&attempt(), "late"), now()).await.unwrap();
    assert!(matches!(stored, Committed::Stored { .. }), "{stored:?}");
    assert!(matches!(three.claim(&first, now(), LEASE).await.unwrap(), Claim::Busy { .. }), "the lease stays");
    claim(&again, &third, now()).await;
    again.clear_up_behind_the_former().await.unwrap();
    assert!(matches!(three.claim(&second, now(), LEASE).await.unwrap(), Claim::Leased(_)));
    assert!(matches!(three.claim(&fourth, now(), LEASE).await.unwrap(), Claim::Leased(_)));
    assert!(matches!(three.claim(&third, now(), LEASE).await.unwrap(), Claim::Busy { .. }));
    one.close().await;
    assert!(matches!(three.claim(&first, now(), LEASE).await.unwrap(), Claim::Leased(_)));
    again.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_go_by_the_databases_clock_whatever_the_clocks_of_the_nodes_show() {
    let home = Home::new();
    let open = |folder: &TempDir| {
        let mut options = home.options();
        options.data_dir = folder.path().to_owned();
        (options.database_clock, options.node) = (true, node());
        Store::open(&options, entropy(), now()).unwrap()
    };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (one, two) = (open(&folders[0]), open(&folders[1]));
    one.add_integration(integration("strava"), Report::default()).await.unwrap();
    let id = import(&one, "ann", "one").await;
    let leased = claim(&one, &id, now()).await;
    assert_eq!(leased.until, after(120), "told by the clock of whoever asks");
    assert_eq!(one.mark_sending(&leased, &attempt(), now(), LEASE).await.unwrap(), Gate::Open);
    // Ten minutes ahead, and ten minutes behind: the lease is as long as it is.
    for skewed in [after(600), now().minus(Duration::from_secs(600))] {
        let Claim::Busy { until, sending_since, .. } = two.claim(&id, skewed, LEASE).await.unwrap() else {
            panic!("a second lease at {skewed}")
        };
        let left = until.since(skewed);
        assert!(left > Duration::from_secs(60) && left <= LEASE, "{left:?}");
        assert!(skewed.since(sending_since.unwrap()) < Duration::from_secs(60));
        assert!(two.claim_due(after(36_000), LEASE, 10, &[]).await.unwrap().is_empty());
        assert!(two.due(after(36_000), &[], 10).await.unwrap().is_empty());
    }
    let short = Duration::from_millis(1);
    one.release(leased, None).await.unwrap();
    claim(&two, &id, after(600)).await;
    two.close().await;
    let Claim::Leased(_) = one.claim(&id, now(), short).await.unwrap() else { panic!("it was let go of") };
    assert!(!matches!(one.force(&id, now(), LEASE).await.unwrap(), Forced::Gone));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_lease_was_taken_over_changes_nothing_by_a_verdict_and_keeps_its_late_grant() {
    let home = Home::new();
    let one = home.with_strava().await;
    let two = join(&home).store;
    let id = import(&one, "ann", "one").await;
    let slow = claim(&one, &id, now()).await;
    let late = attempt();
    assert_eq!(one.mark_sending(&slow, &late, now(), LEASE).await.unwrap(), Gate::Open);
    let quick = claim(&two, &id, after(120)).await;
    assert_eq!(quick.open_intent.as_ref().unwrap().node.as_ref(), Some(one.node()));
    assert_eq!(one.mark_sending(&slow, &attempt(), after(121), LEASE).await.unwrap(), Gate::FenceLost);
    two.commit_success(&quick.source(), success(&attempt(), "two"), after(122)).await.unwrap();
    let life = record(&one, &id).await.connection.life.clone();
    let verdict = VerdictCommit { outcome: None, life, next_at: None, notices: Vec::new(), events: Vec::new() };
    let passed = one.commit_verdict(&slow, verdict, after(123)).await.unwrap();
    assert!(matches!(passed, VerdictCommitted::FenceLost), "{passed:?}");
    let committed = one.commit_success(&slow.source(), success(&late, "late"), after(124)).await.unwrap();
    assert!(matches!(committed, Committed::Superseded { .. }), "{committed:?}");
    assert_eq!(access(&two, &two.token_record(&id, true).await.unwrap().unwrap()), "access-token-two");
    assert_eq!(two.spares(&id).await.unwrap().len(), 1);
}
