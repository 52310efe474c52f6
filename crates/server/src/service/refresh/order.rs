//! Refreshing on order: one now, whatever is due, what callers report, and what an earlier process left behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evergrant_core::connection::{Connection, Status, UseOutcome};
use evergrant_core::id::ConnectionId;
use evergrant_core::outcome::Class;
use evergrant_core::schedule;
use evergrant_core::time::Timestamp;
use evergrant_store::refresh::Forced as Noted;
use tokio::sync::watch;

use super::ask::TokenRefusal;
use super::{Landing, NotSent, Refresher, Trigger};

/// A forced refresh that ran.
#[derive(Clone, Debug)]
pub struct Forced {
    /// How it ended.
    pub outcome: Class,
    /// The connection after it.
    pub connection: Arc<Connection>,
}

/// Why a forced refresh was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForceRefusal {
    /// There is no such connection.
    NotFound,
    /// It was ended on purpose.
    NotConnected,
    /// Nothing renews it.
    NoRefreshToken,
    /// The operator has paused the integration.
    IntegrationPaused,
    /// Another one was forced shortly before, or the provider asked for patience.
    TooSoon {
        /// How long to wait.
        retry_after: Duration,
    },
    /// It is still under way.
    Pending {
        /// When to ask again.
        retry_after: Duration,
    },
    /// The database is away.
    StorageUnavailable {
        /// When to ask again.
        retry_after: Duration,
    },
}

/// What a pass came to for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassOutcome {
    /// It was sent, and ended so.
    Sent(Class),
    /// It was not due.
    NotDue,
    /// It waits for its provider's word, a pause, another node, or the operator.
    Waiting,
    /// Nothing renews it.
    NoRefreshToken,
    /// The subject must reconnect.
    NeedsReauth,
    /// There is no such connection, or it was ended.
    Gone,
    /// The database is away.
    StorageUnavailable,
}

impl PassOutcome {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            PassOutcome::Sent(class) => class.as_str(),
            PassOutcome::NotDue => "not_due",
            PassOutcome::Waiting => "waiting",
            PassOutcome::NoRefreshToken => "no_refresh_token",
            PassOutcome::NeedsReauth => "needs_reauth",
            PassOutcome::Gone => "gone",
            PassOutcome::StorageUnavailable => "storage_unavailable",
        }
    }
}

/// What a report led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportResult {
    /// Whether it was about the current access token.
    pub current: bool,
    /// Whether it led to a refresh.
    pub refreshing: bool,
}

/// One pass over what was due.
#[derive(Clone, Debug, Default)]
pub struct SweepReport {
    /// How many were due.
    pub due: u64,
    /// How they ended.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Each of them.
    pub each: Vec<(ConnectionId, PassOutcome)>,
}

/// How many due connections are taken at once.
const PASS: usize = 200;
const STORAGE_RETRY: Duration = Duration::from_secs(5);

impl Refresher {
    /// Refreshes one connection now, whatever its schedule says; at most once in `force_interval`.
    ///
    /// # Errors
    /// A [`ForceRefusal`] when nothing was sent.
    pub async fn force(&self, id: &ConnectionId) -> Result<Forced, ForceRefusal> {
        let away = |_| ForceRefusal::StorageUnavailable { retry_after: STORAGE_RETRY };
        let record = self.0.store.token_record(id, true).await.map_err(away)?.ok_or(ForceRefusal::NotFound)?;
        let life = &record.connection.life;
        let name = &record.connection.integration;
        let integration = self.0.store.integration(name).ok_or(ForceRefusal::NotFound)?;
        let now = self.0.clock.now();
        let Some(facts) = life.grant.as_ref().filter(|_| !matches!(life.status, Status::Disconnected { .. })) else {
            return Err(ForceRefusal::NotConnected);
        };
        if !schedule::is_renewable(facts, &integration.provider, now) {
            return Err(ForceRefusal::NoRefreshToken);
        }
        if integration.paused {
            return Err(ForceRefusal::IntegrationPaused);
        }
        if let Some(until) = life.not_before.filter(|until| *until > now) {
            return Err(ForceRefusal::TooSoon { retry_after: until.since(now) });
        }
        let policy = integration.policy(&self.0.base);
        match self.0.store.force(id, now, policy.force_interval).await.map_err(away)? {
            Noted::Yes => {}
            Noted::NotBefore(until) => return Err(ForceRefusal::TooSoon { retry_after: until.since(now) }),
            Noted::Gone => return Err(ForceRefusal::NotFound),
        }
        let limit = policy.connect_timeout + policy.answer_timeout;
        match self.landed(self.join(id, Trigger::Force), limit).await {
            Some(Landing::Refreshed(record) | Landing::Overtaken(record)) => {
                Ok(Forced { outcome: Class::Success, connection: record.connection.clone() })
            }
            Some(Landing::Ended { record, failure }) => {
                Ok(Forced { outcome: failure.class, connection: record.connection.clone() })
            }
            Some(Landing::NotSent(why)) => Err(self.not_forced(why, now)),
            None => Err(ForceRefusal::Pending { retry_after: Duration::from_secs(1) }),
        }
    }

    fn not_forced(&self, why: NotSent, now: Timestamp) -> ForceRefusal {
        let retry_after = why.until().map_or(Duration::from_secs(1), |until| until.since(now));
        match why {
            NotSent::Gone => ForceRefusal::NotConnected,
            NotSent::Paused => ForceRefusal::IntegrationPaused,
            NotSent::NoRefreshToken => ForceRefusal::NoRefreshToken,
            NotSent::Storage => ForceRefusal::StorageUnavailable { retry_after: STORAGE_RETRY },
            NotSent::NotBefore { .. } | NotSent::Closed(_) | NotSent::Misconfigured => {
                ForceRefusal::TooSoon { retry_after }
            }
            NotSent::NotDue | NotSent::Elsewhere { .. } | NotSent::Changed => ForceRefusal::Pending { retry_after },
        }
    }

    async fn landed(&self, mut flight: watch::Receiver<Option<Landing>>, limit: Duration) -> Option<Landing> {
        tokio::select! {
            landed = flight.wait_for(Option::is_some) => landed.ok().and_then(|landing| landing.clone()),
            () = self.0.clock.sleep(limit) => None,
        }
    }

    /// What a provider's API said to a token: that the current one was refused leads to one refresh, in the background.
    ///
    /// # Errors
    /// [`TokenRefusal::NotFound`], [`TokenRefusal::StorageUnavailable`].
    pub async fn report(
        &self,
        id: &ConnectionId,
        token_id: &str,
        outcome: UseOutcome,
        _detail: Option<String>,
        _retry_after: Option<Duration>,
    ) -> Result<ReportResult, TokenRefusal> {
        let record = self.0.store.token_record(id, true).await?.ok_or(TokenRefusal::NotFound)?;
        let life = &record.connection.life;
        let current = life.grant.as_ref().is_some_and(|facts| facts.token_id == token_id);
        let now = self.0.clock.now();
        let free = life.next_attempt.is_none_or(|next| next <= now) && life.status == Status::Connected;
        if !current || outcome != UseOutcome::Unauthorized || !free {
            return Ok(ReportResult { current, refreshing: false });
        }
        let integration = self.0.store.integration(&record.connection.integration).ok_or(TokenRefusal::NotFound)?;
        let renewable =
            life.grant.as_ref().is_some_and(|facts| schedule::is_renewable(facts, &integration.provider, now));
        let interval = integration.policy(&self.0.base).force_interval;
        let refreshing = renewable && self.0.store.force(id, now, interval).await? == Noted::Yes;
        if refreshing {
            drop(self.join(id, Trigger::Force));
        }
        Ok(ReportResult { current, refreshing })
    }

    /// Refreshes one connection if it is due, or within `due_within`, or by force; says what came of it.
    pub async fn refresh_if_due(&self, id: &ConnectionId, due_within: Option<Duration>, force: bool) -> PassOutcome {
        if force {
            return match self.force(id).await {
                Ok(forced) => PassOutcome::Sent(forced.outcome),
                Err(ForceRefusal::NotFound | ForceRefusal::NotConnected) => PassOutcome::Gone,
                Err(ForceRefusal::NoRefreshToken) => PassOutcome::NoRefreshToken,
                Err(ForceRefusal::StorageUnavailable { .. }) => PassOutcome::StorageUnavailable,
                Err(_) => PassOutcome::Waiting,
            };
        }
        let Ok(record) = self.0.store.token_record(id, true).await else { return PassOutcome::StorageUnavailable };
        let Some(record) = record else { return PassOutcome::Gone };
        let life = &record.connection.life;
        match life.status {
            Status::Connected => {}
            Status::NeedsReauth { .. } => return PassOutcome::NeedsReauth,
            Status::Disconnected { .. } => return PassOutcome::Gone,
        }
        let Some(integration) = self.0.store.integration(&record.connection.integration) else {
            return PassOutcome::Gone;
        };
        let policy = integration.policy(&self.0.base);
        let now = self.0.clock.now();
        let due = schedule::due_at(life, &integration.provider, &policy, self.0.jitter(id));
        let soon = due_within.and_then(|within| life.grant.as_ref()?.expiry.at().map(|at| at.since(now) <= within));
        let held = life.next_attempt.is_some_and(|next| next > now);
        let trigger = match (due.is_some_and(|due| due <= now), soon) {
            (true, _) => Trigger::Background,
            (false, Some(true)) if !held => Trigger::Demand(schedule::MinTtl::Explicit(due_within.unwrap_or_default())),
            _ if held => return PassOutcome::Waiting,
            _ => return PassOutcome::NotDue,
        };
        let limit = policy.connect_timeout + policy.answer_timeout;
        self.passed(self.landed(self.join(id, trigger), limit).await)
    }

    fn passed(&self, landing: Option<Landing>) -> PassOutcome {
        match landing {
            Some(Landing::Refreshed(_) | Landing::Overtaken(_)) => PassOutcome::Sent(Class::Success),
            Some(Landing::Ended { failure, .. }) => PassOutcome::Sent(failure.class),
            Some(Landing::NotSent(NotSent::Gone)) => PassOutcome::Gone,
            Some(Landing::NotSent(NotSent::NotDue)) => PassOutcome::NotDue,
            Some(Landing::NotSent(NotSent::NoRefreshToken)) => PassOutcome::NoRefreshToken,
            Some(Landing::NotSent(NotSent::Storage)) => PassOutcome::StorageUnavailable,
            Some(Landing::NotSent(_)) | None => PassOutcome::Waiting,
        }
    }

    /// One pass over all that is due now; ends when none is left that was due when it began.
    pub async fn sweep(&self) -> SweepReport {
        let mut report = SweepReport::default();
        let began = self.0.clock.now();
        let mut seen = std::collections::BTreeSet::new();
        loop {
            let blocked = self.0.gates.blocked(self.0.clock.now());
            let Ok(due) = self.0.store.due(began, &blocked, PASS + seen.len()).await else { return report };
            let fresh: Vec<ConnectionId> = due.into_iter().filter(|id| seen.insert(id.clone())).collect();
            if fresh.is_empty() {
                return report;
            }
            for (id, flight) in fresh.into_iter().map(|id| (id.clone(), self.join(&id, Trigger::Background))) {
                let outcome = self.passed(self.landed(flight, Duration::from_secs(600)).await);
                report.due += 1;
                *report.outcomes.entry(outcome.as_str()).or_default() += 1;
                report.each.push((id, outcome));
            }
        }
    }
}

impl Refresher {
    /// Starts what is due; says how long nothing else will be.
    pub(crate) async fn start_due(&self) -> Duration {
        if self.0.stop.is_cancelled() {
            return STORAGE_RETRY;
        }
        let now = self.0.clock.now();
        let blocked = self.0.gates.blocked(now);
        let due = match self.0.store.due(now, &blocked, PASS).await {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(%error, "what is due could not be read; nothing is sent meanwhile");
                return STORAGE_RETRY;
            }
        };
        let full = due.len() >= PASS;
        for id in due {
            drop(self.join(&id, Trigger::Background));
        }
        if full {
            return Duration::from_millis(50);
        }
        let next = self.0.store.next_due(now, &blocked).await.ok().flatten();
        let opening = self.0.gates.next_opening(now);
        let next = [next, opening].into_iter().flatten().min();
        next.map_or(STORAGE_RETRY * 6, |next| next.since(now).max(Duration::from_millis(20)))
    }
}
