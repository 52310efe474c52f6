//! What an authorization server says of itself becomes an entry, or is refused in words.

use evergrant_core::discovery::{Described, NoEntry, Note, addresses, entry, lay_over, needs_discovery};
use evergrant_core::provider::{ClientAuth, Pkce, Provider, Renewal};
use serde_json::{Value, json};
use url::Url;

const ISSUER: &str = "https://auth.example.com";

fn from() -> Url {
    Url::parse("https://auth.example.com/.well-known/openid-configuration").expect("an address")
}

fn read(with: &Value) -> Result<Provider, NoEntry> {
    described(with).map(|described| described.entry)
}

fn described(with: &Value) -> Result<Described, NoEntry> {
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
    let further = read(&json!({
        "introspection_endpoint": "https://auth.example.com/introspect",
        "pushed_authorization_request_endpoint": "https://auth.example.com/par",
        "require_pushed_authorization_requests": true,
        "registration_endpoint": "https://auth.example.com/register",
        "device_authorization_endpoint": "https://auth.example.com/device",
    }))
    .unwrap();
    let addresses =
        [&further.introspect_url, &further.par_url, &further.registration_url, &further.device_authorization_url];
    assert_eq!(addresses.map(|url| url.rsplit('/').next().unwrap()), ["introspect", "par", "register", "device"]);
    assert!(further.par_required && !rich.par_required);
    for (methods, expected) in [
        (json!(["client_secret_post", "client_secret_basic"]), ClientAuth::Basic),
        (json!(["none"]), ClientAuth::None),
        (Value::Null, ClientAuth::Basic),
    ] {
        assert_eq!(read(&json!({ "token_endpoint_auth_methods_supported": methods })).unwrap().client_auth, expected);
    }
    assert_eq!(read(&json!({ "grant_types_supported": ["authorization_code"] })).unwrap().renewal, Renewal::None);
}

#[test]
fn what_cannot_be_used_is_refused_in_words() {
    for (with, expected) in [
        (json!({ "issuer": "https://evil.example" }), "speaks of the issuer https://evil.example"),
        (json!({ "issuer": "https://auth.example.com/" }), "speaks of the issuer https://auth.example.com/, not"),
        (json!({ "require_pushed_authorization_requests": true }), "`par_url`: expected where requests are pushed"),
        (
            json!({ "pushed_authorization_request_endpoint": "http://auth.example.com/par" }),
            "`par_url`: expected an address",
        ),
        (json!({ "registration_endpoint": "/register" }), "`registration_url`: expected an address"),
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

#[test]
fn the_issuer_is_the_one_that_was_asked_to_the_last_slash() {
    let with_slash = "https://auth.example.com/tenant/";
    let document = |issuer: &str| {
        json!({ "issuer": issuer, "authorization_endpoint": "https://auth.example.com/a", "token_endpoint": "https://auth.example.com/t" })
            .to_string()
    };
    let asked = addresses(with_slash).unwrap();
    assert_eq!(asked[1].as_str(), "https://auth.example.com/tenant/.well-known/openid-configuration");
    let found = entry(with_slash, &asked[1], document(with_slash).as_bytes(), false).unwrap();
    assert_eq!(found.entry.issuer, with_slash);
    let other = entry(with_slash, &asked[1], document("https://auth.example.com/tenant").as_bytes(), false);
    assert_eq!(other, Err(NoEntry::OtherIssuer("https://auth.example.com/tenant".to_owned())));
    let hostile = entry(with_slash, &asked[1], document("https://x.example/\n[rules]").as_bytes(), false);
    assert_eq!(hostile, Err(NoEntry::OtherIssuer("https://x.example/[rules]".to_owned())));
}

#[test]
fn who_the_account_is_comes_from_where_the_server_can_tell_it() {
    let userinfo = "https://auth.example.com/me";
    for (with, pointer, scopes) in [
        (json!({ "userinfo_endpoint": userinfo }), "userinfo:/sub", vec![]),
        (json!({ "userinfo_endpoint": userinfo, "scopes_supported": ["read"] }), "userinfo:/sub", vec![]),
        (json!({ "scopes_supported": ["openid"] }), "id_token:/sub", vec!["openid"]),
        // An OpenID provider that lists no scopes supports `openid`; one that lists others may refuse it.
        (json!({ "id_token_signing_alg_values_supported": ["RS256"] }), "id_token:/sub", vec!["openid"]),
        (json!({ "id_token_signing_alg_values_supported": ["RS256"], "scopes_supported": ["read"] }), "", vec![]),
    ] {
        let entry = read(&with).unwrap();
        assert_eq!(
            (entry.account_id_pointer.as_str(), entry.default_scopes),
            (pointer, scopes.iter().map(ToString::to_string).collect()),
            "{with}"
        );
    }
}

#[test]
fn what_only_an_operator_can_decide_is_noted_and_not_settled() {
    assert_eq!(described(&json!({})).unwrap().notes, []);
    let found = described(&json!({
        "token_endpoint": "https://tokens.stranger.example/token",
        "userinfo_endpoint": "https://api.example.com/me",
        "pushed_authorization_request_endpoint": "https://tokens.stranger.example/par",
        "code_challenge_methods_supported": ["S512", "x\ny"],
    }))
    .unwrap();
    let elsewhere = |field: &str| Note::OtherDomain {
        field: field.to_owned(),
        from: "example.com".to_owned(),
        to: "stranger.example".to_owned(),
    };
    let no_pkce = Note::NoPkce { methods: "S512, xy".to_owned() };
    assert_eq!(found.notes, [elsewhere("token_url"), elsewhere("par_url"), no_pkce]);
    assert_eq!((found.entry.other_domain_reason.as_str(), found.entry.pkce), ("", Pkce::Refused));
    assert!(found.notes[0].to_string().contains("`token_url` sends secrets to stranger.example"), "{}", found.notes[0]);
}

#[test]
fn the_best_method_of_pkce_that_is_named_is_taken() {
    for (methods, pkce, notes) in [
        (json!({}), Pkce::S256, vec![]),
        (json!({ "code_challenge_methods_supported": ["plain", "S256"] }), Pkce::S256, vec![]),
        (json!({ "code_challenge_methods_supported": ["plain"] }), Pkce::Plain, vec![Note::PlainPkce]),
    ] {
        let found = described(&methods).unwrap();
        assert_eq!((found.entry.pkce, found.notes), (pkce, notes), "{methods}");
    }
}

#[test]
fn what_was_written_beside_an_issuer_wins() {
    let written: Provider = serde_json::from_value(json!({
        "issuer": ISSUER, "name": "Acme", "client_auth": "body", "par_url": "", "authorize_params": {},
    }))
    .unwrap();
    assert!(needs_discovery(&written));
    let known = read(&json!({
        "scopes_supported": ["offline_access"],
        "pushed_authorization_request_endpoint": "https://auth.example.com/par",
    }))
    .unwrap();
    let given = ["issuer", "name", "client_auth", "par_url", "authorize_params"].map(str::to_owned).into();
    let whole = lay_over(&known, &written, &given).unwrap();
    assert_eq!((whole.name.as_str(), whole.client_auth, whole.par_url.as_str()), ("Acme", ClientAuth::Body, ""));
    assert!(whole.authorize_params.is_empty() && whole.token_url == known.token_url);
    assert_eq!(whole.default_scopes, ["offline_access"]);
    for more in ["token_url", "authorize_url"] {
        let mut entry = json!({ "issuer": ISSUER });
        entry[more] = "https://auth.example.com/x".into();
        assert!(!needs_discovery(&serde_json::from_value(entry).unwrap()), "{more}");
    }
}
