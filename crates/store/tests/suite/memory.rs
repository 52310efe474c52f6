//! What is kept in memory never shows what is no longer so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use evergrant_core::connection::{LastUse, UseOutcome};
use evergrant_store::refresh::RefreshedFrom;
use evergrant_store::{ApiKey, ConnectionPatch, Ended, IntegrationReplaced, KeyAdded, Patched, Report, Store};

use super::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_read_after_an_answered_commit_sees_at_least_that_commit() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = import(&store, "user-1", "1").await;
    let (answered, over) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicBool::new(false)));
    let mut readers = tokio::task::JoinSet::new();
    for reader in 0..4 {
        let (store, id, answered, over) = (store.clone(), id.clone(), answered.clone(), over.clone());
        readers.spawn(async move {
            let mut reads = 0u64;
            while !over.load(Ordering::Relaxed) {
                let at_least = answered.load(Ordering::SeqCst);
                let record = store.token_record(&id, reader == 0).await.unwrap().unwrap();
                let generation = record.connection.life.generation();
                assert!(generation >= at_least, "{generation} was read after {at_least} had been answered");
                assert_eq!(access(&store, &record), format!("access-token-{generation}"));
                reads += 1;
                tokio::task::yield_now().await;
            }
            reads
        });
    }
    for generation in 1..300u64 {
        let from = RefreshedFrom::journalled(id.clone(), generation);
        let next = (generation + 1).to_string();
        store.commit_success(&from, success(&attempt(), &next), now()).await.unwrap();
        answered.store(generation + 1, Ordering::SeqCst);
    }
    over.store(true, Ordering::Relaxed);
    assert!(readers.join_all().await.iter().all(|reads| *reads > 0));
}

#[tokio::test]
async fn every_change_of_a_connection_is_seen_at_once() {
    let home = Home::new();
    let store = home.with_strava().await;
    let owner = (name("strava"), "ann".parse().unwrap());
    assert!(store.connections_by_subject(&owner.0, &owner.1).await.unwrap().is_empty());
    let id = import(&store, "ann", "one").await;
    assert_eq!(store.connections_by_subject(&owner.0, &owner.1).await.unwrap().to_vec(), vec![id.clone()]);
    let patch = ConnectionPatch { label: Some(Some("Bike".to_owned())), metadata: None };
    let version = record(&store, &id).await.connection.version;
    let patched = store.patch_connection(&id, Some(version), patch.clone(), Report::default(), after(1)).await.unwrap();
    assert!(matches!(patched, Patched::Stored(_)));
    let stale = store.patch_connection(&id, Some(version), patch, Report::default(), after(1)).await.unwrap();
    assert!(matches!(stale, Patched::Stale { version: now } if now == version + 1));
    assert_eq!(record(&store, &id).await.connection.label.as_deref(), Some("Bike"));
    let last = LastUse { at: after(2), outcome: UseOutcome::Forbidden };
    assert!(store.record_use(&id, last.clone()).await.unwrap());
    assert_eq!(record(&store, &id).await.connection.last_use, Some(last));
    assert!(matches!(store.disconnect(&id, ended(false), None, after(3)).await.unwrap(), Ended::Now(_)));
    assert!(store.open_grant(store.token_record(&id, false).await.unwrap().unwrap().as_ref()).unwrap().is_none());
    let counts = store.status_counts(&name("strava"));
    assert_eq!((counts.connected, counts.disconnected), (0, 1));
    assert!(matches!(store.disconnect(&id, ended(false), None, after(3)).await.unwrap(), Ended::Before(_)));
    let erased = store.erase_subject(&owner.1, |_, _| true, None, after(4)).await.unwrap();
    assert_eq!((erased.connections, erased.revocations.len()), (1, 0));
    assert!(store.token_record(&id, false).await.unwrap().is_none());
    assert!(store.connections_by_subject(&owner.0, &owner.1).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_cache_stays_within_its_bound_and_what_it_lost_is_read_again() {
    let home = Home::new();
    let mut options = home.options();
    options.cache_bytes = 64 << 10;
    let store = Store::open(&options, entropy(), now()).unwrap();
    store.add_integration(integration("strava"), Report::default()).await.unwrap();
    let mut ids = Vec::new();
    for number in 0..200 {
        ids.push(import(&store, &format!("user-{number}"), &number.to_string()).await);
    }
    assert!(store.cache_weight() <= 64 << 10, "{}", store.cache_weight());
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(access(&store, &record(&store, id).await), format!("access-token-{number}"));
    }
}

#[tokio::test]
async fn a_revoked_key_counts_no_more_from_the_moment_it_is_answered() {
    let home = Home::new();
    let store = home.open();
    let key = ApiKey {
        id: "key_0123456789ab".to_owned(),
        hash: [7; 32],
        environment: "live".to_owned(),
        name: Some("app".to_owned()),
        permissions: vec!["tokens:read".to_owned()],
        integrations: Some([name("strava")].into()),
        created_at: now(),
        expires_at: Some(after(100)),
        revoked_at: None,
    };
    assert_eq!(store.add_api_key(key.clone(), None).await.unwrap(), KeyAdded::Added);
    assert_eq!(store.add_api_key(key.clone(), None).await.unwrap(), KeyAdded::IdTaken);
    assert!(store.api_key(&key.id).unwrap().is_valid(after(99)));
    assert!(!store.api_key(&key.id).unwrap().is_valid(after(100)));
    store.revoke_api_key(&key.id, None, after(5)).await.unwrap().unwrap();
    assert!(!store.api_key(&key.id).unwrap().is_valid(after(6)));
    assert!(store.revoke_api_key("key_none", None, after(5)).await.unwrap().is_none());
    store.close().await;
    let store = home.open();
    assert_eq!(store.api_keys()[0].revoked_at, Some(after(5)));
    assert_eq!(store.api_keys()[0].hash, [7; 32]);
}

#[tokio::test]
async fn an_integration_changes_by_version_and_its_health_has_one_winner() {
    use evergrant_core::integration::Health;
    let home = Home::new();
    let store = home.with_strava().await;
    let strava = store.integration(&name("strava")).unwrap();
    let bad = Health::Misconfigured { since: now(), detail: "invalid_client".to_owned(), next_probe: None };
    let changes = (0..8).map(|_| store.change_health(&strava.name, &Health::Ok, bad.clone(), Report::default(), now()));
    let mut won = 0;
    for change in changes {
        won += usize::from(change.await.unwrap());
    }
    assert_eq!(won, 1);
    assert!(store.integration(&strava.name).unwrap().health.is_misconfigured());
    let mut edited = strava.as_ref().clone();
    edited.paused = true;
    let stored = store.replace_integration(edited.clone(), Report::default(), after(1)).await.unwrap();
    let IntegrationReplaced::Stored(stored) = stored else { panic!("{stored:?}") };
    assert_eq!((stored.version, stored.paused, &stored.health), (2, true, &Health::Ok));
    let stale = store.replace_integration(edited, Report::default(), after(1)).await.unwrap();
    assert!(matches!(stale, IntegrationReplaced::Stale { version: 2 }));
    store.close().await;
    let stored = home.open().integration(&name("strava")).unwrap();
    assert_eq!((stored.version, stored.client_secrets[0].secret.expose()), (2, "client-secret-mark"));
}

#[tokio::test]
async fn an_integration_with_living_connections_is_not_removed() {
    use evergrant_store::IntegrationRemoved;
    let home = Home::new();
    let store = home.with_strava().await;
    let id = import(&store, "ann", "one").await;
    let removed = store.remove_integration(&name("strava"), Report::default(), now()).await.unwrap();
    assert_eq!(removed, IntegrationRemoved::InUse { connections: 1 });
    store.disconnect(&id, ended(false), None, now()).await.unwrap();
    let removed = store.remove_integration(&name("strava"), Report::default(), now()).await.unwrap();
    assert_eq!(removed, IntegrationRemoved::Removed);
    assert!(store.integration(&name("strava")).is_none());
    assert!(store.token_record(&id, false).await.unwrap().is_none());
}
