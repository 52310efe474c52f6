//! What ends soon is told before it does.

use serde_json::{Value, json};

use super::Told;
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
    let told = Told::with("").await;
    told.endpoint("app", json!({})).await;
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
