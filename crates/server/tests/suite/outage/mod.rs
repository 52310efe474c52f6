//! The database, the journal or the disk is away while refreshes are under way: nothing is lost, nothing is spent again, and
//! nothing new is begun while there is no place for its answer.
//!
//! Real processes, a real server or a real full disk, and a provider that takes the second use of a refresh token for theft.

mod disk;
mod own;
mod server;

use std::time::{Duration, Instant};

use evergrant_core::time::Timestamp;
use evergrant_testkit::http::{Http, HttpError, Reply};
use evergrant_testkit::{ClientConfig, Fault, FaultRule, Judge, JudgeConfig, ReplayKind};
use serde_json::{Value, json};

use tokio::task::JoinSet;

use crate::serving::{Home, Serving};
use crate::waiting::{LONG, wait_for};
use crate::world::text;

/// People whose grants are being refreshed, and one whose is not.
struct Scene {
    judge: Judge,
    home: Home,
    people: Vec<String>,
    bystander: String,
}

impl Scene {
    async fn begin(home: Home, serving: &Serving, people: usize) -> Self {
        let clients = ["acme", "other"].map(|name| ClientConfig::new(name).replay(ReplayKind::Family));
        let judge =
            Judge::start(JudgeConfig { clients: clients.into(), ..JudgeConfig::default() }).await.expect("a judge");
        for name in ["acme", "other"] {
            let secret = judge.client_secret(name).expect("it is registered");
            let provider = judge.catalogue_json(name).expect("it is registered");
            let body = json!({
                "name": name, "provider": provider, "client_id": name, "client_secrets": [{ "secret": secret }],
                "policy": { "concurrency": people + 8 },
            });
            good(&serving.api.post("/v1/integrations", &body).await.expect("an answer"));
        }
        let mut scene = Scene { judge, home, people: Vec::new(), bystander: String::new() };
        scene.bystander = scene.import(&serving.api, "other", "bystander").await;
        for number in 0..people {
            let id = scene.import(&serving.api, "acme", &format!("a{number}")).await;
            scene.people.push(id);
        }
        scene
    }

    async fn import(&self, api: &Http, client: &str, account: &str) -> String {
        let pair = self.judge.issue(client, account).expect("it is registered");
        let body = json!({
            "integration": client, "subject": account, "account_id": account,
            "access_token": pair.access_token, "refresh_token": pair.refresh_token,
            "expires_at": Timestamp::from_millis(pair.expires_at.micros() / 1000),
        });
        text(&good(&api.post("/v1/connections", &body).await.expect("an answer"))["id"])
    }

    /// Has everybody refreshed, and returns when the provider has rotated each and answered none.
    async fn all_under_way(&self, api: &Http) -> JoinSet<Result<Reply, HttpError>> {
        self.judge.fault(FaultRule::lasting(Fault::HoldAnswer).client("acme").grant_type("refresh_token"));
        let before = self.judge.ledger().spends.len();
        let mut asking = JoinSet::new();
        for id in &self.people {
            let (api, path) = (api.clone(), format!("/v1/connections/{id}/refresh"));
            asking.spawn(async move { api.post(&path, &json!({})).await });
        }
        let wanted = before + self.people.len();
        let there = |ledger: &evergrant_testkit::Ledger| {
            ledger.spends.len() == wanted && ledger.in_flight().all(|spend| spend.decided_at.is_some())
        };
        // Shorter than the service waits for an answer.
        let limit = Duration::from_secs(80);
        self.judge.wait_until(limit, there).await.expect("everybody's refresh is under way");
        asking
    }

    /// Lets the answers out, and waits until the service has them all.
    async fn answered(&self) {
        self.judge.switch_off("hold-answer");
        self.judge.release();
        let delivered = |ledger: &evergrant_testkit::Ledger| ledger.in_flight().count() == 0;
        self.judge.wait_until(LONG, delivered).await.expect("every answer is read");
    }

    /// Nothing new is begun, which is said. Live tokens are handed out all the same, where their reading can be written
    /// down.
    async fn sends_nothing(&self, api: &Http, serves: bool) {
        wait_for(LONG, "the service says that it is not ready", async || {
            let ready = api.get("/readyz").await.expect("an answer");
            (ready.status == 503 && ready.json()["checks"]["database"] == "failed").then_some(())
        })
        .await;
        let spends = self.judge.ledger().spends.len();
        for id in self.people.iter().take(20).chain([&self.bystander]) {
            let token = api.get(&format!("/v1/connections/{id}/token")).await.expect("an answer");
            assert_eq!(!text(&token.json()["access_token"]).is_empty(), serves, "{} {}", token.status, token.text());
            assert!(serves || token.json()["code"] == "storage_unavailable", "{}", token.text());
        }
        let path = format!("/v1/connections/{}/refresh", self.bystander);
        let reply = api.post(&path, &json!({ "wait": 1 })).await.expect("an answer");
        assert!(reply.status == 503 && !reply.header("retry-after").is_empty(), "{} {}", reply.status, reply.text());
        assert_eq!(self.judge.ledger().spends.len(), spends, "nothing is sent while there is no place for the answer");
    }

    /// The storage is there again since `back`: everything is in it soon, and goes on from there.
    async fn everything_is_written(&self, api: &Http, back: Instant) {
        // Ten seconds by the contract, on a machine that does nothing else; what it took is printed.
        wait_for(LONG, "every answer is in the database", async || {
            let list =
                api.get("/v1/connections?integration=acme&limit=500").await.ok().filter(|reply| reply.status == 200)?;
            let list = list.json();
            let items = list["items"].as_array().cloned().unwrap_or_default();
            (items.len() == self.people.len() && items.iter().all(|one| one["refresh_count"] == 1)).then_some(())
        })
        .await;
        println!("everything was written {:?} after the storage had come back", back.elapsed());
        wait_for(LONG, "the service is ready", async || {
            (api.get("/readyz").await.expect("an answer").status == 200).then_some(())
        })
        .await;
        for (number, id) in self.people.iter().enumerate() {
            let token = good(&api.get(&format!("/v1/connections/{id}/token")).await.expect("an answer"));
            assert!(
                self.judge.is_live_access(&text(&token["access_token"])),
                "what is handed out is the newest: {number}"
            );
        }
        for id in self.people.iter().take(10).chain([&self.bystander]) {
            wait_for(LONG, "a refresh from the newest grant", async || {
                let reply = api.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await.expect("an answer");
                (reply.json()["outcome"] == "success").then_some(())
            })
            .await;
        }
        let ledger = self.judge.ledger();
        assert!(ledger.violations.is_empty(), "{:?}", ledger.violations);
        assert_eq!(ledger.spends.len(), self.people.len() + self.people.len().min(10) + 1, "each was spent once");
    }
}

fn good(reply: &Reply) -> Value {
    assert!(reply.status < 300, "{} {}", reply.status, reply.text());
    reply.json()
}
