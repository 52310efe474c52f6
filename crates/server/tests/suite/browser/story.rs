//! The whole story, by real programs: connected in the page, revoked at the provider, told once by mail, mended by the link in
//! that mail.

use evergrant_testkit::ClientConfig;
use serde_json::{Value, json};

use super::{Browser, agree_as};
use crate::telling::{MAIL, Told};
use crate::waiting::{LONG, wait_for};
use crate::world::text;

const ALICE: &str = "Alice Arden alice@example.com";
const AT_ONCE: &str =
    "[refresh]\nbackground = false\nforce_interval = 0\nauth_retry = 300\n{more}[notices]\nmail_delay = 0\n";

/// Somebody whose account was connected in the page, and was revoked at the provider since.
struct Story {
    told: Told,
    browser: Browser,
    id: String,
    endpoint: String,
}

impl Story {
    async fn begin(more: &str) -> Self {
        let told = Told::with(&format!("{}{MAIL}", AT_ONCE.replace("{more}", more))).await;
        let endpoint = told.endpoint("app", json!({})).await;
        told.world.integration(ClientConfig::new("acme"), json!({})).await;
        let wish = json!({ "integration": "acme", "subject": "user-1" });
        let (link, _) = told.world.session(&wish).await;
        let browser = Browser::without_scripts().await;
        browser.open(&link).await;
        agree_as(&browser, ALICE).await;
        browser.shows("Demo Provider is connected").await;
        told.reach("user-1", json!({ "email": "alice@mail.example" })).await;
        let list = told.world.get("/v1/connections?subject=user-1").await.json();
        let id = text(&list["items"][0]["id"]);
        assert!(told.world.judge.revoke("acme", "alice") > 0);
        // Its access token ends; from then on only a refresh could bring another.
        told.at_rest(&endpoint).await;
        told.world.clock.forward(7200);
        Story { told, browser, id, endpoint }
    }

    async fn sweep(&self) -> Value {
        let swept = self.told.world.post("/v1/sweep?verbose=true", &json!({})).await;
        assert_eq!(swept.status, 200, "{}", swept.text());
        self.told.world.connection(&self.id).await
    }

    /// Until the next try; a clock that jumps while something is being told tells it again.
    async fn five_minutes_pass(&self) {
        self.told.at_rest(&self.endpoint).await;
        self.told.world.clock.forward(301);
    }

    /// The kinds that the person was told in the application, oldest first.
    async fn notices(&self) -> Vec<String> {
        let list = self.told.world.get("/v1/subjects/user-1/notifications").await.json();
        list["items"].as_array().into_iter().flatten().rev().map(|notice| text(&notice["kind"])).collect()
    }

    /// The person opens the mail's link on another device and mends the connection; who was told what in the end.
    async fn mended(self) -> (Vec<String>, Vec<String>) {
        let mail = self.told.mails(1).await.remove(0);
        assert_eq!(mail["to"], json!(["alice@mail.example"]));
        let body = text(&mail["text"]);
        let link = body.split_whitespace().find(|word| word.contains("/connect/")).expect("a link");
        // One at a time: the machine is small, and the first has done its work.
        drop(self.browser);
        let device = Browser::without_scripts().await;
        device.open(link).await;
        let page = device.shows("Expected account").await;
        assert!(page.contains("Reconnect Demo Provider") && page.contains("Alice Arden"), "{page}");
        device.look("story-reconnect").await;
        agree_as(&device, ALICE).await;
        device.shows("Demo Provider is connected").await;
        let (told, id) = (&self.told, &self.id);
        let connection = told.world.until(id, |connection| connection["status"] == "connected").await;
        assert_eq!((&connection["auth_failures"], &connection["disconnect_reason"]), (&json!(0), &Value::Null));
        assert_eq!(told.world.get("/v1/connections").await.json()["items"].as_array().map(Vec::len), Some(1));
        assert_eq!(told.world.token(id, "").await.status, 200);
        told.taken_of("app", "connection.recovered").await;
        wait_for(LONG, "recovered in the application", async || {
            let list = told.world.get("/v1/subjects/user-1/notifications").await.text();
            list.contains("\"recovered\"").then_some(())
        })
        .await;
        // Whatever could still be told would be told by now.
        told.at_rest(&self.endpoint).await;
        told.world.clock.forward(90_000);
        told.at_rest(&self.endpoint).await;
        assert_eq!(told.mails_now().await.len(), 1, "one mail in the whole story");
        device.open(link).await;
        device.shows("This link is not good any more").await;
        // The mail's other link: looked at, it changes nothing; pressed, it ends mails of that kind.
        let ending = body.split_whitespace().find(|word| word.contains("/unsubscribe/")).expect("a link");
        device.open(ending).await;
        device.shows("No more mails like this?").await;
        device.look("unsubscribe").await;
        let wants = async || {
            let preferences = told.world.get("/v1/subjects/user-1/preferences").await.json();
            preferences["disconnected"]["email"].clone()
        };
        assert_eq!(wants().await, json!(true));
        device.press("Stop these mails").await;
        device.shows("You will get no more mails of this kind").await;
        device.look("unsubscribed").await;
        assert_eq!(wants().await, json!(false));
        let kinds = told.world.get("/v1/subjects/user-1/notifications").await.json();
        let kinds = kinds["items"].as_array().into_iter().flatten().rev().map(|one| text(&one["kind"])).collect();
        let messages = crate::telling::types(&told.taken_now("app").await);
        self.told.world.stop().await;
        (kinds, messages)
    }
}

#[tokio::test]
async fn with_patience_three_sweeps_are_silence_a_warning_and_a_disconnection_with_one_mail_whose_link_mends_it() {
    let story = Story::begin("invalid_grant_limit = 3\n").await;
    let first = story.sweep().await;
    assert_eq!((&first["status"], &first["auth_failures"]), (&json!("connected"), &json!(1)), "{first}");
    assert!(story.notices().await.is_empty(), "{:?}", story.notices().await);
    // Too early for another try.
    assert_eq!(story.sweep().await["auth_failures"], 1);
    story.five_minutes_pass().await;
    let second = story.sweep().await;
    assert_eq!((&second["status"], &second["auth_failures"]), (&json!("connected"), &json!(2)), "{second}");
    story.told.world.until_told("user-1", "warning").await;
    assert!(story.told.mails_now().await.is_empty(), "a warning is no mail");
    story.five_minutes_pass().await;
    let third = story.sweep().await;
    assert_eq!(third["status"], "needs_reauth", "{third}");
    story.told.world.until_told("user-1", "disconnected").await;
    assert_eq!(story.notices().await, ["warning", "disconnected"]);
    let (kinds, messages) = story.mended().await;
    assert_eq!(kinds, ["warning", "disconnected", "recovered"]);
    let expected = ["connected", "warning", "disconnected", "recovered"].map(|kind| format!("connection.{kind}"));
    assert_eq!(messages, expected);
}

#[tokio::test]
async fn with_the_defaults_the_first_refusal_is_told_once_and_its_link_mends_it() {
    let story = Story::begin("").await;
    let swept = story.sweep().await;
    assert_eq!(swept["status"], "needs_reauth", "{swept}");
    story.told.world.until_told("user-1", "disconnected").await;
    let (kinds, messages) = story.mended().await;
    assert_eq!(kinds, ["disconnected", "recovered"]);
    assert_eq!(messages, ["connected", "disconnected", "recovered"].map(|kind| format!("connection.{kind}")));
}
