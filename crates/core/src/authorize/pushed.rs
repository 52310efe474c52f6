//! The answer to a pushed authorization request (RFC 9126 §2.2, §2.3), and where it sends the browser.

use serde_json::Value;
use url::Url;

use super::CannotAuthorize;
use crate::provider::Provider;
use crate::registration::error_code;

/// The longest reference that is passed on, in bytes.
const LONGEST: usize = 2048;

/// Why a push brought no reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPushed {
    /// The client is not accepted; another of its secrets may be.
    #[error("the client was refused (HTTP {status})")]
    Client {
        /// The status.
        status: u16,
    },
    /// What is asked for is not accepted; a request in the address would not be either.
    #[error("the request was refused (HTTP {status}{})", code.as_deref().map(|code| format!(", {code}")).unwrap_or_default())]
    Request {
        /// The status.
        status: u16,
        /// The provider's code, where it is one.
        code: Option<String>,
    },
    /// The endpoint does not work just now, or is not there: that says nothing about the request.
    #[error("the endpoint for pushed requests does not do its work (HTTP {status})")]
    NotNow {
        /// The status.
        status: u16,
    },
}

/// The reference in an answer.
///
/// # Errors
/// [`NotPushed`].
pub fn request_uri(status: u16, body: &[u8]) -> Result<String, NotPushed> {
    match status {
        200..=299 => reference(body).ok_or(NotPushed::NotNow { status }),
        401 => Err(NotPushed::Client { status }),
        404 | 405 | 408 | 429 | 500..=599 => Err(NotPushed::NotNow { status }),
        _ => match error_code(body).as_deref() {
            Some("invalid_client" | "unauthorized_client") => Err(NotPushed::Client { status }),
            Some("temporarily_unavailable" | "server_error") => Err(NotPushed::NotNow { status }),
            code => Err(NotPushed::Request { status, code: code.map(str::to_owned) }),
        },
    }
}

fn reference(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let uri = body.get("request_uri")?.as_str()?;
    let good = (1..=LONGEST).contains(&uri.len()) && uri.bytes().all(|byte| byte.is_ascii_graphic());
    good.then(|| uri.to_owned())
}

/// Where the browser goes with a reference: nothing but the client's id and the reference stand in the address (RFC 9126 §4),
/// beside what the endpoint's own address says.
///
/// # Errors
/// [`CannotAuthorize::NoEndpoint`].
pub fn pushed_url(provider: &Provider, client_id: &str, request_uri: &str) -> Result<Url, CannotAuthorize> {
    let mut url = Url::parse(&provider.authorize_url).map_err(|_| CannotAuthorize::NoEndpoint)?;
    let name = provider.param_names.get("client_id").map_or("client_id", String::as_str);
    let name = if name.is_empty() { "client_id" } else { name };
    let ours = [name, "request_uri"];
    let theirs: Vec<(String, String)> =
        url.query_pairs().into_owned().filter(|(name, _)| !ours.contains(&name.as_str())).collect();
    url.query_pairs_mut()
        .clear()
        .extend_pairs(theirs)
        .append_pair(name, client_id)
        .append_pair("request_uri", request_uri);
    url.set_fragment(None);
    Ok(url)
}
