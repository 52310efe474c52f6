//! The pages of a connect flow, as people see them: with scripts off, light and dark, on a desk and on a telephone.

use evergrant_testkit::ClientConfig;
use serde_json::json;

use super::{Browser, agree_as};
use crate::world::World;

const ALICE: &str = "Alice Arden alice@example.com";

#[tokio::test]
async fn an_account_is_connected_in_a_browser_that_runs_no_script() {
    let world = World::new().await;
    world.integration(ClientConfig::new("acme"), json!({ "scopes": ["read", "write"] })).await;
    let wish = json!({ "integration": "acme", "subject": "user-1", "subject_label": "Anna" });
    let (link, _) = world.session(&wish).await;
    let browser = Browser::without_scripts().await;
    browser.open(&link).await;
    assert_eq!(browser.title().await, "Connect Demo Provider");
    let text = browser.shows("Demo Provider").await;
    assert!(text.contains("Anna") && text.contains("write"), "{text}");
    browser.look("connect").await;

    // Whoever changes his mind changes nothing, there or here.
    browser.press("Continue").await;
    browser.press("Deny").await;
    browser.shows("Nothing was connected").await;
    browser.look("denied").await;
    browser.open(&link).await;
    browser.press("Cancel").await;
    browser.shows("Nothing was connected").await;

    browser.open(&link).await;
    agree_as(&browser, ALICE).await;
    browser.shows("Demo Provider is connected").await;
    browser.look("connected").await;
    let list = world.get("/v1/connections?subject=user-1").await.json();
    assert_eq!(list["items"][0]["account"]["id"], "alice", "{list}");
    browser.open(&link).await;
    browser.shows("This link is not good any more").await;
    browser.look("failed-link-gone").await;
    world.stop().await;
}

#[tokio::test]
async fn the_pages_speak_the_persons_language_or_the_browsers() {
    let world = World::new().await;
    world.acme().await;
    let german = json!({ "contact": { "language": "de" } });
    let path = "/v1/subjects/user-1/preferences";
    assert_eq!(world.api.json(http::Method::PUT, path, &german).await.expect("an answer").status, 200);
    let browser = Browser::of_language("es").await;
    let (of_german, _) = world.session(&json!({ "integration": "acme", "subject": "user-1" })).await;
    browser.open(&of_german).await;
    browser.shows("Demo Provider verbinden").await;
    browser.look("connect-de").await;
    browser.press("Weiter").await;
    browser.press("Deny").await;
    browser.shows("Nichts wurde verbunden").await;
    browser.press("Noch einmal versuchen").await;
    browser.press(ALICE).await;
    browser.press("Allow").await;
    browser.shows("Demo Provider ist verbunden").await;
    let (of_nobody, _) = world.session(&json!({ "integration": "acme", "subject": "user-2" })).await;
    browser.open(&of_nobody).await;
    browser.shows("Conectar Demo Provider").await;
    browser.press("Continuar").await;
    browser.press(ALICE).await;
    browser.press("Allow").await;
    browser.shows("Esta cuenta ya está conectada").await;
    browser.look("failed-account-taken-es").await;
    browser.open(&format!("{}/unsubscribe/egu_nonsense", world.url)).await;
    browser.shows("Este enlace ya no vale").await;
    browser.look("failed-unsubscribe").await;
    world.stop().await;
}
