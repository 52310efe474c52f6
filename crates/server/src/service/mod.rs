//! The use cases: what is done, told in the words of those who want it done. Knows no HTTP and no command line.

pub mod access;
pub mod audit;
pub mod checkup;
mod client;
pub mod connect;
pub mod connections;
mod dead;
pub mod declare;
pub mod disconnect;
pub mod error;
pub mod events;
pub mod exposed;
pub mod health;
pub mod idempotency;
pub mod import;
pub mod integrations;
mod issue;
mod issuer;
pub mod jobs;
pub mod keys;
mod known;
pub mod links;
pub mod mine;
pub mod notices;
pub mod onlookers;
pub mod page;
pub mod place;
pub mod preferences;
pub mod providers;
pub mod quarantine;
pub mod refresh;
mod registration;
pub mod rotation;
pub mod scheduler;
pub mod signed;
pub mod stats;
pub mod subjects;
pub mod sweep;
pub mod tell;
pub mod tokens;
pub mod tokens_like;
pub mod unsubscribe;
pub mod webhooks;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use evergrant_core::id::IntegrationName;
use evergrant_core::integration::Integration;
use evergrant_core::policy::Policy;
use evergrant_core::time::Timestamp;
use evergrant_store::{SharedEntropy, Store, StoreError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use access::{Access, Scope};
use error::Refusal;
use links::Links;
use refresh::Refresher;

use crate::catalogue::Entries;
use crate::clock::SharedClock;
use crate::config::MasterKeySource;
use crate::metrics::Metrics;
use crate::provider::Transport;

/// The service: all use cases, and what they share. Cheap to clone.
#[derive(Clone)]
pub struct Service(Arc<Parts>);

/// What the use cases share.
pub struct Parts {
    /// What is kept.
    pub store: Store,
    /// Who may what.
    pub access: Access,
    /// What is known of providers.
    pub catalogue: Arc<Entries>,
    /// The refresh kernel.
    pub refresher: Refresher,
    /// The outlet to providers.
    pub transport: Transport,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How others are told.
    pub telling: tell::Telling,
    /// Links that need no row.
    pub links: Links,
    /// Pages that follow how a subject's connections are doing.
    pub onlookers: onlookers::Onlookers,
    /// The time.
    pub clock: SharedClock,
    /// Randomness.
    pub entropy: SharedEntropy,
    /// What goes on when its caller has gone; awaited at the end.
    pub tasks: TaskTracker,
    /// Cancelled when the service stops.
    pub stop: CancellationToken,
    /// The numbers in force where no provider and no integration changes them.
    pub base: Policy,
    /// The address that people and providers see, without a slash at the end.
    pub public_url: String,
    /// The word for this installation in new API keys.
    pub key_environment: String,
    /// Whether providers may live at private addresses, and speak plain http on loopback.
    pub allow_private_networks: bool,
    /// Where the master key comes from.
    pub master_key: MasterKeySource,
    /// One rotation at a time.
    pub rotating: tokio::sync::Mutex<()>,
    /// Integrations that are declared in the configuration file: only that changes them.
    pub declared: std::collections::BTreeSet<IntegrationName>,
}

impl Service {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        Service(Arc::new(parts))
    }
}

impl Deref for Service {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<service at {}>", self.public_url)
    }
}

impl Parts {
    /// Now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The redirect URI of an integration: one for each, so that no provider's code can be played at another's endpoint.
    pub fn callback_url(&self, name: &IntegrationName) -> String {
        callback_url(&self.public_url, name)
    }

    /// An integration that a caller may see; else it does not exist for him.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub fn seen_integration(&self, scope: &Scope, name: &IntegrationName) -> Result<Arc<Integration>, Refusal> {
        self.store.integration(name).filter(|_| scope.sees(name)).ok_or(Refusal::not_found("integration"))
    }

    /// When a link ends that is made now.
    pub fn link_end(&self, integration: &Integration) -> Timestamp {
        self.now().plus(integration.policy(&self.base).link_ttl)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let cause = chain(&error);
        if error.is_passing() {
            let retry_after = std::time::Duration::from_secs(5);
            return Refusal::StorageUnavailable { retry_after, cause };
        }
        Refusal::Internal { cause }
    }
}

/// An error with everything that lies beneath it, for the log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut beneath = error.source();
    while let Some(cause) = beneath {
        text = format!("{text}: {cause}");
        beneath = cause.source();
    }
    text
}

/// Where an integration's provider sends browsers back: one address for each, so that no provider's code can be played at
/// another's endpoint.
fn callback_url(public_url: &str, name: &IntegrationName) -> String {
    format!("{public_url}/oauth/callback/{name}")
}
