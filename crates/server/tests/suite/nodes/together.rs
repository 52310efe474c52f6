//! Whatever the number of callers and nodes, a refresh token is spent once.

use std::collections::BTreeSet;
use std::time::Duration;

use evergrant_testkit::Fault;
use evergrant_testkit::http::Reply;
use tokio::task::JoinSet;

use super::{NUMBERS, Nodes, callers, fault};

async fn one_token(mut callers: JoinSet<Reply>) -> usize {
    let (mut tokens, mut answered) = (BTreeSet::new(), 0);
    while let Some(reply) = callers.join_next().await {
        let reply = reply.expect("a caller ends");
        assert_eq!(reply.status, 200, "{}", reply.text());
        tokens.insert(reply.json()["access_token"].to_string());
        answered += 1;
    }
    assert_eq!(tokens.len(), 1, "all of them got the same new token");
    answered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_callers_at_each_of_three_nodes_spend_one_refresh_token_once() {
    let nodes = Nodes::start(NUMBERS).await;
    let id = nodes.expired("ann").await;
    nodes.judge.fault(fault(Fault::Delay(Duration::from_millis(300))));
    let answered = one_token(callers(&nodes, 500, &format!("/v1/connections/{id}/token"))).await;
    assert_eq!((answered, nodes.spends()), (1500, 1));
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_takes_longer_than_several_leases_is_asked_once() {
    let nodes = Nodes::start(
        &NUMBERS.replace("lease = 3.0", "lease = 0.8").replace("answer_timeout = 20.0", "answer_timeout = 30.0"),
    )
    .await;
    let id = nodes.expired("ann").await;
    nodes.judge.fault(fault(Fault::Delay(Duration::from_secs(5))));
    let answered = one_token(callers(&nodes, 20, &format!("/v1/connections/{id}/token"))).await;
    assert_eq!((answered, nodes.spends()), (60, 1));
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_at_another_node_is_answered_as_soon_as_the_grant_is_stored() {
    let nodes = Nodes::start(NUMBERS).await;
    let mut waits = Vec::new();
    for number in 0..10 {
        let id = nodes.expired(&format!("user-{number}")).await;
        nodes.judge.fault(fault(Fault::HoldAnswer));
        let path = format!("/v1/connections/{id}/token");
        let mut all = callers(&nodes, 1, &path);
        nodes.judge.wait_until(super::LONG, |ledger| ledger.in_flight().count() == 1).await.unwrap();
        nodes.judge.switch_off("hold-answer");
        nodes.judge.release();
        let first = all.join_next().await.unwrap().unwrap();
        let stored = std::time::Instant::now();
        assert_eq!(first.status, 200, "{}", first.text());
        one_token(all).await;
        waits.push(stored.elapsed());
    }
    waits.sort();
    println!("from the first answer to the last one, at three nodes: {waits:?}");
    assert!(waits[5] < Duration::from_millis(100), "{waits:?}");
    assert_eq!(nodes.spends(), 10);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_is_refreshed_by_one_of_the_nodes_and_nothing_twice() {
    let nodes = Nodes::start(&NUMBERS.replace("background = false", "background = true")).await;
    let mut ids = Vec::new();
    for number in 0..60 {
        ids.push(nodes.expired(&format!("user-{number}")).await);
    }
    for id in ids {
        let path = format!("/v1/connections/{id}");
        nodes.until(1, &path, |reply| reply.json()["refresh_count"] == 1).await;
    }
    assert_eq!(nodes.spends(), 60);
    nodes.stop().await;
}
