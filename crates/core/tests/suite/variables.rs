//! What differs from one account to the next stands in addresses that secrets are sent to.

use std::collections::BTreeMap;
use std::sync::Arc;

use evergrant_core::authorize::{AuthorizationRequest, authorization_url};
use evergrant_core::catalogue::Catalogue;
use evergrant_core::provider::{Provider, Unfilled, Variable};
use evergrant_core::secret::{CodeVerifier, OneTime};
use proptest::prelude::*;
use serde_json::{Value, json};

fn entry(with: &Value) -> Result<Provider, String> {
    let mut whole = json!({
        "name": "Acme",
        "authorize_url": "https://{shop}.acme.example/authorize",
        "token_url": "https://{shop}.acme.example/token",
        "variables": { "shop": { "pattern": "[a-z0-9-]+", "title": "the shop's name", "example": "my-shop" } },
    });
    let members = whole.as_object_mut().expect("an object");
    members.extend(with.as_object().expect("an object").clone());
    let read: Provider = serde_json::from_value(whole).map_err(|error| error.to_string())?;
    Catalogue::default().inline(&read, false).map_err(|fault| format!("{}: {}", fault.field, fault.expected))
}

fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_operator_comes_first_then_the_connection_then_the_default() {
    let entry = Arc::new(entry(&json!({})).unwrap());
    let of = |operator: &[(&str, &str)], connection: Option<&str>| {
        let filled = entry.filled(&values(operator), |_| connection.map(str::to_owned));
        filled.map(|provider| provider.token_url.clone())
    };
    assert_eq!(of(&[("shop", "one")], Some("two")).unwrap(), "https://one.acme.example/token");
    assert_eq!(of(&[], Some("two")).unwrap(), "https://two.acme.example/token");
    assert!(matches!(of(&[], None), Err(Unfilled::Missing { .. })));
    for evil in ["a.b/c", "evil.example/", "x@y", "a:80", "..", ".", "", "A", "a?b", "a#b", "%2e", "a b", "ä"] {
        let refused = of(&[], Some(evil)).unwrap_err();
        assert_eq!(refused.name(), "shop");
        assert!(evil.len() < 3 || !refused.to_string().contains(evil), "{evil}: {refused}");
    }
}

#[test]
fn who_can_choose_the_domain_is_only_the_operator() {
    let host = |with: &Value| {
        let mut variable = json!({ "pattern": "[a-z.]+", "title": "your server", "example": "git.example.org" });
        variable.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        entry(&json!({
            "authorize_url": "https://{shop}/authorize", "token_url": "https://{shop}/token", "variables": { "shop": variable },
        }))
    };
    let refused = host(&json!({})).unwrap_err();
    assert!(refused.starts_with("variables.shop.host: expected true"), "{refused}");
    let own = Arc::new(host(&json!({ "host": true })).unwrap());
    let from_connection = own.filled(&BTreeMap::new(), |_| Some("evil.example".to_owned()));
    assert!(matches!(from_connection, Err(Unfilled::Missing { .. })));
    let by_operator = own.filled(&values(&[("shop", "git.example.org")]), |_| None).unwrap();
    assert_eq!(by_operator.token_url, "https://git.example.org/token");
    let listed = Arc::new(
        host(&json!({ "pattern": "eu\\.acme\\.example|us\\.acme\\.example", "example": "eu.acme.example" })).unwrap(),
    );
    let from_connection = listed.filled(&BTreeMap::new(), |_| Some("us.acme.example".to_owned())).unwrap();
    assert_eq!(from_connection.token_url, "https://us.acme.example/token");
    assert!(listed.filled(&BTreeMap::new(), |_| Some("evil.example".to_owned())).is_err());
}

#[test]
fn an_entry_describes_each_of_its_variables() {
    for (with, expected) in [
        (
            json!({ "revoke_url": "https://{region}.acme.example/revoke" }),
            "revoke_url: expected `region` to be described",
        ),
        (json!({ "authorize_params": { "audience": "{who}" } }), "authorize_params.audience: expected `who`"),
        (json!({ "token_url": "https://{sh op}.acme.example/" }), "token_url: expected braces only around"),
        (
            json!({ "variables": { "shop": { "pattern": "[", "title": "t", "example": "x" } } }),
            "variables.shop.pattern: expected a regular expression",
        ),
        (
            json!({ "variables": { "shop": { "pattern": "[a-z]+", "title": "t", "example": "9" } } }),
            "variables.shop.example: expected a value that fits",
        ),
        (
            json!({ "variables": { "shop": { "pattern": "[a-z]+", "example": "x" } } }),
            "variables.shop.title: expected what to ask for",
        ),
        (
            json!({ "variables": { "shop": { "pattern": "[a-z]+", "title": "t", "example": "x", "default": "X" } } }),
            "variables.shop.default: expected a value that fits",
        ),
        (json!({ "param_names": { "scope": "s" } }), "param_names.scope: expected one of"),
    ] {
        let refused = entry(&with).unwrap_err();
        assert!(refused.starts_with(expected), "{with}: {refused}");
    }
}

#[test]
fn a_provider_that_wants_a_name_for_the_redirect_uri_gets_it() {
    let params = json!({ "redirect_uri": "{shop}" });
    let with =
        |names: &Value| entry(&json!({ "authorize_params": params, "token_params": params, "param_names": names }));
    let refused = with(&json!({})).unwrap_err();
    assert!(refused.starts_with("authorize_params.redirect_uri: this name is set by the service"), "{refused}");
    let own = Arc::new(with(&json!({ "redirect_uri": "" })).unwrap());
    let filled = own.filled(&values(&[("shop", "acme-shop")]), |_| None).unwrap();
    assert_eq!(filled.token_params.get("redirect_uri").map(String::as_str), Some("acme-shop"));
    let request = AuthorizationRequest {
        provider: &filled,
        client_id: "id",
        redirect_uri: "https://h/cb",
        state: &OneTime::new("s"),
        verifier: &CodeVerifier::new("v"),
        scopes: &[],
        login_hint: None,
        params: &BTreeMap::new(),
    };
    let url = authorization_url(&request).unwrap();
    let sent: Vec<_> = url.query_pairs().filter(|(name, _)| name == "redirect_uri").map(|(_, value)| value).collect();
    assert_eq!(sent, ["acme-shop"]);
}

#[test]
fn a_value_of_no_variable_is_named() {
    let entry = entry(&json!({})).unwrap();
    assert_eq!(entry.check_values(&values(&[("shop", "x")])), Ok(()));
    let unknown = entry.check_values(&values(&[("shp", "x")])).unwrap_err();
    assert_eq!(unknown.to_string(), "the value of `shp` does not fit: expected one of `shop`");
    let unfit = entry.check_values(&values(&[("shop", "no shop")])).unwrap_err();
    let expected =
        "the value of `shop` does not fit: expected the shop's name, for example `my-shop` (pattern `[a-z0-9-]+`)";
    assert_eq!(unfit.to_string(), expected);
}

proptest! {
    /// Whatever the pattern lets through, the value ends neither the host nor the label.
    #[test]
    fn no_value_leaves_its_place(value in "\\PC{0,40}") {
        let any = Variable { pattern: "(?s).*".to_owned(), title: "t".to_owned(), ..Variable::default() };
        if any.accepts(&value) {
            let url = url::Url::parse(&format!("https://{value}.acme.example/{value}/token")).unwrap();
            prop_assert!(url.host_str().unwrap().ends_with(".acme.example"));
            prop_assert!(url.path().ends_with("/token"));
            prop_assert_eq!(url.path().matches('/').count(), 2);
            prop_assert!(url.username().is_empty() && url.query().is_none() && url.fragment().is_none());
        }
    }
}
