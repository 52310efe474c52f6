//! Sealing at rest: what a thief finds, and what somebody who can write the database achieves.

use std::path::Path;

use base64::Engine as _;
use evergrant_core::id::{ConnectSessionId, ConnectionId};
use evergrant_store::connect::NewSession;
use evergrant_store::refresh::RefreshedFrom;
use evergrant_store::{MasterKey, OpenError, Placed, Store, StoreError, TokenRead};

use super::support::*;

async fn refused(home: &Home, id: &ConnectionId) {
    let store = home.open();
    let record = record(&store, id).await;
    let error = store.open_grant(&record).expect_err("it does not open");
    assert!(matches!(&error, StoreError::Corrupt { table: "grants", .. }), "{error}");
    assert!(error.to_string().contains(id.as_str()) && !error.to_string().contains("token-"), "{error}");
    assert!(matches!(store.claim(id, now(), LEASE).await, Err(StoreError::Corrupt { .. })));
    assert_eq!(record.connection.life.status.word(), "connected", "damage is no verdict");
    let due = store.claim_due(after(3599), LEASE, 10, &[]).await.expect("a claim");
    assert!(due.iter().all(|leased| leased.connection.id != *id), "it is left alone for an hour");
    store.close().await;
}

/// Changes the database behind the store's back.
fn tamper(home: &Home, statement: &str) {
    assert!(home.alter(statement) > 0, "{statement}");
}

/// Puts bytes into the place of a sealed access token.
fn put(home: &Home, id: &ConnectionId, bytes: &[u8]) {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    tamper(home, &format!("UPDATE grants SET access_token = x'{hex}' WHERE connection_id = '{id}'"));
}

async fn two_connections(home: &Home) -> (ConnectionId, ConnectionId) {
    let store = home.with_strava().await;
    let (first, second) = (import(&store, "ann", "one").await, import(&store, "bob", "two").await);
    store.close().await;
    (first, second)
}

#[tokio::test]
async fn a_ciphertext_that_was_moved_to_another_row_does_not_open() {
    let home = Home::new();
    let (first, second) = two_connections(&home).await;
    tamper(
        &home,
        &format!(
            "UPDATE grants SET access_token = (SELECT access_token FROM grants WHERE connection_id = '{first}') \
             WHERE connection_id = '{second}'"
        ),
    );
    refused(&home, &second).await;
}

#[tokio::test]
async fn a_ciphertext_that_was_moved_to_another_column_does_not_open() {
    let home = Home::new();
    let (first, _) = two_connections(&home).await;
    tamper(&home, &format!("UPDATE grants SET access_token = refresh_token WHERE connection_id = '{first}'"));
    refused(&home, &first).await;
}

#[tokio::test]
async fn an_older_ciphertext_that_was_put_back_does_not_open() {
    let home = Home::new();
    let (first, _) = two_connections(&home).await;
    let old = home.bytes(&format!("SELECT access_token FROM grants WHERE connection_id = '{first}'"));
    let store = home.open();
    store
        .commit_success(&RefreshedFrom::journalled(first.clone(), 1), success(&attempt(), "new"), now())
        .await
        .unwrap();
    store.close().await;
    put(&home, &first, &old);
    tamper(&home, &format!("UPDATE lives SET next_at = 0 WHERE connection_id = '{first}'"));
    tamper(&home, &format!("DELETE FROM connections WHERE id <> '{first}'"));
    refused(&home, &first).await;
}

#[tokio::test]
async fn every_flipped_bit_and_every_cut_is_refused() {
    let home = Home::new();
    let (first, _) = two_connections(&home).await;
    let whole = home.bytes(&format!("SELECT access_token FROM grants WHERE connection_id = '{first}'"));
    let store = home.open();
    let flips = (0..whole.len()).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        bytes
    });
    let cuts = (0..whole.len()).map(|length| whole[..length].to_vec());
    for bytes in flips.chain(cuts) {
        put(&home, &first, &bytes);
        let record = store.token_record(&first, true).await.unwrap().unwrap();
        assert!(matches!(store.open_access_token(&record), Err(StoreError::Corrupt { .. })));
    }
    put(&home, &first, &whole);
    let record = store.token_record(&first, true).await.unwrap().unwrap();
    assert_eq!(access(&store, &record), "access-token-one");
}

#[tokio::test]
async fn a_damaged_canary_is_told_from_a_wrong_key() {
    let home = Home::new();
    two_connections(&home).await;
    tamper(&home, "UPDATE meta SET value = x'01' WHERE name = 'canary'");
    assert!(matches!(home.try_open(), Err(OpenError::KeyRingDamaged { .. })));
    tamper(&home, "UPDATE data_keys SET wrapped = x'00'");
    assert!(matches!(home.try_open(), Err(OpenError::KeyRingDamaged { .. })));
    let mut options = home.options();
    options.master_key = MasterKey::from_hex(&"ab".repeat(32)).unwrap();
    let error = Store::open(&options, entropy(), now()).unwrap_err();
    assert!(matches!(error, OpenError::WrongMasterKey { .. }), "{error}");
}

#[tokio::test]
async fn a_worn_out_data_key_is_followed_by_a_new_one_and_both_open() {
    let home = Home::new();
    let mut options = home.options();
    options.data_key_sealings = 10;
    let store = Store::open(&options, entropy(), now()).unwrap();
    store.add_integration(integration("strava"), evergrant_store::Report::default()).await.unwrap();
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(import(&store, &format!("user-{number}"), &number.to_string()).await);
    }
    store.close().await;
    let keys = home.number("SELECT COUNT(*) FROM data_keys");
    assert!(keys >= 3, "{keys} data keys");
    let store = home.open();
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(access(&store, &record(&store, id).await), format!("access-token-{number}"));
    }
}

/// Everything that the store keeps is in this folder; none of it shows a secret.
#[tokio::test]
async fn no_secret_lies_in_the_clear_in_any_file() {
    let mark = |what: &str| format!("mark{what}Zq7vX3");
    let home = Home::new();
    let store = home.with_strava().await;
    let mut new = new_grant("user-1", &mark("Import"));
    new.account = Some(account("athlete"));
    let Placed::Created(record) = store.create_or_replace(new, fresh, now()).await.unwrap() else { panic!() };
    let id = record.connection.id.clone();
    let entry = answer(&id, 1, &mark("Body"));
    store.journal().append(&entry).await.unwrap();
    let from = RefreshedFrom::journalled(id.clone(), 1);
    store.commit_success(&from, success(&attempt(), &mark("Refresh")), now()).await.unwrap();
    store.commit_success(&from, success(&attempt(), &mark("Spare")), now()).await.unwrap();
    let session = NewSession {
        id: ConnectSessionId::make(now(), random()),
        link_hash: [1; 32],
        payload: mark("Session").into_bytes().into(),
        subject: None,
        connection: None,
        expires_at: after(60),
    };
    let session_id = session.id.clone();
    store.create_session(session, None, now()).await.unwrap();
    store.park_code(&session_id, [2; 32], mark("Code").into_bytes().into(), after(60)).await.unwrap();
    store
        .put_pending(&session_id, &attempt(), (grant(&mark("Pending")), Vec::new()), mark("Document"), now())
        .await
        .unwrap();
    store.begin_idempotent("key:1", "once", [3; 32], now(), after(60)).await.unwrap();
    store.finish_idempotent("key:1", "once", mark("Answer").into_bytes().into()).await.unwrap();
    store.disconnect(&id, ended(true), None, now()).await.unwrap();
    let read = TokenRead {
        at: now(),
        actor: "key:1".to_owned(),
        connection: id.clone(),
        token_id: "0a1b2c3d".to_owned(),
        request_id: "req-1".to_owned(),
    };
    store.log_read(&read).await.unwrap();
    let secrets = ["Import", "Body", "Refresh", "Spare", "Session", "Code", "Pending", "Document", "Answer"].map(mark);
    let forms: Vec<Vec<u8>> =
        secrets.iter().map(String::as_str).chain(["client-secret-mark"]).flat_map(forms).collect();
    // While it is open, the write-ahead log holds what the database does not yet.
    assert_eq!(scan(home.folder.path(), &forms), 0);
    store.close().await;
    assert_eq!(scan(home.folder.path(), &forms), 0);
    std::fs::write(home.folder.path().join("planted"), format!("xx{}xx", mark("Body"))).unwrap();
    assert_eq!(scan(home.folder.path(), &forms), 1, "the search finds what is there");
}

fn forms(secret: &str) -> Vec<Vec<u8>> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let base64 = base64::engine::general_purpose::STANDARD_NO_PAD;
    let mut all = vec![secret.as_bytes().to_vec(), hex.into_bytes()];
    // A text within a longer one shows in three ways, by where it begins.
    for before in 0..3 {
        let encoded = base64.encode(format!("{}{secret}", "x".repeat(before)));
        all.push(encoded.as_bytes()[4 * usize::from(before > 0)..encoded.len() - 2].to_vec());
    }
    all
}

fn scan(folder: &Path, forms: &[Vec<u8>]) -> usize {
    let mut found = 0;
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found += scan(&path, forms);
            continue;
        }
        let bytes = std::fs::read(&path).expect("the file");
        found += forms.iter().filter(|form| bytes.windows(form.len()).any(|window| window == form.as_slice())).count();
    }
    found
}

#[tokio::test]
async fn what_was_sealed_before_a_rotation_opens_after_it_and_is_sealed_again() {
    let home = Home::new();
    let store = home.with_strava().await;
    let (first, second) = (import(&store, "ann", "one").await, import(&store, "bob", "two").await);
    let entry = answer(&first, 1, "an answer");
    store.journal().append(&entry).await.unwrap();
    let (links, shown) = (store.derived_key("links").unwrap(), store.fingerprint("a token"));
    let new = MasterKey::from_hex(&"5a".repeat(32)).unwrap();
    store.rotate_master_key(new.clone(), None, now()).await.unwrap();
    assert_eq!(store.master_key_fingerprint(), new.fingerprint());
    assert_eq!(access(&store, &record(&store, &first).await), "access-token-one");
    assert_eq!(store.journal().uncommitted().len(), 1);
    // One part is done, and the process ends.
    let part = store.reseal_part(evergrant_store::Resealed::default()).await.unwrap().unwrap();
    assert_eq!(part.rows, 2);
    store.close().await;

    assert!(matches!(home.try_open(), Err(OpenError::WrongMasterKey { .. })));
    let options = evergrant_store::OpenOptions { master_key: new, ..home.options() };
    let store = Store::open(&options, entropy(), now()).unwrap();
    assert_eq!(store.journal().uncommitted()[0].entry.body, entry.body);
    assert_eq!(access(&store, &record(&store, &second).await), "access-token-two");
    assert_eq!((store.derived_key("links").unwrap(), store.fingerprint("a token")), (links, shown));
    assert!(store.has_old_seals().await.unwrap());
    let (mut part, mut rows) = (evergrant_store::Resealed::default(), 0);
    while let Some(next) = store.reseal_part(part).await.unwrap() {
        (rows, part) = (next.rows, next);
    }
    assert!(rows == 1 && !store.has_old_seals().await.unwrap(), "the integration's secrets were left: {rows}");
}
