//! Clients that sign, and connections without a browser: against the certified `oidc-provider`, and against the judge
//! where the provider has to misbehave.

mod fixed;
mod given;
mod issued;
mod private_key;

use evergrant_testkit::browser::Browser;
use evergrant_testkit::http::{Http, Reply};
use evergrant_testkit::leaks::Leaks;
use evergrant_testkit::peers::{OidcOptions, OidcProvider};
use serde_json::{Value, json};

use crate::world::{World, text, to_provider};

/// The peer with these arguments; its access tokens live so many seconds.
async fn peer(access_ttl: u64, more: &[&'static str]) -> OidcProvider {
    let options = OidcOptions { access_ttl, more: more.to_vec(), ..OidcOptions::default() };
    OidcProvider::start(&OidcProvider::folder(), &options).await.expect("the peer starts")
}

/// The peer's entry for people who sign in.
fn entry(peer: &OidcProvider) -> Value {
    let mut entry = peer.catalogue_json();
    entry["default_scopes"] = json!(["openid", "profile"]);
    entry
}

/// An integration `peer` of this entry and this secret.
async fn integration(world: &World, peer: &OidcProvider, entry: Value, secret: &str) -> Reply {
    let body = json!({
        "name": "peer", "provider": entry, "client_id": peer.about.client_id, "client_secrets": [{ "secret": secret }],
    });
    world.post("/v1/integrations", &body).await
}

/// A person connects at the peer; the connection's id.
async fn connect(world: &World, subject: &str) -> String {
    let (link, _) = world.session(&json!({ "integration": "peer", "subject": subject })).await;
    let mut browser = Browser::new();
    let page = to_provider(&mut browser, &link).await;
    let form = page.form().expect("it asks who is there").with("login", subject);
    let page = browser.press(&page, &form).await.expect("the way back");
    assert_eq!(page.status(), 200, "{}", page.text());
    let list = world.get(&format!("/v1/connections?subject={subject}")).await.json();
    text(&list["items"][0]["id"])
}

/// The person whose token a connection has, by the peer's own word.
async fn owner(world: &World, peer: &OidcProvider, id: &str) -> String {
    let given = world.token(id, "").await;
    assert_eq!(given.status, 200, "{}", given.text());
    let userinfo = Http::new("").bearer(&text(&given.json()["access_token"]));
    let person = userinfo.get(&peer.about.userinfo_url).await.expect("an answer");
    assert_eq!(person.status, 200, "{}", person.text());
    text(&person.json()["sub"])
}

/// A line of a PEM stands nowhere in the data folder.
fn is_sealed(world: &World, pem: &str) {
    let mut leaks = Leaks::new();
    leaks.add("a line of a key", pem.lines().nth(1).expect("a line of a PEM"));
    let found = leaks.find_in(&world.folder.path().join("data")).expect("the data folder can be read");
    assert!(found.is_empty(), "a key in plaintext: {found:?}");
}

/// A refusal's status, field and words.
fn refused(reply: &Reply) -> (u16, String, String) {
    let problem = reply.json();
    (reply.status, text(&problem["field"]), text(&problem["detail"]))
}
