//! Refreshing on order: one now, whatever is due, what callers report, and what an earlier process left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use evergrant_core::connection::{Connection, Status, UseOutcome};
use evergrant_core::id::{ConnectionId, IntegrationName};
use evergrant_core::integration::{Health, Integration};
use evergrant_core::outcome::Class;
use evergrant_core::schedule;
use evergrant_core::time::Timestamp;
use evergrant_store::refresh::{Due, Forced as Noted};
use tokio::task::JoinSet;

use super::ask::TokenRefusal;
use super::gate::Urgency;
use super::{Landing, NotSent, Refresher, STORAGE_RETRY, Trigger, by_schedule};

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
    /// The database waits for the operator to adopt it.
    Quarantined,
    /// The provider refuses the integration's client; it is probed by itself, and at once when it is edited.
    IntegrationMisconfigured,
    /// Another one was forced shortly before, or the provider asked for patience.
    TooSoon {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The provider refuses a refresh so early in the access token's life.
    TooEarly {
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
/// The longest sleep of the scheduler.
const LONGEST: Duration = Duration::from_secs(30);

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
        if self.0.store.quarantine().is_some() {
            return Err(ForceRefusal::Quarantined);
        }
        if integration.paused {
            return Err(ForceRefusal::IntegrationPaused);
        }
        if self.barred(now).contains(name) {
            return Err(ForceRefusal::IntegrationMisconfigured);
        }
        if let Some(until) = schedule::earliest_refresh(facts, &integration.provider).filter(|until| *until > now) {
            return Err(ForceRefusal::TooEarly { retry_after: until.since(now) });
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
        match self.within(limit, self.fly(id, Trigger::Force)).await {
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
            NotSent::Quarantined => ForceRefusal::Quarantined,
            NotSent::NoRefreshToken => ForceRefusal::NoRefreshToken,
            NotSent::Storage | NotSent::Unreadable => ForceRefusal::StorageUnavailable { retry_after: STORAGE_RETRY },
            NotSent::Misconfigured => ForceRefusal::IntegrationMisconfigured,
            NotSent::NotBefore { .. } | NotSent::Closed(_) => ForceRefusal::TooSoon { retry_after },
            NotSent::NotDue | NotSent::Elsewhere { .. } | NotSent::Changed => ForceRefusal::Pending { retry_after },
        }
    }

    async fn within<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
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
        let renewable = life.grant.as_ref().is_some_and(|facts| {
            let early = schedule::earliest_refresh(facts, &integration.provider).is_some_and(|until| until > now);
            schedule::is_renewable(facts, &integration.provider, now) && !early
        });
        let interval = integration.policy(&self.0.base).force_interval;
        let refreshing = renewable && self.0.store.force(id, now, interval).await? == Noted::Yes;
        if refreshing {
            let (refresher, id) = (self.clone(), id.clone());
            self.0.tasks.spawn(async move { drop(refresher.fly(&id, Trigger::Force).await) });
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
        let due = schedule::due_at(life, &integration.provider, &by_schedule(&policy), self.0.jitter(id));
        let soon = due_within.and_then(|within| life.grant.as_ref()?.expiry.at().map(|at| at.since(now) <= within));
        let held = life.next_attempt.is_some_and(|next| next > now);
        let trigger = match (due.is_some_and(|due| due <= now), soon) {
            (true, _) => Trigger::Background,
            (false, Some(true)) if !held => Trigger::Demand(schedule::MinTtl::Explicit(due_within.unwrap_or_default())),
            _ if held => return PassOutcome::Waiting,
            _ => return PassOutcome::NotDue,
        };
        let limit = policy.connect_timeout + policy.answer_timeout;
        let gate = self.0.gate(&integration.name, &policy);
        // The place is taken before the flight is known: a caller who joins must not wait behind the background.
        let Some(Some(slot)) = self.within(limit, gate.slot(Urgency::Background)).await else {
            return PassOutcome::Waiting;
        };
        let (flight, _) = self.join(id, trigger, Some(slot));
        let landing = self.within(limit, flight.wait()).await;
        self.passed(landing.cloned())
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
        let mut seen = BTreeSet::new();
        loop {
            let barred = self.barred(self.0.clock.now());
            let Ok(due) = self.0.store.due(began, &barred, PASS + seen.len()).await else { break };
            let fresh: Vec<ConnectionId> =
                due.into_iter().map(|due| due.id).filter(|id| seen.insert(id.clone())).collect();
            if fresh.is_empty() {
                break;
            }
            self.pass(fresh, &mut report).await;
        }
        self.sweep_what_nothing_starts(&mut seen, &mut report).await;
        report
    }

    /// The same for integrations of which the background starts nothing: an outside scheduler does.
    async fn sweep_what_nothing_starts(&self, seen: &mut BTreeSet<ConnectionId>, report: &mut SweepReport) {
        let barred = self.barred(self.0.clock.now());
        for integration in self.0.store.integrations() {
            let policy = integration.policy(&self.0.base);
            if policy.background || barred.contains(&integration.name) {
                continue;
            }
            let until = self.0.clock.now().plus(schedule::widest_margin(&integration.provider, &policy));
            let mut after = (Timestamp::from_millis(0), String::new());
            loop {
                let Ok(found) = self.0.store.expired(&integration.name, after, until, PASS).await else { return };
                let Some((at, id)) = found.last() else { break };
                after = (*at, id.to_string());
                let fresh = found.into_iter().map(|(_, id)| id).filter(|id| seen.insert(id.clone())).collect();
                self.pass(fresh, report).await;
            }
        }
    }

    /// Refreshes those of these that are due, each by its own gate, and notes how they ended.
    async fn pass(&self, connections: Vec<ConnectionId>, report: &mut SweepReport) {
        let mut passes = JoinSet::new();
        for id in connections {
            let refresher = self.clone();
            passes.spawn(async move { (id.clone(), refresher.refresh_if_due(&id, None, false).await) });
        }
        while let Some(passed) = passes.join_next().await {
            let Ok((id, outcome)) = passed else { continue };
            if outcome == PassOutcome::NotDue {
                continue;
            }
            report.due += 1;
            *report.outcomes.entry(outcome.as_str()).or_default() += 1;
            report.each.push((id, outcome));
        }
    }
}

impl Refresher {
    /// Starts what is due, as far as there are places for it; says how long nothing else will be.
    pub(crate) async fn start_due(&self) -> Duration {
        let now = self.0.clock.now();
        let back_at = *self.0.storage_back_at.lock().unwrap_or_else(PoisonError::into_inner);
        if self.0.stop.is_cancelled() || !self.0.store.journal().healthy() || back_at > now {
            return STORAGE_RETRY;
        }
        if self.0.store.quarantine().is_some() {
            // The adoption is a nudge.
            return LONGEST;
        }
        let due = match self.0.store.due(now, &self.blocked(now), PASS).await {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(%error, "what is due could not be read; nothing is sent meanwhile");
                return STORAGE_RETRY;
            }
        };
        let started = due.iter().filter(|due| self.start(due)).count();
        if started > 0 {
            // Perhaps others were hidden behind these.
            return Duration::from_millis(5);
        }
        let blocked = self.blocked(now);
        let next = if due.is_empty() { self.0.store.next_due(now, &blocked).await.ok().flatten() } else { None };
        let opening = self.0.gates.next_opening(now);
        let next = [next, opening, self.next_probe(now)].into_iter().flatten().min();
        let soonest = Duration::from_millis(20);
        match next {
            Some(next) => next.since(now).max(soonest),
            // What is due and cannot start is started when something else ends, which is a nudge.
            None if due.is_empty() => LONGEST,
            None => Duration::from_secs(1),
        }
    }

    fn start(&self, due: &Due) -> bool {
        let Some(integration) = self.0.store.integration(&due.integration) else { return false };
        // The suspected connection waits for what another one finds out.
        if matches!(&integration.health, Health::Suspected { connection, .. } if *connection == due.id) {
            let alone = self.0.store.status_counts(&integration.name).connected <= 1;
            if !alone {
                return false;
            }
        }
        let gate = self.0.gate(&integration.name, &integration.policy(&self.0.base));
        gate.free_slot().is_some_and(|slot| self.join(&due.id, Trigger::Background, Some(slot)).1)
    }

    /// Integrations of which nothing may be started in the background.
    fn blocked(&self, now: Timestamp) -> Vec<IntegrationName> {
        let mut blocked = self.0.gates.blocked(now);
        blocked.extend(self.barred(now));
        blocked
    }

    /// When the first misconfigured integration is probed.
    fn next_probe(&self, now: Timestamp) -> Option<Timestamp> {
        let probe = |one: Arc<Integration>| match &one.health {
            Health::Misconfigured { next_probe, .. } => next_probe.filter(|at| *at > now),
            Health::Ok | Health::Suspected { .. } | Health::Mending { .. } => None,
        };
        self.0.store.integrations().into_iter().filter_map(probe).min()
    }
}
