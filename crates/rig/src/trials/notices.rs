//! Who is told what, and when.

use std::time::Duration;

use evergrant_testkit::{Canned, Fault, FaultRule, ReplayKind};

use super::Bench;
use crate::waiting::pass;

pub(super) async fn trouble_passes(bench: &Bench) -> Vec<String> {
    let mut stage = bench.begin(&bench.short_plan(ReplayKind::Single)).await;
    stage.scene.judge.fault(FaultRule::next(5, Fault::Answer(Canned::error_500())));
    let path = stage.path("");
    let api = stage.scene.api();
    let what = "STALLED: what failed is not tried again";
    stage
        .comes(what, async |scene| {
            let connection = api.get(&path).await.map(|reply| reply.json()).unwrap_or_default();
            scene.judge.ledger().spends.len() > 5 || connection["status"] == "needs_reauth"
        })
        .await;
    stage.lives().await;
    stage.close().await
}

pub(super) async fn verdict_and_notice_are_one(bench: &Bench) -> Vec<String> {
    let mut stage = bench.begin(&bench.plan(ReplayKind::Family)).await;
    stage.scene.run("CREATE TRIGGER rig_stop BEFORE INSERT ON notices BEGIN SELECT RAISE(ABORT, 'no room'); END");
    stage.scene.judge.revoke("family", &stage.person.account);
    let forced = stage.force();
    let answered = |ledger: &evergrant_testkit::Ledger| ledger.spends.iter().any(|spend| spend.end.is_some());
    stage.ledger_comes("no refresh is sent", answered).await;
    for _ in 0..8 {
        pass(Duration::from_millis(100)).await;
        let status = stage.scene.run("SELECT status FROM lives");
        stage.holds(status == ["connected"], || format!("UNREPORTED: {status:?}, and nobody can have been told"));
    }
    stage.scene.run("DROP TRIGGER rig_stop");
    drop(forced.await);
    let needs = "SELECT connection_id FROM lives WHERE status = 'needs_reauth'";
    let came = stage.comes("UNREPORTED: a revoked grant is not seen", async |scene| !scene.run(needs).is_empty()).await;
    if came {
        let told = stage.scene.run("SELECT kind FROM notices WHERE kind = 'disconnected'").len();
        stage.holds(told == 1, || format!("NOTICE: told {told} times"));
    }
    stage.close().await
}
