//! What comes while a refresh is under way wins over the refresh's older grant, and nothing that came is thrown away.

use evergrant_testkit::Fault;
use evergrant_testkit::http::Http;
use serde_json::json;

use super::{SOON, World, connected, on_demand, to};
use crate::waiting::wait_for;

/// A refresh that has been decided at the provider, and whose answer is held back.
async fn under_way(world: &World, id: &str) {
    world.clock.forward(3601);
    world.judge.fault(to("acme", Fault::HoldAnswer));
    assert_eq!(world.token(id, "wait=0").await.status, 503);
    world
        .judge
        .wait_until(SOON, |ledger| ledger.in_flight().any(|spend| spend.decided_at.is_some()))
        .await
        .expect("it is decided");
}

fn let_go(world: &World) {
    world.judge.switch_off("hold-answer");
    world.judge.release();
}

/// A connection that was imported anew during a refresh, whose answer came too late; then the imported grant dies.
async fn dead_with_a_spare(world: &World) -> String {
    let id = connected(world, "acme", "alice").await;
    under_way(world, &id).await;
    let pair = world.judge.issue("acme", "alice").expect("it is registered");
    let import = json!({
        "integration": "acme", "subject": "user-alice", "account_id": "alice",
        "access_token": pair.access_token, "refresh_token": pair.refresh_token,
    });
    let reply = world.post("/v1/connections", &import).await;
    assert_eq!((reply.status, &reply.json()["id"]), (200, &id.as_str().into()), "{}", reply.text());
    let_go(world);
    world.judge.wait_until(SOON, |ledger| ledger.in_flight().count() == 0).await.expect("it ends");
    // Who forced a refresh before the late answer is stored would only hear of that one.
    wait_for(SOON, "the late answer is stored", async || (world.service.refresher.in_flight() == 0).then_some(()))
        .await;
    let given = world.token(&id, "").await.json();
    assert_eq!(given["access_token"], pair.access_token.as_str(), "{given}");
    let provider = Http::new(world.judge.url()).basic("acme", &world.judge.client_secret("acme").expect("it has one"));
    let ended = provider
        .form("/revoke", &[("token", pair.refresh_token.as_deref().expect("a pair"))])
        .await
        .expect("an answer");
    assert_eq!(ended.status, 200);
    id
}

/// What a forced refresh ends with.
async fn forced(world: &World, id: &str) -> serde_json::Value {
    let forced = world.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await;
    assert_eq!(forced.status, 200, "{}", forced.text());
    forced.json()["outcome"].clone()
}

#[tokio::test]
async fn an_import_during_a_refresh_wins_and_the_late_answer_is_kept_as_a_spare_that_saves_the_grant() {
    let world = on_demand().await;
    let id = dead_with_a_spare(&world).await;
    assert_eq!(forced(&world, &id).await, "success", "the answer that lost is tried before anybody is bothered");
    assert_eq!(world.connection(&id).await["status"], "connected");
    assert_eq!(world.judge.ledger().violations, []);
    world.stop().await;
}

#[tokio::test]
async fn a_spare_that_brings_only_a_refresh_token_saves_the_grant_too() {
    let world = on_demand().await;
    let id = dead_with_a_spare(&world).await;
    world.judge.fault(to("acme", Fault::OmitAccessToken));
    assert_eq!(forced(&world, &id).await, "malformed");
    world.judge.switch_off("omit-access-token");
    assert_eq!(world.connection(&id).await["status"], "connected");
    world.clock.forward(3600);
    assert_eq!(forced(&world, &id).await, "success", "with the refresh token that came alone");
    assert_eq!(world.judge.ledger().violations, []);
    world.stop().await;
}

#[tokio::test]
async fn a_reconnect_during_a_refresh_wins() {
    let world = on_demand().await;
    let id = connected(&world, "acme", "alice").await;
    under_way(&world, &id).await;
    assert_eq!(world.connect("acme", "user-alice", "alice").await, id, "the connection's id stays");
    let fresh = world.token(&id, "").await.json()["access_token"].clone();
    let_go(&world);
    world.judge.wait_until(SOON, |ledger| ledger.in_flight().count() == 0).await.unwrap();
    assert_eq!(world.token(&id, "").await.json()["access_token"], fresh);
    world.stop().await;
}

#[tokio::test]
async fn tokens_that_come_for_a_connection_that_was_ended_meanwhile_are_revoked() {
    let world = on_demand().await;
    let id = connected(&world, "acme", "alice").await;
    under_way(&world, &id).await;
    assert_eq!(world.delete(&format!("/v1/connections/{id}")).await.status, 200);
    let_go(&world);
    world.judge.wait_until(SOON, |ledger| ledger.in_flight().count() == 0).await.unwrap();
    world.until_none_lives("acme", "alice").await;
    assert_eq!(world.connection(&id).await["status"], "disconnected");
    world.stop().await;
}
