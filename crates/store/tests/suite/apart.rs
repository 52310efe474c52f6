//! Nodes of one database that start together, stop, are cut off or fall behind, and what each of them keeps for itself.

use std::time::Duration;

use evergrant_store::{AuditCheck, Report, Retention, Store, StoreError, TokenRead, Trouble};

use super::nodes::{Node, join, try_join, until};
use super::support::*;

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
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
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

#[tokio::test(flavor = "multi_thread")]
async fn each_node_has_a_log_of_reads_of_its_own_and_both_hold_beside_one_audit_log() {
    let home = Home::new();
    let one = home.with_strava().await;
    let Node { store: two, folder: _folder } = join(&home);
    let id = import(&one, "ann", "one").await;
    for (number, store) in [(1, &one), (2, &two), (3, &one), (4, &two)] {
        for _ in 0..3 {
            let read = TokenRead {
                at: after(number),
                actor: format!("key:{number}"),
                connection: id.clone(),
                token_id: "0a1b2c3d".to_owned(),
                request_id: format!("req_{number}"),
            };
            store.log_read(&read).await.unwrap();
        }
        store.clean_up(Retention::default(), after(number)).await.unwrap();
    }
    for store in [&one, &two] {
        assert!(matches!(store.check_reads().await.unwrap(), AuditCheck::Whole { .. }), "{:?}", store.check_reads().await);
        assert!(matches!(store.check_audit().await.unwrap(), AuditCheck::Whole { .. }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_erased_at_one_node_is_erased_from_the_journal_of_the_other() {
    let home = Home::new();
    let one = home.with_strava().await;
    let Node { store: two, folder: _folder } = join(&home);
    let id = import(&one, "ann", "one").await;
    let entry = answer(&id, 1, "body");
    two.journal().append(&entry).await.unwrap();
    one.erase_subject(&"ann".parse().unwrap(), |_, _| false, None, now()).await.unwrap();
    until(async || {
        two.erase_what_others_erased().await.unwrap();
        two.journal().since(now()).unwrap().is_empty().then_some(())
    })
    .await;
}
