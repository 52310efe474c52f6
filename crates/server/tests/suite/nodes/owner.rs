//! The node that refreshes is killed, stopped, or ends.

use std::sync::Arc;
use std::time::Duration;

use evergrant_rig::Place;
use evergrant_rig::moments::entries;
use evergrant_testkit::Fault;
use evergrant_testkit::cluster::Cluster;
use serde_json::json;

use super::{LONG, NUMBERS, Nodes, fault, good};
use crate::waiting::{pass, wait_for};
use crate::world::text;

/// How long an answer may be waited for, by the numbers of these tests: a quarter more than connecting and answering.
const ANSWERED: Duration = Duration::from_secs(5);

fn quick() -> String {
    NUMBERS
        .replace("answer_timeout = 20.0", "answer_timeout = 3.0")
        .replace("connect_timeout = 4.0", "connect_timeout = 1.0")
}

/// Calls for a token at a node, and returns when the provider has the refresh.
async fn under_way(nodes: &Nodes, node: usize, id: &str) -> tokio::task::JoinSet<()> {
    let (api, path) = (nodes.api(node).clone().limit(Duration::from_secs(60)), format!("/v1/connections/{id}/token"));
    let mut calls = tokio::task::JoinSet::new();
    calls.spawn(async move { drop(api.get(&path).await) });
    nodes.judge.wait_until(LONG, |ledger| ledger.in_flight().count() == 1).await.expect("it comes");
    calls
}

#[tokio::test(flavor = "multi_thread")]
async fn the_refresh_of_a_killed_node_is_not_sent_again_while_it_may_be_answered_and_then_as_uncertain() {
    let mut nodes = Nodes::start(&quick()).await;
    let id = nodes.expired("ann").await;
    nodes.judge.fault(fault(Fault::Hold));
    let began = std::time::Instant::now();
    let _call = under_way(&nodes, 0, &id).await;
    nodes.take(0).kill().await;
    nodes.judge.switch_off("hold");
    let path = format!("/v1/connections/{id}/token?wait=30");
    let reply = nodes.api(1).clone().limit(Duration::from_secs(60)).get(&path).await.unwrap();
    assert_eq!(nodes.spends(), 1, "{}", reply.text());
    let waited = began.elapsed();
    assert!(waited >= ANSWERED - Duration::from_millis(100), "taken over after {waited:?}");
    assert!(waited < ANSWERED + Duration::from_secs(3), "taken over after {waited:?}");
    // It was never decided there: when it is sent again it brings the grant.
    wait_for(LONG, "a token", async || {
        let reply = nodes.api(2).get(&path).await.unwrap();
        (reply.status == 200).then_some(())
    })
    .await;
    assert_eq!(nodes.spends(), 2);
    assert!(began.elapsed() >= ANSWERED + Duration::from_secs(1), "not before `replay_after`");
    nodes.judge.release();
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_that_starts_again_on_its_folder_frees_its_lease_at_once() {
    let mut nodes = Nodes::start(NUMBERS).await;
    let id = nodes.expired("ann").await;
    nodes.judge.fault(fault(Fault::Hold));
    let _call = under_way(&nodes, 0, &id).await;
    nodes.take(0).kill().await;
    nodes.judge.switch_off("hold");
    nodes.running[0] = Some(nodes.homes[0].serve().await);
    let path = format!("/v1/connections/{id}/token?wait=10");
    let reply = nodes.until(1, &path, |reply| reply.status == 200).await;
    assert_eq!(nodes.spends(), 2, "{}", reply.text());
    nodes.judge.release();
    nodes.stop().await;
}

/// Three nodes, of which the first is killed when an answer stands in its journal and in no commit.
async fn killed_with_an_answer_in_its_journal(numbers: &str) -> (Place, Nodes, String) {
    let place = Place::on(&Arc::new(Cluster::start()));
    let mut nodes = Nodes::on(&place.url().expect("it is a server's"), numbers).await;
    let id = nodes.expired("ann").await;
    nodes.judge.fault(fault(Fault::HoldAnswer));
    let _call = under_way(&nodes, 0, &id).await;
    let data = nodes.homes[0].data();
    let (lock, before) = (place.lock(&nodes.homes[0].database()), entries(&data));
    nodes.judge.switch_off("hold-answer");
    nodes.judge.release();
    wait_for(LONG, "an answer in the journal", async || (entries(&data) > before).then_some(())).await;
    nodes.take(0).kill().await;
    drop(lock);
    (place, nodes, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_node_had_in_its_journal_is_put_in_before_another_one_may_send() {
    let (_place, mut nodes, id) = killed_with_an_answer_in_its_journal(NUMBERS).await;
    let path = format!("/v1/connections/{id}/token?wait=30");
    let api = nodes.api(1).clone().limit(Duration::from_secs(60));
    let (again, reply) = tokio::join!(nodes.homes[0].serve(), api.get(&path));
    nodes.running[0] = Some(again);
    assert_eq!(reply.unwrap().status, 200);
    // The provider takes nothing twice: a second sending would have ended the grant.
    assert_eq!(nodes.spends(), 1);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_serves_although_another_one_has_the_lease_of_what_its_journal_answers() {
    let (_place, mut nodes, id) = killed_with_an_answer_in_its_journal(&quick()).await;
    nodes.judge.fault(fault(Fault::Hang));
    let path = format!("/v1/connections/{id}/token?wait=30");
    let api = nodes.api(1).clone().limit(Duration::from_secs(60));
    let mut calls = tokio::task::JoinSet::new();
    let asked = path.clone();
    calls.spawn(async move { drop(api.get(&asked).await) });
    nodes.judge.wait_until(LONG, |ledger| ledger.spends.len() == 2).await.expect("it is taken over when nobody starts");
    nodes.running[0] = Some(nodes.homes[0].serve().await);
    assert_eq!(nodes.api(0).get("/healthz").await.unwrap().status, 200);
    nodes.until(2, &path, |reply| reply.status == 200).await;
    assert_eq!(nodes.spends(), 2);
    // What the other one still waits for is of the grant before, and holds nothing up.
    nodes.judge.switch_off("hang");
    wait_for(LONG, "a refresh of the new grant", async || {
        let forced = nodes.api(2).post(&format!("/v1/connections/{id}/refresh"), &json!({})).await.unwrap();
        (forced.json()["outcome"] == "success").then_some(())
    })
    .await;
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ends_waits_for_its_answer_and_those_at_other_nodes_get_it() {
    let mut nodes = Nodes::start(NUMBERS).await;
    let id = nodes.expired("ann").await;
    nodes.judge.fault(fault(Fault::Delay(Duration::from_secs(2))));
    let _call = under_way(&nodes, 0, &id).await;
    let ending = nodes.take(0);
    let (words, reply) = {
        let path = format!("/v1/connections/{id}/token");
        let api = nodes.api(1).clone().limit(Duration::from_secs(60));
        tokio::join!(ending.stop(), async move { api.get(&path).await.unwrap() })
    };
    assert_eq!(reply.status, 200, "{}\n{words}", reply.text());
    assert_eq!(nodes.spends(), 1);
    nodes.until(1, "/readyz", |reply| reply.json()["nodes"]["living"] == 2).await;
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_stopped_past_its_lease_changes_nothing_late_and_says_so() {
    let mut nodes = Nodes::start(&quick()).await;
    let id = nodes.expired("ann").await;
    nodes.judge.fault(fault(Fault::HoldAnswer));
    let _call = under_way(&nodes, 0, &id).await;
    nodes.node(0).pause();
    nodes.judge.switch_off("hold-answer");
    // Meanwhile the person connects anew: another grant, by another node.
    let fresh = {
        let (same, access) = nodes.imported(1, "ann", 3600).await;
        assert_eq!(same, id);
        access
    };
    nodes.judge.release();
    pass(ANSWERED + Duration::from_secs(1)).await;
    let path = format!("/v1/connections/{id}/token");
    assert_eq!(text(&good(&nodes.api(2).get(&path).await.unwrap())["access_token"]), fresh);
    nodes.node(0).go_on();
    nodes.until(0, &path, |reply| reply.status == 200 && text(&reply.json()["access_token"]) == fresh).await;
    wait_for(LONG, "what the late node says", async || nodes.node(0).said().contains("came too late").then_some(()))
        .await;
    for node in 0..3 {
        assert_eq!(text(&good(&nodes.api(node).get(&path).await.unwrap())["access_token"]), fresh);
    }
    let words = nodes.take(0).stop().await;
    assert!(words.contains("changes nothing"), "{words}");
    nodes.stop().await;
}
