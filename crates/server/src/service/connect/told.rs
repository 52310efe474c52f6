//! What a connect flow tells the one who shows it: what to ask, where to go, what came of it.

use evergrant_core::id::{ConnectionId, IntegrationName};
use evergrant_core::secret::OneTime;
use url::Url;

use super::failure::Failure;
use super::return_url;

/// What the page of a link asks.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who asks: the host that the browser returns to, or this service.
    pub application: String,
    /// For whom, in the application's words.
    pub subject: Option<String>,
    /// The account that a reconnect is for.
    pub account: Option<String>,
    /// Whether it is a reconnect.
    pub reconnect: bool,
    /// What can be chosen; one, mostly.
    pub choices: Vec<Choice>,
    /// The language of the person, where it is known.
    pub language: Option<String>,
}

/// One integration that can be chosen.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The integration.
    pub integration: IntegrationName,
    /// Its provider's name.
    pub provider: String,
    /// The scopes that will be asked for.
    pub scopes: Vec<String>,
}

/// What a person said on the page of a link, and who sent the person there.
#[derive(Clone, Copy, Debug, Default)]
pub struct How<'a> {
    /// The integration that was chosen; none: the first.
    pub chosen: Option<&'a IntegrationName>,
    /// Whether the provider is to ask which account it is to be, where its entry says how.
    pub another_account: bool,
    /// Where the application that showed the link wants the browser back.
    pub return_url: Option<&'a str>,
}

/// On to the provider.
#[derive(Clone, Debug)]
pub struct Begun {
    /// The authorization request; it holds the state.
    pub location: OneTime,
    /// What binds it to this browser.
    pub browser: OneTime,
}

/// What came of a flow.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The application has to say who it is.
    Pending {
        /// For `complete`.
        handle: OneTime,
    },
    /// Done.
    Connected {
        /// The connection.
        connection: ConnectionId,
    },
    /// The person said no, here or there; everything is as it was.
    Denied,
    /// It failed; everything is as it was.
    Failed(Failure),
}

/// The end of a flow, as far as the browser is concerned.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What came of it.
    pub outcome: Outcome,
    /// The provider's name.
    pub provider: String,
    /// Where the application wants the browser back.
    pub return_url: Option<Url>,
    /// Where the person can try again at once; none where that would lead nowhere, or is the application's affair.
    pub again: Option<Again>,
    /// The language of the person, where it is known.
    pub language: Option<String>,
}

/// Another try, in this browser.
#[derive(Clone, Debug)]
pub struct Again {
    /// The secret of a fresh link for the same.
    pub link: OneTime,
    /// Through which integration.
    pub integration: IntegrationName,
    /// The account that a reconnect is for.
    pub account: Option<String>,
    /// Whether the provider can be made to ask which account it is to be.
    pub asks_account: bool,
}

impl Ended {
    /// The application's address with what came of it; none where a page shows it.
    pub fn return_to(&self) -> Option<OneTime> {
        let return_url = self.return_url.as_ref()?;
        let url = match &self.outcome {
            Outcome::Pending { handle } => {
                return_url::with_result(return_url, &[("status", "pending"), ("handle", handle.expose())])
            }
            Outcome::Connected { connection } => {
                return_url::with_result(return_url, &[("status", "connected"), ("connection_id", connection.as_str())])
            }
            Outcome::Denied => return_url::with_result(return_url, &[("status", "denied")]),
            Outcome::Failed(failure) => {
                return_url::with_result(return_url, &[("status", "error"), ("code", failure.code())])
            }
        };
        Some(OneTime::new(String::from(url)))
    }
}

/// A flow that ended before it was known where the browser belongs.
#[derive(Clone, Debug)]
pub struct Stopped {
    /// Why.
    pub failure: Failure,
    /// The provider's name, where it is known.
    pub provider: Option<String>,
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Stopped { failure, provider: None }
    }
}
