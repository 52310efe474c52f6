//! The codes that mean the same everywhere (RFC 6749 §5.2 and its kin), and the places in which providers put them.
//!
//! What only one provider means by a code stands in its catalogue file as a rule, not here. `invalid_request` and
//! `invalid_scope` say nothing of the grant or the client for certain, so the status decides on them.

use super::body::{Body, Shape};
use super::json::Json;
use crate::outcome::Class;

/// Codes by class, in lower case; they are compared without case (Yahoo shouts).
const CODES: [(&str, Class); 25] = [
    // RFC 6749 §5.2, and what lenient servers call it.
    ("invalid_grant", Class::InvalidGrant),
    ("bad_refresh_token", Class::InvalidGrant),
    ("invalid_refresh_token", Class::InvalidGrant),
    ("token_revoked", Class::InvalidGrant),
    // OpenID Connect Core §3.1.2.6: only the person can go on.
    ("interaction_required", Class::InvalidGrant),
    ("consent_required", Class::InvalidGrant),
    ("login_required", Class::InvalidGrant),
    // RFC 6749 §5.2: the client, its secret or its registration.
    ("invalid_client", Class::InvalidClient),
    ("unauthorized_client", Class::InvalidClient),
    ("unsupported_grant_type", Class::InvalidClient),
    ("invalid_client_id", Class::InvalidClient),
    ("invalid_client_secret", Class::InvalidClient),
    ("bad_client_id", Class::InvalidClient),
    ("bad_client_secret", Class::InvalidClient),
    ("incorrect_client_credentials", Class::InvalidClient),
    // RFC 8628 §3.5, and what others call it.
    ("slow_down", Class::RateLimited),
    ("ratelimited", Class::RateLimited),
    ("rate_limited", Class::RateLimited),
    ("rate_limit_exceeded", Class::RateLimited),
    ("too_many_requests", Class::RateLimited),
    // RFC 6749 §4.1.2.1, whatever the status.
    ("temporarily_unavailable", Class::Unavailable),
    ("server_error", Class::Unavailable),
    ("service_unavailable", Class::Unavailable),
    // RFC 9449 §8: say it again with the nonce; nothing was spent.
    (DPOP_NONCE, Class::Unavailable),
    ("internal_server_error", Class::Unavailable),
];

/// The demand for a nonce (RFC 9449 §8).
pub(super) const DPOP_NONCE: &str = "use_dpop_nonce";

/// Where codes stand, likeliest first.
const PLACES: [&str; 14] = [
    "/error",
    "/error/code",
    "/error/error",
    "/error/type",
    "/error/status",
    "/errors/0/errorType",
    "/errors/0/code",
    "/errors/0/error",
    "/errors/0",
    "/error_code",
    "/errorCode",
    "/code",
    "/status",
    "/message",
];

/// What a body says by a code.
pub(super) struct Said<'b> {
    /// The code.
    pub(super) code: &'b str,
    /// Its class, if it means the same everywhere.
    pub(super) class: Option<Class>,
}

impl Body<'_> {
    /// The first code of a known meaning, else the first text that looks like a code.
    pub(super) fn said(&self) -> Option<Said<'_>> {
        let alone = matches!(self.shape, Shape::Text).then(|| self.text.trim_matches('"'));
        let codes = || PLACES.iter().filter_map(|place| self.root.at(place)?.text()).map(str::trim).chain(alone);
        let known = codes().find_map(|code| class_of(code).map(|class| Said { code, class: Some(class) }));
        known.or_else(|| codes().find(|code| looks_like_code(code)).map(|code| Said { code, class: None }))
    }

    /// Whether the body names an error at all, known or not.
    pub(super) fn names_error(&self) -> bool {
        let flag = |name, value| matches!(self.root.member_named(name), Some(Json::Flag(flag)) if *flag == value);
        let something = |name| match self.root.member_named(name) {
            None | Some(Json::Null | Json::Flag(false)) => false,
            Some(Json::Text(text)) => !text.is_empty(),
            Some(Json::Number(raw)) => *raw != "0",
            Some(list @ (Json::List(_) | Json::Map(_))) => !list.children().is_empty(),
            Some(Json::Flag(true)) => true,
        };
        ["error", "errors", "error_code", "errorCode", "error_description"].into_iter().any(something)
            || flag("ok", false)
            || flag("success", false)
    }

    /// Whether a Graph error says of itself that trying again helps.
    pub(super) fn is_transient(&self) -> bool {
        ["/error/is_transient", "/is_transient"]
            .iter()
            .any(|place| matches!(self.root.at(place), Some(Json::Flag(true))))
    }
}

fn class_of(code: &str) -> Option<Class> {
    CODES.iter().find(|(known, _)| known.eq_ignore_ascii_case(code)).map(|(_, class)| *class)
}

fn looks_like_code(text: &str) -> bool {
    let character = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (2..=64).contains(&text.len()) && text.bytes().all(character) && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}
