//! Many at once: an outage and a wrong client are no affair of each person.

use std::time::Duration;

use evergrant_testkit::{Canned, ClientConfig, Fault, FaultRule};
use serde_json::{Value, json};

use super::{DEAD, MAIL, Told, chats};
use crate::waiting::{LONG, pass, wait_for};

const NUMBERS: &str = "[refresh]\nbackground = false\nforce_interval = 0\nbrake_connections = 1000\n[notices]\nmail_delay = 1\n\
                       brake_mails = 5\n";

#[tokio::test]
async fn a_wrong_client_is_one_alert_and_no_word_to_persons() {
    let told = chats::with_chats(&format!("{NUMBERS}{MAIL}")).await;
    told.endpoint("app", json!({})).await;
    told.world.integration(ClientConfig::new("acme"), json!({})).await;
    let mut ids = Vec::new();
    for number in 0..8 {
        let subject = format!("user-{number}");
        ids.push(told.world.connect("acme", &subject, &format!("account-{number}")).await);
        told.reach(&subject, json!({ "email": format!("{subject}@mail.example") })).await;
    }
    told.refuses("acme", "{\"error\":\"invalid_client\"}");
    for id in &ids {
        told.world.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await;
    }
    told.world.until_event("integration.misconfigured").await;
    told.world.clock.forward(60);
    let mails = told.mails(1).await;
    assert_eq!((mails.len(), &mails[0]["to"]), (1, &json!(["ops@acme.example"])), "{mails:#?}");
    wait_for(LONG, "one message", async || (!told.receivers.chats("slack").await.unwrap().is_empty()).then_some(()))
        .await;
    assert_eq!(told.receivers.chats("slack").await.unwrap().len(), 1);
    let kinds = super::types(&told.taken("app", 9).await);
    assert_eq!(kinds.iter().filter(|kind| *kind == "integration.misconfigured").count(), 1, "{kinds:?}");
    assert!(!kinds.iter().any(|kind| kind == "connection.disconnected" || kind == "connection.warning"), "{kinds:?}");
    told.world.stop().await;
}

#[tokio::test]
async fn so_many_mails_at_once_are_held_back_and_the_operator_is_told_once() {
    let told = Told::with(&format!("{NUMBERS}{MAIL}")).await;
    told.world.integration(ClientConfig::new("acme"), json!({})).await;
    let mut ids = Vec::new();
    for number in 0..9 {
        let subject = format!("user-{number}");
        ids.push(told.world.connect("acme", &subject, &format!("account-{number}")).await);
        told.reach(&subject, json!({ "email": format!("{subject}@mail.example") })).await;
    }
    told.refuses("acme", DEAD);
    for id in &ids {
        told.force(id).await;
    }
    told.world.clock.forward(2);
    told.world.until_event("integration.notices_held").await;
    let alerts = told.mails(1).await;
    assert!(alerts.iter().all(|mail| mail["to"] == json!(["ops@acme.example"])), "{alerts:#?}");
    // Two are mended while it lasts: they hear nothing of it.
    told.world.judge.reset();
    for number in 0..2 {
        told.world.connect("acme", &format!("user-{number}"), &format!("account-{number}")).await;
    }
    wait_for(LONG, "the others hear of it", async || {
        told.world.clock.forward(100);
        let mails = told.mails_now().await;
        (mails.iter().filter(|mail| mail["to"] != json!(["ops@acme.example"])).count() >= 7).then_some(())
    })
    .await;
    let mails = told.mails_now().await;
    let to = |address: &str| mails.iter().filter(|mail| mail["to"] == json!([address])).count();
    assert_eq!((to("ops@acme.example"), to("user-0@mail.example"), to("user-5@mail.example")), (1, 0, 1));
    told.world.stop().await;
}

#[tokio::test]
async fn an_outage_of_hours_is_no_mail_one_note_to_each_person_and_one_alert() {
    let told = chats::with_chats(&format!("[notices]\nmail_delay = 0\n{MAIL}")).await;
    told.world.integration(ClientConfig::new("acme"), json!({})).await;
    for number in 0..12 {
        let subject = format!("user-{number}");
        told.world.connect("acme", &subject, &format!("account-{number}")).await;
        told.reach(&subject, json!({ "email": format!("{subject}@mail.example") })).await;
    }
    let away = Fault::Answer(Canned::new("away", 503, "text/plain", "away"));
    told.world.judge.fault(FaultRule::lasting(away).client("acme").grant_type("refresh_token"));
    // Six hours, in steps in which whatever is due is tried.
    for _ in 0..72 {
        told.world.clock.forward(300);
        pass(Duration::from_millis(40)).await;
    }
    told.world.until_event("integration.unavailable").await;
    let sent = told.world.refreshes("acme");
    for number in 0..12 {
        let list = told.world.get(&format!("/v1/subjects/user-{number}/notifications")).await.json();
        let kinds: Vec<&Value> = list["items"].as_array().unwrap().iter().map(|item| &item["kind"]).collect();
        assert!(kinds.len() <= 1 && kinds.iter().all(|kind| *kind == "trouble"), "user-{number}: {kinds:?}");
    }
    let mails = told.mails(1).await;
    assert_eq!((mails.len(), &mails[0]["to"]), (1, &json!(["ops@acme.example"])), "{mails:#?}");
    let alerted = wait_for(LONG, "one message", async || {
        Some(told.receivers.chats("slack").await.unwrap()).filter(|messages| !messages.is_empty())
    })
    .await;
    assert_eq!(alerted.len(), 1, "{alerted:#?}");
    assert!(sent < 12 * 72, "{sent} calls while it was away");
    told.world.stop().await;
}
