//! An answer that has come and cannot be committed.

use std::time::Duration;

use evergrant_testkit::{Decision, Fault, ReplayKind, Spend};

use super::{Bench, Stage};
use crate::moments::entries;
use crate::waiting::pass;

/// Longer than the service waits for a database that somebody else holds, on which it then fails.
const LONG_LOCK: Duration = Duration::from_millis(3500);

fn brought(spend: &Spend) -> String {
    match &spend.decision {
        Some(Decision::Rotated { access, .. }) => access.clone(),
        _ => String::new(),
    }
}

/// Sends a refresh, locks the database, and lets the answer out; the fingerprint of what it brought.
async fn landed_while_locked(stage: &mut Stage) -> (String, crate::place::Lock) {
    let forced = stage.held(Fault::HoldAnswer).await;
    forced.abort();
    let lock = stage.scene.lock();
    let data = stage.scene.nodes[0].home.data();
    let before = entries(&data);
    stage.scene.judge.switch_off("hold-answer");
    stage.scene.judge.release();
    stage.comes("LOST_CLOSABLE: the answer is not in the journal", async |_| entries(&data) > before).await;
    let spends = stage.scene.judge.ledger().spends;
    (spends.first().map(brought).unwrap_or_default(), lock)
}

pub(super) async fn answer_outlives_kill(bench: &Bench) -> Vec<String> {
    let mut stage = bench.begin(&bench.plan(ReplayKind::Family)).await;
    let (new, lock) = landed_while_locked(&mut stage).await;
    // What is to come too early has come by then.
    for _ in 0..5 {
        pass(Duration::from_millis(60)).await;
        let shown = stage.token().await;
        stage.holds(shown != new, || "SHOWN: a token that nobody has saved".to_owned());
    }
    let used = stage.scene.judge.calls().endpoint("userinfo");
    stage.holds(used == 0, || "USED: a token that nobody has saved".to_owned());
    stage.scene.kill(0, &[0]).await;
    drop(lock);
    if stage.wrong.is_empty() {
        stage.scene.start(0).await;
        let person = stage.person.id.clone();
        let what = "LOST_CLOSABLE: an answer that was in the journal is not stored after a restart";
        let api = stage.scene.api();
        stage
            .comes(what, async |_| {
                let reply = api.get(&format!("/v1/connections/{person}/token")).await;
                let token = reply.map(|reply| crate::scene::text(&reply.json()["access_token"])).unwrap_or_default();
                !token.is_empty() && evergrant_testkit::fingerprint(&token) == new
            })
            .await;
        stage.lives().await;
    }
    let spends = stage.scene.judge.ledger().spends.len();
    stage.holds(spends == 1, || format!("OVERLAP: {spends} uses of refresh tokens for one refresh"));
    stage.close().await
}

pub(super) async fn commit_is_repeated(bench: &Bench) -> Vec<String> {
    let mut stage = bench.begin(&bench.plan(ReplayKind::Family)).await;
    let (new, lock) = landed_while_locked(&mut stage).await;
    pass(LONG_LOCK).await;
    drop(lock);
    let (api, path, judge) = (stage.scene.api(), stage.path("/token"), stage.scene.judge.clone());
    let what = "LOST_CLOSABLE: the answer is not stored after the database has come back";
    stage
        .comes(what, async |_| {
            let reply = api.get(&path).await;
            let token = reply.map(|reply| crate::scene::text(&reply.json()["access_token"])).unwrap_or_default();
            let stored = !token.is_empty() && evergrant_testkit::fingerprint(&token) == new;
            stored || judge.ledger().spends.len() > 1
        })
        .await;
    stage.lives().await;
    let spends = stage.scene.judge.ledger().spends.len();
    stage.holds(spends == 1, || format!("OVERLAP: {spends} uses of refresh tokens for one refresh"));
    stage.close().await
}
