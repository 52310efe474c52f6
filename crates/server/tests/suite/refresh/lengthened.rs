//! Access tokens that renew themselves: the short one of the code becomes a long one, and nothing is lost on the way; and
//! providers that refuse a refresh which comes too early.

use evergrant_testkit::{Canned, ClientConfig, Fault, FaultRule};
use serde_json::{Value, json};

use crate::world::{World, text};

const DAY: u64 = 24 * 3600;

/// `acme`, whose code brings a token of an hour that is exchanged for one of 60 days, which renews itself.
async fn acme(world: &World, more: Value) {
    let client = ClientConfig { issue_refresh_token: false, ..ClientConfig::new("acme") };
    world.judge.register(client.clone());
    let mut entry = world.judge.catalogue_json("acme").expect("it was registered just now");
    let base = world.judge.url();
    entry["replay"] = json!("none");
    entry["renewal"] = json!("access_token");
    entry["access_lifetime"] = json!(60 * DAY);
    entry["refresh_url"] = json!(format!("{base}/token/renewed"));
    entry["refresh_params"] = json!({ "grant_type": "renew" });
    entry["refresh_format"] = json!("get");
    entry["refresh_without_client"] = json!(true);
    entry["min_refresh_age"] = json!(DAY);
    entry["second_exchange"] = json!({
        "url": format!("{base}/token/long"), "format": "get", "client_auth": "body", "param_names": { "client_id": "" },
        "params": { "grant_type": "lengthen" }, "short_lifetime": 3600,
    });
    let mut all = json!({ "provider": entry });
    all.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    world.integration(client, all).await;
}

async fn days_left(world: &World, id: &str) -> u64 {
    world.token(id, "").await.json()["expires_in"].as_u64().unwrap_or_default() / DAY
}

#[tokio::test]
async fn a_short_token_becomes_a_long_one_that_renews_itself_a_week_ahead() {
    let world = World::new().await;
    acme(&world, json!({})).await;
    let id = world.connect("acme", "user-2", "alice").await;
    world.until(&id, |shown| shown["refresh_count"] == 1).await;
    assert_eq!(days_left(&world, &id).await, 59);
    let first = text(&world.token(&id, "").await.json()["access_token"]);
    // Not before it is a day old, not even on order.
    let forced = world.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await;
    assert_eq!(forced.status, 429, "{}", forced.text());
    assert!(
        text(&forced.json()["detail"]).starts_with("This provider refuses a refresh so early"),
        "{}",
        forced.text()
    );
    world.clock.forward(DAY + 60);
    let forced = world.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await;
    assert_eq!((forced.status, forced.json()["outcome"].as_str()), (200, Some("success")), "{}", forced.text());
    assert_ne!(text(&world.token(&id, "").await.json()["access_token"]), first);
    world.clock.forward(54 * DAY);
    world.until(&id, |shown| shown["refresh_count"] == 3).await;
    assert_eq!(days_left(&world, &id).await, 59);
    world.stop().await;
}

#[tokio::test]
async fn where_the_background_starts_nothing_a_short_token_is_made_long_all_the_same() {
    let world = World::new().await;
    acme(&world, json!({ "policy": { "background": false } })).await;
    let id = world.connect("acme", "user-2", "alice").await;
    world.until(&id, |shown| shown["refresh_count"] == 1).await;
    world.stop().await;
}

#[tokio::test]
async fn while_it_cannot_be_made_long_the_short_token_is_kept_and_it_is_tried_again() {
    let mut world = World::new().await;
    acme(&world, json!({})).await;
    world.judge.fault(FaultRule::lasting(Fault::Answer(Canned::error_500())).grant_type("lengthen"));
    let id = world.connect("acme", "user-2", "alice").await;
    world.until(&id, |shown| shown["transient_failures"].as_u64() >= Some(1)).await;
    let token = world.token(&id, "").await;
    assert_eq!(token.status, 200, "{}", token.text());
    assert!(token.json()["expires_in"].as_u64() <= Some(3600), "the short one: {}", token.text());
    assert!(world.judge.is_live_access(&text(&token.json()["access_token"])));
    // Also the next process knows that it is short.
    world.restart("").await;
    world.judge.reset();
    world.until_as_time_passes(&id, |shown| shown["refresh_count"] == 1).await;
    assert_eq!(days_left(&world, &id).await, 59);
    world.stop().await;
}

#[tokio::test]
async fn an_answer_that_makes_it_long_is_not_lost_when_it_comes_late() {
    let world = World::new().await;
    acme(&world, json!({})).await;
    world.judge.fault(FaultRule::next(1, Fault::CutAfter).grant_type("lengthen"));
    let id = world.connect("acme", "user-2", "alice").await;
    world.until_as_time_passes(&id, |shown| shown["refresh_count"] == 1).await;
    assert_eq!(days_left(&world, &id).await, 59);
    world.stop().await;
}

#[tokio::test]
async fn a_refresh_that_the_provider_would_refuse_as_too_early_is_not_sent() {
    let world = World::new().await;
    let client = ClientConfig::new("acme").access_lifetime(std::time::Duration::from_secs(600));
    world.judge.register(client.clone());
    let mut entry = world.judge.catalogue_json("acme").expect("it was registered just now");
    entry["earliest_refresh"] = json!(30);
    world.integration(client, json!({ "provider": entry })).await;
    let id = world.connect("acme", "user-2", "alice").await;
    world.clock.forward(500);
    let token = world.token(&id, "min_ttl=300").await;
    assert_eq!((token.status, &token.json()["refreshed"]), (200, &json!(false)), "{}", token.text());
    assert_eq!(token.json()["freshness"], "expiring_soon");
    let forced = world.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await;
    assert_eq!((forced.status, forced.json()["code"].as_str()), (429, Some("rate_limited")), "{}", forced.text());
    assert_eq!((&forced.json()["action"], forced.json()["retry_after"].as_u64() <= Some(70)), (&json!("wait"), true));
    assert_eq!(world.refreshes("acme"), 0);
    world.clock.forward(75);
    world.until(&id, |shown| shown["refresh_count"] == 1).await;
    world.stop().await;
}
