//! What only a file can be: truncated, moved, somebody else's.

use evergrant_store::OpenError;

use super::support::*;

#[tokio::test]
async fn what_is_no_database_of_ours_is_refused_and_left_alone() {
    let home = Home::new();
    let garbage = vec![0x5a; 8192];
    std::fs::write(home.database(), &garbage).unwrap();
    let error = home.try_open().unwrap_err();
    assert!(matches!(error, OpenError::NotOurs { .. }), "{error}");
    assert!(std::fs::read(home.database()).unwrap() == garbage);
    std::fs::remove_file(home.database()).unwrap();
    let raw = rusqlite::Connection::open(home.database()).unwrap();
    raw.execute_batch("CREATE TABLE somebodys (id INTEGER)").unwrap();
    drop(raw);
    let error = home.try_open().unwrap_err();
    assert!(matches!(error, OpenError::NotOurs { .. }), "{error}");
}

#[tokio::test]
async fn a_truncated_database_is_refused() {
    let home = Home::new();
    home.with_strava().await.close().await;
    let whole = std::fs::read(home.database()).unwrap();
    for length in [100, 4096, whole.len() / 2] {
        std::fs::write(home.database(), &whole[..length]).unwrap();
        let error = home.try_open().unwrap_err();
        assert!(matches!(error, OpenError::NotOurs { .. }), "{length}: {error:?}");
    }
    std::fs::write(home.database(), &whole).unwrap();
    assert!(home.try_open().is_ok());
}

#[tokio::test]
async fn a_database_that_is_missing_beside_its_journal_is_not_made_anew() {
    let home = Home::new();
    home.open().close().await;
    std::fs::rename(home.database(), home.folder.path().join("moved.db")).unwrap();
    let error = home.try_open().unwrap_err();
    assert!(matches!(error, OpenError::DatabaseMissing { .. }), "{error}");
    assert!(!home.database().exists());
}

#[tokio::test]
async fn what_durability_needs_is_set() {
    let home = Home::new();
    let store = home.with_strava().await;
    store.check(now()).await.unwrap();
    let raw = rusqlite::Connection::open(home.database()).unwrap();
    let mode: String = raw.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    assert!(rusqlite::version_number() >= 3_051_003, "older ones can corrupt the log");
    let tables: i64 = raw
        .query_row("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert!(tables < 24, "{tables} tables");
    use std::os::unix::fs::PermissionsExt as _;
    for file in [home.database(), home.journal().join("journal-0001.seg")] {
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0, "{}", file.display());
    }
    store.close().await;
    let error = store.check(now()).await.unwrap_err();
    assert!(error.is_passing(), "{error}");
}

#[tokio::test]
async fn a_schema_that_is_newer_than_the_binary_is_refused() {
    let home = Home::new();
    home.open().close().await;
    let raw = rusqlite::Connection::open(home.database()).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    let error = home.try_open().unwrap_err();
    assert!(matches!(error, OpenError::SchemaNewer { found: 99, .. }), "{error}");
    assert!(error.to_string().contains("later version"), "{error}");
}
