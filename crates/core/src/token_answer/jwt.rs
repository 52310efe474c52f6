//! The claims of a JSON Web Token, read without its signature.
//!
//! Good enough for what it is used for: a hint at an access token's end, and the account of an id token that came straight
//! from the token endpoint over TLS, where OpenID Connect Core §3.1.3.7 (6) lets the server's certificate stand for the
//! signature. Never for a token that came any other way.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::body::text_of;
use super::json::{self, Json};

/// Calls `then` with the claims, if this is a JSON Web Token in its compact form (RFC 7519 §3).
pub(crate) fn with_claims<T>(token: &str, then: impl FnOnce(&Json<'_>) -> Option<T>) -> Option<T> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let text = text_of(&URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?);
    let read = json::read(&text)?;
    if read.whole { then(&read.value) } else { None }
}
