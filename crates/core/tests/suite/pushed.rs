//! Pushed authorization requests (RFC 9126): what is pushed, what an answer comes to, and where the browser goes then.

use std::collections::BTreeMap;

use evergrant_core::authorize::{
    AuthorizationRequest, NotPushed, authorization_params, authorization_url, pushed_url, request_uri, verifier,
};
use evergrant_core::provider::{ClientAuth, Provider, TokenFormat};
use evergrant_core::secret::{ClientProof, OneTime};
use evergrant_core::token_request::{Client, HttpRequest, push};

fn provider() -> Provider {
    Provider {
        authorize_url: "https://acme.example/authorize?tenant=7&client_id=planted".to_owned(),
        par_url: "https://acme.example/par".to_owned(),
        client_auth: ClientAuth::Basic,
        // A form, whatever the token endpoint wants (RFC 9126 §2.1).
        token_format: TokenFormat::Json,
        ..Provider::default()
    }
}

fn with_request<T>(provider: &Provider, look: impl FnOnce(&AuthorizationRequest<'_>) -> T) -> T {
    look(&AuthorizationRequest {
        provider,
        client_id: "id 1",
        redirect_uri: "https://host/cb",
        state: &OneTime::new("s-1"),
        verifier: &verifier(&[7; 32]),
        scopes: &["read".to_owned()],
        login_hint: None,
        params: &BTreeMap::new(),
    })
}

fn pushing(provider: &Provider) -> Option<HttpRequest> {
    let params = with_request(provider, |request| authorization_params(request).expect("it can be made"));
    let secret = ClientProof::new("s&1");
    push(provider, &Client { id: "id 1", proof: Some(&secret), redirect_uri: "https://host/cb" }, &params)
}

fn pairs(request: &HttpRequest) -> Vec<(String, String)> {
    form_urlencoded::parse(request.body()).into_owned().collect()
}

#[test]
fn what_would_stand_in_the_address_is_pushed_with_the_clients_credentials() {
    let request = pushing(&provider()).unwrap();
    assert_eq!(request.url.as_str(), "https://acme.example/par");
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert!(request.header("authorization").is_some_and(|value| value.starts_with("Basic ")));
    let in_address = with_request(&provider(), |request| authorization_url(request).unwrap());
    let mut expected: Vec<(String, String)> = in_address.query_pairs().into_owned().collect();
    expected.sort();
    assert_eq!(pairs(&request), expected);
    let in_body = pushing(&Provider { client_auth: ClientAuth::Body, ..provider() }).unwrap();
    assert!(pairs(&in_body).contains(&("client_secret".to_owned(), "s&1".to_owned())));
    assert_eq!(pairs(&in_body).iter().filter(|(name, _)| name == "client_id").count(), 1);
    assert_eq!(pushing(&Provider { par_url: String::new(), ..provider() }), None);
}

#[test]
fn the_browser_brings_nothing_but_the_client_and_the_reference() {
    let url = pushed_url(&provider(), "id 1", "urn:x:1&2").unwrap();
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let expected = [("tenant", "7"), ("client_id", "id 1"), ("request_uri", "urn:x:1&2")];
    assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn an_answer_without_a_reference_says_whose_trouble_it_is() {
    let body = br#"{"request_uri":"urn:ietf:params:oauth:request_uri:x","expires_in":60}"#;
    for status in [200, 201] {
        assert_eq!(request_uri(status, body).as_deref(), Ok("urn:ietf:params:oauth:request_uri:x"));
    }
    let code = |code: &str| Some(code.to_owned());
    for (status, body, expected) in [
        (201, "<html>", NotPushed::NotNow { status: 201 }),
        (201, r#"{"request_uri":"with space"}"#, NotPushed::NotNow { status: 201 }),
        (401, "", NotPushed::Client { status: 401 }),
        (400, r#"{"error":"invalid_client"}"#, NotPushed::Client { status: 400 }),
        (400, r#"{"error":"invalid_scope"}"#, NotPushed::Request { status: 400, code: code("invalid_scope") }),
        (403, "", NotPushed::Request { status: 403, code: None }),
        (413, "", NotPushed::Request { status: 413, code: None }),
        (404, "", NotPushed::NotNow { status: 404 }),
        (429, "", NotPushed::NotNow { status: 429 }),
        (502, "", NotPushed::NotNow { status: 502 }),
        (400, r#"{"error":"temporarily_unavailable"}"#, NotPushed::NotNow { status: 400 }),
    ] {
        assert_eq!(request_uri(status, body.as_bytes()), Err(expected), "{status} {body}");
    }
}
