//! What an answer without a usable token says: its class, whether the refresh token was spent, and words for people.

use super::AnswerParts;
use super::body::{Body, Shape};
use super::codes::DPOP_NONCE;
use super::retry_after;
use crate::outcome::{Class, Failure, Spent};
use crate::provider::Provider;
use crate::scrub::scrub;
use crate::secret::RefreshToken;
use crate::time::Timestamp;

/// Where providers put words for people, likeliest first.
const WORDS: [&str; 12] = [
    "/error_description",
    "/error/message",
    "/error/error_description",
    "/errors/0/message",
    "/errors/0/detail",
    "/message",
    "/reason",
    "/error_message",
    "/detail",
    "/description",
    "/title",
    "/error",
];

/// The class that the body gives, by the provider's rules, then by the codes that mean the same everywhere.
pub(super) fn class_by_body(provider: &Provider, status: u16, body: &Body<'_>) -> Option<Class> {
    // A rule can't make a token out of nothing, nor say what happened on the way.
    let by_answer = |class: &Class| !matches!(class, Class::Success | Class::Network | Class::Ambiguous);
    let rule = provider.rules.iter().find(|rule| rule.holds(status, body)).map(|rule| rule.class).filter(by_answer);
    rule.or_else(|| body.said().and_then(|said| said.class))
        .or_else(|| body.is_transient().then_some(Class::Unavailable))
}

/// The class that the status gives where the body says nothing.
fn class_by_status(answer: &AnswerParts<'_>) -> Class {
    match answer.status {
        200..=299 => Class::Malformed,
        // The challenge speaks of the client's credentials (RFC 6749 §5.2): a refresh token is never a password.
        401 if answer.has_basic_challenge() => Class::InvalidClient,
        401 | 403 => Class::AuthRejected,
        408 | 500..=599 => Class::Unavailable,
        _ => Class::Unknown,
    }
}

/// The whole failure. `salvaged` is a new refresh token that the answer held; `secrets` is what must not be repeated.
pub(super) fn failure(
    answer: &AnswerParts<'_>,
    body: &Body<'_>,
    by_body: Option<Class>,
    salvaged: Option<RefreshToken>,
    sent_at: Timestamp,
    secrets: &[&str],
) -> Failure {
    let class = match answer.status {
        429 => Class::RateLimited,
        _ => by_body.unwrap_or_else(|| class_by_status(answer)),
    };
    let code = body.said().map(|said| said.code);
    let asks = matches!(class, Class::RateLimited | Class::Unavailable | Class::Malformed);
    let retry_after = answer.header("retry-after").filter(|_| asks).map(|header| retry_after::read(header, sent_at));
    let nonce = code.is_some_and(|code| code.eq_ignore_ascii_case(DPOP_NONCE));
    Failure {
        class,
        detail: scrub(&words(answer.status, body), secrets),
        code: code.map(|code| scrub(code, secrets)).filter(|code| !code.is_empty()),
        retry_after,
        spent: if salvaged.is_some() { Spent::Yes } else { spent(class, retry_after.is_some() || nonce) },
        salvaged_refresh_token: salvaged,
    }
}

/// Whether the refresh token that was sent may have been spent (docs/lifecycle.md, "When the same refresh token may be
/// sent again").
///
/// `auth_rejected` and `unknown` are whole answers of refusal. A server that refuses has not rotated (RFC 6749 §5.2 has no
/// token in an error), and they are counted as refusals and not as undecided sendings: so `No`.
fn spent(class: Class, says_when: bool) -> Spent {
    match class {
        Class::InvalidGrant | Class::Success => Spent::Yes,
        Class::Ambiguous | Class::Malformed => Spent::Unknown,
        Class::Unavailable if !says_when => Spent::Unknown,
        Class::Unavailable
        | Class::Network
        | Class::RateLimited
        | Class::InvalidClient
        | Class::AuthRejected
        | Class::Unknown => Spent::No,
    }
}

/// `HTTP 400 invalid_grant: Token has been expired or revoked.`
fn words(status: u16, body: &Body<'_>) -> String {
    let code = body.said().map(|said| said.code);
    let message = WORDS.iter().filter_map(|place| body.root.at(place)?.text()).map(str::trim);
    let message = message.filter(|text| !text.is_empty()).find(|text| Some(*text) != code);
    match (code, message, body.shape) {
        (Some(code), Some(message), _) => format!("HTTP {status} {code}: {message}"),
        (Some(code), None, _) => format!("HTTP {status} {code}"),
        (None, Some(message), _) => format!("HTTP {status}: {message}"),
        (None, None, Shape::Empty) => format!("HTTP {status} with an empty body"),
        (None, None, Shape::Html) => format!("HTTP {status} with an HTML page"),
        (None, None, Shape::Text) => format!("HTTP {status}: {}", body.text),
        (None, None, Shape::Json | Shape::Form) if (200..300).contains(&status) => {
            format!("HTTP {status} without a usable access token")
        }
        (None, None, Shape::Json | Shape::Form) => format!("HTTP {status} without a word of explanation"),
    }
}
