//! What is not quite the standard's on the way to the tokens: PKCE without a hash, a fragment, a form post, instants.

use std::collections::BTreeMap;

use evergrant_core::authorize::{
    AuthorizationRequest, BadCallback, CallbackAnswer, authorization_url, parse_callback, query_of_post, verifier,
};
use evergrant_core::catalogue::Catalogue;
use evergrant_core::outcome::Outcome;
use evergrant_core::provider::{Pkce, Provider};
use evergrant_core::secret::OneTime;
use evergrant_core::time::Timestamp;
use evergrant_core::token_answer::{AnswerParts, Purpose, classify};

fn entry(id: &str) -> std::sync::Arc<Provider> {
    Catalogue::embedded().expect("a good catalogue").get(&id.parse().expect("an id")).expect(id)
}

fn address(provider: &Provider) -> String {
    let verifier = verifier(&[7; 32]);
    let request = AuthorizationRequest {
        provider,
        client_id: "wx1",
        redirect_uri: "https://h/cb",
        state: &OneTime::new("s1"),
        verifier: &verifier,
        scopes: &[],
        login_hint: None,
        params: &BTreeMap::new(),
    };
    authorization_url(&request).expect("an address").into()
}

#[test]
fn pkce_is_sent_as_the_entry_says_and_written_as_it_is_read() {
    let verifier = verifier(&[7; 32]);
    let plain = address(&entry("myanimelist"));
    let expected = format!("code_challenge={}&code_challenge_method=plain", verifier.expose());
    assert!(plain.contains(&expected), "{plain}");
    for (written, pkce, again) in [
        ("true", Pkce::S256, "true"),
        ("false", Pkce::Refused, "false"),
        ("\"S256\"", Pkce::S256, "true"),
        ("\"none\"", Pkce::Refused, "false"),
        ("\"plain\"", Pkce::Plain, "\"plain\""),
    ] {
        assert_eq!(serde_json::from_str::<Pkce>(written).expect("a word"), pkce);
        assert_eq!(serde_json::to_string(&pkce).expect("a word"), again);
    }
    assert!(serde_json::from_str::<Pkce>("\"S512\"").is_err());
}

#[test]
fn a_fragment_stands_behind_the_parameters_in_the_order_that_is_wanted_there() {
    let expected = "https://open.weixin.qq.com/connect/oauth2/authorize?appid=wx1&redirect_uri=https%3A%2F%2Fh%2Fcb\
                    &response_type=code&scope=snsapi_userinfo&state=s1#wechat_redirect";
    assert_eq!(address(&entry("wechat-official-account")), expected);
    assert!(!address(&entry("strava")).contains('#'));
}

#[test]
fn of_a_form_post_goes_on_what_the_flow_reads_and_nothing_else() {
    let provider = Provider {
        account_id_pointer: "callback:company".to_owned(),
        keep_from_callback: [("realm_id".to_owned(), "realmId".to_owned())].into(),
        callback_code_param: "auth_code".to_owned(),
        ..Provider::default()
    };
    for (form, expected) in [
        ("code=c%2F1&state=s&user=%7B%22email%22%7D&id_token=x", "code=c%2F1&state=s"),
        (
            "error=access_denied&error_description=He+said+no&state=s&iss=https%3A%2F%2Fa",
            "error=access_denied&state=s&iss=https%3A%2F%2Fa",
        ),
        ("auth_code=c&realmId=7&company=acme&other=1", "auth_code=c&realmId=7&company=acme"),
        ("", ""),
        ("=x", ""),
    ] {
        assert_eq!(query_of_post(&provider, form.as_bytes()).expose(), expected, "{form}");
    }
    // What came twice is refused behind it, as in an address.
    let twice = query_of_post(&Provider::default(), b"code=a&code=b&state=s");
    assert_eq!(parse_callback(twice.expose(), "").err(), Some(BadCallback::Twice("code")));
    let long = format!("code={}", "x".repeat(20_000));
    assert!(parse_callback(query_of_post(&Provider::default(), long.as_bytes()).expose(), "").is_err());
    let good = query_of_post(&Provider::default(), b"code=c%2F1&state=s");
    let read = parse_callback(good.expose(), "").expect("a callback");
    assert!(matches!(read.answer, CallbackAnswer::Code(code) if code.expose() == "c/1"));
}

#[test]
fn ends_are_read_as_instants_where_the_entry_says_that_they_stand() {
    let (sent_at, now) = (Timestamp::from_seconds(1_795_000_000), 1_795_000_000_i64);
    let clover = entry("clover");
    for (access, refresh, expected) in [
        ((now + 1800).to_string(), (now + 86_400).to_string(), (Some(1800), Some(86_400))),
        (((now + 1800) * 1000).to_string(), format!("\"{}\"", now + 5), (Some(1800), Some(5))),
        ("\"2026-11-18T05:37:20Z\"".to_owned(), "null".to_owned(), (None, None)),
        ("1800".to_owned(), "86400".to_owned(), (None, None)),
        ("\"soon\"".to_owned(), (now - 1).to_string(), (None, None)),
    ] {
        let body = format!(
            r#"{{"access_token":"at-1","refresh_token":"rt-1","access_token_expiration":{access},"refresh_token_expiration":{refresh}}}"#
        );
        let answer = AnswerParts { status: 200, headers: &[], body: body.as_bytes() };
        let Outcome::Success(set) = classify(&clover, &answer, sent_at, Purpose::Refresh, &[]) else {
            panic!("{body}")
        };
        let after = |at: Timestamp| (at.as_millis() - sent_at.as_millis()) / 1000;
        let found = (set.expiry.at().map(after).filter(|left| *left > 0), set.refresh_expires_at.map(after));
        assert_eq!(found, expected, "{body}");
    }
}
