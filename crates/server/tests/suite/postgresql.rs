//! A service whose database is on a PostgreSQL server: what it keeps is there after a kill, and it works there alone.

use evergrant_testkit::browser::Browser;
use evergrant_testkit::cluster::Cluster;
use evergrant_testkit::http::{Http, Reply};
use evergrant_testkit::{ClientConfig, Judge, JudgeConfig, ReplayKind};
use serde_json::{Value, json};

use crate::serving::Home;
use crate::world::{agree, text};

const URL: &str = "EVERGRANT_DATABASE_URL";

async fn judge() -> Judge {
    let client = ClientConfig::new("acme").replay(ReplayKind::Family);
    Judge::start(JudgeConfig { clients: vec![client], ..JudgeConfig::default() }).await.expect("a judge starts")
}

fn good(reply: &Reply) -> Value {
    assert!(reply.status < 300, "{} {}", reply.status, reply.text());
    reply.json()
}

/// Registers the client and lets a person connect through the link; the connection's id.
async fn connect(api: &Http, judge: &Judge) -> String {
    let provider = judge.catalogue_json("acme").expect("it is registered");
    let secret = judge.client_secret("acme").expect("it is registered");
    let client = json!({
        "name": "acme", "provider": provider, "client_id": "acme", "client_secrets": [{ "secret": secret }],
    });
    good(&api.post("/v1/integrations", &client).await.expect("an answer"));
    let wish = json!({ "integration": "acme", "subject": "ann" });
    let session = good(&api.post("/v1/connect-sessions", &wish).await.expect("an answer"));
    let page = agree(&mut Browser::new(), &text(&session["url"]), "ann").await;
    assert_eq!(page.status(), 200, "{}", page.text());
    let list = good(&api.get("/v1/connections?subject=ann").await.expect("an answer"));
    text(&list["items"][0]["id"])
}

async fn token(api: &Http, id: &str) -> String {
    text(&good(&api.get(&format!("/v1/connections/{id}/token")).await.expect("an answer"))["access_token"])
}

async fn refresh(api: &Http, id: &str) -> Value {
    good(&api.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await.expect("an answer"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_keeps_on_postgresql_is_there_after_a_kill_and_another_master_key_is_refused() {
    let database = Cluster::shared().schema();
    let home = Home::new("[refresh]\nforce_interval = 0.001\n").with(URL, &database);
    let judge = judge().await;
    let serving = home.serve().await;
    let id = connect(&serving.api, &judge).await;
    let first = token(&serving.api, &id).await;
    assert_eq!(refresh(&serving.api, &id).await["outcome"], "success");
    let second = token(&serving.api, &id).await;
    assert_ne!(second, first);
    serving.kill().await;

    let other = Home::new("").with(URL, &database);
    let serving = home.serve().await;
    assert_eq!(token(&serving.api, &id).await, second, "the same folder takes it at once");
    assert_eq!(refresh(&serving.api, &id).await["outcome"], "success");
    let third = token(&serving.api, &id).await;
    let words = serving.stop().await;
    assert!(!words.contains(&third) && !words.contains("panicked"), "{words}");

    // Another folder may work there too, but not with a key of its own, and it keeps none.
    let (code, words) = other.run(&["serve", "--config", "evergrant.toml"]).await;
    assert_eq!(code, 5, "{words}");
    assert!(words.contains("master key"), "{words}");
    assert!(!other.data().join("master.key").exists(), "a key that opens nothing is not left behind");
    let (code, words) = home.run(&["doctor", "--config", "evergrant.toml"]).await;
    assert!(code == 0 && words.contains("opens, and is of this version"), "{words}");
    judge.shutdown().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_and_waited_for_by_whoever_starts_the_service() {
    let home = Home::new("").with(URL, "postgres://ann:secret@127.0.0.1:1/grants");
    let (code, words) = home.run(&["serve", "--config", "evergrant.toml"]).await;
    assert_eq!(code, 6, "{words}");
    assert!(words.contains("postgres://127.0.0.1:1/grants") && words.contains("cannot be reached"), "{words}");
    assert!(!words.contains("secret"), "{words}");
}
