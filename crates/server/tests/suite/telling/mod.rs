//! Who is told, by real receivers: endpoints that check signatures with the official library, a mail server, two chats.

mod ahead;
mod chats;
mod doctor;
mod health;
mod hostile;
mod killed;
mod loudness;
mod mails;
mod many;
mod nodes;
mod private;
mod storms;
mod webhooks;

use std::collections::BTreeSet;

use evergrant_testkit::peers::Receivers;
use evergrant_testkit::{Canned, ClientConfig, Fault, FaultRule, JudgeConfig};
use serde_json::{Value, json};

use crate::waiting::{LONG, wait_for};
use crate::world::{World, text};

/// A world with those who are told beside it.
pub struct Told {
    pub world: World,
    pub receivers: Receivers,
}

/// Forced refreshes as often as a test likes, three refusals until a person must act.
const PATIENT: &str = "[refresh]\nbackground = false\nforce_interval = 0\ninvalid_grant_limit = 3\n";

impl Told {
    /// With more lines in the configuration; `{smtp}` and `{url}` stand for the mail server's port and the chats' address.
    pub async fn with(more: &str) -> Self {
        let receivers = Receivers::start(&Receivers::folder()).await.expect("those who are told start");
        let more =
            more.replace("{smtp}", &receivers.about.smtp_port.to_string()).replace("{url}", &receivers.about.url);
        let world = World::with(&more, JudgeConfig::default()).await;
        Told { world, receivers }
    }

    /// An endpoint whose secret the receiver knows; its id.
    pub async fn endpoint(&self, name: &str, more: Value) -> String {
        let mut body = json!({ "url": self.receivers.hook(name) });
        if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
            body.extend(more);
        }
        let made = self.world.api.post("/v1/webhooks", &body).await.expect("an answer comes");
        assert_eq!(made.status, 201, "{}", made.text());
        let made = made.json();
        self.receivers.set_hook(name, json!({ "secrets": [made["secret"]] })).await.expect("it is told its secret");
        text(&made["id"])
    }

    /// What came to an endpoint and was taken, once it is so many: type, sequence and id.
    pub async fn taken(&self, name: &str, count: usize) -> Vec<Value> {
        let what = format!("{count} messages at {name}");
        let taken = wait_for(LONG, &what, async || Some(self.taken_now(name).await).filter(|all| all.len() >= count));
        taken.await
    }

    /// The first message of this type that was taken at an endpoint, once there is one.
    pub async fn taken_of(&self, name: &str, kind: &str) -> Value {
        wait_for(LONG, &format!("{kind} at {name}"), async || {
            self.taken_now(name).await.into_iter().find(|one| one["body"]["type"] == kind)
        })
        .await
    }

    /// What was taken so far, each message once: what comes twice under one id is the same (a clock that jumps, or a busy
    /// machine, ends a try whose answer is on its way).
    pub async fn taken_now(&self, name: &str) -> Vec<Value> {
        let all = self.receivers.hooks(name).await.expect("the receiver answers");
        let taken = |one: &Value| one["status"].as_u64().is_some_and(|status| (200..300).contains(&status));
        let mut seen = BTreeSet::new();
        all.into_iter().filter(taken).filter(|one| seen.insert(text(&one["id"]))).collect()
    }

    /// Mails that were taken, once they are so many.
    pub async fn mails(&self, count: usize) -> Vec<Value> {
        wait_for(LONG, &format!("{count} mails"), async || {
            Some(self.mails_now().await).filter(|all| all.len() >= count)
        })
        .await
    }

    pub async fn mails_now(&self) -> Vec<Value> {
        let all = self.receivers.mails().await.expect("the mail server answers");
        all.into_iter().filter(|mail| mail["headers"].is_array()).collect()
    }

    /// The next refreshes of this client are refused so.
    pub fn refuses(&self, client: &str, body: &str) {
        self.world.judge.reset();
        let answer = Fault::Answer(Canned::new("said", 400, "application/json", body));
        self.world.judge.fault(FaultRule::lasting(answer).client(client).grant_type("refresh_token"));
    }

    /// Forces a refresh.
    pub async fn force(&self, id: &str) -> Value {
        let reply = self.world.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }

    /// Says how a person is reached.
    pub async fn reach(&self, subject: &str, contact: Value) {
        let path = format!("/v1/subjects/{subject}/preferences");
        let reply =
            self.world.api.json(http::Method::PUT, &path, &json!({ "contact": contact })).await.expect("an answer");
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    pub async fn connected(&self, client: &str, subject: &str, account: &str) -> String {
        self.world.integration(ClientConfig::new(client), json!({})).await;
        self.world.connect(client, subject, account).await
    }

    /// Waits until nothing waits to be told to an endpoint.
    pub async fn at_rest(&self, endpoint: &str) {
        let path = format!("/v1/webhooks/{endpoint}/deliveries?status=waiting");
        wait_for(LONG, "nothing waits", async || {
            let list = self.world.get(&path).await.json();
            list["items"].as_array().is_some_and(Vec::is_empty).then_some(())
        })
        .await;
    }
}

pub const DEAD: &str = "{\"error\":\"invalid_grant\"}";

/// The types of messages.
pub fn types(messages: &[Value]) -> Vec<String> {
    messages.iter().map(|message| text(&message["body"]["type"])).collect()
}

/// The mail section of the configuration; mails are sent at once.
pub const MAIL: &str = "[email]\nhost = '127.0.0.1'\nport = {smtp}\ntls = 'none'\n\
                        from = 'Acme Tools <tools@acme.example>'\noperator = 'ops@acme.example'\n";
