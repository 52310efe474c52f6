//! `serve` is killed between what happens and its telling, again and again: nothing is lost, and what comes twice says so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use evergrant_testkit::peers::Receivers;
use evergrant_testkit::{Canned, ClientConfig, Fault, FaultRule, Judge, JudgeConfig};
use serde_json::{Value, json};

use crate::serving::{Dice, Home};
use crate::waiting::{LONG, pass, wait_for};
use crate::world::text;

/// Kills.
const KILLS: usize = 24;

#[tokio::test]
async fn every_notice_is_told_however_often_the_process_is_killed_before_it_could() {
    let seed = option_env!("EVERGRANT_TEST_SEED").and_then(|seed| seed.parse().ok()).unwrap_or_else(Dice::any_seed);
    let mut dice = Dice::new(seed);
    let receivers = Receivers::start(&Receivers::folder()).await.unwrap();
    let judge = Judge::start(JudgeConfig::default()).await.unwrap();
    let home = Home::new(&format!(
        "[refresh]\nbackground = false\nforce_interval = 0\nbrake_connections = 1000\n\
         [notices]\nretries = [0.2, 0.3, 0.5, 1, 1, 2, 2, 3, 3, 3, 3]\nmail_delay = 0\nbrake_mails = 1000\n\
         [email]\nhost = '127.0.0.1'\nport = {}\ntls = 'none'\nfrom = 'tools@acme.example'\n",
        receivers.about.smtp_port
    ));
    let client = judge.register(ClientConfig::new("acme"));
    let mut serving = home.serve().await;
    let made = serving.api.post("/v1/webhooks", &json!({ "url": receivers.hook("app") })).await.unwrap().json();
    receivers.set_hook("app", json!({ "secrets": [made["secret"]], "delay": 0.05 })).await.unwrap();
    let integration = json!({
        "name": "acme", "provider": judge.catalogue_json("acme").unwrap(), "client_id": "acme",
        "client_secrets": client.client_secrets.iter().map(|secret| json!({ "secret": secret })).collect::<Vec<_>>(),
    });
    assert_eq!(serving.api.post("/v1/integrations", &integration).await.unwrap().status, 201);
    let mut ids = Vec::new();
    for number in 0..KILLS {
        let pair = judge.issue("acme", &format!("account-{number}")).expect("it is registered");
        let body = json!({
            "integration": "acme", "subject": format!("user-{number}"), "account_id": format!("account-{number}"),
            "access_token": pair.access_token, "refresh_token": pair.refresh_token,
        });
        ids.push(text(&serving.api.post("/v1/connections", &body).await.unwrap().json()["id"]));
        let path = format!("/v1/subjects/user-{number}/preferences");
        let contact = json!({ "contact": { "email": format!("user-{number}@mail.example") } });
        assert_eq!(serving.api.json(http::Method::PUT, &path, &contact).await.unwrap().status, 200);
    }
    let dead = Fault::Answer(Canned::new("said", 400, "application/json", super::DEAD));
    judge.fault(FaultRule::lasting(dead).client("acme").grant_type("refresh_token"));
    for id in &ids {
        // The verdict is committed when this is answered; the kill comes before, during or after its telling.
        let forced = serving.api.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await.unwrap();
        assert_eq!(forced.status, 200, "{}", forced.text());
        pass(Duration::from_millis(dice.below(120))).await;
        serving.kill().await;
        serving = home.serve().await;
    }
    wait_for(LONG, "every notice is told", async || {
        let hooks = disconnections(&receivers.hooks("app").await.unwrap());
        let mails = by_address(&receivers.mails().await.unwrap());
        (hooks.len() == KILLS && mails.len() == KILLS).then_some(())
    })
    .await;
    let hooks = disconnections(&receivers.hooks("app").await.unwrap());
    let mails = by_address(&receivers.mails().await.unwrap());
    println!("seed {seed}: {KILLS} kills; {hooks:?}; {mails:?}");
    for (connection, messages) in &hooks {
        assert_eq!(messages.len(), 1, "seed {seed}: {connection} was told under several ids: {messages:?}");
    }
    for (address, messages) in &mails {
        assert_eq!(messages.len(), 1, "seed {seed}: {address} got different mails: {messages:?}");
    }
    serving.stop().await;
    judge.shutdown().await;
}

/// The ids of the messages of disconnection, by connection.
fn disconnections(hooks: &[Value]) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for one in hooks.iter().filter(|one| one["body"]["type"] == "connection.disconnected") {
        assert_eq!(one["verified"], true, "{one}");
        found.entry(text(&one["body"]["data"]["connection_id"])).or_default().insert(text(&one["id"]));
    }
    found
}

/// The ids of the mails, by address.
fn by_address(mails: &[Value]) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for mail in mails {
        let headers = mail["headers"].as_array().cloned().unwrap_or_default();
        let id = headers.iter().find(|header| text(&header[0]).eq_ignore_ascii_case("message-id"));
        found.entry(mail["to"][0].to_string()).or_default().insert(id.map(|id| text(&id[1])).unwrap_or_default());
    }
    found
}
