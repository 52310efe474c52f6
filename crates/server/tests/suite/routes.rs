//! Who may call what: the router's own list of routes, each with no key, an unknown key, a revoked one, one without the
//! permission, one of another integration.

use std::collections::BTreeSet;

use evergrant::http::{Guard, Rule, rules};
use evergrant::service::access::Permission;
use evergrant_testkit::ClientConfig;
use evergrant_testkit::http::{Http, Reply};
use serde_json::json;

use crate::world::World;

/// Routes that need no key, by the contract; everything else does.
const KEYLESS: [(&str, &str); 14] = [
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/connect/{token}"),
    ("POST", "/connect/{token}"),
    ("GET", "/oauth/callback/{integration}"),
    // A form post that only leads on to it.
    ("POST", "/oauth/callback/{integration}"),
    // The pages of a subject's session, whose token is in the address.
    ("GET", "/my/{token}"),
    ("POST", "/my/{token}"),
    ("GET", "/my/{token}/preferences"),
    ("POST", "/my/{token}/preferences"),
    // The link in a mail that ends mails of its kind.
    ("GET", "/unsubscribe/{token}"),
    ("POST", "/unsubscribe/{token}"),
    // The widget's static script.
    ("GET", "/widget.js"),
    // The dashboard's sign-in page.
    ("GET", "/sign-in/{token}"),
];

/// What a subject's session opens; every other route is as closed to it as to nobody's key.
const OF_A_SESSION: [(&str, &str); 8] = [
    ("GET", "/v1/subjects/{subject}/health"),
    ("POST", "/v1/subjects/{subject}/refresh"),
    ("GET", "/v1/subjects/{subject}/notifications"),
    ("POST", "/v1/subjects/{subject}/notifications/{id}/read"),
    ("GET", "/v1/subjects/{subject}/notifications/preferences"),
    ("PUT", "/v1/subjects/{subject}/notifications/preferences"),
    ("GET", "/v1/subjects/{subject}/preferences"),
    ("PUT", "/v1/subjects/{subject}/preferences"),
];

/// The permission of each route, by the contract (docs/api.md). A route that is not here fails the test.
fn permission(method: &str, path: &str) -> Option<Permission> {
    let needed = match (method, path) {
        ("GET", path) if path.ends_with("/token") => Permission::TokensRead,
        (_, path) if path.starts_with("/v1/webhooks") => Permission::Notifications,
        (_, path) if path.contains("/notifications") || path.ends_with("/preferences") => Permission::Notifications,
        (_, path) if path.starts_with("/v1/connect-sessions") => Permission::Connect,
        ("POST", path) if path.ends_with("/sessions") => Permission::Connect,
        (_, path) if path.starts_with("/v1/keys") || path.starts_with("/v1/master-key") => Permission::Admin,
        (_, path) if ["/v1/audit", "/v1/quarantine/adopt"].contains(&path) => Permission::Admin,
        ("GET", "/v1/stats" | "/metrics") => Permission::MetricsRead,
        ("GET", path)
            if ["providers", "integrations", "connections", "jobs", "events", "subjects"].contains(&part(path)) =>
        {
            Permission::ConnectionsRead
        }
        (_, path) if part(path) == "integrations" => Permission::Admin,
        (_, path) if ["connections", "refresh", "sweep", "subjects"].contains(&part(path)) => {
            Permission::ConnectionsWrite
        }
        _ => return None,
    };
    Some(needed)
}

fn part(path: &str) -> &str {
    path.strip_prefix("/v1/").unwrap_or_default().split('/').next().unwrap_or_default()
}

struct Walk {
    world: World,
    ids: [(&'static str, String); 9],
}

impl Walk {
    async fn new() -> Self {
        let world = World::new().await;
        world.acme().await;
        world.integration(ClientConfig::new("other"), json!({})).await;
        let connection = world.connect("acme", "user-2", "alice").await;
        let job = world.post("/v1/refresh", &json!({ "dry_run": true })).await.json()["id"]
            .as_str()
            .expect("a job has an id")
            .to_owned();
        let (_, session) = world.session(&json!({ "integration": "acme", "subject": "user-2" })).await;
        let endpoint = json!({ "url": "https://receiver.example/hook", "events": ["connection.trouble"] });
        let webhook = world.post("/v1/webhooks", &endpoint).await.json()["id"].as_str().expect("an id").to_owned();
        let ids = [
            ("/v1/connections/{id}", format!("/v1/connections/{connection}")),
            ("/v1/jobs/{id}", format!("/v1/jobs/{job}")),
            ("/v1/connect-sessions/{id}", format!("/v1/connect-sessions/{session}")),
            ("/v1/providers/{id}", "/v1/providers/strava".to_owned()),
            ("/v1/keys/{id}", "/v1/keys/key_000000000000".to_owned()),
            ("/v1/webhooks/{id}", format!("/v1/webhooks/{webhook}")),
            ("/notifications/{id}", "/notifications/ntf_01arz3ndektsv4rrffq69g5fav".to_owned()),
            ("{subject}", "user-2".to_owned()),
            ("{name}", "acme".to_owned()),
        ];
        Walk { world, ids }
    }

    fn address(&self, path: &str) -> String {
        self.ids.iter().fold(path.to_owned(), |path, (from, to)| path.replace(from, to))
    }

    async fn call(&self, http: &Http, rule: &Rule) -> Reply {
        let path = self.address(&rule.path);
        assert!(!path.contains('{'), "{path}: put an id in");
        http.json(rule.method.clone(), &path, &json!({})).await.expect("an answer comes")
    }
}

fn code(reply: &Reply) -> (u16, String) {
    let document = reply.json();
    assert_eq!(reply.header("content-type"), "application/problem+json", "{}", reply.text());
    for field in ["type", "title", "detail", "action", "request_id"] {
        assert!(document[field].is_string(), "{field} is missing: {document}");
    }
    (reply.status, document["code"].as_str().unwrap_or_default().to_owned())
}

fn keyed(rule: &Rule) -> bool {
    !matches!(rule.guard, Guard::Open | Guard::OneTime)
}

#[test]
fn only_the_routes_of_the_contract_need_no_key() {
    let keyless: BTreeSet<(String, String)> =
        rules().iter().filter(|rule| !keyed(rule)).map(|rule| (rule.method.to_string(), rule.path.clone())).collect();
    let expected = KEYLESS.map(|(method, path)| (method.to_owned(), path.to_owned())).into();
    assert_eq!(keyless, expected);
}

#[test]
fn every_route_has_the_permission_of_the_contract() {
    let mut seen = BTreeSet::new();
    for rule in rules() {
        assert!(seen.insert((rule.method.to_string(), rule.path.clone())), "{rule:?} is there twice");
        match rule.guard {
            Guard::Open | Guard::OneTime => {}
            Guard::AnyKey => assert!(["/openapi.json", "/docs"].contains(&rule.path.as_str()), "{rule:?}"),
            Guard::Key(found) | Guard::KeyOrSubject(found) => {
                let expected = permission(rule.method.as_str(), &rule.path);
                assert_eq!(Some(found), expected, "{rule:?}: say in this test who may call it");
            }
        }
    }
}

#[tokio::test]
async fn without_a_key_that_counts_nothing_is_answered_but_401() {
    let walk = Walk::new().await;
    let made = walk.world.post("/v1/keys", &json!({ "permissions": ["admin"] })).await.json();
    let (revoked, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    let gone = walk.world.delete(&format!("/v1/keys/{id}")).await;
    assert_eq!(gone.status, 204, "{}", gone.text());
    let live = walk.world.key(&[Permission::Admin], None).await;
    // One wrong character, caught by the checksum; a whole key that nobody made.
    let mistyped = format!("{}{}", &live[..live.len() - 1], if live.ends_with('0') { '1' } else { '0' });
    let unknown = evergrant_core::api_key::ApiKeyText::make("live", |bytes| bytes.fill(7)).unwrap();
    let plain = Http::new(&walk.world.url);
    let callers = [
        plain.clone(),
        plain.clone().bearer(unknown.secret().expose()),
        plain.clone().bearer(revoked),
        plain.clone().bearer(&mistyped),
        plain.clone().bearer("nonsense"),
        plain.clone().header("authorization", &format!("Basic {live}")),
    ];
    for rule in rules().iter().filter(|rule| keyed(rule)) {
        for caller in &callers {
            let reply = walk.call(caller, rule).await;
            assert_eq!(code(&reply), (401, "unauthenticated".to_owned()), "{rule:?}");
            assert!(reply.header("www-authenticate").starts_with("Bearer"));
        }
    }
    walk.world.stop().await;
}

#[tokio::test]
async fn a_key_without_the_permission_is_refused_before_anything_is_read() {
    let walk = Walk::new().await;
    for rule in rules() {
        let (Guard::Key(needed) | Guard::KeyOrSubject(needed)) = rule.guard else { continue };
        let others: Vec<Permission> =
            Permission::ALL.into_iter().filter(|one| *one != needed && *one != Permission::Admin).collect();
        let key = walk.world.key(&others, None).await;
        let reply = walk.call(&Http::new(&walk.world.url).bearer(&key), &rule).await;
        assert_eq!(code(&reply), (403, "forbidden".to_owned()), "{rule:?}");
        assert_eq!(reply.json()["permission"], needed.as_str());
    }
    walk.world.stop().await;
}

#[tokio::test]
async fn a_key_of_another_integration_never_learns_that_something_exists() {
    let walk = Walk::new().await;
    let key = walk.world.key(&[Permission::Admin], Some(&["other"])).await;
    let http = Http::new(&walk.world.url).bearer(&key);
    let of_acme = [
        "/v1/connections/{id}",
        "/v1/jobs/{id}",
        "/v1/connect-sessions/{id}",
        "/v1/integrations/{name}",
        "{name}/token",
        "/v1/keys/{id}",
        "/v1/webhooks/{id}",
        "/notifications/{id}",
    ];
    for rule in rules().iter().filter(|rule| keyed(rule) && of_acme.iter().any(|part| rule.path.contains(part))) {
        // Bodies that are good: a wrong field must not be told before the thing itself is not there.
        let body = match rule.path.rsplit('/').next() {
            Some("report") => json!({ "token_id": "x", "outcome": "ok" }),
            Some("complete") => json!({ "handle": "x", "subject": "user-2" }),
            _ => json!({}),
        };
        let path = walk.address(&rule.path);
        let reply = http.json(rule.method.clone(), &path, &body).await.unwrap();
        assert_eq!(code(&reply), (404, "not_found".to_owned()), "{rule:?}: {}", reply.text());
        assert!(!reply.text().contains("acme"), "{}", reply.text());
    }
    // Lists hold nothing of it.
    for path in [
        "/v1/connections",
        "/v1/integrations",
        "/v1/events",
        "/v1/stats",
        "/v1/subjects/user-2/health",
        "/v1/subjects/user-2/notifications",
        "/metrics",
    ] {
        let reply = http.get(path).await.unwrap();
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        assert!(!reply.text().contains("acme"), "{path}: {}", reply.text());
    }
    walk.world.stop().await;
}

#[tokio::test]
async fn a_subject_session_opens_that_subjects_routes_and_nothing_else() {
    let walk = Walk::new().await;
    let made = walk.world.post("/v1/subjects/user-2/sessions", &json!({})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let session = made.json()["token"].as_str().unwrap().to_owned();
    let http = Http::new(&walk.world.url).bearer(&session);
    let token = walk.world.get(&walk.address("/v1/subjects/{subject}/integrations/{name}/token")).await.json();
    let token = token["access_token"].as_str().unwrap().to_owned();
    let mut opened = BTreeSet::new();
    for rule in rules().iter().filter(|rule| keyed(rule)) {
        let reply = walk.call(&http, rule).await;
        assert!(!reply.text().contains(&token), "{rule:?}");
        match rule.guard {
            Guard::KeyOrSubject(_) => {
                opened.insert((rule.method.to_string(), rule.path.clone()));
                assert!(![401, 403].contains(&reply.status), "{rule:?}: {}", reply.text());
                let foreign =
                    rule.path.replace("{subject}", "user-3").replace("{id}", "ntf_01arz3ndektsv4rrffq69g5fav");
                let reply = http.json(rule.method.clone(), &foreign, &json!({})).await.unwrap();
                assert_eq!(code(&reply), (404, "not_found".to_owned()), "{rule:?}");
            }
            _ => assert_eq!(code(&reply), (401, "unauthenticated".to_owned()), "{rule:?}"),
        }
    }
    assert_eq!(opened, OF_A_SESSION.map(|(method, path)| (method.to_owned(), path.to_owned())).into());
    walk.world.stop().await;
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_the_headers_that_keep_browsers_safe() {
    let walk = Walk::new().await;
    let http = walk.world.api.clone().header("x-request-id", "mine-1");
    for rule in rules() {
        let path = walk.address(&rule.path).replace("{token}", "x").replace("{integration}", "acme");
        if rule.method == http::Method::DELETE {
            continue;
        }
        let reply = http.json(rule.method.clone(), &path, &json!({})).await.unwrap();
        assert_eq!(reply.header("x-request-id"), "mine-1", "{rule:?}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(reply.header(name), value, "{name} of {rule:?}");
        }
        let policy = reply.header("content-security-policy");
        for part in ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "object-src 'none'"] {
            assert!(policy.contains(part), "{policy} of {rule:?}");
        }
        let may_be_kept = rule.path == "/widget.js";
        assert!(may_be_kept || reply.header("cache-control").contains("no-store"), "{rule:?}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
    let made = Http::new(&walk.world.url).header("x-request-id", "bad\u{7f}id").get("/healthz").await;
    if let Ok(reply) = made {
        assert_ne!(reply.header("x-request-id"), "bad\u{7f}id");
    }
    walk.world.stop().await;
}
