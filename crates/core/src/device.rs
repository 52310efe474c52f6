//! What a server answers in the device flow (RFC 8628): a code to type in, and whether somebody has.

use std::time::Duration;

use serde::Deserialize;
use url::Url;

use crate::registration::error_code;
use crate::return_url::is_loopback;
use crate::secret::DeviceCode;

/// How long a code lives where the answer does not say, and the longest that is waited for.
const LIFE: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(3600));
/// How often is asked where the answer does not say (RFC 8628 §3.2), and at least and most how often.
const INTERVAL: (Duration, Duration, Duration) =
    (Duration::from_secs(5), Duration::from_secs(1), Duration::from_secs(300));
/// By how much more is waited when the server says that it is asked too often (RFC 8628 §3.5).
pub const SLOWER: Duration = Duration::from_secs(5);

/// A code that waits for a person.
#[derive(Clone, Debug)]
pub struct Started {
    /// What the grant is asked for with: a secret.
    pub device_code: DeviceCode,
    /// What the person types in.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it already.
    pub verification_uri_complete: Option<String>,
    /// How long the code lives.
    pub lives: Duration,
    /// How long to wait between two questions.
    pub interval: Duration,
}

/// Why there is no code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotStarted {
    /// The client is not accepted; another of its secrets may be.
    #[error("it refused the client (HTTP {status})")]
    Client {
        /// The status.
        status: u16,
    },
    /// What is asked for is not accepted.
    #[error("it refused the request (HTTP {status}{})", code.as_deref().map(|code| format!(", {code}")).unwrap_or_default())]
    Request {
        /// The status.
        status: u16,
        /// The provider's code, where it is one.
        code: Option<String>,
    },
    /// Passing trouble.
    #[error("it gives no codes just now (HTTP {status})")]
    NotNow {
        /// The status.
        status: u16,
    },
    /// An answer in which there is no code that a person could be shown.
    #[error("its answer holds no code to type in, or no https address to type it in at")]
    Unreadable,
}

#[derive(Deserialize)]
struct Answer {
    device_code: String,
    user_code: String,
    // Google's older answers call it so.
    #[serde(alias = "verification_url")]
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: Option<f64>,
    interval: Option<f64>,
}

/// Reads the answer to the question for a code.
///
/// # Errors
/// [`NotStarted`].
pub fn started(status: u16, body: &[u8]) -> Result<Started, NotStarted> {
    match status {
        200..=299 => {}
        401 => return Err(NotStarted::Client { status }),
        408 | 429 | 500..=599 => return Err(NotStarted::NotNow { status }),
        _ => {
            return Err(match error_code(body).as_deref() {
                Some("invalid_client" | "unauthorized_client") => NotStarted::Client { status },
                code => NotStarted::Request { status, code: code.map(str::to_owned) },
            });
        }
    }
    let answer: Answer = serde_json::from_slice(body).map_err(|_| NotStarted::Unreadable)?;
    let shown = (1..=64).contains(&answer.user_code.len())
        && answer.user_code.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if !shown || answer.device_code.is_empty() || !can_be_opened(&answer.verification_uri) {
        return Err(NotStarted::Unreadable);
    }
    let span = |seconds: Option<f64>| {
        seconds
            .filter(|seconds| seconds.is_finite() && *seconds > 0.0)
            .map(|seconds| Duration::from_secs_f64(seconds.min(1e6)))
    };
    Ok(Started {
        device_code: DeviceCode::new(answer.device_code),
        user_code: answer.user_code,
        verification_uri: answer.verification_uri,
        verification_uri_complete: answer.verification_uri_complete.filter(|uri| can_be_opened(uri)),
        lives: span(answer.expires_in).unwrap_or(LIFE.0).min(LIFE.1),
        interval: span(answer.interval).unwrap_or(INTERVAL.0).clamp(INTERVAL.1, INTERVAL.2),
    })
}

/// An address that a person may be told to open.
fn can_be_opened(text: &str) -> bool {
    let plain = text.len() <= 2048 && text.bytes().all(|byte| byte.is_ascii_graphic());
    let safe = |url: Url| url.has_host() && (url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url)));
    plain && Url::parse(text).is_ok_and(safe)
}

/// What an answer to the question for the grant says of the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Person {
    /// Nothing yet: ask again.
    Undecided,
    /// Nothing yet, and that was asked too often.
    AskedTooOften,
    /// The person said no.
    Denied,
    /// The code has ended.
    TooLate,
    /// It is a token answer like any other.
    Decided,
}

/// Looks for the codes of RFC 8628 §3.5, whatever the status.
pub fn person(body: &[u8]) -> Person {
    match error_code(body).as_deref() {
        Some("authorization_pending") => Person::Undecided,
        Some("slow_down") => Person::AskedTooOften,
        Some("access_denied") => Person::Denied,
        Some("expired_token") => Person::TooLate,
        _ => Person::Decided,
    }
}
