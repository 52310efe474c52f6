//! What a token endpoint's answer means: status, headers and body, with the catalogue entry's rules, to an [`Outcome`].
//!
//! The body is read first and the status second, because a 400 can mean a dead grant, a wrong client or a rate limit, and
//! a 200 any of them. The body is read by its content and not by its content type, and as far as it can be read: a complete
//! usable access token is never discarded for what stands around it. A status of 429 is a rate limit whatever the body says.
//! No provider is known by name here; what is special about one is in its entry.

mod also;
pub(crate) mod body;
mod codes;
mod expiry;
pub(crate) mod fact;
mod failure;
mod found;
pub(crate) mod json;
pub(crate) mod jwt;
pub mod retry_after;
mod rules;
mod token_set;

pub use expiry::jwt_end;
pub use found::{LONGEST_TOKEN, is_access_token, is_refresh_token};

use std::fmt;

use body::Body;
use found::Found;

use crate::lifetime::{Oddity, TokenSet};
use crate::outcome::{Class, Failure, Outcome, Spent};
use crate::provider::Provider;
use crate::scrub::scrub;
use crate::secret::RefreshToken;
use crate::time::Timestamp;

/// An answer as it came.
#[derive(Clone, Copy)]
pub struct AnswerParts<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The headers; names in any case.
    pub headers: &'a [(String, String)],
    /// The body.
    pub body: &'a [u8],
}

/// What the answer answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A refresh by a refresh token.
    Refresh,
    /// A renewal by the live access token.
    Renewal,
    /// The exchange of an authorization code; `invalid_grant` speaks of the code.
    CodeExchange,
}

impl fmt::Debug for AnswerParts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<answer {} with {} bytes>", self.status, self.body.len())
    }
}

impl AnswerParts<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn has_basic_challenge(&self) -> bool {
        let challenges = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"));
        let mut schemes =
            challenges.flat_map(|(_, value)| value.split(',')).filter_map(|part| part.split_whitespace().next());
        schemes.any(|scheme| scheme.eq_ignore_ascii_case("basic"))
    }

    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// What a whole answer means. `sent_at` is the moment before the request was sent; `known_secrets` is what the provider
/// could echo: the tokens, code, verifier and client secrets that were sent, and the stored access token.
pub fn classify(
    provider: &Provider,
    answer: &AnswerParts<'_>,
    sent_at: Timestamp,
    purpose: Purpose,
    known_secrets: &[&str],
) -> Outcome {
    let text = body::text_of(answer.body);
    let body = body::read(&text, false);
    let found = body.find(provider, answer.is_success() && !body.names_error());
    let by_body = failure::class_by_body(provider, answer.status, &body);
    if let Some(access) = found.access.as_deref()
        && is_believed(answer, &body, by_body, known_secrets.contains(&access))
    {
        let mut set = tokens(provider, &body, &found, access, (sent_at, purpose));
        if !answer.is_success() {
            set.oddities.push(Oddity::OddStatus);
        }
        return Outcome::Success(Box::new(set));
    }
    let salvaged = new_refresh_token(&found, known_secrets);
    let secrets = with_found(&found, known_secrets);
    Outcome::Failure(failure::failure(answer, &body, by_body, salvaged, sent_at, &secrets))
}

/// What an answer means that broke off: success if a complete access token had come, else ambiguous, with a refresh token
/// that had come. `why` says in words how it broke off; without a status there is nothing to read, see [`Failure::ambiguous`].
pub fn classify_cut_off(
    provider: &Provider,
    answer: &AnswerParts<'_>,
    why: &str,
    sent_at: Timestamp,
    purpose: Purpose,
    known_secrets: &[&str],
) -> Outcome {
    let text = body::text_of(answer.body);
    let body = Body { whole: false, ..body::read(&text, true) };
    let found = body.find(provider, answer.is_success() && !body.names_error());
    let by_body = failure::class_by_body(provider, answer.status, &body);
    if let Some(access) = found.access.as_deref()
        && answer.is_success()
        && is_believed(answer, &body, by_body, known_secrets.contains(&access))
    {
        return Outcome::Success(Box::new(tokens(provider, &body, &found, access, (sent_at, purpose))));
    }
    let salvaged_refresh_token = new_refresh_token(&found, known_secrets);
    let spent = if salvaged_refresh_token.is_some() { Spent::Yes } else { Spent::Unknown };
    let detail = scrub(&format!("HTTP {}, cut off: {why}", answer.status), &with_found(&found, known_secrets));
    Outcome::Failure(Failure { spent, salvaged_refresh_token, ..Failure::ambiguous(detail) })
}

/// The pair that was found, and where a code was exchanged every further one.
fn tokens(
    provider: &Provider,
    body: &Body<'_>,
    found: &Found<'_, '_>,
    access: &str,
    (sent_at, purpose): (Timestamp, Purpose),
) -> TokenSet {
    if purpose != Purpose::CodeExchange || provider.also.is_empty() {
        return token_set::token_set(provider, body, found, access, sent_at, purpose);
    }
    match also::alone(provider, body, found) {
        Some(alone) => token_set::token_set(&provider.as_pair(alone), body, found, access, sent_at, purpose),
        None => TokenSet {
            also: also::sets(provider, body, access, sent_at),
            ..token_set::token_set(provider, body, found, access, sent_at, purpose)
        },
    }
}

/// Whether an access token in an answer is what was asked for, and not an echo of what was sent in words of refusal.
fn is_believed(answer: &AnswerParts<'_>, body: &Body<'_>, by_body: Option<Class>, is_known: bool) -> bool {
    let refuses = by_body.is_some() || body.names_error();
    match answer.status {
        429 => false,
        200..=299 => !is_known || !refuses,
        // A page of examples under a 404 is no answer; only what was read as a whole is.
        _ => body.whole && !is_known && !refuses,
    }
}

fn new_refresh_token(found: &Found<'_, '_>, known_secrets: &[&str]) -> Option<RefreshToken> {
    found.refresh.as_deref().filter(|token| !known_secrets.contains(token)).map(RefreshToken::new)
}

fn with_found<'x>(found: &'x Found<'_, '_>, known_secrets: &[&'x str]) -> Vec<&'x str> {
    let found = [&found.access, &found.refresh, &found.id].into_iter().flatten().map(|token| token.as_ref());
    known_secrets.iter().copied().chain(found).collect()
}
