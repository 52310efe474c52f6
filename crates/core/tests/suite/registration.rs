//! Clients that register themselves (RFC 7591): what is asked, byte for byte, and what every answer comes to.

use evergrant_core::provider::{ClientAuth, Provider, Renewal};
use evergrant_core::registration::{NotRegistered, Registered, registered};
use evergrant_core::time::Timestamp;
use evergrant_core::token_request::{Method, NewClient, register};
use serde_json::{Value, json};

fn provider() -> Provider {
    Provider {
        registration_url: "https://acme.example/register".to_owned(),
        client_auth: ClientAuth::Basic,
        ..Provider::default()
    }
}

fn asked(provider: &Provider, scopes: &[&str], native: bool) -> Option<Value> {
    let scopes: Vec<String> = scopes.iter().map(ToString::to_string).collect();
    let client = NewClient { redirect_uri: "https://host/cb", name: "Evergrant at host", scopes: &scopes, native };
    let request = register(provider, &client)?;
    assert_eq!((request.method, request.url.as_str()), (Method::Post, "https://acme.example/register"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    Some(serde_json::from_slice(request.body()).expect("it is JSON"))
}

#[test]
fn a_client_asks_for_what_it_will_do() {
    let expected = json!({
        "client_name": "Evergrant at host",
        "redirect_uris": ["https://host/cb"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "client_secret_basic",
        "application_type": "web",
        "scope": "read write",
    });
    assert_eq!(asked(&provider(), &["read", "write"], false), Some(expected));
    let public = Provider { client_auth: ClientAuth::None, renewal: Renewal::None, ..provider() };
    let bare = asked(&public, &[], true).unwrap();
    assert_eq!(bare["token_endpoint_auth_method"], "none");
    assert_eq!((&bare["grant_types"], &bare["application_type"]), (&json!(["authorization_code"]), &json!("native")));
    assert!(bare.get("scope").is_none(), "{bare}");
}

#[test]
fn where_nobody_can_register_nothing_is_asked() {
    assert_eq!(asked(&Provider { registration_url: String::new(), ..provider() }, &[], false), None);
    assert_eq!(asked(&Provider { client_auth: ClientAuth::SecretAsUsername, ..provider() }, &[], false), None);
}

fn answered(status: u16, body: &Value) -> Result<Registered, NotRegistered> {
    registered(status, body.to_string().as_bytes(), ClientAuth::Basic)
}

#[test]
fn the_client_is_what_the_server_says_it_is() {
    for (more, auth, ends) in [
        (json!({}), ClientAuth::Basic, None),
        (json!({ "client_secret_expires_at": 0 }), ClientAuth::Basic, None),
        (json!({ "client_secret_expires_at": "soon" }), ClientAuth::Basic, None),
        (
            json!({ "client_secret_expires_at": 1_800_000_000 }),
            ClientAuth::Basic,
            Some(Timestamp::from_seconds(1_800_000_000)),
        ),
        (json!({ "token_endpoint_auth_method": "client_secret_post", "x": [1] }), ClientAuth::Body, None),
    ] {
        let mut body = json!({ "client_id": "c-1", "client_secret": "s-1" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = answered(201, &body).unwrap();
        assert_eq!((made.client_id.as_str(), made.client_auth), ("c-1", auth), "{body}");
        let (secret, expires_at) = made.secret.unwrap();
        assert_eq!((secret.expose(), expires_at), ("s-1", ends), "{body}");
    }
    let public = json!({ "client_id": "c-1", "client_secret": "s-1", "token_endpoint_auth_method": "none" });
    assert!(answered(201, &public).unwrap().secret.is_none(), "a public client's secret is not kept");
}

#[test]
fn what_is_no_client_is_told_apart() {
    use NotRegistered::{NotNow, NotOpen, Refused, Unreadable};
    let code = |code: &str| Some(code.to_owned());
    for (status, body, expected) in [
        (401, json!({ "error": "invalid_token" }), NotOpen { status: 401 }),
        (403, json!({}), NotOpen { status: 403 }),
        (400, json!({ "error": "invalid_redirect_uri" }), Refused { status: 400, code: code("invalid_redirect_uri") }),
        (400, json!({ "error": "<b>no</b>" }), Refused { status: 400, code: None }),
        (404, json!("nothing"), Refused { status: 404, code: None }),
        (503, json!({}), NotNow { status: 503 }),
        (429, json!({}), NotNow { status: 429 }),
    ] {
        assert_eq!(answered(status, &body).map(drop), Err(expected), "{status} {body}");
    }
    for body in [
        json!("a page"),
        json!({ "client_id": 7 }),
        json!({ "client_id": "c-1" }),
        json!({ "client_id": "c-1", "client_secret": "s", "token_endpoint_auth_method": "tls_client_auth" }),
    ] {
        assert!(matches!(answered(201, &body), Err(Unreadable(_))), "{body}");
    }
}
