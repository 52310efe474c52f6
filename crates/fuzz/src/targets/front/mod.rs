//! N1, N12, N15: what comes through the front door, on a real service with a database, without a network.

mod service;

use std::collections::BTreeSet;

use evergrant::service::access::{Caller, Permission, Scope, Who};
use http::{Method, StatusCode};
use serde_json::Value;

use super::Target;
use crate::text::{Case, case};
use service::{Reply, Service, with_service};

pub const CALLBACK: Target = Target {
    name: "n1_callback",
    promise: "a callback with an unknown state changes nothing, and its page holds nothing of it unescaped",
    run: callback,
    seeds: callback_seeds,
    words: &[
        "code=",
        "state=",
        "error=",
        "iss=",
        "error_description=",
        "&",
        "=",
        "%00",
        "%3Cscript%3E",
        "<script>",
        "%22%3E",
        "'\"<>&",
        "+",
        "%",
        "%zz",
        "%ff",
        "access_denied",
        "temporarily_unavailable",
        "GET",
        "POST",
        "acme",
        "strava",
    ],
    slow: true,
};

pub const IMPORTS: Target = Target {
    name: "n12_imports",
    promise: "an import is taken whole or not at all, and nothing of it is repeated in a refusal",
    run: import,
    seeds: import_seeds,
    words: &[
        "\"integration\":\"acme\"",
        "\"subject\":\"",
        "\"access_token\":\"",
        "\"refresh_token\":\"",
        "\"expires_at\":",
        "\"account_id\":",
        "\"scopes\":[",
        "\"metadata\":{",
        "\"params\":{",
        "\"username\":",
        "\"password\":",
        "\\u0000",
        "\\ud800",
        "null",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59Z",
    ],
    slow: true,
};

pub const PLACES: Target = Target {
    name: "n15_places",
    promise: "cursors, event ids and idempotency keys show nothing that the caller may not see, whoever made them",
    run: places,
    seeds: places_seeds,
    words: &[
        "connections ",
        "events ",
        "integrations ",
        "keys ",
        "audit ",
        "notifications ",
        "follow ",
        "idempotent ",
        "bearer ",
        "limit=",
        "cursor=",
        "&",
        "evt_",
        "con_",
        "Y29uX",
        "=",
        "0",
        "500",
        "501",
        "-1",
        "%00",
        "eg_live_",
        "egs_",
    ],
    slow: true,
};

/// First line: `GET` or `POST` and the integration; the rest is the query or the form.
fn callback(bytes: &[u8]) {
    let case = Case::read(bytes);
    let (post, integration) = (case.word(0) == "POST", plain(case.word(1)));
    with_service(|service| {
        let before = service.kept();
        let reply = if post {
            service.send(Method::POST, &format!("/oauth/callback/{integration}"), &[], case.rest)
        } else {
            service.send(Method::GET, &format!("/oauth/callback/{integration}?{}", in_address(case.rest)), &[], b"")
        };
        let Some(reply) = reply else { return };
        if post && reply.status == StatusCode::SEE_OTHER {
            // The same address by GET, and nothing else.
            let on = format!("{}/oauth/callback/{integration}?", service.url);
            let here = format!("/oauth/callback/{integration}?");
            assert!(reply.location.starts_with(&on) || reply.location.starts_with(&here), "{}", reply.location);
        } else {
            assert!(reply.status.is_client_error(), "{} for {:?}", reply.status, String::from_utf8_lossy(bytes));
            escaped(service, &integration, &reply, case.rest);
        }
        assert_eq!(service.kept(), before, "an unknown state changed something");
    });
}

/// Whatever could be markup comes back only as text.
fn escaped(service: &mut Service, integration: &str, reply: &Reply, given: &[u8]) {
    let decoded = form_urlencoded::parse(given).flat_map(|(name, value)| [name.into_owned(), value.into_owned()]);
    let raw = String::from_utf8_lossy(given).into_owned();
    for text in decoded.chain([raw]) {
        let marked = text.contains(['<', '>', '"', '\'']) && text.len() >= 3;
        // A piece of markup that the page has of its own is no proof.
        let own = |service: &mut Service| {
            ["", "code=1", "state=1", "code=1&state=1", "error=1&state=1", "code=1&code=1", "code=1&error=1"]
                .iter()
                .any(|query| {
                    let path = format!("/oauth/callback/{integration}?{query}");
                    service.send(Method::GET, &path, &[], b"").is_some_and(|page| page.body.contains(&text))
                })
        };
        assert!(!marked || !reply.body.contains(&text) || own(service), "{text:?} stands in {}", reply.body);
    }
}

/// First line is free; the rest is the body.
fn import(bytes: &[u8]) {
    let case = Case::read(bytes);
    with_service(|service| {
        let before = service.kept();
        let headers = [("content-type", "application/json")];
        let Some(reply) = service.send_as(&Caller::operator(), Method::POST, "/v1/connections", &headers, case.rest)
        else {
            return;
        };
        let Ok(given) = serde_json::from_slice::<Value>(case.rest) else {
            assert!(reply.status.is_client_error(), "{}", reply.body);
            assert_eq!(service.kept(), before);
            return;
        };
        let secrets = ["access_token", "refresh_token", "token_secret", "password"];
        let told = secrets.into_iter().any(|name| {
            let text = given[name].as_str().filter(|text| text.len() >= 12);
            text.is_some_and(|text| reply.body.contains(text) && given.to_string().matches(text).count() == 1)
        });
        assert!(!told, "a secret is told: {}", reply.body);
        if !reply.status.is_success() {
            assert!(reply.status.is_client_error(), "{} {}", reply.status, reply.body);
            assert_eq!(service.kept(), before, "a refused import left something behind");
            return;
        }
        let id = reply.json()["id"].as_str().unwrap_or_default().to_owned();
        let Some(read) = service.send_as(&Caller::operator(), Method::GET, &format!("/v1/connections/{id}"), &[], b"")
        else {
            return;
        };
        let [told, kept] = [reply.json(), read.json()];
        for field in ["integration", "subject", "metadata", "status", "has_refresh_token", "expires_at", "scopes"] {
            assert_eq!(told[field], kept[field], "{field} of {}", String::from_utf8_lossy(case.rest));
        }
        for field in ["integration", "subject"] {
            assert_eq!(given[field], kept[field]);
        }
        assert!(given.get("metadata").is_none_or(|metadata| *metadata == kept["metadata"]), "{given} became {kept}");
    });
}

/// First line: what is called; `name: value` beneath it are headers; the rest is the query.
fn places(bytes: &[u8]) {
    let case = Case::read(bytes);
    let query = in_address(case.rest);
    let (path, method) = match case.word(0) {
        "connections" | "bearer" => ("/v1/connections", Method::GET),
        "events" | "follow" => ("/v1/events", Method::GET),
        "integrations" => ("/v1/integrations", Method::GET),
        "notifications" => ("/v1/subjects/nobody/notifications", Method::GET),
        "keys" => ("/v1/keys", Method::GET),
        "audit" => ("/v1/audit", Method::GET),
        "idempotent" => ("/v1/connect-sessions", Method::POST),
        _ => return,
    };
    let headers: Vec<(&str, &str)> = match case.word(0) {
        "follow" => {
            vec![("accept", "text/event-stream"), ("last-event-id", case.line("last-event-id").unwrap_or_default())]
        }
        "idempotent" => {
            vec![
                ("content-type", "application/json"),
                ("idempotency-key", case.line("idempotency-key").unwrap_or_default()),
            ]
        }
        _ => Vec::new(),
    };
    with_service(|service| {
        if case.word(0) == "bearer" {
            let bearer = format!("Bearer {}", case.line("authorization").unwrap_or_default());
            let headers = [("authorization", bearer.as_str())];
            let Some(reply) = service.send(method, &format!("{path}?{query}"), &headers, b"") else { return };
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "let in with {bearer:?}");
            return;
        }
        let body: &[u8] = if method == Method::POST { br#"{"integration":"acme","subject":"x"}"# } else { b"" };
        let caller = restricted();
        let Some(reply) = service.send_as(&caller, method.clone(), &format!("{path}?{query}"), &headers, body) else {
            return;
        };
        assert!(!reply.status.is_server_error(), "{} {}", reply.status, reply.body);
        assert!(!reply.body.contains(service::FOREIGN), "shown to one who may not see it: {}", reply.body);
        // A list whose part can be had at all is the same list from any place.
        if reply.status == StatusCode::OK && method == Method::GET && case.word(0) != "follow" {
            let items = reply.json()["items"].as_array().map_or(0, Vec::len);
            assert!(items <= 500, "{items} items");
        }
    });
}

/// One who may see `acme` and nothing else.
fn restricted() -> Caller {
    let permissions = [Permission::ConnectionsRead, Permission::Connect, Permission::Notifications];
    Caller {
        who: Who::Key("0123456789ab".to_owned()),
        permissions: BTreeSet::from(permissions),
        scope: Scope::Only(["acme".parse().expect("a name")].into()),
        request_id: String::new(),
        ends_at: None,
    }
}

/// The name of an integration, as far as it can stand in a path.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(64).collect()
}

/// Bytes as they can stand in a request line; the others percent-encoded, as every client does.
fn in_address(bytes: &[u8]) -> String {
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'#' && byte != b'"' && byte != b'<' && byte != b'>';
    let one = |byte: &u8| if fits(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
    bytes.iter().take(20_000).map(one).collect()
}

fn callback_seeds() -> Vec<Vec<u8>> {
    let queries = [
        "code=abc&state=0123456789",
        "error=access_denied&error_description=%3Cscript%3Ealert(1)%3C%2Fscript%3E&state=x",
        "code=a&code=b&state=x",
        "state=%00&iss=https%3A%2F%2Fevil.example",
        "",
        "code=%22%3E%3Cimg%20src=x%3E",
        "user=%7B%22name%22%3A1%7D&code=1&state=2",
    ];
    let all = queries
        .into_iter()
        .flat_map(|query| ["GET acme", "POST acme", "GET nobody"].map(|first| case(first, &[], query.as_bytes())));
    all.collect()
}

fn import_seeds() -> Vec<Vec<u8>> {
    [
        r#"{"integration":"acme","subject":"user-1","access_token":"at-0123456789abcdef","refresh_token":"rt-0123456789abcdef","expires_at":"2026-11-21T12:00:00Z","scopes":["a"],"metadata":{"plan":[1,2.5,null,"x"]}}"#,
        r#"{"integration":"acme","subject":"user-2","account_id":"77","access_token":"at-another-123456"}"#,
        r#"{"integration":"acme","subject":"user-1","access_token":"with blank 0123456","refresh_token":""}"#,
        r#"{"integration":"acme","subject":"\u0000","access_token":"at-0123456789abcdef"}"#,
        r#"{"integration":"nobody","subject":"user-1","access_token":"at-0123456789abcdef"}"#,
        r#"{"integration":"pasted","subject":"user-1","username":"ann","password":"hunter2-0123456"}"#,
        r#"{"integration":"pasted","subject":"user-3","access_token":"pat-0123456789"}"#,
    ]
    .map(|body| case("import", &[], body.as_bytes()))
    .to_vec()
}

fn places_seeds() -> Vec<Vec<u8>> {
    let cursor = "cursor=Y29uXzAxMjM0NTY3ODlhYmNkZWZnaGprbW5wcXI&limit=2";
    let mut seeds: Vec<Vec<u8>> = ["connections", "events", "integrations", "keys", "audit", "notifications"]
        .into_iter()
        .flat_map(|word| {
            [case(word, &[], cursor.as_bytes()), case(word, &[], b"limit=1"), case(word, &[], b"cursor=MQ")]
        })
        .collect();
    seeds.push(case("follow", &[("last-event-id", "evt_01k9zzzzzzzzzzzzzzzzzzzzzz")], b""));
    seeds.push(case("idempotent", &[("idempotency-key", "order-1")], b""));
    seeds.push(case("bearer", &[("authorization", "eg_live_0123456789ab_x")], b""));
    seeds.push(case("bearer", &[("authorization", "egs_eyJlIjoxfQ.AAAA")], b""));
    seeds
}
