//! The authorization address and the callback: what an application, a provider or an attacker may put into them.

use std::collections::BTreeMap;

use evergrant_core::authorize::{
    AuthorizationRequest, BadCallback, CallbackAnswer, CannotAuthorize, ErrorKind, authorization_url, challenge,
    check_issuer, is_reserved, parse_callback, verifier, within_ceiling,
};
use evergrant_core::provider::{Pkce, Provider};
use evergrant_core::secret::OneTime;

fn provider() -> Provider {
    Provider {
        authorize_url: "https://acme.example/authorize?tenant=7&state=planted".to_owned(),
        authorize_params: BTreeMap::from([("access_type".to_owned(), "offline".to_owned())]),
        default_scopes: vec!["read".to_owned()],
        scope_separator: "comma".to_owned().into(),
        issuer: "https://acme.example".to_owned(),
        ..Provider::default()
    }
}

fn url(
    provider: &Provider,
    scopes: &[&str],
    params: &[(&str, &str)],
) -> Result<Vec<(String, String)>, CannotAuthorize> {
    let owned = |text: &&str| (*text).to_owned();
    let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let scopes: Vec<String> = scopes.iter().map(owned).collect();
    let url = authorization_url(&AuthorizationRequest {
        provider,
        client_id: "client & co",
        redirect_uri: "https://host/oauth/callback/acme",
        state: &OneTime::new("s-1"),
        verifier: &verifier(&[7; 32]),
        scopes: &scopes,
        login_hint: Some("a@b.example"),
        params: &params,
    })?;
    Ok(url.query_pairs().into_owned().collect())
}

fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
}

#[test]
fn each_parameter_stands_in_the_address_once() {
    let pairs = url(&provider(), &["read", "write"], &[("prompt", "consent"), ("access_type", "online")]).unwrap();
    assert_eq!(value(&pairs, "state"), ["s-1"]);
    assert_eq!(value(&pairs, "tenant"), ["7"]);
    assert_eq!(value(&pairs, "client_id"), ["client & co"]);
    assert_eq!(value(&pairs, "redirect_uri"), ["https://host/oauth/callback/acme"]);
    assert_eq!(value(&pairs, "response_type"), ["code"]);
    assert_eq!(value(&pairs, "scope"), ["read,write"]);
    assert_eq!(value(&pairs, "code_challenge"), [challenge(&verifier(&[7; 32])).as_str()]);
    assert_eq!(value(&pairs, "code_challenge_method"), ["S256"]);
    assert_eq!(value(&pairs, "login_hint"), ["a@b.example"]);
    assert_eq!(value(&pairs, "access_type"), ["online"]);
    assert_eq!(value(&pairs, "prompt"), ["consent"]);
}

#[test]
fn the_entry_decides_on_pkce_the_scopes_name_and_the_default_scopes() {
    let provider = Provider { pkce: Pkce::Refused, scope_param: "user_scope".to_owned(), ..provider() };
    let pairs = url(&provider, &[], &[]).unwrap();
    assert_eq!(value(&pairs, "user_scope"), ["read"]);
    assert!(value(&pairs, "scope").is_empty());
    assert!(value(&pairs, "code_challenge").is_empty());
    let none = Provider { default_scopes: Vec::new(), ..self::provider() };
    assert!(value(&url(&none, &[], &[]).unwrap(), "scope").is_empty());
    let nowhere = Provider { authorize_url: String::new(), ..self::provider() };
    assert_eq!(url(&nowhere, &[], &[]), Err(CannotAuthorize::NoEndpoint));
}

#[test]
fn an_application_cannot_set_what_is_the_protocols() {
    for name in [
        "redirect_uri",
        "Redirect_URI",
        "client_id",
        "state",
        "scope",
        "response_type",
        "response_mode",
        "code_challenge",
        "code_challenge_method",
        "nonce",
        "request",
        "request_uri",
        "iss",
        "user_scope",
        "optional_scope",
        "scopes",
        " state",
        "client_secret",
        "code",
    ] {
        let refused = url(&provider(), &[], &[(name, "evil")]);
        assert_eq!(refused, Err(CannotAuthorize::Reserved { name: name.to_owned() }), "{name}");
    }
    let own = Provider { scope_param: "rights".to_owned(), ..provider() };
    assert!(is_reserved(&own, "RIGHTS") && !is_reserved(&provider(), "rights"));
    assert!(!is_reserved(&provider(), "prompt") && !is_reserved(&provider(), "login_hint"));
}

#[test]
fn scopes_stay_below_the_ceiling() {
    let ceiling = ["a".to_owned(), "b".to_owned()];
    assert_eq!(within_ceiling(&["b".to_owned()], &ceiling), Ok(()));
    assert_eq!(within_ceiling(&[], &ceiling), Ok(()));
    let refused = within_ceiling(&["a".to_owned(), "admin".to_owned()], &ceiling);
    assert_eq!(refused, Err(CannotAuthorize::ScopeNotAllowed { scope: "admin".to_owned() }));
}

#[test]
fn a_callback_is_read_once_and_whole() {
    let good = parse_callback("code=ab%2Fc&state=s-1&iss=https%3A%2F%2Facme.example&realmId=9", "").unwrap();
    let CallbackAnswer::Code(code) = &good.answer else { panic!("a code came") };
    assert_eq!(code.expose(), "ab/c");
    assert_eq!(good.state.as_ref().map(OneTime::expose), Some("s-1"));
    assert_eq!(good.iss.as_deref(), Some("https://acme.example"));
    assert_eq!(good.param("realmId"), Some("9"));
    assert_eq!(good.param("code"), None);
    let keeping = Provider {
        keep_from_callback: BTreeMap::from([
            ("realm_id".to_owned(), "realmId".to_owned()),
            ("x".to_owned(), "y".to_owned()),
        ]),
        ..provider()
    };
    assert_eq!(serde_json::Value::Object(good.kept(&keeping)), serde_json::json!({"realm_id": "9"}));
    assert!(!format!("{good:?}").contains("ab/c"));
}

#[test]
fn a_callback_that_can_be_read_two_ways_is_refused() {
    for (query, expected) in [
        ("code=a&code=b&state=s", BadCallback::Twice("code")),
        ("code=a&state=s&state=t", BadCallback::Twice("state")),
        ("code=a&state=s&iss=x&iss=y", BadCallback::Twice("iss")),
        ("error=a&error=b", BadCallback::Twice("error")),
        ("c%6Fde=a&code=b", BadCallback::Twice("code")),
        ("code=a&error=access_denied", BadCallback::Both),
        ("code=a%0d%0ab", BadCallback::BadCode),
        ("code=%C3%A9", BadCallback::BadCode),
    ] {
        assert_eq!(parse_callback(query, "").map(drop), Err(expected), "{query}");
    }
    for nothing in ["state=s", "code=&state=s", ""] {
        assert_eq!(parse_callback(nothing, "").unwrap().answer, CallbackAnswer::Nothing, "{nothing}");
    }
    assert_eq!(parse_callback(&format!("code={}", "a".repeat(17_000)), "").map(drop), Err(BadCallback::TooLong));
    assert_eq!(parse_callback(&format!("code={}", "a".repeat(9_000)), "").map(drop), Err(BadCallback::BadCode));
}

#[test]
fn an_error_is_told_by_what_it_means_for_the_person() {
    for (error, expected) in [
        ("access_denied", ErrorKind::Denied),
        ("ACCESS_DENIED", ErrorKind::Denied),
        ("user_cancelled_login", ErrorKind::Denied),
        ("user_denied", ErrorKind::Denied),
        ("temporarily_unavailable", ErrorKind::Unavailable),
        ("server_error", ErrorKind::Unavailable),
        ("invalid_scope", ErrorKind::Refused),
        ("whatever", ErrorKind::Refused),
    ] {
        let read = parse_callback(&format!("error={error}&state=s&error_description=%3Cscript%3E"), "").unwrap();
        assert_eq!(read.answer, CallbackAnswer::Error { kind: expected, code: error.to_owned() }, "{error}");
    }
    let odd = parse_callback("error=%3Cscript%3E&state=s", "").unwrap();
    assert_eq!(odd.answer, CallbackAnswer::Error { kind: ErrorKind::Refused, code: String::new() });
}

#[test]
fn the_issuer_is_compared_where_it_is_known() {
    let (quiet, silent) = (provider(), Provider { issuer: String::new(), ..provider() });
    let announced = Provider { iss_in_callback: true, ..provider() };
    for (provider, iss, good) in [
        (&quiet, None, true),
        (&quiet, Some("https://acme.example"), true),
        (&quiet, Some("https://acme.example/"), false),
        (&quiet, Some("https://evil.example"), false),
        (&announced, None, false),
        (&announced, Some("https://acme.example"), true),
        (&announced, Some("https://evil.example"), false),
        (&silent, Some("https://anything.example"), true),
        (&silent, None, true),
    ] {
        assert_eq!(check_issuer(provider, iss).is_ok(), good, "{iss:?} announced={}", provider.iss_in_callback);
    }
}
