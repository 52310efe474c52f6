//! The calls that an entry wants once a grant is there: as they are sent, and what is kept of their answers.

use evergrant_core::catalogue::Catalogue;
use evergrant_core::provider::{AfterGrant, CallMethod, Provider, TokenFormat};
use evergrant_core::secret::AccessToken;
use evergrant_core::token_request::{Method, after_grant};
use serde_json::{Value, json};

fn call(toml: &str) -> AfterGrant {
    toml::from_str(toml).expect("a call")
}

#[test]
fn a_call_carries_the_token_and_what_the_entry_says() {
    let (token, account) = (AccessToken::new("at+1"), "a/1".parse().expect("an account"));
    let get = call("url = 'https://api.acme.example/of/{account.id}?c={client_id}'\nscheme = 'OAuth'\n");
    let sent = after_grant(&get, "id 1", Some(&account), &token).expect("a request");
    assert_eq!((sent.method, sent.url.as_str()), (Method::Get, "https://api.acme.example/of/a%2F1?c=id+1"));
    assert_eq!((sent.header("authorization"), sent.body()), (Some("OAuth at+1"), b"".as_slice()));
    assert!(after_grant(&get, "id 1", None, &token).is_none(), "nobody knows the account");
    let post = AfterGrant {
        method: CallMethod::Post,
        format: TokenFormat::Json,
        ..call(
            "url = 'https://api.acme.example/users'\nbody = { member-id = '{account.id}' }\nheaders = { x-app = '{client_id}' }",
        )
    };
    let sent = after_grant(&post, "id", Some(&account), &token).expect("a request");
    assert_eq!((sent.method, sent.body()), (Method::Post, br#"{"member-id":"a/1"}"#.as_slice()));
    assert_eq!((sent.header("authorization"), sent.header("x-app")), (Some("Bearer at+1"), Some("id")));
    assert_eq!(sent.header("content-type"), Some("application/json"));
    let bare = AfterGrant { method: CallMethod::Post, ..call("url = 'https://api.acme.example/hello'") };
    let sent = after_grant(&bare, "id", None, &token).expect("a request");
    assert_eq!((sent.method, sent.url.as_str(), sent.body()), (Method::Post, bare.url.as_str(), b"".as_slice()));
}

#[test]
fn facts_are_kept_by_pointer_and_never_a_token() {
    let keep = |toml: &str| call(&format!("url = 'https://a.example'\n[keep]\n{toml}"));
    for (pointers, answer, expected) in [
        ("dc = '/dc'", r#"{"dc":"us7"}"#, json!({ "dc": "us7" })),
        ("all = ''", r#"[{"id":1}]"#, json!({ "all": [{ "id": 1 }] })),
        ("dc = '/dc'\nno = '/no'", r#"{"dc":"us7","no":null}"#, json!({ "dc": "us7" })),
        ("echo = '/echo'", r#"{"echo":"it was secret-token-1"}"#, json!({})),
        ("dc = '/dc'", "<html>", json!({})),
        ("dc = '/dc'", "", json!({})),
    ] {
        let found = keep(pointers).facts(answer.as_bytes(), "secret-token-1");
        assert_eq!(Value::Object(found), expected, "{answer}");
    }
    // Written as JSON, such a token looks otherwise than it is.
    let found = keep("a = '/a'\nb = '/b'").facts(br#"{"a":["x se\"cr\\et-1"],"b":{"se\"cr\\et-1":2}}"#, "se\"cr\\et-1");
    assert!(found.is_empty(), "{found:?}");
    let long = format!(r#"{{"dc":"{}"}}"#, "x".repeat(16 * 1024));
    assert!(keep("dc = '/dc'").facts(long.as_bytes(), "").is_empty());
}

#[test]
fn a_status_is_good_where_the_entry_says_so() {
    let call = call("url = 'https://a.example'\naccepted = [409]");
    for (status, good) in
        [(199, false), (200, true), (299, true), (300, false), (409, true), (410, false), (500, false)]
    {
        assert_eq!(call.accepts(status), good, "{status}");
    }
}

#[test]
fn what_is_owed_is_named_by_the_entry_and_not_by_its_values() {
    let entry: Provider = toml::from_str(
        "keep_from_userinfo = { a = '/a' }\n[[after_grant]]\nurl = 'https://{shop}.a.example'\nkeep = { b = '/b' }\n\
         [[after_grant]]\nurl = 'https://a.example/u'\nmethod = 'post'",
    )
    .expect("an entry");
    assert_eq!(entry.after_grant_keys(), ["userinfo", "GET https://{shop}.a.example", "POST https://a.example/u"]);
    assert_eq!(entry.missing_facts(&serde_json::Map::from_iter([("a".to_owned(), json!(1))])), ["b"]);
}

#[test]
fn a_call_that_cannot_be_right_is_refused_by_its_field() {
    let entry = |call: &str| {
        format!(
            "name = 'Acme'\nauthorize_url = 'https://a.example/a'\ntoken_url = 'https://a.example/t'\n[[after_grant]]\n{call}\n"
        )
    };
    for (call, field) in [
        ("keep = { a = '/a' }", "after_grant[0].url"),
        ("url = 'http://a.example'\nkeep = { a = '/a' }", "after_grant[0].url"),
        ("url = 'https://a.example/{shop}'\nkeep = { a = '/a' }", "after_grant"),
        ("url = 'https://a.example'", "after_grant[0].keep"),
        ("url = 'https://a.example'\nkeep = { a = 'a' }", "after_grant[0].keep"),
        ("url = 'https://a.example'\nkeep = { a = '/a' }\nbody = { b = 'c' }", "after_grant[0].body"),
        ("url = 'https://a.example'\nmethod = 'post'\nformat = 'get'", "after_grant[0].format"),
        ("url = 'https://a.example'\nmethod = 'post'\naccepted = [7]", "after_grant[0].accepted"),
        (
            "url = 'https://a.example'\nmethod = 'post'\nheaders = { Authorization = 'x' }",
            "after_grant[0].headers.Authorization",
        ),
        (
            "url = 'https://a.example'\nmethod = 'post'\nbody = { token = '{access_token}' }",
            "after_grant[0].body.token",
        ),
        ("url = 'https://a.example/{account.id}'\nmethod = 'post'", "after_grant[0].url"),
        ("url = 'https://a.example'\nmethod = 'post'\nkeeps = { a = '/a' }", "after_grant[0].keeps"),
    ] {
        let errors = Catalogue::from_files([("acme.toml", entry(call).as_str())]).expect_err(call);
        assert_eq!(errors.0[0].field, field, "{errors}");
    }
}
