//! A database that crashes, is away, or is cut off at a commit; and processes that are cut off, paused, replaced and edited
//! under load. Nobody is killed here, so nothing at all may be lost.

use std::time::{Duration, Instant};

use evergrant_testkit::{End, Fault, FaultRule, Moment, Spend};
use serde_json::json;

use crate::dice::Dice;
use crate::judgement;
use crate::place::Place;
use crate::plan::Plan;
use crate::proxy::Cut;
use crate::scene::Scene;
use crate::tally::Tally;
use crate::waiting::pass;

/// A refresh that came is in the database so long after its return at the latest.
const BACK: Duration = Duration::from_secs(10);
/// How long a commit to be cut is waited for.
const COMMIT: Duration = Duration::from_secs(20);

async fn server(place: &Place, wish: impl FnOnce(&evergrant_testkit::cluster::Cluster) + Send + 'static) {
    let Place::Postgres { cluster, .. } = place.clone() else { return };
    tokio::task::spawn_blocking(move || wish(&cluster)).await.expect("the server does as it is told");
}

/// PostgreSQL crashes (`-m immediate`) every two to six seconds, scaled by nothing, for so long.
///
/// # Panics
/// When the service does not come back.
pub async fn database_crashes(plan: &Plan, seed: u64, span: Duration) -> Tally {
    let mut dice = Dice::new(seed);
    let mut scene = Scene::begin(plan, &mut dice).await;
    let end = Instant::now() + span;
    while Instant::now() < end && scene.tally.wrong.is_empty() {
        pass(Duration::from_millis(2000 + dice.below(4000))).await;
        crash(&mut scene).await;
        scene.tally.did("crash of the database");
        scene.look_after().await;
    }
    scene.end().await
}

/// Crashes the database and starts it again, and waits until the service answers from it.
pub(crate) async fn crash(scene: &mut Scene) {
    server(&scene.place, |server| {
        server.crash();
        server.start_again();
    })
    .await;
    scene.answers().await;
}

/// Connections are cut right before and right after a `COMMIT` is forwarded, so many times each.
///
/// # Panics
/// When the service does not come back.
pub async fn commits_cut(plan: &Plan, seed: u64, cuts: usize) -> Tally {
    let mut dice = Dice::new(seed);
    let mut scene = Scene::begin(&Plan { wires: true, ..plan.clone() }, &mut dice).await;
    for number in 0..cuts * 2 {
        pass(Duration::from_millis(dice.below(120))).await;
        let cut = if number % 2 == 0 { Cut::Before } else { Cut::After };
        let (before, end) = (scene.nodes[0].wire().cuts(), Instant::now() + COMMIT);
        scene.nodes[0].wire().cut_next(cut);
        while scene.nodes[0].wire().cuts() == before && Instant::now() < end {
            pass(Duration::from_millis(2)).await;
        }
        match cut {
            Cut::Before => scene.tally.did("cut before COMMIT"),
            Cut::After => scene.tally.did("cut after COMMIT"),
        }
        if scene.nodes[0].wire().cuts() == before {
            scene.tally.wrong.push("STALLED: nothing is committed any more".to_owned());
        }
        if number % 20 == 19 {
            scene.answers().await;
            scene.look_after().await;
        }
        if !scene.tally.wrong.is_empty() {
            break;
        }
    }
    scene.answers().await;
    scene.end().await
}

/// The database goes away in the middle of many refreshes. Meanwhile tokens are handed out; after its return everything
/// that had come is written within ten seconds.
///
/// # Panics
/// When the service does not come back.
pub async fn database_away(plan: &Plan, seed: u64, away: Duration) -> Tally {
    let mut dice = Dice::new(seed);
    let mut scene = Scene::begin(plan, &mut dice).await;
    // Everything that is sent from now on waits for its answer until the database is gone.
    scene.judge.fault(FaultRule::lasting(Fault::HoldAnswer));
    let sent = scene.people.len() / 2;
    // They are due before their tokens end.
    let held = scene.judge.wait_until(plan.access, |ledger| ledger.in_flight().count() >= sent.min(60)).await;
    assert!(held.is_ok(), "refreshes are under way");
    server(&scene.place, evergrant_testkit::cluster::Cluster::crash).await;
    scene.tally.did("refresh under way when the database went");
    let before = scene.reads_so_far();
    scene.judge.reset();
    pass(away).await;
    let meanwhile = scene.reads_so_far() - before;
    if meanwhile == 0 {
        scene.tally.wrong.push("SILENT: no live token was handed out while the database was away".to_owned());
    }
    server(&scene.place, evergrant_testkit::cluster::Cluster::start_again).await;
    let back = scene.judge.now();
    scene.answers().await;
    written(&mut scene, back).await;
    scene.end().await
}

/// Waits until what was sent before `back` has its outcome in the database, which is right away.
async fn written(scene: &mut Scene, back: Moment) {
    let before = back.micros() / 1000;
    let open = format!("SELECT attempt FROM lives WHERE attempt IS NOT NULL AND sending_at < {before}");
    while !scene.run(&open).is_empty() && scene.judge.now().since(back) < BACK {
        pass(Duration::from_millis(50)).await;
    }
    let open = scene.run(&open).len();
    if open > 0 {
        let late = format!("LATE: {open} outcomes were not written {BACK:?} after the database could be reached again");
        scene.tally.wrong.push(late);
    }
}

/// One process at a time is cut off from the database, for longer than its lease, and the others go on. By turns its
/// connections break, or nothing comes through and what it sent meanwhile comes late.
///
/// # Panics
/// When the service does not come back.
pub async fn cut_off(plan: &Plan, seed: u64, rounds: usize, span: Duration) -> Tally {
    let mut dice = Dice::new(seed);
    let mut scene = Scene::begin(&Plan { wires: true, ..plan.clone() }, &mut dice).await;
    scene.judge.fault(FaultRule::lasting(Fault::DelayAnswer(Duration::from_millis(150))));
    for round in 0..rounds {
        pass(Duration::from_millis(300 + dice.below(1500))).await;
        let number = usize::try_from(dice.below(scene.nodes.len() as u64)).unwrap_or_default();
        let broken = round % 2 == 0;
        cut_node(&scene, number, broken, span).await;
        let back = scene.judge.now();
        scene.tally.did(if broken { "cut off, connections broken" } else { "cut off, nothing comes through" });
        scene.answers().await;
        written(&mut scene, back).await;
        scene.look_after().await;
        if !scene.tally.wrong.is_empty() {
            break;
        }
    }
    scene.end().await
}

/// Cuts a process off from the database for a while.
pub(crate) async fn cut_node(scene: &Scene, number: usize, broken: bool, span: Duration) {
    let wire = scene.nodes[number].wire();
    if broken {
        wire.break_down();
    } else {
        wire.hold();
    }
    pass(span).await;
    wire.mend();
}

/// A process is stopped for longer than its lease, and goes on.
///
/// # Panics
/// When it does not come back.
pub async fn pauses(plan: &Plan, seed: u64, rounds: usize, pause: Duration) -> Tally {
    let mut dice = Dice::new(seed);
    let mut scene = Scene::begin(plan, &mut dice).await;
    for _ in 0..rounds {
        pass(Duration::from_millis(300 + dice.below(1500))).await;
        let number = usize::try_from(dice.below(scene.nodes.len() as u64)).unwrap_or_default();
        sleep_node(&scene, number, pause).await;
        scene.tally.did("pause longer than a lease");
        scene.answers().await;
        scene.look_after().await;
        if !scene.tally.wrong.is_empty() {
            break;
        }
    }
    scene.end().await
}

/// Stops a process, and lets it go on after a while.
pub(crate) async fn sleep_node(scene: &Scene, number: usize, pause: Duration) {
    let Some(serving) = &scene.nodes[number].serving else { return };
    serving.pause();
    pass(pause).await;
    serving.go_on();
}

/// A process is asked to end while refreshes are under way, and another one takes its place: each answer is waited for.
///
/// # Panics
/// When it does not end well.
pub async fn replaced(plan: &Plan, seed: u64, rounds: usize) -> Tally {
    let mut dice = Dice::new(seed);
    let mut scene = Scene::begin(plan, &mut dice).await;
    scene.judge.fault(FaultRule::lasting(Fault::DelayAnswer(Duration::from_millis(150))));
    for round in 0..rounds {
        pass(Duration::from_millis(200 + dice.below(800))).await;
        let number = round % scene.nodes.len();
        scene.stop(number).await;
        scene.start(number).await;
        scene.tally.did("SIGTERM under load");
    }
    let spends = scene.judge.ledger().spends;
    let left = spends.iter().filter(|spend| spend.end.is_some_and(|end| end != End::Delivered));
    // With the next uses of the same grant: they show whether the answer had come after all.
    let after = |one: &Spend| {
        let same = spends.iter().filter(|spend| spend.client_id == one.client_id && spend.account == one.account);
        let from = same.skip_while(|spend| spend.number < one.number);
        from.take(3).map(judgement::line).collect::<Vec<_>>().join("\n      ")
    };
    let left: Vec<String> = left.map(after).collect();
    if !left.is_empty() {
        scene.tally.wrong.push(format!(
            "LOST_CLOSABLE: {} answers were not waited for by a process that was asked to end: {}",
            left.len(),
            left.join("\n    ")
        ));
    }
    scene.end().await
}

/// People reconnect and applications edit while refreshes of the same connections are under way.
///
/// # Panics
/// When the service refuses.
pub async fn edits(plan: &Plan, seed: u64, rounds: usize) -> Tally {
    let mut dice = Dice::new(seed);
    let mut scene = Scene::begin(plan, &mut dice).await;
    scene.judge.fault(FaultRule::lasting(Fault::DelayAnswer(Duration::from_millis(100))));
    let mut round = 0;
    while round < rounds && scene.tally.wrong.is_empty() {
        let under_way = scene.judge.ledger().in_flight().find_map(|spend| spend.account.clone());
        let person = match under_way {
            Some(account) => scene.people.iter().find(|person| person.account == account).cloned(),
            None => None,
        };
        let Some(person) = person else {
            pass(Duration::from_millis(5)).await;
            continue;
        };
        round += 1;
        if dice.below(2) == 0 {
            scene.import(&person).await;
            scene.tally.did("new consent during a refresh");
            continue;
        }
        let path = format!("/v1/connections/{}", person.id);
        let text = round.to_string();
        let edit = json!({ "metadata": { "round": text } });
        let reply = scene.api().json(http::Method::PATCH, &path, &edit).await.expect("an answer");
        pass(Duration::from_millis(200)).await;
        let kept = scene.api().get(&path).await.expect("an answer").json();
        if reply.status != 200 || kept["metadata"]["round"] != *text {
            scene.tally.wrong.push(format!("HISTORY: an edit of {person:?} is gone: {} {kept}", reply.status));
        }
        scene.tally.did("edit during a refresh");
    }
    scene.end().await
}
