//! Links to reconnect: for one connection, spent by success, ended by time, taken back on request, and never by a look.

use evergrant_testkit::ClientConfig;
use evergrant_testkit::browser::Browser;
use evergrant_testkit::http::Http;
use serde_json::{Value, json};

use crate::world::{APPLICATION, World, agree, browser, text, to_provider};

const ON_REQUEST: &str = "[refresh]\nbackground = false\nforce_interval = 0\n";

/// `acme` with alice connected, and dead at the provider.
async fn dead(world: &World, more: Value) -> String {
    world.integration(ClientConfig::new("acme"), more).await;
    let id = world.connect("acme", "user-1", "alice").await;
    world.judge.revoke("acme", "alice");
    let forced = world.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await;
    assert_eq!(forced.json()["connection"]["status"], "needs_reauth", "{}", forced.text());
    id
}

/// The link that callers are given.
async fn link(world: &World, id: &str) -> String {
    text(&world.token(id, "").await.json()["reconnect_url"])
}

async fn looks(link: &str) -> u16 {
    Http::new(link).get("").await.expect("a page").status
}

#[tokio::test]
async fn a_link_lives_for_its_time_and_is_spent_by_success_alone() {
    let world = World::with(&format!("{ON_REQUEST}link_ttl = 1000\n"), Default::default()).await;
    let id = dead(&world, json!({})).await;
    let first = link(&world, &id).await;
    for _ in 0..3 {
        assert_eq!(looks(&first).await, 200);
    }
    // Whoever says no, or gives up at the provider, spends nothing.
    let mut person = Browser::new();
    let consent = to_provider(&mut person, &first).await;
    person.press(&consent, &consent.form().unwrap().button("deny")).await.unwrap();
    to_provider(&mut Browser::new(), &first).await;
    assert_eq!(looks(&first).await, 200);
    world.clock.forward(990);
    assert_eq!(looks(&first).await, 200);
    let second = link(&world, &id).await;
    world.clock.forward(11);
    assert_eq!((looks(&first).await, looks(&second).await), (404, 200));
    // On another device, by the later link; then it is spent.
    let page = agree(&mut Browser::new(), &second, "alice").await;
    assert_eq!(page.status(), 200, "{}", page.text());
    assert_eq!(looks(&second).await, 404);
    let connection = world.connection(&id).await;
    assert_eq!((&connection["status"], &connection["auth_failures"]), (&json!("connected"), &json!(0)));
    world.until_told("user-1", "recovered").await;
    let told = world.get("/v1/subjects/user-1/notifications").await.text();
    assert_eq!(told.matches("\"recovered\"").count(), 1, "{told}");
    world.stop().await;
}

#[tokio::test]
async fn links_that_were_taken_back_are_good_no_more_and_later_ones_are() {
    let world = World::with(ON_REQUEST, Default::default()).await;
    let id = dead(&world, json!({})).await;
    let mailed = link(&world, &id).await;
    let (of_session, session) = world.session(&json!({ "connection_id": id })).await;
    let (other, another) = world.session(&json!({ "integration": "acme", "subject": "user-9" })).await;
    let mut person = Browser::new();
    let consent = to_provider(&mut person, &mailed).await;
    let gone = world.delete(&format!("/v1/connections/{id}/links")).await;
    assert_eq!(gone.status, 204, "{}", gone.text());
    assert_eq!((looks(&mailed).await, looks(&of_session).await, looks(&other).await), (404, 404, 200));
    // Also for who is at the provider just now.
    let page = person.press(&consent, &consent.form().unwrap().with("account", "alice").button("allow")).await.unwrap();
    assert!(page.status() == 404 && page.text().contains("link_gone"), "{}", page.text());
    assert_eq!(world.connection(&id).await["status"], "needs_reauth");
    // Again is no error, and later links are good.
    assert_eq!(world.delete(&format!("/v1/connections/{id}/links")).await.status, 204);
    let page = agree(&mut Browser::new(), &link(&world, &id).await, "alice").await;
    assert_eq!(page.status(), 200, "{}", page.text());
    assert_eq!(world.connection(&id).await["status"], "connected");

    // One session alone.
    assert_eq!(world.delete(&format!("/v1/connect-sessions/{another}")).await.status, 204);
    assert_eq!(looks(&other).await, 404);
    assert_eq!(world.delete(&format!("/v1/connect-sessions/{session}")).await.status, 204);
    assert_eq!(world.delete("/v1/connect-sessions/cs_01arz3ndektsv4rrffq69g5fav").await.status, 404);
    let audit = world.get("/v1/audit?limit=500").await.text();
    assert!(audit.contains("connection.links_revoked") && audit.contains("connect.session_revoked"), "{audit}");
    world.stop().await;
}

#[tokio::test]
async fn a_wrong_account_is_refused_and_the_right_one_can_be_chosen_on_purpose() {
    let world = World::with(ON_REQUEST, Default::default()).await;
    world.judge.register(ClientConfig::new("acme"));
    let mut provider = world.judge.catalogue_json("acme").expect("it was registered just now");
    provider["choose_account_params"] = json!({ "prompt": "select_account" });
    let id = dead(&world, json!({ "provider": provider })).await;
    let mailed = link(&world, &id).await;
    let mut person = Browser::new();
    let page = agree(&mut person, &mailed, "bob").await;
    assert_eq!(page.status(), 409, "{}", page.text());
    for words in ["Alice Arden", "other_account", "a connection of its own", "Sign in with another account"] {
        assert!(page.text().contains(words), "{words}: {}", page.text());
    }
    assert_eq!(world.connection(&id).await["status"], "needs_reauth");
    // The page can be loaded again; its button leads to the provider, which asks for the account.
    let page = person.open(page.url.as_str()).await.unwrap();
    let form = page.form().unwrap().button("another");
    let consent = person.press(&page, &form).await.unwrap();
    let asked = |name: &str| consent.url.query_pairs().find(|(of, _)| of == name).map(|(_, value)| value.into_owned());
    assert_eq!(asked("prompt").as_deref(), Some("select_account"), "{}", consent.url);
    let page = person.press(&consent, &consent.form().unwrap().with("account", "alice").button("allow")).await.unwrap();
    assert_eq!(page.status(), 200, "{}", page.text());
    let connection = world.connection(&id).await;
    assert_eq!((&connection["id"], &connection["status"]), (&json!(id), &json!("connected")));
    assert_eq!(looks(&mailed).await, 404, "spent by the success of the other try");
    world.stop().await;
}

#[tokio::test]
async fn an_application_that_shows_a_link_gets_the_browser_back_at_registered_addresses_only() {
    let world = World::with(ON_REQUEST, Default::default()).await;
    let id = dead(&world, json!({})).await;
    let shown = link(&world, &id).await;
    let to = |address: &str| {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("return_url", address).finish();
        format!("{shown}?{query}")
    };
    let stranger = Browser::new().visit(&to("https://evil.example/")).await.unwrap();
    assert!(stranger.status() == 200 && !stranger.text().contains("<dd>evil.example"), "{}", stranger.text());
    let mut person = browser();
    let page = person.visit(&to(APPLICATION)).await.unwrap();
    assert!(page.text().contains("<dd>app.example</dd>"), "{}", page.text());
    let page = person.press(&page, &page.form().unwrap().button("cancel")).await.unwrap();
    assert_eq!(page.parameter("status").as_deref(), Some("denied"));
    let page = agree(&mut person, &to(APPLICATION), "bob").await;
    assert_eq!(
        (page.parameter("status").as_deref(), page.parameter("code").as_deref()),
        (Some("error"), Some("other_account"))
    );
    let page = agree(&mut person, &to(APPLICATION), "alice").await;
    assert!(page.location().unwrap().as_str().starts_with(APPLICATION), "{:?}", page.location());
    assert_eq!((page.parameter("status"), page.parameter("connection_id")), (Some("connected".to_owned()), Some(id)));
    world.stop().await;
}
