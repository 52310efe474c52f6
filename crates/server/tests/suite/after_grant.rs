//! What an entry wants to be asked or told once a grant is there: facts for those who call the API, registrations.

use evergrant_testkit::{Canned, ClientConfig, Endpoint, Fault, FaultRule};
use serde_json::{Value, json};

use crate::world::{World, text};

/// `acme`, whose entry wants to know where the data is and to register the person.
async fn acme(world: &World) {
    let provider = |base: &str| {
        json!([
            { "url": format!("{base}/api/facts"), "scheme": "OAuth", "keep": { "region": "/region", "sites": "/sites" } },
            { "url": format!("{base}/api/users"), "method": "post", "format": "json",
              "body": { "member": "{account.id}" }, "accepted": [409] },
        ])
    };
    world.judge.register(ClientConfig::new("acme"));
    let mut entry = world.judge.catalogue_json("acme").expect("it was registered just now");
    entry["after_grant"] = provider(world.judge.url());
    entry["keep_from_userinfo"] = json!({ "mail": "/email" });
    world.integration(ClientConfig::new("acme"), json!({ "provider": entry })).await;
}

async fn event(world: &World, kind: &str) -> Value {
    world.until_event(kind).await;
    let events = world.get("/v1/events?limit=100").await.json();
    let found = events["items"].as_array().expect("a list").iter().find(|one| one["type"] == kind).cloned();
    found.expect("it is listed")["data"].clone()
}

#[tokio::test]
async fn facts_are_fetched_and_the_person_is_registered_before_the_connection_is_shown() {
    let world = World::new().await;
    acme(&world).await;
    let id = world.connect("acme", "user-2", "alice").await;
    let whole = json!({ "mail": "alice@example.com", "region": "us7", "sites": [{ "id": "site-of-alice" }] });
    assert_eq!(world.connection(&id).await["provider_data"], whole);
    assert_eq!(world.token(&id, "").await.json()["provider_data"], whole);
    assert_eq!(world.judge.registered("alice").as_deref(), Some("alice"));
    assert_eq!(event(&world, "connection.connected").await, json!({}));
    // Again: the provider says that it knows the person, which is as good.
    world.connect("acme", "user-2", "alice").await;
    assert_eq!(event(&world, "connection.reconnected").await, json!({}));
    world.stop().await;
}

#[tokio::test]
async fn what_the_provider_does_not_answer_costs_no_grant_and_is_asked_again() {
    let world = World::new().await;
    acme(&world).await;
    world.judge.fault(FaultRule::lasting(Fault::Answer(Canned::error_500())).at(Endpoint::Api));
    let id = world.connect("acme", "user-2", "alice").await;
    assert_eq!(world.connection(&id).await["provider_data"], json!({ "mail": "alice@example.com" }));
    assert_eq!(world.token(&id, "").await.status, 200);
    let told = event(&world, "connection.connected").await;
    assert_eq!(told["missing_facts"], json!(["region", "sites"]));
    let expected =
        ["GET", "POST"].map(|what| format!("{what} at 127.0.0.1 after the grant was not answered well: HTTP 500"));
    assert_eq!(told["after_grant"], json!(expected));
    world.judge.reset();
    world.until_as_time_passes(&id, |shown| shown["provider_data"]["region"] == "us7").await;
    assert_eq!(world.judge.registered("alice").as_deref(), Some("alice"));
    assert_eq!(event(&world, "connection.after_grant").await, json!({ "facts": ["region", "sites"] }));
    world.stop().await;
}

#[tokio::test]
async fn a_new_consent_that_brings_less_keeps_what_was_known_of_the_same_account() {
    let world = World::new().await;
    acme(&world).await;
    let id = world.connect("acme", "user-2", "alice").await;
    world.judge.fault(FaultRule::lasting(Fault::Answer(Canned::error_500())).at(Endpoint::Api));
    assert_eq!(world.connect("acme", "user-2", "alice").await, id);
    assert_eq!(text(&world.connection(&id).await["provider_data"]["region"]), "us7");
    world.stop().await;
}
