//! Static credentials: their end, a word before it, and user name and password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evergrant_core::time::Timestamp;
use evergrant_testkit::http::Reply;
use serde_json::{Value, json};

use super::refused;
use crate::waiting::{LONG, wait_for};
use crate::world::{World, text};

const DAY: u64 = 24 * 3600;

async fn tokens(world: &World) {
    let body = json!({ "name": "tokens", "provider": "github-pat", "client_id": "none" });
    assert_eq!(world.post("/v1/integrations", &body).await.status, 201);
}

async fn import(world: &World, subject: &str, more: Value) -> Reply {
    let mut body = json!({ "integration": "tokens", "subject": subject });
    for (field, value) in more.as_object().expect("an object") {
        body[field] = value.clone();
    }
    world.post("/v1/connections", &body).await
}

/// How often the end at this instant was told.
async fn told(world: &World, end: &str) -> usize {
    let list = world.get("/v1/events?limit=100").await.json();
    let all = list["items"].as_array().cloned().unwrap_or_default();
    all.iter().filter(|event| event["type"] == "connection.expiring" && event["data"]["expires_at"] == end).count()
}

#[tokio::test]
async fn the_end_of_a_static_credential_is_told_a_week_before_and_once() {
    let world = World::new().await;
    tokens(&world).await;
    let in_days = |days: u64| {
        let now = evergrant::clock::Clock::now(&world.clock);
        Timestamp::plus(now, std::time::Duration::from_secs(days * DAY)).to_string()
    };
    let ends = in_days(60);
    let made = import(&world, "ann", json!({ "access_token": "a-personal-token", "expires_at": ends })).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let id = text(&made.json()["id"]);
    let endless = import(&world, "bob", json!({ "access_token": "another-personal-token" })).await;
    assert_eq!(endless.json()["freshness"], "non_expiring", "{}", endless.text());
    world.clock.forward(52 * DAY);
    let nothing = world.post("/v1/sweep", &json!({})).await;
    assert_eq!((nothing.status, told(&world, &ends).await), (200, 0), "{}", nothing.text());
    world.clock.forward(DAY + 60);
    world.until_event("connection.expiring").await;
    world.until_told("ann", "expiring").await;
    world.clock.forward(3 * DAY);
    world.post("/v1/sweep", &json!({})).await;
    assert_eq!(told(&world, &ends).await, 1);
    let connection = world.connection(&id).await;
    assert_eq!((&connection["status"], &connection["expires_at"]), (&"connected".into(), &json!(ends)));
    assert_eq!(world.token(&id, "").await.status, 200, "it works until its end");
    // Another one, with another end, is told of again, when its time has come.
    let later = in_days(90);
    let next = import(&world, "ann", json!({ "access_token": "the-next-token", "expires_at": later })).await;
    assert_eq!((next.status, &next.json()["id"]), (200, &json!(id)), "{}", next.text());
    world.clock.forward(83 * DAY + 60);
    wait_for(LONG, "a second word", async || (told(&world, &later).await == 1).then_some(())).await;
    world.clock.forward(8 * DAY);
    let ended = world.until(&id, |connection| connection["status"] == "needs_reauth").await;
    assert_eq!(ended["disconnect_reason"], "no_refresh_token");
    let notices = world.get("/v1/subjects/bob/notifications").await.json();
    assert_eq!(notices["items"], json!([]), "what has no end is never told to end");
    world.stop().await;
}

#[tokio::test]
async fn user_name_and_password_are_one_credential_behind_the_word_basic() {
    let world = World::new().await;
    tokens(&world).await;
    let made = import(&world, "ann", json!({ "username": "ann", "password": "pass: wörd" })).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let token = world.token(&text(&made.json()["id"]), "").await.json();
    assert_eq!(token["token_type"], "Basic", "{token}");
    let credential = STANDARD.decode(token["access_token"].as_str().unwrap()).unwrap();
    assert_eq!(String::from_utf8(credential).unwrap(), "ann:pass: wörd");
    assert!(!made.text().contains("pass"), "{}", made.text());
    for (wrong, field) in [
        (json!({ "username": "a:b", "password": "p" }), "username"),
        (json!({ "password": "p" }), "username"),
        (json!({ "username": "ann", "password": "p", "access_token": "a-personal-token" }), "username"),
        (json!({}), "access_token"),
    ] {
        let reply = import(&world, "eve", wrong.clone()).await;
        assert_eq!((refused(&reply).0, refused(&reply).1.as_str()), (422, field), "{wrong}: {}", reply.text());
    }
    world.stop().await;
}
