//! Several processes on one database.

use std::time::Duration;

use evergrant_testkit::{Fault, FaultRule, ReplayKind};

use super::{Bench, Stage};
use crate::place::Place;
use crate::plan::Plan;

/// Shorter than the provider takes.
const LEASE: f64 = 2.0;
const PROVIDER: Duration = Duration::from_secs(5);

fn plan(bench: &Bench) -> Plan {
    let plan = bench.plan(ReplayKind::Family).at(Place::on(&bench.cluster)).with("lease", LEASE);
    Plan { nodes: 2, ..plan }
}

/// Every process is asked for a refresh while the first one waits for the provider: one call is made.
async fn one_call(stage: &mut Stage) {
    stage.scene.judge.fault(FaultRule::lasting(Fault::DelayAnswer(PROVIDER)));
    let first = stage.force();
    stage.ledger_comes("no refresh is sent", |ledger| !ledger.spends.is_empty()).await;
    let other = stage.scene.nodes[1].serving.as_ref().map(|serving| serving.api.clone());
    let path = stage.path("/refresh");
    while stage.scene.judge.ledger().in_flight().count() == 1 {
        let asked = other.as_ref().expect("it serves").clone().limit(Duration::from_millis(300));
        drop(asked.post(&path, &serde_json::json!({})).await);
    }
    drop(first.await);
    let spends = stage.scene.judge.ledger().spends;
    let closed = spends.first().and_then(|first| first.closed_at);
    // What was asked for in the last moment may come after it.
    let meanwhile = spends.iter().skip(1).filter(|spend| closed.is_none_or(|closed| spend.began_at < closed)).count();
    stage.holds(meanwhile == 0, || format!("OVERLAP: {meanwhile} more calls while one was under way"));
    stage.scene.judge.reset();
    stage.lives().await;
}

pub(super) async fn lease_outlasts_provider(bench: &Bench) -> Vec<String> {
    let mut stage = bench.begin(&plan(bench)).await;
    one_call(&mut stage).await;
    stage.close().await
}

pub(super) async fn clocks_differ(bench: &Bench) -> Vec<String> {
    let plan = Plan { second_clock_ahead: Some(Duration::from_secs(600)), ..plan(bench) };
    let mut stage = bench.begin(&plan).await;
    one_call(&mut stage).await;
    stage.close().await
}
