//! Connections as they are shown: what is stored, and what follows from it, the clock and the integration's health.

use std::fmt;
use std::sync::Arc;

use evergrant_core::connection::{Connection, Status};
use evergrant_core::integration::Integration;
use evergrant_core::policy::Policy;
use evergrant_core::schedule::{self, Freshness};
use evergrant_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Who must act, as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeenStatus {
    /// Nobody.
    Connected,
    /// The subject must reconnect.
    NeedsReauth,
    /// The operator must mend the integration.
    Error,
    /// Nobody: ended on purpose.
    Disconnected,
}

impl SeenStatus {
    /// All words.
    pub const ALL: [SeenStatus; 4] =
        [SeenStatus::Connected, SeenStatus::NeedsReauth, SeenStatus::Error, SeenStatus::Disconnected];

    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            SeenStatus::Connected => "connected",
            SeenStatus::NeedsReauth => "needs_reauth",
            SeenStatus::Error => "error",
            SeenStatus::Disconnected => "disconnected",
        }
    }

    /// `error` is not stored with the connection: it follows from the integration's health, so that one mended client
    /// secret mends all its connections without writing one. `needs_reauth` and `disconnected` hide it.
    pub fn of(status: &Status, integration: &Integration) -> Self {
        match status {
            Status::Disconnected { .. } => SeenStatus::Disconnected,
            Status::NeedsReauth { .. } => SeenStatus::NeedsReauth,
            Status::Connected if integration.health.is_misconfigured() => SeenStatus::Error,
            Status::Connected => SeenStatus::Connected,
        }
    }
}

impl fmt::Display for SeenStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A connection with what follows.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What is stored.
    pub connection: Arc<Connection>,
    /// Its integration.
    pub integration: Arc<Integration>,
    /// Who must act.
    pub status: SeenStatus,
    /// How fresh its access token is.
    pub freshness: Freshness,
    /// When the service will next refresh it by itself.
    pub next_refresh_at: Option<Timestamp>,
}

impl Seen {
    /// Looks at a connection at `now`, with the numbers that are in force where its integration says nothing.
    pub fn at(connection: Arc<Connection>, integration: Arc<Integration>, base: &Policy, now: Timestamp) -> Self {
        let policy = integration.policy(base);
        let provider = &integration.provider;
        let status = SeenStatus::of(&connection.life.status, &integration);
        let freshness = schedule::freshness(&connection.life, provider, &policy, None, now);
        // Without jitter: people are shown when it begins to be due, not this installation's dice.
        let due = schedule::due_at(&connection.life, provider, &policy, 0.0);
        let renewable = |_: &Timestamp| {
            let facts = connection.life.grant.as_ref();
            facts.is_some_and(|facts| schedule::is_renewable(facts, provider, now)) && !integration.paused
        };
        let next_refresh_at = due.filter(renewable);
        Seen { connection, integration, status, freshness, next_refresh_at }
    }

    /// The name that people know.
    pub fn provider_name(&self) -> &str {
        provider_name(&self.integration)
    }
}

/// The name that people know; an inline entry may have none.
pub fn provider_name(integration: &Integration) -> &str {
    let name = integration.provider.name.as_str();
    if name.is_empty() { integration.name.as_str() } else { name }
}
