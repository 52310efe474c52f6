//! When many are refused at once, it is hardly their doing: nobody is told before a sample was tried again.

use evergrant_testkit::{ClientConfig, JudgeConfig, ReplayKind};
use serde_json::json;

use super::{SOON, World, answers, events, notices, to};

const PEOPLE: [&str; 5] = ["alice", "bob", "carol", "dan", "eve"];

/// Five connections, of which four refusals pull the brake; the provider refuses all of them.
async fn all_refused() -> (World, Vec<String>) {
    let world = World::with("[refresh]\nbrake_connections = 4\n", JudgeConfig::default()).await;
    world.integration(ClientConfig::new("acme").replay(ReplayKind::Family), json!({})).await;
    let mut ids = Vec::new();
    for account in PEOPLE {
        ids.push(world.connect("acme", &format!("user-{account}"), account).await);
    }
    world.judge.fault(to("acme", answers(400, r#"{"error":"invalid_grant"}"#)));
    world.clock.forward(3601);
    world.judge.wait_until(SOON, |ledger| ledger.spends.len() == PEOPLE.len()).await.expect("all are refused");
    for id in &ids {
        let connection = world.until(id, |connection| connection["auth_failures"] == 1).await;
        world.until(id, |connection| connection["status"] == "connected").await;
        assert_eq!(connection["last_failure"]["class"], "invalid_grant", "{connection}");
    }
    world.until_event("integration.verdicts_suspended").await;
    let told = events(&world).await.iter().filter(|kind| *kind == "integration.verdicts_suspended").count();
    assert_eq!(told, 1);
    let list = world.get("/v1/events?limit=100").await.json();
    let listed = list["items"].as_array().expect("a list").iter();
    let what = listed
        .filter(|event| event["type"] == "integration.verdicts_suspended")
        .map(|event| event["data"]["what"].to_string());
    let what: String = what.collect();
    for words in ["hardly their people's doing", "Nobody was told, every token was kept", "tried again in 30 minutes"] {
        assert!(what.contains(words), "in words, and what to do: {what}");
    }
    (world, ids)
}

#[tokio::test]
async fn a_providers_incident_that_looks_like_dead_grants_ends_without_a_word_to_those_it_spared() {
    let (world, ids) = all_refused().await;
    world.judge.reset();
    world.clock.forward(1801);
    for id in &ids {
        let connection = world.until(id, |connection| connection["refresh_count"] == 1).await;
        assert_eq!(connection["status"], "connected", "{connection}");
    }
    // The last two were refused when the brake was pulled already: they never heard of it.
    let mut untold = 0;
    for account in PEOPLE {
        let kinds = notices(&world, &format!("user-{account}")).await;
        assert!(kinds.is_empty() || kinds == ["disconnected", "recovered"], "{account}: {kinds:?}");
        untold += usize::from(kinds.is_empty());
    }
    assert!(untold >= 2, "{untold}");
    assert_eq!(world.judge.ledger().violations, []);
    world.stop().await;
}

#[tokio::test]
async fn three_that_are_refused_again_make_the_verdicts_apply() {
    let (world, ids) = all_refused().await;
    world.clock.forward(1801);
    for (id, account) in ids.iter().zip(PEOPLE) {
        let connection = world.until(id, |connection| connection["status"] == "needs_reauth").await;
        assert_eq!(connection["last_failure"]["class"], "invalid_grant", "{connection}");
        assert_eq!(notices(&world, &format!("user-{account}")).await.last().map(String::as_str), Some("disconnected"));
    }
    assert_eq!(world.refreshes("acme"), 5 + 3, "three of them were tried");
    world.stop().await;
}
