//! What the provider gave: the tokens, and the facts about them that may be shown.

use serde::{Deserialize, Serialize};

use crate::lifetime::{Expiry, Oddity};
use crate::secret::{AccessToken, RefreshToken};
use crate::time::{Timestamp, millis, opt_millis};

/// The tokens of one generation. Sealed wherever it is kept.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The access token; absent only when an import brought a refresh token alone.
    pub access_token: Option<AccessToken>,
    /// The refresh token.
    pub refresh_token: Option<RefreshToken>,
    /// The token type, `Bearer` mostly.
    pub token_type: String,
}

/// What is known of a grant without its secrets; part of the connection's life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GrantFacts {
    /// Grows by one with each replacement.
    pub generation: u64,
    /// The moment before the request was sent that brought it, or of the import.
    #[serde(with = "millis")]
    pub issued_at: Timestamp,
    /// When the access token ends.
    pub expiry: Expiry,
    /// The access token's whole life in milliseconds, where it is known: not for an import; 0 when it came expired.
    pub lifetime_millis: Option<u64>,
    /// Names the access token without revealing it.
    pub token_id: String,
    /// Whether an access token is stored.
    pub has_access_token: bool,
    /// Whether a refresh token is stored.
    pub has_refresh_token: bool,
    /// When the refresh token ends, where that is known.
    #[serde(with = "opt_millis")]
    pub refresh_expires_at: Option<Timestamp>,
    /// The scopes that were granted.
    pub scopes: Vec<String>,
    /// What was odd about the answer.
    pub oddities: Vec<Oddity>,
    /// Whether it is the short token that a code brought, which a second exchange makes long.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub short: bool,
}

impl GrantFacts {
    /// The access token's whole life, where it is known.
    pub fn lifetime(&self) -> Option<std::time::Duration> {
        self.lifetime_millis.map(std::time::Duration::from_millis)
    }

    /// These facts of an answer that broke off: the lifetime behind the break was most likely that of the grant before. A token of
    /// which nothing is known would be handed out as valid for a day.
    #[must_use]
    pub fn with_lifetime_of(self, before: Option<&GrantFacts>) -> Self {
        match before.and_then(|before| before.lifetime_millis) {
            Some(millis) if self.expiry == Expiry::Unknown => {
                let at = self.issued_at.plus(std::time::Duration::from_millis(millis));
                GrantFacts { expiry: Expiry::At { at }, lifetime_millis: Some(millis), ..self }
            }
            _ => self,
        }
    }

    /// These facts of an answer that may be the repeated one of an earlier sending: its tokens may be as old as that one, and a
    /// lifetime that is told again began then.
    #[must_use]
    pub fn begun_at(self, earlier: Timestamp) -> Self {
        let older = self.issued_at.since(earlier);
        let expiry = match self.expiry {
            Expiry::At { at } => Expiry::At { at: at.minus(older) },
            unknown => unknown,
        };
        GrantFacts { expiry, issued_at: self.issued_at.minus(older), ..self }
    }

    /// Whether the access token can still be used at `now`, as far as is known.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.has_access_token && !self.expiry.has_passed(now)
    }
}
