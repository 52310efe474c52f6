//! How a connect flow can fail, each with what was kept and what to do next.
//!
//! Words for the person in the browser, and a code for the application. What the provider said is never shown to a
//! browser: known codes are put into our own words, unknown ones are only counted.

use serde::{Deserialize, Serialize};

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
    pub fn title(self, provider: &str) -> String {
        match self {
            Failure::LinkGone => "This link is not good any more".to_owned(),
            Failure::StateGone => "This sign-in cannot be continued here".to_owned(),
            Failure::ProviderUnavailable => format!("{provider} does not answer just now"),
            Failure::AccountTaken => "This account is already connected".to_owned(),
            Failure::OtherAccount => "You chose another account".to_owned(),
            Failure::IntegrationPaused => format!("{provider} is paused here"),
            Failure::ConnectionGone => "There is nothing to reconnect any more".to_owned(),
            _ => format!("{provider} could not be connected"),
        }
    }

    /// What happened and what was kept.
    pub fn message(self, provider: &str) -> String {
        match self {
            Failure::LinkGone => {
                "It has been used, it has ended, or it was not copied whole. Nothing was changed.".to_owned()
            }
            Failure::StateGone => {
                "It was begun in another browser, it was left open for more than ten minutes, or it has \
                                   been finished already. Nothing was changed."
                    .to_owned()
            }
            Failure::WrongIssuer => {
                format!("The answer did not come from {provider}, so it was not used. Nothing was changed.")
            }
            Failure::NoCode => format!("{provider} sent the browser back without an answer. Nothing was changed."),
            Failure::ProviderUnavailable => format!("{provider} could not finish the sign-in. Nothing was changed."),
            Failure::RequestRefused => {
                format!("{provider} does not accept what this application asks for. Nothing was changed.")
            }
            Failure::CodeExpired => {
                format!("Nobody agreed at {provider} while the code was good. Nothing was changed.")
            }
            Failure::CodeRefused => format!("{provider} did not accept the end of the sign-in. Nothing was changed."),
            Failure::IntegrationMisconfigured => {
                format!("{provider} does not accept this application's registration. Nothing was changed.")
            }
            Failure::IntegrationPaused => "The operator has paused it. What is connected stays connected.".to_owned(),
            Failure::AccountUnknown => {
                format!("{provider} did not say which account this is, so it was not connected. Nothing was changed.")
            }
            Failure::AccountTaken => {
                format!("This account at {provider} is connected for somebody else. That connection was not touched.")
            }
            Failure::OtherAccount => format!(
                "You signed in at {provider} with another account than the one that is connected here. The connection is as it was."
            ),
            Failure::ConnectionGone => "The connection was ended meanwhile.".to_owned(),
            Failure::StorageUnavailable => {
                "This service cannot store anything just now. Nothing was changed.".to_owned()
            }
            Failure::Internal => "Something went wrong in this service. Nothing was changed.".to_owned(),
        }
    }

    /// What to do next.
    pub fn todo(self, provider: &str) -> String {
        match self {
            Failure::LinkGone => "Go back to the application and ask for a new link.".to_owned(),
            Failure::StateGone => {
                "Go back to the application, or open the link again, and finish in one browser.".to_owned()
            }
            Failure::CodeExpired => "Ask for a new code.".to_owned(),
            Failure::WrongIssuer | Failure::NoCode | Failure::CodeRefused => {
                "Please try again. If it happens again, tell the application's support.".to_owned()
            }
            Failure::ProviderUnavailable => "Please try again in a few minutes.".to_owned(),
            Failure::RequestRefused | Failure::IntegrationMisconfigured | Failure::IntegrationPaused => {
                "Tell the application's support: its operator can mend this. You can try again afterwards.".to_owned()
            }
            Failure::AccountUnknown => "Please try again in a few minutes.".to_owned(),
            Failure::AccountTaken => {
                format!("Sign out at {provider} and connect another account, or ask the application's support.")
            }
            Failure::OtherAccount => {
                format!(
                    "Sign out at {provider}, then open the link again and sign in with the account that is connected."
                )
            }
            Failure::ConnectionGone => "Go back to the application and connect anew.".to_owned(),
            Failure::StorageUnavailable | Failure::Internal => "Please try again in a minute.".to_owned(),
        }
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
