//! Two token pairs in one answer (a bot's and a user's): two connections, placed in one go, each with a life of its own.

use evergrant_testkit::browser::Browser;
use evergrant_testkit::{ClientConfig, Fault, FaultRule};
use serde_json::{Value, json};

use crate::world::{World, agree, text};

async fn acme(world: &World) {
    let client = ClientConfig { second_pair: true, ..ClientConfig::new("acme") };
    world.judge.register(client.clone());
    let mut entry = world.judge.catalogue_json("acme").expect("it was registered just now");
    entry["account_kind"] = json!("bot");
    entry["also"] =
        json!([{ "pointer": "/authed_user", "kind": "user", "account_id_pointer": "token:/authed_user/id" }]);
    world.integration(client, json!({ "provider": entry, "scopes": ["of_bot"] })).await;
}

/// The subject's connections by kind: the bot's, the user's.
async fn both(world: &World, subject: &str) -> [Value; 2] {
    let list = world.get(&format!("/v1/connections?subject={subject}")).await.json();
    let items = list["items"].as_array().expect("a list").clone();
    assert_eq!(items.len(), 2, "{list}");
    ["bot", "user"].map(|kind| items.iter().find(|one| one["account"]["kind"] == kind).cloned().expect(kind))
}

#[tokio::test]
async fn each_pair_is_a_connection_that_is_refreshed_and_ended_by_itself() {
    let world = World::new().await;
    acme(&world).await;
    world.connect("acme", "user-2", "alice").await;
    let [bot, user] = both(&world, "user-2").await;
    assert_eq!((&bot["account"]["id"], &user["account"]["id"]), (&json!("alice"), &json!("user-alice")));
    assert_eq!((&bot["scopes"]["granted"], &user["scopes"]["granted"]), (&json!(["of_bot"]), &json!(["of_user"])));
    assert_eq!((&bot["scopes"]["missing"], &user["scopes"]["missing"]), (&json!([]), &json!([])));
    let ids = [text(&bot["id"]), text(&user["id"])];
    let first = [world.token(&ids[0], "").await.json(), world.token(&ids[1], "").await.json()];
    assert_ne!(first[0]["access_token"], first[1]["access_token"]);
    // By the application's words the first pair is meant, and another one by its kind.
    let by_words = |query: &'static str| world.get(query);
    let path = "/v1/subjects/user-2/integrations/acme/token";
    assert_eq!(by_words(path).await.json()["access_token"], first[0]["access_token"]);
    for (query, of) in [("?account_kind=bot", 0), ("?account_kind=user", 1)] {
        let token = world.get(&format!("{path}{query}")).await;
        assert_eq!(token.json()["access_token"], first[of]["access_token"], "{}", token.text());
    }
    assert_eq!(world.get(&format!("{path}?account_kind=none")).await.status, 404);
    world.clock.forward(3601);
    for (at, id) in ids.iter().enumerate() {
        let token = world.token(id, "").await;
        assert_eq!(token.status, 200, "{}", token.text());
        assert_ne!(token.json()["access_token"], first[at]["access_token"]);
    }
    let ended = world.delete(&format!("/v1/connections/{}", ids[0])).await;
    assert_eq!(ended.status, 200, "{}", ended.text());
    let token = by_words(path).await;
    assert_eq!((token.status, &token.json()["connection_id"]), (200, &json!(ids[1])), "{}", token.text());
    world.stop().await;
}

#[tokio::test]
async fn a_new_consent_replaces_both_under_their_ids_also_when_the_second_is_reconnected() {
    let world = World::new().await;
    acme(&world).await;
    world.connect("acme", "user-2", "alice").await;
    let before = both(&world, "user-2").await;
    let (link, _) = world.session(&json!({ "connection_id": before[1]["id"] })).await;
    let page = agree(&mut Browser::new(), &link, "alice").await;
    assert_eq!(page.status(), 200, "{}", page.text());
    let after = both(&world, "user-2").await;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before["id"], after["id"]);
        let token = world.token(&text(&after["id"]), "").await.json();
        assert!(world.judge.is_live_access(&text(&token["access_token"])));
    }
    // Another person's account may not take the place of either.
    let (link, _) = world.session(&json!({ "connection_id": before[1]["id"] })).await;
    let page = agree(&mut Browser::new(), &link, "bob").await;
    assert!(page.text().contains("other_account"), "{}", page.text());
    assert_eq!(both(&world, "user-2").await.map(|one| one["id"].clone()), before.map(|one| one["id"].clone()));
    world.stop().await;
}

#[tokio::test]
async fn where_one_of_them_belongs_to_somebody_else_neither_is_connected() {
    let world = World::new().await;
    acme(&world).await;
    let pair = world.judge.issue("acme", "alice").expect("a grant");
    let grant =
        json!({ "integration": "acme", "subject": "user-3", "account_id": "alice", "access_token": pair.access_token });
    assert_eq!(world.post("/v1/connections", &grant).await.status, 201);
    let (link, _) = world.session(&json!({ "integration": "acme", "subject": "user-4" })).await;
    let page = agree(&mut Browser::new(), &link, "alice").await;
    assert!(page.text().contains("account_taken"), "{}", page.text());
    assert_eq!(world.get("/v1/connections?subject=user-4").await.json()["items"], json!([]));
    crate::waiting::wait_for(crate::waiting::LONG, "what fits nowhere to be given back", async || {
        world.clock.forward(30);
        (world.judge.live_refresh_token("acme", "alice") == pair.refresh_token).then_some(())
    })
    .await;
    world.stop().await;
}

#[tokio::test]
async fn both_are_kept_while_the_account_cannot_be_looked_up_and_through_a_restart() {
    let mut world = World::new().await;
    acme(&world).await;
    let broken = Fault::Answer(evergrant_testkit::Canned::error_500());
    world.judge.fault(FaultRule::lasting(broken).at(evergrant_testkit::Endpoint::Userinfo));
    let (link, _) = world.session(&json!({ "integration": "acme", "subject": "user-2" })).await;
    let page = agree(&mut Browser::new(), &link, "alice").await;
    assert_ne!(page.status(), 500, "{}", page.text());
    assert_eq!(world.get("/v1/connections").await.json()["items"], json!([]));
    world.judge.reset();
    world.restart("").await;
    crate::waiting::wait_for(crate::waiting::LONG, "both connections", async || {
        let list = world.get("/v1/connections?subject=user-2").await.json();
        world.clock.forward(30);
        (list["items"].as_array().is_some_and(|items| items.len() == 2)).then_some(())
    })
    .await;
    for one in both(&world, "user-2").await {
        let token = world.token(&text(&one["id"]), "").await;
        assert!(world.judge.is_live_access(&text(&token.json()["access_token"])), "{}", token.text());
    }
    world.stop().await;
}
