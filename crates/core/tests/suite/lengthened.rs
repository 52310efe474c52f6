//! A short token, the exchange that makes it long, and the renewal of the long one: requests and answers.

use std::time::Duration;

use evergrant_core::catalogue::Catalogue;
use evergrant_core::lifetime::{Expiry, TokenSet};
use evergrant_core::outcome::Outcome;
use evergrant_core::provider::Provider;
use evergrant_core::secret::{AccessToken, ClientProof};
use evergrant_core::time::Timestamp;
use evergrant_core::token_answer::{AnswerParts, Purpose, classify};
use evergrant_core::token_request::{Client, Method, renew, second_exchange};

fn entry() -> Provider {
    toml::from_str(
        "name = 'Acme'\ntoken_url = 'https://api.acme.example/token'\nrefresh_url = 'https://g.acme.example/refresh'\n\
         renewal = 'access_token'\nrefresh_format = 'get'\nrefresh_without_client = true\naccess_lifetime = 5184000\n\
         refresh_params = { grant_type = 'ac_refresh' }\n[second_exchange]\nurl = 'https://g.acme.example/long'\n\
         format = 'get'\nclient_auth = 'body'\nparam_names = { client_id = '' }\nparams = { grant_type = 'ac_exchange' }\n\
         short_lifetime = 3600\n",
    )
    .expect("an entry")
}

#[test]
fn the_second_exchange_shows_the_secret_alone_and_the_renewal_nothing() {
    let secret = ClientProof::new("s&1");
    let client = Client { id: "id", proof: Some(&secret), redirect_uri: "https://h/cb" };
    let token = AccessToken::new("short+1");
    let sent = second_exchange(&entry(), &client, &token).expect("a request");
    let expected = "https://g.acme.example/long?access_token=short%2B1&client_secret=s%261&grant_type=ac_exchange";
    assert_eq!((sent.method, sent.url.as_str(), sent.body()), (Method::Get, expected, b"".as_slice()));
    let sent = renew(&entry(), &client, &token);
    let expected = "https://g.acme.example/refresh?access_token=short%2B1&grant_type=ac_refresh";
    assert_eq!((sent.method, sent.url.as_str(), sent.header("authorization")), (Method::Get, expected, None));
    assert!(second_exchange(&Provider::default(), &client, &token).is_none());
}

#[test]
fn only_what_the_code_brought_is_short_and_lives_as_the_entry_says_of_it() {
    let sent_at = Timestamp::from_seconds(1_795_000_000);
    let read = |body: &str, purpose| -> TokenSet {
        let answer = AnswerParts { status: 200, headers: &[], body: body.as_bytes() };
        match classify(&entry(), &answer, sent_at, purpose, &[]) {
            Outcome::Success(tokens) => *tokens,
            Outcome::Failure(failure) => panic!("{failure:?}"),
        }
    };
    let after = |seconds| Expiry::At { at: sent_at.plus(Duration::from_secs(seconds)) };
    let bare = r#"{"access_token":"at-1","user_id":7}"#;
    let told = r#"{"access_token":"at-1","expires_in":5183944}"#;
    for (body, purpose, short, expiry) in [
        (bare, Purpose::CodeExchange, true, after(3600)),
        (bare, Purpose::Renewal, false, after(5_184_000)),
        (told, Purpose::Renewal, false, after(5_183_944)),
        (r#"{"access_token":"at-1","expires_in":3600}"#, Purpose::CodeExchange, true, after(3600)),
    ] {
        let tokens = read(body, purpose);
        assert_eq!((tokens.short, tokens.expiry), (short, expiry), "{body} {purpose:?}");
    }
}

#[test]
fn a_second_exchange_that_cannot_be_right_is_refused_by_its_field() {
    let entry = |more: &str| {
        format!("name = 'Acme'\nauthorize_url = 'https://a.example/a'\ntoken_url = 'https://a.example/t'\n{more}\n")
    };
    let second = "renewal = 'access_token'\n[second_exchange]\nurl = 'https://a.example/l'\n";
    for (more, field) in [
        ("[second_exchange]\nurl = 'https://a.example/l'", "second_exchange"),
        ("renewal = 'access_token'\n[second_exchange]\nformat = 'get'", "second_exchange.url"),
        (&format!("{second}params = {{ access_token = 'x' }}"), "second_exchange.params.access_token"),
        (&format!("{second}param_names = {{ scope = 'x' }}"), "second_exchange.param_names.scope"),
        (&format!("{second}param = 'a b'"), "second_exchange.param"),
        (&format!("{second}lifetime = 3"), "second_exchange.lifetime"),
        ("renewal = 'none'\nearliest_refresh = 30", "earliest_refresh"),
        ("renewal = 'none'\nrefresh_without_client = true", "refresh_without_client"),
    ] {
        let errors = Catalogue::from_files([("acme.toml", entry(more).as_str())]).expect_err(more);
        assert_eq!(errors.0[0].field, field, "{errors}");
    }
}
