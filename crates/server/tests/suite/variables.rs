//! A provider whose addresses differ from one client or account to the next: a tenant, a shop, a server of one's own.

use evergrant_testkit::ClientConfig;
use evergrant_testkit::browser::Browser;
use serde_json::{Value, json};

use crate::world::{World, agree};

/// `acme`, with the last step of each address as a variable of the connection, and the host as one of the operator's.
async fn with_variables(world: &World, params: Value) -> evergrant_testkit::http::Reply {
    let client = world.judge.register(ClientConfig::new("acme"));
    let mut entry = world.judge.catalogue_json("acme").expect("it was registered just now");
    let base = entry["issuer"].as_str().expect("an address").to_owned();
    let host = base.trim_start_matches("http://").to_owned();
    for (field, step) in [("authorize_url", "authorize"), ("token_url", "{door}"), ("revoke_url", "revoke")] {
        entry[field] = json!(format!("http://{{server}}/{step}"));
    }
    entry["variables"] = json!({
        "server": { "pattern": "[a-z0-9.:]+", "title": "the address of your server", "example": host, "host": true },
        "door": { "pattern": "[a-z]+", "title": "the door", "example": "token" },
    });
    let mut params = params;
    if params["server"] == true {
        params["server"] = json!(host);
    }
    let secrets: Vec<Value> = client.client_secrets.iter().map(|secret| json!({ "secret": secret })).collect();
    let body = json!({
        "name": "acme", "provider": entry, "client_id": "acme", "client_secrets": secrets, "params": params,
    });
    world.post("/v1/integrations", &body).await
}

#[tokio::test]
async fn a_connection_keeps_the_values_that_its_addresses_are_made_of() {
    let world = World::new().await;
    let made = with_variables(&world, json!({ "server": true })).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let nobody = world.get("/v1/subjects/user-2/integrations/acme/token").await;
    assert_eq!(
        (nobody.status, &nobody.json()["connect_url"]),
        (404, &Value::Null),
        "no link that could not be followed"
    );
    let wish = json!({ "integration": "acme", "subject": "user-2", "params": { "door": "token" } });
    let (link, _) = world.session(&wish).await;
    let page = agree(&mut Browser::new(), &link, "alice").await;
    assert_eq!(page.status(), 200, "{}", page.text());
    let list = world.get("/v1/connections").await.json();
    let id = list["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(list["items"][0]["provider_data"], json!({ "door": "token" }));
    world.clock.forward(3601);
    let token = world.token(&id, "").await;
    assert_eq!((token.status, token.json()["refreshed"].as_bool()), (200, Some(true)), "{}", token.text());
    // A reconnect knows them without being told.
    let (link, _) = world.session(&json!({ "connection_id": id })).await;
    let page = agree(&mut Browser::new(), &link, "alice").await;
    assert_eq!(page.status(), 200, "{}", page.text());
    let ended = world.delete(&format!("/v1/connections/{id}")).await;
    assert_eq!((ended.status, ended.json()["revoked"].as_bool()), (200, Some(true)), "{}", ended.text());
    world.stop().await;
}

#[tokio::test]
async fn what_is_missing_or_does_not_fit_is_named_before_anybody_is_sent_anywhere() {
    let world = World::new().await;
    for (params, expected) in [
        (json!({}), "The field `params.server` is not accepted: it is required: the address of your server."),
        (
            json!({ "server": "evil.example/x" }),
            "The field `params.server` is not accepted: expected the address of your server",
        ),
        (
            json!({ "server": true, "dor": "token" }),
            "The field `params.dor` is not accepted: expected one of `door`, `server`.",
        ),
    ] {
        let refused = with_variables(&world, params.clone()).await;
        let detail = refused.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert!(refused.status == 422 && detail.starts_with(expected), "{params}: {}", refused.text());
    }
    assert_eq!(with_variables(&world, json!({ "server": true })).await.status, 201);
    for (params, field) in [
        (json!({}), "params.door"),
        (json!({ "door": "../x" }), "params.door"),
        (json!({ "door": "token", "server": "evil.example" }), "params.server"),
    ] {
        let wish = json!({ "integration": "acme", "subject": "user-2", "params": params });
        let refused = world.post("/v1/connect-sessions", &wish).await;
        assert_eq!(
            (refused.status, refused.json()["field"].as_str()),
            (422, Some(field)),
            "{params}: {}",
            refused.text()
        );
        let grant = json!({
            "integration": "acme", "subject": "user-2", "account_id": "alice", "access_token": "an-access-token-1", "params": params,
        });
        let refused = world.post("/v1/connections", &grant).await;
        assert_eq!(
            (refused.status, refused.json()["field"].as_str()),
            (422, Some(field)),
            "{params}: {}",
            refused.text()
        );
    }
    assert_eq!(world.get("/v1/connections").await.json()["items"], json!([]));
    world.stop().await;
}

#[tokio::test]
async fn an_imported_grant_brings_the_values_of_its_account() {
    let world = World::new().await;
    assert_eq!(with_variables(&world, json!({ "server": true })).await.status, 201);
    let pair = world.judge.issue("acme", "alice").expect("a grant");
    let grant = json!({
        "integration": "acme", "subject": "user-2", "account_id": "alice", "access_token": pair.access_token,
        "refresh_token": pair.refresh_token, "expires_at": "2026-01-01T00:00:00Z", "params": { "door": "token" },
    });
    let made = world.post("/v1/connections", &grant).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let token = world.token(made.json()["id"].as_str().unwrap(), "").await;
    assert_eq!((token.status, token.json()["refreshed"].as_bool()), (200, Some(true)), "{}", token.text());
    world.stop().await;
}
