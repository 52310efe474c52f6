//! A wrong client is the operator's to mend, and no word to the people.

use evergrant_testkit::{Canned, ClientConfig, Fault, ReplayKind};
use serde_json::json;

use super::{World, connected, events, notices, on_demand, to};

#[tokio::test]
async fn a_refused_client_stops_the_integration_tells_the_operator_and_mends_with_a_new_secret() {
    let world = World::new().await;
    let alice = connected(&world, "acme", "alice").await;
    let bob = world.connect("acme", "user-bob", "bob").await;
    let secret = world.judge.rotate_client_secret("acme").unwrap();
    world.clock.forward(3601);
    for id in [&alice, &bob] {
        world.until(id, |connection| connection["status"] == "error").await;
        let reply = world.token(id, "").await;
        assert_eq!(reply.status, 424, "{}", reply.text());
        assert_eq!(reply.json()["code"], "integration_misconfigured", "{}", reply.text());
    }
    let integration = world.get("/v1/integrations/acme").await.json();
    assert_eq!(integration["status"], "misconfigured", "{integration}");
    assert_eq!(world.refreshes("acme"), 2, "a second connection has confirmed it, and nothing was sent after that");
    world.until_event("integration.misconfigured").await;
    let wrong = events(&world).await.iter().filter(|kind| *kind == "integration.misconfigured").count();
    assert_eq!(wrong, 1);
    assert!(notices(&world, "user-alice").await.is_empty() && notices(&world, "user-bob").await.is_empty());
    let edit = json!({ "client_secrets": [{ "secret": secret }] });
    assert_eq!(world.patch("/v1/integrations/acme", &edit).await.status, 200);
    for id in [&alice, &bob] {
        let connection = world.until(id, |connection| connection["refresh_count"] == 1).await;
        assert_eq!(connection["status"], "connected", "{connection}");
    }
    world.until_event("integration.mended").await;
    world.stop().await;
}

#[tokio::test]
async fn a_client_that_is_refused_for_one_connection_alone_is_that_connections_trouble() {
    let world = on_demand().await;
    let alice = connected(&world, "acme", "alice").await;
    let bob = world.connect("acme", "user-bob", "bob").await;
    world.clock.forward(3601);
    world.judge.fault(to("acme", Fault::Answer(Canned::invalid_client())).account("alice"));
    world.token(&alice, "").await;
    world.until(&bob, |connection| connection["refresh_count"] == 1).await;
    let connection = world.until(&alice, |connection| connection["auth_failures"] == 1).await;
    assert_eq!(connection["last_failure"]["class"], "auth_rejected", "{connection}");
    assert_eq!(world.get("/v1/integrations/acme").await.json()["status"], "ok");
    assert_eq!(world.token(&bob, "").await.status, 200);
    world.stop().await;
}

#[tokio::test]
async fn secrets_are_tried_in_order_so_that_a_rotation_has_no_gap() {
    let world = on_demand().await;
    world.integration(ClientConfig::new("acme").replay(ReplayKind::Family), json!({})).await;
    let old = world.judge.client_secret("acme").unwrap();
    let id = world.connect("acme", "user-alice", "alice").await;
    let new = world.judge.rotate_client_secret("acme").unwrap();
    let both = json!({ "client_secrets": [{ "secret": old }, { "secret": new }] });
    assert_eq!(world.patch("/v1/integrations/acme", &both).await.status, 200);
    world.clock.forward(3601);
    let reply = world.token(&id, "").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(world.get("/v1/integrations/acme").await.json()["status"], "ok");
    assert_eq!(world.judge.ledger().violations, []);
    world.stop().await;
}

#[tokio::test]
async fn a_paused_integration_sends_nothing_and_hands_out_what_lives() {
    let world = World::new().await;
    let id = connected(&world, "acme", "alice").await;
    assert_eq!(world.patch("/v1/integrations/acme", &json!({ "paused": true })).await.status, 200);
    world.clock.forward(3500);
    assert_eq!(world.token(&id, "").await.status, 200, "it still lives");
    world.clock.forward(101);
    let reply = world.token(&id, "").await;
    assert_eq!((reply.status, &reply.json()["code"]), (424, &"integration_paused".into()), "{}", reply.text());
    assert_eq!(world.refreshes("acme"), 0);
    assert_eq!(world.patch("/v1/integrations/acme", &json!({ "paused": false })).await.status, 200);
    world.until(&id, |connection| connection["refresh_count"] == 1).await;
    world.stop().await;
}

#[tokio::test]
async fn a_grant_that_nothing_renews_is_told_to_the_operator_and_ends_with_its_token() {
    let world = World::new().await;
    let client = ClientConfig { issue_refresh_token: false, ..ClientConfig::new("acme") };
    world.integration(client, json!({})).await;
    let id = world.connect("acme", "user-alice", "alice").await;
    world.until_event("integration.no_refresh_token").await;
    world.clock.forward(3599 - 60);
    let reply = world.token(&id, "min_ttl=900").await;
    assert_eq!((reply.status, &reply.json()["freshness"]), (200, &"expiring_soon".into()), "{}", reply.text());
    world.clock.forward(61);
    let connection = world.until(&id, |connection| connection["status"] == "needs_reauth").await;
    assert_eq!(connection["disconnect_reason"], "no_refresh_token", "{connection}");
    assert_eq!(world.token(&id, "").await.status, 424);
    assert_eq!(notices(&world, "user-alice").await, ["disconnected"]);
    world.stop().await;
}
