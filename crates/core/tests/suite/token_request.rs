//! Requests to token endpoints, byte for byte.

use std::collections::BTreeMap;

use evergrant_core::provider::{ClientAuth, Provider, Renewal, RevokeWith, TokenFormat};
use evergrant_core::secret::{AccessToken, AuthorizationCode, ClientProof, CodeVerifier, RefreshToken};
use evergrant_core::token_request::{self, Client, HttpRequest, Method};

const REDIRECT_URI: &str = "https://h/cb?x=1";

fn provider() -> Provider {
    Provider {
        token_url: "https://acme.example/token".to_owned(),
        revoke_url: "https://acme.example/revoke".to_owned(),
        userinfo_url: "https://acme.example/me".to_owned(),
        ..Provider::default()
    }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn refresh(provider: &Provider, secret: Option<&str>) -> HttpRequest {
    let secret = secret.map(ClientProof::new);
    let client = Client { id: "id 1", proof: secret.as_ref(), redirect_uri: REDIRECT_URI };
    token_request::refresh(provider, &client, &RefreshToken::new("rt/+&1"))
}

fn text(request: &HttpRequest) -> &str {
    std::str::from_utf8(request.body()).expect("bodies are text")
}

#[test]
fn a_refresh_is_a_form_with_the_clients_credentials_in_the_body() {
    let request = refresh(&provider(), Some("s&1"));
    assert_eq!((request.method, request.url.as_str()), (Method::Post, "https://acme.example/token"));
    assert_eq!(
        text(&request),
        "grant_type=refresh_token&refresh_token=rt%2F%2B%261&client_id=id+1&client_secret=s%261"
    );
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.header("accept"), Some("application/json"));
    assert_eq!(request.header("user-agent"), Some(concat!("evergrant/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(request.header("authorization"), None);
}

#[test]
fn basic_credentials_are_form_encoded_before_they_are_joined() {
    let basic = Provider { client_auth: ClientAuth::Basic, ..provider() };
    let request = refresh(&basic, Some("p:ss wörd%"));
    // base64("id+1:p%3Ass+w%C3%B6rd%25")
    assert_eq!(request.header("authorization"), Some("Basic aWQrMTpwJTNBc3MrdyVDMyVCNnJkJTI1"));
    assert_eq!(text(&request), "grant_type=refresh_token&refresh_token=rt%2F%2B%261");
}

#[test]
fn a_public_client_sends_its_id_alone_whatever_the_entry_says() {
    for client_auth in [ClientAuth::Basic, ClientAuth::Body, ClientAuth::None] {
        let request = refresh(&Provider { client_auth, ..provider() }, None);
        assert_eq!(text(&request), "grant_type=refresh_token&refresh_token=rt%2F%2B%261&client_id=id+1");
        assert_eq!(request.header("authorization"), None);
    }
    let request = refresh(&Provider { client_auth: ClientAuth::None, ..provider() }, Some("unused"));
    assert!(!text(&request).contains("unused"));
}

#[test]
fn json_and_query_are_written_where_the_entry_wants_them() {
    let json = refresh(&Provider { token_format: TokenFormat::Json, ..provider() }, Some("s\"1"));
    let body: BTreeMap<String, String> = serde_json::from_slice(json.body()).unwrap();
    let expected = [
        ("grant_type", "refresh_token"),
        ("refresh_token", "rt/+&1"),
        ("client_id", "id 1"),
        ("client_secret", "s\"1"),
    ];
    assert_eq!(body, map(&expected));
    assert_eq!(json.header("content-type"), Some("application/json"));
    let with_query = Provider {
        token_format: TokenFormat::Query,
        token_url: "https://acme.example/token?v=2".to_owned(),
        ..provider()
    };
    let query = refresh(&with_query, Some("s"));
    assert_eq!(query.method, Method::Post);
    assert_eq!(
        query.url.as_str(),
        "https://acme.example/token?v=2&grant_type=refresh_token&refresh_token=rt%2F%2B%261&client_id=id+1&client_secret=s"
    );
    assert!(query.body().is_empty());
}

#[test]
fn further_parameters_and_headers_replace_standard_ones() {
    let odd = Provider {
        refresh_url: "https://acme.example/renew".to_owned(),
        refresh_params: map(&[("grant_type", "special"), ("action", "requesttoken")]),
        token_headers: map(&[("Accept", "text/plain"), ("Notion-Version", "2022-06-28")]),
        ..provider()
    };
    let request = refresh(&odd, None);
    assert_eq!(request.url.as_str(), "https://acme.example/renew");
    assert_eq!(text(&request), "grant_type=special&refresh_token=rt%2F%2B%261&client_id=id+1&action=requesttoken");
    assert_eq!(request.header("accept"), Some("text/plain"));
    assert_eq!(request.header("notion-version"), Some("2022-06-28"));
    assert_eq!(request.headers.iter().filter(|(name, _)| name == "accept").count(), 1);
}

#[test]
fn a_code_is_exchanged_with_its_verifier_and_redirect_uri() {
    let client = Client { id: "id", proof: None, redirect_uri: REDIRECT_URI };
    let (code, verifier) = (AuthorizationCode::new("c/1"), CodeVerifier::new("v~1"));
    let provider = Provider { token_params: map(&[("action", "requesttoken")]), ..provider() };
    let request = token_request::exchange_code(&provider, &client, &code, Some(&verifier));
    assert_eq!(
        text(&request),
        "grant_type=authorization_code&code=c%2F1&redirect_uri=https%3A%2F%2Fh%2Fcb%3Fx%3D1&code_verifier=v%7E1&client_id=id&action=requesttoken"
    );
    let without = token_request::exchange_code(&provider, &client, &code, None);
    assert!(!text(&without).contains("code_verifier"));
}

#[test]
fn a_live_access_token_renews_itself_where_nothing_else_does() {
    let provider = Provider {
        renewal: Renewal::AccessToken,
        renewal_param: "fb_exchange_token".to_owned(),
        refresh_params: map(&[("grant_type", "fb_exchange_token")]),
        ..provider()
    };
    let secret = ClientProof::new("s");
    let client = Client { id: "id", proof: Some(&secret), redirect_uri: REDIRECT_URI };
    let (rt, at) = (RefreshToken::new("rt"), AccessToken::new("at"));
    let request = token_request::renewal_of(&provider, &client, Some(&rt), Some(&at)).expect("a request");
    assert_eq!(text(&request), "fb_exchange_token=at&client_id=id&client_secret=s&grant_type=fb_exchange_token");
    let by_refresh = token_request::renewal_of(&self::provider(), &client, Some(&rt), Some(&at)).expect("a request");
    assert!(text(&by_refresh).starts_with("grant_type=refresh_token&refresh_token=rt"));
    assert_eq!(token_request::renewal_of(&self::provider(), &client, None, Some(&at)), None);
    let none = Provider { renewal: Renewal::None, ..self::provider() };
    assert_eq!(token_request::renewal_of(&none, &client, Some(&rt), Some(&at)), None);
}

#[test]
fn a_revocation_sends_the_refresh_token_first() {
    let secret = ClientProof::new("s");
    let client = Client { id: "id", proof: Some(&secret), redirect_uri: REDIRECT_URI };
    let (rt, at) = (RefreshToken::new("rt"), AccessToken::new("at"));
    let revoke = |provider: &Provider, rt, at| token_request::revoke(provider, &client, rt, at);
    let request = revoke(&provider(), Some(&rt), Some(&at)).expect("a request");
    assert_eq!(request.url.as_str(), "https://acme.example/revoke");
    assert_eq!(text(&request), "token=rt&token_type_hint=refresh_token&client_id=id&client_secret=s");
    let request = revoke(&provider(), None, Some(&at)).expect("a request");
    assert!(text(&request).starts_with("token=at&token_type_hint=access_token"));
    assert_eq!(revoke(&provider(), None, None), None);
    assert_eq!(revoke(&Provider { revoke_url: String::new(), ..provider() }, Some(&rt), None), None);

    let strava = Provider { revoke_with: RevokeWith::AccessToken, ..provider() };
    assert_eq!(text(&revoke(&strava, Some(&rt), Some(&at)).expect("a request")), "access_token=at");
    assert_eq!(revoke(&strava, Some(&rt), None), None);
    let dropbox = Provider { revoke_with: RevokeWith::Bearer, ..provider() };
    let request = revoke(&dropbox, Some(&rt), Some(&at)).expect("a request");
    assert_eq!((request.header("authorization"), text(&request)), (Some("Bearer at"), ""));
    assert_eq!(request.header("content-type"), None);
}

#[test]
fn the_account_is_asked_for_with_the_access_token() {
    let provider = Provider { userinfo_headers: map(&[("Client-Id", "{client_id}")]), ..provider() };
    let request = token_request::userinfo(&provider, "id 1", &AccessToken::new("at")).expect("a request");
    assert_eq!((request.method, request.url.as_str()), (Method::Get, "https://acme.example/me"));
    assert_eq!((request.header("authorization"), request.header("client-id")), (Some("Bearer at"), Some("id 1")));
    let in_path = Provider { userinfo_url: "https://acme.example/tokens/{access_token}".to_owned(), ..provider };
    let request = token_request::userinfo(&in_path, "id", &AccessToken::new("a/../b")).expect("a request");
    assert_eq!(request.url.as_str(), "https://acme.example/tokens/a%2F..%2Fb");
    assert_eq!(token_request::userinfo(&Provider::default(), "id", &AccessToken::new("at")), None);
}

#[test]
fn a_request_does_not_show_what_it_carries() {
    let query = Provider { token_format: TokenFormat::Query, client_auth: ClientAuth::Basic, ..provider() };
    let shown = format!("{:?}", refresh(&query, Some("client-secret")));
    assert_eq!(shown, "<POST to acme.example, 0 bytes>");
    let in_path = Provider { userinfo_url: "https://acme.example/tokens/{access_token}".to_owned(), ..provider() };
    let request = token_request::userinfo(&in_path, "id", &AccessToken::new("at-secret")).expect("a request");
    assert!(!format!("{request:?}").contains("at-secret"));
}

#[test]
fn a_provider_with_words_of_its_own_is_spoken_to_in_them() {
    let names = map(&[("client_id", "client_key"), ("code", "auth_code"), ("grant_type", "")]);
    let entry = Provider {
        param_names: names,
        token_params: map(&[("client_id", "its own")]),
        redirect_uri_on_refresh: true,
        ..provider()
    };
    let client_secret = ClientProof::new("s");
    let client = Client { id: "id", proof: Some(&client_secret), redirect_uri: "https://h/cb" };
    let exchange = token_request::exchange_code(&entry, &client, &AuthorizationCode::new("c"), None);
    assert_eq!(
        text(&exchange),
        "auth_code=c&redirect_uri=https%3A%2F%2Fh%2Fcb&client_key=id&client_secret=s&client_id=its+own"
    );
    let refresh = token_request::refresh(&entry, &client, &RefreshToken::new("r"));
    assert_eq!(text(&refresh), "refresh_token=r&redirect_uri=https%3A%2F%2Fh%2Fcb&client_key=id&client_secret=s");
    let by_get = Provider { token_format: TokenFormat::Get, ..provider() };
    let refresh = token_request::refresh(&by_get, &client, &RefreshToken::new("r"));
    assert_eq!((refresh.method, refresh.body()), (Method::Get, [].as_slice()));
    assert_eq!(
        refresh.url.as_str(),
        "https://acme.example/token?grant_type=refresh_token&refresh_token=r&client_id=id&client_secret=s"
    );
    let key = Provider { client_auth: ClientAuth::SecretAsUsername, ..provider() };
    let refresh = token_request::refresh(&key, &client, &RefreshToken::new("r"));
    assert_eq!(refresh.header("authorization"), Some("Basic czo="));
    assert_eq!(text(&refresh), "grant_type=refresh_token&refresh_token=r");
    let named = Provider { token_headers: map(&[("client-id", "{client_id}")]), ..provider() };
    let refresh = token_request::refresh(&named, &client, &RefreshToken::new("r"));
    assert_eq!(refresh.header("client-id"), Some("id"));
    let scheme = Provider { userinfo_scheme: "OAuth".to_owned(), ..provider() };
    let question = token_request::userinfo(&scheme, "id", &AccessToken::new("a")).unwrap();
    assert_eq!(question.header("authorization"), Some("OAuth a"));
}
