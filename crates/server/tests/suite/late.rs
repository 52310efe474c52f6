//! What comes to a connect flow too late, or while another one of the same connection is open.

use evergrant_testkit::browser::Browser;
use serde_json::json;

use crate::world::{APPLICATION, World, agree, browser, to_provider};

const MINUTE: u64 = 60;
const DAY: u64 = 24 * 3600;

#[tokio::test]
async fn a_state_is_good_for_ten_minutes_and_its_link_brings_a_new_one() {
    let world = World::new().await;
    world.acme().await;
    let (link, _) = world.session(&json!({ "integration": "acme", "subject": "user-2" })).await;
    let mut person = Browser::new();
    let consent = to_provider(&mut person, &link).await;
    world.clock.forward(10 * MINUTE + 1);
    let page = person.press(&consent, &consent.form().unwrap().with("account", "alice").button("allow")).await.unwrap();
    assert_eq!(page.status(), 400, "{}", page.text());
    assert!(page.text().contains("state_gone"), "{}", page.text());
    assert_eq!(world.judge.token_calls(), 0, "the code was not exchanged");
    let page = agree(&mut person, &link, "alice").await;
    assert_eq!(page.status(), 200, "{}", page.text());
    world.stop().await;
}

#[tokio::test]
async fn an_application_that_completes_too_late_is_told_so_and_nothing_is_connected() {
    let world = World::new().await;
    world.acme().await;
    let wish = json!({ "integration": "acme", "subject": "user-2", "return_url": APPLICATION });
    let (link, session) = world.session(&wish).await;
    let handle = agree(&mut browser(), &link, "alice").await.parameter("handle").unwrap();
    world.clock.forward(10 * MINUTE + 1);
    let complete = format!("/v1/connect-sessions/{session}/complete");
    let late = world.post(&complete, &json!({ "handle": handle, "subject": "user-2" })).await;
    assert_eq!((late.status, late.json()["code"].as_str()), (404, Some("not_found")), "{}", late.text());
    assert!(late.json()["detail"].as_str().unwrap().contains("begin anew"), "{}", late.text());
    assert_eq!(world.judge.token_calls(), 0, "the code was not exchanged");
    assert_eq!(world.get("/v1/connections").await.json()["items"], json!([]));
    // The link was spent by success only: the person begins anew with it.
    let handle = agree(&mut browser(), &link, "alice").await.parameter("handle").unwrap();
    let done = world.post(&complete, &json!({ "handle": handle, "subject": "user-2" })).await;
    assert_eq!(done.status, 201, "{}", done.text());
    world.stop().await;
}

#[tokio::test]
async fn a_link_ends_after_a_week_and_says_where_a_new_one_comes_from() {
    let world = World::new().await;
    world.acme().await;
    let (link, _) = world.session(&json!({ "integration": "acme", "subject": "user-2" })).await;
    world.clock.forward(7 * DAY - 1);
    assert_eq!(Browser::new().open(&link).await.unwrap().status(), 200);
    world.clock.forward(2);
    let page = Browser::new().open(&link).await.unwrap();
    assert_eq!(page.status(), 404, "{}", page.text());
    assert!(page.text().contains("link_gone") && page.text().contains("new link"), "{}", page.text());
    world.stop().await;
}

#[tokio::test]
async fn of_two_reconnects_that_are_open_at_once_each_may_end_and_the_last_one_is_in_force() {
    let world = World::new().await;
    world.acme().await;
    let id = world.connect("acme", "user-2", "alice").await;
    let (first, _) = world.session(&json!({ "connection_id": id })).await;
    let (second, _) = world.session(&json!({ "connection_id": id })).await;
    let (mut one, mut two) = (Browser::new(), Browser::new());
    let (at_first, at_second) = (to_provider(&mut one, &first).await, to_provider(&mut two, &second).await);
    let allow = |page: &evergrant_testkit::browser::Page| page.form().unwrap().with("account", "alice").button("allow");
    let page = two.press(&at_second, &allow(&at_second)).await.unwrap();
    assert_eq!(page.status(), 200, "{}", page.text());
    let between = world.token(&id, "").await.json()["access_token"].clone();
    let page = one.press(&at_first, &allow(&at_first)).await.unwrap();
    assert_eq!(page.status(), 200, "{}", page.text());
    let last = world.token(&id, "").await.json()["access_token"].clone();
    assert_ne!(last, between);
    assert!(world.judge.is_live_access(last.as_str().unwrap()));
    let list = world.get("/v1/connections").await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
    assert_eq!(world.judge.ledger().violations, []);
    world.stop().await;
}
