//! When an integration as a whole is left alone: circuit breaker, retry budget and the mass-verdict brake.
//!
//! Values of the process, not of the database: each node sees its own calls. Pure: the caller brings `now` and the class.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::id::ConnectionId;
use crate::outcome::Class;
use crate::policy::Policy;
use crate::time::Timestamp;

/// Transient failures in a row, over at least [`OPEN_CONNECTIONS`], that open the breaker.
const OPEN_AFTER: u32 = 5;
/// How many different connections these must have hit.
const OPEN_CONNECTIONS: usize = 3;
/// With this many calls in [`RATE_WINDOW`], half of them failing opens it too.
const RATE_CALLS: usize = 20;
/// The window for that share.
const RATE_WINDOW: Duration = Duration::from_secs(30);
/// The first pause between probes of an open breaker, doubling.
const PROBE_MIN: Duration = Duration::from_secs(30);
/// The longest such pause.
const PROBE_MAX: Duration = Duration::from_secs(300);

/// 1, 2, 4, 8 refreshes in a row that went well close it.
const HEALED: u32 = 8;

/// Whether calls of an integration go out.
#[derive(Clone, Debug)]
pub struct Breaker {
    state: State,
    in_a_row: u32,
    hit: BTreeSet<ConnectionId>,
    recent: VecDeque<(Timestamp, bool)>,
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    Closed,
    Open {
        next_probe: Timestamp,
        probes: u32,
    },
    /// Probed well: this many refreshes may go out, doubling with each success.
    HalfOpen {
        allowed: u32,
        out: u32,
        good: u32,
    },
}

/// What the breaker says to somebody who wants to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Go.
    Go,
    /// Make a connection (TCP, TLS) first, without any request, and tell how it went.
    Probe,
    /// Not before this instant.
    Wait(Timestamp),
}

impl Default for Breaker {
    fn default() -> Self {
        Breaker { state: State::Closed, in_a_row: 0, hit: BTreeSet::new(), recent: VecDeque::new() }
    }
}

impl Breaker {
    /// Whether it is open or half open.
    pub fn is_open(&self) -> bool {
        self.state != State::Closed
    }

    /// Whether a refresh may go out now. [`Admission::Go`] in the half-open state counts as sent.
    pub fn admit(&mut self, policy: &Policy, now: Timestamp) -> Admission {
        match &mut self.state {
            State::Closed => Admission::Go,
            State::Open { next_probe, probes } if *next_probe <= now => {
                *probes = probes.saturating_add(1);
                *next_probe = now.plus(probe_pause(*probes, policy));
                Admission::Probe
            }
            State::Open { next_probe, .. } => Admission::Wait(*next_probe),
            State::HalfOpen { allowed, out, .. } if *out < *allowed => {
                *out += 1;
                Admission::Go
            }
            State::HalfOpen { .. } => Admission::Wait(now.plus(policy.retry_min)),
        }
    }

    /// A refresh that was let out ended before anything was sent: another one may go in its place.
    pub fn gave_back(&mut self) {
        if let State::HalfOpen { out, .. } = &mut self.state {
            *out = out.saturating_sub(1);
        }
    }

    /// Whether it is half open and as many refreshes are out as may be.
    pub fn is_saturated(&self) -> bool {
        matches!(self.state, State::HalfOpen { allowed, out, .. } if out >= allowed)
    }

    /// Until when an open breaker lets nothing out, not even a probe.
    pub fn waits_until(&self, now: Timestamp) -> Option<Timestamp> {
        match self.state {
            State::Open { next_probe, .. } if next_probe > now => Some(next_probe),
            _ => None,
        }
    }

    /// A probe connected, or did not.
    pub fn probed(&mut self, connected: bool) {
        if connected && matches!(self.state, State::Open { .. }) {
            self.state = State::HalfOpen { allowed: 1, out: 0, good: 0 };
        }
    }

    /// A refresh ended. Only classes that speak of the provider's health move the breaker.
    pub fn ended(&mut self, connection: &ConnectionId, class: Class, policy: &Policy, now: Timestamp) {
        let failed = class.is_transient() && class != Class::RateLimited;
        self.remember(failed, now);
        if !failed {
            self.answered();
            return;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.hit.len() < OPEN_CONNECTIONS {
            self.hit.insert(connection.clone());
        }
        let half = self.recent.len() >= RATE_CALLS
            && self.recent.iter().filter(|call| call.1).count() * 2 >= self.recent.len();
        let row = self.in_a_row >= OPEN_AFTER && self.hit.len() >= OPEN_CONNECTIONS;
        let reopened = matches!(self.state, State::HalfOpen { .. });
        if (row || half || reopened) && !matches!(self.state, State::Open { .. }) {
            self.state = State::Open { next_probe: now.plus(probe_pause(1, policy)), probes: 1 };
            self.recent.clear();
        }
    }

    fn answered(&mut self) {
        self.in_a_row = 0;
        self.hit.clear();
        let State::HalfOpen { allowed, out, good } = &mut self.state else { return };
        *good += 1;
        if good < allowed {
            return;
        }
        (*allowed, *out, *good) = (*allowed * 2, 0, 0);
        if *allowed > HEALED {
            self.state = State::Closed;
        }
    }

    fn remember(&mut self, failed: bool, now: Timestamp) {
        self.recent.push_back((now, failed));
        while self.recent.len() > 200 || self.recent.front().is_some_and(|call| now.since(call.0) > RATE_WINDOW) {
            self.recent.pop_front();
        }
    }
}

/// Probes scale with the policy's back-off, so that scaled tests see them too.
fn probe_pause(probes: u32, policy: &Policy) -> Duration {
    let first = PROBE_MIN.min(policy.backoff_min);
    let longest = PROBE_MAX.min(policy.backoff_max);
    first.saturating_mul(1 << probes.saturating_sub(1).min(10)).min(longest)
}

/// Second tries may be at most a tenth of first tries, over a sliding window, with a small allowance to begin with.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    tokens: f64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        RetryBudget { tokens: RetryBudget::ALLOWANCE }
    }
}

impl RetryBudget {
    const ALLOWANCE: f64 = 10.0;

    /// A first try went out.
    pub fn first_try(&mut self) {
        self.tokens = (self.tokens + 0.1).min(Self::ALLOWANCE * 10.0);
    }

    /// Takes one retry out of the budget; false: it is used up.
    pub fn take(&mut self) -> bool {
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }
}

/// How many suspected connections are tried before the verdicts of a pulled brake apply.
const SAMPLE: usize = 3;

/// Counts the refusals of an integration: when many fall at once, they are not believed until a sample was tried again.
#[derive(Clone, Debug, Default)]
pub struct MassVerdicts {
    /// When each connection was last refused; as many as were refused, because a share of all is asked for.
    latest: BTreeMap<ConnectionId, Timestamp>,
    /// The refusals in the order in which they fell. One that a later refusal of the same connection has overtaken stays
    /// until it comes to the front.
    order: VecDeque<(Timestamp, ConnectionId)>,
    brake: Brake,
}

#[derive(Clone, Debug, Default)]
enum Brake {
    #[default]
    Free,
    Pulled {
        at: Timestamp,
        wanted: usize,
        sample: Vec<Sampled>,
    },
    Decided {
        at: Timestamp,
        apply: bool,
    },
}

/// One of the sample; whether it was refused again is not known while it is under way.
#[derive(Clone, Debug)]
struct Sampled {
    connection: ConnectionId,
    refused: Option<bool>,
}

/// What a suspected connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// It is one of the sample: it may be sent.
    Try,
    /// Not before this instant.
    Wait(Timestamp),
    /// It is decided whether the verdicts apply.
    Decided {
        /// Whether they do; otherwise every suspected connection is tried again.
        apply: bool,
    },
}

/// The sample has been tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the verdicts apply.
    pub apply: bool,
    /// The connections that were refused since the brake was pulled, and shortly before.
    pub suspects: Vec<ConnectionId>,
}

impl MassVerdicts {
    /// Notes a refusal of `connection` (`invalid_grant`, `auth_rejected`, `unknown`); says whether this one pulls the brake.
    pub fn refused(&mut self, connection: &ConnectionId, connections: u64, policy: &Policy, now: Timestamp) -> bool {
        self.latest.insert(connection.clone(), now);
        self.order.push_back((now, connection.clone()));
        self.forget(policy, now);
        let hit = self.latest.len() as u64;
        let enough = hit >= u64::from(policy.brake_connections.max(1));
        let share = hit.saturating_mul(100) >= connections.saturating_mul(u64::from(policy.brake_share));
        if enough && share && !self.is_pulled() {
            let wanted = self.latest.len().min(SAMPLE);
            self.brake = Brake::Pulled { at: now, wanted, sample: Vec::new() };
            return true;
        }
        false
    }

    /// Drops what fell before the window, from the front: each refusal is looked at once, however many there are. While the
    /// brake is pulled none is dropped, because each is a suspect.
    fn forget(&mut self, policy: &Policy, now: Timestamp) {
        let keeps_all = self.is_pulled();
        while let Some((at, connection)) = self.order.front() {
            let overtaken = self.latest.get(connection) != Some(at);
            let gone = !keeps_all && now.since(*at) >= policy.brake_window;
            if !overtaken && !gone {
                return;
            }
            if !overtaken {
                self.latest.remove(connection);
            }
            self.order.pop_front();
        }
    }

    /// Whether verdicts are suspended.
    pub fn is_pulled(&self) -> bool {
        matches!(self.brake, Brake::Pulled { .. })
    }

    /// What a connection may do that has been suspected since `since`. One that an earlier process suspected pulls the
    /// brake again, as it was then.
    pub fn trial(&mut self, connection: &ConnectionId, since: Timestamp, policy: &Policy, now: Timestamp) -> Trial {
        match &self.brake {
            Brake::Decided { at, apply } if since <= *at => return Trial::Decided { apply: *apply },
            Brake::Pulled { .. } => {}
            Brake::Free | Brake::Decided { .. } => {
                self.brake = Brake::Pulled { at: since, wanted: SAMPLE, sample: Vec::new() };
            }
        }
        let Brake::Pulled { at, wanted, sample } = &mut self.brake else { return Trial::Try };
        let retry = at.plus(policy.brake_retry);
        if now < retry {
            return Trial::Wait(retry);
        }
        match sample.iter().find(|one| one.connection == *connection) {
            // It comes round again: nobody else is left to be tried.
            Some(Sampled { refused: Some(_), .. }) => {
                self.decide(true, now);
                Trial::Decided { apply: true }
            }
            Some(Sampled { refused: None, .. }) => Trial::Try,
            None if sample.len() < *wanted => {
                sample.push(Sampled { connection: connection.clone(), refused: None });
                Trial::Try
            }
            None => Trial::Wait(now.plus(policy.retry_max)),
        }
    }

    /// How the trial of one of the sample ended: refused again, not refused, or (none) nothing was learned from it.
    pub fn tried(&mut self, connection: &ConnectionId, refused: Option<bool>, now: Timestamp) -> Option<Decision> {
        let Brake::Pulled { wanted, sample, .. } = &mut self.brake else { return None };
        let at = sample.iter().position(|one| one.connection == *connection && one.refused.is_none())?;
        match refused {
            None => {
                sample.remove(at);
                None
            }
            Some(false) => Some(self.decide(false, now)),
            Some(true) => {
                sample[at].refused = Some(true);
                let dead = sample.iter().filter(|one| one.refused == Some(true)).count();
                (dead >= *wanted).then(|| self.decide(true, now))
            }
        }
    }

    fn decide(&mut self, apply: bool, now: Timestamp) -> Decision {
        self.brake = Brake::Decided { at: now, apply };
        self.order.clear();
        Decision { apply, suspects: std::mem::take(&mut self.latest).into_keys().collect() }
    }

    /// The connections that were refused within the window, or since the brake was pulled.
    pub fn connections(&self) -> impl Iterator<Item = &ConnectionId> {
        self.latest.keys()
    }
}
