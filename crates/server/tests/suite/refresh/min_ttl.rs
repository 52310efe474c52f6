//! A live token is handed out through every failure but a refused refresh token.

use evergrant_testkit::{Canned, Fault};
use serde_json::Value;

use super::{answers, connected, on_demand, to};

#[tokio::test]
async fn ten_minutes_of_life_are_handed_out_whatever_the_provider_does_unless_it_refuses_the_grant() {
    let world = on_demand().await;
    let overload = || Canned::rate_limit(Some("120"));
    let table = [
        ("unavailable", answers(503, ""), 200, "connected"),
        ("limited", Fault::Answer(overload()), 200, "connected"),
        ("hung", Fault::Hang, 200, "connected"),
        ("cut", Fault::CutAfter, 200, "connected"),
        ("cut-inside", Fault::CutInside(Some(10)), 200, "connected"),
        ("flooding", Fault::Answer(Canned::flood(400_000)), 200, "connected"),
        ("redirecting", Fault::Answer(Canned::redirect("http://127.0.0.1:9/token")), 200, "connected"),
        ("maintained", Fault::Answer(Canned::html()), 200, "connected"),
        ("refused", answers(403, ""), 200, "connected"),
        ("wrong-client", Fault::Answer(Canned::invalid_client()), 200, "error"),
        ("dead", answers(400, r#"{"error":"invalid_grant"}"#), 424, "needs_reauth"),
    ];
    let mut ids = Vec::new();
    for (client, ..) in &table {
        ids.push(connected(&world, client, "alice").await);
    }
    world.clock.forward(3000);
    for ((client, fault, status, reads), id) in table.into_iter().zip(&ids) {
        let before = world.token(id, "wait=0").await.json()["access_token"].clone();
        world.judge.fault(to(client, fault));
        let reply = world.token(id, "min_ttl=900&wait=1").await;
        assert_eq!(reply.status, status, "{client}: {}", reply.text());
        let answer = reply.json();
        if status == 200 {
            assert_eq!(answer["access_token"], before, "{client}: {answer}");
            assert_eq!(answer["freshness"], "expiring_soon", "{client}: {answer}");
            assert_eq!(answer["refreshed"], Value::Bool(false), "{client}: {answer}");
        } else {
            assert_eq!(answer["code"], "needs_reauth", "{client}: {answer}");
            assert!(answer["reconnect_url"].as_str().is_some_and(|url| url.starts_with(&world.url)), "{answer}");
        }
        assert_eq!(world.connection(id).await["status"], reads, "{client}");
        assert_eq!(world.refreshes(client), 1, "{client}");
    }
    world.judge.reset();
    world.stop().await;
}

#[tokio::test]
async fn so_much_life_as_is_asked_for_is_refreshed_for_and_no_more() {
    let world = on_demand().await;
    let id = connected(&world, "acme", "alice").await;
    // (seconds later, asked for, refreshes after it): of an hour, a third counts where more than two thirds are asked for.
    let table = [
        (0, "min_ttl=2400", 0),
        (0, "min_ttl=3000", 0),
        (1201, "min_ttl=2400", 1),
        (2401, "min_ttl=3000", 2),
        (3299, "min_ttl=300", 2),
        (3301, "min_ttl=300", 3),
        (3299, "", 3),
        (3301, "", 4),
    ];
    let mut refreshed_at = 0;
    let mut now = 0;
    for (later, query, refreshes) in table {
        let wanted = refreshed_at + later;
        world.clock.forward(wanted - now);
        now = wanted;
        let before = world.refreshes("acme");
        let reply = world.token(&id, query).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(world.refreshes("acme"), refreshes, "{query:?} {later} s after a refresh");
        if world.refreshes("acme") > before {
            refreshed_at = now;
        }
    }
    world.stop().await;
}
