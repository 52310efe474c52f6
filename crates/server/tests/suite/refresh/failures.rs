//! Failures: what is sent again and when, what callers are told, who is told.

use std::time::Duration;

use evergrant_testkit::{Canned, ClientConfig, Fault, FaultRule, JudgeConfig, ReplayKind};
use serde_json::json;

use super::{SOON, World, answers, connected, notices, on_demand, to};

#[tokio::test]
async fn a_thousand_impatient_callers_count_as_one_failure() {
    let world = on_demand().await;
    let id = connected(&world, "acme", "alice").await;
    world.clock.forward(3601);
    world.judge.fault(to("acme", answers(503, "")));
    for _ in 0..50 {
        let reply = world.token(&id, "").await;
        assert_eq!(reply.status, 503, "{}", reply.text());
        assert_eq!(reply.json()["outcome"], "unavailable", "{}", reply.text());
        assert!(!reply.header("retry-after").is_empty());
    }
    assert_eq!(world.refreshes("acme"), 1);
    assert_eq!(world.connection(&id).await["transient_failures"], 1);
    world.judge.reset();
    world.stop().await;
}

#[tokio::test]
async fn a_providers_word_of_when_to_come_again_binds_callers_and_force_alike() {
    let world = on_demand().await;
    let id = connected(&world, "acme", "alice").await;
    world.clock.forward(3601);
    world.judge.fault(FaultRule::next(1, Fault::Answer(Canned::rate_limit(Some("120")))).client("acme"));
    let reply = world.token(&id, "").await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, "120"), "{}", reply.text());
    let forced = world.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await;
    assert_eq!((forced.status, &forced.json()["code"]), (429, &"rate_limited".into()), "{}", forced.text());
    world.clock.forward(118);
    assert_eq!(world.token(&id, "").await.status, 503);
    assert_eq!(world.refreshes("acme"), 1);
    world.clock.forward(3);
    assert_eq!(world.token(&id, "").await.status, 200);
    assert_eq!(world.refreshes("acme"), 2);
    assert_eq!(notices(&world, "user-alice").await, Vec::<String>::new(), "nobody is told of a hiccup");
    world.stop().await;
}

#[tokio::test]
async fn an_answer_that_was_lost_is_asked_for_again_when_that_can_do_no_harm() {
    let world = on_demand().await;
    let window = Duration::from_secs(600);
    let table = [
        ("none", ReplayKind::None, 200),
        ("idempotent", ReplayKind::Idempotent { window }, 200),
        ("confirm", ReplayKind::Confirm, 200),
        ("overlap", ReplayKind::Overlap { window }, 200),
        ("single", ReplayKind::Single, 424),
        ("family", ReplayKind::Family, 424),
    ];
    let mut ids = Vec::new();
    for (client, replay, _) in &table {
        world.integration(ClientConfig::new(*client).replay(*replay), json!({})).await;
        ids.push(world.connect(client, "user-alice", "alice").await);
    }
    world.clock.forward(3601);
    for ((client, _, status), id) in table.iter().zip(&ids) {
        world.judge.fault(FaultRule::next(1, Fault::CutAfter).client(client).grant_type("refresh_token"));
        let reply = world.token(id, "").await;
        if *client == "none" {
            // Nothing is ever spent there: it is asked again while the caller waits.
            assert_eq!((reply.status, world.refreshes(client)), (200, 2), "{}", reply.text());
            continue;
        }
        assert_eq!(reply.status, 503, "{client}: {}", reply.text());
        assert_eq!(reply.json()["outcome"], "ambiguous", "{client}: {}", reply.text());
        let seconds: u64 = reply.header("retry-after").parse().unwrap();
        world.clock.forward(seconds + 30);
        let reply = world.token(id, "").await;
        assert_eq!(reply.status, *status, "{client}: {}", reply.text());
        if reply.status == 424 {
            assert_eq!(reply.json()["reason"], "refresh_outcome_lost", "{client}: {}", reply.text());
        }
        assert_eq!(world.refreshes(client), 2, "{client}");
    }
    assert_eq!(world.judge.ledger().violations, [], "no token was sent again while an answer could still come");
    let metrics = world.get("/metrics").await.text();
    for client in ["single", "family"] {
        let line = format!("evergrant_refresh_outcome_lost_total{{integration=\"{client}\"}} 1");
        assert!(metrics.contains(&line), "{client}: {metrics}");
    }
    assert_eq!(notices(&world, "user-alice").await, ["disconnected", "disconnected"]);
    world.stop().await;
}

#[tokio::test]
async fn a_refusal_without_a_reason_is_silent_then_a_warning_then_the_end_if_others_work() {
    let world = on_demand().await;
    let id = connected(&world, "acme", "alice").await;
    let other = world.connect("acme", "user-bob", "bob").await;
    world.clock.forward(3601);
    world.judge.fault(to("acme", answers(403, "")).account("alice"));
    let steps: [(u64, &[&str], &str); 3] =
        [(1, &[], "connected"), (2, &["warning"], "connected"), (3, &["warning", "disconnected"], "needs_reauth")];
    for (failures, told, status) in steps {
        let reply = world.token(&id, "").await;
        assert!([502, 424].contains(&reply.status), "{}", reply.text());
        let connection = world.connection(&id).await;
        assert_eq!((&connection["auth_failures"], &connection["status"]), (&failures.into(), &status.into()));
        assert_eq!(notices(&world, "user-alice").await, told, "after {failures}");
        assert_eq!(world.token(&other, "").await.status, 200);
        world.clock.forward(301);
    }
    assert_eq!(world.connection(&id).await["disconnect_reason"], "auth_rejected");
    world.stop().await;
}

#[tokio::test]
async fn a_refresh_token_in_an_answer_without_an_access_token_is_kept_and_used() {
    let world = on_demand().await;
    let id = connected(&world, "acme", "alice").await;
    world.clock.forward(3601);
    let pair = world.judge.issue("acme", "alice").unwrap();
    let half = json!({ "token_type": "Bearer", "refresh_token": pair.refresh_token });
    world.judge.fault(FaultRule::next(1, answers(200, &half.to_string())).client("acme").spending());
    let reply = world.token(&id, "").await;
    assert_eq!((reply.status, &reply.json()["outcome"]), (502, &"malformed".into()), "{}", reply.text());
    let seconds: u64 = reply.header("retry-after").parse().unwrap();
    world.clock.forward(seconds + 1);
    assert_eq!(world.token(&id, "").await.status, 200, "the refresh token of the half answer is good");
    assert_eq!(world.judge.ledger().violations, []);
    world.stop().await;
}

#[tokio::test]
async fn whole_tokens_in_an_answer_of_a_wrong_length_are_kept_and_used() {
    let world = on_demand().await;
    let id = connected(&world, "acme", "alice").await;
    world.clock.forward(3601);
    world.judge.fault(to("acme", Fault::WrongLength(64)));
    let token = world.token(&id, "").await;
    assert_eq!((token.status, token.json()["refreshed"].as_bool()), (200, Some(true)), "{}", token.text());
    assert!(world.judge.is_live_access(token.json()["access_token"].as_str().unwrap()));
    world.judge.reset();
    world.clock.forward(3601);
    assert_eq!(world.token(&id, "").await.status, 200, "its refresh token had come too");
    assert_eq!((world.refreshes("acme"), world.judge.ledger().violations), (2, vec![]));
    world.stop().await;
}

#[tokio::test]
async fn an_outage_keeps_everything_holds_calls_back_and_is_told_once_after_a_quarter_of_an_hour() {
    let world = World::new().await;
    connected(&world, "acme", "alice").await;
    let ids = [
        world.connect("acme", "user-bob", "bob").await,
        world.connect("acme", "user-carol", "carol").await,
        world.connect("acme", "user-dan", "dan").await,
        world.connect("acme", "user-eve", "eve").await,
    ];
    world.judge.fault(to("acme", answers(503, "")));
    world.clock.forward(3601);
    world.judge.wait_until(SOON, |ledger| ledger.spends.len() >= 5).await.unwrap();
    world.until_metric("evergrant_breaker_open{integration=\"acme\"} 1").await;
    world.clock.forward(901);
    for subject in ["user-bob", "user-eve"] {
        world.until_told(subject, "trouble").await;
    }
    world.judge.reset();
    // The breaker lets them out one, two, four at a time, and looks again after a while.
    for id in &ids {
        world.until_as_time_passes(id, |connection| connection["refresh_count"].as_u64() >= Some(1)).await;
    }
    assert_eq!(notices(&world, "user-bob").await, ["trouble", "recovered"]);
    assert_eq!(world.judge.ledger().violations, []);
    world.stop().await;
}

#[tokio::test]
async fn a_provider_that_never_rotates_is_asked_again_at_once_and_at_most_three_times() {
    let world = on_demand().await;
    world.integration(ClientConfig::new("acme").replay(ReplayKind::None), json!({})).await;
    let id = world.connect("acme", "user-alice", "alice").await;
    world.clock.forward(3601);
    world.judge.fault(to("acme", answers(503, "")));
    let reply = world.token(&id, "wait=20").await;
    assert_eq!((reply.status, &reply.json()["outcome"]), (503, &"unavailable".into()), "{}", reply.text());
    assert_eq!(world.refreshes("acme"), 4);
    assert_eq!(world.connection(&id).await["transient_failures"], 1, "one attempt, one failure");
    world.judge.reset();
    world.stop().await;
}

#[tokio::test]
async fn an_outside_scheduler_sweeps_what_the_service_does_not_start_by_itself() {
    let world = on_demand().await;
    let due = connected(&world, "acme", "alice").await;
    world.clock.forward(3001);
    let fresh = world.connect("acme", "user-bob", "bob").await;
    let counted = world.post("/v1/sweep?dry_run=true", &json!({})).await.json();
    assert_eq!((&counted["due"], world.refreshes("acme")), (&1.into(), 0), "{counted}");
    let swept = world.post("/v1/sweep", &json!({})).await.json();
    assert_eq!((&swept["due"], &swept["outcomes"]["success"]), (&1.into(), &1.into()), "{swept}");
    assert_eq!(world.connection(&due).await["refresh_count"], 1);
    assert_eq!(world.connection(&fresh).await["refresh_count"], 0);
    world.stop().await;
}

#[tokio::test]
async fn second_tries_are_a_tenth_of_first_tries_beyond_a_small_allowance() {
    let numbers = "[refresh]\nbackground = false\nretry_min = 0.02\nretry_max = 0.05\n";
    let world = World::with(numbers, JudgeConfig::default()).await;
    world.integration(ClientConfig::new("acme").replay(ReplayKind::None), json!({})).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let who = format!("user-{number}");
        ids.push(world.connect("acme", &who, &who).await);
    }
    world.clock.forward(3601);
    world.judge.fault(to("acme", Fault::CutAfter));
    for id in &ids {
        let reply = world.token(id, "").await;
        assert_eq!((reply.status, &reply.json()["outcome"]), (503, &json!("ambiguous")), "{}", reply.text());
    }
    // Each of them would be asked for three times more; there are ten second tries for all of them together.
    assert_eq!(world.refreshes("acme"), 5 + 10);
    world.judge.reset();
    world.stop().await;
}
