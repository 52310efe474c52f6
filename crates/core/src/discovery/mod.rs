//! An entry from what an authorization server says of itself: RFC 8414 and OpenID Connect Discovery 1.0.
//!
//! Pure: addresses to ask, and a document to read. What the document says is held to the same checks as any entry, because
//! it names the places that secrets are sent to; what is not wrong but worth a look is told in notes, never settled here.

mod metadata;
mod over;

pub use over::{Given, lay_over, needs_discovery};

use url::Url;

use crate::catalogue::Fault;
use crate::provider::Provider;
use crate::return_url::is_loopback;
use metadata::Metadata;

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// The entry.
    pub entry: Provider,
    /// What an operator should look at before using it.
    pub notes: Vec<Note>,
}

/// Something that only an operator can decide.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Note {
    /// An endpoint that gets secrets lies on another domain than the one where people sign in.
    #[error(
        "`{field}` sends secrets to {to}, but people sign in at {from}: look whether both are the provider's, and say why in \
         `other_domain_reason`"
    )]
    OtherDomain {
        /// The field.
        field: String,
        /// Where people sign in.
        from: String,
        /// Where secrets go.
        to: String,
    },
    /// Of the methods of PKCE that are spoken here it names the weaker one alone.
    #[error("it names no PKCE method but `plain`, so `pkce` is \"plain\": who reads the request can use the code")]
    PlainPkce,
    /// It names methods of PKCE, and none that is spoken here.
    #[error(
        "it names no PKCE method that is spoken here (only: {methods}), so `pkce` is off: codes travel without that protection"
    )]
    NoPkce {
        /// What it names.
        methods: String,
    },
}

/// Why there is no entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEntry {
    /// The issuer is not an address that can be asked.
    #[error("an issuer is an https address without query and fragment, such as https://auth.example.com")]
    NotAnIssuer,
    /// The document is not JSON of the right form.
    #[error("the document is not what RFC 8414 describes: {0}")]
    NotMetadata(String),
    /// It speaks of another issuer (RFC 8414 §3.3).
    #[error(
        "the document speaks of the issuer {0}, not of the one that was asked; ask that one, if it is who you mean"
    )]
    OtherIssuer(String),
    /// Something is missing without which nobody can be connected.
    #[error("the server does not offer {0}")]
    Lacks(&'static str),
    /// It says something that no entry may say.
    #[error("{0}")]
    Refused(Fault),
}

/// Where an issuer may describe itself, in the order in which they are asked: RFC 8414 §3, then OpenID Connect Discovery §4.
///
/// # Errors
/// [`NoEntry::NotAnIssuer`].
pub fn addresses(issuer: &str) -> Result<Vec<Url>, NoEntry> {
    let url = Url::parse(issuer).map_err(|_| NoEntry::NotAnIssuer)?;
    let secure = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !secure || !plain || url.password().is_some() || !url.has_host() {
        return Err(NoEntry::NotAnIssuer);
    }
    // Both standards take away the slash at the end before they add anything.
    let path = url.path().trim_end_matches('/').to_owned();
    let at = |path: String| {
        let mut at = url.clone();
        at.set_path(&path);
        at
    };
    let mut all = vec![
        at(format!("/.well-known/oauth-authorization-server{path}")),
        at(format!("{path}/.well-known/openid-configuration")),
    ];
    if !path.is_empty() {
        all.push(at(format!("/.well-known/openid-configuration{path}")));
    }
    Ok(all)
}

/// The entry that a document describes. `from` is where it was read. The document must name the very issuer that was asked
/// (RFC 8414 §3.3: identical, to the last slash).
///
/// # Errors
/// [`NoEntry`].
pub fn entry(issuer: &str, from: &Url, document: &[u8], private_networks: bool) -> Result<Described, NoEntry> {
    let said: Metadata =
        serde_json::from_slice(document).map_err(|error| NoEntry::NotMetadata(shown(&error.to_string())))?;
    if said.issuer != issuer {
        return Err(NoEntry::OtherIssuer(shown(&said.issuer)));
    }
    said.described(from, private_networks)
}

/// A stranger's text in our words: no control characters, and not without end.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
