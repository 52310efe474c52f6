//! Names, scopes, messages of providers and data of applications that want to be more than text.

use evergrant_testkit::ClientConfig;
use serde_json::{Value, json};

use super::{MAIL, Told, chats};
use crate::waiting::{LONG, wait_for};
use crate::world::text;

const HOSTILE: &str = "Acme\"><script>alert(1)</script>\u{202e} <!channel> @everyone [x](https://evil.example)";

#[tokio::test]
async fn what_others_say_is_text_in_every_channel_and_reaches_no_header() {
    let more = format!("[refresh]\nbackground = false\nforce_interval = 0\n[notices]\nmail_delay = 0\n{MAIL}");
    let told = chats::with_chats(&more).await;
    told.endpoint("app", json!({ "events": ["*"] })).await;
    told.world.judge.register(ClientConfig::new("acme"));
    let mut provider = told.world.judge.catalogue_json("acme").expect("it was registered just now");
    provider["name"] = json!(HOSTILE);
    told.world.integration(ClientConfig::new("acme"), json!({ "provider": provider })).await;
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
    let names = header_names(&mail);
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

/// Names of headers of a mail, as they came.
fn header_names(mail: &Value) -> Vec<String> {
    mail["headers"].as_array().into_iter().flatten().map(|header| text(&header[0]).to_lowercase()).collect()
}

#[tokio::test]
async fn what_a_provider_says_in_an_alert_is_text_to_the_operator_too() {
    let told = chats::with_chats(&format!("[refresh]\nbackground = false\nforce_interval = 0\n{MAIL}")).await;
    told.endpoint("app", json!({})).await;
    let id = told.connected("acme", "user-1", "alice").await;
    let said = "</p><script>alert(1)</script> <!channel> <@U1> @everyone\\r\\nBcc: a@b.example\\r\\n\\r\\n<b>*x*</b> [y](https://evil.example)";
    told.refuses("acme", &format!("{{\"error\":\"invalid_client\",\"error_description\":\"{said}\"}}"));
    told.force(&id).await;
    let mail = told.mails(1).await.remove(0);
    assert_eq!(
        (&mail["to"], &mail["defects"], &mail["html"]),
        (&json!(["ops@acme.example"]), &json!([]), &json!(null))
    );
    let names = header_names(&mail);
    assert!(!names.iter().any(|name| name == "bcc") && names.iter().filter(|name| *name == "subject").count() == 1);
    let subject = mail["headers"].as_array().unwrap().iter().find(|header| header[0] == "Subject").unwrap();
    assert_eq!(subject[1], "Evergrant: an alert");
    let slack = wait_for(LONG, "a message", async || told.receivers.chats("slack").await.unwrap().pop()).await;
    let said = text(&slack["message"]["text"]);
    assert!(!said.contains('<') && !said.contains('>') && said.contains("&lt;!channel&gt;"), "{said}");
    assert_eq!(slack["message"]["mrkdwn"], false);
    let discord = wait_for(LONG, "a message", async || told.receivers.chats("discord").await.unwrap().pop()).await;
    let said = text(&discord["message"]["content"]);
    assert!(said.contains("\\@everyone") && said.contains("\\[y\\]\\(https\\:"), "{said}");
    assert_eq!(discord["message"]["allowed_mentions"], json!({ "parse": [] }));
    let hook = told.taken_of("app", "integration.misconfigured").await;
    assert_eq!(
        (&hook["verified"], hook["body"]["data"].as_object().map(|data| data.contains_key("bcc"))),
        (&json!(true), Some(false))
    );
    told.world.stop().await;
}

#[tokio::test]
async fn scopes_are_text_and_names_with_line_ends_are_refused_at_the_door() {
    let told = Told::with("[refresh]\nbackground = false\n").await;
    told.endpoint("app", json!({})).await;
    let odd = "<script>alert(1)</script>";
    let scopes = json!({ "scopes": ["read", odd, "@everyone"] });
    told.world.integration(ClientConfig::new("acme"), scopes).await;
    told.world.connect("acme", "user-1", "alice").await;
    let wish = json!({ "integration": "acme", "subject": "user-1", "scopes": ["read"] });
    let (link, _) = told.world.session(&wish).await;
    let mut browser = evergrant_testkit::browser::Browser::new();
    let page = crate::world::to_provider(&mut browser, &link).await;
    assert!(!page.text().contains(odd), "{}", page.text());
    let form = page.form().expect("a consent form").with("account", "alice").button("allow");
    let done = browser.press(&page, &form).await.expect("the way back");
    assert!(!done.text().contains(odd), "{}", done.text());
    let changed = told.taken_of("app", "connection.scopes_changed").await;
    assert_eq!(
        (&changed["verified"], &changed["body"]["data"]["lost"]),
        (&json!(true), &json!([odd, "@everyone"])),
        "{changed}"
    );

    for name in ["Acme\r\nBcc: a@b.example", "Acme\nSubject: x", "Acme\u{0}"] {
        told.world.judge.register(ClientConfig::new("other"));
        let mut provider = told.world.judge.catalogue_json("other").expect("it was registered just now");
        provider["name"] = json!(name);
        let body = json!({ "name": "other", "provider": provider, "client_id": "other", "client_secrets": [{ "secret": "s3cret-text" }] });
        let refused = told.world.post("/v1/integrations", &body).await;
        assert_eq!(refused.status, 422, "{name:?}: {}", refused.text());
        assert!(!refused.text().contains("Bcc"), "{}", refused.text());
    }
    told.world.stop().await;
}

fn urlencoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
