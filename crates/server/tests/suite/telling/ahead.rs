//! What ends soon is told before it does.

use serde_json::{Value, json};

use evergrant_testkit::http::Http;
use evergrant_testkit::{Canned, Fault, FaultRule};

use super::{MAIL, Told};
use crate::world::text;

#[tokio::test]
async fn the_end_of_the_last_client_secret_is_told_a_month_before_and_once_for_each_moment() {
    let told = Told::with("[notices]\nlook_ahead_every = 60\n").await;
    let endpoint = told.endpoint("app", json!({})).await;
    let now = told.world.service.now();
    let end = |days: u64| now.plus(std::time::Duration::from_secs(days * 86_400)).to_string();
    told.world.judge.register(evergrant_testkit::ClientConfig::new("acme"));
    let secrets =
        json!([{ "secret": "one-that-ends", "expires_at": end(10) }, { "secret": "another", "expires_at": end(40) }]);
    told.world.integration(evergrant_testkit::ClientConfig::new("acme"), json!({ "client_secrets": secrets })).await;
    told.world.clock.forward(61);
    // One of two ends in ten days, and the other one goes on: nobody has to do anything yet.
    told.world.clock.forward(11 * 86_400);
    told.world.until_event("integration.secret_expiring").await;
    for _ in 0..5 {
        told.world.clock.forward(61);
    }
    told.world.clock.forward(23 * 86_400);
    let taken = told.taken("app", 2).await;
    assert_eq!(super::types(&taken), ["integration.secret_expiring", "integration.secret_expiring"]);
    assert!(text(&taken[0]["body"]["data"]["what"]).contains("/v1/integrations/acme"), "{taken:#?}");
    told.at_rest(&endpoint).await;
    assert_eq!(told.taken_now("app").await.len(), 2);
    told.world.stop().await;
}

#[tokio::test]
async fn a_person_who_agrees_to_less_than_before_is_told_of() {
    let told = Told::with("[refresh]\nbackground = false\n").await;
    told.endpoint("app", json!({})).await;
    let scopes = json!({ "scopes": ["read", "write"] });
    told.world.integration(evergrant_testkit::ClientConfig::new("acme"), scopes).await;
    let id = told.world.connect("acme", "user-1", "alice").await;
    let wish = json!({ "integration": "acme", "subject": "user-1", "scopes": ["read"] });
    let (link, _) = told.world.session(&wish).await;
    crate::world::agree(&mut evergrant_testkit::browser::Browser::new(), &link, "alice").await;
    let taken = told.taken("app", 2).await;
    let changed: Vec<&Value> = taken.iter().filter(|one| one["body"]["type"] == "connection.scopes_changed").collect();
    assert_eq!(changed.len(), 1, "{taken:#?}");
    let data = &changed[0]["body"]["data"];
    assert_eq!((&data["lost"], &data["connection_id"]), (&json!(["write"]), &json!(id)), "{data}");
    told.world.stop().await;
}

#[tokio::test]
async fn a_refresh_token_whose_end_is_fixed_is_told_of_a_week_before_and_renewed_until_then() {
    let told = Told::with(&format!("[notices]\nmail_delay = 0\n{MAIL}")).await;
    told.endpoint("app", json!({})).await;
    told.reach("user-1", json!({ "email": "alice@mail.example" })).await;
    told.world.judge.register(evergrant_testkit::ClientConfig::new("acme"));
    let mut provider = told.world.judge.catalogue_json("acme").expect("it was registered just now");
    provider["refresh_lifetime"] = json!(30 * 86_400);
    provider["refresh_lifetime_kind"] = json!("fixed");
    told.world.integration(evergrant_testkit::ClientConfig::new("acme"), json!({ "provider": provider })).await;
    let id = told.world.connect("acme", "user-1", "alice").await;
    let kinds = async || super::types(&told.taken_now("app").await);
    told.taken("app", 1).await;
    let before = told.world.connection(&id).await["refresh_count"].as_u64();
    told.world.clock.forward(22 * 86_400);
    told.world.until(&id, |connection| connection["refresh_count"].as_u64() > before).await;
    assert_eq!(kinds().await, ["connection.connected"]);
    told.world.clock.forward(86_500);
    let taken = told.taken("app", 2).await;
    assert_eq!(super::types(&taken)[1], "connection.expiring");
    told.world.until_told("user-1", "expiring").await;
    let token = told.world.token(&id, "").await;
    assert_eq!((token.status, &token.json()["needs_reauth"]), (200, &json!(false)), "{}", token.text());
    told.world.clock.forward(86_400);
    told.world.token(&id, "").await;
    assert_eq!(kinds().await.len(), 2);

    // The way to renew it stands in each of them, and is good once.
    let link = text(&taken[1]["body"]["data"]["reconnect_url"]);
    assert!(link.contains("/connect/"), "{taken:#?}");
    let mail = told.mails(1).await.remove(0);
    assert!(text(&mail["text"]).contains("/connect/"), "{mail}");
    let notice = told.world.get("/v1/subjects/user-1/notifications").await.json()["items"][0].clone();
    assert!(text(&notice["reconnect_url"]).contains("/connect/"), "{notice}");
    let page = crate::world::agree(&mut evergrant_testkit::browser::Browser::new(), &link, "alice").await;
    assert_eq!(page.status(), 200, "{}", page.text());
    let renewed = told.world.connection(&id).await;
    let end = evergrant_core::time::Timestamp::parse_rfc3339(&text(&renewed["refresh_token_expires_at"])).unwrap();
    assert!(end > told.world.service.now().plus(std::time::Duration::from_secs(29 * 86_400)), "{renewed}");
    let spent = Http::new(&link).get("").await.unwrap();
    assert!(spent.status >= 400, "{}", spent.text());
    let notice = told.world.get("/v1/subjects/user-1/notifications").await.json()["items"][0].clone();
    assert!(notice.get("reconnect_url").is_none(), "{notice}");
    told.world.stop().await;
}

#[tokio::test]
async fn a_refresh_token_that_will_die_of_idleness_is_told_of_while_there_is_time() {
    let told = Told::with("[notices]\nlook_ahead_every = 3600\n").await;
    told.endpoint("app", json!({})).await;
    told.world.judge.register(evergrant_testkit::ClientConfig::new("acme"));
    let mut provider = told.world.judge.catalogue_json("acme").expect("it was registered just now");
    // As Xero's: renewed six days before at the latest; three of them in vain are a reason to speak.
    provider["refresh_lifetime"] = json!(60 * 86_400);
    provider["refresh_lifetime_kind"] = json!("sliding");
    told.world.integration(evergrant_testkit::ClientConfig::new("acme"), json!({ "provider": provider })).await;
    let id = told.world.connect("acme", "user-1", "alice").await;
    assert_eq!(told.world.patch("/v1/integrations/acme", &json!({ "paused": true })).await.status, 200);
    told.world.clock.forward(56 * 86_400);
    told.world.clock.forward(3601);
    for _ in 0..5 {
        crate::waiting::pass(std::time::Duration::from_millis(60)).await;
        assert!(!super::types(&told.taken_now("app").await).contains(&"integration.idle_limit".to_owned()));
    }
    told.world.clock.forward(86_400 + 3600);
    let alert = told.taken_of("app", "integration.idle_limit").await;
    let words = text(&alert["body"]["data"]["what"]);
    assert!(words.starts_with("This integration is paused") && words.contains("60 days"), "{words}");
    for _ in 0..4 {
        told.world.clock.forward(3601);
    }
    // It goes on, and the token is renewed in time: nothing more is said, and nobody else was told.
    assert_eq!(told.world.patch("/v1/integrations/acme", &json!({ "paused": false })).await.status, 200);
    told.world.until(&id, |connection| connection["refresh_count"].as_u64() > Some(0)).await;
    let kinds = super::types(&told.taken_now("app").await);
    assert_eq!(kinds.iter().filter(|kind| *kind == "integration.idle_limit").count(), 1, "{kinds:?}");
    assert!(!kinds.contains(&"connection.expiring".to_owned()), "{kinds:?}");
    told.world.stop().await;
}

#[tokio::test]
async fn grants_that_die_young_again_and_again_and_too_many_of_one_account_are_told_to_the_operator_in_words() {
    let told = Told::with("[refresh]\nbackground = false\nforce_interval = 0\nbrake_connections = 1000\n").await;
    told.endpoint("app", json!({})).await;
    told.world.judge.register(evergrant_testkit::ClientConfig::new("acme"));
    let mut provider = told.world.judge.catalogue_json("acme").expect("it was registered just now");
    provider["short_grants_after"] = json!(604_800);
    provider["short_grants_remedy"] = json!("Publish the consent screen");
    provider["grants_per_account"] = json!(2);
    let more = json!({ "provider": provider, "shared_accounts": true });
    told.world.integration(evergrant_testkit::ClientConfig::new("acme"), more).await;
    let mut ids = Vec::new();
    for account in ["a", "b", "c"] {
        ids.push(told.world.connect("acme", account, account).await);
    }
    told.world.clock.forward(604_800 + 1800);
    told.refuses("acme", super::DEAD);
    for id in &ids[..2] {
        told.force(id).await;
    }
    told.taken("app", 5).await;
    assert!(!super::types(&told.taken_now("app").await).contains(&"integration.short_lived_grants".to_owned()));
    told.force(&ids[2]).await;
    let alert = told.taken_of("app", "integration.short_lived_grants").await;
    assert!(
        text(&alert["body"]["data"]["what"]).contains("7 days")
            && text(&alert["body"]["data"]["what"]).contains("Publish")
    );

    told.world.judge.reset();
    for subject in ["x", "y", "z"] {
        told.world.connect("acme", subject, "shared").await;
    }
    told.world.until_event("integration.grant_limit").await;
    told.world.stop().await;
}

#[tokio::test]
async fn who_cannot_be_renewed_until_idleness_ends_it_is_told_with_a_link_and_once() {
    let told = Told::with(&format!("[notices]\nmail_delay = 0\n{MAIL}")).await;
    told.endpoint("app", json!({})).await;
    told.reach("user-1", json!({ "email": "alice@mail.example" })).await;
    told.world.judge.register(evergrant_testkit::ClientConfig::new("acme"));
    let mut provider = told.world.judge.catalogue_json("acme").expect("it was registered just now");
    provider["refresh_lifetime"] = json!(60 * 86_400);
    provider["refresh_lifetime_kind"] = json!("sliding");
    told.world.integration(evergrant_testkit::ClientConfig::new("acme"), json!({ "provider": provider })).await;
    let id = told.world.connect("acme", "user-1", "alice").await;
    let away = Fault::Answer(Canned::new("away", 503, "text/plain", "away"));
    told.world.judge.fault(FaultRule::lasting(away).client("acme").grant_type("refresh_token"));
    // It fails from the first hour on, and for eight weeks there is time.
    for days in [1, 50, 5] {
        told.world.clock.forward(days * 86_400);
        told.world.until(&id, |connection| connection["transient_failures"].as_u64() > Some(0)).await;
    }
    crate::waiting::pass(std::time::Duration::from_millis(200)).await;
    assert!(!super::types(&told.taken_now("app").await).contains(&"connection.expiring".to_owned()));
    told.world.clock.forward(86_400 + 7200);
    let expiring = told.taken_of("app", "connection.expiring").await;
    assert!(text(&expiring["body"]["data"]["reconnect_url"]).contains("/connect/"), "{expiring}");
    let mail = told.mails(1).await.remove(0);
    assert_eq!(mail["to"], json!(["alice@mail.example"]), "{mail}");
    assert!(text(&mail["text"]).contains("/connect/"), "{mail}");
    // It goes on being tried; when that works, that is the end of it.
    told.world.judge.reset();
    told.world.clock.forward(3600);
    told.world.until(&id, |connection| connection["refresh_count"].as_u64() > Some(0)).await;
    let kinds = super::types(&told.taken_now("app").await);
    assert_eq!(kinds.iter().filter(|kind| *kind == "connection.expiring").count(), 1, "{kinds:?}");
    assert_eq!(told.mails_now().await.len(), 1);
    told.world.stop().await;
}
