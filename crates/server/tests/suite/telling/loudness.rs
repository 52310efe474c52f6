//! Who hears of what how loudly: first in the application, by mail when somebody has to act, and of renewals who asks for it.

use serde_json::{Value, json};

use super::mails::{AT_ONCE, header};
use super::{DEAD, MAIL, PATIENT, Told};
use crate::world::text;

#[tokio::test]
async fn the_worse_it_gets_the_louder_it_is_said_first_in_the_application_and_then_once_by_mail() {
    let told = Told::with(&format!("{PATIENT}[notices]\nmail_delay = 0\n{MAIL}")).await;
    let id = told.connected("acme", "user-1", "alice").await;
    told.reach("user-1", json!({ "email": "alice@mail.example" })).await;
    told.refuses("acme", DEAD);
    let kinds = async || {
        let list = told.world.get("/v1/subjects/user-1/notifications").await.json();
        list["items"].as_array().unwrap().iter().map(|item| text(&item["kind"])).collect::<Vec<_>>()
    };
    told.force(&id).await;
    assert_eq!(kinds().await, Vec::<String>::new(), "the first time nobody hears of it");
    told.force(&id).await;
    assert_eq!(kinds().await, ["warning"]);
    told.world.clock.forward(3600);
    assert_eq!(told.mails_now().await.len(), 0, "a warning is no mail");
    told.force(&id).await;
    assert_eq!(kinds().await, ["disconnected", "warning"]);
    let mail = told.mails(1).await.remove(0);
    assert_eq!(header(&mail, "subject"), "Demo Provider is disconnected", "{mail}");
    told.world.clock.forward(90_000);
    assert_eq!(told.mails_now().await.len(), 1);
    told.world.stop().await;
}

#[tokio::test]
async fn who_wants_to_hear_of_each_renewal_does_and_nobody_else() {
    let told = Told::with(&format!("{AT_ONCE}mail_interval = 0\n{MAIL}")).await;
    told.world.acme().await;
    let put = async |subject: &str, wanted: Value| {
        let path = format!("/v1/subjects/{subject}/preferences");
        assert_eq!(told.world.api.json(http::Method::PUT, &path, &wanted).await.unwrap().status, 200);
    };
    let contact = |name: &str| json!({ "email": format!("{name}@mail.example") });
    put("in-app", json!({ "contact": contact("in-app"), "refreshed": { "in_app": true } })).await;
    put("by-mail", json!({ "contact": contact("by-mail"), "refreshed": { "email": true } })).await;
    put("nobody", json!({ "contact": contact("nobody") })).await;
    for subject in ["in-app", "by-mail", "nobody"] {
        let id = told.world.connect("acme", subject, subject).await;
        for _ in 0..2 {
            assert_eq!(told.force(&id).await["outcome"], "success");
        }
    }
    let notices = async |subject: &str| {
        let list = told.world.get(&format!("/v1/subjects/{subject}/notifications")).await.json();
        list["items"].as_array().unwrap().iter().map(|item| text(&item["kind"])).collect::<Vec<_>>()
    };
    assert_eq!(notices("in-app").await, ["refreshed", "refreshed"]);
    assert_eq!((notices("by-mail").await.len(), notices("nobody").await.len()), (0, 0));
    let mails = told.mails(1).await;
    assert!(mails.iter().all(|mail| mail["to"] == json!(["by-mail@mail.example"])), "{mails:#?}");
    assert!(header(&mails[0], "subject").contains("was renewed"), "{mails:#?}");
    told.world.stop().await;
}
