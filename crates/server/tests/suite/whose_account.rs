//! An account that only the person's browser names (QuickBooks' `realmId` in the callback) is known, and proves nothing.

use evergrant_testkit::ClientConfig;
use serde_json::{Value, json};

use crate::world::{APPLICATION, World};

/// `acme`, which names the account in its callback.
async fn named_in_the_callback(world: &World) {
    let client = world.judge.register(ClientConfig::new("acme"));
    let mut entry = world.judge.catalogue_json("acme").expect("it was registered just now");
    entry["account_id_pointer"] = json!("callback:realmId");
    entry["account_name_pointer"] = json!("");
    let secrets: Vec<Value> = client.client_secrets.iter().map(|secret| json!({ "secret": secret })).collect();
    let body = json!({
        "name": "acme", "provider": entry, "client_id": "acme", "client_secrets": secrets, "return_urls": [APPLICATION],
    });
    let made = world.post("/v1/integrations", &body).await;
    assert_eq!(made.status, 201, "{}", made.text());
}

#[tokio::test]
async fn nobody_signs_in_by_an_account_that_only_his_own_browser_names() {
    let world = World::new().await;
    named_in_the_callback(&world).await;
    let refused =
        world.post("/v1/connect-sessions", &json!({ "integration": "acme", "return_url": APPLICATION })).await;
    assert_eq!((refused.status, refused.json()["field"].as_str()), (422, Some("subject")), "{}", refused.text());
    world.stop().await;
}

#[tokio::test]
async fn a_link_alone_reconnects_nothing_where_only_the_browser_names_the_account() {
    let world = World::new().await;
    named_in_the_callback(&world).await;
    let pair = world.judge.issue("acme", "alice").expect("a grant");
    world.judge.revoke("acme", "alice");
    let grant = json!({
        "integration": "acme", "subject": "user-2", "account_id": "realm-1", "access_token": pair.access_token,
        "refresh_token": pair.refresh_token, "expires_at": "2026-01-01T00:00:00Z",
    });
    let id = world.post("/v1/connections", &grant).await.json()["id"].clone();
    let refused = world.post("/v1/connect-sessions", &json!({ "connection_id": id })).await;
    assert_eq!((refused.status, refused.json()["field"].as_str()), (422, Some("binding")), "{}", refused.text());
    let token = world.token(id.as_str().expect("an id"), "").await;
    assert_eq!((token.status, &token.json()["reconnect_url"]), (424, &Value::Null), "{}", token.text());
    let allowed = world.post("/v1/connect-sessions", &json!({ "connection_id": id, "return_url": APPLICATION })).await;
    assert_eq!(allowed.status, 201, "the application, which knows who is there, may: {}", allowed.text());
    world.stop().await;
}
