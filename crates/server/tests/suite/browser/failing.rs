//! Every way in which a connect flow fails, as a person sees it: what happened, what was kept, what to do.

use evergrant_testkit::{Canned, ClientConfig, Endpoint, Fault, FaultRule, JudgeConfig};
use serde_json::{Value, json};
use url::Url;

use super::{Browser, agree_as};
use crate::world::World;

const ALICE: &str = "Alice Arden alice@example.com";
const BOB: &str = "Bob Birch bob@example.com";

/// Goes on to the provider, and comes back from it with this in the place of its answer.
async fn answered(browser: &Browser, world: &World, link: &str, answer: &str) {
    browser.open(link).await;
    browser.press("Continue").await;
    let at = browser.arrives(&format!("{}/authorize", world.judge.url())).await;
    let url = Url::parse(&at).expect("an address");
    let state = url.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
    browser.open(&format!("{}/oauth/callback/acme?state={state}&{answer}", world.url)).await;
}

#[tokio::test]
async fn each_failure_says_what_was_kept_and_what_to_do() {
    let world = World::with(
        "support_contact = 'help@acme.example'\n",
        JudgeConfig { announce_iss: true, ..JudgeConfig::default() },
    )
    .await;
    world.acme().await;
    let browser = Browser::without_scripts().await;
    let (link, _) = world.session(&json!({ "integration": "acme", "subject": "user-1" })).await;
    let iss = form_urlencoded::byte_serialize(world.judge.url().as_bytes()).collect::<String>();
    for (name, answer, words, again) in [
        ("no-code", format!("iss={iss}"), "without an answer", true),
        ("provider-unavailable", format!("error=temporarily_unavailable&iss={iss}"), "does not answer just now", true),
        (
            "request-refused",
            format!("error=invalid_scope&iss={iss}"),
            "does not accept what this application asks for",
            false,
        ),
        ("wrong-issuer", "code=x&iss=https://evil.example".to_owned(), "did not come from Demo Provider", false),
    ] {
        answered(&browser, &world, &link, &answer).await;
        let text = browser.shows(words).await;
        assert!(text.contains("Nothing was changed") && text.contains("help@acme.example"), "{text}");
        browser.look(&format!("failed-{name}")).await;
        assert_eq!(browser.has("Try again").await, again, "{name}");
    }
    browser.open(&format!("{}/oauth/callback/acme?code=x&state=y", world.url)).await;
    browser.shows("cannot be continued here").await;
    browser.look("failed-state-gone").await;

    for (name, fault, words) in [
        (
            "provider-error",
            Canned::new("x", 400, "application/json", r#"{"error":"invalid_grant"}"#),
            "did not accept the end",
        ),
        ("misconfigured", Canned::invalid_client(), "does not accept this application's registration"),
        ("account-unknown", Canned::new("x", 200, "application/json", "{}"), "did not say which account this is"),
        ("provider-down", Canned::error_500(), "could not finish the sign-in"),
    ] {
        browser.open(&link).await;
        let endpoint = if name == "account-unknown" { Endpoint::Userinfo } else { Endpoint::Token };
        world.judge.fault(FaultRule { endpoint, ..FaultRule::next(1, Fault::Answer(fault)) });
        agree_as(&browser, ALICE).await;
        browser.shows(words).await;
        browser.look(&format!("failed-{name}")).await;
        world.judge.reset();
    }
    // Whoever tries again from such a page gets there.
    browser.press("Try again").await;
    browser.press(ALICE).await;
    browser.press("Allow").await;
    browser.shows("Demo Provider is connected").await;

    let (taken, _) = world.session(&json!({ "integration": "acme", "subject": "user-2" })).await;
    browser.open(&taken).await;
    agree_as(&browser, ALICE).await;
    browser.shows("This account is already connected").await;
    browser.look("failed-account-taken").await;
    browser.press("Sign in with another account").await;
    browser.press(BOB).await;
    browser.press("Allow").await;
    browser.shows("Demo Provider is connected").await;

    let (paused, _) = world.session(&json!({ "integration": "acme", "subject": "user-3" })).await;
    assert_eq!(world.patch("/v1/integrations/acme", &json!({ "paused": true })).await.status, 200);
    browser.open(&paused).await;
    browser.shows("Demo Provider is paused here").await;
    browser.look("failed-paused").await;
    world.stop().await;
}

#[tokio::test]
async fn a_reconnect_names_the_account_and_refuses_another() {
    let world = World::new().await;
    world.integration(ClientConfig::new("acme"), json!({})).await;
    let id = world.connect("acme", "user-1", "alice").await;
    let (link, _) = world.session(&json!({ "connection_id": id })).await;
    let browser = Browser::without_scripts().await;
    browser.open(&link).await;
    let text = browser.shows("Expected account").await;
    assert!(text.contains("Alice Arden"), "{text}");
    browser.look("reconnect").await;
    agree_as(&browser, BOB).await;
    let text = browser.shows("You chose another account").await;
    assert!(text.contains("Alice Arden") && text.contains("a connection of its own"), "{text}");
    browser.look("failed-other-account").await;
    browser.press("Sign in with another account").await;
    browser.press(ALICE).await;
    browser.press("Allow").await;
    browser.shows("Demo Provider is connected").await;
    assert_eq!(world.get("/v1/connections").await.json()["items"].as_array().map(Vec::len), Some(1));
    world.stop().await;
}

#[tokio::test]
async fn what_others_say_is_text_on_every_page() {
    const HOSTILE: &str = "Acme\"><script>document.title='hacked'</script><img src=x onerror=alert(1)>";
    let world = World::new().await;
    world.judge.register(ClientConfig::new("acme"));
    let mut provider = world.judge.catalogue_json("acme").expect("it was registered just now");
    provider["name"] = json!(HOSTILE);
    let more = json!({ "provider": provider, "scopes": ["read<b>", "<script>alert(2)</script>"] });
    world.integration(ClientConfig::new("acme"), more).await;
    let browser = Browser::start().await;
    let label = "Anna\"><svg onload=alert(3)>";
    let turned = format!("{label}\u{202e}");
    let wish = json!({ "integration": "acme", "subject": "u\"><i>1", "subject_label": turned });
    let (link, _) = world.session(&wish).await;
    let check = async |page: &str, words: &[&str]| {
        let text = browser.shows(words[0]).await;
        assert!(words.iter().all(|words| text.contains(words)) && !text.contains('\u{202e}'), "{page}: {text}");
        let strange = "return document.querySelectorAll('main script, main img, main svg, main b, main i').length;";
        assert_eq!(browser.run(strange, &[]).await, json!(0), "{page}");
        assert!(!browser.title().await.eq("hacked"), "{page}");
    };
    browser.open(&link).await;
    check("connect", &[HOSTILE, label, "read<b>", "<script>alert(2)</script>"]).await;
    browser.look("hostile").await;
    browser.press("Continue").await;
    browser.press("Deny").await;
    check("denied", &[HOSTILE]).await;
    browser.open(&link).await;
    agree_as(&browser, ALICE).await;
    check("connected", &[HOSTILE]).await;

    let items = world.get("/v1/connections").await.json();
    let id = items["items"][0]["id"].as_str().expect("it is connected").to_owned();
    let data = json!({ "label": "<i>label</i><script>1</script>", "metadata": { "x\r\nset-cookie: a=b": "<script>" } });
    assert_eq!(world.patch(&format!("/v1/connections/{id}"), &data).await.status, 200);
    let session: Value = world.post("/v1/subjects/u%22%3E%3Ci%3E1/sessions", &json!({})).await.json();
    browser.open(session["url"].as_str().expect("a page")).await;
    check("my connections", &[HOSTILE, "<i>label</i><script>1</script>"]).await;
    browser.look("hostile-mine").await;
    world.stop().await;
}
