//! Opening the page is enough to have refreshed what is due, and opening it a hundred times does no more.

use std::time::Duration;

use evergrant_testkit::{Canned, ClientConfig, Fault, FaultRule};
use serde_json::json;

use super::{PAGE, page, world};
use crate::world::World;

const REFRESH: &str = "/v1/subjects/user-2/refresh";

/// So many loads of the page, several at a time.
async fn load(world: &World, times: usize) {
    for _ in 0..times / 5 {
        let page = page(world, PAGE, "user-2").await;
        let once = async || {
            let reply =
                page.send(http::Method::POST, REFRESH, None, bytes::Bytes::new()).await.expect("an answer comes");
            assert_eq!(reply.status, 200, "{}", reply.text());
        };
        tokio::join!(once(), once(), once(), once(), once());
    }
}

#[tokio::test]
async fn loading_the_page_refreshes_what_is_due_once_however_often_it_is_loaded() {
    let world = world().await;
    world.acme().await;
    let id = world.connect("acme", "user-2", "alice").await;
    load(&world, 25).await;
    assert_eq!(world.refreshes("acme"), 0, "nothing was due");
    world.clock.forward(3601);
    load(&world, 50).await;
    assert_eq!(world.refreshes("acme"), 1);
    assert_eq!(world.connection(&id).await["refresh_count"], 1);
    world.stop().await;
}

#[tokio::test]
async fn while_a_provider_is_away_loading_the_page_again_and_again_asks_it_no_more_often() {
    let world = world().await;
    let client = ClientConfig::new("acme").access_lifetime(Duration::from_secs(600));
    world.integration(client, json!({})).await;
    world.connect("acme", "user-2", "alice").await;
    world.clock.forward(601);
    let away = Fault::Answer(Canned::new("away", 503, "text/plain", ""));
    world.judge.fault(FaultRule::lasting(away).client("acme").grant_type("refresh_token"));
    load(&world, 50).await;
    assert_eq!(world.refreshes("acme"), 1, "the next try is at its own time");
    world.judge.reset();
    world.stop().await;
}

#[tokio::test]
async fn a_session_cannot_ask_for_more_than_what_is_due() {
    let world = world().await;
    world.acme().await;
    world.connect("acme", "user-2", "alice").await;
    let body = json!({ "due_within": 3600 });
    let refused = page(&world, PAGE, "user-2").await.post(REFRESH, &body).await.unwrap();
    assert_eq!((refused.status, &refused.json()["field"]), (422, &json!("due_within")), "{}", refused.text());
    assert_eq!(world.refreshes("acme"), 0);
    assert_eq!(world.post(REFRESH, &body).await.status, 200);
    world.stop().await;
}
