//! What a server answers to a client that registers itself (RFC 7591 §3.2).
//!
//! Lenient in what only describes the client, strict in what it is known by: an unreadable end of a secret is no end, an
//! unreadable client id is no client. What the server says in words is not repeated, but for its code.

use serde::Deserialize;
use serde_json::Value;

use crate::provider::ClientAuth;
use crate::secret::ClientSecret;
use crate::time::Timestamp;
use crate::token_request::method_name;

/// A client that a server has made.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Its id.
    pub client_id: String,
    /// Its secret, and when that ends; public clients have none.
    pub secret: Option<(ClientSecret, Option<Timestamp>)>,
    /// How it authenticates, which the server may have decided otherwise than it was asked.
    pub client_auth: ClientAuth,
}

/// Why there is no client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRegistered {
    /// Only those may register who have been given a token for it.
    #[error("its registration is not open to everybody (HTTP {status})")]
    NotOpen {
        /// The status.
        status: u16,
    },
    /// It does not want this client.
    #[error("it refused the registration (HTTP {status}{})", code.as_deref().map(|code| format!(", {code}")).unwrap_or_default())]
    Refused {
        /// The status.
        status: u16,
        /// The code of RFC 7591 §3.2.2, where it is one.
        code: Option<String>,
    },
    /// Passing trouble: asking again later may help.
    #[error("it cannot register anybody just now (HTTP {status})")]
    NotNow {
        /// The status.
        status: u16,
    },
    /// An answer that names no client that can be used.
    #[error("its answer is no registration: {0}")]
    Unreadable(&'static str),
}

#[derive(Deserialize)]
struct Answer {
    client_id: String,
    client_secret: Option<String>,
    client_secret_expires_at: Option<Value>,
    token_endpoint_auth_method: Option<String>,
}

/// Reads the answer to a registration that asked for `wanted`.
///
/// # Errors
/// [`NotRegistered`].
pub fn registered(status: u16, body: &[u8], wanted: ClientAuth) -> Result<Registered, NotRegistered> {
    match status {
        200..=299 => {}
        401 | 403 => return Err(NotRegistered::NotOpen { status }),
        408 | 429 | 500..=599 => return Err(NotRegistered::NotNow { status }),
        _ => return Err(NotRegistered::Refused { status, code: error_code(body) }),
    }
    let answer: Answer =
        serde_json::from_slice(body).map_err(|_| NotRegistered::Unreadable("expected an object with a `client_id`"))?;
    let secret = answer.client_secret.filter(|secret| !secret.is_empty()).map(ClientSecret::new);
    let client_auth = match answer.token_endpoint_auth_method.as_deref() {
        None => wanted,
        Some(name) => known(name).ok_or(NotRegistered::Unreadable(
            "it decided on a way for the client to authenticate that is not known here",
        ))?,
    };
    if secret.is_none() && client_auth != ClientAuth::None {
        return Err(NotRegistered::Unreadable(
            "it gave no client secret, though the client is to authenticate with one",
        ));
    }
    let ends = answer.client_secret_expires_at.and_then(|at| at.as_i64()).filter(|seconds| *seconds > 0);
    // A public client's secret would only be one more thing to keep.
    let secret = secret.filter(|_| client_auth != ClientAuth::None);
    let secret = secret.map(|secret| (secret, ends.map(Timestamp::from_seconds)));
    Ok(Registered { client_id: answer.client_id, secret, client_auth })
}

fn known(name: &str) -> Option<ClientAuth> {
    [ClientAuth::Basic, ClientAuth::Body, ClientAuth::None].into_iter().find(|how| method_name(*how) == Some(name))
}

/// The code in an error's body (RFC 6749 §5.2, RFC 7591 §3.2.2), where it looks like one.
pub(crate) fn error_code(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let code = body.get("error")?.as_str()?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    (1..=64).contains(&code.len()).then_some(code).filter(|code| code.bytes().all(plain)).map(str::to_owned)
}
