//! How a connect flow can fail, each with what was kept and what to do next.
//!
//! Words for the person in the browser, and a code for the application. What the provider said is never shown to a
//! browser: known codes are put into our own words, unknown ones are only counted.

use serde::{Deserialize, Serialize};

use crate::notify::words::Words;
use crate::service::error::{Conflict, Refusal};

/// Why a connect flow brought no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The link was never made here, has ended, or is spent.
    LinkGone,
    /// The state is missing, unknown, used or expired, or belongs to another browser.
    StateGone,
    /// The answer came from another issuer than the one that was asked (RFC 9207).
    WrongIssuer,
    /// The provider answered neither with a code nor with an error.
    NoCode,
    /// The provider says that it is out of order.
    ProviderUnavailable,
    /// The provider refused what was asked: scope, client, redirect URI.
    RequestRefused,
    /// Nobody has typed the code in while it lived.
    CodeExpired,
    /// The provider refused the code, or answered without a usable token.
    CodeRefused,
    /// The provider refuses our client.
    IntegrationMisconfigured,
    /// The operator has paused it.
    IntegrationPaused,
    /// Nobody could be asked which account this is.
    AccountUnknown,
    /// The account belongs to another subject.
    AccountTaken,
    /// Another account than the connection's was chosen.
    OtherAccount,
    /// The connection is gone meanwhile.
    ConnectionGone,
    /// The database is away.
    StorageUnavailable,
    /// Something that should not be.
    Internal,
}

impl Failure {
    /// The code for the application.
    pub const fn code(self) -> &'static str {
        match self {
            Failure::LinkGone => "link_gone",
            Failure::StateGone => "state_gone",
            Failure::WrongIssuer => "wrong_issuer",
            Failure::NoCode => "no_code",
            Failure::ProviderUnavailable => "provider_unavailable",
            Failure::RequestRefused => "request_refused",
            Failure::CodeExpired => "code_expired",
            Failure::CodeRefused => "provider_error",
            Failure::IntegrationMisconfigured => "integration_misconfigured",
            Failure::IntegrationPaused => "integration_paused",
            Failure::AccountUnknown => "account_unknown",
            Failure::AccountTaken => "account_taken",
            Failure::OtherAccount => "other_account",
            Failure::ConnectionGone => "connection_gone",
            Failure::StorageUnavailable => "storage_unavailable",
            Failure::Internal => "internal",
        }
    }

    /// In a few words.
    pub fn title(self, words: &Words, provider: &str) -> String {
        let own = format!("{}_title", self.code());
        let name = if words.has_connect(&own) { own.as_str() } else { "failed_title" };
        words.connect(name, &[("provider", provider)])
    }

    /// What happened and what was kept.
    pub fn message(self, words: &Words, provider: &str) -> String {
        words.connect(self.code(), &[("provider", provider)])
    }

    /// What to do next.
    pub fn todo(self, words: &Words, provider: &str) -> String {
        words.connect(&format!("{}_todo", self.code()), &[("provider", provider)])
    }

    /// Whether the same person can do something about it in this browser, now.
    pub const fn can_try_again(self) -> bool {
        matches!(
            self,
            Failure::NoCode
                | Failure::ProviderUnavailable
                | Failure::CodeRefused
                | Failure::AccountUnknown
                | Failure::AccountTaken
                | Failure::OtherAccount
                | Failure::StorageUnavailable
                | Failure::Internal
        )
    }

    /// Whether the browser asked for something that is not there, did something wrong, or met somebody else's trouble.
    pub const fn status(self) -> u16 {
        match self {
            Failure::LinkGone | Failure::ConnectionGone | Failure::CodeExpired => 404,
            Failure::StateGone | Failure::WrongIssuer | Failure::NoCode => 400,
            Failure::AccountTaken | Failure::OtherAccount => 409,
            Failure::RequestRefused | Failure::IntegrationMisconfigured | Failure::IntegrationPaused => 424,
            Failure::CodeRefused | Failure::AccountUnknown => 502,
            Failure::ProviderUnavailable | Failure::StorageUnavailable => 503,
            Failure::Internal => 500,
        }
    }
}

impl From<&Refusal> for Failure {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Conflict(Conflict::AccountTaken { .. }) => Failure::AccountTaken,
            Refusal::Conflict(Conflict::OtherAccount { .. }) => Failure::OtherAccount,
            Refusal::Conflict(_) => Failure::Internal,
            Refusal::NotFound { .. } | Refusal::NotConnected { .. } => Failure::ConnectionGone,
            Refusal::IntegrationMisconfigured { .. } => Failure::IntegrationMisconfigured,
            Refusal::IntegrationPaused { .. } => Failure::IntegrationPaused,
            Refusal::ProviderError { .. } => Failure::CodeRefused,
            Refusal::ProviderUnavailable { .. } => Failure::ProviderUnavailable,
            Refusal::StorageUnavailable { .. } => Failure::StorageUnavailable,
            Refusal::Unauthenticated
            | Refusal::Forbidden { .. }
            | Refusal::OtherSubject
            | Refusal::Ambiguous { .. }
            | Refusal::Invalid { .. }
            | Refusal::NeedsReauth { .. }
            | Refusal::NoRefreshToken
            | Refusal::Quarantined
            | Refusal::RateLimited { .. }
            | Refusal::Internal { .. } => Failure::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::words::LANGUAGES;

    const ALL: [Failure; 16] = [
        Failure::LinkGone,
        Failure::StateGone,
        Failure::WrongIssuer,
        Failure::NoCode,
        Failure::ProviderUnavailable,
        Failure::RequestRefused,
        Failure::CodeExpired,
        Failure::CodeRefused,
        Failure::IntegrationMisconfigured,
        Failure::IntegrationPaused,
        Failure::AccountUnknown,
        Failure::AccountTaken,
        Failure::OtherAccount,
        Failure::ConnectionGone,
        Failure::StorageUnavailable,
        Failure::Internal,
    ];

    #[test]
    fn every_failure_says_in_every_language_what_happened_and_what_to_do() {
        for words in LANGUAGES.map(|language| Words::of(Some(language))) {
            for failure in ALL {
                let said = [failure.title(words, "Acme"), failure.message(words, "Acme"), failure.todo(words, "Acme")];
                assert!(said.iter().all(|text| text.len() > 5), "{failure:?} in {}: {said:?}", words.language());
            }
        }
    }
}
