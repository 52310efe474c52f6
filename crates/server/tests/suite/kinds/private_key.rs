//! Clients that sign: `private_key_jwt`, and a JWT in place of the secret.

use serde_json::{Value, json};

use super::{connect, entry, integration, is_sealed, owner, peer, refused};
use crate::world::World;

#[tokio::test]
async fn a_client_with_a_private_key_connects_refreshes_and_revokes() {
    let world = World::new().await;
    let peer = peer(3, &["--client-key", "rsa"]).await;
    let keys = peer.about.client_keys.clone().expect("it has a key");
    let jwk_without_name = |text: &str| {
        let mut jwk: Value = serde_json::from_str(text).expect("a JWK");
        jwk.as_object_mut().expect("an object").remove("kid");
        jwk.to_string()
    };
    let made = integration(&world, &peer, entry(&peer), &keys.jwk).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let id = connect(&world, "dora").await;
    world.until(&id, |connection| connection["refresh_count"].as_u64() >= Some(2)).await;
    // The same key in its other forms, and by another algorithm.
    for secret in [keys.pkcs8.clone(), keys.traditional.clone(), jwk_without_name(&keys.jwk)] {
        for algorithm in ["RS256", "PS256"] {
            let mut entry = entry(&peer);
            entry["client_assertion"] = json!({ "algorithm": algorithm, "key_id": "rsa-1" });
            let change = json!({ "provider": entry, "client_secrets": [{ "secret": secret }] });
            let changed = world.patch("/v1/integrations/peer", &change).await;
            assert_eq!(changed.status, 200, "{}", changed.text());
            let count = world.connection(&id).await["refresh_count"].clone();
            world.until(&id, |connection| connection["refresh_count"] != count).await;
            assert_eq!(world.connection(&id).await["last_failure"], Value::Null, "{algorithm}");
        }
    }
    assert_eq!(owner(&world, &peer, &id).await, "dora");
    let ended = world.delete(&format!("/v1/connections/{id}")).await;
    assert_eq!((ended.status, ended.json()["revoked"].as_bool()), (200, Some(true)), "{}", ended.text());
    is_sealed(&world, &keys.pkcs8);
    is_sealed(&world, &keys.traditional);
    let (_, refused) = peer.calls().await.unwrap();
    assert_eq!(refused, 0, "nothing was refused, so no assertion was shown twice");
    world.stop().await;
}

#[tokio::test]
async fn a_client_with_a_key_of_p_256_connects_and_refreshes() {
    for form in ["pkcs8", "traditional", "jwk"] {
        let world = World::new().await;
        let peer = peer(3, &["--client-key", "ec"]).await;
        let keys = peer.about.client_keys.clone().expect("it has a key");
        let secret = match form {
            "pkcs8" => keys.pkcs8,
            "traditional" => keys.traditional,
            _ => keys.jwk,
        };
        let made = integration(&world, &peer, entry(&peer), &secret).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let id = connect(&world, "dora").await;
        world.until(&id, |connection| connection["refresh_count"].as_u64() >= Some(1)).await;
        assert_eq!(owner(&world, &peer, &id).await, "dora", "{form}");
        world.stop().await;
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_refused_when_it_is_given_and_not_repeated() {
    let world = World::new().await;
    let peer = peer(60, &["--client-key", "ec"]).await;
    let keys = peer.about.client_keys.clone().expect("it has a key");
    let file =
        |email: &str| json!({ "private_key": keys.pkcs8, "private_key_id": "1", "client_email": email }).to_string();
    let mut rsa_only = entry(&peer);
    rsa_only["client_assertion"] = json!({ "algorithm": "RS256" });
    let damaged = keys.pkcs8.replace("MI", "XX");
    for (entry, secret, expected) in [
        (entry(&peer), "a-plain-secret", "expected a private key: PEM"),
        (entry(&peer), damaged.as_str(), "expected a private key: PEM"),
        (entry(&peer), r#"{"kty":"OKP","crv":"Ed25519","d":"AAAA","x":"AAAA"}"#, "expected a private key: PEM"),
        (rsa_only, keys.pkcs8.as_str(), "expected a key for RS256"),
        (entry(&peer), &file("somebody@example.com"), "expected the key of this client"),
    ] {
        let reply = integration(&world, &peer, entry, secret).await;
        let (status, field, detail) = refused(&reply);
        assert_eq!((status, field.as_str()), (422, "client_secrets[0].secret"), "{}", reply.text());
        assert!(detail.contains(expected) && !detail.contains("PRIVATE") && !detail.contains("AAAA"), "{detail}");
    }
    let made = integration(&world, &peer, entry(&peer), &file("evergrant")).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let changed = world.patch("/v1/integrations/peer", &json!({ "client_secrets": [{ "secret": "plain" }] })).await;
    assert_eq!(refused(&changed).0, 422, "{}", changed.text());
    let none = world.patch("/v1/integrations/peer", &json!({ "client_secrets": [] })).await;
    assert_eq!(refused(&none).1, "client_secrets", "{}", none.text());
    world.stop().await;
}

#[tokio::test]
async fn the_next_key_takes_over_where_the_provider_knows_the_first_no_more() {
    let world = World::new().await;
    let (old, new) = (peer(3, &["--client-key", "ec"]).await, peer(3, &["--client-key", "ec"]).await);
    let key = |peer: &evergrant_testkit::peers::OidcProvider| peer.about.client_keys.clone().expect("a key").pkcs8;
    let body = json!({
        "name": "peer", "provider": entry(&new), "client_id": "evergrant",
        "client_secrets": [{ "secret": key(&old) }, { "secret": key(&new) }],
    });
    assert_eq!(world.post("/v1/integrations", &body).await.status, 201);
    let id = connect(&world, "dora").await;
    let connection = world.until(&id, |connection| connection["refresh_count"].as_u64() >= Some(1)).await;
    assert_eq!(connection["status"], "connected");
    world.stop().await;
}

/// What Apple wants: ES256 by a key of a team, in place of the client's secret.
fn signed_secret(peer: &evergrant_testkit::peers::OidcProvider) -> Value {
    let mut entry = entry(peer);
    entry["signed_secret"] =
        json!({ "algorithm": "ES256", "issuer": "{team_id}", "audience": peer.about.issuer, "key_id": "{key_id}" });
    entry["variables"] = json!({
        "team_id": { "pattern": "[A-Z0-9]{10}", "title": "the team", "example": "TEAM123456", "claim": true },
        "key_id": { "pattern": "[A-Z0-9]{10}", "title": "the key", "example": "KEY1234567", "claim": true },
    });
    entry
}

#[tokio::test]
async fn a_secret_that_is_a_signed_jwt_is_made_anew_for_each_call() {
    let world = World::new().await;
    let peer = peer(3, &["--client-key", "ec", "--client-auth", "signed_secret"]).await;
    let keys = peer.about.client_keys.clone().expect("it has a key");
    let mut body = json!({
        "name": "peer", "provider": signed_secret(&peer), "client_id": "evergrant",
        "client_secrets": [{ "secret": keys.pkcs8 }], "params": { "team_id": "TEAM123456", "key_id": "KEY1234567" },
    });
    let made = world.post("/v1/integrations", &body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let id = connect(&world, "dora").await;
    world.until(&id, |connection| connection["refresh_count"].as_u64() >= Some(2)).await;
    assert_eq!(owner(&world, &peer, &id).await, "dora");
    let ended = world.delete(&format!("/v1/connections/{id}")).await;
    assert_eq!(ended.json()["revoked"], true, "{}", ended.text());
    // One that was made elsewhere is good too; what is neither is refused.
    body["name"] = json!("other");
    for (secret, status) in [("not-a-jwt", 422), ("eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJhIn0.c2ln", 201)] {
        body["client_secrets"] = json!([{ "secret": secret }]);
        let made = world.post("/v1/integrations", &body).await;
        assert_eq!(made.status, status, "{}", made.text());
    }
    world.stop().await;
}
