//! What each integration allows: concurrency, rate, pauses, circuit breaker, retry budget and the mass-verdict brake.
//!
//! Kept in this process alone: every node protects the provider from itself, with its share of what the integration allows.
//! The lock is held for arithmetic only.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evergrant_core::circuit::{Admission, Breaker, Decision, MassVerdicts, RetryBudget, Trial};
use evergrant_core::id::{ConnectionId, IntegrationName};
use evergrant_core::outcome::Class;
use evergrant_core::policy::Policy;
use evergrant_core::time::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A pause by rate limit that only one connection has seen lasts at most this long for the others.
const UNCONFIRMED_PAUSE: Duration = Duration::from_secs(15 * 60);

/// The gates of all integrations.
#[derive(Debug, Default)]
pub struct Gates {
    by_name: Mutex<BTreeMap<IntegrationName, Arc<Gate>>>,
}

impl Gates {
    /// The gate of an integration; made at its first use. Another concurrency counts for those who come after.
    pub fn of(&self, name: &IntegrationName, concurrency: u32) -> Arc<Gate> {
        let mut gates = lock(&self.by_name);
        let gate = gates.entry(name.clone()).or_insert_with(|| Arc::new(Gate::new(concurrency, Arc::default())));
        if gate.concurrency != concurrency {
            *gate = Arc::new(Gate::new(concurrency, gate.state.clone()));
        }
        gate.clone()
    }

    /// The gate of an integration that has been used.
    pub fn known(&self, name: &IntegrationName) -> Option<Arc<Gate>> {
        lock(&self.by_name).get(name).cloned()
    }

    /// Integrations of which nothing may be sent in the background at `now`: paused, open, or with all places taken.
    pub fn blocked(&self, now: Timestamp) -> Vec<IntegrationName> {
        let gates = lock(&self.by_name);
        gates.iter().filter(|(_, gate)| gate.blocks_background(now)).map(|(name, _)| name.clone()).collect()
    }

    /// When the first of the blocked integrations may be looked at again.
    pub fn next_opening(&self, now: Timestamp) -> Option<Timestamp> {
        let gates = lock(&self.by_name);
        gates.values().filter_map(|gate| gate.opens_at(now)).min()
    }

    /// The integrations whose breaker is open or half open.
    pub fn broken(&self) -> Vec<(IntegrationName, Arc<Gate>)> {
        let gates = lock(&self.by_name);
        let broken = gates.iter().filter(|(_, gate)| gate.breaker_open());
        broken.map(|(name, gate)| (name.clone(), gate.clone())).collect()
    }
}

/// Who wants to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A caller waits: a quarter of the slots is reserved for these.
    Waiting,
    /// Nobody waits.
    Background,
}

/// A place among the calls of an integration that are under way.
#[derive(Debug)]
pub struct Slot {
    _total: OwnedSemaphorePermit,
    _background: Option<OwnedSemaphorePermit>,
}

/// A refresh that was let out. Dropped before an outcome came of it, it makes room for another.
#[derive(Debug)]
pub struct Admitted {
    gate: Arc<Gate>,
    settled: bool,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if !self.settled {
            lock(&self.gate.state).breaker.gave_back();
        }
    }
}

/// The one call that finds out whether the provider accepts our client again.
#[derive(Debug)]
pub struct Probe {
    gate: Arc<Gate>,
}

impl Drop for Probe {
    fn drop(&mut self) {
        lock(&self.gate.state).probing = false;
    }
}

/// One integration's gate.
#[derive(Debug)]
pub struct Gate {
    concurrency: u32,
    total: Arc<Semaphore>,
    background: Arc<Semaphore>,
    state: Arc<Mutex<GateState>>,
}

#[derive(Debug, Default)]
struct GateState {
    breaker: Breaker,
    budget: RetryBudget,
    verdicts: MassVerdicts,
    pause: Option<Pause>,
    next_slot: Option<Timestamp>,
    last_success: Vec<(ConnectionId, Timestamp)>,
    probing: bool,
    stalled_told: Option<(Timestamp, String)>,
}

#[derive(Clone, Debug)]
struct Pause {
    until: Timestamp,
    by: ConnectionId,
}

/// Why nothing may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The provider limits the integration's rate.
    RateLimited(Timestamp),
    /// The circuit breaker is open.
    BreakerOpen(Timestamp),
}

impl Closed {
    /// When to look again.
    pub fn until(self) -> Timestamp {
        match self {
            Closed::RateLimited(until) | Closed::BreakerOpen(until) => until,
        }
    }
}

impl Gate {
    fn new(concurrency: u32, state: Arc<Mutex<GateState>>) -> Self {
        let total = concurrency.max(1) as usize;
        let background = (total - total / 4).max(1);
        Gate {
            concurrency,
            total: Arc::new(Semaphore::new(total)),
            background: Arc::new(Semaphore::new(background)),
            state,
        }
    }

    /// Waits for a place; none when the service is shutting down.
    pub async fn slot(&self, urgency: Urgency) -> Option<Slot> {
        let background = match urgency {
            Urgency::Waiting => None,
            Urgency::Background => Some(self.background.clone().acquire_owned().await.ok()?),
        };
        let total = self.total.clone().acquire_owned().await.ok()?;
        Some(Slot { _total: total, _background: background })
    }

    /// A place in the background, if one is free.
    pub fn free_slot(&self) -> Option<Slot> {
        let background = self.background.clone().try_acquire_owned().ok()?;
        let total = self.total.clone().try_acquire_owned().ok()?;
        Some(Slot { _total: total, _background: Some(background) })
    }

    /// Whether something may be sent now; [`Admission::Probe`] asks for a bare connection first.
    ///
    /// # Errors
    /// [`Closed`] says why not, and until when.
    pub fn admit(self: &Arc<Self>, policy: &Policy, now: Timestamp) -> Result<(Admission, Admitted), Closed> {
        let mut state = lock(&self.state);
        if let Some(pause) = state.pause.as_ref().filter(|pause| pause.until > now) {
            return Err(Closed::RateLimited(pause.until));
        }
        match state.breaker.admit(policy, now) {
            Admission::Wait(until) => Err(Closed::BreakerOpen(until)),
            // A probe is not counted among those that are out.
            admission => Ok((admission, Admitted { gate: self.clone(), settled: admission == Admission::Probe })),
        }
    }

    /// The one probe of a misconfigured integration; none while another is under way.
    pub fn probe(self: &Arc<Self>) -> Option<Probe> {
        let mut state = lock(&self.state);
        if std::mem::replace(&mut state.probing, true) {
            return None;
        }
        Some(Probe { gate: self.clone() })
    }

    /// Whether the breaker is open or half open.
    pub fn breaker_open(&self) -> bool {
        lock(&self.state).breaker.is_open()
    }

    /// A probe connected or did not.
    pub fn probed(&self, connected: bool) {
        lock(&self.state).breaker.probed(connected);
    }

    /// How long to wait for the next place in the provider's rate; takes it.
    pub fn take_rate(&self, per_minute: Option<u32>, now: Timestamp) -> Duration {
        let Some(per_minute) = per_minute.filter(|rate| *rate > 0) else { return Duration::ZERO };
        let mut state = lock(&self.state);
        let at = state.next_slot.map_or(now, |next| next.max(now));
        state.next_slot = Some(at.plus(Duration::from_secs(60) / per_minute));
        at.since(now)
    }

    /// Takes one retry out of the budget.
    pub fn take_retry(&self) -> bool {
        lock(&self.state).budget.take()
    }

    /// A first try goes out.
    pub fn first_try(&self) {
        lock(&self.state).budget.first_try();
    }

    /// A call ended: moves the breaker, the pause and the memory of successes.
    pub fn ended(
        &self,
        connection: &ConnectionId,
        (class, retry_after): (Class, Option<Duration>),
        admitted: Option<Admitted>,
        policy: &Policy,
        now: Timestamp,
    ) {
        let mut state = lock(&self.state);
        if let Some(mut admitted) = admitted {
            admitted.settled = true;
        }
        state.breaker.ended(connection, class, policy, now);
        if !state.breaker.is_open() {
            state.stalled_told = None;
        }
        match class {
            Class::Success => {
                state.last_success.retain(|(id, _)| id != connection);
                state.last_success.push((connection.clone(), now));
                let surplus = state.last_success.len().saturating_sub(2);
                state.last_success.drain(..surplus);
            }
            Class::RateLimited => {
                let asked = retry_after.unwrap_or(policy.rate_limit_wait);
                let confirmed = state.pause.as_ref().is_some_and(|pause| pause.by != *connection);
                let span = if confirmed { asked } else { asked.min(UNCONFIRMED_PAUSE) };
                let until = state.pause.as_ref().map_or(now, |pause| pause.until).max(now.plus(span));
                state.pause = Some(Pause { until, by: connection.clone() });
            }
            _ => {}
        }
    }

    /// Whether another connection has succeeded since `since`.
    pub fn others_succeeded(&self, connection: &ConnectionId, since: Timestamp) -> bool {
        lock(&self.state).last_success.iter().any(|(id, at)| id != connection && *at >= since)
    }

    /// Notes a refusal. When this one pulls the mass-verdict brake, the other connections that were refused with it.
    pub fn refused(
        &self,
        connection: &ConnectionId,
        connections: u64,
        policy: &Policy,
        now: Timestamp,
    ) -> Option<Vec<ConnectionId>> {
        let mut state = lock(&self.state);
        let pulls = state.verdicts.refused(connection, connections, policy, now);
        pulls.then(|| state.verdicts.connections().filter(|id| *id != connection).cloned().collect())
    }

    /// Whether verdicts are suspended.
    pub fn brake_pulled(&self) -> bool {
        lock(&self.state).verdicts.is_pulled()
    }

    /// What a suspected connection may do.
    pub fn trial(&self, connection: &ConnectionId, since: Timestamp, policy: &Policy, now: Timestamp) -> Trial {
        lock(&self.state).verdicts.trial(connection, since, policy, now)
    }

    /// How the trial of a suspected connection ended.
    pub fn tried(&self, connection: &ConnectionId, refused: Option<bool>, now: Timestamp) -> Option<Decision> {
        lock(&self.state).verdicts.tried(connection, refused, now)
    }

    /// Behind which expired connection those are that have not been looked at in this outage.
    pub fn stalled_told(&self) -> (Timestamp, String) {
        lock(&self.state).stalled_told.clone().unwrap_or((Timestamp::from_millis(0), String::new()))
    }

    /// They have been looked at, up to this one.
    pub fn set_stalled_told(&self, last: (Timestamp, String)) {
        lock(&self.state).stalled_told = Some(last);
    }

    fn blocks_background(&self, now: Timestamp) -> bool {
        let full = self.background.available_permits() == 0 || self.total.available_permits() == 0;
        // While the one probe is out the others would only find that it is.
        let taken = {
            let state = lock(&self.state);
            state.breaker.is_saturated() || state.probing
        };
        full || taken || self.opens_at(now).is_some()
    }

    fn opens_at(&self, now: Timestamp) -> Option<Timestamp> {
        let state = lock(&self.state);
        let pause = state.pause.as_ref().map(|pause| pause.until).filter(|until| *until > now);
        pause.or_else(|| state.breaker.waits_until(now))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while the lock was held leaves numbers that are at worst a little old.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
