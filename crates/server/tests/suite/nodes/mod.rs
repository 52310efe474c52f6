//! Three processes that serve from one PostgreSQL: what holds for one holds for all of them together.

mod owner;
mod shared;
mod together;

use std::path::PathBuf;
use std::time::Duration;

use evergrant_core::time::Timestamp;
use evergrant_testkit::cluster::Cluster;
use evergrant_testkit::http::{Http, Reply};
use evergrant_testkit::{ClientConfig, Fault, FaultRule, Judge, JudgeConfig, ReplayKind};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::described::integration;
use crate::serving::{Home, Serving};
pub use crate::waiting::LONG;
use crate::waiting::wait_for;
use crate::world::text;

/// Times are scaled: a lease lasts three seconds and is renewed every 750 ms, an answer may take as long.
const NUMBERS: &str = "[refresh]\nbackground = false\nlease = 3.0\nanswer_timeout = 20.0\nconnect_timeout = 4.0\n\
                       force_interval = 0.01\nreplay_after = 1.0\nretry_min = 0.1\nretry_max = 0.3\nbackoff_min = 0.3\n\
                       backoff_max = 1.0\nwait = 60.0\n";

/// Nodes of one database, each on a data folder of its own, and the provider that they share.
pub struct Nodes {
    pub homes: Vec<Home>,
    pub running: Vec<Option<Serving>>,
    pub judge: Judge,
}

impl Nodes {
    /// Three of them, with the integration `acme`.
    pub async fn start(numbers: &str) -> Self {
        Self::on(&Cluster::shared().schema(), numbers).await
    }

    /// The same on this database.
    pub async fn on(database: &str, numbers: &str) -> Self {
        let client = ClientConfig::new("acme").replay(ReplayKind::Family);
        let judge = JudgeConfig { clients: vec![client], ..JudgeConfig::default() };
        let judge = Judge::start(judge).await.expect("a judge starts");
        let first = home(database, numbers, None);
        let key = first.key.clone();
        let homes: Vec<Home> = [first].into_iter().chain((1..3).map(|_| home(database, numbers, Some(&key)))).collect();
        // All at one moment, on an empty database.
        let (one, two, three) = tokio::join!(homes[0].serve(), homes[1].serve(), homes[2].serve());
        let nodes = Nodes { homes, running: [one, two, three].into_iter().map(Some).collect(), judge };
        integration(nodes.api(0), &nodes.judge, "acme").await;
        for node in 0..3 {
            nodes.until(node, "/v1/integrations/acme", |reply| reply.status == 200).await;
        }
        nodes
    }

    pub fn api(&self, node: usize) -> &Http {
        &self.node(node).api
    }

    pub fn node(&self, node: usize) -> &Serving {
        self.running[node].as_ref().expect("it runs")
    }

    pub fn take(&mut self, node: usize) -> Serving {
        self.running[node].take().expect("it runs")
    }

    /// Imports a grant whose access token has ended; the connection's id.
    pub async fn expired(&self, account: &str) -> String {
        self.imported(0, account, -60).await.0
    }

    /// Imports at a node a grant whose access token lives so many seconds; the connection's id, and the access token.
    pub async fn imported(&self, node: usize, account: &str, lives: i64) -> (String, String) {
        let pair = self.judge.issue("acme", account).expect("a pair");
        let now = self.judge.now().micros() / 1000;
        let body = json!({
            "integration": "acme", "subject": account, "account_id": account, "access_token": pair.access_token,
            "refresh_token": pair.refresh_token, "expires_at": Timestamp::from_millis(now + lives * 1000),
        });
        (text(&good(&self.api(node).post("/v1/connections", &body).await.expect("an answer"))["id"]), pair.access_token)
    }

    /// Waits until a node answers so.
    pub async fn until(&self, node: usize, path: &str, wanted: impl Fn(&Reply) -> bool) -> Reply {
        wait_for(LONG, path, async || {
            let reply = self.api(node).get(path).await.expect("an answer");
            wanted(&reply).then_some(reply)
        })
        .await
    }

    /// How often refresh tokens came to the provider.
    pub fn spends(&self) -> usize {
        self.judge.ledger().spends.len()
    }

    pub async fn stop(mut self) {
        for node in &mut self.running {
            if let Some(node) = node.take() {
                let words = node.stop().await;
                assert!(!words.contains("panicked"), "{words}");
            }
        }
        assert!(self.judge.ledger().violations.is_empty(), "{:?}", self.judge.ledger().violations);
        self.judge.shutdown().await;
    }
}

fn home(database: &str, numbers: &str, key: Option<&str>) -> Home {
    let home = Home::new(numbers).with("EVERGRANT_DATABASE_URL", database);
    let file = key_file(&home);
    std::fs::write(&file, "5a".repeat(32)).expect("the key");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, private).expect("its mode");
    let home = home.with("EVERGRANT_MASTER_KEY_FILE", &file.display().to_string());
    match key {
        None => home,
        Some(key) => {
            let mut home = home.without("EVERGRANT_BOOTSTRAP_KEY").with("EVERGRANT_BOOTSTRAP_KEY", key);
            home.key = key.to_owned();
            home
        }
    }
}

/// Where a node's master key is.
pub fn key_file(home: &Home) -> PathBuf {
    home.folder.path().join("master.key")
}

pub fn good(reply: &Reply) -> Value {
    assert!(reply.status < 300, "{} {}", reply.status, reply.text());
    reply.json()
}

/// A fault to refreshes, until it is switched off.
pub fn fault(fault: Fault) -> FaultRule {
    FaultRule::lasting(fault).client("acme").grant_type("refresh_token")
}

/// So many callers at each of the nodes at once; what each was told.
pub fn callers(nodes: &Nodes, each: usize, path: &str) -> JoinSet<Reply> {
    let mut all = JoinSet::new();
    for _ in 0..each {
        for node in nodes.running.iter().flatten() {
            let (api, path) = (node.api.clone().limit(Duration::from_secs(90)), path.to_owned());
            all.spawn(async move { api.get(&path).await.expect("an answer") });
        }
    }
    all
}
