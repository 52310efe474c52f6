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
