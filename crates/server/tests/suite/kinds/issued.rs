//! Connections whose tokens the client gets by itself: `client_credentials` and `jwt_bearer`.

use evergrant_testkit::http::Http;
use evergrant_testkit::{Canned, ClientConfig, Fault, FaultRule};
use serde_json::{Value, json};

use super::{integration, peer, refused};
use crate::serving::Home;
use crate::waiting::{LONG, wait_for};
use crate::world::{World, text};

/// The peer's entry as one of this kind.
fn of_kind(peer: &evergrant_testkit::peers::OidcProvider, kind: &str) -> Value {
    let about = &peer.about;
    let auth = if kind == "jwt_bearer" { "none" } else { "basic" };
    json!({
        "kind": kind, "name": "Peer", "issuer": about.issuer, "token_url": about.token_url, "revoke_url": about.revoke_url,
        "client_auth": auth, "default_scopes": ["jobs:run", "jobs:read"],
    })
}

/// An entry for the judge, which is told what to answer.
async fn acme(world: &World) -> Value {
    world.judge.register(ClientConfig::new("acme"));
    let secret = world.judge.client_secret("acme").expect("it was registered just now");
    let entry = json!({
        "kind": "client_credentials", "name": "Acme", "token_url": format!("{}/token", world.judge.url()), "client_auth": "basic",
    });
    json!({ "name": "acme", "provider": entry, "client_id": "acme", "client_secrets": [{ "secret": secret }] })
}

fn says(status: u16, body: &str) -> Fault {
    Fault::Answer(Canned::new("said", status, "application/json", body))
}

const GOOD: &str = r#"{"access_token":"issued-token-1","token_type":"Bearer","expires_in":3600}"#;

#[tokio::test]
async fn a_client_gets_its_own_tokens_again_and_again_without_a_browser() {
    let world = World::new().await;
    let peer = peer(3, &["--grant", "client_credentials"]).await;
    let made = integration(&world, &peer, of_kind(&peer, "client_credentials"), &peer.about.client_secret).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let wish = json!({ "integration": "peer", "subject": "billing", "scopes": ["jobs:run"], "metadata": { "job": 7 } });
    let made = world.post("/v1/connections", &wish).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let connection = made.json();
    let id = text(&connection["id"]);
    let has = |field: &str| connection[field].clone();
    assert_eq!((has("status"), has("refresh_count")), ("connected".into(), 1.into()), "{connection}");
    assert_eq!(has("scopes"), json!({ "granted": ["jobs:run"], "requested": ["jobs:run"], "missing": [] }));
    assert_eq!((has("has_refresh_token"), has("metadata")), (false.into(), json!({ "job": 7 })));
    let token = world.token(&id, "").await.json();
    let known = peer.issued(&text(&token["access_token"])).await.unwrap();
    assert_eq!(known, json!({ "client_id": "evergrant", "scope": "jobs:run" }));
    // Nobody asks, and it goes on; nothing is ever refused.
    world.until(&id, |connection| connection["refresh_count"].as_u64() >= Some(3)).await;
    let forced = world.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await;
    assert_eq!((forced.status, forced.json()["outcome"].as_str()), (200, Some("success")), "{}", forced.text());
    assert_eq!(peer.calls().await.unwrap().1, 0);
    let ended = world.delete(&format!("/v1/connections/{id}")).await;
    assert_eq!(ended.json()["revoked"], true, "{}", ended.text());
    world.stop().await;
}

#[tokio::test]
async fn asking_twice_for_the_same_is_one_connection_with_one_token() {
    let world = World::new().await;
    let peer = peer(600, &["--grant", "client_credentials"]).await;
    let made = integration(&world, &peer, of_kind(&peer, "client_credentials"), &peer.about.client_secret).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let wish = |scopes: Value| json!({ "integration": "peer", "subject": "billing", "scopes": scopes });
    let first = world.post("/v1/connections", &wish(json!(["jobs:run"]))).await;
    let again = world.post("/v1/connections", &wish(json!(["jobs:run"]))).await;
    assert_eq!((first.status, again.status), (201, 200), "{}", again.text());
    let (first, again) = (first.json(), again.json());
    assert_eq!((&first["id"], &first["refresh_count"]), (&again["id"], &again["refresh_count"]));
    let other = world.post("/v1/connections", &wish(json!(["jobs:read"]))).await;
    assert_eq!((other.status, &other.json()["id"]), (200, &first["id"]), "{}", other.text());
    assert_eq!(other.json()["scopes"]["granted"], json!(["jobs:read"]), "a token for what is asked for now");
    let beyond = world.post("/v1/connections", &wish(json!(["everything"]))).await;
    assert_eq!((refused(&beyond).0, refused(&beyond).1.as_str()), (422, "scopes"), "{}", beyond.text());
    for (field, value) in [("access_token", "a-token-from-elsewhere"), ("refresh_token", "another-token-1")] {
        let mut wish = wish(json!(["jobs:run"]));
        wish[field] = json!(value);
        let reply = world.post("/v1/connections", &wish).await;
        assert_eq!((refused(&reply).0, refused(&reply).1.as_str()), (422, field), "{}", reply.text());
    }
    let session = world.post("/v1/connect-sessions", &json!({ "integration": "peer", "subject": "billing" })).await;
    let (status, field, detail) = refused(&session);
    assert_eq!((status, field.as_str()), (422, "integration"), "{}", session.text());
    assert!(detail.contains("needs no sign-in"), "{detail}");
    let nobody = world.get("/v1/subjects/nobody/integrations/peer/token").await;
    assert_eq!((nobody.status, &nobody.json()["connect_url"]), (404, &Value::Null), "{}", nobody.text());
    world.stop().await;
}

#[tokio::test]
async fn a_wrong_secret_is_the_operators_matter_and_never_the_subjects() {
    let world = World::new().await;
    let peer = peer(600, &["--grant", "client_credentials"]).await;
    let made = integration(&world, &peer, of_kind(&peer, "client_credentials"), "not-the-secret").await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = world.post("/v1/connections", &json!({ "integration": "peer", "subject": "billing" })).await;
    let connection = made.json();
    let id = text(&connection["id"]);
    assert_eq!(
        (made.status, &connection["status"], &connection["freshness"]),
        (201, &"error".into(), &"missing".into())
    );
    let token = world.token(&id, "").await;
    assert_eq!((token.status, &token.json()["code"]), (424, &"integration_misconfigured".into()), "{}", token.text());
    let right = json!({ "client_secrets": [{ "secret": peer.about.client_secret }] });
    assert_eq!(world.patch("/v1/integrations/peer", &right).await.status, 200);
    world.until(&id, |connection| connection["status"] == "connected" && connection["freshness"] == "valid").await;
    let told = world.get("/v1/subjects/billing/notifications").await.json();
    assert_eq!(told["items"], json!([]), "nobody but the operator");
    world.stop().await;
}

#[tokio::test]
async fn a_first_token_that_does_not_come_is_tried_again_and_told_until_then() {
    let world = World::new().await;
    let body = acme(&world).await;
    assert_eq!(world.post("/v1/integrations", &body).await.status, 201);
    world.judge.fault(FaultRule::lasting(Fault::Answer(Canned::rate_limit(Some("60")))).client("acme"));
    let made = world.post("/v1/connections", &json!({ "integration": "acme", "subject": "billing" })).await;
    let connection = made.json();
    let id = text(&connection["id"]);
    assert_eq!(
        (made.status, &connection["status"], &connection["freshness"]),
        (201, &"connected".into(), &"missing".into())
    );
    assert_eq!(connection["last_failure"]["class"], "rate_limited", "{connection}");
    let token = world.token(&id, "").await;
    assert_eq!((token.status, &token.json()["code"]), (503, &"provider_unavailable".into()), "{}", token.text());
    assert!(!token.header("retry-after").is_empty());
    world.judge.reset();
    world.judge.fault(FaultRule::lasting(says(200, GOOD)).client("acme").grant_type("client_credentials"));
    world.clock.forward(61);
    world.until(&id, |connection| connection["freshness"] == "valid").await;
    assert_eq!(world.token(&id, "").await.json()["access_token"], "issued-token-1");
    world.stop().await;
}

#[tokio::test]
async fn a_refused_grant_makes_nobody_reconnect_and_the_operator_is_told() {
    let world = World::new().await;
    let body = acme(&world).await;
    assert_eq!(world.post("/v1/integrations", &body).await.status, 201);
    world.judge.fault(
        FaultRule::lasting(says(400, r#"{"error":"invalid_grant","error_description":"not enabled"}"#)).client("acme"),
    );
    let made = world.post("/v1/connections", &json!({ "integration": "acme", "subject": "billing" })).await;
    let id = text(&made.json()["id"]);
    let token = world.token(&id, "").await;
    assert_eq!((token.status, &token.json()["code"]), (502, &"provider_error".into()), "{}", token.text());
    assert!(text(&token.json()["detail"]).contains("not enabled"), "{}", token.text());
    for failures in 2..=5 {
        world.clock.forward(301);
        world.until(&id, |connection| connection["auth_failures"].as_u64() >= Some(failures)).await;
    }
    assert_eq!(world.connection(&id).await["status"], "connected", "there is nobody to reconnect it");
    world.until_event("connection.operator_alert").await;
    assert_eq!(world.get("/v1/subjects/billing/notifications").await.json()["items"], json!([]));
    world.judge.reset();
    world.judge.fault(FaultRule::lasting(says(200, GOOD)).client("acme"));
    world.clock.forward(301);
    world.until(&id, |connection| connection["freshness"] == "valid" && connection["auth_failures"] == 0).await;
    world.stop().await;
}

#[tokio::test]
async fn a_connection_whose_first_token_had_not_come_gets_it_after_a_restart() {
    let mut world = World::new().await;
    let mut body = acme(&world).await;
    body["policy"] = json!({ "answer_timeout": 2 });
    assert_eq!(world.post("/v1/integrations", &body).await.status, 201);
    world.judge.fault(FaultRule::lasting(Fault::Hang).client("acme"));
    let wish = json!({ "integration": "acme", "subject": "billing" });
    let begun = world.api.post("/v1/connections", &wish);
    let calls = || async { (world.judge.token_calls() > 0).then_some(()) };
    tokio::select! {
        _ = begun => panic!("the provider hangs, so no answer comes"),
        () = wait_for(LONG, "a call of the provider", calls) => {}
    }
    world.judge.reset();
    world.judge.fault(FaultRule::lasting(says(200, GOOD)).client("acme"));
    world.restart("").await;
    let list = world.get("/v1/connections?subject=billing").await.json();
    let id = text(&list["items"][0]["id"]);
    world.until_as_time_passes(&id, |connection| connection["freshness"] == "valid").await;
    world.stop().await;
}

/// An assertion for a person that the application names, with the scopes among its claims, as Google wants it.
fn for_a_person(peer: &evergrant_testkit::peers::OidcProvider) -> Value {
    let mut entry = of_kind(peer, "jwt_bearer");
    entry["assertion"] = json!({ "subject": "{user}", "scope_claim": "scope", "lifetime": 120 });
    entry["variables"] = json!({
        "user": { "pattern": "|[^@ ]+@[^@ ]+", "title": "whose data", "example": "ann@example.com", "default": "", "claim": true },
    });
    entry
}

#[tokio::test]
async fn an_assertion_that_the_client_signs_stands_for_the_grant_of_each_person() {
    let world = World::new().await;
    let peer = peer(3, &["--grant", "jwt_bearer", "--client-key", "rsa"]).await;
    let keys = peer.about.client_keys.clone().expect("it has a key");
    // The file as the console gives it, with the key in it.
    let file = json!({
        "type": "service_account", "project_id": "p", "private_key_id": "rsa-1", "private_key": keys.pkcs8,
        "client_email": "evergrant", "token_uri": "https://elsewhere.example/token",
    });
    let made = integration(&world, &peer, for_a_person(&peer), &file.to_string()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    for (subject, params, sub) in [
        ("ann", json!({ "user": "ann@example.com" }), Some("ann@example.com")),
        ("bob", json!({ "user": "bob@example.com" }), Some("bob@example.com")),
        ("itself", json!({}), None),
    ] {
        let wish = json!({ "integration": "peer", "subject": subject, "params": params });
        let made = world.post("/v1/connections", &wish).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let id = text(&made.json()["id"]);
        world.until(&id, |connection| connection["refresh_count"].as_u64() >= Some(2)).await;
        let token = world.token(&id, "").await.json();
        let known = peer.issued(&text(&token["access_token"])).await.unwrap();
        assert_eq!((known["sub"].as_str(), known["scope"].as_str()), (sub, Some("jobs:run jobs:read")), "{known}");
    }
    assert_eq!(peer.calls().await.unwrap().1, 0, "no assertion was shown twice");
    // One person who has not agreed is no matter of the others.
    let wish = json!({ "integration": "peer", "subject": "nobody", "params": { "user": "nobody@example.com" } });
    let made = world.post("/v1/connections", &wish).await;
    assert_eq!((made.status, &made.json()["status"]), (201, &"connected".into()), "{}", made.text());
    assert!(text(&made.json()["last_failure"]["detail"]).contains("consent_required"), "{}", made.text());
    let wrong = json!({ "integration": "peer", "subject": "eve", "params": { "user": "nonsense" } });
    let reply = world.post("/v1/connections", &wrong).await;
    assert_eq!((refused(&reply).0, refused(&reply).1.as_str()), (422, "params.user"), "{}", reply.text());
    world.stop().await;
}

#[tokio::test]
async fn a_service_that_was_killed_goes_on_with_the_tokens_of_its_clients() {
    let peer = peer(3, &["--grant", "client_credentials"]).await;
    let home = Home::new("");
    let service = home.serve().await;
    let body = json!({
        "name": "peer", "provider": of_kind(&peer, "client_credentials"), "client_id": "evergrant",
        "client_secrets": [{ "secret": peer.about.client_secret }],
    });
    assert_eq!(service.api.post("/v1/integrations", &body).await.unwrap().status, 201);
    let wish = json!({ "integration": "peer", "subject": "billing" });
    let made = service.api.post("/v1/connections", &wish).await.unwrap();
    assert_eq!((made.status, &made.json()["freshness"]), (201, &"valid".into()), "{}", made.text());
    let id = text(&made.json()["id"]);
    let count = async |api: &Http| {
        let connection = api.get(&format!("/v1/connections/{id}")).await.expect("an answer").json();
        connection["refresh_count"].as_u64().unwrap_or(0)
    };
    let two_more = async |api: &Http| {
        let before = count(api).await;
        wait_for(LONG, "two more tokens", async || (count(api).await >= before + 2).then_some(())).await;
    };
    two_more(&service.api).await;
    service.kill().await;
    let service = home.serve().await;
    two_more(&service.api).await;
    service.kill().await;
    let service = home.serve().await;
    let token = service.api.get(&format!("/v1/connections/{id}/token")).await.unwrap();
    assert_eq!(token.status, 200, "{}", token.text());
    let known = peer.issued(&text(&token.json()["access_token"])).await.unwrap();
    assert_eq!(known["client_id"], "evergrant", "{known}");
    assert_eq!(peer.calls().await.unwrap().1, 0);
    service.stop().await;
}
