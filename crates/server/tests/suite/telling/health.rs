//! How a person's connections are doing, in words that a person understands, and what to do: one way for each kind of trouble.

use evergrant_testkit::http::{Http, Reply};
use evergrant_testkit::{Canned, ClientConfig, Fault, FaultRule, JudgeConfig};
use serde_json::{Value, json};

use super::DEAD;
use crate::waiting::{LONG, wait_for};
use crate::world::{World, text};

const LINES: &str = "support_contact = 'help@acme.example'\n[refresh]\nbackground = false\nforce_interval = 0\n";

/// A person whose token has ended and whose provider answers so.
async fn troubled(lines: &str, answer: Canned) -> (World, String) {
    let world = World::with(lines, JudgeConfig::default()).await;
    let client = ClientConfig::new("acme");
    let provider = json!({ "name": "Acme" });
    world.judge.register(client.clone());
    let mut entry = world.judge.catalogue_json("acme").expect("it was registered just now");
    entry["name"] = provider["name"].clone();
    world.integration(client, json!({ "provider": entry })).await;
    let id = world.connect("acme", "user-1", "alice").await;
    world.judge.fault(FaultRule::lasting(Fault::Answer(answer)).client("acme").grant_type("refresh_token"));
    world.clock.forward(7200);
    (world, id)
}

/// What the person's page says, in the browser's language.
async fn seen(world: &World, language: &str) -> (Value, Reply) {
    let reply = world
        .api
        .clone()
        .header("accept-language", language)
        .get("/v1/subjects/user-1/health")
        .await
        .expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
    (reply.json()["items"][0].clone(), reply)
}

/// What the application is answered that asks for a token.
async fn asked(world: &World, id: &str, language: &str) -> Value {
    let api = world.api.clone().header("accept-language", language);
    let reply = api.get(&format!("/v1/connections/{id}/token?wait=20")).await.expect("an answer");
    let problem = reply.json();
    assert_eq!(problem["request_id"], reply.header("x-request-id"), "{problem}");
    problem
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_is_tried_again() {
    let (world, id) = troubled(LINES, Canned::error_500()).await;
    let problem = asked(&world, &id, "en").await;
    assert_eq!(
        (&problem["code"], &problem["trouble"]),
        (&json!("provider_unavailable"), &json!("network")),
        "{problem}"
    );
    let guidance = text(&problem["guidance"]);
    assert!(guidance.contains("cannot be reached") && guidance.contains("try again"), "{guidance}");
    let (item, _) = seen(&world, "de-AT, en;q=0.3").await;
    assert_eq!((&item["action"], &item["trouble"]), (&json!("retry"), &json!("network")), "{item}");
    assert!(text(&item["message"]).starts_with("Acme ist gerade nicht erreichbar."), "{item}");
    assert!(item.get("support_contact").is_none() && item.get("reconnect_url").is_none(), "{item}");
    world.stop().await;
}

#[tokio::test]
async fn a_permission_that_has_ended_is_a_link_to_reconnect_in_the_persons_language() {
    let (world, id) = troubled(LINES, Canned::new("dead", 400, "application/json", DEAD)).await;
    let problem = asked(&world, &id, "es").await;
    assert_eq!((&problem["code"], &problem["trouble"]), (&json!("needs_reauth"), &json!("reconnect")), "{problem}");
    assert_eq!(problem["guidance"], "Acme necesita su permiso otra vez. Vuelva a conectarlo, por favor.");
    let (item, reply) = seen(&world, "en").await;
    assert_eq!((&item["action"], &item["trouble"]), (&json!("reconnect"), &json!("reconnect")), "{item}");
    let message = "Acme is disconnected: the permission was withdrawn or has ended. Please reconnect.";
    assert_eq!((&item["message"], &reply.json()["message"]), (&json!(message), &json!(message)));
    assert!(text(&item["reconnect_url"]).contains("/connect/"), "{item}");
    // What the application says of the person comes before what a browser says.
    let path = "/v1/subjects/user-1/preferences";
    let german = json!({ "contact": { "language": "de" } });
    assert_eq!(world.api.json(http::Method::PUT, path, &german).await.unwrap().status, 200);
    let (item, _) = seen(&world, "en").await;
    assert!(text(&item["message"]).starts_with("Acme ist getrennt: Die Erlaubnis wurde zurückgezogen"), "{item}");
    world.stop().await;
}

#[tokio::test]
async fn a_limit_says_how_many_minutes_to_wait() {
    let limited = Canned::new("limited", 429, "text/plain", "slow down").with("retry-after", "290");
    let (world, id) = troubled(LINES, limited).await;
    let problem = asked(&world, &id, "en").await;
    assert_eq!((&problem["trouble"], &problem["action"]), (&json!("rate_limit"), &json!("wait")), "{problem}");
    assert!(text(&problem["guidance"]).contains("wait 5 minutes"), "{problem}");
    let (item, _) = seen(&world, "en").await;
    assert_eq!((&item["action"], &item["trouble"]), (&json!("wait"), &json!("rate_limit")), "{item}");
    assert_eq!(item["message"], "Acme limits requests just now. Please wait 5 minutes, then try again.");
    assert!(item["retry_after"].as_u64().is_some_and(|seconds| (200..=290).contains(&seconds)), "{item}");
    world.stop().await;
}

#[tokio::test]
async fn what_nobody_understands_names_whom_to_ask_and_the_request() {
    let odd = Canned::new("odd", 418, "text/plain", "I am a teapot");
    let (world, id) = troubled(LINES, odd.clone()).await;
    let problem = asked(&world, &id, "en").await;
    assert_eq!((&problem["code"], &problem["trouble"]), (&json!("provider_error"), &json!("unknown")), "{problem}");
    let guidance = text(&problem["guidance"]);
    assert!(guidance.contains("help@acme.example") && guidance.contains(&text(&problem["request_id"])), "{guidance}");
    assert_eq!(problem["support_contact"], "help@acme.example");
    let (item, reply) = seen(&world, "en").await;
    assert_eq!((&item["action"], &item["trouble"]), (&json!("contact_support"), &json!("unknown")), "{item}");
    let (message, request) = (text(&item["message"]), reply.header("x-request-id"));
    assert!(message.contains("contact help@acme.example") && message.ends_with(request), "{message}");
    assert_eq!(item["support_contact"], "help@acme.example");
    world.stop().await;

    // Where nobody is named, it is the application's support, and the same number.
    let (world, id) = troubled(&LINES.replace("support_contact = 'help@acme.example'\n", ""), odd).await;
    let problem = asked(&world, &id, "en").await;
    assert!(text(&problem["guidance"]).contains("the support of this application"), "{problem}");
    assert!(problem.get("support_contact").is_none(), "{problem}");
    world.stop().await;
}

#[tokio::test]
async fn what_only_the_operator_can_mend_asks_nothing_of_the_person() {
    let refused = Canned::new("refused", 401, "application/json", "{\"error\":\"invalid_client\"}");
    let (world, id) = troubled(LINES, refused).await;
    asked(&world, &id, "en").await;
    world.until_event("integration.misconfigured").await;
    let problem = asked(&world, &id, "en").await;
    assert_eq!(problem["code"], "integration_misconfigured", "{problem}");
    assert!(text(&problem["guidance"]).contains("contact help@acme.example"), "{problem}");
    let (item, _) = seen(&world, "en").await;
    assert_eq!((&item["action"], &item["status"]), (&json!("fix_integration"), &json!("error")), "{item}");
    assert!(text(&item["message"]).ends_with("You need not do anything."), "{item}");
    world.stop().await;
}

#[tokio::test]
async fn one_line_speaks_for_all_connections() {
    let world = World::with(LINES, JudgeConfig::default()).await;
    let line = async || {
        let health = world.get("/v1/subjects/user-1/health").await.json();
        (text(&health["message"]), health["healthy"].as_bool())
    };
    assert_eq!(line().await, ("Nothing is connected.".to_owned(), Some(true)));
    let mut ids = Vec::new();
    for name in ["one", "two"] {
        world.integration(ClientConfig::new(name), json!({})).await;
        ids.push(world.connect(name, "user-1", "alice").await);
    }
    assert_eq!(line().await, ("Everything is connected.".to_owned(), Some(true)));
    let dead = Fault::Answer(Canned::new("dead", 400, "application/json", DEAD));
    world.judge.fault(FaultRule::lasting(dead).grant_type("refresh_token"));
    for (at, id) in ids.iter().enumerate() {
        assert_eq!(world.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await.status, 200);
        let (message, healthy) = line().await;
        assert_eq!(healthy, Some(false));
        if at == 1 {
            assert!(message.starts_with("2 connections need you: "), "{message}");
        }
    }
    // A person's own session sees the same, and nobody else's.
    let made = world.post("/v1/subjects/user-1/sessions", &json!({})).await.json();
    let session = Http::new(&world.url).bearer(&text(&made["token"]));
    let own = wait_for(LONG, "an answer", async || session.get("/v1/subjects/user-1/health").await.ok()).await;
    assert_eq!((own.status, own.json()["healthy"].as_bool()), (200, Some(false)), "{}", own.text());
    assert_eq!(session.get("/v1/subjects/user-2/health").await.unwrap().status, 404);
    world.stop().await;
}
