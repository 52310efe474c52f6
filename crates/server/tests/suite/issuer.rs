//! A provider that nobody has described: its issuer is enough to be connected, and what it offers is used (PAR, registration).

use evergrant_testkit::JudgeConfig;
use evergrant_testkit::browser::Browser;
use evergrant_testkit::http::Http;
use evergrant_testkit::peers::{OauthToolkit, OidcOptions, OidcProvider};
use serde_json::{Value, json};

use crate::cli::Shell;
use crate::peer::{connect, link, until, works};
use crate::serving::{Home, Serving};
use crate::waiting::{LONG, wait_for};
use crate::world::{World, agree, text, to_provider};

/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:9";

async fn certified(options: OidcOptions) -> OidcProvider {
    OidcProvider::start(&OidcProvider::folder(), &OidcOptions { access_ttl: 3, ..options })
        .await
        .expect("a peer starts")
}

/// Dora connects, and her grant is refreshed three times.
async fn connects_and_refreshes(service: &Serving, integration: &str, peer: &OidcProvider) -> String {
    let wish = json!({ "integration": integration, "subject": "user-7" });
    let page = connect(&link(&service.api, &wish).await, "dora").await;
    assert_eq!(page.status(), 200, "{}", page.text());
    let list = service.api.get(&format!("/v1/connections?integration={integration}")).await.expect("an answer").json();
    assert_eq!(list["items"][0]["account"]["id"], "dora", "{list}");
    let id = text(&list["items"][0]["id"]);
    until(&service.api, &id, |connection| connection["refresh_count"].as_u64() >= Some(3)).await;
    assert_eq!(works(&service.api, &id, peer).await, "dora");
    id
}

#[tokio::test]
async fn an_issuer_alone_registers_a_client_pushes_the_request_connects_and_refreshes() {
    let peer = certified(OidcOptions { par_required: true, registration: true, ..OidcOptions::default() }).await;
    let home = Home::new("");
    let service = home.serve().await;
    let (url, key, issuer) = (service.url.clone(), home.key.clone(), peer.about.issuer.clone());
    let ran = tokio::task::spawn_blocking(move || {
        let shell = Shell::new().with("EVERGRANT_URL", &url).with("EVERGRANT_API_KEY", &key);
        shell.run(&["integrations", "add", "found", "--issuer", &issuer, "--json"])
    });
    let ran = ran.await.unwrap();
    let made = ran.document();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(made["client_id"].as_str().is_some_and(|id| !id.is_empty() && id != peer.about.client_id), "{made}");
    assert_eq!(made["client_secrets"].as_array().map(Vec::len), Some(1), "{made}");
    let entry = &made["provider"];
    assert_eq!((&entry["par_required"], &entry["iss_in_callback"]), (&json!(true), &json!(true)), "{entry}");
    connects_and_refreshes(&service, "found", &peer).await;
    // What was found is stored: the next start asks nobody.
    service.stop().await;
    let service = home.serve().await;
    let kept = service.api.get("/v1/integrations/found").await.unwrap().json();
    assert_eq!((&kept["provider"], &kept["client_id"]), (entry, &made["client_id"]));
    service.stop().await;
}

#[tokio::test]
async fn a_provider_of_another_make_is_connected_and_refreshed_from_its_issuer_alone() {
    let peer = OauthToolkit::start(&OauthToolkit::folder(), 3).await.unwrap();
    let home = Home::new("");
    let service = home.serve().await;
    let made = service
        .api
        .post("/v1/integrations", &json!({ "name": "found", "provider": { "issuer": peer.about.issuer } }))
        .await
        .unwrap();
    assert_eq!(made.status, 201, "{}", made.text());
    let link = link(&service.api, &json!({ "integration": "found", "subject": "user-7" })).await;
    let mut person = Browser::new();
    let page = to_provider(&mut person, &link).await;
    let page = person.press(&page, &page.form().unwrap().with("login", "dora")).await.unwrap();
    let page = person.press(&page, &page.form().unwrap().button("Authorize")).await.unwrap();
    assert_eq!(page.status(), 200, "{}", page.text());
    let list = service.api.get("/v1/connections").await.unwrap().json();
    let id = text(&list["items"][0]["id"]);
    until(&service.api, &id, |connection| connection["refresh_count"].as_u64() >= Some(3)).await;
    let given = service.api.get(&format!("/v1/connections/{id}/token")).await.unwrap().json();
    let whose = Http::new("").bearer(&text(&given["access_token"])).get(&peer.about.whoami_url).await.unwrap();
    assert_eq!((whose.status, whose.json()["sub"].as_str()), (200, Some("dora")), "{}", whose.text());
    let (granted, refused) = peer.calls().await.unwrap();
    assert!(granted >= 4 && refused == 0, "{granted} granted, {refused} refused");

    assert_eq!(peer.revoke("dora").await.unwrap(), 1);
    until(&service.api, &id, |connection| connection["status"] == "needs_reauth").await;
    service.stop().await;
}

#[tokio::test]
async fn an_issuer_that_brings_no_entry_is_refused_with_what_was_tried_and_nothing_is_stored() {
    let world = World::new().await;
    let slash = format!("{}/", world.judge.url());
    for (issuer, says) in [
        (NOBODY, "http://127.0.0.1:9/.well-known/oauth-authorization-server: no connection"),
        (NOBODY, "/.well-known/openid-configuration: no connection"),
        (slash.as_str(), "speaks of the issuer"),
        ("https://user:pw@acme.example", "an issuer is an https address"),
    ] {
        let new = json!({ "name": "found", "provider": { "issuer": issuer }, "client_id": "x" });
        let refused = world.post("/v1/integrations", &new).await;
        let problem = refused.json();
        assert_eq!((refused.status, &problem["code"]), (422, &json!("invalid_request")), "{problem}");
        let detail = text(&problem["detail"]);
        assert!(detail.contains("`provider.issuer`") && detail.contains(says) && !detail.contains("pw@"), "{detail}");
    }
    // This provider registers nobody.
    let new = json!({ "name": "found", "provider": { "issuer": world.judge.url() } });
    let refused = world.post("/v1/integrations", &new).await;
    assert!(refused.status == 422 && refused.text().contains("`client_id`"), "{}", refused.text());
    assert_eq!(world.get("/v1/integrations").await.json()["items"], json!([]));
    world.stop().await;
}

#[tokio::test]
async fn a_client_that_cannot_be_registered_is_told_in_words_and_nothing_is_stored() {
    let world = World::new().await;
    world.judge.register(evergrant_testkit::ClientConfig::new("acme"));
    let mut provider = world.judge.catalogue_json("acme").expect("it was registered");
    let new = |provider: &Value, more: Value| {
        let mut new = json!({ "name": "found", "provider": provider });
        new.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        new
    };
    let missing = format!("{}/nothing-here", world.judge.url());
    for (registration_url, more, status, says) in [
        ("", json!({}), 422, "Register one by hand"),
        (missing.as_str(), json!({}), 422, "HTTP 404"),
        (missing.as_str(), json!({ "scopes": ["a b"] }), 422, "`scopes`"),
        (missing.as_str(), json!({ "client_secrets": [{ "secret": "s" }] }), 422, "`client_secrets`"),
        (&format!("{NOBODY}/register"), json!({}), 503, "did not register a client: no connection"),
    ] {
        provider["registration_url"] = json!(registration_url);
        let refused = world.post("/v1/integrations", &new(&provider, more)).await;
        assert!(refused.status == status && refused.text().contains(says), "{says}: {}", refused.text());
    }
    assert_eq!(world.get("/v1/integrations").await.json()["items"], json!([]));
    world.stop().await;
}

#[tokio::test]
async fn what_is_written_beside_an_issuer_wins_and_a_change_asks_it_anew() {
    let world = World::new().await;
    let issuer = world.judge.url();
    let provider = json!({ "issuer": issuer, "name": "Acme", "client_auth": "body", "revoke_url": "" });
    let new = json!({ "name": "found", "provider": provider, "client_id": "x", "client_secrets": [{ "secret": "s" }] });
    let made = world.post("/v1/integrations", &new).await.json();
    let entry = &made["provider"];
    assert_eq!(
        (&entry["name"], &entry["client_auth"], &entry["revoke_url"]),
        (&json!("Acme"), &json!("body"), &json!(""))
    );
    assert_eq!(entry["token_url"], json!(format!("{issuer}/token")), "{made}");
    let changed = world.patch("/v1/integrations/found", &json!({ "provider": { "issuer": issuer } })).await.json();
    assert_eq!(changed["provider"]["client_auth"], "basic", "{changed}");
    let refused = world.patch("/v1/integrations/found", &json!({ "provider": { "issuer": NOBODY } })).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert_eq!(world.get("/v1/integrations/found").await.json()["provider"], changed["provider"]);
    world.stop().await;
}

fn declared(name: &str, issuer: &str, more: &str) -> String {
    format!("[[integrations]]\nname = '{name}'\nprovider = {{ issuer = '{issuer}' }}\n{more}")
}

#[tokio::test]
async fn a_declared_issuer_is_asked_once_and_its_absence_keeps_nothing_else_from_being_served() {
    let peer = certified(OidcOptions { registration: true, ..OidcOptions::default() }).await;
    let strava =
        "[[integrations]]\nname = 'strava'\nprovider = 'strava'\nclient_id = '1'\nclient_secret_env = 'SECRET'\n";
    let away = declared("away", NOBODY, "client_id = 'x'\n");
    let home = Home::new(&format!("{}{away}{strava}", declared("found", &peer.about.issuer, ""))).with("SECRET", "s");
    let service = home.serve().await;
    let names = async |service: &Serving| {
        let list = service.api.get("/v1/integrations").await.expect("an answer").json();
        list["items"].as_array().expect("a list").iter().map(|one| text(&one["name"])).collect::<Vec<_>>()
    };
    assert!(names(&service).await.contains(&"strava".to_owned()));
    wait_for(LONG, "the issuer was asked", async || names(&service).await.contains(&"found".to_owned()).then_some(()))
        .await;
    let made = service.api.get("/v1/integrations/found").await.unwrap().json();
    let id = connects_and_refreshes(&service, "found", &peer).await;
    let words = service.stop().await;
    assert!(words.contains("away") && words.contains("is not there yet"), "{words}");
    // The issuer is away now: what is stored is served as before, and no second client is registered.
    drop(peer);
    let service = home.serve().await;
    let kept = service.api.get("/v1/integrations/found").await.unwrap().json();
    assert_eq!((&kept["provider"], &kept["client_id"]), (&made["provider"], &made["client_id"]));
    assert_eq!(service.api.get(&format!("/v1/connections/{id}")).await.unwrap().status, 200);
    assert_eq!(names(&service).await, ["found", "strava"]);
    service.stop().await;
}

#[tokio::test]
async fn a_declared_client_that_is_left_out_where_nobody_can_register_stops_the_start() {
    let home = Home::new("[[integrations]]\nname = 'strava'\nprovider = 'strava'\n");
    let (code, words) = home.run(&["serve", "--config", "evergrant.toml"]).await;
    assert!(code != 0 && words.contains("`strava`") && words.contains("`client_id`"), "{code}: {words}");
}

/// The judge with an endpoint for pushed requests at which nobody listens; `more` over its entry.
async fn with_nobody_to_push_to(world: &World, more: Value) -> Value {
    world.judge.register(evergrant_testkit::ClientConfig::new("acme"));
    let mut provider = world.judge.catalogue_json("acme").expect("it was registered");
    let pairs = [("par_url".to_owned(), json!(format!("{NOBODY}/par")))];
    let members = provider.as_object_mut().expect("an object");
    members.extend(pairs.into_iter().chain(more.as_object().cloned().unwrap_or_default()));
    let secret = world.judge.client_secret("acme").expect("it was registered");
    let new =
        json!({ "name": "acme", "provider": provider, "client_id": "acme", "client_secrets": [{ "secret": secret }] });
    let made = world.post("/v1/integrations", &new).await;
    assert_eq!(made.status, 201, "{}", made.text());
    provider
}

#[tokio::test]
async fn a_push_that_fails_keeps_nobody_from_signing_in_where_a_plain_request_is_as_good() {
    let world = World::new().await;
    with_nobody_to_push_to(&world, json!({})).await;
    world.connect("acme", "user-2", "alice").await;
    world.stop().await;
}

#[tokio::test]
async fn a_push_that_must_be_and_fails_is_told_on_the_page_and_the_link_stays_good() {
    let world = World::new().await;
    let mut provider = with_nobody_to_push_to(&world, json!({ "par_required": true })).await;
    let (link, _) = world.session(&json!({ "integration": "acme", "subject": "user-2" })).await;
    let mut person = Browser::new();
    let page = to_provider(&mut person, &link).await;
    assert_eq!(page.status(), 503, "{}", page.text());
    for said in ["does not answer just now", "try again in a few minutes", "provider_unavailable"] {
        assert!(page.text().contains(said), "{said}: {}", page.text());
    }
    provider["par_url"] = json!("");
    provider["par_required"] = json!(false);
    assert_eq!(world.patch("/v1/integrations/acme", &json!({ "provider": provider })).await.status, 200);
    let page = agree(&mut person, &link, "alice").await;
    assert_eq!(page.status(), 200, "{}", page.text());
    world.stop().await;
}

#[tokio::test]
async fn a_push_with_a_wrong_secret_is_the_operators_to_mend_and_the_next_secret_is_tried() {
    let peer = certified(OidcOptions { par_required: true, ..OidcOptions::default() }).await;
    let home = Home::new("");
    let service = home.serve().await;
    let wrong = json!({ "secret": "wrong" });
    let new = json!({ "name": "found", "provider": { "issuer": peer.about.issuer }, "client_id": peer.about.client_id,
                      "client_secrets": [wrong] });
    assert_eq!(service.api.post("/v1/integrations", &new).await.unwrap().status, 201);
    let link = link(&service.api, &json!({ "integration": "found", "subject": "user-7" })).await;
    let page = to_provider(&mut Browser::new(), &link).await;
    assert_eq!(page.status(), 424, "{}", page.text());
    assert!(
        page.text().contains("integration_misconfigured") && page.text().contains("can mend this"),
        "{}",
        page.text()
    );
    let both = json!({ "client_secrets": [wrong, { "secret": peer.about.client_secret }] });
    assert_eq!(service.api.json(http::Method::PATCH, "/v1/integrations/found", &both).await.unwrap().status, 200);
    let page = connect(&link, "dora").await;
    assert_eq!(page.status(), 200, "{}", page.text());
    service.stop().await;
}

#[tokio::test]
async fn an_issuer_that_announces_iss_is_held_to_it() {
    let world = World::with("", JudgeConfig { announce_iss: true, ..JudgeConfig::default() }).await;
    let provider = json!({ "issuer": world.judge.url() });
    world.integration(evergrant_testkit::ClientConfig::new("acme"), json!({ "provider": provider })).await;
    let (link, _) = world.session(&json!({ "integration": "acme", "subject": "user-2" })).await;
    let mut person = Browser::new();
    for iss in [Some("https://evil.example"), None] {
        let consent = to_provider(&mut person, &link).await;
        let form = consent.form().unwrap().with("account", "alice").button("allow");
        let mut callback = person.submit(&consent, &form).await.unwrap().location().unwrap();
        let pairs: Vec<(String, String)> =
            callback.query_pairs().into_owned().filter(|(name, _)| name != "iss").collect();
        callback.query_pairs_mut().clear().extend_pairs(pairs).extend_pairs(iss.map(|iss| ("iss", iss)));
        let page = person.open(callback.as_str()).await.unwrap();
        assert!(page.status() == 400 && page.text().contains("wrong_issuer"), "{}", page.text());
    }
    assert_eq!(world.judge.token_calls(), 0, "no code of a mix-up is sent anywhere");
    let page = agree(&mut person, &link, "alice").await;
    assert_eq!(page.status(), 200, "{}", page.text());
    world.stop().await;
}
