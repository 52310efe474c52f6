//! Connecting an account: the way through, and everything that can go wrong on it.

use evergrant_testkit::browser::Browser;
use evergrant_testkit::http::Http;
use evergrant_testkit::{Canned, ClientConfig, Endpoint, Fault, FaultRule, JudgeConfig};
use serde_json::json;

use crate::world::{APPLICATION, World, agree, browser, text, to_provider};

#[tokio::test]
async fn a_person_connects_by_a_link_and_the_application_gets_a_token() {
    let world = World::new().await;
    world.acme().await;
    let id = world.connect("acme", "user-2", "alice").await;
    let reply = world.get(&format!("/v1/connections/{id}/token")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let token = reply.json();
    assert!(world.judge.is_live_access(token["access_token"].as_str().unwrap()));
    assert_eq!(token["subject"], "user-2");
    assert_eq!(token["freshness"], "valid");
    assert_eq!(reply.header("cache-control"), "no-store");
    let same = world.get("/v1/subjects/user-2/integrations/acme/token").await.json();
    assert_eq!(same["access_token"], token["access_token"]);
    let shown = world.connection(&id).await;
    assert_eq!(
        (&shown["status"], &shown["account"]["id"], &shown["account"]["name"]),
        (&json!("connected"), &json!("alice"), &json!("Alice Arden"))
    );
    assert_eq!(shown["has_refresh_token"], true);
    world.stop().await;
}

#[tokio::test]
async fn the_page_names_everything_runs_no_script_and_consumes_nothing() {
    let world = World::new().await;
    world.integration(ClientConfig::new("acme"), json!({ "scopes": ["read", "write"] })).await;
    let wish = json!({ "integration": "acme", "subject": "user-2", "subject_label": "Bob <b>&\"'", "return_url": APPLICATION });
    let (link, _) = world.session(&wish).await;
    for _ in 0..5 {
        let page = Browser::new().visit(&link).await.unwrap();
        assert_eq!(page.status(), 200);
        let html = page.text();
        for shown in
            ["Demo Provider", "app.example", "Bob &#60;b&#62;&#38;&#34;&#39;", "read", "write", "Continue", "Cancel"]
        {
            assert!(html.contains(shown), "{shown}: {html}");
        }
        assert!(!html.contains("<script") && !html.contains("Bob <b>"), "{html}");
        let policy = page.reply.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'")
                && policy.contains("style-src 'sha256-")
                && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert_eq!(page.reply.header("referrer-policy"), "no-referrer");
        assert_eq!(page.reply.header("cache-control"), "no-store");
    }
    let page = agree(&mut browser(), &link, "alice").await;
    assert_eq!(page.parameter("status").as_deref(), Some("pending"), "{}", page.text());
    world.stop().await;
}

#[tokio::test]
async fn with_a_return_url_the_code_is_exchanged_only_after_the_application_said_who_it_is() {
    let world = World::new().await;
    world.acme().await;
    let (link, session) =
        world.session(&json!({ "integration": "acme", "subject": "user-2", "return_url": APPLICATION })).await;
    let page = agree(&mut browser(), &link, "alice").await;
    assert!(page.location().unwrap().as_str().starts_with(APPLICATION));
    let handle = page.parameter("handle").unwrap();
    assert_eq!(world.judge.token_calls(), 0);
    let complete = format!("/v1/connect-sessions/{session}/complete");
    let first = world.post(&complete, &json!({ "handle": handle, "subject": "user-2" })).await;
    assert_eq!(first.status, 201, "{}", first.text());
    let again = world.post(&complete, &json!({ "handle": handle, "subject": "user-2" })).await;
    assert_eq!((again.status, &again.json()["id"]), (200, &first.json()["id"]));
    let other = world.post(&complete, &json!({ "handle": handle, "subject": "user-3" })).await;
    assert_eq!((other.status, other.json()["code"].as_str()), (403, Some("forbidden")));
    assert_eq!(world.judge.token_calls(), 1);
    world.stop().await;
}

#[tokio::test]
async fn a_link_sent_to_somebody_else_ends_without_a_connection() {
    let world = World::new().await;
    world.acme().await;
    // The attacker begins for himself and sends the link; the victim agrees; the application knows who is signed in there.
    let (link, session) =
        world.session(&json!({ "integration": "acme", "subject": "attacker", "return_url": APPLICATION })).await;
    let page = agree(&mut browser(), &link, "alice").await;
    let handle = page.parameter("handle").unwrap();
    let complete = format!("/v1/connect-sessions/{session}/complete");
    let refused = world.post(&complete, &json!({ "handle": handle, "subject": "victim" })).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    // The code was dropped: not even the right subject gets it any more.
    let late = world.post(&complete, &json!({ "handle": handle, "subject": "attacker" })).await;
    assert_eq!(late.status, 404, "{}", late.text());
    assert_eq!(world.judge.token_calls(), 0);
    assert_eq!(world.get("/v1/connections").await.json()["items"], json!([]));
    let audit = world.get("/v1/audit?limit=500").await.json();
    let told = audit["items"].as_array().unwrap().iter().any(|line| line["action"] == "connect.other_subject");
    assert!(told, "{audit}");
    world.stop().await;
}

#[tokio::test]
async fn complete_with_a_wrong_handle_or_session_finds_nothing() {
    let world = World::new().await;
    world.acme().await;
    let wish = json!({ "integration": "acme", "subject": "user-2", "return_url": APPLICATION });
    let (link, session) = world.session(&wish).await;
    let (_, other_session) = world.session(&wish).await;
    let page = agree(&mut browser(), &link, "alice").await;
    let handle = page.parameter("handle").unwrap();
    let body = json!({ "handle": handle, "subject": "user-2" });
    let elsewhere = world.post(&format!("/v1/connect-sessions/{other_session}/complete"), &body).await;
    assert_eq!(elsewhere.status, 404);
    let nowhere = world.post("/v1/connect-sessions/cs_01arz3ndektsv4rrffq69g5fav/complete", &body).await;
    assert_eq!(nowhere.status, 404);
    let wrong = json!({ "handle": "x".repeat(43), "subject": "user-2" });
    assert_eq!(world.post(&format!("/v1/connect-sessions/{session}/complete"), &wrong).await.status, 404);
    let nobody = world.post(&format!("/v1/connect-sessions/{session}/complete"), &json!({ "handle": handle })).await;
    assert_eq!((nobody.status, nobody.json()["field"].as_str()), (422, Some("subject")));
    let right = world.post(&format!("/v1/connect-sessions/{session}/complete"), &body).await;
    assert_eq!(right.status, 201, "{}", right.text());
    world.stop().await;
}

#[tokio::test]
async fn a_callback_without_a_good_state_changes_nothing_and_says_what_to_do() {
    let world = World::new().await;
    world.acme().await;
    world.integration(ClientConfig::new("other"), json!({})).await;
    let (link, _) = world.session(&json!({ "integration": "acme", "subject": "user-2" })).await;
    let mut victim = Browser::new();
    let consent = to_provider(&mut victim, &link).await;
    let answer =
        victim.submit(&consent, &consent.form().unwrap().with("account", "alice").button("allow")).await.unwrap();
    let callback = answer.location().unwrap();
    let foreign = callback.as_str().replace("/oauth/callback/acme", "/oauth/callback/other");
    let stateless = format!("{}/oauth/callback/acme?code=x", world.url);
    let unknown = format!("{}/oauth/callback/acme?code=x&state={}", world.url, "y".repeat(43));
    let nowhere = format!("{}/oauth/callback/nowhere?code=x&state=y", world.url);
    for address in [foreign.as_str(), &stateless, &unknown, &nowhere] {
        let page = victim.open(address).await.unwrap();
        assert_eq!(page.status(), 400, "{address}: {}", page.text());
        assert!(page.text().contains("one browser") && page.text().contains("state_gone"), "{}", page.text());
    }
    // Another browser than the one that began.
    let page = Browser::new().open(callback.as_str()).await.unwrap();
    assert_eq!(page.status(), 400);
    assert_eq!(world.judge.token_calls(), 0);
    // None of that has harmed the one who began.
    let page = victim.open(callback.as_str()).await.unwrap();
    assert_eq!(page.status(), 200, "{}", page.text());
    world.stop().await;
}

#[tokio::test]
async fn a_callback_that_arrives_twice_shows_the_first_result_and_exchanges_once() {
    let world = World::new().await;
    world.acme().await;
    let (link, _) = world.session(&json!({ "integration": "acme", "subject": "user-2" })).await;
    let mut person = Browser::new();
    let consent = to_provider(&mut person, &link).await;
    let answer =
        person.submit(&consent, &consent.form().unwrap().with("account", "alice").button("allow")).await.unwrap();
    let callback = answer.location().unwrap();
    world.judge.fault(FaultRule::next(1, Fault::Delay(std::time::Duration::from_millis(200))));
    let mut tabs = [person.clone(), person.clone(), person.clone()];
    let [one, two, three] = &mut tabs;
    let (one, two, three) =
        tokio::join!(one.open(callback.as_str()), two.open(callback.as_str()), three.open(callback.as_str()));
    for page in [one.unwrap(), two.unwrap(), three.unwrap()] {
        assert_eq!(page.status(), 200, "{}", page.text());
        assert!(page.text().contains("is connected"), "{}", page.text());
    }
    let reload = person.open(callback.as_str()).await.unwrap();
    assert_eq!(reload.status(), 200, "{}", reload.text());
    assert_eq!(world.judge.token_calls(), 1);
    world.stop().await;
}

#[tokio::test]
async fn who_says_no_leaves_everything_as_it_was() {
    let world = World::new().await;
    world.acme().await;
    let (link, _) =
        world.session(&json!({ "integration": "acme", "subject": "user-2", "return_url": APPLICATION })).await;
    // At the provider …
    let mut person = browser();
    let consent = to_provider(&mut person, &link).await;
    let page = person.press(&consent, &consent.form().unwrap().button("deny")).await.unwrap();
    assert_eq!(page.parameter("status").as_deref(), Some("denied"), "{:?}", page.location());
    // … and here.
    let page = person.visit(&link).await.unwrap();
    let page = person.press(&page, &page.form().unwrap().button("cancel")).await.unwrap();
    assert_eq!(page.parameter("status").as_deref(), Some("denied"));
    // The link is spent only by success.
    let page = agree(&mut person, &link, "alice").await;
    assert_eq!(page.parameter("status").as_deref(), Some("pending"));
    world.stop().await;
}

#[tokio::test]
async fn a_link_is_spent_by_success() {
    let world = World::new().await;
    world.acme().await;
    let (link, _) = world.session(&json!({ "integration": "acme", "subject": "user-2" })).await;
    let page = agree(&mut Browser::new(), &link, "alice").await;
    assert_eq!(page.status(), 200);
    let page = Browser::new().visit(&link).await.unwrap();
    assert_eq!(page.status(), 404);
    assert!(page.text().contains("not good any more"), "{}", page.text());
    world.stop().await;
}

#[tokio::test]
async fn an_answer_of_another_issuer_is_not_used() {
    let world = World::with("", JudgeConfig { announce_iss: true, ..JudgeConfig::default() }).await;
    world.acme().await;
    let (link, _) = world.session(&json!({ "integration": "acme", "subject": "user-2" })).await;
    let mut person = Browser::new();
    for iss in ["https://evil.example", ""] {
        let consent = to_provider(&mut person, &link).await;
        let answer =
            person.submit(&consent, &consent.form().unwrap().with("account", "alice").button("allow")).await.unwrap();
        let mut callback = answer.location().unwrap();
        let pairs: Vec<(String, String)> = callback
            .query_pairs()
            .filter(|(name, _)| name != "iss")
            .map(|(n, v)| (n.into_owned(), v.into_owned()))
            .collect();
        callback.query_pairs_mut().clear().extend_pairs(pairs);
        if !iss.is_empty() {
            callback.query_pairs_mut().append_pair("iss", iss);
        }
        let page = person.open(callback.as_str()).await.unwrap();
        assert_eq!(page.status(), 400, "{}", page.text());
        assert!(page.text().contains("wrong_issuer"), "{}", page.text());
    }
    assert_eq!(world.judge.token_calls(), 0);
    let page = agree(&mut person, &link, "alice").await;
    assert_eq!(page.status(), 200, "{}", page.text());
    world.stop().await;
}

#[tokio::test]
async fn a_reconnect_with_another_account_leaves_the_connection_as_it_was() {
    let world = World::new().await;
    world.acme().await;
    let id = world.connect("acme", "user-2", "alice").await;
    let before = world.get(&format!("/v1/connections/{id}/token")).await.json();
    let (link, _) = world.session(&json!({ "connection_id": id })).await;
    let page = agree(&mut Browser::new(), &link, "bob").await;
    assert_eq!(page.status(), 409, "{}", page.text());
    assert!(page.text().contains("another account") && page.text().contains("other_account"), "{}", page.text());
    let after = world.get(&format!("/v1/connections/{id}/token")).await.json();
    assert_eq!(after["access_token"], before["access_token"]);
    assert!(world.judge.is_live_access(before["access_token"].as_str().unwrap()));
    // With the right one it keeps its id, and the new grant is in force.
    let page = agree(&mut Browser::new(), &link, "alice").await;
    assert_eq!(page.status(), 200, "{}", page.text());
    let renewed = world.get(&format!("/v1/connections/{id}/token")).await.json();
    assert_ne!(renewed["access_token"], before["access_token"]);
    world.stop().await;
}

#[tokio::test]
async fn an_account_belongs_to_one_subject_unless_the_integration_shares_it() {
    let world = World::new().await;
    world.acme().await;
    let first = world.connect("acme", "user-1", "alice").await;
    let (link, _) = world.session(&json!({ "integration": "acme", "subject": "user-2" })).await;
    let page = agree(&mut Browser::new(), &link, "alice").await;
    assert_eq!(page.status(), 409, "{}", page.text());
    assert!(page.text().contains("account_taken"), "{}", page.text());
    let reply = world.get(&format!("/v1/connections/{first}/token")).await;
    assert!(world.judge.is_live_access(reply.json()["access_token"].as_str().unwrap()), "the first keeps its grant");
    let shared = world.patch("/v1/integrations/acme", &json!({ "shared_accounts": true })).await;
    assert_eq!(shared.status, 200, "{}", shared.text());
    let second = world.connect("acme", "user-2", "alice").await;
    assert_ne!(first, second);
    // Connecting again is the same connection.
    assert_eq!(world.connect("acme", "user-2", "alice").await, second);
    world.stop().await;
}

#[tokio::test]
async fn a_session_without_a_subject_signs_a_person_in_by_account() {
    let world = World::new().await;
    world.acme().await;
    let wish = json!({ "integration": "acme", "return_url": APPLICATION });
    let mut subjects = Vec::new();
    for account in ["alice", "alice", "bob"] {
        let (link, session) = world.session(&wish).await;
        let page = agree(&mut browser(), &link, account).await;
        let handle = page.parameter("handle").unwrap();
        let complete = format!("/v1/connect-sessions/{session}/complete");
        let refused = world.post(&complete, &json!({ "handle": handle, "subject": "user-9" })).await;
        assert_eq!((refused.status, refused.json()["field"].as_str()), (422, Some("subject")), "{}", refused.text());
        let done = world.post(&complete, &json!({ "handle": handle })).await;
        assert!(done.status < 300, "{}", done.text());
        subjects.push(text(&done.json()["subject"]));
    }
    assert_eq!(subjects[0], subjects[1]);
    assert_ne!(subjects[0], subjects[2]);
    let refused = world.post("/v1/connect-sessions", &json!({ "integration": "acme" })).await;
    assert_eq!((refused.status, refused.json()["field"].as_str()), (422, Some("subject")));
    world.stop().await;
}

#[tokio::test]
async fn a_code_exchange_that_fails_says_whose_turn_it_is() {
    let world = World::new().await;
    world.acme().await;
    let cases = [
        (Fault::Answer(Canned::error_500()), 503, "provider_unavailable"),
        (Fault::Answer(Canned::rate_limit(Some("7"))), 503, "provider_unavailable"),
        (Fault::Answer(Canned::html()), 502, "provider_error"),
        (Fault::Answer(Canned::invalid_client()), 424, "integration_misconfigured"),
        (
            Fault::Answer(Canned::new("x", 400, "application/json", r#"{"error":"invalid_grant"}"#)),
            502,
            "provider_error",
        ),
        (Fault::CutAfter, 503, "provider_unavailable"),
    ];
    for (fault, status, code) in cases {
        let (link, session) =
            world.session(&json!({ "integration": "acme", "subject": "user-2", "return_url": APPLICATION })).await;
        let page = agree(&mut browser(), &link, "alice").await;
        let handle = page.parameter("handle").unwrap();
        world.judge.fault(FaultRule::next(1, fault.clone()));
        let refused = world
            .post(
                &format!("/v1/connect-sessions/{session}/complete"),
                &json!({ "handle": handle, "subject": "user-2" }),
            )
            .await;
        assert_eq!(
            (refused.status, refused.json()["code"].as_str()),
            (status, Some(code)),
            "{fault:?}: {}",
            refused.text()
        );
        assert!(refused.json()["action"].is_string());
        world.judge.reset();
    }
    assert_eq!(world.get("/v1/connections").await.json()["items"], json!([]));
    world.stop().await;
}

#[tokio::test]
async fn a_grant_is_durable_before_its_account_is_looked_up_and_kept_when_that_fails() {
    let world = World::new().await;
    world.acme().await;
    let (link, session) =
        world.session(&json!({ "integration": "acme", "subject": "user-2", "return_url": APPLICATION })).await;
    let page = agree(&mut browser(), &link, "alice").await;
    let handle = page.parameter("handle").unwrap();
    world
        .judge
        .fault(FaultRule { endpoint: Endpoint::Userinfo, ..FaultRule::next(10, Fault::Answer(Canned::error_500())) });
    let complete = format!("/v1/connect-sessions/{session}/complete");
    let body = json!({ "handle": handle, "subject": "user-2" });
    let refused = world.post(&complete, &body).await;
    assert_eq!((refused.status, refused.json()["action"].as_str()), (503, Some("wait")), "{}", refused.text());
    world.judge.reset();
    // The code is spent, the grant is kept: the same call goes on from there.
    let done = world.post(&complete, &body).await;
    assert_eq!(done.status, 201, "{}", done.text());
    assert_eq!(world.judge.token_calls(), 1);
    world.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_wish_is_named() {
    let world = World::new().await;
    world.integration(ClientConfig::new("acme"), json!({ "scopes": ["read"] })).await;
    let base = json!({ "integration": "acme", "subject": "user-2" });
    let cases = [
        (json!({ "return_url": "https://evil.example/" }), "return_url"),
        (json!({ "return_url": "javascript:alert(1)" }), "return_url"),
        (json!({ "binding": "app" }), "return_url"),
        (json!({ "scopes": ["read", "admin"] }), "scopes"),
        (json!({ "params": { "redirect_uri": "https://evil.example/" } }), "params.redirect_uri"),
        (json!({ "params": { "State": "x" } }), "params.State"),
        (json!({ "integration": null }), "integration"),
        (json!({ "integrations": ["acme"] }), "integrations"),
        (json!({ "subject": "" }), "subject"),
        (json!({ "sbject": "x" }), "sbject"),
        (json!({ "binding": "none" }), "binding"),
    ];
    for (over, field) in cases {
        let mut wish = base.clone();
        for (name, value) in over.as_object().unwrap() {
            wish[name] = value.clone();
        }
        let reply = world.post("/v1/connect-sessions", &wish).await;
        assert_eq!((reply.status, reply.json()["field"].as_str()), (422, Some(field)), "{wish}: {}", reply.text());
    }
    let unknown = world.post("/v1/connect-sessions", &json!({ "integration": "nowhere", "subject": "x" })).await;
    assert_eq!((unknown.status, unknown.json()["code"].as_str()), (404, Some("not_found")));
    let gone = world.post("/v1/connect-sessions", &json!({ "connection_id": "con_01arz3ndektsv4rrffq69g5fav" })).await;
    assert_eq!(gone.status, 404);
    world.patch("/v1/integrations/acme", &json!({ "paused": true })).await;
    let paused = world.post("/v1/connect-sessions", &base).await;
    assert_eq!((paused.status, paused.json()["action"].as_str()), (424, Some("fix_integration")));
    world.stop().await;
}

#[tokio::test]
async fn the_authorization_request_carries_state_pkce_and_the_redirect_uri_of_its_integration() {
    let world = World::new().await;
    world.integration(ClientConfig::new("acme"), json!({ "scopes": ["read", "write"] })).await;
    let wish = json!({ "integration": "acme", "subject": "user-2", "email": "alice", "scopes": ["read"], "params": { "prompt": "consent" } });
    let (link, _) = world.session(&wish).await;
    let mut person = Browser::new();
    let page = person.visit(&link).await.unwrap();
    let answer = person.submit(&page, &page.form().unwrap().button("continue")).await.unwrap();
    assert_eq!(answer.status(), 303);
    let parameter = |name| answer.parameter(name).unwrap_or_default();
    assert_eq!(parameter("response_type"), "code");
    assert_eq!(parameter("client_id"), "acme");
    assert_eq!(parameter("redirect_uri"), format!("{}/oauth/callback/acme", world.url));
    assert_eq!(parameter("scope"), "read");
    assert_eq!(parameter("code_challenge_method"), "S256");
    assert_eq!(parameter("code_challenge").len(), 43);
    assert!(parameter("state").len() >= 43);
    assert_eq!(parameter("login_hint"), "alice");
    assert_eq!(parameter("prompt"), "consent");
    let cookie = person.cookie("127.0.0.1", "eg_state").unwrap();
    assert_ne!(cookie, parameter("state"));
    world.stop().await;
}

#[tokio::test]
async fn two_tabs_of_one_browser_do_not_undo_each_other() {
    let world = World::new().await;
    world.acme().await;
    let mut person = Browser::new();
    let (first, _) = world.session(&json!({ "integration": "acme", "subject": "user-1" })).await;
    let (second, _) = world.session(&json!({ "integration": "acme", "subject": "user-2" })).await;
    let one = to_provider(&mut person, &first).await;
    let two = to_provider(&mut person, &second).await;
    let one = person.press(&one, &one.form().unwrap().with("account", "alice").button("allow")).await.unwrap();
    assert_eq!(one.status(), 200, "{}", one.text());
    let two = person.press(&two, &two.form().unwrap().with("account", "bob").button("allow")).await.unwrap();
    assert_eq!(two.status(), 200, "{}", two.text());
    world.stop().await;
}

#[tokio::test]
async fn nothing_that_a_stranger_puts_into_the_query_reaches_the_page() {
    let world = World::new().await;
    world.acme().await;
    let api = Http::new(&world.url);
    for hostile in [
        "%3Cscript%3Ealert(1)%3C/script%3E",
        "%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E",
        "javascript:alert(1)",
        "%0d%0aset-cookie:%20x=y",
    ] {
        for query in [
            format!("error={hostile}&state=x"),
            format!("error=access_denied&error_description={hostile}&state={hostile}"),
            format!("code={hostile}"),
        ] {
            let reply = api.get(&format!("/oauth/callback/acme?{query}")).await.unwrap();
            assert_eq!(reply.status, 400);
            let html = reply.text();
            assert!(!html.contains("alert(1)") && !html.contains("onerror"), "{html}");
        }
        let reply = api.get(&format!("/connect/{hostile}")).await.unwrap();
        assert_eq!(reply.status, 404);
        assert!(!reply.text().contains("alert(1)"), "{}", reply.text());
    }
    world.stop().await;
}
