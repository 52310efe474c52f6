//! The refresh kernel: one path for on demand, background, start-up, bulk and forced refresh.
//!
//! Whatever the number of callers, one refresh of one connection runs at a time; the others wait for its outcome up to
//! their own deadline and share it. The kernel calls providers and the store; what outcomes mean is the core's.

mod ask;
mod client;
mod first;
mod flight;
mod gate;
mod judge;
mod land;
mod order;
#[cfg(feature = "planted")]
mod planted;
mod recover;
mod request;
mod send;

pub use ask::{HandOut, TokenAsk, TokenRefusal};
pub use order::{ForceRefusal, Forced, PassOutcome, ReportResult, SweepReport};

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evergrant_core::connection::Connection;
use evergrant_core::id::{AttemptId, ConnectionId, IntegrationName};
use evergrant_core::integration::{Health, Integration};
use evergrant_core::outcome::{Failure, Outcome};
use evergrant_core::policy::Policy;
use evergrant_core::provider::Provider;
use evergrant_core::schedule::{self, MinTtl};
use evergrant_core::time::Timestamp;
use evergrant_core::token_answer::{self, AnswerParts, Purpose};
use evergrant_store::{SharedEntropy, Store, TokenRecord};
use tokio::sync::{Notify, SetOnce};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::SharedClock;
use crate::metrics::Metrics;
use crate::provider::{Answer, Transport};
use gate::{Closed, Gate, Gates, Slot};
use judge::Judgement;

/// Why a refresh is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// A caller needs a token with so much life left.
    Demand(MinTtl),
    /// It is due.
    Background,
    /// Somebody said so.
    Force,
    /// Something was found out about it without a call of its own: nothing is sent.
    Judge(Judgement),
}

/// How a flight ended.
#[derive(Clone, Debug)]
pub(crate) enum Landing {
    /// A new grant is stored.
    Refreshed(Arc<TokenRecord>),
    /// A newer grant had come by another way.
    Overtaken(Arc<TokenRecord>),
    /// It was sent and brought no grant.
    Ended {
        /// The connection as it is now.
        record: Arc<TokenRecord>,
        /// How it ended.
        failure: Box<Failure>,
    },
    /// Nothing was sent.
    NotSent(NotSent),
}

/// Why nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSent {
    /// There is no such connection, or it was ended.
    Gone,
    /// It was not due any more.
    NotDue,
    /// Not before this instant.
    NotBefore {
        /// The provider's word, or an undecided sending.
        until: Timestamp,
    },
    /// Nothing renews it.
    NoRefreshToken,
    /// The operator has paused the integration.
    Paused,
    /// The provider refuses our client.
    Misconfigured,
    /// Rate limit or open breaker.
    Closed(Closed),
    /// Another node has it.
    Elsewhere {
        /// Until when at most.
        until: Timestamp,
    },
    /// The grant or the lease changed under it.
    Changed,
    /// The database may be an older or a copied one, and the operator has not adopted it.
    Quarantined,
    /// There is no place to land.
    Storage,
    /// The stored grant does not open.
    Unreadable,
}

impl NotSent {
    /// When to look again, where that is known.
    pub(crate) fn until(self) -> Option<Timestamp> {
        match self {
            NotSent::NotBefore { until } | NotSent::Elsewhere { until } => Some(until),
            NotSent::Closed(closed) => Some(closed.until()),
            _ => None,
        }
    }
}

/// The kernel. Cheap to clone.
#[derive(Clone)]
pub struct Refresher(Arc<Inner>);

pub(crate) struct Inner {
    store: Store,
    transport: Transport,
    clock: SharedClock,
    entropy: SharedEntropy,
    metrics: Arc<Metrics>,
    base: Policy,
    gates: Gates,
    flights: Mutex<HashMap<ConnectionId, Landed>>,
    tasks: TaskTracker,
    stop: CancellationToken,
    nudge: Notify,
    storage_back_at: Mutex<Timestamp>,
    /// Sendings that may have been written down and were not made.
    unsent: Mutex<HashMap<ConnectionId, AttemptId>>,
    public_url: String,
}

/// One of `nodes` equal shares; at least one.
fn share(whole: u32, nodes: u32) -> u32 {
    (whole / nodes.max(1)).max(1)
}

/// How long nothing is begun after the storage has failed.
const STORAGE_RETRY: Duration = Duration::from_secs(5);

impl Inner {
    fn attempt_id(&self) -> AttemptId {
        AttemptId::make(self.clock.now(), self.entropy.id())
    }

    /// The gate of an integration, with this node's share of what the integration allows.
    fn gate(&self, name: &IntegrationName, policy: &Policy) -> Arc<Gate> {
        self.gates.of(name, share(policy.concurrency, self.nodes()))
    }

    /// How many nodes share what an integration allows.
    fn nodes(&self) -> u32 {
        self.store.nodes().map_or(1, |nodes| nodes.living)
    }

    fn unsent(&self, id: &ConnectionId, attempt: AttemptId) {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), attempt);
    }

    /// Spreads what belongs to one connection, always the same way: in 0..1.
    fn jitter(&self, id: &ConnectionId) -> f64 {
        let hash = crc32fast::hash(id.as_str().as_bytes());
        f64::from(hash) / f64::from(u32::MAX)
    }
}

/// What the kernel works with.
pub struct Wiring {
    /// What is kept.
    pub store: Store,
    /// The outlet to providers.
    pub transport: Transport,
    /// The time.
    pub clock: SharedClock,
    /// Randomness.
    pub entropy: SharedEntropy,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where refreshes run, whoever asked for them.
    pub tasks: TaskTracker,
    /// Cancelled when the service stops.
    pub stop: CancellationToken,
    /// The numbers in force where no provider and no integration changes them.
    pub base: Policy,
    /// This service's address, as browsers see it.
    pub public_url: String,
}

impl std::fmt::Debug for Refresher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<refresher with {} under way>", self.in_flight())
    }
}

impl Refresher {
    /// Puts it together.
    pub fn new(wiring: Wiring) -> Self {
        let Wiring { store, transport, clock, entropy, metrics, tasks, stop, base, public_url } = wiring;
        let (gates, flights, nudge) = (Gates::default(), Mutex::default(), Notify::new());
        let storage_back_at = Mutex::new(Timestamp::from_millis(0));
        Refresher(Arc::new(Inner {
            store,
            transport,
            clock,
            entropy,
            metrics,
            base,
            gates,
            flights,
            tasks,
            stop,
            nudge,
            storage_back_at,
            unsent: Mutex::default(),
            public_url,
        }))
    }

    /// When the background would look at a connection by its schedule.
    pub(crate) fn scheduled(&self, connection: &Connection, integration: &Integration) -> Option<Timestamp> {
        let policy = by_schedule(&integration.policy(&self.0.base));
        schedule::due_at(&connection.life, &integration.provider, &policy, self.0.jitter(&connection.id))
    }

    /// How many refreshes are under way.
    pub fn in_flight(&self) -> usize {
        self.0.flights.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether an integration's circuit breaker is open.
    pub fn breaker_open(&self, integration: &IntegrationName) -> bool {
        self.0.gates.known(integration).is_some_and(|gate| gate.breaker_open())
    }

    /// Something may be due earlier than was thought.
    pub fn nudge(&self) {
        self.0.nudge.notify_one();
    }

    /// Waits for a nudge.
    pub(crate) async fn nudged(&self) {
        self.0.nudge.notified().await;
    }

    pub(crate) fn clock(&self) -> &SharedClock {
        &self.0.clock
    }

    /// Joins the flight that is under way, or starts one in a task of the service's own; says whether it was started.
    fn join(&self, id: &ConnectionId, trigger: Trigger, slot: Option<Slot>) -> (Landed, bool) {
        let mut flights = self.0.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(id) {
            return (flight.clone(), false);
        }
        let landed = Landed::default();
        flights.insert(id.clone(), landed.clone());
        let aloft = Aloft { refresher: self.clone(), id: id.clone(), landed: landed.clone() };
        let _task = self.0.tasks.spawn(async move {
            let landing = flight::fly(&aloft.refresher, &aloft.id, trigger, slot).await;
            aloft.land(landing).await;
        });
        #[cfg(feature = "planted")]
        planted::begun(id, _task.abort_handle());
        (landed, true)
    }

    /// A flight that the storage failed may have a lease that nobody uses: it ends as soon as the storage takes that, so
    /// that the connection need not wait for its end.
    async fn let_go(&self, id: &ConnectionId) {
        let inner = &self.0;
        let unsent = inner.unsent.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        while let Err(error) = inner.store.let_go(id, unsent.as_ref()).await {
            if !error.is_passing() || inner.stop.is_cancelled() {
                return;
            }
            inner.clock.sleep(land::COMMIT_RETRY).await;
        }
    }

    /// Flies for a reason of the caller's own; begins at once, also if nobody waits for the end. A flight that was under
    /// way for a weaker reason may end unsent; then another one is begun.
    fn fly(&self, id: &ConnectionId, trigger: Trigger) -> impl Future<Output = Landing> + use<> {
        let (refresher, id) = (self.clone(), id.clone());
        let first = self.join(&id, trigger, None);
        // Any refresh serves those who want one; a judgement is brought by a flight of its own.
        let served =
            move |landed: &Landing| !matches!(trigger, Trigger::Judge(_)) && !matches!(landed, Landing::NotSent(_));
        async move {
            let (mut flight, mut is_own) = first;
            let mut flights = 1;
            loop {
                let landed = flight.wait().await.clone();
                if is_own || flights == FLIGHTS || served(&landed) {
                    return landed;
                }
                flights += 1;
                (flight, is_own) = refresher.join(&id, trigger, None);
            }
        }
    }

    /// Integrations of which nothing may be sent at all: paused by the operator, or refused by the provider.
    fn barred(&self, now: Timestamp) -> Vec<IntegrationName> {
        let all = self.0.store.integrations();
        let barred = all.iter().filter(|one| {
            let refused = match &one.health {
                Health::Misconfigured { next_probe, .. } => next_probe.is_none_or(|at| at > now),
                Health::Ok | Health::Suspected { .. } | Health::Mending { .. } => false,
            };
            one.paused || refused
        });
        barred.map(|one| one.name.clone()).collect()
    }
}

/// The policy with which a connection is due by its schedule, also where that starts nothing by itself.
pub(crate) fn by_schedule(policy: &Policy) -> Policy {
    Policy { background: true, ..policy.clone() }
}

/// Where a flight says how it ended; those who wait hear it in the order in which they came.
type Landed = Arc<SetOnce<Landing>>;

/// A flight that is under way. Whatever ends it, the next one can begin: also a panic.
struct Aloft {
    refresher: Refresher,
    id: ConnectionId,
    landed: Landed,
}

impl Aloft {
    /// Those who wait hear of a storage that failed at once; the next flight begins when the lease is let go.
    async fn land(&self, landing: Landing) {
        let inner = &self.refresher.0;
        let storage = matches!(landing, Landing::NotSent(NotSent::Storage));
        if storage {
            let mut back_at = inner.storage_back_at.lock().unwrap_or_else(PoisonError::into_inner);
            *back_at = inner.clock.now().plus(STORAGE_RETRY);
        } else {
            self.end();
        }
        // It is told once: nobody else does before this guard is dropped.
        let _ = self.landed.set(landing);
        if storage {
            self.refresher.let_go(&self.id).await;
        }
    }

    /// The next flight may begin.
    fn end(&self) {
        let mut flights = self.refresher.0.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if flights.get(&self.id).is_some_and(|flight| Arc::ptr_eq(flight, &self.landed)) {
            flights.remove(&self.id);
        }
    }
}

impl Drop for Aloft {
    fn drop(&mut self) {
        self.end();
        if !self.landed.initialized() {
            let _ = self.landed.set(Landing::NotSent(NotSent::Storage));
        }
        self.refresher.0.nudge.notify_one();
    }
}

/// How many flights of others are waited for before one of the own begins.
const FLIGHTS: usize = 4;

/// What the provider's answer means, by the generic rules and those of its catalogue entry.
pub(crate) fn classify(
    provider: &Provider,
    answer: &Answer,
    sent_at: Timestamp,
    purpose: Purpose,
    known_secrets: &[&str],
) -> Outcome {
    token_answer::classify(provider, &parts(answer), sent_at, purpose, known_secrets)
}

/// What an answer means that broke off.
fn classify_cut_off(
    provider: &Provider,
    answer: &Answer,
    why: &str,
    sent_at: Timestamp,
    purpose: Purpose,
    known_secrets: &[&str],
) -> Outcome {
    token_answer::classify_cut_off(provider, &parts(answer), why, sent_at, purpose, known_secrets)
}

fn parts(answer: &Answer) -> AnswerParts<'_> {
    AnswerParts { status: answer.status, headers: &answer.headers, body: &answer.body }
}

/// Marks a journalled answer that broke off, with why: it is read otherwise than a whole one.
const CUT_OFF: &str = "evergrant-cut-off";

/// The headers that a journalled answer needs to be read again.
fn kept_headers(answer: &Answer, cut_off: Option<&str>) -> Vec<(String, String)> {
    const KEPT: [&str; 4] = ["content-type", "retry-after", "www-authenticate", "dpop-nonce"];
    let kept = answer.headers.iter().filter(|(name, _)| KEPT.contains(&name.as_str())).cloned();
    kept.chain(cut_off.map(|why| (CUT_OFF.to_owned(), why.to_owned()))).collect()
}
