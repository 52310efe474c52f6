//! What a token answer brings, and how long it lives.

use serde::{Deserialize, Serialize};

use crate::secret::{AccessToken, IdToken, RefreshToken};
use crate::time::{Timestamp, millis};

/// When an access token ends, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Expiry {
    /// At this instant.
    At {
        /// The instant.
        #[serde(with = "millis")]
        at: Timestamp,
    },
    /// No lifetime is known: handed out, refreshed on report or every 24 h if a refresh token exists.
    Unknown,
    /// The provider issues none, or an absurd one came without a refresh token.
    Never,
}

impl Expiry {
    /// The instant, if one is known.
    pub fn at(self) -> Option<Timestamp> {
        match self {
            Expiry::At { at } => Some(at),
            Expiry::Unknown | Expiry::Never => None,
        }
    }

    /// Whether the token has ended at `now`.
    pub fn has_passed(self, now: Timestamp) -> bool {
        self.at().is_some_and(|at| at <= now)
    }
}

/// What was odd about an answer whose tokens were kept all the same; told to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Oddity {
    /// The lifetime was absurd and was clamped to 365 days.
    OddExpiry,
    /// The lifetime could not be read.
    UnreadableExpiry,
    /// The lifetime was zero or negative.
    ExpiredOnArrival,
    /// The scope could not be read.
    UnreadableScope,
    /// The token type could not be read, or is not `Bearer`.
    OddTokenType,
    /// A JSON key came twice; the last one was taken.
    DuplicateKey,
    /// The answer was cut off or padded; complete token strings were found in it.
    Salvaged,
    /// The tokens came under a status that is not 2xx.
    OddStatus,
    /// The refresh token was not fit to be sent (bad characters, over 16 KiB) and was not taken.
    UnusableRefreshToken,
}

/// The usable part of a token answer.
#[derive(Clone, Debug)]
pub struct TokenSet {
    /// The access token.
    pub access_token: AccessToken,
    /// The refresh token, if a non-empty one came.
    pub refresh_token: Option<RefreshToken>,
    /// The id token, if one came (not verified).
    pub id_token: Option<IdToken>,
    /// The token type, `Bearer` when absent.
    pub token_type: String,
    /// The end of the access token, counted from before the request was sent.
    pub expiry: Expiry,
    /// The end of the refresh token, where the answer says one.
    pub refresh_expires_at: Option<Timestamp>,
    /// The granted scopes, if the answer names them.
    pub scopes: Option<Vec<String>>,
    /// The account's id and name, where the answer itself tells them.
    pub account: Option<AccountHint>,
    /// Facts that calling the provider needs besides the token (`instance_url`), by the catalogue's names.
    pub provider_data: serde_json::Map<String, serde_json::Value>,
    /// What was odd.
    pub oddities: Vec<Oddity>,
    /// Whether it is the short token that a code brought, which a second exchange makes long.
    pub short: bool,
    /// Which of several pairs of one grant this is, where the entry tells them apart.
    pub kind: Option<String>,
    /// Further pairs of the same answer, each with its kind.
    pub also: Vec<TokenSet>,
}

/// What an answer tells of the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountHint {
    /// The identity at the provider.
    pub id: crate::id::AccountId,
    /// A name for people.
    pub name: Option<String>,
}
