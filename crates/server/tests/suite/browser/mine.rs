//! A person's own pages: how the connections are doing, mending one, and choosing what to be told.

use evergrant_testkit::{ClientConfig, JudgeConfig};
use serde_json::{Value, json};

use super::{Browser, agree_as};
use crate::world::{APPLICATION, World, text};

const ALICE: &str = "Alice Arden alice@example.com";
const BOB: &str = "Bob Birch bob@example.com";
const ON_REQUEST: &str = "[refresh]\nbackground = false\nforce_interval = 0\n";

/// The address of a subject's own pages.
async fn pages_of(world: &World, subject: &str) -> String {
    text(&world.post(&format!("/v1/subjects/{subject}/sessions"), &json!({})).await.json()["url"])
}

#[tokio::test]
async fn a_person_sees_the_own_connections_and_mends_the_one_that_is_broken() {
    let world = World::with(ON_REQUEST, JudgeConfig::default()).await;
    for name in ["acme", "other", "third"] {
        world.integration(ClientConfig::new(name), json!({})).await;
    }
    let browser = Browser::without_scripts().await;
    browser.open(&pages_of(&world, "user-1").await).await;
    browser.shows("Nothing is connected yet").await;
    browser.look("mine-nothing").await;

    let broken = world.connect("acme", "user-1", "alice").await;
    world.connect("other", "user-1", "carol").await;
    let ended = world.connect("third", "user-1", "bob").await;
    world.connect("other", "somebody-else", "bob").await;
    assert_eq!(world.delete(&format!("/v1/connections/{ended}")).await.status, 200);
    world.judge.revoke("acme", "alice");
    world.post(&format!("/v1/connections/{broken}/refresh"), &json!({})).await;
    let back = form_urlencoded::Serializer::new(String::new()).append_pair("return_url", APPLICATION).finish();
    browser.open(&format!("{}?{back}", pages_of(&world, "user-1").await)).await;
    let shown = browser.shows("Demo Provider is disconnected").await;
    for words in [
        "Alice Arden",
        "Carol Cedar",
        "Demo Provider is connected.",
        "is not connected any more",
        "Back to app.example",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(shown.find("Alice Arden") < shown.find("Carol Cedar"), "what needs the person comes first: {shown}");
    assert!(browser.has("Connect again Demo Provider, Bob Birch").await);
    browser.look("mine").await;

    // Another account first: everything is as it was, and the page says what to do.
    browser.press("Reconnect Demo Provider, Alice Arden").await;
    browser.shows("Expected account").await;
    agree_as(&browser, BOB).await;
    browser.shows("You signed in with another account").await;
    browser.press("Reconnect Demo Provider, Alice Arden").await;
    agree_as(&browser, ALICE).await;
    let shown = browser.shows("Done: it is connected.").await;
    assert!(!shown.contains("is disconnected") && shown.contains("Back to app.example"), "{shown}");
    browser.look("mine-mended").await;
    let connection = world.connection(&broken).await;
    assert_eq!((&connection["status"], &connection["id"]), (&json!("connected"), &json!(broken)));
    world.until_told("user-1", "recovered").await;
    browser.press("Back to app.example").await;
    browser.arrives(APPLICATION).await;

    // An hour later, and for whoever made an address up, there is nothing.
    let old = pages_of(&world, "user-1").await;
    world.clock.forward(3601);
    for address in [old.as_str(), &format!("{}x", &old[..old.len() - 1])] {
        browser.open(address).await;
        browser.shows("This page has ended").await;
    }
    browser.look("mine-gone").await;
    world.stop().await;
}

#[tokio::test]
async fn nobody_mends_what_is_somebody_elses() {
    let world = World::with(ON_REQUEST, JudgeConfig::default()).await;
    world.acme().await;
    let id = world.connect("acme", "user-1", "alice").await;
    world.judge.revoke("acme", "alice");
    world.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await;
    let http = evergrant_testkit::http::Http::new(&pages_of(&world, "user-2").await);
    for body in [vec![("connection", id.as_str())], vec![("connection", "nonsense")], vec![]] {
        let refused = http.form("", &body).await.unwrap();
        assert!(refused.status == 404 && refused.header("location").is_empty(), "{}", refused.text());
    }
    let own = evergrant_testkit::http::Http::new(&pages_of(&world, "user-1").await);
    let page = own.get("").await.unwrap();
    assert_eq!((page.header("cache-control"), page.header("referrer-policy")), ("no-store", "no-referrer"));
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-") && !page.text().contains("<script"),
        "{policy}"
    );
    let led = own.form("", &[("connection", &id)]).await.unwrap();
    assert!(led.status == 303 && led.header("location").contains("/connect/"), "{}", led.text());
    world.stop().await;
}

#[tokio::test]
async fn a_person_chooses_what_to_be_told_in_the_own_language() {
    let world = World::new().await;
    let contact = json!({ "contact": { "email": "anna@mail.example" }, "trouble": { "webhook": true } });
    let path = "/v1/subjects/user-1/preferences";
    assert_eq!(world.api.json(http::Method::PUT, path, &contact).await.unwrap().status, 200);
    let browser = Browser::without_scripts().await;
    browser.open(&pages_of(&world, "user-1").await).await;
    browser.press("What I want to be told").await;
    browser.shows("anna@mail.example").await;
    let warning = "By mail (there is trouble with a connection)";
    let ended = "In the application (a connection has ended and I have to reconnect)";
    assert!(!browser.is_ticked(warning).await && browser.is_ticked(ended).await);
    browser.look("preferences").await;
    browser.press(warning).await;
    browser.press(ended).await;
    browser.fill("Time zone", "Mars/Olympus").await;
    browser.press("Save").await;
    browser.shows("There is no such time zone").await;
    assert!(browser.is_ticked(warning).await, "what was chosen is still chosen");
    browser.look("preferences-wrong").await;
    browser.fill("Time zone", "Europe/Berlin").await;
    // A field for a time is filled in by each browser in its own way; what it sends is the same.
    browser.run("document.getElementById('quiet-from').value = '22:00';", &[]).await;
    browser.press("Save").await;
    browser.shows("Quiet hours need two different times").await;
    browser.run("document.getElementById('quiet-until').value = '07:00';", &[]).await;
    browser.select("Language", "Deutsch").await;
    browser.press("Save").await;
    let shown = browser.shows("Gespeichert.").await;
    assert!(shown.contains("Was mir gesagt wird"), "{shown}");
    assert_eq!(browser.run("return document.documentElement.lang;", &[]).await, json!("de"));
    browser.look("preferences-de").await;
    let known: Value = world.get(path).await.json();
    assert_eq!(
        (&known["warning"]["email"], &known["disconnected"]["in_app"]),
        (&json!(true), &json!(false)),
        "{known}"
    );
    assert_eq!(known["trouble"]["webhook"], true, "what is the application's stays: {known}");
    let contact = json!({
        "email": "anna@mail.example", "language": "de", "time_zone": "Europe/Berlin",
        "quiet_hours": { "from": "22:00", "until": "07:00" },
    });
    assert_eq!(known["contact"], contact);
    browser.press("Meine Verbindungen").await;
    browser.shows("Noch ist nichts verbunden").await;

    // Of whom nothing is said, the browser says it.
    let spanish = Browser::of_language("es").await;
    spanish.open(&pages_of(&world, "user-2").await).await;
    spanish.shows("Mis conexiones").await;
    world.stop().await;
}

#[tokio::test]
async fn where_nobody_vouches_for_the_account_the_page_leads_back_to_the_application() {
    let world = World::with(ON_REQUEST, JudgeConfig::default()).await;
    world.judge.register(ClientConfig::new("acme"));
    let mut entry = world.judge.catalogue_json("acme").expect("it was registered just now");
    entry["account_id_pointer"] = json!("callback:realmId");
    entry["account_name_pointer"] = json!("");
    world.integration(ClientConfig::new("acme"), json!({ "provider": entry })).await;
    let pair = world.judge.issue("acme", "alice").expect("a grant");
    let grant = json!({
        "integration": "acme", "subject": "user-1", "account_id": "realm-1", "access_token": pair.access_token,
        "refresh_token": pair.refresh_token, "expires_at": "2026-01-01T00:00:00Z",
    });
    let id = text(&world.post("/v1/connections", &grant).await.json()["id"]);
    world.judge.revoke("acme", "alice");
    world.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await;
    let browser = Browser::without_scripts().await;
    browser.open(&pages_of(&world, "user-1").await).await;
    let shown = browser.shows("To reconnect it, go back to the application").await;
    assert!(!shown.contains("Reconnect\n") && !browser.has("Reconnect Demo Provider, realm-1").await, "{shown}");
    browser.look("mine-in-the-application").await;
    world.stop().await;
}
