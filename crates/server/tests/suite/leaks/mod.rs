//! No token, secret, code or key stands in plaintext where it is kept, logged, counted or told.
//!
//! The real program runs at TRACE through everything that it can meet, is killed in the middle of it and started again.
//! Then every place is looked through for every secret that the provider issued or was told and that the service made;
//! and the search proves itself by what is planted. What an answer hands out by right is taken out before.

mod front;
pub mod heard;
mod life;

use std::path::Path;
use std::time::Duration;

use evergrant_testkit::leaks::Leaks;
use evergrant_testkit::{ClientConfig, Fault, FaultRule, Judge, JudgeConfig};
use serde_json::json;

use self::front::Front;
use self::life::Life;
use crate::serving::Home;

const NUMBERS: &str = "[refresh]\nforce_interval = 0\nreplay_after = 0.2\nretry_min = 0.05\nretry_max = 0.2\n\
                       backoff_min = 0.2\nbackoff_max = 1.0\nauth_retry = 0.2\nanswer_timeout = 1.0\n\
                       [email]\nhost = '127.0.0.1'\nport = 1\ntls = 'none'\nfrom = 'a@b.example'\noperator = 'o@b.example'\n\
                       username = 'mailer'\npassword_env = 'SMTP_PASSWORD'\n[slack]\nurl_env = 'SLACK_URL'\n\
                       [notices]\nretries = [0.1, 0.2, 0.5, 1, 1, 1]\nmail_delay = 0\n";
/// What mails are sent with.
const SMTP_PASSWORD: &str = "5mtp-pa55word-nobody-may-see";
/// The part of a chat's address that is one.
const SLACK_PATH: &str = "T0CHAT/B0CHAT/zyxwvut5lackzyxwvut";
const MASTER: &str = "c0ffee11d00dfeedbadcab1e5ca1ab1e0ddba11f005ba11ca5cade55e1ec7ed5";

/// The part of an API key that is secret: what stands before it is its name.
pub fn secret_part(key: &str) -> &str {
    key.rsplit_once('_').map_or(key, |(_, secret)| secret)
}

#[tokio::test]
async fn no_secret_stands_in_plaintext_in_any_place_and_a_planted_one_is_found_in_each() {
    let judge = Judge::start(JudgeConfig::default()).await.unwrap();
    let home = Home::new(NUMBERS).with("RUST_LOG", "trace").with("EVERGRANT_MASTER_KEY", MASTER);
    let home = home
        .with("SMTP_PASSWORD", SMTP_PASSWORD)
        .with("SLACK_URL", &format!("http://127.0.0.1:1/services/{SLACK_PATH}"));
    let serving = home.serve().await;
    let front = Front::new(serving.api.clone());
    Life { judge: &judge, front: &front, url: &serving.url }.live().await;
    let mut words = commands(&home, &serving.url).await;

    // Killed in the middle of a refresh: what lies in the folder then is looked through as it is.
    hold_a_refresh(&judge, &front).await;
    words += &serving.kill().await;
    judge.reset();
    must_hold_something(&home.data().join("evergrant.db-wal"));
    must_hold_something(&home.data().join("evergrant.db"));
    must_hold_something(&home.data().join("journal"));
    let crashed = leaks(&judge, &front, &home).find_in(&home.data()).unwrap();
    assert!(crashed.is_empty(), "in the folder of the killed process: {crashed:#?}");

    let serving = home.serve().await;
    let again = Front::new(serving.api.clone());
    Life { judge: &judge, front: &again, url: &serving.url }.looks().await;
    words += &serving.stop().await;
    words += &home.run(&["doctor", "--config", "evergrant.toml"]).await.1;
    front.answers.borrow_mut().extend(again.answers.take());
    front.own.borrow_mut().extend(again.own.take());

    let places = Places { words, front: &front, home: &home };
    let leaks = leaks(&judge, &front, &home);
    std::fs::write("/tmp/storm-words.txt", &places.words).unwrap();
    assert!(places.words.contains("\"level\":\"DEBUG\""), "it tells what it only tells when asked to");
    assert!(judge.secrets().len() > 150 && leaks.len() > 200, "{leaks:?} and {} of the judge's", judge.secrets().len());
    let found = places.search(&judge, &leaks);
    assert!(found.is_empty(), "in plaintext: {found:#?}");
    prove(places, &judge, &leaks);
    judge.shutdown().await;
}

/// Everything that is looked for.
fn leaks(judge: &Judge, front: &Front, home: &Home) -> Leaks {
    let mut leaks = Leaks::of(&judge.secrets());
    leaks.add("API key", secret_part(&home.key));
    leaks.add("master key", MASTER);
    leaks.add("mail password", SMTP_PASSWORD);
    leaks.add("chat address", SLACK_PATH);
    let bytes: Vec<u8> = MASTER.as_bytes().chunks(2).map(hex_byte).collect();
    leaks.add_bytes("master key", &bytes);
    front.add_own(&mut leaks);
    leaks
}

fn hex_byte(two: &[u8]) -> u8 {
    std::str::from_utf8(two).ok().and_then(|two| u8::from_str_radix(two, 16).ok()).expect("two hexadecimal digits")
}

fn must_hold_something(path: &Path) {
    let size = std::fs::metadata(path).map(|found| found.len()).unwrap_or_default();
    assert!(size > 0, "{} is empty: there is nothing to look through", path.display());
}

/// A refresh that the provider has and does not answer.
async fn hold_a_refresh(judge: &Judge, front: &Front) {
    judge.register(ClientConfig::new("acme"));
    let pair = judge.issue("acme", "held").expect("it is registered");
    let body = json!({
        "integration": "acme", "subject": "held", "account_id": "held", "access_token": pair.access_token,
        "refresh_token": pair.refresh_token, "expires_at": "2020-01-01T00:00:00Z",
    });
    judge.fault(FaultRule::lasting(Fault::HoldAnswer).account("held"));
    front.post("/v1/connections", &body).await;
    let held = |ledger: &evergrant_testkit::Ledger| ledger.spends_of("acme", "held").any(|spend| spend.end.is_none());
    judge.wait_until(Duration::from_secs(20), held).await.expect("what is due is sent");
}

/// What commands print that look at the service or its folder.
async fn commands(home: &Home, url: &str) -> String {
    let mut words = String::new();
    let home_with = |arguments: &[&str]| {
        let mut command = home.command(arguments);
        command.env("EVERGRANT_URL", url).env("EVERGRANT_API_KEY", &home.key);
        command
    };
    for arguments in [
        ["doctor", "--config", "evergrant.toml"].as_slice(),
        &["doctor", "--config", "evergrant.toml", "--json"],
        &["connections", "list", "--json"],
        &["integrations", "list"],
        &["integrations", "show", "acme", "--json"],
        &["keys", "list"],
        &["sweep"],
        &["connections", "show", "nonsense"],
    ] {
        let output = home_with(arguments).output().await.expect("the program runs");
        words += &String::from_utf8_lossy(&[output.stdout, output.stderr].concat());
    }
    words
}

/// Where secrets could stand.
struct Places<'a> {
    words: String,
    front: &'a Front,
    home: &'a Home,
}

impl Places<'_> {
    /// What was found, as sentences.
    fn search(&self, judge: &Judge, leaks: &Leaks) -> Vec<String> {
        let files = leaks.find_in(&self.home.data()).expect("the folder can be read");
        let mut found: Vec<String> = files.iter().map(|(path, leak)| format!("{}: {leak:?}", path.display())).collect();
        found.extend(leaks.find(self.words.as_bytes()).iter().map(|leak| format!("the log: {leak:?}")));
        for (name, answer) in self.front.answers.borrow().iter() {
            found.extend(leaks.find(answer.as_bytes()).iter().map(|leak| format!("{name}: {leak:?}")));
        }
        // A page names itself in its own form; the provider's secrets it never knows.
        let theirs = Leaks::of(&judge.secrets());
        for (name, page) in self.front.pages.borrow().iter() {
            found.extend(theirs.find(page.as_bytes()).iter().map(|leak| format!("the page {name}: {leak:?}")));
        }
        found
    }
}

/// One planted secret in each place is found there.
fn prove(mut places: Places<'_>, judge: &Judge, leaks: &Leaks) {
    let secret = judge.secrets().last().expect("many were issued").value.clone();
    let found = |places: &Places<'_>, where_: &str| {
        let found = places.search(judge, leaks);
        assert!(found.iter().any(|line| line.contains(where_)), "planted in {where_}, not found: {found:?}");
    };
    places.words.push_str(&format!("{{\"level\":\"TRACE\",\"token\":\"{secret}\"}}"));
    found(&places, "the log");
    for name in ["GET /metrics", "GET /v1/events?limit=500", "GET /v1/audit?limit=500"] {
        let mut answers = places.front.answers.borrow_mut();
        let answer = answers.iter_mut().find(|(of, _)| of == name).expect("it was asked for");
        answer.1.push_str(&secret);
        drop(answers);
        found(&places, name);
    }
    places.front.pages.borrow_mut().push(("planted".to_owned(), format!("<p>{secret}</p>")));
    found(&places, "the page planted");
    let other = rusqlite::Connection::open(places.home.database()).expect("the database opens");
    other.pragma_update(None, "wal_autocheckpoint", 0).expect("a setting");
    other.execute_batch("CREATE TABLE planted (text TEXT)").expect("a table");
    other.execute("INSERT INTO planted VALUES (?1)", [&secret]).expect("a row");
    found(&places, "evergrant.db-wal");
    drop(other);
    found(&places, "evergrant.db:");
    let segment = std::fs::read_dir(places.home.data().join("journal")).expect("the journal").next();
    let segment = segment.expect("a file").expect("a file").path();
    let mut bytes = std::fs::read(&segment).expect("it can be read");
    let middle = bytes.len() / 2;
    bytes[middle..middle + secret.len()].copy_from_slice(secret.as_bytes());
    std::fs::write(&segment, bytes).expect("it can be written");
    found(&places, "/journal/");
}
