//! The widget in a real browser, in a page of another origin: what a person sees and does.

use serde_json::{Value, json};

use super::application::{Application, PROVIDER, SUBJECT};
use crate::api::Stream;
use crate::browser::{Browser, agree_as};
use crate::waiting::{LONG, wait_for};

const ALICE: &str = "Alice Arden alice@example.com";
const DEAD: &str = "Demo Provider is disconnected: the permission was withdrawn or has ended. Please reconnect.";
const TAB: &str = "\u{E004}";
const ENTER: &str = "\u{E007}";

/// Everything of the page that its scripts, tools and extensions could read: markup, also in shadow roots, and addresses.
const PAGE: &str = "
const parts = [document.documentElement.outerHTML, location.href, document.referrer];
const walk = root => { for (const one of root.querySelectorAll('*')) if (one.shadowRoot) { parts.push(one.shadowRoot.innerHTML); walk(one.shadowRoot); } };
walk(document);
for (const entry of performance.getEntries()) parts.push(entry.name);
parts.push(JSON.stringify({ ...localStorage }), JSON.stringify({ ...sessionStorage }), document.cookie);
return parts.join('\\n');
";

/// What has the focus, also inside a shadow root.
const FOCUSED: &str = "
let at = document.activeElement;
while (at && at.shadowRoot && at.shadowRoot.activeElement) at = at.shadowRoot.activeElement;
return at ? `${at.localName} ${at.getAttribute('aria-label') || at.textContent}` : '';
";

async fn focused(browser: &Browser) -> String {
    browser.run(FOCUSED, &[]).await.as_str().unwrap_or_default().to_owned()
}

/// Nothing was stopped by the page's policy, and no session's token stands anywhere.
async fn is_clean(application: &Application, browser: &Browser) {
    assert_eq!(browser.run("return window.stopped;", &[]).await, json!([]));
    let page = browser.run(PAGE, &[]).await.as_str().unwrap_or_default().to_owned();
    let sessions = application.sessions();
    assert!(!sessions.is_empty() && page.contains("evergrant-"));
    assert!(sessions.iter().all(|token| !token.is_empty() && !page.contains(token.as_str())), "{page}");
}

async fn banner(browser: &Browser) -> String {
    let script = "return document.querySelector('evergrant-banner').shadowRoot.textContent.trim();";
    browser.run(script, &[]).await.as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_dead_connection_shows_itself_in_the_page_and_is_mended_with_one_click() {
    let application = Application::start().await;
    let world = &application.world;
    let id = world.connect("acme", SUBJECT, "alice").await;
    let browser = Browser::start().await;
    application.open(&browser, "both").await;
    let shown = browser.shows("Everything is connected.").await;
    assert!(shown.contains("Demo Provider is connected."), "{shown}");
    assert_eq!(banner(&browser).await, "", "nothing needs the person");
    browser.look("widget-connected").await;

    // Nobody touches the page.
    application.withdraw("acme", "alice", &id).await;
    browser.shows(DEAD).await;
    assert!(banner(&browser).await.starts_with(DEAD));
    browser.shows("A connection needs you.").await;
    browser.look("widget-disconnected").await;
    is_clean(&application, &browser).await;

    // By keyboard: the first thing to reach is the banner's button.
    browser.keys(TAB).await;
    assert_eq!(focused(&browser).await, format!("button Reconnect: {PROVIDER}"));
    browser.keys(ENTER).await;
    browser.arrives(&format!("{}/connect/", world.url)).await;
    agree_as(&browser, ALICE).await;
    let back = browser.arrives(&application.url).await;
    assert!(back.contains("status=connected") && back.contains(&id), "{back}");
    browser.shows("Everything is connected.").await;
    assert_eq!(banner(&browser).await, "");
    is_clean(&application, &browser).await;
    let list = world.get("/v1/connections").await.json();
    assert_eq!((list["items"].as_array().map(Vec::len), &list["items"][0]["id"]), (Some(1), &json!(id)), "{list}");
    assert_eq!(list["items"][0]["status"], "connected");
    let told = world.get(&format!("/v1/subjects/{SUBJECT}/notifications")).await.json();
    let kinds: Vec<&str> = told["items"].as_array().unwrap().iter().filter_map(|one| one["kind"].as_str()).collect();
    assert_eq!(kinds, ["recovered", "disconnected"], "{told}");
    application.world.stop().await;
}

#[tokio::test]
async fn opening_the_page_is_enough_to_have_refreshed_what_is_due() {
    let application = Application::start().await;
    let world = &application.world;
    let id = world.connect("acme", SUBJECT, "alice").await;
    world.clock.forward(3601);
    assert_eq!(world.connection(&id).await["freshness"], "expired");
    let browser = Browser::start().await;
    application.open(&browser, "both").await;
    world.until(&id, |connection| connection["freshness"] == "valid").await;
    for _ in 0..5 {
        application.open(&browser, "both").await;
        browser.shows("Everything is connected.").await;
    }
    assert_eq!(world.refreshes("acme"), 1);
    application.world.stop().await;
}

#[tokio::test]
async fn a_page_that_stays_open_longer_than_its_session_gets_another_and_goes_on() {
    let application = Application::start().await;
    let world = &application.world;
    let id = world.connect("acme", SUBJECT, "alice").await;
    let browser = Browser::start().await;
    application.open(&browser, "both").await;
    browser.shows("Everything is connected.").await;
    assert_eq!(application.sessions().len(), 1, "both elements share one");
    world.clock.forward(3601);
    wait_for(LONG, "another session", async || (application.sessions().len() == 2).then_some(())).await;
    application.withdraw("acme", "alice", &id).await;
    browser.shows(DEAD).await;
    is_clean(&application, &browser).await;
    application.world.stop().await;
}

#[tokio::test]
async fn the_script_works_as_a_module_and_takes_a_session_from_an_attribute_without_leaving_it_there() {
    let application = Application::start().await;
    application.world.connect("acme", SUBJECT, "alice").await;
    let browser = Browser::start().await;
    for page in ["module", "attribute"] {
        application.open(&browser, page).await;
        browser.shows("Everything is connected.").await;
        is_clean(&application, &browser).await;
    }
    application.world.stop().await;
}

#[tokio::test]
async fn a_page_of_an_origin_that_is_not_configured_sees_nothing() {
    let application = Application::unknown().await;
    application.world.connect("acme", SUBJECT, "alice").await;
    let browser = Browser::start().await;
    application.open(&browser, "both").await;
    let shown = browser.shows("can't be shown just now").await;
    assert!(!shown.contains(PROVIDER), "{shown}");
    assert_eq!(banner(&browser).await, "");
    browser.look("widget-unknown").await;
    application.world.stop().await;
}

#[tokio::test]
async fn who_is_on_a_button_that_goes_away_stays_in_his_place() {
    let application = Application::start().await;
    let world = &application.world;
    let id = world.connect("acme", SUBJECT, "alice").await;
    application.withdraw("acme", "alice", &id).await;
    let browser = Browser::start().await;
    application.open(&browser, "connections").await;
    browser.shows(DEAD).await;
    browser.keys(TAB).await;
    assert_eq!(focused(&browser).await, format!("button Reconnect: {PROVIDER}"));
    // Mended on another device.
    let health = world.get(&format!("/v1/subjects/{SUBJECT}/health")).await.json();
    let link = health["items"][0]["reconnect_url"].as_str().unwrap().to_owned();
    crate::world::agree(&mut evergrant_testkit::browser::Browser::new(), &link, "alice").await;
    browser.shows("Everything is connected.").await;
    assert_eq!(focused(&browser).await, "p Everything is connected.");
    application.world.stop().await;
}

#[tokio::test]
async fn nothing_is_followed_for_elements_that_are_hidden_or_gone_or_in_a_page_that_nobody_sees() {
    let application = Application::start().await;
    let world = &application.world;
    let id = world.connect("acme", SUBJECT, "alice").await;
    let browser = Browser::start().await;
    application.open(&browser, "both").await;
    browser.shows("Everything is connected.").await;
    let onlookers = async |wanted: usize| {
        let there = async || (world.service.onlookers.count() == wanted).then_some(());
        wait_for(LONG, &format!("{wanted} onlookers"), there).await;
    };
    onlookers(1).await;
    let all = "const all = [...document.querySelectorAll('evergrant-banner, evergrant-connections')];";
    let visible = |state: &str| {
        format!(
            "Object.defineProperty(document, 'visibilityState', {{ value: '{state}', configurable: true }});
             document.dispatchEvent(new Event('visibilitychange'));"
        )
    };
    for (away, back) in [
        ("all.forEach(one => { one.hidden = true; });", "all.forEach(one => { one.hidden = false; });"),
        ("window.kept = all; all.forEach(one => one.remove());", "document.body.append(...window.kept);"),
        (visible("hidden").as_str(), visible("visible").as_str()),
    ] {
        browser.run(&format!("{all}{away}"), &[]).await;
        onlookers(0).await;
        browser.run(&format!("{all}{back}"), &[]).await;
        onlookers(1).await;
    }
    // One that is only moved, or joined by another, changes nothing; and what happened meanwhile is seen.
    browser.run(&format!("{all} document.body.prepend(all[1], all[0].cloneNode());"), &[]).await;
    application.withdraw("acme", "alice", &id).await;
    browser.shows(DEAD).await;
    assert_eq!((world.service.onlookers.count(), application.sessions().len()), (1, 1));
    application.world.stop().await;
}

#[tokio::test]
async fn a_page_that_reconnects_by_itself_is_told_of_the_button_and_stays_where_it_is() {
    let application = Application::start().await;
    let world = &application.world;
    let id = world.connect("acme", SUBJECT, "alice").await;
    application.withdraw("acme", "alice", &id).await;
    let browser = Browser::start().await;
    application.open(&browser, "connections").await;
    browser.shows(DEAD).await;
    let listen = "window.told = [];
        document.addEventListener('evergrant-reconnect', event => window.told.push(event.detail.connection_id));
        document.querySelector('evergrant-connections').setAttribute('own-reconnect', '');";
    browser.run(listen, &[]).await;
    browser.press(&format!("Reconnect: {PROVIDER}")).await;
    assert_eq!(browser.run("return window.told;", &[]).await, json!([id]));
    assert!(browser.address().await.starts_with(&application.url));
    let keep = "document.querySelector('evergrant-connections').removeAttribute('own-reconnect');
        document.addEventListener('evergrant-reconnect', event => event.preventDefault());";
    browser.run(keep, &[]).await;
    browser.press(&format!("Reconnect: {PROVIDER}")).await;
    assert_eq!(browser.run("return window.told;", &[]).await, json!([id, id]));
    assert!(browser.address().await.starts_with(&application.url));
    application.world.stop().await;
}

#[tokio::test]
async fn where_there_is_no_place_to_follow_the_page_asks_from_time_to_time() {
    let application = Application::start().await;
    let world = &application.world;
    world.connect("acme", SUBJECT, "alice").await;
    let token = super::session(world, SUBJECT).await;
    let mut others = Vec::new();
    for _ in 0..8 {
        let mut stream = Stream::follow(&world.url, &format!("/v1/subjects/{SUBJECT}/health"), &token, "").await;
        stream.until("event: health").await;
        others.push(stream);
    }
    let browser = Browser::start().await;
    application.open(&browser, "both").await;
    browser.shows("Everything is connected.").await;
    assert_eq!(world.service.onlookers.count(), 8);
    application.world.stop().await;
}

#[tokio::test]
async fn another_tab_is_opened_where_the_page_wants_that() {
    let application = Application::start().await;
    let world = &application.world;
    let id = world.connect("acme", SUBJECT, "alice").await;
    application.withdraw("acme", "alice", &id).await;
    let browser = Browser::start().await;
    application.open(&browser, "connections").await;
    browser.shows(DEAD).await;
    let watch = "window.open = (...how) => { window.opened = how.map(String); };
        document.querySelector('evergrant-connections').setAttribute('new-tab', '');";
    browser.run(watch, &[]).await;
    browser.press(&format!("Reconnect: {PROVIDER}")).await;
    let opened = browser.run("return window.opened;", &[]).await;
    let link = opened[0].as_str().unwrap();
    assert!(link.starts_with(&format!("{}/connect/", world.url)) && !link.contains("return_url"), "{link}");
    assert_eq!((&opened[1], &opened[2]), (&json!("_blank"), &json!("noopener")));
    assert!(browser.address().await.starts_with(&application.url));
    application.world.stop().await;
}

#[tokio::test]
async fn several_connections_stand_in_one_list_in_the_words_of_the_pages_language() {
    let application = Application::start().await;
    let world = &application.world;
    for name in ["books", "mail"] {
        application.integration(name, json!({})).await;
    }
    world.connect("acme", SUBJECT, "alice").await;
    let dead = world.connect("books", SUBJECT, "alice").await;
    let refused = world.connect("mail", SUBJECT, "alice").await;
    application.withdraw("books", "alice", &dead).await;
    world.judge.rotate_client_secret("mail").unwrap();
    world.post(&format!("/v1/connections/{refused}/refresh"), &json!({})).await;
    let browser = Browser::start().await;
    for (language, words, look) in [
        ("en", ["is connected.", "Please reconnect.", "You need not do anything."], "widget-several"),
        ("de", ["ist verbunden.", "Bitte verbinden Sie neu.", "Sie brauchen nichts zu tun."], "widget-several-de"),
        ("es", ["está conectado.", "Vuelva a conectarlo", "no tiene que hacer nada."], "widget-several-es"),
    ] {
        application.open(&browser, &format!("both?lang={language}")).await;
        browser.shows(words[0]).await;
        let shown = browser.text().await;
        assert!(words.iter().all(|words| shown.contains(words)), "{shown}");
        browser.look(look).await;
    }
    // Who is told in another language than the page's still reads one language there.
    let spanish = json!({ "contact": { "language": "es" } });
    let path = format!("/v1/subjects/{SUBJECT}/preferences");
    assert_eq!(world.api.json(http::Method::PUT, &path, &spanish).await.unwrap().status, 200);
    application.open(&browser, "both?lang=en").await;
    let shown = browser.shows("Demo Provider is disconnected. Please reconnect.").await;
    assert!(!shown.contains("desconectado"), "{shown}");
    application.world.stop().await;
}

#[tokio::test]
async fn a_providers_name_that_is_markup_is_shown_as_what_it_is() {
    let application = Application::start().await;
    let world = &application.world;
    let name = "<img src=x onerror=alert(1)>${{7*7}}<b>\"'&amp;";
    world.judge.register(evergrant_testkit::ClientConfig::new("odd"));
    let mut provider = world.judge.catalogue_json("odd").unwrap();
    provider["name"] = json!(name);
    application.integration("odd", json!({ "provider": provider })).await;
    let id = world.connect("odd", SUBJECT, "alice").await;
    world.patch(&format!("/v1/connections/{id}"), &json!({ "label": "<script>alert(2)</script>" })).await;
    application.withdraw("odd", "alice", &id).await;
    let browser = Browser::start().await;
    application.open(&browser, "both").await;
    browser.shows(&format!("{name} is disconnected: ")).await;
    let script = "return [...document.querySelectorAll('evergrant-banner, evergrant-connections')]
        .flatMap(one => [...one.shadowRoot.querySelectorAll('img, script, b')]).length;";
    assert_eq!(browser.run(script, &[]).await, Value::from(0));
    assert!(browser.has(&format!("Reconnect: {name}")).await);
    is_clean(&application, &browser).await;
    application.world.stop().await;
}
