//! Kills between what happens and its telling: every notice is told, none is lost, and what comes twice has one id.
//!
//! The receivers are foreign: webhooks are verified by the official library of Standard Webhooks, mails taken by a real
//! mail server. One person's grant dies for each kill, and the process is killed after the verdict is committed and before
//! its telling has come to an end: before anything was sent, while the receivers hold it, or while they refuse it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use evergrant_testkit::peers::Receivers;
use evergrant_testkit::{Canned, ClientConfig, Fault, FaultRule, Judge, JudgeConfig};
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::home::Serving;
use crate::plan::Plan;
use crate::scene::text;
use crate::tally::Tally;
use crate::waiting::{LONG, pass, wait_for};

/// How long everything may take until it is told, with all back-offs.
const AT_REST: Duration = Duration::from_secs(120);
/// How long receivers hold what they have got; a process that is to be killed meanwhile is killed sooner.
const HELD: f64 = 1.5;
/// Over the rig's own numbers: nothing happens by itself, everybody may be told at once.
const LINES: &str = "background = false\nbrake_connections = 1000000\n[notices]\n\
    retries = [0.2, 0.3, 0.5, 1, 1, 2, 2, 3, 3, 3, 3]\nmail_delay = 0\nbrake_mails = 1000000\n[email]\nhost = '127.0.0.1'\n\
    port = {port}\ntls = 'none'\nfrom = 'tools@acme.example'\n";

/// When the process is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Within milliseconds of the commit.
    AtOnce,
    /// The receivers have it and have not answered.
    Held,
    /// The receivers refuse it for now.
    Refused,
}

impl Moment {
    const ALL: [Moment; 3] = [Moment::AtOnce, Moment::Held, Moment::Refused];

    fn name(self) -> &'static str {
        match self {
            Moment::AtOnce => "kill right after the commit",
            Moment::Held => "kill while the receivers hold it",
            Moment::Refused => "kill while the receivers refuse it",
        }
    }

    /// What the receivers do meanwhile.
    fn answers(self) -> Value {
        match self {
            Moment::AtOnce | Moment::Held => {
                json!({ "hooks": { "app": { "delay": HELD } }, "smtp": { "delay": HELD } })
            }
            Moment::Refused => {
                json!({ "hooks": { "app": { "status": 503 } }, "smtp": { "answer": "451 later please" } })
            }
        }
    }
}

struct Person {
    connection: String,
    subject: String,
}

/// Kills a service so many times and says what came of it.
///
/// # Panics
/// When something does not start.
pub async fn killed(plan: &Plan, seed: u64, kills: usize) -> Tally {
    let mut dice = Dice::new(seed);
    let receivers = Receivers::start(&Receivers::folder()).await.expect("those who are told start");
    let judge = Judge::start(JudgeConfig::default()).await.expect("a judge starts");
    let lines = LINES.replace("{port}", &receivers.about.smtp_port.to_string());
    let home = Plan { more: lines, ..plan.clone() }.home();
    let mut serving = home.serve().await;
    let people = enrol(&serving, &judge, &receivers, kills).await;
    let dead = Canned::new("dead", 400, "application/json", "{\"error\":\"invalid_grant\"}");
    judge.fault(FaultRule::lasting(Fault::Answer(dead)).grant_type("refresh_token"));
    let mut tally = Tally::default();
    for person in &people {
        let moment = *dice.one_of(&Moment::ALL);
        receivers.set(&moment.answers()).await.expect("the receivers listen");
        let path = format!("/v1/connections/{}/refresh", person.connection);
        let forced = serving.api.post(&path, &json!({})).await.expect("an answer");
        // It is answered when it is committed.
        assert_eq!(forced.status, 200, "{}", forced.text());
        match moment {
            Moment::AtOnce => pass(Duration::from_millis(dice.below(12))).await,
            Moment::Held | Moment::Refused => {
                wait_for(LONG, "a message", async || {
                    let came = receivers.hooks("app").await.ok()?;
                    came.iter().any(|one| about(one, &person.connection)).then_some(())
                })
                .await;
            }
        }
        serving.kill().await;
        let came = receivers.hooks("app").await.expect("the receivers answer");
        let sent = came.iter().any(|one| about(one, &person.connection));
        tally.did(moment.name());
        tally.between += usize::from(!sent);
        let good = json!({ "hooks": { "app": { "delay": 0, "status": 204 } }, "smtp": { "delay": 0, "answer": null } });
        receivers.set(&good).await.expect("the receivers listen");
        serving = home.serve().await;
    }
    judge_what_came(&people, &receivers, &serving, &mut tally).await;
    serving.stop().await;
    judge.shutdown().await;
    tally
}

/// Connects everybody, with an address for mails, and an endpoint for webhooks.
async fn enrol(serving: &Serving, judge: &Judge, receivers: &Receivers, people: usize) -> Vec<Person> {
    let client = judge.register(ClientConfig::new("acme"));
    let api = &serving.api;
    let made = api.post("/v1/webhooks", &json!({ "url": receivers.hook("app") })).await.expect("an answer").json();
    receivers.set_hook("app", json!({ "secrets": [made["secret"]] })).await.expect("the receivers listen");
    let integration = json!({
        "name": "acme", "provider": judge.catalogue_json("acme").expect("it is registered"), "client_id": "acme",
        "client_secrets": client.client_secrets.iter().map(|secret| json!({ "secret": secret })).collect::<Vec<_>>(),
    });
    assert_eq!(api.post("/v1/integrations", &integration).await.expect("an answer").status, 201);
    let mut enrolled = Vec::new();
    for number in 0..people {
        let (account, subject) = (format!("account-{number}"), format!("user-{number}"));
        let pair = judge.issue("acme", &account).expect("it is registered");
        let body = json!({
            "integration": "acme", "subject": subject, "account_id": account,
            "access_token": pair.access_token, "refresh_token": pair.refresh_token,
        });
        let made = api.post("/v1/connections", &body).await.expect("an answer");
        assert_eq!(made.status, 201, "{}", made.text());
        let path = format!("/v1/subjects/{subject}/preferences");
        let contact = json!({ "contact": { "email": format!("{subject}@mail.example") } });
        let set = api.json(http::Method::PUT, &path, &contact).await.expect("an answer");
        assert_eq!(set.status, 200, "{}", set.text());
        enrolled.push(Person { connection: text(&made.json()["id"]), subject });
    }
    enrolled
}

/// Everybody is told by every channel: at least once, always under the same id, and in the application exactly once.
async fn judge_what_came(people: &[Person], receivers: &Receivers, serving: &Serving, tally: &mut Tally) {
    let until = std::time::Instant::now() + AT_REST;
    let (mut hooks, mut mails);
    loop {
        hooks = by_connection(&receivers.hooks("app").await.expect("the receivers answer"));
        mails = by_address(&receivers.mails().await.expect("the receivers answer"));
        if (hooks.len() == people.len() && mails.len() == people.len()) || std::time::Instant::now() > until {
            break;
        }
        pass(Duration::from_millis(50)).await;
    }
    for Person { connection, subject } in people {
        let address = format!("{subject}@mail.example");
        for (channel, ids) in [("webhook", hooks.get(connection)), ("mail", mails.get(&address))] {
            let ids = ids.map(Vec::as_slice).unwrap_or_default();
            let different: BTreeSet<&String> = ids.iter().collect();
            match (ids.len(), different.len()) {
                (0, _) => tally.wrong.push(format!("NOTICE: {subject} was not told by {channel}")),
                (_, 2..) => tally.wrong.push(format!("NOTICE: {subject} was told by {channel} under {different:?}")),
                (1, _) => {}
                _ => tally.did(&format!("{channel} that came twice under one id")),
            }
        }
        let path = format!("/v1/subjects/{subject}/notifications");
        let list = serving.api.get(&path).await.expect("an answer").json();
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let told = items.iter().filter(|item| item["kind"] == "disconnected").count();
        if told != 1 {
            tally.wrong.push(format!("NOTICE: {subject} finds {told} notices in the application"));
        }
    }
}

fn about(message: &Value, connection: &str) -> bool {
    message["body"]["type"] == "connection.disconnected" && message["body"]["data"]["connection_id"] == connection
}

/// The ids of the messages of disconnection, by connection; refused ones count as told once they were taken.
fn by_connection(hooks: &[Value]) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let taken = |one: &&Value| one["status"] == 204 && one["verified"] == true;
    for one in hooks.iter().filter(taken).filter(|one| one["body"]["type"] == "connection.disconnected") {
        found.entry(text(&one["body"]["data"]["connection_id"])).or_default().push(text(&one["id"]));
    }
    found
}

/// The ids of the mails that were taken, by address.
fn by_address(mails: &[Value]) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for mail in mails.iter().filter(|mail| mail["headers"].is_array()) {
        let headers = mail["headers"].as_array().cloned().unwrap_or_default();
        let id = headers.iter().find(|header| text(&header[0]).eq_ignore_ascii_case("message-id"));
        found.entry(text(&mail["to"][0])).or_default().push(id.map(|id| text(&id[1])).unwrap_or_default());
    }
    found
}
