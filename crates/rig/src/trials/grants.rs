//! Which grant is stored, for whom, and what may end it.

use evergrant_testkit::{Canned, Fault, FaultRule, ReplayKind};
use serde_json::json;

use super::{Bench, Stage};

/// A person brings a new grant while the old one is being renewed, and an application edits the connection.
async fn reconnect(stage: &mut Stage) -> String {
    let person = stage.person.clone();
    stage.scene.import(&person).await;
    let edit = json!({ "metadata": { "edited": "yes" } });
    let path = stage.path("");
    let reply = stage.scene.api().json(http::Method::PATCH, &path, &edit).await;
    stage.holds(reply.is_ok_and(|reply| reply.status == 200), || "STALLED: an edit is refused".to_owned());
    stage.token().await
}

pub(super) async fn reconnect_wins(bench: &Bench) -> Vec<String> {
    let mut stage = bench.begin(&bench.plan(ReplayKind::Family)).await;
    let forced = stage.held(Fault::HoldAnswer).await;
    let brought = reconnect(&mut stage).await;
    stage.scene.judge.reset();
    drop(forced.await);
    let stored = stage.token().await;
    stage.holds(stored == brought, || "LOST_CLOSABLE: what a person brought was overwritten by a refresh".to_owned());
    let edited = stage.connection().await["metadata"]["edited"].clone();
    stage.holds(edited == "yes", || "HISTORY: an edit was overwritten by a refresh".to_owned());
    stage.lives().await;
    stage.close().await
}

pub(super) async fn verdict_is_about_what_was_sent(bench: &Bench) -> Vec<String> {
    let mut stage = bench.begin(&bench.plan(ReplayKind::Family)).await;
    let dead = Canned::new("dead", 400, "application/json", r#"{"error":"invalid_grant"}"#);
    stage.scene.judge.fault(FaultRule::lasting(Fault::Answer(dead)));
    let forced = stage.held(Fault::Hold).await;
    let brought = reconnect(&mut stage).await;
    stage.scene.judge.release();
    drop(forced.await);
    stage.lives().await;
    let stored = stage.token().await;
    stage.holds(stored == brought, || "FALSE_ALARM: a new grant was judged by what was said of the old".to_owned());
    stage.close().await
}

pub(super) async fn no_new_refresh_token(bench: &Bench) -> Vec<String> {
    let mut stage = bench.begin(&bench.plan(ReplayKind::None)).await;
    for _ in 0..2 {
        let reply = stage.force().await.ok().flatten();
        let outcome = reply.map(|reply| reply.json()["outcome"].clone()).unwrap_or_default();
        stage.holds(outcome == "success", || format!("LOST_CLOSABLE: a refresh token was erased: {outcome}"));
    }
    stage.lives().await;
    stage.close().await
}

pub(super) async fn disconnect_holds(bench: &Bench) -> Vec<String> {
    let mut stage = bench.begin(&bench.plan(ReplayKind::Family)).await;
    let before = stage.token().await;
    stage.holds(!before.is_empty(), || "STALLED: no token".to_owned());
    let reply = stage.scene.api().delete(&stage.path("")).await;
    stage.holds(reply.is_ok_and(|reply| reply.status < 300), || "STALLED: it cannot be disconnected".to_owned());
    let after = stage.token().await;
    stage.holds(after.is_empty(), || "SHOWN: a token of a connection that was ended".to_owned());
    stage.close().await
}

pub(super) async fn sealed_for_one(bench: &Bench) -> Vec<String> {
    let mut plan = bench.plan(ReplayKind::Family);
    plan.people = 2;
    let mut stage = bench.begin(&plan).await;
    let other = stage.scene.people[1].id.clone();
    let one = stage.person.id.clone();
    stage.scene.stop(0).await;
    let swap = |from: &str, to: &str| {
        format!(
            "UPDATE grants SET access_token = (SELECT access_token FROM grants WHERE connection_id = '{from}'), \
             refresh_token = (SELECT refresh_token FROM grants WHERE connection_id = '{from}') \
             WHERE connection_id = '{to}'"
        )
    };
    stage.scene.run(&swap(&other, &one));
    stage.scene.start(0).await;
    let shown = stage.token().await;
    stage.holds(shown.is_empty(), || "CROSSED: what was sealed for one connection opens for another".to_owned());
    stage.close().await
}
