//! A backup that is put back, and a database that is copied: nothing is spent before the operator says so, and what has been
//! spent since is put right from the journal, or told by name.
//!
//! Real processes, real files, and a provider that takes the second use of a refresh token for theft.

use std::path::Path;
use std::time::Duration;

use evergrant_core::time::Timestamp;
use evergrant_testkit::http::Http;
use evergrant_testkit::{ClientConfig, Judge, JudgeConfig, ReplayKind};
use serde_json::{Value, json};

use crate::serving::{Home, Serving};
use crate::waiting::{LONG, wait_for};
use crate::world::text;

mod file;
mod server;
mod start;

const NUMBERS: &str = "[refresh]\nmargin = 1.0\nmin_ttl = 1.0\nretry_min = 0.1\nbackoff_min = 0.3\nbackoff_max = 1.0\n\
                       force_interval = 0.01\n";

struct Scene {
    judge: Judge,
    home: Home,
}

impl Scene {
    /// A service with integrations at a judge: `hour` and `short` are strict about replays, `single` only refuses them.
    async fn begin() -> (Self, Serving) {
        Scene::begin_at(Home::new(NUMBERS)).await
    }

    /// The same with its database elsewhere.
    async fn begin_at(home: Home) -> (Self, Serving) {
        let strict = |name: &str| ClientConfig::new(name).replay(ReplayKind::Family);
        let brief = Duration::from_secs(3);
        let clients = vec![
            strict("hour"),
            strict("short").access_lifetime(brief),
            ClientConfig::new("single").replay(ReplayKind::Single).access_lifetime(brief),
        ];
        let judge = Judge::start(JudgeConfig { clients, ..JudgeConfig::default() }).await.expect("a judge starts");
        let scene = Scene { judge, home };
        let serving = scene.home.serve().await;
        for name in ["hour", "short", "single"] {
            let secret = scene.judge.client_secret(name).expect("it is registered");
            let provider = scene.judge.catalogue_json(name).expect("it is registered");
            let body = json!({
                "name": name, "provider": provider, "client_id": name, "client_secrets": [{ "secret": secret }],
            });
            post(&serving.api, "/v1/integrations", &body).await;
        }
        (scene, serving)
    }

    async fn import(&self, api: &Http, client: &str, account: &str) -> String {
        let pair = self.judge.issue(client, account).expect("it is registered");
        let body = json!({
            "integration": client, "subject": account, "account_id": account,
            "access_token": pair.access_token, "refresh_token": pair.refresh_token,
            "expires_at": Timestamp::from_millis(pair.expires_at.micros() / 1000),
        });
        text(&post(api, "/v1/connections", &body).await["id"])
    }

    fn spends(&self) -> usize {
        self.judge.ledger().spends.len()
    }

    /// Runs a command on the installation.
    async fn run(&self, arguments: &[&str]) -> (i32, String) {
        self.home.run(&[arguments, &["--config", "evergrant.toml"]].concat()).await
    }

    async fn good(&self, arguments: &[&str]) {
        let (code, words) = self.run(arguments).await;
        assert_eq!(code, 0, "{arguments:?}: {words}");
    }

    /// Waits until everybody of a client has been refreshed so many times more.
    async fn rotated(&self, client: &str, accounts: &[&str], times: usize) {
        let count = |ledger: &evergrant_testkit::Ledger, account: &str| ledger.spends_of(client, account).count();
        let before = self.judge.ledger();
        let wanted = |ledger: &evergrant_testkit::Ledger| {
            accounts.iter().all(|who| count(ledger, who) >= count(&before, who) + times)
        };
        self.judge.wait_until(LONG, wanted).await.expect("they are refreshed");
    }
}

async fn post(api: &Http, path: &str, body: &Value) -> Value {
    let reply = api.post(path, body).await.expect("an answer");
    assert!(reply.status < 300, "{path}: {}", reply.text());
    reply.json()
}

async fn quarantined(api: &Http) -> bool {
    let reply = api.get("/readyz").await.expect("an answer");
    assert_eq!(reply.status, 200, "live tokens are served: {}", reply.text());
    let quarantined = reply.json()["checks"]["refresher"] == "quarantined";
    let stats = api.get("/v1/stats").await.expect("an answer").json();
    assert_eq!(stats["quarantine"].is_object(), quarantined, "{stats}");
    quarantined
}

async fn adopt(api: &Http, dry_run: bool) -> Value {
    post(api, "/v1/quarantine/adopt", &json!({ "dry_run": dry_run })).await
}

fn standing(report: &Value, id: &str) -> String {
    let all = report["connections"].as_array().expect("a list");
    all.iter().find(|one| one["connection_id"] == id).map_or("unaffected".to_owned(), |one| text(&one["standing"]))
}

async fn force(api: &Http, id: &str) -> Value {
    let path = format!("/v1/connections/{id}/refresh");
    wait_for(LONG, "a forced refresh", async || {
        let reply = api.post(&path, &json!({})).await.expect("an answer");
        (reply.status != 429).then(|| reply.json())
    })
    .await
}

/// The one document of `--json`, before what is noted beside it.
fn first_document(words: &str) -> Value {
    let mut documents = serde_json::Deserializer::from_str(words).into_iter::<Value>();
    documents.next().expect("a document").expect("JSON")
}

/// Another installation with the same master key.
fn copy_of(home: &Home) -> Home {
    let mut other = Home::new(NUMBERS);
    other.key.clone_from(&home.key);
    for file in std::fs::read_dir(home.folder.path()).expect("a folder") {
        let file = file.expect("a file");
        if file.path().extension().is_some_and(|extension| extension == "key") {
            std::fs::copy(file.path(), other.folder.path().join(file.file_name())).expect("a copy");
        }
    }
    std::fs::create_dir(other.data()).expect("a folder");
    copy(&home.data().join("master.key"), &other.data().join("master.key"));
    other
}

fn copy(from: &Path, to: &Path) {
    if from.exists() {
        std::fs::copy(from, to).expect("a copy");
    }
}
