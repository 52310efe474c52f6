//! What only a server can be: gone for a while, too old, somebody else's.

use evergrant_store::refresh::{Committed, RefreshedFrom};
use evergrant_store::{OpenError, Store, StoreError, Trouble};

use super::support::*;

#[tokio::test]
async fn a_schema_that_is_newer_than_the_binary_is_refused() {
    let home = Home::new();
    home.open().close().await;
    home.alter("UPDATE turn SET schema = 99, writes_from = 99");
    let error = home.try_open().unwrap_err();
    assert!(matches!(error, OpenError::SchemaNewer { found: 99, .. }), "{error}");
    assert!(error.to_string().contains("later version"), "{error}");
}

#[tokio::test]
async fn tables_of_another_program_are_refused_and_left_alone() {
    let home = Home::new();
    home.alter("CREATE TABLE somebodys (id BIGINT)");
    let error = home.try_open().unwrap_err();
    assert!(matches!(error, OpenError::NotOurs { .. }), "{error}");
    assert_eq!(home.number("SELECT COUNT(*) FROM pg_tables WHERE schemaname = current_schema()"), 1);
}

#[tokio::test]
async fn an_empty_database_beside_a_journal_is_not_filled() {
    let home = Home::new();
    home.open().close().await;
    let other = Home::new();
    let mut options = home.options();
    options.database = other.options().database;
    let error = Store::open(&options, entropy(), now()).unwrap_err();
    assert!(matches!(error, OpenError::DatabaseMissing { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_named_without_its_password() {
    let home = Home::new();
    let mut options = home.options();
    let nowhere = "postgres://ann:secret@127.0.0.1:1/grants";
    options.database = evergrant_store::DatabaseServer::parse(nowhere).unwrap().into();
    let error = Store::open(&options, entropy(), now()).unwrap_err();
    assert!(matches!(error, OpenError::Unavailable { trouble: Trouble::Unreachable, .. }), "{error}");
    assert!(error.to_string().contains("127.0.0.1:1/grants") && !error.to_string().contains("secret"), "{error}");
}

/// Makes every transaction that changes `lives` end its own connection when it commits.
const DEADLY: &str = "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS \
     'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'; \
     CREATE CONSTRAINT TRIGGER deadly AFTER UPDATE ON lives DEFERRABLE INITIALLY DEFERRED \
     FOR EACH ROW EXECUTE FUNCTION die()";

#[tokio::test]
async fn a_commit_whose_connection_broke_before_it_held_changed_nothing_and_can_be_repeated() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = import(&store, "ann", "one").await;
    home.on_server(|raw| raw.batch_execute(DEADLY));
    let (from, commit) = (RefreshedFrom::journalled(id.clone(), 1), success(&attempt(), "two"));
    let error = store.commit_success(&from, commit.clone(), now()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { trouble: Trouble::Unreachable, .. }), "{error}");
    assert_eq!(access(&store, &record(&store, &id).await), "access-token-one");
    home.on_server(|raw| raw.batch_execute("DROP TRIGGER deadly ON lives"));
    store.commit_success(&from, commit, now()).await.unwrap();
    assert_eq!(access(&store, &record(&store, &id).await), "access-token-two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_connection_broke_after_it_held_is_answered_as_one_that_held() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = import(&store, "ann", "one").await;
    // A standby that does not exist: from now on a commit is on the disk, but nobody is told.
    let standby = |name: &str| {
        home.on_server(|raw| {
            raw.execute(&format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'"), &[])?;
            raw.execute("SELECT pg_reload_conf()", &[])
        })
    };
    standby("nobody");
    let (from, commit) = (RefreshedFrom::journalled(id.clone(), 1), success(&attempt(), "two"));
    let committing = store.clone();
    let mut under_way = tokio::task::JoinSet::new();
    under_way.spawn(async move { committing.commit_success(&from, commit, now()).await });
    let waiting = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND pid IN \
                   (SELECT pid FROM pg_locks JOIN pg_class ON pg_class.oid = relation WHERE relname = 'turn' \
                   AND relnamespace = current_schema()::regnamespace)";
    while home.number(waiting) == 0 {
        tokio::task::yield_now().await;
    }
    standby("");
    let committed = under_way.join_next().await.unwrap().unwrap().unwrap();
    assert!(matches!(committed, Committed::Stored { .. }), "{committed:?}");
    assert_eq!(access(&store, &record(&store, &id).await), "access-token-two");
    store.check(now()).await.unwrap();
}

#[tokio::test]
async fn a_character_that_the_server_cannot_keep_costs_no_grant() {
    let home = Home::new();
    let store = home.with_strava().await;
    let mut new = new_grant("ann", "one");
    new.label = Some("a\0b".to_owned());
    store.create_or_replace(new, fresh, now()).await.unwrap();
    let label = "SELECT COUNT(*) FROM connections WHERE label = 'a' || chr(65533) || 'b'";
    assert_eq!(home.number(label), 1);
}
