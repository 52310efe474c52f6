//! What the provider's ledger says of each grant, beside what the service says: OK, LOST_CLOSABLE, LOST_W3, UNREPORTED,
//! FALSE_ALARM, CROSSED; and OVERLAP where a token was sent while an earlier sending could still be answered.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::Duration;

use evergrant_testkit::http::Http;
use evergrant_testkit::{Decision, End, Finding, Loss, Moment as At, ReplayKind, Spend, Verdict};
use serde_json::Value;

use crate::scene::{Person, Scene, text};
use crate::waiting::wait_for;

/// An answer may be in the process and not yet in its journal for this long, on an idle machine.
const DOUBT: Duration = Duration::from_millis(20);
/// What a machine did so long before or after a kill tells how slow it was then.
const NEAR: Duration = Duration::from_secs(2);
/// How long a connection that rotates all the time may take to show a token that is not just being replaced.
const LIMIT: Duration = Duration::from_secs(60);

/// The service asks this person for a new consent.
pub fn said_to_be_lost(scene: &mut Scene, person: &Person, connection: &Value) {
    let ledger = scene.judge.ledger();
    *scene.losses.entry(person.id.clone()).or_default() += 1;
    // What it holds is what it sent last, and what was refused.
    let last = ledger.spends_of(&person.client, &person.account).last().cloned();
    let Some(last) = last else {
        return scene.tally.wrong.push(format!("FALSE_ALARM: {person:?} is said to be lost and was never refreshed"));
    };
    let verdict = scene.judge.verdict(&person.client, &person.account, &last.token);
    let reason = text(&connection["disconnect_reason"]);
    let wrong = match (verdict.beside(false), &verdict) {
        (Finding::LostInFlight, Verdict::Lost(loss)) => in_flight(scene, loss, &ledger.spends),
        (Finding::LostClosable, Verdict::Lost(loss)) => closable(scene, person, loss, &ledger.spends),
        (finding, _) => Some(word(finding).to_owned()),
    };
    let unsaid = (reason != "refresh_outcome_lost").then(|| format!("UNREPORTED: the reason told is `{reason}`"));
    match wrong.or(unsaid) {
        None => scene.tally.told += 1,
        Some(what) => {
            let spends: Vec<String> = ledger.spends_of(&person.client, &person.account).map(line).collect();
            let spends = spends[spends.len().saturating_sub(6)..].join("\n    ");
            scene.tally.wrong.push(format!("{what}: {person:?}: {verdict:?}\n  {connection}\n    {spends}"));
        }
    }
}

/// The word of a finding in figures.
fn word(finding: Finding) -> &'static str {
    match finding {
        Finding::Ok | Finding::Reported => "OK",
        Finding::LostClosable => "LOST_CLOSABLE",
        Finding::LostInFlight => "LOST_W3",
        Finding::Unreported => "UNREPORTED",
        Finding::FalseAlarm => "FALSE_ALARM",
        Finding::Crossed => "CROSSED",
    }
}

/// Whether a loss in flight has a reason: a kill when its connection ended, or a provider that was told to misbehave.
fn in_flight(scene: &Scene, loss: &Loss, spends: &[Spend]) -> Option<String> {
    let missing = loss.spend.map(|number| &spends[number])?;
    let killed = |closed: At| {
        scene
            .killed_at
            .iter()
            .any(|(kill, gone)| closed.since(*kill) < NEAR && kill.since(closed) < NEAR && *gone >= *kill)
    };
    let explained = !missing.faults.is_empty() || missing.closed_at.is_some_and(killed);
    (!explained).then(|| "LOST_CLOSABLE: lost in flight although nobody was killed and nothing was cut".to_owned())
}

/// Whether a loss that was not in flight may be: the answer had come in the last milliseconds before a kill.
fn closable(scene: &mut Scene, person: &Person, loss: &Loss, spends: &[Spend]) -> Option<String> {
    let replayable = ReplayKind::Single.name() != person.client && ReplayKind::Family.name() != person.client;
    let (Some(number), Some(written)) = (loss.spend, loss.written_at) else {
        return Some("LOST_CLOSABLE: lost while an older token was sent".to_owned());
    };
    if replayable {
        return Some("LOST_CLOSABLE: lost although the provider would have answered again".to_owned());
    }
    if scene.journalled.contains(&number) {
        return Some("LOST_CLOSABLE: lost although its answer was in the journal".to_owned());
    }
    if handed_out(scene, &spends[number]) {
        return Some("LOST_CLOSABLE: lost although a caller had been given its access token".to_owned());
    }
    let kill = scene.killed_at.iter().find(|(_, gone)| *gone >= written);
    let Some((kill, _)) = kill.copied() else { return Some("LOST_CLOSABLE: lost without a kill".to_owned()) };
    let age = kill.since(written);
    if age > doubt(scene, kill, spends) {
        return Some(format!("LOST_CLOSABLE: lost although its answer had come {age:?} before the kill"));
    }
    scene.tally.doubtful.push(age);
    None
}

/// How long before a kill an answer may have come and not be in the journal yet. Longer where the machine was slow at that
/// time: in reading what was written for it, or in writing a few bytes down.
fn doubt(scene: &Scene, kill: At, spends: &[Spend]) -> Duration {
    let near = |at: At| kill.since(at) < NEAR && at.since(kill) < NEAR;
    let reads = spends.iter().filter(|spend| spend.end == Some(End::Delivered)).filter_map(|spend| {
        let (written, closed) = (spend.written_at?, spend.closed_at?);
        (closed < kill && near(closed)).then(|| closed.since(written))
    });
    let writes = scene.writes.lock().unwrap_or_else(PoisonError::into_inner);
    let writes = writes.iter().filter(|(ended, _)| near(*ended)).map(|(_, took)| *took);
    DOUBT + 2 * reads.max().unwrap_or_default() + 2 * writes.max().unwrap_or_default()
}

fn handed_out(scene: &Scene, spend: &Spend) -> bool {
    let Some(Decision::Rotated { access, .. } | Decision::Repeated { access, .. }) = &spend.decision else {
        return false;
    };
    scene.reads.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|read| read.token == *access)
}

/// The service says that this person's grant works: what it hands out belongs to a grant that would bring tokens.
///
/// # Panics
/// When it does not hand one out.
pub async fn said_to_live(scene: &mut Scene, api: &Http, person: &Person) {
    let judge = scene.judge.clone();
    let mut last = String::new();
    let what = format!("UNREPORTED: a token of {person:?} whose grant lives");
    wait_for(LIMIT, &what, async || {
        let reply = api.get(&format!("/v1/connections/{}/token", person.id)).await.expect("an answer");
        let verdict = judge.verdict(&person.client, &person.account, &text(&reply.json()["access_token"]));
        last = format!("{}: {verdict:?}", reply.status);
        (verdict.beside(true) == Finding::Ok).then_some(())
    })
    .await;
}

/// What no ledger may show, and what this one should.
pub fn ledger(scene: &mut Scene) {
    let ledger = scene.judge.ledger();
    let wrong = &mut scene.tally.wrong;
    wrong.extend(ledger.violations.iter().map(|violation| format!("OVERLAP: {violation:?}")));
    let mut latest: HashMap<&str, &Spend> = HashMap::new();
    for spend in &ledger.spends {
        let earlier = latest.insert(&spend.token, spend);
        let Some(earlier) = earlier.filter(|_| ["confirm", "single", "family"].contains(&spend.client_id.as_str()))
        else {
            continue;
        };
        let rest = earlier.closed_at.map_or(Duration::ZERO, |closed| spend.began_at.since(closed));
        if rest < Duration::from_secs_f64(scene.replay_after) {
            wrong.push(format!("OVERLAP: sent again after {rest:?}: {} and {}", line(earlier), line(spend)));
        }
    }
    let rotated = |spend: &&Spend| matches!(spend.decision, Some(Decision::Rotated { .. }));
    scene.tally.spends = ledger.spends.len();
    scene.tally.rotations = ledger.spends.iter().filter(rotated).count();
    let unheard = ledger.rotated_unheard().count() + scene.journalled.len();
    scene.tally.rescued = unheard.saturating_sub(scene.tally.told);
}

pub(crate) fn line(spend: &Spend) -> String {
    let (began, at) = (spend.began_at, |at: Option<At>| at.map(|at| at.since(spend.began_at)));
    format!(
        "#{} {} {} at {}: {:?} {:?}, decided {:?}, written {:?}, closed {:?}, {:?}",
        spend.number,
        spend.client_id,
        spend.token,
        began.micros(),
        spend.decision,
        spend.status,
        at(spend.decided_at),
        at(spend.written_at),
        at(spend.closed_at),
        spend.end
    )
}
