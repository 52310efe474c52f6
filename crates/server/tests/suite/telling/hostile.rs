//! Names, scopes, messages of providers and data of applications that want to be more than text.

use serde_json::json;

use super::{MAIL, chats};
use crate::waiting::{LONG, wait_for};
use crate::world::text;

const HOSTILE: &str = "Acme\"><script>alert(1)</script>\u{202e} <!channel> @everyone [x](https://evil.example)";

#[tokio::test]
async fn what_others_say_is_text_in_every_channel_and_reaches_no_header() {
    let more = format!("[refresh]\nbackground = false\nforce_interval = 0\n[notices]\nmail_delay = 0\n{MAIL}");
    let told = chats::with_chats(&more).await;
    told.endpoint("app", json!({ "events": ["*"] })).await;
    told.world.judge.register(evergrant_testkit::ClientConfig::new("acme"));
    let mut provider = told.world.judge.catalogue_json("acme").expect("it was registered just now");
    provider["name"] = json!(HOSTILE);
    told.world.integration(evergrant_testkit::ClientConfig::new("acme"), json!({ "provider": provider })).await;
    let subject = "u\"><b>1</b>";
    let id = told.world.connect("acme", subject, "alice").await;
    let path = format!("/v1/connections/{id}");
    let data = json!({ "label": "<i>label</i>", "metadata": { "x\r\nBcc: a@b.example": "<script>" } });
    assert_eq!(told.world.patch(&path, &data).await.status, 200);
    let address = format!("/v1/subjects/{}/preferences", urlencoded(subject));
    let contact = json!({ "contact": { "email": "alice@mail.example" } });
    let set = told.world.api.json(http::Method::PUT, &address, &contact).await.unwrap();
    assert_eq!(set.status, 200, "{}", set.text());
    told.refuses(
        "acme",
        "{\"error\":\"invalid_grant\",\"error_description\":\"gone\\r\\nBcc: a@b.example <script>alert(2)</script> <!here> @here\"}",
    );
    told.force(&id).await;
    let mail = told.mails(1).await.remove(0);
    assert_eq!(mail["to"], json!(["alice@mail.example"]));
    assert_eq!(mail["defects"], json!([]), "{mail}");
    let names: Vec<String> =
        mail["headers"].as_array().unwrap().iter().map(|header| text(&header[0]).to_lowercase()).collect();
    for forbidden in ["bcc", "cc", "reply-to"] {
        assert!(!names.contains(&forbidden.to_owned()), "{names:?}");
    }
    for header in mail["headers"].as_array().unwrap() {
        assert!(!text(&header[1]).contains(['\r', '\n']) && !text(&header[1]).contains("user"), "{header}");
    }
    let html = text(&mail["html"]);
    assert!(!html.contains("<script") && html.contains("&#60;script&#62;") | html.contains("&lt;script&gt;"), "{html}");
    assert!(!html.contains('\u{202e}') && !text(&mail["text"]).contains('\u{202e}'));

    let slack = wait_for(LONG, "a message", async || told.receivers.chats("slack").await.unwrap().pop()).await;
    let said = text(&slack["message"]["text"]);
    assert!(!said.contains("<!channel>") && !said.contains("<script") && said.contains("&lt;!channel&gt;"), "{said}");
    let discord = wait_for(LONG, "a message", async || told.receivers.chats("discord").await.unwrap().pop()).await;
    assert_eq!(discord["message"]["allowed_mentions"], json!({ "parse": [] }));
    assert!(!text(&discord["message"]["content"]).contains(" @everyone"), "{discord}");
    // A webhook is JSON: what is text there stays text, whole and byte for byte.
    let taken = told.taken("app", 2).await;
    assert!(taken.iter().all(|one| one["verified"] == true && one["body"]["data"]["subject"] == subject), "{taken:#?}");
    told.world.stop().await;
}

fn urlencoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
