//! How a grant is ended at its provider: RFC 7009 and its many neighbours.

use evergrant_core::catalogue::Catalogue;
use evergrant_core::provider::Provider;
use evergrant_core::secret::{AccessToken, ClientProof, RefreshToken};
use evergrant_core::token_request::{Client, HttpRequest, Method, revoke};

fn entry(more: &str) -> Provider {
    toml::from_str(&format!("client_auth = 'body'\n{more}")).expect("an entry")
}

fn sent(entry: &Provider, refresh: Option<&str>, access: Option<&str>) -> Option<HttpRequest> {
    let secret = ClientProof::new("s&1");
    let client = Client { id: "id/1", proof: Some(&secret), redirect_uri: "https://h/cb" };
    revoke(entry, &client, refresh.map(RefreshToken::new).as_ref(), access.map(AccessToken::new).as_ref())
}

#[test]
fn a_revocation_is_written_as_the_entry_says() {
    let url = "revoke_url = 'https://a.example/r'\n";
    for (more, method, address, body, header) in [
        (
            url,
            Method::Post,
            "https://a.example/r",
            "token=rt&token_type_hint=refresh_token&client_id=id%2F1&client_secret=s%261",
            None,
        ),
        (
            "revoke_url = 'https://a.example/apps/{client_id}/grant'\nrevoke_method = 'delete'\nrevoke_with = 'access_token'\n\
             revoke_format = 'json'\nrevoke_auth = 'basic'",
            Method::Delete,
            "https://a.example/apps/id%2F1/grant",
            r#"{"access_token":"at"}"#,
            // base64("id%2F1:s%261")
            Some("Basic aWQlMkYxOnMlMjYx"),
        ),
        (
            "revoke_url = 'https://a.example/me'\nrevoke_method = 'delete'\nrevoke_with = 'bearer'",
            Method::Delete,
            "https://a.example/me",
            "",
            Some("Bearer at"),
        ),
        (
            "revoke_url = 'https://a.example/tokens/{refresh_token}'\nrevoke_method = 'delete'\nrevoke_with = 'address'",
            Method::Delete,
            "https://a.example/tokens/rt",
            "",
            None,
        ),
        (
            "revoke_url = 'https://a.example/r'\nrevoke_method = 'get'\nrevoke_with = 'access_token'\nrevoke_params = { v = '2' }",
            Method::Get,
            "https://a.example/r?access_token=at&v=2",
            "",
            None,
        ),
        (
            "revoke_url = 'https://a.example/r'\nrevoke_auth = 'basic'\nrevoke_format = 'query'",
            Method::Post,
            "https://a.example/r?token=rt&token_type_hint=refresh_token",
            "",
            Some("Basic aWQlMkYxOnMlMjYx"),
        ),
    ] {
        let request = sent(&entry(more), Some("rt"), Some("at")).expect(more);
        assert_eq!((request.method, request.url.as_str()), (method, address), "{more}");
        assert_eq!(
            (std::str::from_utf8(request.body()).expect("text"), request.header("authorization")),
            (body, header),
            "{more}"
        );
        let kind = if body.starts_with('{') { Some("application/json") } else { None };
        let kind = if body.starts_with("token") { Some("application/x-www-form-urlencoded") } else { kind };
        assert_eq!(request.header("content-type"), kind, "{more}");
    }
}

#[test]
fn without_the_token_that_is_wanted_nothing_is_sent() {
    for more in [
        "revoke_url = 'https://a.example/{refresh_token}'\nrevoke_with = 'address'",
        "revoke_url = 'https://a.example'\nrevoke_with = 'token'",
    ] {
        assert!(sent(&entry(more), None, None).is_none(), "{more}");
    }
    let access = entry("revoke_url = 'https://a.example/{access_token}'\nrevoke_with = 'address'");
    assert!(sent(&access, Some("rt"), None).is_none());
    assert_eq!(sent(&access, None, Some("a t")).expect("a request").url.as_str(), "https://a.example/a+t");
}

#[test]
fn a_revocation_that_cannot_be_right_is_refused_by_its_field() {
    let entry = |more: &str| {
        format!("name = 'Acme'\nauthorize_url = 'https://a.example/a'\ntoken_url = 'https://a.example/t'\n{more}\n")
    };
    let url = "revoke_url = 'https://a.example/r'\n";
    for (more, field) in [
        ("revoke_with = 'bearer'".to_owned(), "revoke_with"),
        ("revoke_method = 'delete'".to_owned(), "revoke_method"),
        ("revoke_auth = 'basic'".to_owned(), "revoke_auth"),
        (format!("{url}revoke_with = 'address'"), "revoke_url"),
        (format!("{url}revoke_with = 'bearer'\nrevoke_auth = 'basic'"), "revoke_auth"),
        (format!("{url}revoke_method = 'get'\nrevoke_format = 'json'"), "revoke_format"),
        (format!("{url}revoke_format = 'get'"), "revoke_format"),
        (format!("{url}revoke_params = {{ access_token = 'x' }}"), "revoke_params.access_token"),
        ("revoke_url = 'https://a.example/{tenant}'".to_owned(), "revoke_url"),
    ] {
        let errors = Catalogue::from_files([("acme.toml", entry(&more).as_str())]).expect_err(&more);
        assert_eq!(errors.0[0].field, field, "{errors}");
    }
}
