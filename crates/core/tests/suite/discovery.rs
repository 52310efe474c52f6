//! What an authorization server says of itself becomes an entry, or is refused in words.

use evergrant_core::discovery::{NoEntry, addresses, entry};
use evergrant_core::provider::{ClientAuth, Pkce, Provider, Renewal};
use serde_json::{Value, json};
use url::Url;

const ISSUER: &str = "https://auth.example.com";

fn from() -> Url {
    Url::parse("https://auth.example.com/.well-known/openid-configuration").expect("an address")
}

fn read(with: &Value) -> Result<Provider, NoEntry> {
    let mut document = json!({
        "issuer": ISSUER,
        "authorization_endpoint": "https://auth.example.com/authorize",
        "token_endpoint": "https://auth.example.com/token",
        "response_types_supported": ["code"],
        "something_new": { "of": "later" },
    });
    let members = document.as_object_mut().expect("an object");
    for (name, value) in with.as_object().expect("an object") {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    entry(ISSUER, &from(), document.to_string().as_bytes(), false)
}

#[test]
fn an_issuer_is_asked_where_the_standards_say() {
    let asked = |issuer: &str| addresses(issuer).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
    let plain = [
        "https://auth.example.com/.well-known/oauth-authorization-server",
        "https://auth.example.com/.well-known/openid-configuration",
    ];
    assert_eq!(asked("https://auth.example.com").unwrap(), plain);
    assert_eq!(asked("https://auth.example.com/").unwrap(), plain);
    assert_eq!(
        asked("https://auth.example.com/tenant/1").unwrap(),
        [
            "https://auth.example.com/.well-known/oauth-authorization-server/tenant/1",
            "https://auth.example.com/tenant/1/.well-known/openid-configuration",
            "https://auth.example.com/.well-known/openid-configuration/tenant/1",
        ]
    );
    for no_issuer in
        ["auth.example.com", "http://auth.example.com", "https://a.example/?x=1", "https://me@a.example", "ftp://a"]
    {
        assert_eq!(asked(no_issuer), Err(NoEntry::NotAnIssuer), "{no_issuer}");
    }
    assert!(asked("http://127.0.0.1:9000").is_ok());
}

#[test]
fn what_is_said_stands_in_the_entry() {
    let bare = read(&json!({})).unwrap();
    assert_eq!((bare.client_auth, bare.pkce, bare.renewal), (ClientAuth::Basic, Pkce::S256, Renewal::RefreshToken));
    assert_eq!((bare.issuer.as_str(), bare.iss_in_callback, bare.verified), (ISSUER, false, false));
    assert_eq!((bare.account_id_pointer.as_str(), bare.default_scopes.len()), ("", 0));
    assert_eq!(bare.sources, [from().to_string()]);
    let rich = read(&json!({
        "revocation_endpoint": "https://auth.example.com/revoke",
        "userinfo_endpoint": "https://auth.example.com/me",
        "scopes_supported": ["openid", "profile", "offline_access"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_post"],
    }))
    .unwrap();
    assert_eq!((rich.client_auth, rich.iss_in_callback), (ClientAuth::Body, true));
    assert_eq!(rich.default_scopes, ["openid", "offline_access"]);
    assert_eq!(rich.account_id_pointer, "id_token:/sub | userinfo:/sub");
    assert_eq!(rich.authorize_params["prompt"], "consent");
    for (methods, expected) in [
        (json!(["client_secret_post", "client_secret_basic"]), ClientAuth::Basic),
        (json!(["none"]), ClientAuth::None),
        (Value::Null, ClientAuth::Basic),
    ] {
        assert_eq!(read(&json!({ "token_endpoint_auth_methods_supported": methods })).unwrap().client_auth, expected);
    }
    assert_eq!(read(&json!({ "code_challenge_methods_supported": ["plain"] })).unwrap().pkce, Pkce::Refused);
    assert_eq!(read(&json!({ "grant_types_supported": ["authorization_code"] })).unwrap().renewal, Renewal::None);
}

#[test]
fn what_cannot_be_used_is_refused_in_words() {
    for (with, expected) in [
        (json!({ "issuer": "https://evil.example" }), "speaks of the issuer https://evil.example"),
        (json!({ "issuer": null }), "missing field `issuer`"),
        (json!({ "token_endpoint": null }), "does not offer a token endpoint"),
        (json!({ "authorization_endpoint": null }), "does not offer an authorization endpoint"),
        (json!({ "grant_types_supported": ["client_credentials"] }), "does not offer the authorization code grant"),
        (json!({ "token_endpoint_auth_methods_supported": ["tls_client_auth"] }), "does not offer a way for clients"),
        (json!({ "token_endpoint": "http://auth.example.com/token" }), "`token_url`: expected an address with https"),
        (json!({ "revocation_endpoint": "https://me:pw@auth.example.com/" }), "`revoke_url`: expected an address"),
    ] {
        let refused = read(&with).map(drop).expect_err("it is refused").to_string();
        assert!(refused.contains(expected) && !refused.contains("me:pw"), "{with}: {refused}");
    }
    let page = entry(ISSUER, &from(), b"<!doctype html>", false).map(drop).expect_err("it is refused");
    assert!(matches!(page, NoEntry::NotMetadata(_)), "{page}");
}
