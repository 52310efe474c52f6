//! What a connect flow tells the one who shows it: what to ask, where to go, what came of it.

use evergrant_core::id::{ConnectionId, IntegrationName};
use evergrant_core::secret::OneTime;
use url::Url;

use super::failure::Failure;
use super::return_url;

/// A link as somebody opens it.
#[derive(Clone, Debug)]
pub struct LinkInHand {
    /// Its secret.
    pub token: OneTime,
    /// Where a page that shows the link wants the browser back. Counts for links that name no address themselves, and only
    /// if it is one of the integration's.
    pub return_url: Option<String>,
}

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
