//! Asks an authorization server what it says of itself, at each place where it may say it.
//!
//! Through the one outlet, with its policy of addresses, and with limits: whoever names an issuer must not be able to keep
//! the service waiting, or to make it read without end. No redirect is followed: the document names where secrets go.

use std::fmt;
use std::time::Duration;

use evergrant_core::discovery::{self, Described, NoEntry};
use evergrant_core::token_request::document;
use url::Url;

use super::transport::{Limits, SendError, Transport};

/// What asking one place may take.
const LIMITS: Limits = Limits { connect: Duration::from_secs(5), answer: Duration::from_secs(10), body: 256 * 1024 };

/// An issuer that brought no entry: what was tried, and why each did not do.
#[derive(Clone, Debug, thiserror::Error)]
pub struct NotDescribed {
    /// Each place that was asked, and what came of it; no place at all where it is no issuer.
    pub tried: Vec<(Url, String)>,
    /// What was wrong, where there was a document, or where there was nothing to ask.
    pub refused: Option<NoEntry>,
}

impl fmt::Display for NotDescribed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.tried.as_slice(), &self.refused) {
            ([], Some(refused)) => write!(f, "{refused}"),
            (tried, _) => {
                let tried: Vec<String> = tried.iter().map(|(at, why)| format!("{at}: {why}")).collect();
                write!(f, "it does not describe itself (tried {})", tried.join("; "))
            }
        }
    }
}

/// What an issuer says of itself.
///
/// # Errors
/// [`NotDescribed`], with everything that was tried.
pub async fn describe(transport: &Transport, issuer: &str, private_networks: bool) -> Result<Described, NotDescribed> {
    let mut failed = NotDescribed { tried: Vec::new(), refused: None };
    let addresses = discovery::addresses(issuer);
    for at in addresses.map_err(|refused| NotDescribed { tried: Vec::new(), refused: Some(refused) })? {
        match read(transport, issuer, &at, private_networks).await {
            Ok(Ok(described)) => return Ok(described),
            Ok(Err(refused)) => {
                failed.tried.push((at, refused.to_string()));
                // A page that is no such document says nothing about the server.
                if !matches!(refused, NoEntry::NotMetadata(_)) {
                    failed.refused.get_or_insert(refused);
                }
            }
            Err(why) => failed.tried.push((at, why)),
        }
    }
    Err(failed)
}

/// What stands at one place: an entry, a document that gives none, or nothing.
async fn read(
    transport: &Transport,
    issuer: &str,
    at: &Url,
    private_networks: bool,
) -> Result<Result<Described, NoEntry>, String> {
    match transport.call(document(at.as_str()), LIMITS).await {
        Ok(answer) if answer.status == 200 => Ok(discovery::entry(issuer, at, &answer.body, private_networks)),
        Ok(answer) => Err(format!("HTTP {}", answer.status)),
        Err(SendError::Unsent) => Err("the connection was closed".to_owned()),
        Err(SendError::Lost { why, .. }) => Err(why),
    }
}
