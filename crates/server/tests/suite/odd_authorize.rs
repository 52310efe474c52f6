//! Authorization requests and callbacks that are not quite the standard's: PKCE without a hash, a fragment, a form post, ends
//! of tokens as instants.

use evergrant::clock::Clock as _;
use evergrant_testkit::browser::Browser;
use evergrant_testkit::{Canned, ClientConfig, Fault, FaultRule};
use serde_json::{Value, json};

use crate::world::{World, text, to_provider};

/// `acme`, with more over its entry.
async fn acme(world: &World, client: ClientConfig, more: Value) {
    world.judge.register(client.clone());
    let mut entry = world.judge.catalogue_json("acme").expect("it was registered just now");
    entry.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    world.integration(client, json!({ "provider": entry })).await;
}

#[tokio::test]
async fn a_provider_that_takes_only_plain_pkce_gets_it_and_a_fragment_where_it_wants_one() {
    let world = World::new().await;
    let client = ClientConfig { pkce_plain: true, ..ClientConfig::new("acme") };
    acme(&world, client, json!({ "pkce": "plain", "authorize_fragment": "wechat_redirect" })).await;
    let id = world.connect("acme", "user-2", "alice").await;
    assert_eq!(world.token(&id, "").await.status, 200);
    let (link, _) = world.session(&json!({ "integration": "acme", "subject": "user-3" })).await;
    let mut person = Browser::new();
    let page = person.visit(&link).await.unwrap();
    let sent = person.submit(&page, &page.form().unwrap().button("continue")).await.unwrap();
    let address = sent.location().expect("on to the provider");
    assert_eq!(address.fragment(), Some("wechat_redirect"));
    assert!(
        address.query_pairs().any(|(name, value)| name == "code_challenge_method" && value == "plain"),
        "{address}"
    );
    world.stop().await;
}

#[tokio::test]
async fn a_form_post_leads_on_to_the_callback_with_what_the_flow_reads_and_nothing_of_the_person() {
    let world = World::new().await;
    acme(&world, ClientConfig::new("acme"), json!({ "authorize_params": { "response_mode": "form_post" } })).await;
    let (link, _) = world.session(&json!({ "integration": "acme", "subject": "user-2" })).await;
    let mut person = Browser::new();
    let consent = to_provider(&mut person, &link).await;
    let posting =
        person.submit(&consent, &consent.form().unwrap().with("account", "alice").button("allow")).await.unwrap();
    assert_eq!(posting.status(), 200, "the provider's page that posts by itself");
    // A browser sends no Lax cookie with a post from another site: as one without any.
    let answer = Browser::new().submit(&posting, &posting.form().unwrap()).await.unwrap();
    assert_eq!(answer.status(), 303, "{}", answer.text());
    assert_eq!(answer.reply.header("referrer-policy"), "no-referrer");
    let address = answer.location().unwrap();
    let names: Vec<String> = address.query_pairs().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(
        (address.path(), names.as_slice()),
        ("/oauth/callback/acme", ["code".to_owned(), "state".to_owned()].as_slice())
    );
    assert_eq!(world.judge.token_calls(), 0, "nothing was decided by the post");
    // Another browser than the one that began gets nowhere with it.
    let foreign = Browser::new().open(address.as_str()).await.unwrap();
    assert_eq!((foreign.status(), world.judge.token_calls()), (400, 0), "{}", foreign.text());
    // The GET that follows is a navigation, with which the cookie goes.
    let done = person.open(address.as_str()).await.unwrap();
    assert_eq!(done.status(), 200, "{}", done.text());
    assert!(done.text().contains("is connected"), "{}", done.text());
    let stray = Browser::new().submit(&posting, &posting.form().unwrap()).await.unwrap();
    assert_eq!(stray.status(), 303);
    world.stop().await;
}

#[tokio::test]
async fn the_end_of_a_token_is_read_where_the_entry_says_that_it_stands() {
    let world = World::new().await;
    let more = json!({ "expires_at_pointer": "/access_token_expiration", "refresh_expires_at_pointer": "/refresh_token_expiration" });
    acme(&world, ClientConfig::new("acme"), more).await;
    let now = world.clock.now().as_millis() / 1000;
    let body = json!({ "access_token": "an-access-token-1", "refresh_token": "a-refresh-token-1",
                       "access_token_expiration": now + 1800, "refresh_token_expiration": now + 86_400 });
    // Whose it is, the judge does not say of a token that it does not know.
    let me = Canned::new("me", 200, "application/json", r#"{"sub":"alice","name":"Alice"}"#);
    world.judge.fault(FaultRule::lasting(Fault::Answer(me)).at(evergrant_testkit::Endpoint::Userinfo));
    world
        .judge
        .fault(FaultRule::next(1, Fault::Answer(Canned::new("ends", 200, "application/json", body.to_string()))));
    let id = world.connect("acme", "user-2", "alice").await;
    let shown = world.connection(&id).await;
    let left = world.token(&id, "").await.json()["expires_in"].as_u64().unwrap_or_default();
    assert!((1700..=1800).contains(&left), "{left}");
    assert!(text(&shown["refresh_token_expires_at"]) > text(&shown["expires_at"]), "{shown}");
    world.stop().await;
}
