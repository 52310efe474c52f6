//! The handlers: each reads one request strictly, calls one use case and shows what came of it.

#![expect(unused_qualifications, reason = "utoipa's macro writes the names of parameter types out in full")]

pub mod connect;
pub mod connections;
pub mod events;
pub mod flow;
pub mod integrations;
pub mod keys;
mod live;
pub mod mine;
pub mod operation;
pub mod providers;
pub mod quarantine;
pub mod show;
pub mod subjects;
pub mod tokens;
pub mod unsubscribe;
pub mod webhooks;
pub mod widget;

use http::HeaderMap;
use http::header::{ETAG, HeaderValue, IF_MATCH};

use super::problem::Problem;
use crate::service::error::Refusal;

/// What a handler answers.
pub type Answer<T> = Result<T, Problem>;

/// The version that `if-match` names; none where the caller does not care.
///
/// # Errors
/// 422 when it is not a version.
pub fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let version = text.trim_start_matches("W/").trim_matches('"').parse();
    version.map(Some).map_err(|_| Refusal::invalid("if-match", "expected the version of what is changed, in quotes"))
}

/// The version as an `etag`.
pub fn etag(version: u64) -> [(http::HeaderName, HeaderValue); 1] {
    let text = format!("\"{version}\"");
    [(ETAG, HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("\"0\"")))]
}
