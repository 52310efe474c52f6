//! What is sent, how often, and with whose leave.

use std::time::Duration;

use evergrant_testkit::{Canned, End, Fault, FaultRule, Ledger, ReplayKind, Spend};
use serde_json::json;

use super::{Bench, Stage};
use crate::moments::entries;
use crate::proxy::Proxy;
use crate::waiting::pass;

/// Long enough to tell a repetition at once from one at its time.
const REPLAY_AFTER: f64 = 2.5;

/// A use of the token fails so, once.
async fn failed(stage: &mut Stage, fault: Fault) {
    stage.scene.judge.fault(FaultRule::next(1, fault));
    let met = |spend: &Spend| !spend.faults.is_empty() && spend.end.is_some();
    stage.ledger_comes("no refresh is sent", |ledger| ledger.spends.iter().any(met)).await;
}

/// Another use comes, and not before its time; the ledger's judgement says whether it did.
async fn repeated_in_time(stage: &mut Stage) {
    let again = |ledger: &Ledger| ledger.spends.last().is_some_and(|spend| spend.faults.is_empty());
    stage.ledger_comes("what was not answered is never tried again", again).await;
}

pub(super) async fn no_answer_is_no_retry(bench: &Bench) -> Vec<String> {
    let plan = bench.short_plan(ReplayKind::Single).with("replay_after", REPLAY_AFTER);
    let mut stage = bench.begin(&plan).await;
    failed(&mut stage, Fault::CutBefore).await;
    repeated_in_time(&mut stage).await;
    stage.lives().await;
    stage.close().await
}

pub(super) async fn unreadable_is_kept(bench: &Bench) -> Vec<String> {
    let plan = bench.short_plan(ReplayKind::Single).with("replay_after", REPLAY_AFTER);
    let mut stage = bench.begin(&plan).await;
    let data = stage.scene.nodes[0].home.data();
    failed(&mut stage, Fault::Answer(Canned::html())).await;
    // One entry for each answer: those before it were read.
    let answers = stage.scene.judge.ledger().spends.iter().filter(|spend| spend.status.is_some()).count();
    // The next use brings the next entry: this is looked at before.
    pass(Duration::from_millis(500)).await;
    let kept = entries(&data);
    stage.holds(kept >= answers, || format!("LOST_CLOSABLE: of {answers} answers {kept} were kept"));
    repeated_in_time(&mut stage).await;
    stage.lives().await;
    stage.close().await
}

pub(super) async fn kill_is_remembered(bench: &Bench) -> Vec<String> {
    let plan = bench.short_plan(ReplayKind::Single).with("replay_after", REPLAY_AFTER);
    let mut stage = bench.begin(&plan).await;
    let forced = stage.held(Fault::Hang).await;
    stage.scene.kill(0, &[]).await;
    forced.abort();
    stage.scene.judge.reset();
    stage.scene.start(0).await;
    // Nobody's wish makes it earlier.
    for _ in 0..5 {
        drop(stage.force().await);
        pass(Duration::from_millis(100)).await;
    }
    repeated_in_time(&mut stage).await;
    stage.lives().await;
    stage.close().await
}

pub(super) async fn caller_goes_away(bench: &Bench) -> Vec<String> {
    let mut plan = bench.plan(ReplayKind::Family);
    plan.access = Duration::from_secs(3);
    let mut stage = bench.begin(&plan).await;
    stage.scene.judge.fault(FaultRule::lasting(Fault::DelayAnswer(Duration::from_millis(900))));
    let ended =
        |count: usize| move |ledger: &Ledger| ledger.spends.iter().filter(|spend| spend.end.is_some()).count() >= count;
    for _ in 0..400 {
        let path = stage.path("/token?wait=0&min_ttl=2");
        drop(stage.scene.api().get(&path).await);
        pass(Duration::from_millis(20)).await;
        if ended(2)(&stage.scene.judge.ledger()) {
            break;
        }
    }
    stage.ledger_comes("nothing is refreshed", ended(2)).await;
    let spends = stage.scene.judge.ledger().spends;
    let left = spends.iter().filter(|spend| spend.end.is_some_and(|end| end != End::Delivered)).count();
    stage.holds(left == 0, || format!("LOST_CLOSABLE: {left} answers were not waited for"));
    stage.close().await
}

pub(super) async fn changed_before_sending(bench: &Bench) -> Vec<String> {
    let plan = bench.plan(ReplayKind::Family).with("retry_min", 1.0).with("retry_max", 2.0);
    let mut stage = bench.begin(&plan).await;
    // An address where nobody listens yet.
    let door = std::net::TcpListener::bind("127.0.0.1:0").and_then(|door| door.local_addr()).expect("a free port");
    let mut provider = stage.scene.judge.catalogue_json("family").expect("it is registered");
    provider["token_url"] = json!(format!("http://{door}/token"));
    let path = "/v1/integrations/family";
    let change = json!({ "provider": provider });
    let reply = stage.scene.api().json(http::Method::PATCH, path, &change).await;
    let changed = reply.as_ref().is_ok_and(|reply| reply.status == 200);
    stage.holds(changed, || format!("STALLED: the provider cannot be moved: {:?}", reply.map(|reply| reply.text())));
    let forced = stage.force();
    let leased = "SELECT connection_id FROM lives WHERE lease_owner IS NOT NULL";
    stage.comes("STALLED: no refresh begins", async |scene| !scene.run(leased).is_empty()).await;
    let person = stage.person.clone();
    stage.scene.import(&person).await;
    let _wire = Proxy::before_at(stage.scene.judge.addr(), door).await;
    drop(forced.await);
    let spends = stage.scene.judge.ledger().spends;
    stage.holds(spends.is_empty(), || "OVERLAP: a grant was sent that had been replaced before".to_owned());
    stage.lives().await;
    stage.close().await
}
