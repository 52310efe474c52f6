//! What a dashboard draws, and what is read just before metrics are scraped.

use std::time::Duration;

use evergrant_core::id::IntegrationName;
use evergrant_core::time::Timestamp;
use evergrant_store::{IntegrationNumbers, Nodes, Quarantine, StatusCounts};

use super::Service;
use super::access::{Caller, Scope};
use super::connections::{SeenStatus, visible};
use super::error::Refusal;
use crate::metrics::Levels;

/// Spans within which access tokens end that are counted, in seconds.
const WITHIN: [u64; 4] = [300, 600, 3600, 86_400];
/// A readiness check that takes longer has failed: whoever asks has a limit of their own.
const READY_WITHIN: Duration = Duration::from_secs(2);
/// How far back outcomes are counted.
const DAY: Duration = Duration::from_secs(86_400);

/// The service in numbers, as far as a caller may see it.
#[derive(Clone, Debug)]
pub struct Figures {
    /// When it was counted.
    pub at: Timestamp,
    /// Each integration.
    pub integrations: Vec<IntegrationFigures>,
    /// How late the oldest due refresh is.
    pub refresh_lag: Duration,
    /// Refreshes under way.
    pub in_flight: u64,
    /// Why nothing is refreshed, if the operator has to adopt the database.
    pub quarantine: Option<Quarantine>,
}

/// One integration in numbers.
#[derive(Clone, Debug)]
pub struct IntegrationFigures {
    /// Its name.
    pub integration: IntegrationName,
    /// Connections by status.
    pub connections: Vec<(SeenStatus, u64)>,
    /// Access tokens that end within so many seconds.
    pub expiring: Vec<(u64, u64)>,
    /// Outcomes by hour.
    pub outcomes: Vec<(Timestamp, String, u64)>,
    /// Whether its breaker is open.
    pub breaker_open: bool,
}

impl Service {
    /// The service in numbers.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub async fn stats(&self, caller: &Caller) -> Result<Figures, Refusal> {
        let now = self.now();
        let figures = |one: IntegrationNumbers| IntegrationFigures {
            connections: self.by_status(&one.integration, one.connections),
            expiring: WITHIN.into_iter().zip(one.expiring).collect(),
            outcomes: one.outcomes.into_iter().map(|one| (one.hour, one.class, one.count)).collect(),
            breaker_open: self.refresher.breaker_open(&one.integration),
            integration: one.integration,
        };
        Ok(Figures {
            at: now,
            integrations: self.numbers(&caller.scope, now).await?.into_iter().map(figures).collect(),
            refresh_lag: self.refresh_lag(now).await?,
            in_flight: self.refresher.in_flight() as u64,
            quarantine: self.store.quarantine(),
        })
    }

    /// The levels that are set before metrics are scraped.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub async fn levels(&self, scope: &Scope) -> Result<Levels, Refusal> {
        let now = self.now();
        let refresh_lag = self.refresh_lag(now).await?;
        let (tally, nodes) = (self.store.tally(), self.store.nodes());
        let mut levels = Levels { refresh_lag, tally, nodes, ..Levels::default() };
        for one in self.numbers(scope, now).await? {
            let name = &one.integration;
            let by_status = self.by_status(name, one.connections);
            levels
                .connections
                .extend(by_status.into_iter().map(|(status, count)| (name.clone(), status.as_str(), count)));
            let expiring = WITHIN.into_iter().zip(one.expiring);
            levels.expiring.extend(expiring.map(|(within, count)| (name.clone(), within, count)));
            levels.breakers.push((name.clone(), self.refresher.breaker_open(name)));
        }
        Ok(levels)
    }

    async fn numbers(&self, scope: &Scope, now: Timestamp) -> Result<Vec<IntegrationNumbers>, Refusal> {
        let until = WITHIN.iter().map(|seconds| now.plus(Duration::from_secs(*seconds))).collect();
        Ok(self.store.numbers(visible(scope, None).as_ref(), until, now.minus(DAY), now).await?)
    }

    /// `error` is how the connected ones read while the integration is misconfigured.
    fn by_status(&self, name: &IntegrationName, counts: StatusCounts) -> Vec<(SeenStatus, u64)> {
        let broken = self.store.integration(name).is_some_and(|one| one.health.is_misconfigured());
        let (connected, error) = if broken { (0, counts.connected) } else { (counts.connected, 0) };
        vec![
            (SeenStatus::Connected, connected),
            (SeenStatus::NeedsReauth, counts.needs_reauth),
            (SeenStatus::Error, error),
            (SeenStatus::Disconnected, counts.disconnected),
        ]
    }

    async fn refresh_lag(&self, now: Timestamp) -> Result<Duration, Refusal> {
        Ok(self.store.oldest_due(now).await?.map_or(Duration::ZERO, |due| now.since(due)))
    }
}

/// Whether calls should be sent here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// The database and the journal can be written.
    pub database: bool,
    /// The key ring opens what it sealed.
    pub key_ring: bool,
    /// Refreshes can be sent: the service is not stopping.
    pub refresher: bool,
    /// Nothing is sent before the operator has adopted the database. Live tokens are served all the same.
    pub quarantined: bool,
    /// What is known of the nodes of the database; none where this process works on it alone.
    pub nodes: Option<Nodes>,
    /// What is wrong with the database, for a person.
    pub detail: Option<String>,
}

impl Readiness {
    /// Whether everything is well.
    pub fn all(&self) -> bool {
        self.database && self.key_ring && self.refresher && self.hears()
    }

    /// Whether what other nodes commit is heard, so that what is in memory may be shown.
    pub fn hears(&self) -> bool {
        self.nodes.is_none_or(|nodes| nodes.trusted)
    }
}

impl Service {
    /// Whether calls should be sent here.
    pub async fn ready(&self) -> Readiness {
        let checked = tokio::select! {
            checked = self.store.check(self.now()) => checked.map_err(|error| super::chain(&error)),
            () = self.clock.sleep(READY_WITHIN) => Err("the database does not answer".to_owned()),
        };
        if let Err(error) = &checked {
            tracing::warn!(error, "not ready: the store");
        }
        Readiness {
            database: checked.is_ok(),
            key_ring: self.store.derived_key("readiness").is_ok(),
            refresher: !self.stop.is_cancelled(),
            quarantined: self.store.quarantine().is_some(),
            nodes: self.store.nodes(),
            detail: checked.err(),
        }
    }
}
