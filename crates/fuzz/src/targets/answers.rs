//! N2: what a token endpoint answers, with the rules of a catalogue entry.

use std::time::Duration;

use evergrant_core::account;
use evergrant_core::outcome::{Class, Failure, Outcome};
use evergrant_core::provider::{CredentialKind, Provider};
use evergrant_core::token_answer::{
    AnswerParts, Purpose, classify, classify_cut_off, is_access_token, is_refresh_token, retry_after,
};
use serde_json::Value;

use super::{Target, now, provider};
use crate::text::{Case, case};

pub const ANSWERS: Target = Target {
    name: "n2_token_answer",
    promise: "a complete token is never thrown away, and no secret is shown",
    run,
    seeds,
    words: &[
        "access_token",
        "refresh_token",
        "id_token",
        "expires_in",
        "expires_at",
        "scope",
        "token_type",
        "error",
        "error_description",
        "invalid_grant",
        "invalid_client",
        "{\"",
        "\":\"",
        "\",\"",
        "\"}",
        "true",
        "null",
        "\\u0041",
        "\u{feff}",
        "ok",
        " 200 ",
        " 400 ",
        " 401 ",
        " 429 ",
        " 503 ",
        "refresh",
        "code",
        "renewal",
        "cut",
        "whole",
        "retry-after: ",
        "google",
        "slack",
        "salesforce",
        "strava",
        "[",
        "]",
    ],
    slow: false,
};

/// What was sent, and could be echoed.
const SENT: [&str; 3] = ["rt-sent-0123456789abcdefXYZ", "client-secret-98765432-mark", "kQ7"];

fn run(bytes: &[u8]) {
    let case = Case::read(bytes);
    let provider = provider(case.word(0));
    let status = case.word(1).parse().unwrap_or(200);
    let purpose = match case.word(2) {
        "code" => Purpose::CodeExchange,
        "renewal" => Purpose::Renewal,
        _ => Purpose::Refresh,
    };
    let headers: Vec<(String, String)> =
        case.lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let answer = AnswerParts { status, headers: &headers, body: case.rest };
    let outcome = if case.word(3) == "cut" {
        classify_cut_off(&provider, &answer, "the connection was closed", now(), purpose, &SENT)
    } else {
        classify(&provider, &answer, now(), purpose, &SENT)
    };
    within_bounds(&outcome, status);
    shows_nothing(&outcome);
    keeps_what_came(&provider, &answer, purpose, &outcome);
    let _ = account::from_userinfo(&provider, case.rest);
}

/// Ten years and a day: no end lies further away.
const FAR: Duration = Duration::from_secs(315_360_000 + 86_400);

fn within_bounds(outcome: &Outcome, status: u16) {
    match outcome {
        Outcome::Success(set) => {
            assert!(status != 429, "a rate limit is no success");
            for set in std::iter::once(set.as_ref()).chain(&set.also) {
                assert!(is_access_token(set.access_token.expose()), "what cannot be sent was taken");
                assert!(set.refresh_token.as_ref().is_none_or(|token| is_refresh_token(token.expose())));
                let ends = [set.expiry.at(), set.refresh_expires_at];
                assert!(ends.into_iter().flatten().all(|end| end >= now() && end <= now().plus(FAR)), "{ends:?}");
            }
        }
        Outcome::Failure(failed) => {
            assert!(failed.class != Class::Success && failed.class != Class::Network, "{:?}", failed.class);
            let waits = retry_after::SHORTEST..=retry_after::LONGEST;
            assert!(failed.retry_after.is_none_or(|wait| waits.contains(&wait)), "{:?}", failed.retry_after);
            let salvaged = failed.salvaged_refresh_token.as_ref();
            assert!(salvaged.is_none_or(|token| is_refresh_token(token.expose()) && !SENT.contains(&token.expose())));
        }
    }
}

/// Neither a log line nor a stored word may hold a token, or a run of eight bytes of what was sent.
fn shows_nothing(outcome: &Outcome) {
    let shown = format!("{outcome:?}");
    let mut tokens: Vec<&str> = Vec::new();
    match outcome {
        Outcome::Success(set) => {
            for set in std::iter::once(set.as_ref()).chain(&set.also) {
                tokens.push(set.access_token.expose());
                tokens.extend(set.refresh_token.as_ref().map(|token| token.expose()));
                tokens.extend(set.id_token.as_ref().map(|token| token.expose()));
                for fact in set.provider_data.values() {
                    no_token_in(fact, &tokens);
                }
            }
        }
        Outcome::Failure(failed) => {
            tokens.extend(failed.salvaged_refresh_token.as_ref().map(|token| token.expose()));
            words_are_clean(failed);
        }
    }
    // Only what cannot be a word of ours is known again: the seeds' tokens have this run in them.
    for token in tokens.into_iter().filter(|token| token.contains("0123456")) {
        // `Debug` writes quotes and backslashes its own way.
        let written = format!("{token:?}");
        let written = written.trim_matches('"');
        assert!(!shown.contains(token) && !shown.contains(written), "a token is shown: {shown}");
    }
}

fn words_are_clean(failed: &Failure) {
    assert!(failed.detail.chars().count() <= 300 && !failed.detail.chars().any(char::is_control), "{}", failed.detail);
    for text in [Some(&failed.detail), failed.code.as_ref()].into_iter().flatten() {
        for secret in SENT.iter().filter(|secret| secret.len() >= 8) {
            let mut runs = secret.as_bytes().windows(8).filter_map(|run| std::str::from_utf8(run).ok());
            assert!(!runs.any(|run| text.contains(run)), "a part of what was sent is told: {text}");
        }
    }
}

fn no_token_in(fact: &Value, tokens: &[&str]) {
    match fact {
        Value::String(text) => {
            let shows = |token: &&&str| text == **token || (token.len() >= 8 && text.contains(**token));
            assert!(tokens.iter().find(shows).is_none(), "a token is kept in plaintext among the provider's data");
        }
        Value::Array(items) => items.iter().for_each(|item| no_token_in(item, tokens)),
        Value::Object(members) => members.values().for_each(|member| no_token_in(member, tokens)),
        _ => {}
    }
}

/// What another reader of JSON finds at the top of a good answer is taken, wherever the answer was cut off behind it.
fn keeps_what_came(provider: &Provider, answer: &AnswerParts<'_>, purpose: Purpose, outcome: &Outcome) {
    let plain =
        provider.kind == CredentialKind::Oauth2 && provider.answer_pointer.is_empty() && provider.also.is_empty();
    if !plain || !(200..300).contains(&answer.status) {
        return;
    }
    let Ok(body) = serde_json::from_slice::<Value>(answer.body) else { return };
    if depth(&body) >= 30 {
        return;
    }
    let named = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let Some(access) = named("access_token").filter(|token| is_access_token(token) && !SENT.contains(&token.as_str()))
    else {
        return;
    };
    let refresh = named("refresh_token").filter(|token| is_refresh_token(token));
    let Outcome::Success(set) = outcome else { panic!("a complete token was thrown away: {outcome:?}") };
    assert_eq!(set.access_token.expose(), access, "another token than the one at the top was taken");
    if refresh.is_some() {
        assert_eq!(set.refresh_token.as_ref().map(|token| token.expose()), refresh.as_deref());
    }
    let Ok(text) = serde_json::to_string(&body) else { return };
    let Ok(written) = serde_json::to_string(&access) else { return };
    let Some(at) = text.find(&format!("\"access_token\":{written}")) else { return };
    let end = at + "\"access_token\":".len() + written.len();
    // Any place behind the token does; which one, the input decides by its length.
    let cut = end + answer.body.len() % (text.len() - end).max(1);
    if !text.is_char_boundary(cut) || text[..at].contains("access_token") {
        return;
    }
    let part = AnswerParts { body: &text.as_bytes()[..cut], ..*answer };
    match classify_cut_off(provider, &part, "cut", now(), purpose, &SENT) {
        Outcome::Success(set) => assert_eq!(set.access_token.expose(), access, "of {}", &text[..cut]),
        Outcome::Failure(failed) => panic!("a complete token was thrown away with the rest: {failed:?}"),
    }
    let part = AnswerParts { body: &text.as_bytes()[..end - 1], ..*answer };
    if let Outcome::Success(set) = classify_cut_off(provider, &part, "cut", now(), purpose, &SENT) {
        panic!("half a token was taken for a whole one: {set:?}");
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let facts = [
        include_str!("../../../core/tests/facts/refresh-answers.json"),
        include_str!("../../../core/tests/facts/quirk-answers.json"),
    ];
    let mut seeds: Vec<Vec<u8>> = facts.into_iter().flat_map(of_facts).collect();
    for body in [
        r#"{"access_token":"at-0123456789abcdef","refresh_token":"rt-new-0123456789","expires_in":3600,"scope":"a b"}"#,
        r#"{"ok":true,"authed_user":{"access_token":"xoxp-1","refresh_token":"xoxe-1"},"access_token":"xoxb-1"}"#,
        r#"{"access_token":"a\"b\\c-0123456789","instance_url":"a\"b\\c-0123456789","id":"x"}"#,
        "access_token=at-0123456789&refresh_token=rt-1+2&expires=5184000&scope=a%2Cb",
        "for(;;);{\"access_token\":\"at-0123456789\",\"expires_in\":\"3600\"",
        "<html>\"access_token\": \"at-0123456789\"</html>",
    ] {
        for first in
            ["google 200 refresh whole", "slack 200 code whole", "salesforce 200 refresh whole", "none 200 renewal cut"]
        {
            seeds.push(case(first, &[("content-type", "application/json"), ("retry-after", "120")], body.as_bytes()));
        }
    }
    seeds
}

fn of_facts(text: &str) -> Vec<Vec<u8>> {
    let Ok(Value::Array(all)) = serde_json::from_str(text) else { return Vec::new() };
    let word = |fact: &Value, name: &str| fact[name].as_str().unwrap_or_default().to_owned();
    let one = |fact: &Value| {
        let headers: Vec<(String, String)> = fact["headers"].as_object().map_or_else(Vec::new, |headers| {
            headers.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
        });
        let lines: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let purpose = if word(fact, "purpose") == "code" { "code" } else { "refresh" };
        let first = format!("{} {} {purpose} whole", word(fact, "provider"), fact["status"].as_u64().unwrap_or(400));
        case(&first, &lines, word(fact, "body").as_bytes())
    };
    all.iter().map(one).collect()
}
