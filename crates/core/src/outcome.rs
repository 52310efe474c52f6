//! How a call at the token endpoint can end: the classes of `docs/lifecycle.md`, as values and not as errors.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::lifetime::TokenSet;
use crate::secret::RefreshToken;

/// The classes; their names are part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// 2xx with a usable access token.
    Success,
    /// The provider said that this refresh token is dead.
    InvalidGrant,
    /// 401 or 403 without saying why.
    AuthRejected,
    /// It said that our client id, secret or registration is wrong.
    InvalidClient,
    /// 429, or the provider's own form of it.
    RateLimited,
    /// 5xx, 408, or a documented "try again" body.
    Unavailable,
    /// The request provably never left whole.
    Network,
    /// It may have arrived and no whole answer came.
    Ambiguous,
    /// 2xx in which no usable token is found.
    Malformed,
    /// Any other 4xx, a redirect.
    Unknown,
}

impl Class {
    /// All classes, in the order of the table.
    pub const ALL: [Class; 10] = [
        Class::Success,
        Class::InvalidGrant,
        Class::AuthRejected,
        Class::InvalidClient,
        Class::RateLimited,
        Class::Unavailable,
        Class::Network,
        Class::Ambiguous,
        Class::Malformed,
        Class::Unknown,
    ];

    /// The name in the API, metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::Success => "success",
            Class::InvalidGrant => "invalid_grant",
            Class::AuthRejected => "auth_rejected",
            Class::InvalidClient => "invalid_client",
            Class::RateLimited => "rate_limited",
            Class::Unavailable => "unavailable",
            Class::Network => "network",
            Class::Ambiguous => "ambiguous",
            Class::Malformed => "malformed",
            Class::Unknown => "unknown",
        }
    }

    /// Whether the class says nothing of the grant: it counts as transient and never disconnects anybody.
    pub const fn is_transient(self) -> bool {
        matches!(self, Class::RateLimited | Class::Unavailable | Class::Network | Class::Ambiguous | Class::Malformed)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a call for a token ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A usable access token came.
    Success(Box<TokenSet>),
    /// Anything else.
    Failure(Failure),
}

impl Outcome {
    /// The class.
    pub fn class(&self) -> Class {
        match self {
            Outcome::Success(_) => Class::Success,
            Outcome::Failure(failure) => failure.class,
        }
    }

    /// Whether it brought tokens that must be kept: an answer without a usable access token may hold a refresh token.
    pub fn brings_tokens(&self) -> bool {
        match self {
            Outcome::Success(_) => true,
            Outcome::Failure(failure) => failure.salvaged_refresh_token.is_some(),
        }
    }
}

/// A call that brought no usable token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why; never [`Class::Success`].
    pub class: Class,
    /// What the provider said, scrubbed of every secret, at most 300 characters; or what happened on the way.
    pub detail: String,
    /// The provider's own error code where one was found (`invalid_grant`, `AADSTS…`), scrubbed.
    pub code: Option<String>,
    /// How long the provider asks to wait, already clamped to 1 s – 24 h.
    pub retry_after: Option<Duration>,
    /// Whether the refresh token that was sent may have been spent by this sending.
    pub spent: Spent,
    /// A complete new refresh token in an answer without a usable access token: it must not be lost.
    pub salvaged_refresh_token: Option<RefreshToken>,
}

impl Failure {
    /// The request provably never left whole; `detail` says what failed on the way, without secrets.
    pub fn network(detail: impl Into<String>) -> Self {
        Failure::on_the_way(Class::Network, Spent::No, detail.into())
    }

    /// The request may have arrived, and no whole answer came; `detail` says what happened, without secrets.
    pub fn ambiguous(detail: impl Into<String>) -> Self {
        Failure::on_the_way(Class::Ambiguous, Spent::Unknown, detail.into())
    }

    /// Our client has nothing to show for itself, so nothing was sent; `detail` says why, without secrets.
    pub fn unusable_client(detail: impl Into<String>) -> Self {
        Failure::on_the_way(Class::InvalidClient, Spent::No, detail.into())
    }

    fn on_the_way(class: Class, spent: Spent, detail: String) -> Self {
        Failure { class, detail, code: None, retry_after: None, spent, salvaged_refresh_token: None }
    }
}

/// What a failed sending says of the refresh token that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spent {
    /// Provably not: the request never left whole, or the provider says so.
    No,
    /// It may have been.
    Unknown,
    /// It was: the answer held token strings, or says that the token is dead.
    Yes,
}
