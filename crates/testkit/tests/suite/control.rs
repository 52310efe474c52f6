//! The judge is told and asked over HTTP, as other processes and the demo's page do.

use evergrant_testkit::browser::Browser;
use evergrant_testkit::http::Http;
use std::time::Duration;

use evergrant_core::provider::{self, Provider};
use evergrant_testkit::{ClientConfig, Judge, JudgeConfig, ReplayKind, SecretKind};
use serde_json::{Value, json};

use crate::Scene;

async fn press(scene: &Scene, switch: &str, body: &Value) -> (u16, Value) {
    let reply =
        Http::new(scene.judge.url()).post(&format!("/control/{switch}"), body).await.expect("the judge answers");
    (reply.status, reply.json())
}

#[tokio::test]
async fn the_switches_of_the_demo_do_what_they_say() {
    let scene = Scene::new().await;
    let (status, said) = press(&scene, "answer-500", &json!({})).await;
    assert_eq!((status, said["on"][0]["switch"].as_str()), (200, Some("answer-500")));
    assert_eq!(scene.refresh(&scene.refresh_token("alice")).await.status, 500);
    press(&scene, "answer-500", &json!({ "on": false })).await;
    assert_eq!(scene.refresh(&scene.refresh_token("alice")).await.status, 200);

    press(&scene, "rate-limit", &json!({ "retry_after": 3, "count": 1 })).await;
    assert_eq!(scene.refresh(&scene.refresh_token("alice")).await.header("retry-after"), "3");

    press(&scene, "lose-next-answer", &json!({})).await;
    let token = scene.refresh_token("alice");
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
    assert!(scene.http().form("/token", &fields).await.is_err());
    assert!(!scene.judge.is_live(&token));
    assert_eq!(scene.refresh(&scene.refresh_token("alice")).await.status, 200);

    let old = scene.http();
    let (_, said) = press(&scene, "rotate-client-secret", &json!({})).await;
    assert_eq!(said["client_secret"], scene.judge.client_secret("acme").unwrap());
    let fields = [("grant_type", "refresh_token"), ("refresh_token", &scene.refresh_token("alice"))];
    assert_eq!(old.form("/token", &fields).await.unwrap().json()["error"], "invalid_client");
    assert_eq!(scene.refresh(&scene.refresh_token("alice")).await.status, 200);
}

#[tokio::test]
async fn a_grant_is_revoked_by_any_of_its_names() {
    let scene = Scene::new().await;
    scene.judge.alias("con_1", "acme", "alice");
    scene.judge.alias("user-1", "acme", "bob");
    for (account, body) in [
        ("alice", json!({ "connection_id": "con_1" })),
        ("bob", json!({ "subject": "user-1" })),
        ("carol", json!({ "account": "carol", "client_id": "acme" })),
    ] {
        let (token, bystander) = (scene.refresh_token(account), scene.refresh_token("dora"));
        let (status, said) = press(&scene, "revoke", &body).await;
        assert_eq!((status, said["revoked"][0]["account"].as_str()), (200, Some(account)));
        assert!(!scene.judge.is_live(&token));
        assert!(scene.judge.is_live(&bystander));
    }
    assert_eq!(press(&scene, "revoke", &json!({ "account": "nobody" })).await.0, 404);
    let token = scene.refresh_token("erin");
    press(&scene, "revoke", &json!({})).await;
    assert!(!scene.judge.is_live(&token), "without a name every grant ends");
}

#[tokio::test]
async fn an_unknown_switch_and_an_unreadable_field_are_answered_with_help() {
    let scene = Scene::new().await;
    let (status, said) = press(&scene, "explode", &json!({})).await;
    assert_eq!(status, 404);
    assert!(said["switches"].as_array().unwrap().contains(&json!("lose-next-answer")));
    assert_eq!(press(&scene, "delay", &json!({ "millis": "soon" })).await.0, 400);
    assert_eq!(press(&scene, "status", &json!({ "status": 99 })).await.0, 400);
    assert_eq!(press(&scene, "delay", &json!({ "endpoint": "nowhere" })).await.0, 400);
}

#[tokio::test]
async fn every_listed_switch_exists() {
    let scene = Scene::new().await;
    let list = Http::new(scene.judge.url()).get("/control").await.unwrap().json();
    let names: Vec<_> =
        list["switches"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap().to_owned()).collect();
    assert!(names.len() > 20);
    for name in names {
        assert_eq!(press(&scene, &name, &json!({})).await.0, 200, "{name}");
    }
}

#[tokio::test]
async fn another_process_registers_issues_and_asks() {
    let judge = Judge::start(JudgeConfig::default()).await.unwrap();
    let http = Http::new(judge.url());
    let client = json!({ "client_id": "acme", "replay": { "kind": "overlap", "window": 0.5 }, "access_lifetime": 1.5 });
    let client = http.post("/control/clients", &client).await.unwrap().json();
    assert_eq!(client["provider"]["replay"], "overlap");
    assert_eq!(client["provider"]["replay_window"], 0.5);
    assert_eq!(client["client_secret"], judge.client_secret("acme").unwrap());
    let pair = http.form("/control/issue", &[("client_id", "acme"), ("account", "alice")]).await.unwrap().json();
    let held = pair["refresh_token"].as_str().unwrap();
    let path = format!("/control/verdict?client_id=acme&account=alice&held={held}");
    assert_eq!(http.get(&path).await.unwrap().json(), json!({ "verdict": "ok" }));
    assert_eq!(http.get("/control/secrets").await.unwrap().json()["items"].as_array().unwrap().len(), 3);
    assert_eq!(http.get("/control/ledger").await.unwrap().json()["spends"], json!([]));
    assert_eq!(http.get("/control/calls").await.unwrap().json()["by_endpoint"], json!({}));
    let wrong = http.post("/control/clients", &json!({ "client_id": "x", "colour": 1 })).await.unwrap();
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn the_service_reads_the_judge_as_an_inline_provider() {
    let life = Duration::from_millis(1500);
    let window = Duration::from_millis(250);
    for (replay, expected, known) in [
        (ReplayKind::None, provider::ReplayKind::None, None),
        (ReplayKind::Idempotent { window }, provider::ReplayKind::Idempotent, Some(window)),
        (ReplayKind::Confirm, provider::ReplayKind::Confirm, None),
        (ReplayKind::Overlap { window }, provider::ReplayKind::Overlap, Some(window)),
        (ReplayKind::Single, provider::ReplayKind::Single, None),
        (ReplayKind::Family, provider::ReplayKind::Family, None),
    ] {
        let client = ClientConfig::new("acme").replay(replay).access_lifetime(life);
        let scene = Scene::with(ClientConfig { refresh_lifetime: Some(life), ..client }).await;
        let entry: Provider = serde_json::from_value(scene.judge.catalogue_json("acme").unwrap()).unwrap();
        assert_eq!((entry.replay, entry.known_replay_window()), (expected, known));
        assert_eq!(entry.access_lifetime.unwrap().duration(), life);
        assert_eq!(entry.idle_limit(), Some(life));
        assert_eq!(entry.client_auth, provider::ClientAuth::Basic);
        assert_eq!(entry.token_url, format!("{}/token", scene.judge.url()));
    }
}

#[tokio::test]
async fn another_sites_page_cannot_press() {
    let scene = Scene::new().await;
    let http = Http::new(scene.judge.url()).header("sec-fetch-site", "cross-site");
    assert_eq!(http.form("/control/answer-500", &[]).await.unwrap().status, 403);
    assert_eq!(scene.refresh(&scene.refresh_token("alice")).await.status, 200);
}

#[tokio::test]
async fn the_page_shows_grants_and_switches_and_no_token() {
    let config = JudgeConfig { clients: vec![ClientConfig::new("acme")], reveal: false, ..JudgeConfig::default() };
    let scene = Scene { judge: Judge::start(config).await.unwrap(), client_id: "acme".to_owned() };
    let token = scene.refresh_token("<alice>");
    scene.refresh(&token).await;
    let mut browser = Browser::new();
    let page = browser.visit(scene.judge.url()).await.unwrap();
    let text = page.text();
    assert!(text.contains("rotated to generation 2") && text.contains("Lose the next answer"), "{text}");
    assert!(!text.contains("<alice>") && !text.contains("<script"));
    for kind in [SecretKind::AccessToken, SecretKind::RefreshToken, SecretKind::ClientSecret] {
        assert!(!text.contains(&scene.judge.mark(kind)));
    }
    let revoke = page.forms().into_iter().find(|form| form.action == "/control/revoke").unwrap();
    let after = browser.press(&page, &revoke).await.unwrap();
    assert_eq!((after.url.path(), after.status()), ("/", 200));
    assert!(after.text().contains("revoked by the person"));
    assert_eq!(scene.judge.live_refresh_token("acme", "<alice>"), None);

    let rotate = after.forms().into_iter().find(|form| form.action == "/control/rotate-client-secret").unwrap();
    let shown = browser.press(&after, &rotate).await.unwrap();
    let secret = scene.judge.client_secret("acme").unwrap();
    assert!(shown.text().contains(&secret), "a new secret is shown, because somebody must carry it");
    assert!(!browser.visit(scene.judge.url()).await.unwrap().text().contains(&secret), "once");
    assert_eq!(Http::new(scene.judge.url()).get("/control/secrets").await.unwrap().status, 403);
}
