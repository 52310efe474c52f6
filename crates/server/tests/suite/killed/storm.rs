//! One service that is killed again and again: its provider, its people, and what is counted.

use std::collections::HashSet;
use std::fmt;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use evergrant_core::time::Timestamp;
use evergrant_testkit::http::{Http, Reply};
use evergrant_testkit::leaks::Leaks;
use evergrant_testkit::{ClientConfig, Judge, JudgeConfig, Moment as At, ReplayKind, fingerprint};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::judgement;
use super::moments::{Awaited, LIMIT, Moment};
use crate::serving::{Dice, Home, Serving};
use crate::waiting::{pass, wait_for};
use crate::world::text;

/// How long an access token lives: it is renewed every second and a half.
const ACCESS: Duration = Duration::from_secs(2);
/// How long a replay window is; much longer than a restart takes on a busy machine.
const WINDOW: Duration = Duration::from_secs(60);
/// The rest of a token whose sending had no answer, in seconds.
pub const REPLAY_AFTER: f64 = 0.6;
/// Connections of each kind.
const PEOPLE: usize = 5;
/// How long a moment is waited for before those whose grants are lost are looked after again.
const LOOK_AFTER: Duration = Duration::from_secs(2);
/// How long the last refresh of everybody may take, with all back-offs.
const AT_REST: Duration = Duration::from_secs(60);

fn numbers() -> String {
    format!(
        "[refresh]\nmargin = 0.5\nmin_ttl = 0.3\nretry_min = 0.1\nretry_max = 0.5\nbackoff_min = 0.3\nbackoff_max = 1.0\n\
         replay_after = {REPLAY_AFTER}\nforce_interval = 0.1\nanswer_timeout = 20.0\nlease = 30.0\nauth_retry = 0.3\n"
    )
}

/// What the kills came to.
#[derive(Debug, Default)]
pub struct Tally {
    /// The moments.
    pub kills: Vec<Moment>,
    /// Kills with a sending under way, or answered and not committed.
    pub between: usize,
    /// Grants whose rotation was under way at a kill and that live.
    pub rescued: usize,
    /// Losses that nobody could close, all of them told as such.
    pub told: usize,
    /// Among these, answers that had been written in the last milliseconds before the kill: how long before.
    pub doubtful: Vec<Duration>,
    /// New pairs that the providers made.
    pub rotations: usize,
    /// From the start of a process to its first answer.
    pub restarts: Vec<Duration>,
    /// What must not be.
    pub wrong: Vec<String>,
}

impl Tally {
    /// Both together.
    pub fn add(&mut self, other: Tally) {
        self.kills.extend(other.kills);
        self.between += other.between;
        self.rescued += other.rescued;
        self.told += other.told;
        self.doubtful.extend(other.doubtful);
        self.rotations += other.rotations;
        self.restarts.extend(other.restarts);
        self.wrong.extend(other.wrong);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut restarts = self.restarts.clone();
        restarts.sort();
        let at = |share: usize| restarts.get(restarts.len() * share / 100).copied().unwrap_or_default();
        write!(
            f,
            "{} kills, {} of them between sending and commit; {} rotations, {} rescued, {} lost in flight and told \
             ({} in doubt, at most {:?} old); restart p50 {:?}, p99 {:?}",
            self.kills.len(),
            self.between,
            self.rotations,
            self.rescued,
            self.told,
            self.doubtful.len(),
            self.doubtful.iter().max().copied().unwrap_or_default(),
            at(50),
            at(99)
        )?;
        self.wrong.iter().try_for_each(|wrong| write!(f, "\n- {wrong}"))
    }
}

/// Somebody whose grant is kept.
#[derive(Clone, Debug)]
pub struct Person {
    /// The client at the provider, and the integration.
    pub client: String,
    /// The account at the provider.
    pub account: String,
    /// The connection.
    pub id: String,
}

/// One service that is killed again and again.
pub struct Storm {
    pub(super) judge: Judge,
    pub(super) people: Vec<Person>,
    /// Fingerprints of the access tokens that callers were given.
    pub(super) handed: Arc<Mutex<HashSet<String>>>,
    /// When the process was killed, by the judge's clock: between the signal and its end.
    pub(super) killed_at: Vec<(At, At)>,
    /// How long the machine took to write a few bytes down, and when that was done.
    pub(super) writes: Arc<Mutex<Vec<(At, Duration)>>>,
    /// Uses that had been journalled when the process was killed.
    pub(super) journalled: HashSet<usize>,
    pub(super) tally: Tally,
    home: Home,
    /// What the processes have written to their logs.
    words: String,
    clients: Vec<String>,
    address: watch::Sender<Option<String>>,
}

fn kinds() -> [(&'static str, ReplayKind); 6] {
    [
        ("none", ReplayKind::None),
        ("idempotent", ReplayKind::Idempotent { window: WINDOW }),
        ("confirm", ReplayKind::Confirm),
        ("overlap", ReplayKind::Overlap { window: WINDOW }),
        ("single", ReplayKind::Single),
        ("family", ReplayKind::Family),
    ]
}

impl Storm {
    /// Kills a service so many times, and says what came of it.
    pub async fn rage(number: usize, seed: u64, kills: usize) -> Tally {
        let mut dice = Dice::new(seed);
        let (mut storm, mut serving) = Storm::begin().await;
        let mut others = storm.readers(dice.clone());
        others.spawn(measure(storm.judge.clone(), storm.home.folder.path().join("probe"), storm.writes.clone()));
        for round in 0..kills {
            let moment = Moment::draw(number + round, &mut dice);
            let awaited = Awaited::begin(moment, &storm.judge, &storm.clients, &mut dice);
            wait_for(LIMIT, &format!("the moment {moment:?}"), async || {
                let came = awaited.comes_within(LOOK_AFTER, &storm.judge).await;
                // Where a kill has cost everybody's grant of a client, nothing rotates there until they have consented anew.
                if !came {
                    storm.look_after(&serving.api).await;
                }
                came.then_some(())
            })
            .await;
            let steered = awaited.reached(&storm.judge, &storm.home, &mut dice).await;
            storm.address.send_replace(None);
            let at = storm.judge.now();
            storm.words += &serving.kill().await;
            storm.killed(moment, at, &steered.journalled);
            drop(steered);
            storm.judge.reset();
            serving = storm.start().await;
            storm.look_after(&serving.api).await;
        }
        storm.come_to_rest(&serving.api).await;
        storm.address.send_replace(None);
        drop(others);
        storm.words += &serving.stop().await;
        judgement::ledger(&mut storm);
        storm.nothing_in_plaintext();
        storm.judge.shutdown().await;
        storm.tally
    }

    async fn begin() -> (Self, Serving) {
        let clients = kinds().map(|(name, replay)| ClientConfig::new(name).replay(replay).access_lifetime(ACCESS));
        let judge = JudgeConfig { clients: clients.into(), ..JudgeConfig::default() };
        let mut storm = Storm {
            judge: Judge::start(judge).await.expect("a judge starts"),
            people: Vec::new(),
            handed: Arc::default(),
            killed_at: Vec::new(),
            writes: Arc::default(),
            journalled: HashSet::new(),
            tally: Tally::default(),
            home: Home::new(&numbers()),
            words: String::new(),
            clients: kinds().iter().map(|(name, _)| (*name).to_owned()).collect(),
            address: watch::Sender::new(None),
        };
        let serving = storm.start().await;
        for client in storm.clients.clone() {
            let secret = storm.judge.client_secret(&client).expect("it is registered");
            let provider = storm.judge.catalogue_json(&client).expect("it is registered");
            let body = json!({
                "name": client, "provider": provider, "client_id": client, "client_secrets": [{ "secret": secret }],
            });
            good(&serving.api.post("/v1/integrations", &body).await.expect("an answer"));
            for number in 0..PEOPLE {
                let mut person =
                    Person { client: client.clone(), account: format!("{client}-{number}"), id: String::new() };
                person.id = storm.import(&serving.api, &person).await;
                storm.people.push(person);
            }
        }
        (storm, serving)
    }

    /// Gives the service a new grant of this person, as after a new consent; the connection's id.
    pub(super) async fn import(&self, api: &Http, person: &Person) -> String {
        let pair = self.judge.issue(&person.client, &person.account).expect("it is registered");
        let body = json!({
            "integration": person.client, "subject": person.account, "account_id": person.account,
            "access_token": pair.access_token, "refresh_token": pair.refresh_token,
            "expires_at": Timestamp::from_millis(pair.expires_at.micros() / 1000),
        });
        text(&good(&api.post("/v1/connections", &body).await.expect("an answer"))["id"])
    }

    async fn start(&mut self) -> Serving {
        let began = Instant::now();
        let serving = self.home.serve().await;
        let ready = serving.api.get("/readyz").await.expect("it answers");
        assert_eq!(ready.status, 200, "{}", ready.text());
        assert_eq!(ready.json()["checks"]["refresher"], "ok", "a kill is no restore");
        self.tally.restarts.push(began.elapsed());
        self.address.send_replace(Some(serving.url.clone()));
        serving
    }

    fn killed(&mut self, moment: Moment, at: At, journalled: &[usize]) {
        let ledger = self.judge.ledger();
        let open = |number: &usize| {
            let spend = &ledger.spends[*number];
            spend.received_at <= at && spend.closed_at.is_none_or(|closed| closed >= at)
        };
        let under_way: Vec<usize> = (0..ledger.spends.len()).filter(open).collect();
        self.tally.between += usize::from(!under_way.is_empty() || !journalled.is_empty());
        self.tally.kills.push(moment);
        self.killed_at.push((at, self.judge.now()));
        self.journalled.extend(journalled);
    }

    /// People whose grant is said to be lost are judged, and consent anew.
    async fn look_after(&mut self, api: &Http) {
        let reply = api.get("/v1/connections?status=needs_reauth&limit=500").await.expect("an answer");
        let lost = good(&reply)["items"].as_array().cloned().unwrap_or_default();
        for connection in lost {
            let id = text(&connection["id"]);
            let person = self.people.iter().find(|person| person.id == id).expect("nobody else is here").clone();
            judgement::said_to_be_lost(self, &person, &connection);
            self.import(api, &person).await;
        }
    }

    /// Nothing misbehaves any more: everybody's grant is tried once more, and lives or is told.
    async fn come_to_rest(&mut self, api: &Http) {
        let list = async || good(&api.get("/v1/connections?limit=500").await.expect("an answer"))["items"].clone();
        let count = |list: &Value, id: &str| {
            let item = list.as_array().and_then(|items| items.iter().find(|item| item["id"] == id)).cloned();
            let item = item.unwrap_or_default();
            (text(&item["status"]), item["refresh_count"].as_u64().unwrap_or_default(), item)
        };
        let before = list().await;
        for person in self.people.clone() {
            let what = format!("the next try of {person:?}");
            let (status, _, item) = wait_for(AT_REST, &what, async || {
                let now = count(&list().await, &person.id);
                (now.0 == "needs_reauth" || now.1 > count(&before, &person.id).1).then_some(now)
            })
            .await;
            if status == "needs_reauth" {
                judgement::said_to_be_lost(self, &person, &item);
            } else {
                judgement::said_to_live(self, api, &person).await;
            }
        }
    }

    /// What two hundred crashes leave behind is sealed like everything else.
    fn nothing_in_plaintext(&mut self) {
        let mut leaks = Leaks::of(&self.judge.secrets());
        leaks.add("API key", crate::leaks::secret_part(&self.home.key));
        let files = leaks.find_in(&self.home.data()).expect("the data folder can be read");
        let lines = leaks.find(self.words.as_bytes());
        self.tally.wrong.extend(files.iter().map(|(path, leak)| format!("{}: {leak:?}", path.display())));
        self.tally.wrong.extend(lines.iter().map(|leak| format!("the log: {leak:?}")));
    }

    /// Callers who ask for tokens all the time and use them, so that what nobody may have yet would be seen.
    fn readers(&self, mut dice: Dice) -> tokio::task::JoinSet<()> {
        let (people, handed, judge) = (self.people.clone(), self.handed.clone(), self.judge.clone());
        let (mut address, key) = (self.address.subscribe(), self.home.key.clone());
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            while let Ok(url) = address.wait_for(Option::is_some).await.map(|url| url.clone().unwrap_or_default()) {
                let person = dice.one_of(&people);
                let path = format!("/v1/connections/{}/token?wait=1", person.id);
                // It may be killed while it answers.
                if let Ok(reply) = Http::new(&url).bearer(&key).get(&path).await {
                    let token = text(&reply.json()["access_token"]);
                    if !token.is_empty() {
                        handed.lock().unwrap_or_else(PoisonError::into_inner).insert(fingerprint(&token));
                        // The token may have ended on the way: what counts is that it is used while it lives.
                        let _ = Http::new(judge.url()).bearer(&token).get("/userinfo").await;
                    }
                }
                pass(Duration::from_millis(20)).await;
            }
        });
        tasks
    }
}

/// Writes a few bytes to the disk again and again, as the journal does: how slow the machine is shows in how long that takes.
async fn measure(judge: Judge, path: std::path::PathBuf, writes: Arc<Mutex<Vec<(At, Duration)>>>) {
    loop {
        let (began, path) = (judge.now(), path.clone());
        let write = move || {
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
            file.write_all(&[1; 512])?;
            file.sync_data()
        };
        tokio::task::spawn_blocking(write).await.expect("it ends").expect("the disk takes it");
        let ended = judge.now();
        writes.lock().unwrap_or_else(PoisonError::into_inner).push((ended, ended.since(began)));
        pass(Duration::from_millis(50)).await;
    }
}

/// The document of an answer that is as it should be.
pub fn good(reply: &Reply) -> Value {
    assert!(reply.status < 300, "{}: {}", reply.status, reply.text());
    reply.json()
}
