//! Whatever the number of callers, a refresh token is spent once.

use std::time::Duration;

use evergrant_testkit::Fault;
use tokio::task::JoinSet;

use super::{SOON, connected, on_demand, to};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_of_an_expired_token_spend_its_refresh_token_once() {
    let world = on_demand().await;
    let id = connected(&world, "acme", "alice").await;
    world.clock.forward(3601);
    world.judge.fault(to("acme", Fault::Delay(Duration::from_millis(300))));
    let mut callers = JoinSet::new();
    for _ in 0..1000 {
        let (api, path) = (world.api.clone(), format!("/v1/connections/{id}/token"));
        callers.spawn(async move { api.limit(SOON).get(&path).await.expect("an answer") });
    }
    let mut tokens = std::collections::BTreeSet::new();
    while let Some(reply) = callers.join_next().await {
        let reply = reply.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        tokens.insert(reply.json()["access_token"].to_string());
    }
    assert_eq!(tokens.len(), 1, "all of them got the same new token");
    assert_eq!(world.refreshes("acme"), 1);
    world.stop().await;
}

#[tokio::test]
async fn callers_who_do_not_want_to_wait_are_told_when_to_come_again_and_the_grant_is_stored_all_the_same() {
    let world = on_demand().await;
    let id = connected(&world, "acme", "alice").await;
    world.clock.forward(3601);
    world.judge.fault(to("acme", Fault::HoldAnswer));
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        let (api, path) = (world.api.clone(), format!("/v1/connections/{id}/token?wait=1"));
        callers.spawn(async move { api.get(&path).await.expect("an answer") });
    }
    while let Some(reply) = callers.join_next().await {
        let reply = reply.unwrap();
        assert_eq!(reply.status, 503, "{}", reply.text());
        assert_eq!(reply.json()["code"], "provider_unavailable", "{}", reply.text());
        assert!(reply.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1));
    }
    world.judge.switch_off("hold-answer");
    world.judge.release();
    world.until(&id, |connection| connection["refresh_count"] == 1).await;
    let reply = world.token(&id, "wait=0").await;
    assert_eq!((reply.status, &reply.json()["freshness"]), (200, &"valid".into()), "{}", reply.text());
    assert_eq!(world.refreshes("acme"), 1);
    world.stop().await;
}

#[tokio::test]
async fn a_caller_who_goes_away_cancels_nothing() {
    let world = on_demand().await;
    let id = connected(&world, "acme", "alice").await;
    world.clock.forward(3601);
    world.judge.fault(to("acme", Fault::HoldAnswer));
    let impatient = world.api.clone().limit(Duration::from_millis(300));
    assert!(impatient.get(&format!("/v1/connections/{id}/token")).await.is_err(), "it went away before an answer");
    world.judge.switch_off("hold-answer");
    world.judge.release();
    world.until(&id, |connection| connection["refresh_count"] == 1).await;
    assert_eq!(world.refreshes("acme"), 1);
    world.stop().await;
}

#[tokio::test]
async fn what_is_due_is_refreshed_without_anybody_asking_and_a_shutdown_waits_for_it() {
    let world = super::World::new().await;
    let id = connected(&world, "acme", "alice").await;
    world.judge.fault(to("acme", Fault::HoldAnswer));
    world.clock.forward(3600 - 599);
    world.judge.wait_until(SOON, |ledger| ledger.in_flight().count() == 1).await.unwrap();
    let judge = world.judge.clone();
    let (mut world, stopped) = (world, tokio::sync::oneshot::channel::<()>());
    let letting_go = async {
        judge.switch_off("hold-answer");
        judge.release();
        drop(stopped);
    };
    // The service is told to end while the answer is on its way; it ends after it is stored.
    tokio::join!(world.restart(""), letting_go);
    let connection = world.connection(&id).await;
    assert_eq!((connection["refresh_count"].as_u64(), world.refreshes("acme")), (Some(1), 1), "{connection}");
    world.stop().await;
}
