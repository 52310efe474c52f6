//! Three processes on one database tell as one.

use evergrant_testkit::peers::Receivers;
use evergrant_testkit::{Canned, Fault, FaultRule};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::DEAD;
use crate::nodes::Nodes;
use crate::waiting::{LONG, wait_for};
use crate::world::text;

const LINES: &str = "[refresh]\nbackground = false\nlease = 3.0\nanswer_timeout = 20.0\nforce_interval = 0.01\nwait = 60.0\n\
                     [notices]\nmail_delay = 0\n[email]\nhost = '127.0.0.1'\nport = {smtp}\ntls = 'none'\n\
                     from = 'tools@acme.example'\n";

/// Callers of one dead grant, at all nodes together.
const CALLERS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_callers_of_a_dead_grant_at_three_nodes_make_one_message_and_one_mail() {
    let receivers = Receivers::start(&Receivers::folder()).await.unwrap();
    let nodes = Nodes::start(&LINES.replace("{smtp}", &receivers.about.smtp_port.to_string())).await;
    let made = nodes.api(0).post("/v1/webhooks", &json!({ "url": receivers.hook("app") })).await.unwrap().json();
    receivers.set_hook("app", json!({ "secrets": [made["secret"]] })).await.unwrap();
    let id = nodes.expired("alice").await;
    let contact = json!({ "contact": { "email": "alice@mail.example" } });
    let path = "/v1/subjects/alice/preferences";
    assert_eq!(nodes.api(1).json(http::Method::PUT, path, &contact).await.unwrap().status, 200);
    for node in 0..3 {
        nodes.until(node, &format!("/v1/connections/{id}"), |reply| reply.status == 200).await;
    }
    let dead = Fault::Answer(Canned::new("dead", 400, "application/json", DEAD));
    nodes.judge.fault(FaultRule::lasting(dead).grant_type("refresh_token"));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (api, path) = (nodes.api(caller % 3).clone().limit(LONG), format!("/v1/connections/{id}/token?wait=20"));
        callers.spawn(async move { api.get(&path).await.map(|reply| reply.status) });
    }
    while let Some(answer) = callers.join_next().await {
        assert_eq!(answer.unwrap().unwrap(), 424);
    }
    assert_eq!(nodes.spends(), 1, "one refresh for all of them");
    let mail = wait_for(LONG, "a mail", async || receivers.mails().await.unwrap().pop()).await;
    assert_eq!(mail["to"], json!(["alice@mail.example"]));
    // Whoever asks now hears the same, and nobody is told again.
    for node in 0..3 {
        assert_eq!(nodes.api(node).get(&format!("/v1/connections/{id}/token")).await.unwrap().status, 424);
        let notices = nodes.api(node).get("/v1/subjects/alice/notifications").await.unwrap().json();
        let kinds: Vec<&Value> = notices["items"].as_array().unwrap().iter().map(|item| &item["kind"]).collect();
        assert_eq!(kinds, [&json!("disconnected")], "node {node}");
    }
    let waiting = format!("/v1/webhooks/{}/deliveries?status=waiting", text(&made["id"]));
    nodes.until(0, &waiting, |reply| reply.json()["items"].as_array().is_some_and(Vec::is_empty)).await;
    let hooks = receivers.hooks("app").await.unwrap();
    let told = hooks.iter().filter(|one| one["body"]["type"] == "connection.disconnected");
    let told: Vec<&Value> = told.inspect(|one| assert_eq!(one["verified"], true, "{one}")).collect();
    assert_eq!((told.len(), receivers.mails().await.unwrap().len()), (1, 1), "{hooks:#?}");
    nodes.stop().await;
}
