//! A grant that brings less than was asked for is told of at once, with the event of its connection.

use evergrant_testkit::browser::Browser;
use evergrant_testkit::{Canned, ClientConfig, Fault, FaultRule};
use serde_json::{Value, json};

use crate::world::{World, agree};

/// The event that tells of the connection that this answer to the code brought.
async fn told(answer: &str, hint: &str) -> (Value, Value) {
    let world = World::new().await;
    world.judge.register(ClientConfig::new("acme"));
    let mut provider = world.judge.catalogue_json("acme").expect("it was registered");
    for field in ["account_id_pointer", "account_name_pointer", "userinfo_url"] {
        provider[field] = json!("");
    }
    provider["access_lifetime"] = Value::Null;
    provider["offline_hint"] = json!(hint);
    let made = json!({ "name": "acme", "provider": provider, "client_id": "acme", "scopes": ["read", "write"],
                       "client_secrets": [{ "secret": world.judge.client_secret("acme").expect("it was registered") }] });
    let made = world.post("/v1/integrations", &made).await;
    assert_eq!(made.status, 201, "{}", made.text());
    world.judge.fault(FaultRule::next(1, Fault::Answer(Canned::new("short", 200, "application/json", answer))));
    let (link, _) = world.session(&json!({ "integration": "acme", "subject": "user-2" })).await;
    let page = agree(&mut Browser::new(), &link, "alice").await;
    assert_eq!(page.status(), 200, "{}", page.text());
    let events = world.get("/v1/events").await.json();
    let event =
        events["items"].as_array().expect("a list").iter().find(|one| one["type"] == "connection.connected").cloned();
    let connection = world.get("/v1/connections").await.json()["items"][0].clone();
    world.stop().await;
    (event.expect("the event")["data"].clone(), connection)
}

#[tokio::test]
async fn what_a_grant_lacks_stands_in_the_event_of_its_connection() {
    let short = r#"{"access_token":"an-access-token-1","token_type":"Bearer","scope":"read"}"#;
    let (data, connection) = told(short, "the scope offline_access").await;
    let hint = "none came; what brings one: the scope offline_access";
    let expected = json!({ "missing_scopes": ["write"], "lifetime": "unknown", "refresh_token": hint });
    assert_eq!(data, expected);
    assert_eq!(connection["scopes"]["missing"], json!(["write"]));
    assert_eq!((&connection["has_refresh_token"], &connection["expires_at"]), (&json!(false), &Value::Null));
}

#[tokio::test]
async fn of_a_grant_that_brings_everything_nothing_more_is_said() {
    let whole = r#"{"access_token":"an-access-token-1","refresh_token":"a-refresh-token-1","expires_in":3600,"scope":"write read"}"#;
    assert_eq!(told(whole, "").await.0, json!({}));
}
