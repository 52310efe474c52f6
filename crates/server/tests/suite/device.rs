//! The device flow (RFC 8628): a code is shown here, a person types it in at the provider, and the grant comes home.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use evergrant_testkit::browser::{Browser, Page};
use evergrant_testkit::leaks::Leaks;
use evergrant_testkit::peers::{OidcOptions, OidcProvider};
use evergrant_testkit::{Canned, Endpoint, Fault, FaultRule};
use serde_json::{Value, json};

use crate::cli::Shell;
use crate::peer::{until, works};
use crate::serving::{Home, Serving};
use crate::waiting::{LONG, wait_for};
use crate::world::{APPLICATION, World, text};

async fn peer() -> OidcProvider {
    let options = OidcOptions { access_ttl: 3, ..OidcOptions::default() };
    OidcProvider::start(&OidcProvider::folder(), &options).await.expect("a peer starts")
}

/// The provider as an integration of this name.
async fn known(service: &Serving, peer: &OidcProvider) {
    let new = json!({ "name": "found", "provider": { "issuer": peer.about.issuer }, "client_id": peer.about.client_id,
                      "client_secrets": [{ "secret": peer.about.client_secret }], "scopes": ["openid", "profile"] });
    let made = service.api.post("/v1/integrations", &new).await.expect("an answer");
    assert_eq!(made.status, 201, "{}", made.text());
}

async fn code(service: &Serving, more: Value) -> Value {
    let mut wish = json!({ "integration": "found", "subject": "user-7", "flow": "device" });
    wish.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    let made = service.api.post("/v1/connect-sessions", &wish).await.expect("an answer");
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()
}

/// A person opens the address and types the code in; the page that asks whether that was meant.
async fn typed_in(person: &mut Browser, address: &str, code: &str) -> Page {
    let page = person.visit(address).await.expect("the provider's page");
    let form = page.form().expect("it asks for the code").with("user_code", code);
    person.press(&page, &form).await.expect("it asks again")
}

/// The same person agrees, and signs in as this account.
async fn agrees(person: &mut Browser, page: &Page, account: &str) {
    let page = person.press(page, &page.form().expect("it asks whether that was meant")).await.expect("the sign-in");
    let form = page.form().expect("it asks who is there").with("login", account);
    let page = person.press(&page, &form).await.expect("the end");
    assert!(page.status() == 200 && page.text().contains("Sign-in Success"), "{}", page.text());
}

/// Waits until a session is no longer pending; how it ended.
async fn ended(service: &Serving, session: &Value) -> Value {
    let path = format!("/v1/connect-sessions/{}", text(&session["id"]));
    let look = async || {
        let progress = service.api.get(&path).await.expect("an answer").json();
        Some(progress).filter(|progress| progress["status"] != "pending")
    };
    wait_for(LONG, "the end of a device flow", look).await
}

#[tokio::test]
async fn a_code_that_is_typed_in_brings_a_connection_though_the_service_was_killed_meanwhile() {
    let peer = peer().await;
    let home = Home::new("");
    let service = home.serve().await;
    known(&service, &peer).await;
    let session = code(&service, json!({})).await;
    assert!(session.get("url").is_none() && session["interval"].as_u64() >= Some(1), "{session}");
    let path = format!("/v1/connect-sessions/{}", text(&session["id"]));
    assert_eq!(service.api.get(&path).await.unwrap().json()["status"], "pending");
    let mut person = Browser::new();
    let page = typed_in(&mut person, &text(&session["verification_uri"]), &text(&session["user_code"])).await;
    service.kill().await;
    agrees(&mut person, &page, "dora").await;
    let service = home.serve().await;
    let progress = ended(&service, &session).await;
    assert_eq!(progress["status"], "connected", "{progress}");
    let id = text(&progress["connection_id"]);
    let connection = until(&service.api, &id, |connection| connection["refresh_count"].as_u64() >= Some(1)).await;
    assert_eq!((&connection["subject"], &connection["account"]["id"]), (&json!("user-7"), &json!("dora")));
    assert_eq!(works(&service.api, &id, &peer).await, "dora");

    // A reconnect by code keeps the connection, and accepts nobody else.
    let session = code(&service, json!({ "connection_id": id })).await;
    let mut other = Browser::new();
    let page = typed_in(&mut other, &text(&session["verification_uri"]), &text(&session["user_code"])).await;
    agrees(&mut other, &page, "erik").await;
    let progress = ended(&service, &session).await;
    assert_eq!((&progress["status"], &progress["code"]), (&json!("failed"), &json!("other_account")), "{progress}");
    assert_eq!(works(&service.api, &id, &peer).await, "dora");
    service.stop().await;
}

#[tokio::test]
async fn a_person_who_says_no_is_heard() {
    let peer = peer().await;
    let home = Home::new("");
    let service = home.serve().await;
    known(&service, &peer).await;
    let session = code(&service, json!({})).await;
    let mut person = Browser::new();
    let page = typed_in(&mut person, &text(&session["verification_uri"]), &text(&session["user_code"])).await;
    let no = page.form().unwrap().with("abort", "yes");
    person.press(&page, &no).await.unwrap();
    let progress = ended(&service, &session).await;
    assert_eq!((&progress["status"], &progress["connection_id"]), (&json!("denied"), &Value::Null), "{progress}");
    let list = service.api.get("/v1/connections").await.unwrap().json();
    assert_eq!(list["items"], json!([]));
    service.stop().await;
}

#[tokio::test]
async fn the_command_line_shows_the_code_and_waits_for_the_connection() {
    let peer = peer().await;
    let home = Home::new("");
    let service = home.serve().await;
    known(&service, &peer).await;
    let (url, key) = (service.url.clone(), home.key.clone());
    let (told, heard) = tokio::sync::oneshot::channel();
    let ran = tokio::task::spawn_blocking(move || {
        let shell = Shell::new().with("EVERGRANT_URL", &url).with("EVERGRANT_API_KEY", &key);
        let mut command = shell.command(&["connect-link", "--device", "--subject", "user-7", "--integration", "found"]);
        let mut child = command.stdin(Stdio::null()).spawn().expect("the program starts");
        let mut words = BufReader::new(child.stderr.take().expect("its stderr")).lines();
        told.send(words.next().expect("it says something").expect("text")).expect("somebody listens");
        let rest: Vec<String> = words.map_while(Result::ok).collect();
        (child.wait_with_output().expect("it ends"), rest)
    });
    let words = heard.await.unwrap();
    let after = |mark: &str| {
        let rest = words.split_once(mark).unwrap_or_else(|| panic!("no {mark:?} in {words}")).1;
        rest.split([' ', ';']).next().unwrap_or_default().to_owned()
    };
    let (address, code) = (after("Open "), after("enter the code "));
    let mut person = Browser::new();
    let page = typed_in(&mut person, &address, &code).await;
    agrees(&mut person, &page, "dora").await;
    let (output, rest) = ran.await.unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success() && printed.starts_with("con_"), "{printed} {rest:?}");
    assert_eq!(works(&service.api, &printed, &peer).await, "dora");
    service.stop().await;
}

#[tokio::test]
async fn a_code_is_given_only_where_it_can_be() {
    let world = World::new().await;
    world.acme().await;
    let wish = json!({ "integration": "acme", "subject": "user-2", "flow": "device" });
    let refused = world.post("/v1/connect-sessions", &wish).await;
    assert!(refused.status == 422 && refused.text().contains("`flow`"), "{}", refused.text());
    let nobody = json!({ "device_authorization_url": "http://127.0.0.1:9/device" });
    let mut provider = world.judge.catalogue_json("acme").unwrap();
    provider.as_object_mut().unwrap().extend(nobody.as_object().unwrap().clone());
    assert_eq!(world.patch("/v1/integrations/acme", &json!({ "provider": provider })).await.status, 200);
    for (more, status, says) in [
        (json!({ "return_url": APPLICATION }), 422, "`return_url`"),
        (json!({ "binding": "app" }), 422, "`binding`"),
        (json!({ "subject": null }), 422, "`subject`"),
        (json!({}), 503, "gave no code to type in: no connection"),
    ] {
        let mut wish = wish.clone();
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let refused = world.post("/v1/connect-sessions", &wish).await;
        assert!(refused.status == status && refused.text().contains(says), "{says}: {}", refused.text());
    }
    world.stop().await;
}

/// What the provider's answers here hold and nobody else may see.
const DEVICE_CODE: &str = "a-device-code-that-nobody-may-read-4711";

/// A provider whose every answer is said here: it has just given a code; the session.
async fn on_stage(world: &World) -> String {
    world.acme().await;
    let mut provider = world.judge.catalogue_json("acme").expect("it was registered");
    for field in ["account_id_pointer", "account_name_pointer", "userinfo_url"] {
        provider[field] = json!("");
    }
    provider["device_authorization_url"] = json!(format!("{}/api/device", world.judge.url()));
    assert_eq!(world.patch("/v1/integrations/acme", &json!({ "provider": provider })).await.status, 200);
    let code = json!({ "device_code": DEVICE_CODE, "user_code": "AB-CD", "verification_uri": "https://acme.example/go",
                       "expires_in": 3600, "interval": 5 });
    let code = Canned::new("code", 200, "application/json", code.to_string());
    world.judge.fault(FaultRule::next(1, Fault::Answer(code)).at(Endpoint::Api));
    world.judge.fault(FaultRule::lasting(said("authorization_pending")));
    let wish = json!({ "integration": "acme", "subject": "user-2", "flow": "device" });
    let made = world.post("/v1/connect-sessions", &wish).await;
    assert_eq!((made.status, &made.json()["user_code"]), (201, &json!("AB-CD")), "{}", made.text());
    text(&made.json()["id"])
}

fn said(error: &str) -> Fault {
    Fault::Answer(Canned::new(error, 400, "application/json", json!({ "error": error }).to_string()))
}

/// Time passes until the session is as wanted.
async fn progress(world: &World, session: &str, wanted: &str) -> Value {
    wait_for(LONG, wanted, async || {
        let progress = world.get(&format!("/v1/connect-sessions/{session}")).await.json();
        let found = progress["status"] == wanted;
        if !found {
            world.clock.forward(5);
        }
        found.then_some(progress)
    })
    .await
}

#[tokio::test]
async fn trouble_on_the_way_ends_nothing_and_the_code_is_readable_nowhere() {
    let mut world = World::new().await;
    let session = on_stage(&world).await;
    let mut present = "authorization_pending".to_owned();
    let troubles =
        [said("slow_down"), Fault::CutAfter, Fault::Answer(Canned::error_500()), Fault::Answer(Canned::html())];
    for (at, trouble) in troubles.into_iter().enumerate() {
        let name = trouble.name().to_owned();
        // The new one first: none of these questions is for the provider's own mind.
        world.judge.fault(FaultRule::lasting(trouble));
        world.judge.switch_off(&present);
        present = name;
        let before = world.judge.token_calls();
        wait_for(LONG, "two more questions", async || {
            world.clock.forward(5);
            (world.judge.token_calls() >= before + 2).then_some(())
        })
        .await;
        let progress = world.get(&format!("/v1/connect-sessions/{session}")).await.json();
        assert_eq!(progress["status"], "pending", "{progress}");
        if at == 1 {
            world.restart("").await;
        }
    }
    let mut leaks = Leaks::of(&world.judge.secrets());
    leaks.add("device code", DEVICE_CODE);
    let found = leaks.find_in(&world.folder.path().join("data")).unwrap();
    assert!(found.is_empty(), "{found:?}");
    let grant =
        json!({ "access_token": "an-access-token-1", "refresh_token": "a-refresh-token-1", "expires_in": 3600 });
    world.judge.fault(FaultRule::lasting(Fault::Answer(Canned::new(
        "grant",
        200,
        "application/json",
        grant.to_string(),
    ))));
    world.judge.switch_off(&present);
    let progress = progress(&world, &session, "connected").await;
    let connection = world.connection(&text(&progress["connection_id"])).await;
    assert_eq!((&connection["subject"], &connection["status"]), (&json!("user-2"), &json!("connected")));
    world.stop().await;
}

#[tokio::test]
async fn a_code_that_nobody_types_in_ends() {
    let world = World::new().await;
    let session = on_stage(&world).await;
    world.clock.forward(3601);
    let progress = progress(&world, &session, "failed").await;
    assert_eq!(progress["code"], "code_expired", "{progress}");
    assert!(text(&progress["message"]).contains("while the code was good"), "{progress}");
    world.stop().await;
}
