//! How an operator gives a key: by the API with an entry of the catalogue, by the command line, by the configuration.

use serde_json::json;

use super::{peer, refused};
use crate::serving::Home;
use crate::world::World;

/// A key file as a console gives it out.
fn key_file(key: &str, client: &str) -> String {
    json!({
        "type": "service_account", "project_id": "p", "private_key_id": "1f2e", "private_key": key,
        "client_email": client, "client_id": "1234", "token_uri": "https://oauth2.googleapis.com/token",
    })
    .to_string()
}

#[tokio::test]
async fn entries_of_the_catalogue_say_what_their_client_has_to_bring() {
    let world = World::new().await;
    let (rsa, ec) = (peer(60, &["--client-key", "rsa"]).await, peer(60, &["--client-key", "ec"]).await);
    let key = |peer: &evergrant_testkit::peers::OidcProvider| peer.about.client_keys.clone().expect("a key").pkcs8;
    let (rsa, ec) = (key(&rsa), key(&ec));
    let account = "robot@project.iam.gserviceaccount.com";
    let (team, nothing) = (json!({ "team_id": "ABCDE12345", "key_id": "ABC123DEFG" }), json!({}));
    let jwt = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJhIn0.c2ln";
    for (provider, client, secret, params, field) in [
        ("google-service-account", account, key_file(&rsa, account), &nothing, ""),
        ("google-service-account", account, rsa.clone(), &nothing, ""),
        ("google-service-account", "another", key_file(&rsa, account), &nothing, "client_secrets[0].secret"),
        ("google-service-account", account, ec.clone(), &nothing, "client_secrets[0].secret"),
        ("docusign-jwt", "an-integration-key", rsa.replace('\n', "\\n"), &nothing, ""),
        ("salesforce-jwt", "a-consumer-key", rsa.clone(), &nothing, ""),
        ("apple", "com.example.web", ec.clone(), &team, ""),
        ("apple", "com.example.web", ec.clone(), &nothing, "params.key_id"),
        ("apple", "com.example.web", rsa.clone(), &team, "client_secrets[0].secret"),
        ("apple", "com.example.web", jwt.to_owned(), &nothing, ""),
    ] {
        let body = json!({
            "name": "one", "provider": provider, "client_id": client, "client_secrets": [{ "secret": secret }], "params": params,
        });
        let made = world.post("/v1/integrations", &body).await;
        let said = refused(&made);
        assert_eq!(said.1, field, "{provider} {client}: {}", made.text());
        assert_eq!(made.status, if field.is_empty() { 201 } else { 422 }, "{provider}: {}", made.text());
        if field.is_empty() {
            assert_eq!(world.delete("/v1/integrations/one").await.status, 204);
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn a_key_comes_whole_from_a_file_by_command_and_by_declaration() {
    let rsa = peer(60, &["--client-key", "rsa"]).await;
    let key = rsa.about.client_keys.clone().expect("a key").pkcs8;
    let home = Home::new(
        "[[integrations]]\nname = 'declared'\nprovider = 'docusign-jwt'\nclient_id = 'k'\nclient_secret_file = 'key.pem'\n",
    );
    let home = home.with("EVERGRANT_API_KEY", "").with("KEY_FILE", &key_file(&key, "robot@example.com"));
    std::fs::write(home.folder.path().join("key.pem"), &key).unwrap();
    let service = home.serve().await;
    assert_eq!(service.api.get("/v1/integrations/declared").await.unwrap().status, 200);
    let (url, admin) = (service.url.clone(), home.key.clone());
    let home = home.with("EVERGRANT_URL", &url).with("EVERGRANT_API_KEY", &admin);
    for (name, from) in
        [("by-file", ["--client-secret-file", "key.pem"]), ("by-name", ["--client-secret-env", "KEY_FILE"])]
    {
        let add =
            ["integrations", "add", name, "--provider", "google-service-account", "--client-id", "robot@example.com"];
        let (code, said) = home.run(&[&add[..], &from[..]].concat()).await;
        assert_eq!(code, 0, "{said}");
        assert!(!said.contains("PRIVATE"), "{said}");
    }
    let add = [
        "integrations",
        "add",
        "no",
        "--provider",
        "docusign-jwt",
        "--client-id",
        "k",
        "--client-secret-file",
        "evergrant.toml",
    ];
    let (code, said) = home.run(&add).await;
    assert!(code != 0, "{said}");
    service.stop().await;
}
