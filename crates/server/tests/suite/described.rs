//! The OpenAPI document, held against the service by a property-based tester of somebody else's make: whatever it sends, by
//! the document or against it, there is no 500 and no answer that the document does not tell.

use evergrant_core::time::Timestamp;
use evergrant_testkit::browser::Browser;
use evergrant_testkit::http::Http;
use evergrant_testkit::peers::ApiTester;
use evergrant_testkit::{ClientConfig, Judge, JudgeConfig};
use serde_json::{Value, json};

use crate::serving::Home;
use crate::waiting::{LONG, wait_for};
use crate::world::{agree, text};

/// Examples for each operation and phase; the whole takes less than a minute on two cores.
const EXAMPLES: &str = "15";

/// The same choices at every run: a suite that fails by chance is not believed. Others are made with EVERGRANT_TEST_SEED.
const SEED: u64 = 20;

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance";

async fn made(api: &Http, path: &str, body: &Value) -> Value {
    let reply = api.post(path, body).await.expect("an answer");
    assert!(matches!(reply.status, 200 | 201), "{path}: {}", reply.text());
    reply.json()
}

pub(crate) async fn integration(api: &Http, judge: &Judge, name: &str) {
    let body = json!({
        "name": name, "provider": judge.catalogue_json(name).expect("it is registered"), "client_id": name,
        "client_secrets": [{ "secret": judge.client_secret(name).expect("it is registered") }],
    });
    made(api, "/v1/integrations", &body).await;
}

pub(crate) async fn imported(api: &Http, judge: &Judge, client: &str, subject: &str) -> String {
    let pair = judge.issue(client, subject).expect("it is registered");
    let body = json!({
        "integration": client, "subject": subject, "account_id": subject,
        "access_token": pair.access_token, "refresh_token": pair.refresh_token,
        "expires_at": Timestamp::from_millis(pair.expires_at.micros() / 1000),
    });
    text(&made(api, "/v1/connections", &body).await["id"])
}

/// Things of every kind in several states; the ids of those that have one.
async fn furnished(api: &Http, judge: &Judge) -> Vec<String> {
    for name in ["acme", "gone"] {
        integration(api, judge, name).await;
    }
    let mut ids = Vec::new();
    for number in 0..4 {
        ids.push(imported(api, judge, "acme", &format!("user-{number}")).await);
    }
    let wish = json!({ "integration": "acme", "subject": "user-5" });
    let session = made(api, "/v1/connect-sessions", &wish).await;
    let page = agree(&mut Browser::new(), &text(&session["url"]), "dora").await;
    assert_eq!(page.status(), 200, "{}", page.text());
    ids.push(text(&session["id"]));
    ids.push(text(&made(api, "/v1/connect-sessions", &wish).await["id"]));
    let lost = imported(api, judge, "gone", "user-2").await;
    judge.revoke("gone", "user-2");
    let path = format!("/v1/connections/{lost}");
    api.post(&format!("{path}/refresh"), &json!({})).await.expect("an answer");
    wait_for(LONG, "a connection whose grant has ended", async || {
        let found = api.get(&path).await.expect("an answer").json();
        (found["status"] == "needs_reauth").then_some(())
    })
    .await;
    ids.push(lost);
    let notices = api.get("/v1/subjects/user-2/notifications").await.expect("an answer").json();
    ids.extend(notices["items"].as_array().into_iter().flatten().map(|notice| text(&notice["id"])));
    let job = api.post("/v1/refresh", &json!({ "integration": "acme" })).await.expect("an answer").json();
    ids.push(text(&job["id"]));
    ids
}

/// Most ids and names are those of things that are there; the others the tester makes up.
fn configuration(seed: u64, ids: &[String]) -> String {
    let subjects: Vec<String> = (0..6).map(|number| format!("user-{number}")).collect();
    let mut file = format!("seed = {seed}\n");
    for (parameter, values) in
        [("path.id", ids), ("path.subject", &subjects), ("path.name", &["acme".to_owned(), "gone".to_owned()])]
    {
        let name = parameter.replace("path.", "");
        file.push_str(&format!("[dictionaries.{name}]\nvalues = {}\n", json!(values)));
        file.push_str(&format!("[parameters.\"{parameter}\"]\ndictionary = \"{name}\"\nprobability = 0.7\n"));
    }
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_property_based_tester_finds_no_500_and_no_answer_that_the_document_does_not_tell() {
    let tester = ApiTester::install(&ApiTester::folder()).await.unwrap();
    let seed = option_env!("EVERGRANT_TEST_SEED").and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    let clients = vec![ClientConfig::new("acme"), ClientConfig::new("gone")];
    let judge = Judge::start(JudgeConfig { clients, ..JudgeConfig::default() }).await.unwrap();
    let home = Home::new("");
    let service = home.serve().await;
    let ids = furnished(&service.api, &judge).await;
    std::fs::write(home.folder.path().join("schemathesis.toml"), configuration(seed, &ids)).unwrap();
    let (document, key) = (format!("{}/openapi.json", service.url), format!("Authorization: Bearer {}", home.key));
    let asked = ["run", &document, "--header", &key, "--phases", "examples,coverage,fuzzing", "--checks", CHECKS];
    // One worker: with several, Python 3.11 can fail by itself when two threads read sources at once.
    let how =
        ["--max-examples", EXAMPLES, "--continue-on-failure", "--no-shrink", "--workers", "1", "--warnings", "off"];
    let (found_nothing, said) = tester.run(home.folder.path(), &[&asked[..], &how[..]].concat()).await.unwrap();
    let words = service.stop().await;
    assert!(found_nothing, "seed {seed} (EVERGRANT_TEST_SEED at build time repeats it)\n{said}\n{words}");
    println!("seed {seed}: {said}");
    judge.shutdown().await;
}
