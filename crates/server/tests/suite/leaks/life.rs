//! Everything that a service goes through: people, keys, every kind of trouble with the provider, and wrong requests.

use std::time::Duration;

use base64::Engine as _;
use evergrant_testkit::browser::Browser;
use evergrant_testkit::http::Http;
use evergrant_testkit::{AnswerFormat, Canned, ClientAuth, ClientConfig, Endpoint, Fault, FaultRule, Judge, TokenPair};
use http::Method;
use serde_json::{Value, json};

use super::front::Front;
use crate::world::{APPLICATION, agree, browser, text, to_provider};

/// A provider and a service that is to keep its secrets.
pub struct Life<'a> {
    /// The provider.
    pub judge: &'a Judge,
    /// The service.
    pub front: &'a Front,
    /// Its address.
    pub url: &'a str,
}

impl Life<'_> {
    /// All of it.
    pub async fn live(&self) {
        self.is_told().await;
        self.integration(ClientConfig::new("acme"), json!({})).await;
        let body = ClientConfig { client_auth: ClientAuth::Body, ..ClientConfig::new("body") };
        self.integration(ClientConfig { answers: AnswerFormat::Form, ..body }, json!({})).await;
        self.keys().await;
        let connected = self.people().await;
        self.interrupted_people().await;
        self.troubles().await;
        self.tokens_and_reports(&connected).await;
        self.wrong_requests().await;
        self.ends(&connected).await;
        self.looks().await;
    }

    async fn integration(&self, client: ClientConfig, more: Value) {
        let name = client.client_id.clone();
        let client = self.judge.register(client);
        let mut body = json!({
            "name": name, "provider": self.judge.catalogue_json(&name).expect("it is registered"), "client_id": name,
            "client_secrets": [{ "secret": client.client_secrets[0] }], "return_urls": [APPLICATION],
        });
        for (field, value) in more.as_object().expect("fields") {
            body[field] = value.clone();
        }
        assert_eq!(self.front.post("/v1/integrations", &body).await.status, 201);
        self.front.post("/v1/integrations", &body).await;
        self.front.get(&format!("/v1/integrations/{name}")).await;
    }

    async fn keys(&self) {
        let wish = json!({ "permissions": ["tokens:read"], "integrations": ["acme"], "name": "reader" });
        let once = self.front.http.clone().header("idempotency-key", "a-key-once");
        for _ in 0..2 {
            assert_eq!(self.front.send_as(&once, Method::POST, "/v1/keys", &wish).await.status, 201);
        }
        let made = self.front.http.post("/v1/keys", &wish).await.expect("an answer");
        self.front.remember("POST /v1/keys", &made);
        let (id, key) = (text(&made.json()["id"]), text(&made.json()["key"]));
        let reader = Http::new(self.url).bearer(&key);
        self.front.send_as(&reader, Method::GET, "/v1/audit", &Value::Null).await;
        assert_eq!(self.front.send(Method::DELETE, &format!("/v1/keys/{id}"), &Value::Null).await.status, 204);
        self.front.send_as(&reader, Method::GET, "/v1/connections", &Value::Null).await;
        let mistyped = Http::new(self.url).bearer(&format!("{}x", &key[..key.len() - 1]));
        self.front.send_as(&mistyped, Method::GET, "/v1/connections", &Value::Null).await;
        self.front.get("/v1/keys").await;
    }

    /// By a link, with an application's word, by import; the ids.
    async fn people(&self) -> Vec<String> {
        let link = self.session(&json!({ "integration": "acme", "subject": "anna" })).await.0;
        let page = agree(&mut Browser::new(), &link, "alice").await;
        self.front.remember_page("connected by a link", &page);
        assert_eq!(page.status(), 200);
        for client in ["acme", "body"] {
            let wish = json!({ "integration": client, "subject": "ben", "return_url": APPLICATION });
            let (link, session) = self.session(&wish).await;
            let mut person = browser();
            let page = agree(&mut person, &link, "bob").await;
            let handle = page.parameter("handle").expect("a handle");
            self.front.know("handle", &handle);
            self.front.know("cookie", person.cookie("127.0.0.1", "eg_state").unwrap_or_default());
            let complete = format!("/v1/connect-sessions/{session}/complete");
            self.front.post(&complete, &json!({ "handle": "h".repeat(43), "subject": "ben" })).await;
            for subject in ["ben", "ben", "eve"] {
                self.front.post(&complete, &json!({ "handle": handle, "subject": subject })).await;
            }
        }
        let pair = self.judge.issue("acme", "carol").expect("it is registered");
        let once = self.front.http.clone().header("idempotency-key", "an-import-once");
        for _ in 0..2 {
            let body = import("acme", "carol", &pair);
            assert_eq!(self.front.send_as(&once, Method::POST, "/v1/connections", &body).await.status, 201);
        }
        let list = self.front.get("/v1/connections").await.json();
        let ids: Vec<String> = list["items"].as_array().expect("a list").iter().map(|item| text(&item["id"])).collect();
        assert_eq!(ids.len(), 4, "{list}");
        ids
    }

    async fn session(&self, wish: &Value) -> (String, String) {
        let reply = self.front.post("/v1/connect-sessions", wish).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        (text(&reply.json()["url"]), text(&reply.json()["id"]))
    }

    /// A way through the browser that ends badly, in each way.
    async fn interrupted_people(&self) {
        let wish = json!({ "integration": "acme", "subject": "dora", "subject_label": "Dora" });
        let exchange = |fault| FaultRule::next(1, fault).grant_type("authorization_code");
        for (what, rule) in [
            ("echoed", exchange(Fault::EchoToken)),
            ("cut", exchange(Fault::CutInside(None))),
            ("html", exchange(Fault::Answer(Canned::html()))),
            ("account", FaultRule::next(1, Fault::EchoToken).at(Endpoint::Userinfo)),
            ("account away", FaultRule::next(1, Fault::Answer(Canned::error_500())).at(Endpoint::Userinfo)),
        ] {
            self.judge.fault(rule);
            let link = self.session(&wish).await.0;
            let page = agree(&mut Browser::new(), &link, "dave").await;
            self.front.remember_page(what, &page);
            self.judge.reset();
        }
        let link = self.session(&wish).await.0;
        let mut person = Browser::new();
        let consent = to_provider(&mut person, &link).await;
        let form = consent.form().expect("a form").with("account", "dave").button("allow");
        let callback = person.submit(&consent, &form).await.expect("an answer").location().expect("the way back");
        let spoilt = [
            callback.as_str().replace("/callback/acme", "/callback/body"),
            callback.as_str().replace("code=", "error=access_denied&error_description="),
            format!("{callback}&iss=http://elsewhere.example"),
        ];
        for address in spoilt.iter().map(String::as_str).chain([callback.as_str(), callback.as_str()]) {
            let mut other = person.clone();
            self.front.remember_page("spoilt", &other.open(address).await.expect("a page"));
            self.front.remember_page("stranger", &Browser::new().open(address).await.expect("a page"));
        }
        let link = self.session(&wish).await.0;
        let denied = to_provider(&mut person, &link).await;
        let form = denied.form().expect("a form").button("deny");
        self.front.remember_page("denied", &person.press(&denied, &form).await.expect("the way back"));
    }

    /// Refreshes with everything that a provider can do wrong, each at a client of its own.
    async fn troubles(&self) {
        let own = [
            Fault::EchoToken,
            Fault::Hang,
            Fault::CutBefore,
            Fault::CutAfter,
            Fault::CutInside(None),
            Fault::CutInside(Some(150)),
            Fault::WrongLength(40),
            Fault::WrongLength(-40),
            Fault::OmitExpiresIn,
            Fault::Drip { every: Duration::from_millis(5), bytes: 40 },
            Fault::Answer(Canned::flood(400_000)),
            Fault::Answer(Canned::invalid_client()),
            Fault::Answer(Canned::rate_limit(Some("1"))),
        ];
        for (number, fault) in own.into_iter().enumerate() {
            self.trouble(&format!("own-{number}"), |_| fault).await;
        }
        for (number, shape) in SHAPES.iter().enumerate() {
            self.trouble(&format!("told-{number}"), |told| Fault::Answer(shape(told))).await;
        }
    }

    async fn trouble(&self, client: &str, fault: impl FnOnce(&Told) -> Fault) {
        self.integration(ClientConfig::new(client), json!({})).await;
        let pair = self.judge.issue(client, "zoe").expect("it is registered");
        let refresh = pair.refresh_token.clone().expect("it has one");
        let told =
            Told { access: pair.access_token.clone(), refresh, client: self.judge.client_secret(client).expect("one") };
        let made = self.front.post("/v1/connections", &import(client, "zoe", &pair)).await;
        let id = text(&made.json()["id"]);
        self.judge.fault(FaultRule::lasting(fault(&told)).client(client));
        let forced = self.front.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await;
        assert!(forced.status < 500, "{client}: {}", forced.text());
        self.front.get(&format!("/v1/connections/{id}")).await;
        self.front.get(&format!("/v1/connections/{id}/token?min_ttl=3000&wait=1")).await;
        self.judge.reset();
        self.front.get("/v1/subjects/zoe/health").await;
        let notices = self.front.get("/v1/subjects/zoe/notifications").await.json();
        if let Some(notice) = notices["items"].as_array().and_then(|items| items.first()) {
            let path = format!("/v1/subjects/zoe/notifications/{}/read", text(&notice["id"]));
            self.front.post(&path, &Value::Null).await;
            let reconnect = text(&notice["reconnect_url"]);
            if !reconnect.is_empty() {
                let page = agree(&mut Browser::new(), &reconnect, "zoe").await;
                self.front.remember_page("reconnected", &page);
            }
        }
    }

    async fn tokens_and_reports(&self, ids: &[String]) {
        for id in ids {
            let token = self.front.get(&format!("/v1/connections/{id}/token?consistent=true")).await.json();
            for outcome in ["ok", "unauthorized", "error"] {
                let detail = format!("{} was refused", text(&token["access_token"]));
                let body = json!({ "token_id": token["token_id"], "outcome": outcome, "detail": detail });
                self.front.post(&format!("/v1/connections/{id}/report"), &body).await;
            }
            self.front.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await;
        }
        self.front.get("/v1/subjects/anna/integrations/acme/token").await;
        self.front.get("/v1/subjects/nobody/integrations/acme/token").await;
        let job = self.front.post("/v1/refresh", &json!({ "integration": "acme", "force": true })).await.json();
        let path = format!("/v1/jobs/{}", text(&job["id"]));
        while self.front.get(&path).await.json()["finished_at"].is_null() {}
        self.front.post("/v1/sweep?verbose=true", &Value::Null).await;
        self.front.post("/v1/subjects/ben/refresh", &json!({})).await;
        let session = self.front.post("/v1/subjects/anna/sessions", &json!({})).await.json();
        let subject = Http::new(self.url).bearer(&text(&session["token"]));
        for path in ["/v1/subjects/anna/health", "/v1/subjects/ben/health", "/v1/connections"] {
            self.front.send_as(&subject, Method::GET, path, &Value::Null).await;
        }
    }

    /// Secrets where they do not belong, and requests that are no requests.
    async fn wrong_requests(&self) {
        let pair = self.judge.issue("acme", "mallory").expect("it is registered");
        let (access, refresh) = (pair.access_token.clone(), pair.refresh_token.clone().expect("it has one"));
        let good = import("acme", "mallory", &pair);
        for (field, value) in [
            ("account_id", json!(access)),
            ("subject", json!(format!("{refresh}\n"))),
            ("integration", json!(refresh)),
            ("expires_at", json!(access)),
            ("access_token", json!([access])),
            ("access_token", json!(format!("{access} {refresh}"))),
            ("refresh_token", json!(access)),
            ("refresh_tokn", json!(refresh)),
            ("scopes", json!(refresh)),
            (refresh.as_str(), json!(true)),
        ] {
            let mut body = good.clone();
            body[field] = value;
            let refused = self.front.post("/v1/connections", &body).await;
            assert!(refused.status >= 400, "{field}: {}", refused.text());
        }
        let broken = format!("{{\"access_token\": \"{access}\", {refresh}");
        for kind in [Some("application/json"), Some("text/plain"), None] {
            let reply = self.front.http.send(Method::POST, "/v1/connections", kind, broken.clone().into()).await;
            self.front.remember("broken", &reply.expect("an answer"));
        }
        for path in [
            format!("/v1/connections/{access}"),
            format!("/v1/connections?cursor={refresh}"),
            format!("/v1/connections?{refresh}=1"),
            format!("/v1/connections?status={access}"),
            format!("/connect/{refresh}"),
            format!("/sign-in/{refresh}"),
            format!("/oauth/callback/acme?code={access}&state={refresh}"),
            format!("/{access}"),
        ] {
            self.front.get(&path).await;
            self.front.send(Method::DELETE, &path, &Value::Null).await;
        }
        let stranger = Http::new(self.url).header("x-request-id", "mine-1").basic("acme", &refresh);
        self.front.send_as(&stranger, Method::GET, "/v1/connections", &Value::Null).await;
        let bearer = Http::new(self.url).bearer(&access);
        self.front.send_as(&bearer, Method::GET, "/v1/connections", &Value::Null).await;
        let secret = json!({ "client_secrets": [{ "secret": refresh, "expires_at": access }] });
        self.front.send(Method::PATCH, "/v1/integrations/acme", &secret).await;
        self.front.send(Method::PATCH, "/v1/integrations/acme", &json!({ "client_secret": access })).await;
        let wrong = json!({ "provider": { "token_url": format!("ftp://{access}") } });
        self.front.send(Method::PATCH, "/v1/integrations/acme", &wrong).await;
    }

    /// Revoked there, disconnected here, erased.
    async fn ends(&self, ids: &[String]) {
        self.judge.revoke("acme", "alice");
        self.front.post(&format!("/v1/connections/{}/refresh", ids[0]), &json!({})).await;
        let refused = self.front.get(&format!("/v1/connections/{}/token", ids[0])).await;
        assert_eq!(refused.status, 424, "{}", refused.text());
        let reconnect = text(&refused.json()["reconnect_url"]);
        let mut person = Browser::new();
        let other = agree(&mut person, &reconnect, "bob").await;
        self.front.remember_page("another account", &other);
        let page = agree(&mut person, &reconnect, "alice").await;
        self.front.remember_page("reconnected", &page);
        self.judge.fault(FaultRule::lasting(Fault::EchoToken).at(Endpoint::Revoke));
        self.front.send(Method::DELETE, &format!("/v1/connections/{}", ids[0]), &Value::Null).await;
        self.judge.fault(FaultRule::lasting(Fault::Answer(Canned::error_500())).at(Endpoint::Revoke));
        self.front.send(Method::DELETE, &format!("/v1/connections/{}", ids[1]), &Value::Null).await;
        self.judge.reset();
        self.front.send(Method::DELETE, &format!("/v1/connections/{}", ids[2]), &Value::Null).await;
        self.front.send(Method::DELETE, "/v1/subjects/zoe", &Value::Null).await;
    }

    /// An endpoint that nobody answers at, with two secrets, and people who are reached by mail.
    async fn is_told(&self) {
        let new = json!({ "url": "http://127.0.0.1:1/hook", "events": ["*"] });
        let made = self.front.http.post("/v1/webhooks", &new).await.expect("an answer comes").json();
        let path = format!("/v1/webhooks/{}/secret", made["id"].as_str().expect("an id"));
        let rotated = self.front.http.post(&path, &json!({})).await.expect("an answer comes").json();
        for answer in [made, rotated] {
            let secret = answer["secret"].as_str().and_then(|secret| secret.strip_prefix("whsec_")).expect("a secret");
            self.front.know("webhook secret", secret);
        }
        for subject in ["anna", "zoe", "carol"] {
            let contact = json!({ "contact": { "email": "somebody@mail.example" } });
            self.front.send(Method::PUT, &format!("/v1/subjects/{subject}/preferences"), &contact).await;
        }
    }

    /// Everything that can be looked at.
    pub async fn looks(&self) {
        let endpoints = self.front.http.get("/v1/webhooks").await.expect("an answer comes");
        let id = endpoints.json()["items"][0]["id"].as_str().expect("an endpoint").to_owned();
        self.front.get(&format!("/v1/webhooks/{id}/deliveries?limit=500")).await;
        self.front.answers.borrow_mut().push(("GET /v1/webhooks".to_owned(), endpoints.text()));
        for path in [
            "/v1/events?limit=500",
            "/v1/audit?limit=500",
            "/v1/connections?limit=500",
            "/v1/integrations?limit=500",
            "/v1/keys",
            "/v1/stats",
            "/v1/providers",
            "/v1/subjects/anna/notifications",
            "/v1/subjects/anna/preferences",
            "/metrics",
            "/healthz",
            "/readyz",
            "/openapi.json",
            "/docs",
        ] {
            assert_eq!(self.front.get(path).await.status, 200, "{path}");
        }
    }
}

/// A grant as it is imported; due soon, so that nobody need force it.
fn import(client: &str, account: &str, pair: &TokenPair) -> Value {
    json!({
        "integration": client, "subject": account, "account_id": account, "access_token": pair.access_token,
        "refresh_token": pair.refresh_token, "expires_at": "2099-01-01T00:00:00Z",
    })
}

/// What a provider knows and must not be believed to keep to itself.
struct Told {
    access: String,
    refresh: String,
    client: String,
}

/// Answers that repeat secrets, in many shapes.
const SHAPES: [fn(&Told) -> Canned; 10] = [
    |told| Canned::new("page", 403, "text/html", format!("<h1>{}</h1><p>{}</p>", told.refresh, told.access)),
    |told| json_answer(400, &json!({ "error": "invalid_grant", "error_description": told.refresh })),
    |told| json_answer(400, &json!({ "error": told.refresh, "error_uri": format!("https://x/?t={}", told.access) })),
    |told| Canned::new("text", 500, "text/plain", format!("secret {} of client", told.client)),
    |told| Canned::redirect(&format!("https://elsewhere.example/?token={}", told.refresh)),
    |told| {
        let answer = json_answer(401, &json!({ "error": "odd" }));
        answer.with("www-authenticate", &format!("Bearer error_description=\"{}\"", told.refresh))
    },
    |told| json_answer(200, &json!({ "acces_token": told.access, "refresh_tokn": told.refresh })),
    |told| {
        let hidden = base64::engine::general_purpose::STANDARD.encode(format!("grant={}", told.refresh));
        json_answer(400, &json!({ "error": "unknown_thing", "error_description": format!("grant {hidden}") }))
    },
    |told| {
        let hex: String = told.refresh.bytes().map(|byte| format!("{byte:02x}")).collect();
        let percent: String = told.client.bytes().map(|byte| format!("%{byte:02X}")).collect();
        json_answer(403, &json!({ "message": format!("{hex} {percent}") }))
    },
    |told| Canned::rate_limit(Some(&told.refresh)).with("x-secret", &told.client),
];

fn json_answer(status: u16, body: &Value) -> Canned {
    Canned::new("json", status, "application/json", body.to_string())
}
