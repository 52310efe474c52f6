//! What a token endpoint's answer means: lifetimes at ±1 s, what is kept, and that nothing but a word of refusal ends a grant.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evergrant_core::grant::GrantFacts;
use evergrant_core::lifetime::{Expiry, Oddity, TokenSet};
use evergrant_core::outcome::{Class, Failure, Outcome, Spent};
use evergrant_core::policy::Seconds;
use evergrant_core::provider::Provider;
use evergrant_core::time::Timestamp;
use evergrant_core::token_answer::{AnswerParts, Purpose, classify, classify_cut_off};
use proptest::prelude::*;
use serde_json::{Value, json};

const SENT: &str = "sent-refresh-token-1";

fn sent_at() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-20T12:00:00Z").expect("a time")
}

fn provider(lifetime: Option<u64>) -> Provider {
    let access_lifetime = lifetime.map(|seconds| Seconds::from(Duration::from_secs(seconds)));
    Provider { access_lifetime, ..Provider::default() }
}

fn read(provider: &Provider, status: u16, headers: &[(&str, &str)], body: &[u8], purpose: Purpose) -> Outcome {
    let headers: Vec<(String, String)> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let answer = AnswerParts { status, headers: &headers, body };
    classify(provider, &answer, sent_at(), purpose, &[SENT])
}

fn brought(outcome: Outcome) -> Result<TokenSet, Failure> {
    match outcome {
        Outcome::Success(set) => Ok(*set),
        Outcome::Failure(failure) => Err(failure),
    }
}

fn success(provider: &Provider, body: &Value, purpose: Purpose) -> TokenSet {
    brought(read(provider, 200, &[], body.to_string().as_bytes(), purpose)).expect("tokens")
}

fn failure(outcome: Outcome) -> Failure {
    brought(outcome).expect_err("a failure")
}

fn jwt(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2lnbmF0dXJl", part(&json!({ "alg": "RS256" })), part(claims))
}

/// Seconds from the sending to the end.
fn lives(set: &TokenSet) -> Option<i64> {
    set.expiry.at().map(|at| (at.as_millis() - sent_at().as_millis()) / 1000)
}

#[test]
fn a_lifetime_is_read_in_every_shape_that_providers_give_it() {
    let year = 365 * 24 * 3600;
    let ten_years = 315_360_000_i64;
    for (written, seconds, oddity) in [
        (json!(3600), 3600, None),
        (json!(3600.0), 3600, None),
        (json!("3600"), 3600, None),
        (json!(" 3600 "), 3600, None),
        (json!("3600.0"), 3600, None),
        (json!(1), 1, None),
        (json!(0), 0, Some(Oddity::ExpiredOnArrival)),
        (json!(-1), 0, Some(Oddity::ExpiredOnArrival)),
        (json!(-3600.5), 0, Some(Oddity::ExpiredOnArrival)),
        (json!(ten_years - 1), ten_years - 1, None),
        (json!(ten_years), ten_years, None),
        (json!(ten_years + 1), year, Some(Oddity::OddExpiry)),
        (json!(3_600_000_000_000_i64), year, Some(Oddity::OddExpiry)),
        (json!(1_795_176_000), year, Some(Oddity::OddExpiry)),
        (json!(1e300), year, Some(Oddity::OddExpiry)),
    ] {
        let body = json!({ "access_token": "access-1", "refresh_token": "refresh-2", "expires_in": written });
        let set = success(&provider(None), &body, Purpose::Refresh);
        assert_eq!((lives(&set), set.oddities.first().copied()), (Some(seconds), oddity), "{written}");
    }
}

#[test]
fn what_cannot_be_read_as_a_lifetime_is_noted_and_the_grant_is_kept() {
    for (written, noted) in [
        (json!(null), false),
        (json!(""), false),
        (json!("soon"), true),
        (json!(true), true),
        (json!({}), true),
        (json!([3600]), true),
        (json!("NaN"), true),
        (json!("inf"), true),
    ] {
        let body = json!({ "access_token": "access-1", "refresh_token": "refresh-2", "expires_in": written });
        let set = success(&provider(None), &body, Purpose::Refresh);
        assert_eq!(set.expiry, Expiry::Unknown, "{written}");
        assert_eq!(set.oddities.contains(&Oddity::UnreadableExpiry), noted, "{written}");
        let known = success(&provider(Some(7200)), &body, Purpose::Refresh);
        assert_eq!(lives(&known), Some(7200), "the catalogue's default: {written}");
    }
}

#[test]
fn an_absurd_lifetime_without_anything_that_renews_never_ends() {
    let body = json!({ "access_token": "access-1", "expires_in": 315_360_001 });
    let set = success(&provider(None), &body, Purpose::CodeExchange);
    assert_eq!((set.expiry, set.oddities.as_slice()), (Expiry::Never, [Oddity::OddExpiry].as_slice()));
    // Milliseconds are seen where the catalogue knows how long these tokens live.
    let body = json!({ "access_token": "access-1", "refresh_token": "r-12345678", "expires_in": 3_600_000 });
    let set = success(&provider(Some(3600)), &body, Purpose::Refresh);
    assert_eq!((lives(&set), set.oddities.as_slice()), (Some(3600), [Oddity::OddExpiry].as_slice()));
}

#[test]
fn without_expires_in_the_instant_counts_then_the_jwt_then_the_catalogue_then_nothing() {
    let now = sent_at().as_millis() / 1000;
    let token = |iat: i64, exp: i64| jwt(&json!({ "iat": iat, "exp": exp }));
    let day = 24 * 3600;
    for (body, lifetime, expected) in [
        (json!({ "access_token": "access-1", "expires_at": now + 100 }), Some(7200), Some(100)),
        (json!({ "access_token": "access-1", "expires_at": (now + 100) * 1000 }), None, Some(100)),
        (json!({ "access_token": "access-1", "expires_at": (now + 100).to_string() }), None, Some(100)),
        (json!({ "access_token": "access-1", "expires_at": "2026-11-20T12:01:40Z" }), None, Some(100)),
        (json!({ "access_token": "access-1", "expires_at": "2026-11-20T13:01:40+01:00" }), None, Some(100)),
        (json!({ "access_token": "access-1", "expires_at": now - 1 }), None, Some(0)),
        (json!({ "access_token": "access-1", "expires_at": 100 }), Some(7200), Some(7200)),
        (json!({ "access_token": "access-1", "expires_at": "tomorrow" }), Some(7200), Some(7200)),
        // expires_in comes first.
        (json!({ "access_token": "access-1", "expires_in": 60, "expires_at": now + 100 }), None, Some(60)),
        (json!({ "access_token": token(now, now + 50) }), Some(7200), Some(50)),
        (json!({ "access_token": token(now, now + 1) }), None, Some(1)),
        // Ended already, issued long ago or in the future: the claims say nothing.
        (json!({ "access_token": token(now - 10, now) }), Some(7200), Some(7200)),
        (json!({ "access_token": token(now - day, now + 50) }), Some(7200), Some(50)),
        (json!({ "access_token": token(now - day - 1, now + 50) }), Some(7200), Some(7200)),
        (json!({ "access_token": token(now + day, now + day + 50) }), Some(7200), Some(day + 50)),
        (json!({ "access_token": token(now + day + 1, now + day + 50) }), Some(7200), Some(7200)),
        (json!({ "access_token": jwt(&json!({ "exp": now + 50 })) }), Some(7200), Some(7200)),
        (json!({ "access_token": "a.b.c" }), Some(7200), Some(7200)),
        (json!({ "access_token": "access-1" }), None, None),
    ] {
        let set = success(&provider(lifetime), &body, Purpose::Refresh);
        assert_eq!(lives(&set), expected, "{body}");
    }
    let endless = Provider { access_never_expires: true, ..Provider::default() };
    assert_eq!(success(&endless, &json!({ "access_token": "access-1" }), Purpose::Refresh).expiry, Expiry::Never);
}

#[test]
fn a_refresh_tokens_own_end_is_read_by_the_names_that_are_in_use() {
    for name in ["refresh_token_expires_in", "refresh_expires_in", "x_refresh_token_expires_in"] {
        for (written, expected) in [(json!(5), Some(5)), (json!("5"), Some(5)), (json!(0), None), (json!(1e12), None)] {
            let body = json!({ "access_token": "access-1", "refresh_token": "refresh-2", name: written });
            let set = success(&provider(None), &body, Purpose::Refresh);
            let end = set.refresh_expires_at.map(|at| (at.as_millis() - sent_at().as_millis()) / 1000);
            assert_eq!(end, expected, "{body}");
        }
    }
}

#[test]
fn a_refresh_token_that_is_not_there_says_nothing_of_the_stored_one() {
    for (body, expected) in [
        (json!({ "access_token": "access-1" }), None),
        (json!({ "access_token": "access-1", "refresh_token": null }), None),
        (json!({ "access_token": "access-1", "refresh_token": "" }), None),
        (json!({ "access_token": "access-1", "refresh_token": "refresh-2" }), Some("refresh-2")),
        (json!({ "access_token": "access-1", "refresh_token": "two words" }), Some("two words")),
        (json!({ "access_token": "access-1", "refresh_token": "two\nlines" }), None),
        (json!({ "access_token": "access-1", "refresh_token": ["x"] }), None),
    ] {
        let set = success(&provider(None), &body, Purpose::Refresh);
        let found = set.refresh_token.as_ref().map(|token| token.expose().to_owned());
        assert_eq!(found.as_deref(), expected, "{body}");
    }
}

#[test]
fn a_token_is_found_whatever_its_answer_is_wrapped_in() {
    let inside = Provider { answer_pointer: "/body".to_owned(), ..Provider::default() };
    let json_body = json!({ "access_token": "access-1", "refresh_token": "refresh-2", "expires_in": 60 });
    let wrapped = json!({ "status": 0, "body": json_body });
    for (entry, headers, body) in [
        (Provider::default(), vec![("content-type", "text/html")], json_body.to_string()),
        (Provider::default(), vec![], format!("\u{feff}{json_body}")),
        (Provider::default(), vec![], format!("\n  {json_body}\n\n")),
        (
            Provider::default(),
            vec![("content-type", "application/x-www-form-urlencoded")],
            "access_token=access-1&refresh_token=refresh-2&expires_in=60".to_owned(),
        ),
        (inside, vec![], wrapped.to_string()),
    ] {
        match read(&entry, 200, &headers, body.as_bytes(), Purpose::Refresh) {
            Outcome::Success(set) => {
                assert_eq!((set.access_token.expose(), lives(&set)), ("access-1", Some(60)), "{body}");
                assert_eq!(set.refresh_token.expect("a refresh token").expose(), "refresh-2", "{body}");
            }
            Outcome::Failure(failure) => panic!("{body}: {failure:?}"),
        }
    }
}

#[test]
fn scopes_and_types_are_taken_as_they_come_and_cost_no_token() {
    let comma = Provider { scope_separator: "comma".to_owned().into(), ..Provider::default() };
    for (entry, written, expected) in [
        (Provider::default(), json!("read write"), Some(vec!["read", "write"])),
        (comma, json!("read,write"), Some(vec!["read", "write"])),
        (Provider::default(), json!(["read", "write"]), Some(vec!["read", "write"])),
        (Provider::default(), json!(null), None),
        (Provider::default(), json!({ "a": 1 }), None),
        (Provider::default(), json!(7), None),
    ] {
        let set = success(&entry, &json!({ "access_token": "access-1", "scope": written }), Purpose::Refresh);
        let scopes = set.scopes.as_ref().map(|scopes| scopes.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(scopes, expected, "{written}");
    }
    for (written, expected, odd) in [
        (json!("bearer"), "Bearer", false),
        (json!(null), "Bearer", false),
        (json!("mac"), "mac", true),
        (json!("two words"), "Bearer", true),
        (json!(7), "Bearer", true),
    ] {
        let set =
            success(&provider(None), &json!({ "access_token": "access-1", "token_type": written }), Purpose::Refresh);
        assert_eq!(
            (set.token_type.as_str(), set.oddities.contains(&Oddity::OddTokenType)),
            (expected, odd),
            "{written}"
        );
    }
}

#[test]
fn a_refresh_token_without_an_access_token_is_salvaged_and_the_old_one_counts_as_spent() {
    for body in [
        json!({ "refresh_token": "refresh-2" }).to_string(),
        json!({ "access_token": "", "refresh_token": "refresh-2" }).to_string(),
        "{\"refresh_token\": \"refresh-2\", \"access_token\": \"acc".to_owned(),
    ] {
        let failed = failure(read(&provider(None), 200, &[], body.as_bytes(), Purpose::Refresh));
        let salvaged = failed.salvaged_refresh_token.as_ref().map(|token| token.expose().to_owned());
        assert_eq!(
            (failed.class, salvaged.as_deref(), failed.spent),
            (Class::Malformed, Some("refresh-2"), Spent::Yes),
            "{body}"
        );
    }
    // What comes back is what was sent: nothing new.
    let echo = json!({ "refresh_token": SENT }).to_string();
    let failed = failure(read(&provider(None), 200, &[], echo.as_bytes(), Purpose::Refresh));
    assert!(failed.salvaged_refresh_token.is_none());
}

#[test]
fn an_answer_that_broke_off_gives_what_had_come_whole_and_is_else_undecided() {
    let cut = |status: u16, body: &str| {
        let answer = AnswerParts { status, headers: &[], body: body.as_bytes() };
        classify_cut_off(&provider(None), &answer, "it broke off", sent_at(), Purpose::Refresh, &[SENT])
    };
    let Outcome::Success(set) = cut(200, "{\"access_token\":\"access-1\",\"refresh_token\":\"refresh-2\",\"expi")
    else {
        panic!("the tokens had come");
    };
    assert!(set.oddities.contains(&Oddity::Salvaged));
    assert_eq!(set.refresh_token.expect("it had come").expose(), "refresh-2");
    for body in ["", "{", "{\"access_token\":\"acce", "{\"error\":\"invalid_gra", "{\"error\":\"invalid_grant\""] {
        for status in [200, 400, 500] {
            let failed = failure(cut(status, body));
            assert_eq!((failed.class, failed.spent), (Class::Ambiguous, Spent::Unknown), "{status} {body}");
        }
    }
    let failed = failure(cut(200, "{\"refresh_token\":\"refresh-2\",\"access_token\":\"acc"));
    assert_eq!((failed.class, failed.spent), (Class::Ambiguous, Spent::Yes));
    assert_eq!(failed.salvaged_refresh_token.expect("it had come").expose(), "refresh-2");
}

#[test]
fn retry_after_is_clamped_and_garbage_is_a_minute() {
    let body = br#"{"error":"slow_down"}"#;
    for (written, expected) in [
        ("0", 1),
        ("1", 1),
        ("2", 2),
        ("86399", 86_399),
        ("86400", 86_400),
        ("86401", 86_400),
        ("99999999999999999999", 86_400),
        ("-5", 60),
        ("soon", 60),
        ("", 60),
        ("Fri, 20 Nov 2026 12:00:30 GMT", 30),
        ("Fri, 20 Nov 2026 11:00:00 GMT", 1),
        ("Sun, 22 Nov 2026 12:00:00 GMT", 86_400),
    ] {
        let failed = failure(read(&provider(None), 429, &[("Retry-After", written)], body, Purpose::Refresh));
        assert_eq!(
            (failed.class, failed.retry_after),
            (Class::RateLimited, Some(Duration::from_secs(expected))),
            "{written}"
        );
    }
    // 429 is a rate limit whatever the body says, and no Retry-After is none.
    let failed = failure(read(&provider(None), 429, &[], br#"{"error":"invalid_grant"}"#, Purpose::Refresh));
    assert_eq!((failed.class, failed.retry_after), (Class::RateLimited, None));
}

#[test]
fn a_fact_that_repeats_a_token_is_not_kept_however_the_token_is_written() {
    let keep = [("url".to_owned(), "/url".to_owned()), ("all".to_owned(), "/all".to_owned())].into();
    let provider = Provider { keep_from_answer: keep, ..Provider::default() };
    for token in ["plain-token-1", "quo\"ted-token-1", "back\\slash-token-1"] {
        let body =
            json!({ "access_token": token, "url": format!("https://a.example/?t={token}"), "all": [{ "t": token }] });
        assert!(success(&provider, &body, Purpose::Refresh).provider_data.is_empty(), "{token} is kept in plaintext");
    }
}

#[test]
fn a_page_is_no_verdict() {
    let page =
        b"<!doctype html><html><body>invalid_grant? access_token=abcdefgh123456 we will be back soon</body></html>";
    for (status, class) in [
        (200, Class::Malformed),
        (302, Class::Unknown),
        (400, Class::Unknown),
        (401, Class::AuthRejected),
        (403, Class::AuthRejected),
        (404, Class::Unknown),
        (408, Class::Unavailable),
        (429, Class::RateLimited),
        (500, Class::Unavailable),
        (503, Class::Unavailable),
    ] {
        let failed = failure(read(&provider(None), status, &[], page, Purpose::Refresh));
        assert_eq!(failed.class, class, "{status}");
        assert!(failed.salvaged_refresh_token.is_none());
    }
}

proptest! {
    /// Whatever comes: no panic, and a grant ends only where the answer says so in words.
    #[test]
    fn no_answer_without_a_word_of_refusal_ends_a_grant(
        status in 100_u16..600,
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            "\\PC{0,200}".prop_map(String::into_bytes),
            "[{}\\[\\]\":,a-z_ 0-9]{0,200}".prop_map(String::into_bytes),
        ],
        whole in any::<bool>(),
    ) {
        let said = String::from_utf8_lossy(&body).to_lowercase();
        let words = ["invalid", "expired", "revoked", "required", "unauthorized", "bad", "error"];
        prop_assume!(!words.iter().any(|word| said.contains(word)));
        let answer = AnswerParts { status, headers: &[], body: &body };
        let outcome = if whole {
            classify(&Provider::default(), &answer, sent_at(), Purpose::Refresh, &[SENT])
        } else {
            classify_cut_off(&Provider::default(), &answer, "cut", sent_at(), Purpose::Refresh, &[SENT])
        };
        if let Outcome::Failure(failed) = outcome {
            prop_assert!(failed.class != Class::InvalidGrant && failed.class != Class::InvalidClient, "{failed:?}");
            prop_assert!(!failed.detail.contains(SENT));
        }
    }

    /// A server's own trouble, a rate limit and an answer that broke off never end a grant, whatever the body says beside.
    #[test]
    fn trouble_of_the_provider_is_no_verdict(
        error in "invalid_grant|invalid_client|access_denied|[a-z_]{1,20}",
        status in prop_oneof![Just(429_u16), Just(408_u16)],
    ) {
        let body = json!({ "error": error }).to_string();
        let answer = AnswerParts { status: 429, headers: &[], body: body.as_bytes() };
        let failed = failure(classify(&Provider::default(), &answer, sent_at(), Purpose::Refresh, &[SENT]));
        prop_assert_eq!(failed.class, Class::RateLimited);
        let cut = AnswerParts { status, headers: &[], body: body.as_bytes() };
        let failed = failure(classify_cut_off(&Provider::default(), &cut, "cut", sent_at(), Purpose::Refresh, &[SENT]));
        prop_assert_eq!(failed.class, Class::Ambiguous);
    }

    /// What was sent and comes back in an error stands in no word of ours.
    #[test]
    fn an_echoed_secret_is_scrubbed(before in "[a-z ]{0,30}", after in "[a-z ]{0,30}") {
        let body = json!({ "error": "invalid_grant", "error_description": format!("{before}{SENT}{after}") }).to_string();
        let failed = failure(read(&Provider::default(), 400, &[], body.as_bytes(), Purpose::Refresh));
        prop_assert_eq!(failed.class, Class::InvalidGrant);
        prop_assert!(!failed.detail.contains(SENT), "{}", failed.detail);
    }
}

/// Of an access token that was issued at an instant.
fn facts(issued_at: Timestamp, lifetime_millis: Option<u64>, expiry: Expiry) -> GrantFacts {
    GrantFacts {
        generation: 2,
        issued_at,
        expiry,
        lifetime_millis,
        token_id: "00000000".to_owned(),
        has_access_token: true,
        has_refresh_token: true,
        refresh_expires_at: None,
        scopes: Vec::new(),
        oddities: Vec::new(),
        short: false,
    }
}

#[test]
fn the_lifetime_behind_a_break_is_that_of_the_grant_before() {
    let at = Timestamp::from_seconds(1_800_000_000);
    let end = |seconds| Expiry::At { at: at.plus(Duration::from_secs(seconds)) };
    let (cut, hour) = (facts(at, None, Expiry::Unknown), facts(at, Some(3_600_000), end(3600)));
    assert_eq!(cut.clone().with_lifetime_of(Some(&hour)).expiry, end(3600));
    assert_eq!(cut.clone().with_lifetime_of(Some(&cut)).expiry, Expiry::Unknown);
    assert_eq!(cut.with_lifetime_of(None).expiry, Expiry::Unknown);
    let told = facts(at, Some(60_000), end(60));
    assert_eq!(told.clone().with_lifetime_of(Some(&hour)).expiry, told.expiry);
}

#[test]
fn a_lifetime_that_may_be_told_again_began_with_the_first_sending() {
    let at = Timestamp::from_seconds(1_800_000_000);
    let hour = facts(at, Some(3_600_000), Expiry::At { at: at.plus(Duration::from_secs(3600)) });
    let first = at.minus(Duration::from_secs(275));
    let told = hour.clone().begun_at(first);
    assert_eq!((told.issued_at, told.expiry.at()), (first, Some(first.plus(Duration::from_secs(3600)))));
    // A clock that was set back makes no token live longer.
    assert_eq!(hour.clone().begun_at(at.plus(Duration::from_secs(1))).expiry, hour.expiry);
    let unknown = GrantFacts { expiry: Expiry::Unknown, ..hour };
    assert_eq!(unknown.begun_at(first).expiry, Expiry::Unknown);
}
