//! OAuth 1.0a: what is asked, what comes back, and what is kept.

use std::collections::BTreeMap;

use evergrant_core::authorize::{
    AuthorizationRequest, CallbackAnswer, ErrorKind, parse_signed_callback, signed_authorization_url,
};
use evergrant_core::catalogue::Catalogue;
use evergrant_core::oauth1::{parted, temporary};
use evergrant_core::outcome::{Class, Outcome};
use evergrant_core::provider::{CredentialKind, Provider};
use evergrant_core::secret::{ClientProof, CodeVerifier, OneTime};
use evergrant_core::time::Timestamp;
use evergrant_core::token_answer::{AnswerParts, Purpose, classify};
use evergrant_core::token_request::{Client, Once, signed_exchange, temporary_credentials};

fn provider() -> Provider {
    Provider {
        kind: CredentialKind::Oauth1,
        name: "Acme".to_owned(),
        request_token_url: "https://acme.example/request".to_owned(),
        authorize_url: "https://acme.example/authorize?theme=dark".to_owned(),
        token_url: "https://acme.example/access".to_owned(),
        authorize_params: BTreeMap::from([("expiration".to_owned(), "never".to_owned())]),
        access_never_expires: true,
        account_id_pointer: "token:/user_id".to_owned(),
        ..Provider::default()
    }
}

fn asked(provider: &Provider, params: &BTreeMap<String, String>) -> Result<String, String> {
    let (state, verifier) = (OneTime::new("a-request-token"), CodeVerifier::new(""));
    let request = AuthorizationRequest {
        provider,
        client_id: "client-1",
        redirect_uri: "https://app.example/callback",
        state: &state,
        verifier: &verifier,
        scopes: &["read".to_owned(), "write".to_owned()],
        login_hint: None,
        params,
    };
    signed_authorization_url(&request).map(String::from).map_err(|refused| refused.to_string())
}

#[test]
fn a_person_is_sent_with_the_temporary_credentials_and_nothing_of_oauth_2() {
    let none = BTreeMap::new();
    let url = asked(&provider(), &none).unwrap();
    assert_eq!(url, "https://acme.example/authorize?expiration=never&oauth_token=a-request-token&theme=dark");
    let scoped = Provider { scope_param: "scope".to_owned(), scope_separator: "comma".to_owned().into(), ..provider() };
    assert!(asked(&scoped, &none).unwrap().contains("&scope=read%2Cwrite&"));
    for name in ["oauth_token", "OAuth_Callback", "scope"] {
        let params = BTreeMap::from([(name.to_owned(), "x".to_owned())]);
        assert!(asked(&provider(), &params).unwrap_err().contains(name));
    }
}

#[test]
fn the_browser_brings_back_a_verifier_or_a_refusal() {
    for (query, state, denied) in [
        ("oauth_token=t&oauth_verifier=v", Some("t"), false),
        ("denied=t", Some("t"), true),
        ("oauth_token=t", Some("t"), true),
        ("oauth_token=t&oauth_verifier=", Some("t"), true),
        ("oauth_verifier=v", None, false),
    ] {
        let callback = parse_signed_callback(query).unwrap();
        assert_eq!(callback.state.as_ref().map(|state| state.expose()), state, "{query}");
        let refused = matches!(callback.answer, CallbackAnswer::Error { kind: ErrorKind::Denied, .. });
        assert_eq!(refused, denied, "{query}");
    }
    assert!(parse_signed_callback("oauth_token=t&oauth_token=u&oauth_verifier=v").is_err());
}

#[test]
fn requests_are_signed_posts_without_a_body() {
    let secret = ClientProof::new("a-client-secret");
    let client = Client { id: "client-1", proof: Some(&secret), redirect_uri: "https://app.example/callback" };
    let once = Once { nonce: "abc", seconds: 1_795_000_000 };
    let first = temporary_credentials(&provider(), &client, once).unwrap();
    let second = signed_exchange(&provider(), &client, ("t", "s"), "v", once).unwrap();
    for (request, url, says) in [
        (first, "https://acme.example/request", "oauth_callback=\"https%3A%2F%2Fapp.example%2Fcallback\""),
        (second, "https://acme.example/access", "oauth_verifier=\"v\""),
    ] {
        let header = request.header("authorization").unwrap();
        assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", url));
        assert!(header.contains(says) && header.contains("oauth_timestamp=\"1795000000\""), "{header}");
        assert!(request.body().is_empty() && !header.contains("a-client-secret"), "{header}");
    }
}

#[test]
fn a_token_is_taken_only_with_its_secret() {
    let now = Timestamp::from_seconds(1_795_000_000);
    let answered = |status: u16, body: &str| {
        let answer = AnswerParts { status, headers: &[], body: body.as_bytes() };
        classify(&provider(), &answer, now, Purpose::CodeExchange, &[])
    };
    let Outcome::Success(set) = answered(200, "oauth_token=a%2Ba&oauth_token_secret=b%26b&user_id=7&screen_name=alice")
    else {
        panic!("a token came");
    };
    let (token, secret) = parted(&set.access_token).unwrap();
    assert_eq!((token.as_str(), secret.as_str(), set.token_type.as_str()), ("a+a", "b&b", "OAuth"));
    assert_eq!(set.account.map(|account| account.id.to_string()).as_deref(), Some("7"));
    assert!(set.refresh_token.is_none());
    for (status, body, class) in [
        (200, "oauth_token=a&user_id=7", Class::Malformed),
        (200, "", Class::Malformed),
        (401, "oauth_problem=token_rejected", Class::AuthRejected),
        (503, "", Class::Unavailable),
    ] {
        assert_eq!(answered(status, body).class(), class, "{status} {body}");
    }
}

#[test]
fn temporary_credentials_come_as_a_form_under_a_good_status() {
    let (token, secret) =
        temporary(200, b"oauth_token=t&oauth_token_secret=s&oauth_callback_confirmed=true\n").unwrap();
    assert_eq!((token.as_str(), secret.as_str()), ("t", "s"));
    for (status, body) in [(401, "oauth_token=t&oauth_token_secret=s"), (200, "oauth_token=t"), (200, "<html>")] {
        assert!(temporary(status, body.as_bytes()).is_none(), "{status} {body}");
    }
}

#[test]
fn an_entry_names_all_three_addresses_and_nothing_that_renews() {
    let good = "name = \"Acme\"\nkind = \"oauth1\"\nrenewal = \"none\"\naccess_never_expires = true\n\
                request_token_url = \"https://acme.example/r\"\nauthorize_url = \"https://acme.example/a\"\n\
                token_url = \"https://acme.example/t\"\nsignature_method = \"PLAINTEXT\"\n";
    assert!(Catalogue::from_files([("acme.toml", good)]).is_ok());
    for (from, to, expected) in [
        ("renewal = \"none\"\n", "", "`renewal`: expected \"none\""),
        ("request_token_url = \"https://acme.example/r\"\n", "", "`request_token_url`: expected an address"),
        ("kind = \"oauth1\"\n", "", "`request_token_url`: expected nothing"),
        ("PLAINTEXT", "plain", "`signature_method`"),
    ] {
        let bad = good.replace(from, to);
        let refused = Catalogue::from_files([("acme.toml", bad.as_str())]).map(drop).unwrap_err();
        assert!(refused.to_string().contains(expected), "{bad}\n{refused}");
    }
}
