//! The whole way with a provider of somebody else's make: the certified `oidc-provider`, in a process of its own.

use evergrant_testkit::browser::{Browser, Page};
use evergrant_testkit::http::Http;
use evergrant_testkit::peers::{OidcOptions, OidcProvider};
use serde_json::{Value, json};

use crate::serving::Home;
use crate::waiting::{LONG, wait_for};
use crate::world::{text, to_provider};

/// A person follows the link, signs in at the provider as this account, and comes back.
pub(crate) async fn connect(link: &str, account: &str) -> Page {
    let mut browser = Browser::new();
    let page = to_provider(&mut browser, link).await;
    let form = page.form().expect("it asks who is there").with("login", account);
    browser.press(&page, &form).await.expect("the way back")
}

pub(crate) async fn link(api: &Http, wish: &Value) -> String {
    let reply = api.post("/v1/connect-sessions", wish).await.expect("an answer");
    assert_eq!(reply.status, 201, "{}", reply.text());
    text(&reply.json()["url"])
}

/// Waits until the connection is as wanted.
pub(crate) async fn until(api: &Http, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let look =
        async || Some(api.get(&format!("/v1/connections/{id}")).await.expect("an answer").json()).filter(&wanted);
    wait_for(LONG, &format!("{id} as wanted"), look).await
}

/// The token that the service hands out now is one that the provider accepts; whose it is there.
pub(crate) async fn works(api: &Http, id: &str, peer: &OidcProvider) -> String {
    let given = api.get(&format!("/v1/connections/{id}/token")).await.expect("an answer");
    assert_eq!(given.status, 200, "{}", given.text());
    let userinfo = Http::new("").bearer(&text(&given.json()["access_token"]));
    let person = userinfo.get(&peer.about.userinfo_url).await.expect("an answer");
    assert_eq!(person.status, 200, "{}", person.text());
    text(&person.json()["sub"])
}

#[tokio::test]
async fn a_certified_provider_is_connected_refreshed_five_times_survives_a_kill_and_is_reconnected_in_place() {
    let options = OidcOptions { access_ttl: 3, ..OidcOptions::default() };
    let peer = OidcProvider::start(&OidcProvider::folder(), &options).await.unwrap();
    let home = Home::new("");
    let service = home.serve().await;
    let integration = json!({
        "name": "peer",
        "provider": peer.catalogue_json(),
        "client_id": peer.about.client_id,
        "client_secrets": [{ "secret": peer.about.client_secret }],
        "scopes": ["openid", "profile"],
    });
    assert_eq!(service.api.post("/v1/integrations", &integration).await.unwrap().status, 201);
    let wish = json!({ "integration": "peer", "subject": "user-7" });
    let page = connect(&link(&service.api, &wish).await, "dora").await;
    assert_eq!(page.status(), 200, "{}", page.text());
    let list = service.api.get("/v1/connections?subject=user-7").await.unwrap().json();
    let id = text(&list["items"][0]["id"]);
    assert_eq!(list["items"][0]["account"], json!({ "id": "dora", "name": "Person dora" }), "{list}");
    // Tokens of three seconds are renewed by themselves.
    until(&service.api, &id, |connection| connection["refresh_count"].as_u64() >= Some(5)).await;
    assert_eq!(works(&service.api, &id, &peer).await, "dora");

    // Killed just after a refresh, so that none is under way: what a kill in the middle does, the storm tells.
    let count = until(&service.api, &id, |_| true).await["refresh_count"].clone();
    until(&service.api, &id, |connection| connection["refresh_count"] != count).await;
    service.kill().await;
    let service = home.serve().await;
    assert_eq!(works(&service.api, &id, &peer).await, "dora");

    assert_eq!(peer.revoke("dora").await.unwrap(), 1);
    let connection = until(&service.api, &id, |connection| connection["status"] == "needs_reauth").await;
    assert_eq!(connection["disconnect_reason"], "refresh_token_invalid", "{connection}");
    let refused = service.api.get(&format!("/v1/connections/{id}/token")).await.unwrap();
    assert_eq!((refused.status, &refused.json()["code"]), (424, &"needs_reauth".into()), "{}", refused.text());
    let page = connect(&text(&refused.json()["reconnect_url"]), "dora").await;
    assert_eq!(page.status(), 200, "{}", page.text());
    until(&service.api, &id, |connection| connection["status"] == "connected").await;
    assert_eq!(works(&service.api, &id, &peer).await, "dora");
    let (_, refused) = peer.calls().await.unwrap();
    assert_eq!(refused, 1, "nothing was refused but the refresh after the revocation");
    service.stop().await;
}

#[tokio::test]
async fn an_issuer_alone_is_enough_to_connect_and_to_refresh_three_times() {
    let options = OidcOptions { access_ttl: 3, ..OidcOptions::default() };
    let peer = OidcProvider::start(&OidcProvider::folder(), &options).await.unwrap();
    let home = Home::new("");
    let issuer = peer.about.issuer.clone();
    let ran = tokio::task::spawn_blocking(move || {
        let shell = crate::cli::Shell::new();
        let file = shell.run(&["providers", "discover", &issuer, "--allow-private-networks"]).stdout;
        std::fs::write(shell.folder().join("found.toml"), file).unwrap();
        let linted = shell.run(&["providers", "lint", "found.toml", "--allow-private-networks"]);
        assert_eq!(linted.code, 0, "{}", linted.stdout);
        assert_eq!(shell.run(&["providers", "lint", "found.toml"]).code, 1, "plain http is no address for the world");
        shell.run(&["providers", "discover", &issuer, "--allow-private-networks", "--json"])
    });
    let entry = ran.await.unwrap().document();
    assert_eq!(entry["issuer"], peer.about.issuer.as_str(), "{entry}");
    let service = home.serve().await;
    let integration = json!({
        "name": "found",
        "provider": entry,
        "client_id": peer.about.client_id,
        "client_secrets": [{ "secret": peer.about.client_secret }],
    });
    let made = service.api.post("/v1/integrations", &integration).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.text());
    let wish = json!({ "integration": "found", "subject": "user-7" });
    let page = connect(&link(&service.api, &wish).await, "dora").await;
    assert_eq!(page.status(), 200, "{}", page.text());
    let list = service.api.get("/v1/connections").await.unwrap().json();
    let id = text(&list["items"][0]["id"]);
    assert_eq!(list["items"][0]["account"]["id"], "dora", "{list}");
    until(&service.api, &id, |connection| connection["refresh_count"].as_u64() >= Some(3)).await;
    assert_eq!(works(&service.api, &id, &peer).await, "dora");
    service.stop().await;
}
