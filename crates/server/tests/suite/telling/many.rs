//! Storms at size: an outage of hours and a wrong client secret are no affair of each person, and nothing storms afterwards.
//!
//! In every run with some hundred connections; `EVERGRANT_TEST_MANY=10000`, set when the tests are built, makes them as many.

use std::time::{Duration, Instant};

use evergrant_core::telling::KINDS;
use evergrant_core::time::Timestamp;
use evergrant_testkit::http::Http;
use evergrant_testkit::{Canned, ClientConfig, Fault, FaultRule, Judge, ReplayKind};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{MAIL, Told, chats};
use crate::waiting::{LONG, pass, wait_for};
use crate::world::World;

/// Connections in a run that says nothing.
const SOME: usize = 300;
/// Calls of one integration that may be under way at once.
const CONCURRENCY: usize = 16;
/// So many seconds pass at once while it is looked how fast people are renewed: a twelfth of a minute.
const STEP: u64 = 5;
/// Callers at once who import.
const AT_ONCE: usize = 16;

fn many() -> usize {
    option_env!("EVERGRANT_TEST_MANY").and_then(|many| many.parse().ok()).unwrap_or(SOME)
}

/// How long something may take that everybody has a part in.
fn patience() -> Duration {
    Duration::from_secs(60) + Duration::from_millis(60) * u32::try_from(many()).unwrap_or(u32::MAX)
}

/// An integration whose provider takes so many refreshes a minute, and many people whose access tokens end in half an hour.
async fn crowd(told: &Told, rate: usize) {
    let client = ClientConfig::new("acme").replay(ReplayKind::None);
    told.world.judge.register(client.clone());
    let mut provider = told.world.judge.catalogue_json("acme").expect("it was registered just now");
    provider["refresh_rate_per_minute"] = json!(rate);
    told.world.integration(client, json!({ "provider": provider })).await;
    let end = told.world.service.now().plus(Duration::from_secs(1800)).to_string();
    let mut callers = JoinSet::new();
    for caller in 0..AT_ONCE {
        let (api, judge, end) = (told.world.api.clone(), told.world.judge.clone(), end.clone());
        callers.spawn(async move {
            for number in (caller..many()).step_by(AT_ONCE) {
                connect(&api, &judge, number, &end).await;
            }
        });
    }
    while let Some(done) = callers.join_next().await {
        done.expect("everybody is connected");
    }
}

async fn connect(api: &Http, judge: &Judge, number: usize, end: &str) {
    let (account, subject) = (format!("account-{number}"), format!("user-{number}"));
    let pair = judge.issue("acme", &account).expect("it is registered");
    let body = json!({
        "integration": "acme", "subject": subject, "account_id": account, "access_token": pair.access_token,
        "refresh_token": pair.refresh_token, "expires_at": end,
    });
    let made = api.post("/v1/connections", &body).await.expect("an answer");
    assert_eq!(made.status, 201, "{}", made.text());
    let contact = json!({ "contact": { "email": format!("{subject}@mail.example") } });
    let path = format!("/v1/subjects/{subject}/preferences");
    assert_eq!(api.json(http::Method::PUT, &path, &contact).await.expect("an answer").status, 200);
}

/// Lets so many seconds pass, and then whatever is due be done; how often the token endpoint was called meanwhile.
async fn step(world: &World, seconds: u64) -> usize {
    let before = calls(world);
    world.clock.forward(seconds);
    let (mut last, mut still) = (usize::MAX, 0);
    while still < 4 {
        pass(Duration::from_millis(15)).await;
        let quiet = world.judge.wait_until(LONG, |ledger| ledger.in_flight().count() == 0).await;
        assert!(quiet.is_ok(), "every call comes to an end");
        let now = calls(world);
        still = if now == last { still + 1 } else { 0 };
        last = now;
    }
    last - before
}

fn calls(world: &World) -> usize {
    usize::try_from(world.judge.token_calls()).unwrap_or(usize::MAX)
}

/// Waits until so many calls have been made in all, or none is made any more: time must not pass faster than the machine
/// works. How many there are.
async fn drained(world: &World, most: usize) -> usize {
    let (mut last, mut still) = (calls(world), 0);
    for _ in 0..200 {
        pass(Duration::from_millis(20)).await;
        let now = calls(world);
        still = if now == last { still + 1 } else { 0 };
        last = now;
        if now >= most || still >= 5 {
            break;
        }
    }
    last
}

/// What is told to the operator goes several ways at once: time does not jump while one of them is under way, or it would be
/// given up there and told again.
async fn heard(told: &Told) {
    let ways = async || {
        let chats = told.receivers.chats("slack").await.expect("the chats answer").len();
        [told.mails_now().await.len(), chats]
    };
    if ways().await != [0, 0] {
        wait_for(LONG, "each way", async || (!ways().await.contains(&0)).then_some(())).await;
    }
}

/// The most calls within a minute of the service's own time, which goes on while the machine works.
fn fastest_minute(sent: &[(Timestamp, usize)]) -> usize {
    let within = |from: usize| {
        let (began, before) = sent[from];
        let last = sent[from..].iter().rfind(|(at, _)| at.since(began) <= Duration::from_secs(60));
        last.map_or(0, |(_, calls)| calls - before)
    };
    (0..sent.len()).map(within).max().unwrap_or(0)
}

/// The number behind a line of the metrics.
async fn metric(world: &World, line: &str) -> usize {
    let text = world.api.get("/metrics").await.expect("an answer").text();
    let found = text.lines().find_map(|one| one.strip_prefix(line)).map(str::trim);
    found.and_then(|number| number.parse::<f64>().ok()).map_or(0, |number| number as usize)
}

fn in_app(kind: &str) -> String {
    format!("evergrant_notices_total{{kind=\"{kind}\",channel=\"in_app\",result=\"written\"}}")
}

async fn kinds_of(told: &Told, subject: usize) -> Vec<Value> {
    let path = format!("/v1/subjects/user-{subject}/notifications");
    let list = told.world.api.get(&path).await.expect("an answer").json();
    list["items"].as_array().expect("a list").iter().map(|item| item["kind"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_six_hours_is_one_alert_at_most_one_note_each_no_mail_and_no_storm_when_it_ends() {
    let (began, people, rate) = (Instant::now(), many(), many().div_ceil(5));
    let told = chats::with_chats(&format!("[notices]\nmail_delay = 0\n{MAIL}")).await;
    told.endpoint("ops", json!({ "events": ["integration.unavailable", "connection.trouble"] })).await;
    crowd(&told, rate).await;
    let connected = began.elapsed();
    let away = Fault::Answer(Canned::new("away", 503, "text/plain", "away"));
    told.world.judge.fault(FaultRule::lasting(away).client("acme").grant_type("refresh_token"));
    let mut during = 0;
    for _ in 0..72 {
        let sent = step(&told.world, 300).await;
        assert!(sent <= rate * 5, "{sent} calls within five minutes of the outage");
        during += sent;
        heard(&told).await;
    }
    // Everybody whose token has ended knows; nobody knows twice.
    wait_for(patience(), "everybody's note", async || {
        (metric(&told.world, &in_app("trouble")).await >= people).then_some(())
    })
    .await;
    assert_eq!(metric(&told.world, &in_app("trouble")).await, people);
    for subject in (0..people).step_by(people.div_ceil(40)) {
        assert_eq!(kinds_of(&told, subject).await, [json!("trouble")], "user-{subject}");
    }
    let outage = began.elapsed();

    // It comes back: everybody is renewed at the pace that the provider allows.
    told.world.judge.reset();
    let (mut sent, mut all) = (vec![(told.world.service.now(), calls(&told.world))], calls(&told.world));
    let renewed = "evergrant_refresh_total{integration=\"acme\",outcome=\"success\"}";
    while metric(&told.world, renewed).await < people {
        // Shorter than any call may take: what is under way stays under way.
        told.world.clock.forward(STEP);
        all = drained(&told.world, all + rate.div_ceil(12)).await;
        sent.push((told.world.service.now(), all));
        let spent = sent[sent.len() - 1].0.since(sent[0].0);
        assert!(spent < Duration::from_secs(3600), "{} of {people} are renewed", metric(&told.world, renewed).await);
    }
    let minutes = sent[sent.len() - 1].0.since(sent[0].0).as_secs_f64() / 60.0;
    let fastest = fastest_minute(&sent);
    // What was let out before and is counted now: the calls that may be under way at once.
    assert!(fastest <= rate + CONCURRENCY, "{fastest} calls within a minute, and {rate} are allowed");
    let mails = told.mails(1).await;
    assert!(mails.iter().all(|mail| mail["to"] == json!(["ops@acme.example"])), "{} mails", mails.len());
    assert_eq!(mails.len(), 1, "{mails:#?}");
    assert_eq!(told.receivers.chats("slack").await.unwrap().len(), 1);
    let alerts = super::types(&told.taken_now("ops").await);
    assert_eq!(alerts.iter().filter(|kind| *kind == "integration.unavailable").count(), 1);
    println!(
        "{people} connections: {during} calls in six hours of outage; renewed within {minutes:.1} minutes, at most \
         {fastest} calls in one ({rate} allowed); connected in {connected:?}, outage in {:?}, all in {:?}",
        outage - connected,
        began.elapsed()
    );
    told.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_client_secret_is_one_alert_no_word_to_persons_and_everybody_is_well_within_a_minute_of_the_right_one()
{
    let (began, people) = (Instant::now(), many());
    let told = chats::with_chats(&format!("[notices]\nmail_delay = 0\n{MAIL}")).await;
    // All that could be told of it, but for what each refresh and each import is.
    let kinds = KINDS.iter().filter(|kind| !matches!(**kind, "connection.imported" | "connection.refreshed"));
    told.endpoint("app", json!({ "events": kinds.collect::<Vec<_>>() })).await;
    crowd(&told, 60_000).await;
    let secret = told.world.judge.rotate_client_secret("acme").expect("it is registered");
    let mut sent = 0;
    for _ in 0..12 {
        sent += step(&told.world, 300).await;
    }
    told.world.until_event("integration.misconfigured").await;
    let errors = async || told.world.api.get("/v1/connections?status=error&limit=1").await.expect("an answer").json();
    assert_eq!(errors().await["items"].as_array().map(Vec::len), Some(1));
    let spent = told.world.refreshes("acme");
    // Those that were under way when the first was refused, and a probe every quarter of an hour.
    assert!(spent <= CONCURRENCY + 4, "{spent} refreshes were sent with a secret that is wrong");
    let mails = told.mails(1).await;
    assert_eq!((mails.len(), &mails[0]["to"]), (1, &json!(["ops@acme.example"])), "{mails:#?}");
    assert_eq!(told.receivers.chats("slack").await.unwrap().len(), 1);
    for kind in ["warning", "disconnected", "rate_limited", "trouble", "recovered", "expiring"] {
        assert_eq!(metric(&told.world, &in_app(kind)).await, 0, "{kind}");
    }
    for subject in (0..people).step_by(people.div_ceil(40)) {
        assert_eq!(kinds_of(&told, subject).await, Vec::<Value>::new(), "user-{subject}");
    }
    let wrong = began.elapsed();

    let edit = json!({ "client_secrets": [{ "secret": secret }] });
    let mended = Instant::now();
    assert_eq!(told.world.patch("/v1/integrations/acme", &edit).await.status, 200);
    told.world.until_event("integration.mended").await;
    wait_for(Duration::from_secs(60), "nobody reads as an error", async || {
        errors().await["items"].as_array().is_some_and(Vec::is_empty).then_some(())
    })
    .await;
    let well = mended.elapsed();
    let token = told.world.api.get("/v1/subjects/user-0/integrations/acme/token?wait=30").await.expect("an answer");
    assert_eq!(token.status, 200, "{}", token.status);
    let renewed = "evergrant_refresh_total{integration=\"acme\",outcome=\"success\"}";
    wait_for(patience(), "everybody is renewed", async || {
        told.world.clock.forward(1);
        pass(Duration::from_millis(100)).await;
        (metric(&told.world, renewed).await >= people).then_some(())
    })
    .await;
    told.taken_of("app", "integration.mended").await;
    let told_of = super::types(&told.taken_now("app").await);
    assert_eq!(told_of, ["integration.misconfigured", "integration.mended"]);
    println!(
        "{people} connections: {sent} calls with the wrong secret, {spent} of them refreshes; well {well:?} after it was \
         mended, all renewed after {:?}; connected and refused in {wrong:?}",
        mended.elapsed()
    );
    told.world.stop().await;
}
