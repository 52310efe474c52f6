//! What callers get while a provider works, is slow, lies or is out of order.

mod brake;
mod failures;
mod integration;
mod lengthened;
mod min_ttl;
mod races;
mod single_flight;

use std::time::Duration;

use evergrant_testkit::{Canned, ClientConfig, Fault, FaultRule, JudgeConfig, ReplayKind};
use serde_json::{Value, json};

use super::world::World;

/// For conditions that must come true.
const SOON: Duration = Duration::from_secs(30);

/// A world in which nothing is refreshed but on demand, so that a test sees every call it causes.
async fn on_demand() -> World {
    World::with("[refresh]\nbackground = false\n", JudgeConfig::default()).await
}

/// An integration of tokens that live an hour, and one connection through it; its name is the client's too.
async fn connected(world: &World, client: &str, account: &str) -> String {
    // A provider that hangs is given up early, so that the service can end with the test.
    let more = json!({ "policy": { "answer_timeout": 5 } });
    world.integration(ClientConfig::new(client).replay(ReplayKind::Family), more).await;
    world.connect(client, &format!("user-{account}"), account).await
}

fn answers(status: u16, body: &str) -> Fault {
    Fault::Answer(Canned::new("said", status, "application/json", body))
}

fn to(client: &str, fault: Fault) -> FaultRule {
    FaultRule::lasting(fault).client(client).grant_type("refresh_token")
}

/// The kinds of the notices of a subject, oldest first.
async fn notices(world: &World, subject: &str) -> Vec<String> {
    let reply = world.get(&format!("/v1/subjects/{subject}/notifications")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let list = reply.json();
    let mut kinds: Vec<String> = items(&list).iter().map(|item| super::world::text(&item["kind"])).collect();
    kinds.reverse();
    kinds
}

/// The types of the latest events, oldest first.
async fn events(world: &World) -> Vec<String> {
    let list = world.get("/v1/events?limit=100").await.json();
    let mut kinds: Vec<String> = items(&list).iter().map(|item| super::world::text(&item["type"])).collect();
    kinds.reverse();
    kinds
}

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}
