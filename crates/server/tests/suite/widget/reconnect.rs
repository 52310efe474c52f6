//! The Reconnect button's link takes the page's own address along, and the browser comes back to it.

use evergrant_testkit::browser::Browser;
use serde_json::{Value, json};

use super::{PAGE, page, world};
use crate::world::{APPLICATION, World, agree, browser, to_provider};

/// A world with a connection that needs its person; its id, and its link in this subject's health.
async fn dead() -> (World, String, String) {
    let world = world().await;
    world.acme().await;
    let id = world.connect("acme", "user-2", "alice").await;
    world.judge.revoke("acme", "alice");
    world.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await;
    let health = page(&world, PAGE, "user-2").await.get("/v1/subjects/user-2/health").await;
    let link =
        health.expect("an answer comes").json()["items"][0]["reconnect_url"].as_str().expect("a link").to_owned();
    (world, id, link)
}

fn with_return(link: &str, address: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("return_url", address).finish();
    format!("{link}?{query}")
}

#[tokio::test]
async fn the_browser_comes_back_to_the_page_that_it_came_from() {
    let (world, id, link) = dead().await;
    let link = with_return(&link, &format!("{APPLICATION}/settings?tab=2"));
    let done = agree(&mut browser(), &link, "alice").await;
    let back = done.location().expect("it is sent back");
    assert!(back.as_str().starts_with(&format!("{APPLICATION}/settings?tab=2&")), "{back}");
    assert_eq!(done.parameter("status").as_deref(), Some("connected"));
    assert_eq!(done.parameter("connection_id").as_deref(), Some(id.as_str()));
    assert_eq!(world.connection(&id).await["status"], "connected");
    world.stop().await;
}

#[tokio::test]
async fn who_says_no_comes_back_too_and_everything_is_as_it_was() {
    let (world, id, link) = dead().await;
    let link = with_return(&link, APPLICATION);
    let mut person = browser();
    let consent = to_provider(&mut person, &link).await;
    let refused =
        person.press(&consent, &consent.form().unwrap().with("account", "alice").button("deny")).await.unwrap();
    assert_eq!(refused.parameter("status").as_deref(), Some("denied"), "{}", refused.text());
    let page = person.visit(&link).await.unwrap();
    let cancelled = person.press(&page, &page.form().unwrap().button("cancel")).await.unwrap();
    assert_eq!(cancelled.parameter("status").as_deref(), Some("denied"));
    assert_eq!(world.connection(&id).await["status"], "needs_reauth");
    world.stop().await;
}

#[tokio::test]
async fn an_address_that_nobody_registered_is_as_if_none_were_given() {
    let (world, id, link) = dead().await;
    for address in ["https://evil.example/", "https://app.example.evil/connected", "javascript:alert(1)", "//evil", ""]
    {
        let shown = Browser::new().visit(&with_return(&link, address)).await.unwrap();
        assert_eq!(shown.status(), 200, "{address}");
        assert!(!shown.text().contains("evil.example</dd>"), "{address}: the page names no such application");
    }
    let done = agree(&mut Browser::new(), &with_return(&link, "https://evil.example/"), "alice").await;
    assert_eq!((done.status(), done.location()), (200, None), "{}", done.text());
    assert_eq!(world.connection(&id).await["status"], "connected");
    world.stop().await;
}

#[tokio::test]
async fn a_session_of_the_applications_own_goes_where_the_application_said() {
    let world = world().await;
    world.acme().await;
    let wish = json!({ "integration": "acme", "subject": "user-2", "return_url": format!("{APPLICATION}/mine") });
    let (link, _) = world.session(&wish).await;
    let done = agree(&mut browser(), &with_return(&link, &format!("{APPLICATION}/other")), "alice").await;
    let back = done.location().expect("it is sent back");
    assert_eq!((back.path(), done.parameter("status").as_deref()), ("/connected/mine", Some("pending")));
    assert_eq!(world.get("/v1/connections").await.json()["items"], Value::Array(Vec::new()));
    world.stop().await;
}
