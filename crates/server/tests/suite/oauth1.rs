//! A provider that has nothing but OAuth 1.0a (RFC 5849), against an implementation of another make that checks each
//! signature: connected by a person, its token handed out with its secret, and never renewed.

use evergrant_core::oauth1::{SignatureMethod, Signer};
use evergrant_testkit::browser::{Browser, Page};
use evergrant_testkit::http::Reply;
use evergrant_testkit::peers::Oauth1;
use serde_json::{Value, json};

use crate::world::{World, text, to_provider};

async fn integration(world: &World, peer: &Oauth1, more: Value) -> Reply {
    let about = &peer.about;
    let mut provider = json!({
        "name": "Acme", "kind": "oauth1", "renewal": "none", "access_never_expires": true,
        "request_token_url": about.request_token_url, "authorize_url": about.authorize_url,
        "token_url": about.token_url, "userinfo_url": about.userinfo_url, "account_id_pointer": "userinfo:/id",
    });
    let fields = provider.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("fields").clone());
    let body = json!({
        "name": "acme", "provider": provider, "client_id": about.client_id,
        "client_secrets": [{ "secret": about.client_secret }],
    });
    world.post("/v1/integrations", &body).await
}

/// A person follows a link and presses a button at the provider.
async fn person(world: &World, button: &str) -> Page {
    let (link, _) = world.session(&json!({ "integration": "acme", "subject": "user-2" })).await;
    let mut browser = Browser::new();
    let page = to_provider(&mut browser, &link).await;
    let form = page.form().expect("a form").with("login", "alice").button(button);
    browser.press(&page, &form).await.expect("the way back")
}

/// Whose token signs a request, as the provider sees it.
async fn whose(peer: &Oauth1, method: SignatureMethod, token: &Value) -> Value {
    let (client_id, client_secret) = (peer.about.client_id.as_str(), peer.about.client_secret.as_str());
    let own = (text(&token["access_token"]), text(&token["token_secret"]));
    let signer = Signer { method, client_id, client_secret, token: Some((&own.0, &own.1)) };
    let url = url::Url::parse(&peer.about.userinfo_url).expect("an address");
    let seconds = evergrant::clock::Clock::now(&evergrant::clock::SystemClock).as_seconds();
    let nonce = evergrant_testkit::random_text::<18>().replace(['-', '_'], "x");
    let header = signer.header("GET", &url, &[], &nonce, seconds);
    let asked = evergrant_testkit::http::Http::new(&peer.about.userinfo_url).header("authorization", &header);
    asked.get("").await.expect("an answer").json()["id"].clone()
}

#[tokio::test]
async fn a_person_connects_and_the_application_signs_with_the_token_and_its_secret() {
    for (word, method) in [
        ("HMAC-SHA1", SignatureMethod::HmacSha1),
        ("HMAC-SHA256", SignatureMethod::HmacSha256),
        ("PLAINTEXT", SignatureMethod::Plaintext),
    ] {
        let peer = Oauth1::start(word).await.expect("a peer starts");
        let mut world = World::new().await;
        let made = integration(&world, &peer, json!({ "signature_method": word })).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let page = person(&world, "allow").await;
        assert_eq!(page.status(), 200, "{word}: {}", page.text());
        let token = world.get("/v1/subjects/user-2/integrations/acme/token").await.json();
        assert_eq!((&token["token_type"], &token["freshness"]), (&json!("OAuth"), &json!("non_expiring")), "{word}");
        assert_eq!(whose(&peer, method, &token).await, "alice", "{word}");
        let connection = world.get("/v1/connections").await.json()["items"][0].clone();
        assert_eq!((&connection["account"]["id"], &connection["status"]), (&json!("alice"), &json!("connected")));
        assert!(!connection.to_string().contains(&text(&token["token_secret"])), "no secret in a listing");
        world.restart("").await;
        assert_eq!(world.get("/v1/subjects/user-2/integrations/acme/token").await.json(), token, "kept over a restart");
        world.stop().await;
    }
}

#[tokio::test]
async fn who_says_no_at_the_provider_changes_nothing() {
    let (peer, world) = (Oauth1::start("HMAC-SHA1").await.expect("a peer starts"), World::new().await);
    assert_eq!(integration(&world, &peer, json!({})).await.status, 201);
    let page = person(&world, "deny").await;
    assert!(page.text().contains("Nothing was connected"), "{}", page.text());
    assert_eq!(world.get("/v1/connections").await.json()["items"], json!([]));
    assert_eq!(person(&world, "allow").await.status(), 200, "and may say yes another time");
    world.stop().await;
}

#[tokio::test]
async fn a_wrong_client_secret_is_told_before_anybody_is_sent_to_the_provider() {
    let (peer, world) = (Oauth1::start("HMAC-SHA1").await.expect("a peer starts"), World::new().await);
    assert_eq!(integration(&world, &peer, json!({})).await.status, 201);
    let secret = peer.another_secret().await.expect("another secret");
    let (link, _) = world.session(&json!({ "integration": "acme", "subject": "user-2" })).await;
    let mut browser = Browser::new();
    let page = browser.visit(&link).await.expect("the link's page");
    let page = browser.press(&page, &page.form().expect("a form").button("continue")).await.expect("a page");
    assert_eq!(page.status(), 424, "{}", page.text());
    let mended = json!({ "client_secrets": [{ "secret": "another-wrong-one" }, { "secret": secret }] });
    assert_eq!(world.patch("/v1/integrations/acme", &mended).await.status, 200);
    assert_eq!(person(&world, "allow").await.status(), 200, "each secret is tried, and the link was not spent");
    world.stop().await;
}

#[tokio::test]
async fn an_imported_token_comes_with_its_secret() {
    let (peer, world) = (Oauth1::start("HMAC-SHA1").await.expect("a peer starts"), World::new().await);
    assert_eq!(integration(&world, &peer, json!({})).await.status, 201);
    let grant =
        json!({ "integration": "acme", "subject": "user-2", "account_id": "7", "access_token": "an-oauth-token" });
    let refused = world.post("/v1/connections", &grant).await;
    assert_eq!((refused.status, refused.json()["field"].as_str()), (422, Some("token_secret")), "{}", refused.text());
    let mut whole = grant;
    whole["token_secret"] = json!("its-own-secret");
    assert_eq!(world.post("/v1/connections", &whole).await.status, 201);
    let token = world.get("/v1/subjects/user-2/integrations/acme/token").await.json();
    assert_eq!(
        (&token["access_token"], &token["token_secret"], &token["token_type"]),
        (&json!("an-oauth-token"), &json!("its-own-secret"), &json!("OAuth"))
    );
    world.stop().await;
}
