//! A provider, one or more processes that serve, their database, and people whose grants rotate all the time.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use evergrant_core::time::Timestamp;
use evergrant_testkit::http::{Http, Reply};
use evergrant_testkit::{ClientConfig, Judge, JudgeConfig, Moment as At, ReplayKind};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::dice::Dice;
use crate::home::{Home, Serving};
use crate::place::{Lock, Place};
use crate::plan::{DATABASE_URL, Plan, REPLAY_AFTER};
use crate::proxy::Proxy;
use crate::readers::{self, Read};
use crate::tally::Tally;
use crate::waiting::{pass, wait_for};
use crate::{history, judgement};

/// How long the last refresh of everybody may take, with all back-offs.
const AT_REST: Duration = Duration::from_secs(60);
/// How long a process that ends may take to say why.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Somebody whose grant is kept.
#[derive(Clone, Debug)]
pub struct Person {
    /// The client at the provider, and the integration.
    pub client: String,
    /// The account at the provider, and the subject.
    pub account: String,
    /// The connection.
    pub id: String,
}

/// A process that serves, and its folder.
pub struct Node {
    /// The folder.
    pub home: Home,
    /// The process, while there is one.
    pub serving: Option<Serving>,
    wire: Option<Proxy>,
}

impl Node {
    fn new(home: Home, plan: &Plan) -> Self {
        let wire = plan.wires.then(|| Proxy::before_database(&plan.place.cluster().socket()));
        let home = match wire.as_ref().and_then(Proxy::folder) {
            Some(folder) => home.with(DATABASE_URL, &plan.place.through(folder)),
            None => home,
        };
        Node { home, serving: None, wire }
    }

    /// The wire between the process and the database.
    ///
    /// # Panics
    /// Where the plan has none.
    pub fn wire(&self) -> &Proxy {
        self.wire.as_ref().expect("the plan has wires")
    }
}

/// A provider, processes, a database and people.
pub struct Scene {
    /// The provider.
    pub judge: Judge,
    /// Whose grants are kept.
    pub people: Vec<Person>,
    /// The processes.
    pub nodes: Vec<Node>,
    /// Where the data lies.
    pub place: Place,
    /// The clients at the provider.
    pub clients: Vec<String>,
    /// What it comes to.
    pub tally: Tally,
    /// What callers were given.
    pub(crate) reads: Arc<Mutex<Vec<Read>>>,
    /// When a process was killed, by the judge's clock: between the signal and its end.
    pub(crate) killed_at: Vec<(At, At)>,
    /// How long the machine took to write a few bytes down, and when that was done.
    pub(crate) writes: Arc<Mutex<Vec<(At, Duration)>>>,
    /// Uses that had been journalled when the process was killed.
    pub(crate) journalled: HashSet<usize>,
    /// How often each connection was said to be lost.
    pub(crate) losses: HashMap<String, usize>,
    /// How long an access token lives.
    access: Duration,
    /// The least rest between two uses of a token that was not answered, in seconds.
    pub(crate) replay_after: f64,
    /// What the processes have written to their logs.
    pub(crate) words: String,
    addresses: watch::Sender<Vec<String>>,
    others: JoinSet<()>,
}

impl Scene {
    /// Starts everything and lets everybody consent.
    ///
    /// # Panics
    /// When something does not start.
    pub async fn begin(plan: &Plan, dice: &mut Dice) -> Self {
        let client =
            |(name, replay): &(&str, ReplayKind)| ClientConfig::new(*name).replay(*replay).access_lifetime(plan.access);
        let judge = JudgeConfig { clients: plan.kinds.iter().map(client).collect(), ..JudgeConfig::default() };
        let first = plan.home();
        let ahead = plan.second_clock_ahead.map(|ahead| ahead.as_secs().to_string());
        let beside = |_| match &ahead {
            Some(ahead) => first.beside().with("EVERGRANT_PLANTED_CLOCK", ahead),
            None => first.beside(),
        };
        let homes = (1..plan.nodes).map(beside).collect::<Vec<_>>();
        let nodes = std::iter::once(first).chain(homes).map(|home| Node::new(home, plan)).collect();
        let replay_after = plan.numbers.iter().rfind(|(name, _)| *name == "replay_after");
        let mut scene = Scene {
            judge: Judge::start(judge).await.expect("a judge starts"),
            people: Vec::new(),
            nodes,
            place: plan.place.clone(),
            clients: plan.kinds.iter().map(|(name, _)| (*name).to_owned()).collect(),
            tally: Tally::default(),
            reads: Arc::default(),
            killed_at: Vec::new(),
            writes: Arc::default(),
            journalled: HashSet::new(),
            losses: HashMap::new(),
            access: plan.access,
            replay_after: replay_after.map_or(REPLAY_AFTER, |(_, seconds)| *seconds),
            words: String::new(),
            addresses: watch::Sender::new(Vec::new()),
            others: JoinSet::new(),
        };
        for number in 0..plan.nodes {
            scene.start(number).await;
        }
        scene.enrol(plan.people).await;
        history::watch(&scene);
        for _ in 0..plan.callers {
            let (who, to) = (scene.people.clone(), scene.addresses.subscribe());
            let key = scene.nodes[0].home.key.clone();
            dice.below(2);
            let (judge, reads) = (scene.judge.clone(), scene.reads.clone());
            scene.others.spawn(readers::read(who, to, key, judge, reads, dice.clone()));
        }
        let probe = scene.nodes[0].home.folder.path().join("probe");
        scene.others.spawn(measure(scene.judge.clone(), probe, scene.writes.clone()));
        scene
    }

    async fn enrol(&mut self, people: usize) {
        for client in self.clients.clone() {
            let secret = self.judge.client_secret(&client).expect("it is registered");
            let provider = self.judge.catalogue_json(&client).expect("it is registered");
            let body = json!({
                "name": client, "provider": provider, "client_id": client, "client_secrets": [{ "secret": secret }],
            });
            good(&self.api().post("/v1/integrations", &body).await.expect("an answer"));
            for number in 0..people {
                let mut person =
                    Person { client: client.clone(), account: format!("{client}-{number}"), id: String::new() };
                person.id = self.import(&person).await;
                self.people.push(person);
            }
        }
    }

    /// The front door of the first process that runs.
    ///
    /// # Panics
    /// When none does.
    pub fn api(&self) -> Http {
        let running = self.nodes.iter().find_map(|node| node.serving.as_ref());
        running.expect("a process serves").api.clone()
    }

    /// Gives the service a new grant of this person, as after a new consent; the connection's id.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn import(&self, person: &Person) -> String {
        self.import_that_ends(person, None).await
    }

    /// The same with an access token that has ended.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn import_expired(&self, person: &Person) -> String {
        self.import_that_ends(person, Some(Timestamp::from_millis(self.judge.now().micros() / 1000 - 1000))).await
    }

    async fn import_that_ends(&self, person: &Person, end: Option<Timestamp>) -> String {
        let pair = self.judge.issue(&person.client, &person.account).expect("it is registered");
        let end = end.unwrap_or_else(|| Timestamp::from_millis(pair.expires_at.micros() / 1000));
        let body = json!({
            "integration": person.client, "subject": person.account, "account_id": person.account,
            "access_token": pair.access_token, "refresh_token": pair.refresh_token,
            "expires_at": end,
        });
        let api = self.api();
        let made = wait_for(AT_REST, "a connection", async || {
            // A database that is away is away for a while; nothing was changed then.
            let reply = api.post("/v1/connections", &body).await.ok()?;
            (reply.status != 503).then_some(reply)
        })
        .await;
        text(&good(&made)["id"])
    }

    /// What the service says, asked again as long as its database is away.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let api = self.api();
        let reply = wait_for(AT_REST, path, async || {
            let reply = api.get(path).await.ok()?;
            (reply.status != 503).then_some(reply)
        })
        .await;
        good(&reply)
    }

    /// Starts a process and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    pub async fn start(&mut self, number: usize) {
        let began = Instant::now();
        let serving = self.nodes[number].home.serve().await;
        let alive = first_answer(&serving, "/healthz").await;
        assert_eq!(alive.status, 200, "{}", alive.text());
        self.tally.restarts.push(began.elapsed());
        // The database may be slow or away: that is part of the play.
        let ready = first_answer(&serving, "/readyz").await;
        assert_eq!(ready.json()["checks"]["refresher"], "ok", "a kill is no restore: {}", ready.text());
        self.nodes[number].serving = Some(serving);
        self.tell_addresses();
    }

    fn tell_addresses(&self) {
        let serving = self.nodes.iter().filter_map(|node| node.serving.as_ref());
        self.addresses.send_replace(serving.map(|serving| serving.url.clone()).collect());
    }

    /// Kills a process. `journalled`: uses whose answers are known to be in its journal and in no commit.
    ///
    /// # Panics
    /// When there is none.
    pub async fn kill(&mut self, number: usize, journalled: &[usize]) {
        let serving = self.nodes[number].serving.take().expect("it runs");
        self.tell_addresses();
        let at = self.judge.now();
        self.words += &serving.kill().await;
        self.killed(at, journalled);
    }

    /// A process was killed since this moment.
    pub fn killed(&mut self, at: At, journalled: &[usize]) {
        let ledger = self.judge.ledger();
        let open = |number: &usize| {
            let spend = &ledger.spends[*number];
            spend.received_at <= at && spend.closed_at.is_none_or(|closed| closed >= at)
        };
        let under_way = (0..ledger.spends.len()).any(|number| open(&number));
        self.tally.between += usize::from(under_way || !journalled.is_empty());
        self.killed_at.push((at, self.judge.now()));
        self.journalled.extend(journalled);
    }

    /// Asks a process to end, and waits for it.
    ///
    /// # Panics
    /// When it does not end well.
    pub async fn stop(&mut self, number: usize) {
        let serving = self.nodes[number].serving.take().expect("it runs");
        self.tell_addresses();
        self.words += &serving.stop().await;
    }

    /// Takes the right to write from everybody else.
    pub fn lock(&self) -> Lock {
        self.place.lock(&self.nodes[0].home.database())
    }

    /// Runs a statement in the database.
    pub fn run(&self, statement: &str) -> Vec<String> {
        self.place.run(&self.nodes[0].home.database(), statement)
    }

    /// How many tokens callers were given so far.
    pub fn reads_so_far(&self) -> usize {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Waits until every process answers from the database.
    ///
    /// # Panics
    /// When one does not.
    pub async fn answers(&mut self) {
        let began = Instant::now();
        for serving in self.nodes.iter().filter_map(|node| node.serving.as_ref()) {
            let api = serving.api.clone().limit(Duration::from_secs(5));
            wait_for(AT_REST, "UNREPORTED: an answer from the database", async || {
                let reply = api.get("/v1/connections?limit=1").await;
                reply.is_ok_and(|reply| reply.status == 200).then_some(())
            })
            .await;
        }
        self.tally.restarts.push(began.elapsed());
    }

    /// People whose grant is said to be lost are judged, and consent anew.
    ///
    /// # Panics
    /// When the service does not answer.
    pub async fn look_after(&mut self) {
        let list = self.get("/v1/connections?status=needs_reauth&limit=500").await;
        let lost = list["items"].as_array().cloned().unwrap_or_default();
        for connection in lost {
            let id = text(&connection["id"]);
            let person = self.people.iter().find(|person| person.id == id).expect("nobody else is here").clone();
            judgement::said_to_be_lost(self, &person, &connection);
            self.import(&person).await;
        }
    }

    /// How everything stands, for whoever has to find out why nothing goes on.
    ///
    /// # Panics
    /// When the service does not answer.
    pub async fn standing(&self) -> String {
        let list = good(&self.api().get("/v1/connections?limit=500").await.expect("an answer"));
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let items: Vec<String> = items.iter().map(Value::to_string).collect();
        let rows =
            self.run("SELECT connection_id, status, generation, next_at, lease_until, fence, attempt FROM lives");
        let open: Vec<String> = self.judge.ledger().in_flight().map(|spend| format!("{spend:?}")).collect();
        let words: Vec<String> =
            self.nodes.iter().filter_map(|node| node.serving.as_ref()).map(Serving::said).collect();
        format!("{}\n{}\nopen: {}\n{}", items.join("\n"), rows.join("\n"), open.join("\n"), words.join("\n"))
    }

    /// Nothing misbehaves any more: everybody's grant is tried once more, and lives or is told. Then everything ends and
    /// the books are compared.
    ///
    /// # Panics
    /// When it does not come to rest.
    pub async fn end(mut self) -> Tally {
        self.judge.reset();
        self.come_to_rest().await;
        self.others.shutdown().await;
        judgement::ledger(&mut self);
        history::check(&mut self).await;
        for number in 0..self.nodes.len() {
            if self.nodes[number].serving.is_some() {
                self.stop(number).await;
            }
        }
        history::check_files(&mut self);
        self.judge.shutdown().await;
        self.tally
    }

    async fn come_to_rest(&mut self) {
        let before = self.listed().await;
        for person in self.people.clone() {
            if self.next_try(&person, &before).await {
                self.tally.alive += 1;
            }
        }
    }

    /// Waits for everybody's next try and judges it; who is lost consents anew.
    pub(crate) async fn settled(&mut self) {
        let before = self.listed().await;
        for person in self.people.clone() {
            if !self.next_try(&person, &before).await {
                self.import(&person).await;
            }
        }
    }

    /// All connections, page by page.
    async fn listed(&self) -> Value {
        let (mut all, mut page) = (Vec::new(), "/v1/connections?limit=500".to_owned());
        loop {
            let mut list = self.get(&page).await;
            if let Value::Array(items) = list["items"].take() {
                all.extend(items);
            }
            match list["next_cursor"].as_str() {
                Some(cursor) => page = format!("/v1/connections?limit=500&cursor={cursor}"),
                None => return Value::Array(all),
            }
        }
    }

    /// Judges a connection after a try later than `before`; whether it lives.
    async fn next_try(&mut self, person: &Person, before: &Value) -> bool {
        let count = |list: &Value| {
            let item = list.as_array().and_then(|items| items.iter().find(|item| item["id"] == *person.id)).cloned();
            let item = item.unwrap_or_default();
            (text(&item["status"]), item["refresh_count"].as_u64().unwrap_or_default(), item)
        };
        let what = format!("UNREPORTED: the next try of {person:?}");
        // What was renewed just now is due when most of its life has passed.
        let (status, _, item) = wait_for(AT_REST + self.access, &what, async || {
            let now = count(&self.listed().await);
            (now.0 == "needs_reauth" || now.1 > count(before).1).then_some(now)
        })
        .await;
        if status == "needs_reauth" {
            judgement::said_to_be_lost(self, person, &item);
            return false;
        }
        let api = self.api();
        judgement::said_to_live(self, &api, person).await;
        true
    }
}

/// What a process answers that has just said where it listens.
///
/// # Panics
/// When it does not answer: with its last words.
async fn first_answer(serving: &Serving, path: &str) -> Reply {
    let reply = serving.api.get(path).await;
    if reply.is_err() {
        pass(LAST_WORDS).await;
    }
    reply.map_err(|error| format!("{path}: {error}: {}", serving.said())).expect("it answers")
}

/// Writes a few bytes to the disk again and again, as the journal does: how slow the machine is shows in how long that takes.
async fn measure(judge: Judge, path: PathBuf, writes: Arc<Mutex<Vec<(At, Duration)>>>) {
    loop {
        let (began, path) = (judge.now(), path.clone());
        let write = move || {
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
            file.write_all(&[1; 512])?;
            file.sync_data()
        };
        // Where the folder is gone, the scene has ended.
        let Ok(Ok(())) = tokio::task::spawn_blocking(write).await else { return };
        let ended = judge.now();
        writes.lock().unwrap_or_else(PoisonError::into_inner).push((ended, ended.since(began)));
        pass(Duration::from_millis(50)).await;
    }
}

/// The document of an answer that is as it should be.
///
/// # Panics
/// When it is not.
pub fn good(reply: &Reply) -> Value {
    assert!(reply.status < 300, "{}: {}", reply.status, reply.text());
    reply.json()
}

/// A text in a document.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
