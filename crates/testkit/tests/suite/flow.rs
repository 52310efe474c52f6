//! The authorization code flow, as a browser and a client go through it.

use evergrant_testkit::browser::{Browser, Page};
use evergrant_testkit::http::{Http, Reply};
use evergrant_testkit::{
    AnswerFormat, ClientAuth, ClientConfig, Consent, ExpiresIn, Judge, JudgeConfig, RedirectUris, SecretKind,
    Violation, challenge_s256, random_text,
};

use crate::{Scene, member};

const BACK: &str = "http://127.0.0.1:9/callback";

struct Flow {
    verifier: String,
    address: String,
}

impl Flow {
    fn of(scene: &Scene) -> Self {
        Self::with(scene, &[("scope", "read write"), ("state", "s-1")])
    }

    fn with(scene: &Scene, more: &[(&str, &str)]) -> Self {
        let verifier = random_text::<32>();
        let challenge = challenge_s256(&verifier);
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("response_type", "code"), ("client_id", &scene.client_id), ("redirect_uri", BACK)])
            .extend_pairs([("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")])
            .extend_pairs(more)
            .finish();
        Self { verifier, address: format!("{}/authorize?{query}", scene.judge.url()) }
    }

    async fn code(&self) -> String {
        let page = Browser::new()
            .open(&format!("{}&auto=allow&account=alice", self.address))
            .await
            .expect("the judge answers");
        page.parameter("code").expect("the redirect carries a code")
    }
}

async fn exchange(scene: &Scene, code: &str, verifier: &str) -> Reply {
    let fields =
        [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", BACK), ("code_verifier", verifier)];
    scene.http().form("/token", &fields).await.expect("the judge answers")
}

async fn consent(flow: &Flow, button: &str, account: &str) -> Page {
    let mut browser = Browser::new().stop_before(BACK);
    let page = browser.visit(&flow.address).await.expect("the judge answers");
    assert_eq!(page.status(), 200);
    let form = page.form().expect("the judge answers").with("account", account).button(button);
    browser.press(&page, &form).await.expect("the judge answers")
}

#[tokio::test]
async fn a_person_allows_and_the_code_becomes_tokens() {
    let scene = Scene::new().await;
    let flow = Flow::of(&scene);
    let back = consent(&flow, "allow", "bob").await;
    assert_eq!(back.parameter("state").as_deref(), Some("s-1"));
    assert_eq!(back.parameter("iss"), None);
    let tokens = exchange(&scene, &back.parameter("code").unwrap(), &flow.verifier).await;
    assert_eq!(tokens.status, 200);
    assert_eq!(tokens.header("cache-control"), "no-store");
    assert_eq!(tokens.json()["scope"], "read write");
    assert_eq!(tokens.json()["expires_in"], 3600);
    assert!(member(&tokens, "refresh_token").contains(".bob."));
    let me = Http::new(scene.judge.url()).bearer(&member(&tokens, "access_token"));
    let me = me.get("/userinfo").await.unwrap().json();
    assert_eq!((me["sub"].as_str(), me["email"].as_str()), (Some("bob"), Some("bob@example.com")));
}

#[tokio::test]
async fn a_person_may_type_any_account() {
    let scene = Scene::new().await;
    let flow = Flow::of(&scene);
    let mut browser = Browser::new().stop_before(BACK);
    let page = browser.visit(&flow.address).await.unwrap();
    let form = page.form().unwrap().with("other_account", "Zoë <z>").button("allow");
    let code = browser.press(&page, &form).await.unwrap().parameter("code").unwrap();
    let tokens = exchange(&scene, &code, &flow.verifier).await;
    let me = Http::new(scene.judge.url()).bearer(&member(&tokens, "access_token"));
    assert_eq!(me.get("/api/me").await.unwrap().json()["sub"], "Zoë <z>");
}

#[tokio::test]
async fn a_person_says_no() {
    let scene = Scene::new().await;
    let back = consent(&Flow::of(&scene), "deny", "bob").await;
    assert_eq!(back.parameter("error").as_deref(), Some("access_denied"));
    assert_eq!(back.parameter("state").as_deref(), Some("s-1"));
    assert_eq!(back.parameter("code"), None);
}

#[tokio::test]
async fn the_page_chooses_the_hinted_account() {
    let scene = Scene::new().await;
    let flow = Flow::with(&scene, &[("login_hint", "carol")]);
    let page = Browser::new().visit(&flow.address).await.unwrap();
    assert_eq!(page.form().unwrap().field("account"), Some("carol"));
}

#[tokio::test]
async fn consent_can_be_given_and_refused_without_a_page() {
    for (consent, account, error) in [
        (Consent::Allow { account: "alice".to_owned() }, "alice", None),
        (Consent::Allow { account: "bob".to_owned() }, "bob", None),
        (Consent::Deny, "", Some("access_denied")),
    ] {
        let config = JudgeConfig {
            clients: vec![ClientConfig::new("acme")],
            consent,
            announce_iss: true,
            ..JudgeConfig::default()
        };
        let scene = Scene { judge: Judge::start(config).await.unwrap(), client_id: "acme".to_owned() };
        let flow = Flow::of(&scene);
        let back = Browser::new().open(&flow.address).await.unwrap();
        assert_eq!(back.parameter("iss").as_deref(), Some(scene.judge.url()));
        assert_eq!(back.parameter("error").as_deref(), error);
        if error.is_none() {
            let tokens = exchange(&scene, &back.parameter("code").unwrap(), &flow.verifier).await;
            assert!(member(&tokens, "access_token").contains(&format!(".{account}.")));
        }
    }
}

#[tokio::test]
async fn a_wrong_or_missing_verifier_is_refused_and_the_code_still_works() {
    let scene = Scene::new().await;
    let flow = Flow::of(&scene);
    let code = flow.code().await;
    for wrong in ["", "not-the-verifier-but-long-enough-to-be-one-0123"] {
        assert_eq!(exchange(&scene, &code, wrong).await.json()["error"], "invalid_grant");
    }
    assert_eq!(exchange(&scene, &code, &flow.verifier).await.status, 200);
}

#[tokio::test]
async fn a_request_without_pkce_is_refused_where_it_is_required() {
    let scene = Scene::new().await;
    let address = format!(
        "{}/authorize?response_type=code&client_id=acme&redirect_uri={BACK}&state=x&auto=allow",
        scene.judge.url()
    );
    let back = Browser::new().open(&address).await.unwrap();
    assert_eq!(back.parameter("error").as_deref(), Some("invalid_request"));
    scene.judge.register(ClientConfig { pkce_required: false, ..ClientConfig::new("acme") });
    let code = Browser::new().open(&address).await.unwrap().parameter("code").unwrap();
    assert_eq!(exchange(&scene, &code, "").await.status, 200);
}

#[tokio::test]
async fn a_code_that_comes_again_ends_what_it_had_brought() {
    let scene = Scene::new().await;
    let flow = Flow::of(&scene);
    let code = flow.code().await;
    let tokens = exchange(&scene, &code, &flow.verifier).await;
    let (access, refresh) = (member(&tokens, "access_token"), member(&tokens, "refresh_token"));
    assert!(scene.judge.is_live(&refresh) && scene.judge.is_live_access(&access));
    assert_eq!(exchange(&scene, &code, &flow.verifier).await.json()["error"], "invalid_grant");
    assert!(!scene.judge.is_live(&refresh) && !scene.judge.is_live_access(&access));
    assert!(matches!(scene.judge.ledger().violations[..], [Violation::CodeReplayed { .. }]));
}

#[tokio::test]
async fn an_exchange_must_name_the_same_redirect_uri() {
    let scene = Scene::new().await;
    let flow = Flow::of(&scene);
    let code = flow.code().await;
    let other = "http://127.0.0.1:9/callback/";
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", other),
        ("code_verifier", &flow.verifier),
    ];
    assert_eq!(scene.http().form("/token", &fields).await.unwrap().json()["error"], "invalid_grant");
}

#[tokio::test]
async fn nothing_is_redirected_to_an_address_that_is_not_registered() {
    let exact = RedirectUris::Exact(vec![BACK.to_owned()]);
    let scene = Scene::with(ClientConfig { redirect_uris: exact, ..ClientConfig::new("acme") }).await;
    let url = scene.judge.url();
    for wrong in ["http://127.0.0.1:9/callback/", "http://127.0.0.1:9/callback?x=1", "https://evil.example/callback"] {
        let address = format!("{url}/authorize?response_type=code&client_id=acme&redirect_uri={wrong}&auto=allow");
        let page = Browser::new().open(&address).await.unwrap();
        assert_eq!((page.status(), page.location()), (400, None), "{wrong}");
    }
    let unknown = format!("{url}/authorize?response_type=code&client_id=nobody&redirect_uri={BACK}");
    assert_eq!(Browser::new().open(&unknown).await.unwrap().status(), 400);
    assert!(!Flow::of(&scene).code().await.is_empty());
}

#[tokio::test]
async fn a_client_may_ask_only_for_its_scopes() {
    let client = ClientConfig { scopes: vec!["read".to_owned()], ..ClientConfig::new("acme") };
    let scene = Scene::with(client).await;
    let back = Browser::new().open(&format!("{}&auto=allow", Flow::of(&scene).address)).await.unwrap();
    assert_eq!(back.parameter("error").as_deref(), Some("invalid_scope"));
}

#[tokio::test]
async fn each_client_authenticates_in_its_own_way_only() {
    let secret = "s3cret&with=odd+chars%".to_owned();
    for (client_auth, by_header, by_body, without) in [
        (ClientAuth::Basic, 200, 401, 401),
        (ClientAuth::Body, 401, 200, 401),
        (ClientAuth::Either, 200, 200, 401),
        (ClientAuth::None, 401, 401, 200),
    ] {
        let client = ClientConfig { client_auth, client_secrets: vec![secret.clone()], ..ClientConfig::new("acme") };
        let scene = Scene::with(client).await;
        let bare = Http::new(scene.judge.url());
        for (way, http, more, expected) in [
            ("header", bare.clone().basic("acme", &secret), vec![], by_header),
            ("body", bare.clone(), vec![("client_id", "acme"), ("client_secret", &secret)], by_body),
            ("neither", bare.clone(), vec![("client_id", "acme")], without),
            ("wrong", bare.clone().basic("acme", "wrong"), vec![], 401),
            ("nobody", bare.clone(), vec![], 401),
        ] {
            let token = scene.refresh_token("alice");
            let mut fields = vec![("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
            fields.extend(more);
            let reply = http.form("/token", &fields).await.unwrap();
            assert_eq!(reply.status, expected, "{client_auth:?} by {way}: {}", reply.text());
            if expected == 401 {
                assert_eq!(reply.json()["error"], "invalid_client");
                assert!(reply.header("www-authenticate").starts_with("Basic"));
                assert!(scene.judge.is_live(&token), "nothing is spent before the client has proven itself");
            }
        }
    }
}

#[tokio::test]
async fn a_request_that_says_things_twice_or_nothing_is_refused() {
    let scene = Scene::new().await;
    let token = scene.refresh_token("alice");
    let twice = [("grant_type", "refresh_token"), ("refresh_token", &token), ("refresh_token", &token)];
    for (fields, error) in [
        (&twice[..], "invalid_request"),
        (&twice[..1], "invalid_request"),
        (&[("scope", "x")][..], "invalid_request"),
        (&[("grant_type", "password")][..], "unsupported_grant_type"),
    ] {
        let reply = scene.http().form("/token", fields).await.unwrap();
        assert_eq!((reply.status, reply.json()["error"].as_str()), (400, Some(error)));
    }
    assert_eq!(scene.http().get("/token").await.unwrap().status, 405);
    assert!(scene.judge.is_live(&token));
}

#[tokio::test]
async fn a_token_request_is_a_form_unless_the_judge_is_told_to_read_json() {
    for (json_requests, expected) in [(false, 400), (true, 200)] {
        let clients = vec![ClientConfig::new("acme")];
        let config = JudgeConfig { clients, json_requests, ..JudgeConfig::default() };
        let scene = Scene { judge: Judge::start(config).await.unwrap(), client_id: "acme".to_owned() };
        let token = scene.refresh_token("alice");
        let body = serde_json::json!({ "grant_type": "refresh_token", "refresh_token": token });
        assert_eq!(scene.http().post("/token", &body).await.unwrap().status, expected);
        assert_eq!(scene.judge.is_live(&token), expected == 400);
    }
}

#[tokio::test]
async fn what_the_client_keeps_secret_is_listed_as_soon_as_the_judge_is_told() {
    let scene = Scene::new().await;
    let flow = Flow::of(&scene);
    let code = flow.code().await;
    exchange(&scene, &code, &flow.verifier).await;
    let secrets = scene.judge.secrets();
    for (kind, value) in
        [(SecretKind::Code, &code), (SecretKind::CodeVerifier, &flow.verifier), (SecretKind::State, &"s-1".to_owned())]
    {
        assert!(secrets.iter().any(|secret| secret.kind == kind && secret.value == *value), "{kind:?}");
    }
}

#[tokio::test]
async fn a_refresh_may_ask_for_less_but_not_for_more() {
    let client = ClientConfig { scopes: vec!["read".to_owned(), "write".to_owned()], ..ClientConfig::new("acme") };
    let scene = Scene::with(client).await;
    let token = scene.refresh_token("alice");
    let ask = |scope: &'static str| {
        let (http, token) = (scene.http(), token.clone());
        async move {
            let fields = [("grant_type", "refresh_token"), ("refresh_token", token.as_str()), ("scope", scope)];
            http.form("/token", &fields).await.unwrap().json()
        }
    };
    assert_eq!(ask("read admin").await["error"], "invalid_scope");
    assert_eq!(ask("read").await["scope"], "read");
}

#[tokio::test]
async fn revocation_ends_a_grant_by_its_refresh_token_and_an_access_token_alone() {
    let scene = Scene::new().await;
    let (one, other) = (scene.issue("alice"), scene.issue("alice"));
    let revoke = |token: String| {
        let http = scene.http();
        async move { http.form("/revoke", &[("token", token.as_str())]).await.unwrap().status }
    };
    assert_eq!(revoke(one.access_token.clone()).await, 200);
    assert!(!scene.judge.is_live_access(&one.access_token));
    assert!(scene.judge.is_live(one.refresh_token.as_ref().unwrap()));
    assert_eq!(revoke(other.refresh_token.clone().unwrap()).await, 200);
    assert!(!scene.judge.is_live_access(&other.access_token));
    assert!(!scene.judge.is_live(other.refresh_token.as_ref().unwrap()));
    assert_eq!(revoke("never-issued".to_owned()).await, 200);
    let stranger = Http::new(scene.judge.url()).form("/revoke", &[("token", "x")]).await.unwrap();
    assert_eq!(stranger.status, 401);
}

#[tokio::test]
async fn a_lifetime_is_told_in_every_shape() {
    use serde_json::json;
    for (shape, expected) in [
        (ExpiresIn::Number, json!(1.5)),
        (ExpiresIn::Integer, json!(1)),
        (ExpiresIn::Float, json!(1.5)),
        (ExpiresIn::Text, json!("1")),
        (ExpiresIn::Omitted, json!(null)),
        (ExpiresIn::Literal(json!(3_600_000)), json!(3_600_000)),
    ] {
        let client = ClientConfig { expires_in: shape, ..ClientConfig::new("acme") };
        let scene = Scene::with(client.access_lifetime(std::time::Duration::from_millis(1500))).await;
        let reply = scene.refresh(&scene.refresh_token("alice")).await;
        assert_eq!(reply.json()["expires_in"], expected);
    }
}

#[tokio::test]
async fn tokens_can_be_answered_as_a_form() {
    let client = ClientConfig { answers: AnswerFormat::Form, ..ClientConfig::new("acme") };
    let scene = Scene::with(client).await;
    let reply = scene.refresh(&scene.refresh_token("alice")).await;
    assert_eq!(reply.header("content-type"), "application/x-www-form-urlencoded");
    let text = reply.text();
    assert!(text.contains("expires_in=3600") && text.contains("token_type=Bearer"), "{text}");
}

#[tokio::test]
async fn an_expired_or_foreign_bearer_is_refused() {
    let scene = Scene::with(ClientConfig::new("acme").access_lifetime(std::time::Duration::ZERO)).await;
    let pair = scene.issue("alice");
    assert_eq!(scene.userinfo(&pair.access_token).await, 401);
    assert_eq!(scene.userinfo(&pair.refresh_token.unwrap()).await, 401);
    assert_eq!(scene.userinfo("nonsense").await, 401);
}

#[tokio::test]
async fn the_metadata_leads_to_the_endpoints() {
    let scene = Scene::new().await;
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        let document = Http::new(scene.judge.url()).get(path).await.unwrap().json();
        assert_eq!(document["issuer"], scene.judge.url());
        assert_eq!(document["token_endpoint"], format!("{}/token", scene.judge.url()));
    }
}
