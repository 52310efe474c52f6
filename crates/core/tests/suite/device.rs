//! The device flow (RFC 8628): what is asked, byte for byte, and what every answer says.

use std::time::Duration;

use evergrant_core::device::{NotStarted, Person, person, started};
use evergrant_core::provider::{ClientAuth, Provider};
use evergrant_core::secret::{ClientProof, DeviceCode};
use evergrant_core::token_request::{Client, device_authorization, exchange_device_code};
use serde_json::{Value, json};

fn provider(client_auth: ClientAuth) -> Provider {
    Provider {
        device_authorization_url: "https://acme.example/device".to_owned(),
        token_url: "https://acme.example/token".to_owned(),
        scope_separator: "comma".to_owned().into(),
        client_auth,
        ..Provider::default()
    }
}

#[test]
fn a_code_is_asked_for_and_then_the_grant() {
    let secret = ClientProof::new("s");
    let client = Client { id: "id 1", proof: Some(&secret), redirect_uri: "https://host/cb" };
    let scopes = ["a".to_owned(), "b".to_owned()];
    let asked = device_authorization(&provider(ClientAuth::Basic), &client, &scopes).unwrap();
    assert_eq!(asked.url.as_str(), "https://acme.example/device");
    assert_eq!(asked.body(), b"client_id=id+1&scope=a%2Cb");
    assert!(asked.header("authorization").is_some());
    let bare = device_authorization(&provider(ClientAuth::Body), &client, &[]).unwrap();
    assert_eq!(bare.body(), b"client_id=id+1&client_secret=s");
    assert_eq!(device_authorization(&Provider::default(), &client, &[]), None);
    let grant = exchange_device_code(&provider(ClientAuth::Basic), &client, &DeviceCode::new("d&1"));
    assert_eq!(grant.url.as_str(), "https://acme.example/token");
    let expected = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=d%261&client_id=id+1";
    assert_eq!(std::str::from_utf8(grant.body()), Ok(expected));
}

fn answer(more: &Value) -> Vec<u8> {
    let mut answer =
        json!({ "device_code": "d-1", "user_code": "WDJB-MJHT", "verification_uri": "https://acme.example/go" });
    let members = answer.as_object_mut().expect("an object");
    members.extend(more.as_object().cloned().unwrap_or_default());
    members.retain(|_, value| !value.is_null());
    answer.to_string().into_bytes()
}

#[test]
fn what_a_code_lacks_is_filled_in_and_what_is_absurd_is_bounded() {
    let seconds = Duration::from_secs;
    for (more, lives, interval) in [
        (json!({}), 600, 5),
        (json!({ "expires_in": 1800, "interval": 7 }), 1800, 7),
        (json!({ "expires_in": 86_400, "interval": 0 }), 3600, 5),
        (json!({ "expires_in": -1, "interval": 1_000_000 }), 600, 300),
    ] {
        let code = started(200, &answer(&more)).unwrap();
        assert_eq!((code.lives, code.interval), (seconds(lives), seconds(interval)), "{more}");
        assert_eq!((code.user_code.as_str(), code.device_code.expose()), ("WDJB-MJHT", "d-1"));
    }
    let complete = json!({ "verification_uri_complete": "https://acme.example/go?code=1" });
    assert!(started(200, &answer(&complete)).unwrap().verification_uri_complete.is_some());
    let unsafe_one = json!({ "verification_uri_complete": "javascript:alert(1)" });
    assert_eq!(started(200, &answer(&unsafe_one)).unwrap().verification_uri_complete, None);
    let older = json!({ "verification_uri": null, "verification_url": "https://acme.example/go" });
    assert_eq!(started(200, &answer(&older)).unwrap().verification_uri, "https://acme.example/go");
}

#[test]
fn what_is_no_code_says_whose_trouble_it_is() {
    for more in [
        json!({ "user_code": "" }),
        json!({ "user_code": "a\u{7}b" }),
        json!({ "device_code": null }),
        json!({ "verification_uri": "http://acme.example/go" }),
        json!({ "verification_uri": "javascript:alert(1)" }),
    ] {
        assert_eq!(started(200, &answer(&more)).map(drop), Err(NotStarted::Unreadable), "{more}");
    }
    let scope = Some("invalid_scope".to_owned());
    for (status, body, expected) in [
        (401, "{}", NotStarted::Client { status: 401 }),
        (400, r#"{"error":"unauthorized_client"}"#, NotStarted::Client { status: 400 }),
        (400, r#"{"error":"invalid_scope"}"#, NotStarted::Request { status: 400, code: scope }),
        (404, "", NotStarted::Request { status: 404, code: None }),
        (503, "", NotStarted::NotNow { status: 503 }),
    ] {
        assert_eq!(started(status, body.as_bytes()).map(drop), Err(expected), "{status} {body}");
    }
}

#[test]
fn the_person_is_heard_whatever_else_the_answer_says() {
    for (error, expected) in [
        ("authorization_pending", Person::Undecided),
        ("slow_down", Person::AskedTooOften),
        ("access_denied", Person::Denied),
        ("expired_token", Person::TooLate),
        ("invalid_grant", Person::Decided),
    ] {
        assert_eq!(person(json!({ "error": error }).to_string().as_bytes()), expected);
    }
    assert_eq!(person(br#"{"access_token":"a"}"#), Person::Decided);
    assert_eq!(person(b"<html>"), Person::Decided);
}
