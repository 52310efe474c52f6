//! Several nodes on one database: what one commits counts on the others, and what one holds no other takes.

use std::time::Duration;

use evergrant_store::refresh::{Claim, Committed, Forced, Gate, VerdictCommit, VerdictCommitted};
use evergrant_store::{ApiKey, OpenError, Report, Store, StoreError, Trouble};
use tempfile::TempDir;

use super::support::*;

/// Another node on the same database, on a data folder of its own.
struct Node {
    store: Store,
    folder: TempDir,
}

fn try_join(home: &Home) -> (TempDir, Result<Store, OpenError>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = home.options();
    options.data_dir = folder.path().to_owned();
    let opened = Store::open(&options, entropy(), now());
    (folder, opened)
}

fn join(home: &Home) -> Node {
    let (folder, store) = try_join(home);
    Node { store: store.expect("it opens"), folder }
}

/// Waits until something holds, which is bounded by the length of the test.
async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
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
async fn a_node_that_says_good_bye_and_a_folder_that_starts_again_free_their_leases_and_no_others() {
    let home = Home::new();
    let one = home.with_strava().await;
    let two = join(&home);
    let (first, second) = (import(&one, "ann", "one").await, import(&one, "bob", "two").await);
    claim(&one, &first, now()).await;
    claim(&two.store, &second, now()).await;
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
    assert!(matches!(three.claim(&second, now(), LEASE).await.unwrap(), Claim::Leased(_)));
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

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_start_on_an_empty_database_at_one_moment_both_work() {
    let home = Home::new();
    let both: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..3).map(|_| scope.spawn(|| try_join(&home))).collect();
        starts.into_iter().map(|start| start.join().expect("it ends")).collect()
    });
    assert_eq!(home.number("SELECT COUNT(*) FROM data_keys"), 1);
    let stores: Vec<_> = both.into_iter().map(|(folder, opened)| (folder, opened.expect("it opens"))).collect();
    stores[0].1.add_integration(integration("strava"), Report::default()).await.unwrap();
    until(async || stores[1].1.integration(&name("strava"))).await;
    let id = import(&stores[1].1, "ann", "one").await;
    assert_eq!(access(&stores[2].1, &record(&stores[2].1, &id).await), "access-token-one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_data_key_and_a_rotation_on_one_node_open_at_once_on_the_other() {
    let home = Home::new();
    let worn = |folder: &std::path::Path| {
        let mut options = home.options();
        (options.data_dir, options.node, options.data_key_sealings) = (folder.to_owned(), node(), 12);
        Store::open(&options, entropy(), now()).unwrap()
    };
    let other = tempfile::tempdir().unwrap();
    let (one, two) = (worn(home.folder.path()), worn(other.path()));
    one.add_integration(integration("strava"), Report::default()).await.unwrap();
    until(async || two.integration(&name("strava"))).await;
    for number in 0..20 {
        let (seals, opens) = if number % 3 == 0 { (&two, &one) } else { (&one, &two) };
        let id = import(seals, &format!("user-{number}"), &number.to_string()).await;
        let read = record(opens, &id).await;
        assert_eq!(access(opens, &read), format!("access-token-{number}"));
    }
    assert!(home.number("SELECT COUNT(*) FROM data_keys") > 2);
    let new = evergrant_store::MasterKey::from_hex(&"ab".repeat(32)).unwrap();
    one.rotate_master_key(new.clone(), None, now()).await.unwrap();
    let id = import(&one, "after", "rotation").await;
    assert_eq!(access(&two, &record(&two, &id).await), "access-token-rotation");
    let id = import(&two, "from-two", "other").await;
    assert_eq!(access(&one, &record(&one, &id).await), "access-token-other");
    // Only a node that holds the present key may make another one.
    let error = two.rotate_master_key(new, None, now()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { trouble: Trouble::KeyChanged, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_in_the_middle_of_a_group_holds_nobody_up_for_long() {
    let home = Home::new();
    let store = home.with_strava().await;
    // What a stopped process is to the server: a session of the writer's settings that took the turn and says nothing more.
    let held = home.on_server(|raw| {
        raw.batch_execute("SET idle_in_transaction_session_timeout = '1500ms'; BEGIN")?;
        raw.execute("UPDATE turn SET seq = seq + 1 WHERE one = 1", &[])?;
        let began = std::time::Instant::now();
        let waiting = std::thread::scope(|scope| {
            let write = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
                runtime.block_on(import(&store, "ann", "one"))
            });
            write.join().map(|_| began.elapsed())
        });
        Ok(waiting.expect("it is stored"))
    });
    assert!(held > Duration::from_millis(1000) && held < Duration::from_secs(5), "{held:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_on_when_all_connections_are_cut_again_and_again() {
    let home = Home::in_a_database();
    let one = home.with_strava().await;
    let two = join(&home).store;
    for number in 0..5 {
        let cut = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() \
                   AND datname = current_database()";
        home.number(cut);
        let subject = format!("user-{number}");
        let id = until(async || match one.create_or_replace(new_grant(&subject, "one"), fresh, now()).await {
            Ok(placed) => Some(placed),
            Err(error) => {
                assert!(error.is_passing(), "{error}");
                None
            }
        })
        .await;
        drop(id);
    }
    until(async || (two.status_counts(&name("strava")).connected == 5).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hears_nothing_of_the_others_trusts_nothing_until_he_does_again() {
    let home = Home::new();
    let mut options = home.options();
    options.cache_grace = Duration::from_millis(800);
    let store = Store::open(&options, entropy(), now()).unwrap();
    store.add_integration(integration("strava"), Report::default()).await.unwrap();
    let id = import(&store, "ann", "one").await;
    assert!(store.is_trusted());
    home.alter("ALTER TABLE changes RENAME TO elsewhere");
    until(async || (!store.is_trusted()).then_some(())).await;
    assert!(!store.nodes().unwrap().trusted);
    // What is read from the database itself is true.
    assert_eq!(access(&store, &record(&store, &id).await), "access-token-one");
    home.alter("ALTER TABLE elsewhere RENAME TO changes");
    until(async || store.is_trusted().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_fell_behind_what_is_still_told_reads_everything_anew() {
    let home = Home::new();
    let one = home.with_strava().await;
    let two = join(&home).store;
    let id = import(&one, "ann", "one").await;
    assert_eq!(access(&two, &record(&two, &id).await), "access-token-one");
    // As if it had been told and erased long ago.
    home.alter("UPDATE grants SET generation = generation");
    home.on_server(|raw| {
        raw.batch_execute(
            "BEGIN; UPDATE turn SET seq = seq + 5, erased = seq + 5; UPDATE integrations SET client_id = 'another'; COMMIT",
        )
    });
    until(async || two.integration(&name("strava")).filter(|one| one.client_id == "another")).await;
    assert_eq!(access(&two, &record(&two, &id).await), "access-token-one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_a_version_that_may_not_write_any_more_says_so_and_writes_nothing() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = import(&store, "ann", "one").await;
    home.alter("UPDATE turn SET schema = 99, writes_from = 99");
    let error = store.create_or_replace(new_grant("bob", "two"), fresh, now()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { trouble: Trouble::Outdated, .. }), "{error}");
    assert_eq!(access(&store, &record(&store, &id).await), "access-token-one", "what it holds is still handed out");
    home.alter("UPDATE turn SET schema = 99, writes_from = 3");
    import(&store, "bob", "two").await;
    let later = join(&home).store;
    assert_eq!(access(&later, &record(&later, &id).await), "access-token-one", "a step that older ones may write beside");
}
