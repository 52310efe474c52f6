//! Mails, to a real mail server: seldom, at a time that suits, in the person's language, and ended by one click.

use evergrant_testkit::http::Http;
use serde_json::{Value, json};

use super::{DEAD, MAIL, Told};
use crate::waiting::{LONG, wait_for};
use crate::world::{agree, text};

pub const AT_ONCE: &str = "[refresh]\nbackground = false\nforce_interval = 0\n[notices]\nmail_delay = 0\n";

pub fn header(mail: &Value, name: &str) -> String {
    let headers = mail["headers"].as_array().cloned().unwrap_or_default();
    let found = headers.iter().find(|header| text(&header[0]).eq_ignore_ascii_case(name));
    found.map(|header| text(&header[1])).unwrap_or_default()
}

/// The address in a text that begins so.
fn address(mail: &Value, part: &str) -> String {
    let body = text(&mail["text"]);
    body.split_whitespace().find(|word| word.contains(part)).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_hundred_callers_on_a_dead_grant_make_one_message_and_one_mail_whose_link_mends_it() {
    let told = Told::with(&format!("{AT_ONCE}{MAIL}")).await;
    let endpoint = told.endpoint("app", json!({})).await;
    let id = told.connected("acme", "user-1", "alice").await;
    told.reach("user-1", json!({ "email": "alice@mail.example" })).await;
    told.refuses("acme", DEAD);
    // A clock that jumps would end a try whose answer is on its way.
    told.at_rest(&endpoint).await;
    told.world.clock.forward(7200);
    let calls = (0..100).map(|_| told.world.token(&id, "min_ttl=600"));
    let answers = futures_all(calls).await;
    assert!(answers.iter().all(|status| *status == 424), "{answers:?}");
    let mails = told.mails(1).await;
    told.taken("app", 2).await;
    told.at_rest(&endpoint).await;
    told.world.clock.forward(3600);
    for _ in 0..5 {
        told.world.token(&id, "").await;
    }
    let kinds = super::types(&told.taken_now("app").await);
    assert_eq!(kinds, ["connection.connected", "connection.disconnected"]);
    assert_eq!(told.mails_now().await.len(), 1);

    let mail = &mails[0];
    assert_eq!(mail["to"], json!(["alice@mail.example"]));
    assert_eq!(header(mail, "from"), "Acme Tools <tools@acme.example>");
    assert!(text(&mail["html"]).contains("<a href=") && text(&mail["text"]).contains("/connect/"), "{mail}");
    assert_eq!((header(mail, "auto-submitted"), mail["defects"].clone()), ("auto-generated".to_owned(), json!([])));
    for tracking in ["<img", "http-equiv", "<script", "<link", "url("] {
        assert!(!text(&mail["html"]).contains(tracking), "{tracking}");
    }
    // A scanner looks at every address and changes nothing; the person's own click does.
    let (link, ending) = (address(mail, "/connect/"), address(mail, "/unsubscribe/"));
    for address in [&link, &ending] {
        for _ in 0..3 {
            assert_eq!(Http::new(address).get("").await.unwrap().status, 200, "{address}");
        }
    }
    told.world.judge.reset();
    let page = agree(&mut evergrant_testkit::browser::Browser::new(), &link, "alice").await;
    assert_eq!(page.status(), 200, "{}", page.text());
    told.world.until(&id, |connection| connection["status"] == "connected").await;
    told.taken("app", 3).await;
    assert_eq!(super::types(&told.taken_now("app").await)[2], "connection.recovered");
    told.world.stop().await;
}

async fn futures_all<F: Future<Output = evergrant_testkit::http::Reply>>(calls: impl Iterator<Item = F>) -> Vec<u16> {
    let mut calls: Vec<_> = calls.map(|call| Some(Box::pin(call))).collect();
    let mut answers = Vec::new();
    std::future::poll_fn(|context| {
        for call in &mut calls {
            let ready = call.as_mut().map(|one| one.as_mut().poll(context));
            if let Some(std::task::Poll::Ready(reply)) = ready {
                answers.push(reply.status);
                *call = None;
            }
        }
        if calls.iter().all(Option::is_none) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    answers
}

#[tokio::test]
async fn one_click_ends_mails_of_a_kind_and_looking_ends_nothing() {
    let told = Told::with(&format!("{AT_ONCE}{MAIL}")).await;
    let id = told.connected("acme", "user-1", "alice").await;
    told.reach("user-1", json!({ "email": "alice@mail.example", "language": "de" })).await;
    told.refuses("acme", DEAD);
    told.force(&id).await;
    let mail = told.mails(1).await.remove(0);
    assert!(header(&mail, "subject").ends_with("ist getrennt"), "{}", header(&mail, "subject"));
    let list = header(&mail, "list-unsubscribe");
    let ending = list.trim_matches(['<', '>']).to_owned();
    assert_eq!(header(&mail, "list-unsubscribe-post"), "List-Unsubscribe=One-Click");
    let wants = async || {
        let preferences = told.world.get("/v1/subjects/user-1/preferences").await.json();
        preferences["disconnected"]["email"].as_bool()
    };
    let looked = Http::new(&ending).get("").await.unwrap();
    assert!(looked.status == 200 && looked.text().contains("Keine solchen Mails"), "{}", looked.text());
    assert_eq!(wants().await, Some(true));
    for _ in 0..2 {
        let done = Http::new(&ending).form("", &[("List-Unsubscribe", "One-Click")]).await.unwrap();
        assert_eq!(done.status, 200, "{}", done.text());
    }
    assert_eq!(wants().await, Some(false));
    let forged = format!("{}x", &ending[..ending.len() - 1]);
    assert_eq!(Http::new(&forged).form("", &[]).await.unwrap().status, 404);

    told.world.judge.reset();
    told.world.connect("acme", "user-1", "alice").await;
    told.refuses("acme", DEAD);
    told.force(&id).await;
    told.world.until_told("user-1", "disconnected").await;
    told.world.clock.forward(90_000);
    // Somebody else's mail comes after it would have come.
    told.world.judge.reset();
    let other = told.world.connect("acme", "user-2", "bob").await;
    told.reach("user-2", json!({ "email": "bob@mail.example" })).await;
    told.refuses("acme", DEAD);
    told.force(&other).await;
    let mails = told.mails(2).await;
    assert_eq!((mails.len(), &mails[1]["to"]), (2, &json!(["bob@mail.example"])), "{mails:#?}");
    told.world.stop().await;
}

#[tokio::test]
async fn several_at_once_are_one_mail_never_at_night_and_never_of_what_is_mended() {
    let told = Told::with(&format!("{AT_ONCE}mail_interval = 600\nmails_per_day = 2\n{MAIL}")).await;
    let names = ["one", "two", "three", "four"];
    let mut ids = Vec::new();
    for name in names {
        ids.push(told.connected(name, "user-1", "alice").await);
    }
    // Quiet from an hour ago until in two hours, by a clock of another zone.
    let now = told.world.service.now();
    let hours = |hours: i64| {
        let at = (now.as_seconds() + hours * 3600).rem_euclid(86_400);
        format!("{:02}:{:02}", at / 3600, at % 3600 / 60)
    };
    let quiet = json!({ "from": hours(8), "until": hours(11) });
    told.reach(
        "user-1",
        json!({
            "email": "alice@mail.example", "language": "es", "time_zone": "Asia/Tokyo", "quiet_hours": quiet,
        }),
    )
    .await;
    for (name, id) in names.iter().zip(&ids) {
        told.refuses(name, DEAD);
        told.force(id).await;
    }
    // One of them is mended before the night is over.
    told.world.judge.reset();
    told.world.connect("four", "user-1", "alice").await;
    told.world
        .until_metric("evergrant_notices_total{kind=\"disconnected\",channel=\"in_app\",result=\"written\"} 4")
        .await;
    assert!(told.mails_now().await.is_empty());
    told.world.clock.forward(2 * 3600 + 61);
    let mails = told.mails(1).await;
    let body = text(&mails[0]["text"]);
    assert_eq!(header(&mails[0], "subject"), "Sus conexiones necesitan atención");
    assert_eq!(body.matches("está desconectado").count(), 3, "{body}");
    told.world
        .until_metric("evergrant_notices_total{kind=\"disconnected\",channel=\"email\",result=\"dropped\"} 1")
        .await;

    // The next one comes ten minutes later at the earliest, and not more than two a day.
    for (wait, expected) in [(601, 2), (86_400, 3)] {
        told.world.connect("one", "user-1", "alice").await;
        told.refuses("one", DEAD);
        told.force(&ids[0]).await;
        told.world.judge.reset();
        crate::waiting::pass(std::time::Duration::from_millis(300)).await;
        assert_eq!(told.mails_now().await.len(), expected - 1);
        told.world.clock.forward(wait);
        told.mails(expected).await;
    }
    told.world.stop().await;
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_told_to_the_operator_once() {
    let told = Told::with(&format!("{AT_ONCE}retries = [60, 60]\n{MAIL}")).await;
    told.endpoint("app", json!({ "events": ["channel.failed"] })).await;
    let id = told.connected("acme", "user-1", "alice").await;
    told.reach("user-1", json!({ "email": "alice@mail.example" })).await;
    told.receivers.set(&json!({ "smtp": { "answer": "451 later please" } })).await.unwrap();
    told.refuses("acme", DEAD);
    told.force(&id).await;
    let tries = async |count: usize| {
        wait_for(LONG, "tries", async || (told.receivers.mails().await.ok()?.len() >= count).then_some(())).await;
    };
    tries(1).await;
    told.receivers.set(&json!({ "smtp": { "answer": null } })).await.unwrap();
    wait_for(LONG, "the mail", async || {
        told.world.clock.forward(20);
        (!told.mails_now().await.is_empty()).then_some(())
    })
    .await;
    told.world.judge.reset();
    for account in ["bob", "carol"] {
        let subject = format!("user-{account}");
        let id = told.world.connect("acme", &subject, account).await;
        told.reach(&subject, json!({ "email": format!("{account}@mail.example") })).await;
        told.receivers.set(&json!({ "smtp": { "answer": "550 no such mailbox" } })).await.unwrap();
        told.refuses("acme", DEAD);
        told.force(&id).await;
        told.world.judge.reset();
    }
    told.taken("app", 1).await;
    told.world
        .until_metric("evergrant_notices_total{kind=\"disconnected\",channel=\"email\",result=\"failed\"} 2")
        .await;
    // The alert itself is mailed to the operator, and refused too: another one says that.
    let mut alerts = told.taken_now("app").await;
    alerts.retain(|alert| text(&alert["body"]["data"]["what"]).contains("to persons"));
    assert_eq!(alerts.len(), 1, "{alerts:#?}");
    told.world.stop().await;
}

#[tokio::test]
async fn only_the_application_sets_an_address_and_what_cannot_be_is_refused() {
    let told = Told::with(MAIL).await;
    let put = async |http: &Http, contact: Value| {
        http.json(http::Method::PUT, "/v1/subjects/user-1/preferences", &json!({ "contact": contact })).await.unwrap()
    };
    for (contact, field) in [
        (json!({ "email": "a@b.example\r\nBcc: c@d.example" }), "contact.email"),
        (json!({ "email": "Alice <a@b.example>" }), "contact.email"),
        (json!({ "language": "tlh" }), "contact.language"),
        (json!({ "time_zone": "Mars/Olympus" }), "contact.time_zone"),
        (json!({ "quiet_hours": { "from": "25:00", "until": "07:00" } }), "contact.quiet_hours"),
    ] {
        let refused = put(&told.world.api, contact.clone()).await;
        assert_eq!((refused.status, refused.json()["field"].as_str()), (422, Some(field)), "{contact}");
    }
    let made = told.world.post("/v1/subjects/user-1/sessions", &json!({})).await.json();
    let session = Http::new(&told.world.url).bearer(&text(&made["token"]));
    assert_eq!(put(&session, json!({ "email": "victim@b.example" })).await.status, 422);
    let set = put(&session, json!({ "language": "de", "time_zone": "Europe/Berlin" })).await;
    assert_eq!((set.status, &set.json()["contact"]["language"]), (200, &json!("de")), "{}", set.text());

    // A connect session's address is kept where none is known; what is told follows the browser where nothing is said.
    told.world.acme().await;
    let wish = json!({ "integration": "acme", "subject": "user-7", "email": "seven@mail.example" });
    let (link, _) = told.world.session(&wish).await;
    agree(&mut evergrant_testkit::browser::Browser::new(), &link, "seven").await;
    let known = told.world.get("/v1/subjects/user-7/preferences").await.json();
    assert_eq!(known["contact"]["email"], "seven@mail.example", "{known}");
    told.world.stop().await;
}
