//! Opening: what is checked before anything is served, and what each refusal says.

use evergrant_store::{MasterKey, OpenError};

use super::support::*;

#[tokio::test]
async fn what_was_stored_is_there_after_a_restart() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = import(&store, "user-1", "one").await;
    let (installation, mark) = (store.installation().clone(), store.fingerprint("user-1"));
    store.close().await;
    let store = home.open();
    assert_eq!(access(&store, &record(&store, &id).await), "access-token-one");
    assert_eq!((store.installation(), store.fingerprint("user-1")), (&installation, mark));
    let strava = store.integration(&name("strava")).unwrap();
    assert_eq!(strava.client_secrets[0].secret.expose(), "client-secret-mark");
    assert_eq!(store.status_counts(&name("strava")).connected, 1);
}

#[tokio::test]
async fn a_second_process_on_the_folder_is_refused() {
    let home = Home::new();
    let store = home.open();
    assert!(matches!(home.try_open(), Err(OpenError::InUse { .. })));
    store.close().await;
    assert!(home.try_open().is_ok());
}

#[tokio::test]
async fn a_wrong_master_key_is_refused_by_name_and_changes_nothing() {
    let home = Home::new();
    home.with_strava().await.close().await;
    let canary = "SELECT value FROM meta WHERE name = 'canary'";
    let before = home.bytes(canary);
    let mut options = home.options();
    options.master_key = MasterKey::from_hex(&MASTER.replace('0', "f")).unwrap();
    let error = evergrant_store::Store::open(&options, entropy(), now()).unwrap_err();
    assert!(matches!(error, OpenError::WrongMasterKey { .. }), "{error}");
    let right = MasterKey::from_hex(MASTER).unwrap().fingerprint();
    assert!(error.to_string().contains(&right), "{error}");
    assert_eq!(home.bytes(canary), before);
    assert!(home.journal().exists());
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let home = Home::new();
    let mut options = home.options();
    options.data_dir = "/dev/null/evergrant".into();
    let error = evergrant_store::Store::open(&options, entropy(), now()).unwrap_err();
    assert!(matches!(error, OpenError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("/dev/null/evergrant"), "{error}");
}
