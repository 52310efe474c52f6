//! Refreshing on order: one now, whatever is due, what callers report.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evergrant_core::connection::{Connection, LastUse, UseOutcome};
use evergrant_core::id::ConnectionId;
use evergrant_core::integration::Health;
use evergrant_core::outcome::Class;
use evergrant_core::schedule;
use evergrant_store::ConnectionFilter;

use super::Service;
use super::access::Caller;
use super::connections::{Seen, provider_name, visible};
use super::error::Refusal;
use super::refresh::{ForceRefusal, by_schedule};

/// What a pass came to for one connection.
#[derive(Clone, Debug)]
pub struct Pass {
    /// Which.
    pub connection: ConnectionId,
    /// A class, or why nothing was sent.
    pub outcome: String,
}

/// One pass over what was due.
#[derive(Clone, Debug)]
pub struct Swept {
    /// How many were due.
    pub due: u64,
    /// How they ended.
    pub outcomes: BTreeMap<String, u64>,
    /// Each of them, as far as the caller may see it.
    pub each: Vec<Pass>,
}

/// What a provider's API said to a token.
#[derive(Clone, Debug)]
pub struct Said {
    /// Which token.
    pub token_id: String,
    /// What it said.
    pub outcome: UseOutcome,
    /// In its own words.
    pub detail: Option<String>,
    /// How long it asks to wait.
    pub retry_after: Option<Duration>,
}

/// A report that was noted.
#[derive(Clone, Debug)]
pub struct Noted {
    /// Whether it was about the current access token.
    pub current: bool,
    /// Whether it led to a refresh.
    pub refreshing: bool,
    /// The connection after it.
    pub seen: Seen,
}

impl Service {
    /// Refreshes one connection now: its outcome, once it ran, and the connection after it.
    ///
    /// # Errors
    /// A [`Refusal`] that says why nothing was sent.
    pub async fn force(&self, caller: &Caller, id: &ConnectionId) -> Result<(Class, Seen), Refusal> {
        let seen = self.connection(caller, id).await?;
        match self.refresher.force(id).await {
            Ok(forced) => Ok((forced.outcome, self.see(forced.connection, seen.integration))),
            Err(refused) => Err(self.not_forced(&refused, &seen)),
        }
    }

    fn not_forced(&self, refused: &ForceRefusal, seen: &Seen) -> Refusal {
        let provider = provider_name(&seen.integration);
        match *refused {
            ForceRefusal::NotFound => Refusal::not_found("connection"),
            ForceRefusal::NotConnected => {
                self.not_connected(&seen.integration, &seen.connection.subject, Some(&seen.connection))
            }
            ForceRefusal::NoRefreshToken => Refusal::NoRefreshToken,
            ForceRefusal::IntegrationPaused => {
                Refusal::IntegrationPaused { integration: seen.integration.name.clone() }
            }
            ForceRefusal::Quarantined => Refusal::Quarantined,
            ForceRefusal::IntegrationMisconfigured => {
                let (since, detail) = match &seen.integration.health {
                    Health::Misconfigured { since, detail, .. } => (*since, detail.clone()),
                    Health::Ok | Health::Suspected { .. } | Health::Mending { .. } => (self.now(), String::new()),
                };
                Refusal::IntegrationMisconfigured { integration: seen.integration.name.clone(), since, detail }
            }
            ForceRefusal::TooSoon { retry_after } => {
                let why = "This connection was refreshed on order less than a minute ago, or its provider asked for patience.";
                Refusal::RateLimited { why, retry_after }
            }
            ForceRefusal::TooEarly { retry_after } => {
                let why = "This provider refuses a refresh so early in the life of an access token; the stored one is good until \
                           then.";
                Refusal::RateLimited { why, retry_after }
            }
            ForceRefusal::Pending { retry_after } => Refusal::ProviderUnavailable {
                class: None,
                detail: format!("The refresh at {provider} is still under way; it goes on by itself."),
                retry_after,
            },
            ForceRefusal::StorageUnavailable { retry_after } => {
                Refusal::StorageUnavailable { retry_after, cause: "the kernel could not reach the store".to_owned() }
            }
        }
    }

    /// Notes what a provider's API said to a token. That it was refused leads to one refresh, never to a verdict.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::Invalid`], [`Refusal::StorageUnavailable`].
    pub async fn report(&self, caller: &Caller, id: &ConnectionId, said: Said) -> Result<Noted, Refusal> {
        let Said { token_id, outcome, detail, retry_after } = said;
        let seen = self.connection(caller, id).await?;
        if detail.as_ref().is_some_and(|detail| detail.len() > 1000) {
            return Err(Refusal::invalid("detail", "expected at most 1000 bytes"));
        }
        // Its own words may hold a token: they are neither kept nor logged.
        tracing::debug!(connection = %id, ?outcome, ?retry_after, "a use of a token was reported");
        self.store.record_use(id, LastUse { at: self.now(), outcome }).await?;
        self.metrics.reported(&seen.integration.name, outcome);
        let result = self.refresher.report(id, &token_id, outcome).await;
        let result = result.map_err(|refused| self.refused(refused, &seen.connection, &seen.integration))?;
        let seen = self.connection(caller, id).await?;
        Ok(Noted { current: result.current, refreshing: result.refreshing, seen })
    }

    /// What is due, as far as the caller may see it; nothing is sent.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub async fn due(&self, caller: &Caller) -> Result<Swept, Refusal> {
        let (now, service) = (self.now(), self.clone());
        let is_due = move |connection: &Connection| {
            let Some(integration) = service.store.integration(&connection.integration).filter(|one| !one.paused) else {
                return false;
            };
            let policy = by_schedule(&integration.policy(&service.base));
            schedule::due_at(&connection.life, &integration.provider, &policy, 1.0).is_some_and(|due| due <= now)
        };
        let filter = ConnectionFilter {
            integrations: visible(&caller.scope, None),
            status: Some("connected"),
            ..ConnectionFilter::default()
        };
        let (mut swept, mut after) = (Swept { due: 0, outcomes: BTreeMap::new(), each: Vec::new() }, None);
        loop {
            let page = self.store.list_connections(filter.clone(), is_due.clone(), after, 500).await?;
            swept.due += page.items.len() as u64;
            let due =
                |connection: Arc<Connection>| Pass { connection: connection.id.clone(), outcome: "due".to_owned() };
            swept.each.extend(page.items.into_iter().map(due));
            after = page.next;
            if after.is_none() {
                return Ok(swept);
            }
        }
    }

    /// One pass over all that is due.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub async fn sweep(&self, caller: &Caller) -> Result<Swept, Refusal> {
        let report = self.refresher.sweep().await;
        let mut swept = Swept { due: 0, outcomes: BTreeMap::new(), each: Vec::new() };
        for (id, outcome) in report.each {
            // A key that is limited to some integrations makes all due connections refresh, and is told of its own.
            let visible = match self.store.token_record(&id, false).await? {
                Some(record) => caller.scope.sees(&record.connection.integration),
                None => false,
            };
            if visible {
                let outcome = outcome.as_str().to_owned();
                swept.due += 1;
                *swept.outcomes.entry(outcome.clone()).or_default() += 1;
                swept.each.push(Pass { connection: id, outcome });
            }
        }
        Ok(swept)
    }
}
