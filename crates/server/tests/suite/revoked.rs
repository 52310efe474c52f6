//! A disconnect at a provider that revokes in a way of its own.

use evergrant_testkit::{Canned, ClientConfig, Endpoint, Fault, FaultRule};
use serde_json::json;

use crate::world::World;

/// `acme`, which ends a grant by DELETE with the client's credentials and the access token as JSON.
async fn acme(world: &World) {
    world.judge.register(ClientConfig::new("acme"));
    let mut entry = world.judge.catalogue_json("acme").expect("it was registered just now");
    entry["revoke_url"] = json!(format!("{}/api/apps/{{client_id}}/grant", world.judge.url()));
    entry["revoke_method"] = json!("delete");
    entry["revoke_with"] = json!("access_token");
    entry["revoke_format"] = json!("json");
    entry["revoke_auth"] = json!("basic");
    world.integration(ClientConfig::new("acme"), json!({ "provider": entry })).await;
}

#[tokio::test]
async fn a_disconnect_ends_the_grant_by_the_providers_own_way() {
    let world = World::new().await;
    acme(&world).await;
    let id = world.connect("acme", "user-2", "alice").await;
    assert!(world.judge.live_refresh_token("acme", "alice").is_some());
    let ended = world.delete(&format!("/v1/connections/{id}")).await;
    assert_eq!((ended.status, &ended.json()["revoked"]), (200, &json!(true)), "{}", ended.text());
    assert!(world.judge.live_refresh_token("acme", "alice").is_none());
    world.stop().await;
}

#[tokio::test]
async fn what_cannot_be_told_now_is_told_later_in_the_same_way() {
    let world = World::new().await;
    acme(&world).await;
    let id = world.connect("acme", "user-2", "alice").await;
    world.judge.fault(FaultRule::next(1, Fault::Answer(Canned::error_500())).at(Endpoint::Api));
    let ended = world.delete(&format!("/v1/connections/{id}")).await;
    assert_eq!((ended.status, &ended.json()["revoked"]), (200, &json!(false)), "{}", ended.text());
    crate::waiting::wait_for(crate::waiting::LONG, "no living grant", async || {
        world.clock.forward(30);
        world.judge.live_refresh_token("acme", "alice").is_none().then_some(())
    })
    .await;
    world.stop().await;
}
