//! One of several: chosen by keys alone, found by a search that needs no script.

use evergrant_testkit::ClientConfig;
use serde_json::json;

use super::Browser;
use crate::world::World;

/// Integrations of providers with these names, called `one`, `two` …
async fn named(world: &World, names: &[(&str, &str)]) {
    for (integration, provider) in names {
        world.judge.register(ClientConfig::new(*integration));
        let mut entry = world.judge.catalogue_json(integration).expect("it was registered just now");
        entry["name"] = json!(provider);
        world.integration(ClientConfig::new(*integration), json!({ "provider": entry, "scopes": ["read"] })).await;
    }
}

#[tokio::test]
async fn one_of_several_is_chosen_by_keys_alone() {
    let world = World::new().await;
    named(&world, &[("cal", "Calendar"), ("cal-test", "Calendar"), ("drive", "Drive")]).await;
    let wish = json!({ "integrations": ["cal", "cal-test", "drive"], "subject": "user-1", "subject_label": "Anna" });
    let (link, _) = world.session(&wish).await;
    let browser = Browser::without_scripts().await;
    browser.open(&link).await;
    browser.shows("Calendar (cal-test)").await;
    assert!(!browser.text().await.contains("Find one of"));
    browser.look("connect-several").await;
    browser.press("Cancel").await;
    browser.shows("Nothing was connected").await;
    assert!(!browser.has("Try again").await, "of several, the person chooses anew");
    browser.open(&link).await;
    browser.shows("Which one?").await;
    // Tab to the choices, down to the second, on by Enter, which means the first button.
    browser.keys("\u{E004}").await;
    assert_eq!(browser.focused().await, "Calendar (cal) asks for read");
    browser.keys("\u{E015}").await;
    assert!(browser.is_ticked("Calendar (cal-test) asks for read").await);
    browser.keys("\u{E007}").await;
    let address = browser.arrives(&format!("{}/authorize", world.judge.url())).await;
    assert!(address.contains("client_id=cal-test"), "{address}");
    world.stop().await;
}

#[tokio::test]
async fn one_of_many_is_found_by_its_name() {
    let world = World::new().await;
    let names = [
        ("one", "Calendar"),
        ("two", "Drive"),
        ("three", "Mail"),
        ("four", "Photos"),
        ("five", "Mailing lists"),
        ("six", "Tasks"),
    ];
    named(&world, &names).await;
    let wish = json!({ "integrations": names.map(|(name, _)| name), "subject": "user-1" });
    let (link, _) = world.session(&wish).await;
    let browser = Browser::without_scripts().await;
    browser.open(&link).await;
    browser.fill("Find one of 6", "mail").await;
    browser.press("Search").await;
    let text = browser.shows("2 of 6").await;
    assert!(text.contains("Mailing lists") && !text.contains("Photos"), "{text}");
    browser.look("connect-search").await;
    browser.fill("Find one of 6", "<script>alert(1)</script>").await;
    browser.press("Search").await;
    browser.shows("Nothing here is called “<script>alert(1)</script>”").await;
    assert!(!browser.has("Continue").await);
    browser.look("connect-search-nothing").await;
    browser.press("Show all").await;
    browser.shows("Photos").await;
    browser.press("Photos asks for read").await;
    browser.press("Continue").await;
    let address = browser.arrives(&format!("{}/authorize", world.judge.url())).await;
    assert!(address.contains("client_id=four"), "{address}");
    world.stop().await;
}
