//! What is in memory after a commit: of this node at once, of another one when it is heard of.
//!
//! Both are brought into the order of turns by one lock. What this node wrote into its memory is older than what it has
//! heard already when its turn came first; then it is forgotten instead.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use evergrant_core::id::{ConnectionId, IntegrationName, SubjectId};
use evergrant_core::integration::Integration;
use evergrant_core::planted::{self, Bug};
use evergrant_core::time::Timestamp;
use tokio::sync::Notify;

use crate::cache::Owner;
use crate::changes::Change;
use crate::db::{Sql, Turn};
use crate::error::StoreError;
use crate::integrations;
use crate::keys::{self, ApiKey};
use crate::shared::{Effect, Shared, StatusCounts, Tx};
use crate::store::newer_data_keys;

/// How long a commit of this node is waited for at most: one that has failed says so with the next group only.
const COMMITTED: Duration = Duration::from_secs(1);

/// What a node knows of what the others do.
pub(crate) struct Feed {
    position: Mutex<Position>,
    last_event: AtomicU64,
    /// When it was last certain that everything had been heard; none where one process works alone.
    confirmed: Mutex<Option<Instant>>,
    nodes: AtomicU32,
    clock: Mutex<Option<(Timestamp, Instant)>>,
    waiting: Mutex<HashMap<ConnectionId, Arc<Notify>>>,
    /// What others have erased and this node's journal may still hold.
    erased: Mutex<BTreeSet<ConnectionId>>,
    /// Whether this node commits just now, and its memory does not say so yet.
    committing: Mutex<bool>,
    committed: Condvar,
}

/// Up to which turns memory is true.
#[derive(Clone, Copy, Default)]
struct Position {
    heard: u64,
    registry: u64,
    counts: u64,
}

impl Feed {
    /// Memory that was loaded as of a turn.
    pub fn new(position: Option<u64>, last_event: u64) -> Self {
        let at = position.unwrap_or_default();
        Feed {
            position: Mutex::new(Position { heard: at, registry: at, counts: at }),
            last_event: AtomicU64::new(last_event),
            confirmed: Mutex::new(position.map(|_| Instant::now())),
            nodes: AtomicU32::new(1),
            clock: Mutex::default(),
            waiting: Mutex::default(),
            erased: Mutex::default(),
            committing: Mutex::default(),
            committed: Condvar::new(),
        }
    }
}

/// What other nodes have committed, up to a turn.
pub(crate) struct Heard {
    pub seq: u64,
    pub changes: Vec<(u64, Change)>,
}

/// Integrations and API keys as of a turn.
pub(crate) struct Registry {
    pub position: Option<u64>,
    pub integrations: BTreeMap<IntegrationName, Arc<Integration>>,
    pub keys: BTreeMap<String, Arc<ApiKey>>,
}

/// How many connections each integration has in each status.
pub(crate) type Counts = BTreeMap<IntegrationName, StatusCounts>;

pub(crate) fn load_counts(sql: &Sql<'_>) -> Result<Counts, StoreError> {
    let mut counts = Counts::new();
    for (integration, status, count) in integrations::count(sql)? {
        counts.entry(integration).or_default().add(&status, count);
    }
    Ok(counts)
}

impl Shared {
    /// Names a subject at an integration in memory.
    pub fn owner(&self, integration: &IntegrationName, subject: &SubjectId) -> Owner {
        // A name of an integration holds no blank.
        self.ring.tag(&format!("owner {integration} {subject}"))
    }

    pub fn position(&self) -> u64 {
        self.at().heard
    }

    fn at(&self) -> MutexGuard<'_, Position> {
        lock(&self.feed.position)
    }

    /// Integrations and API keys, in one snapshot.
    pub fn load_registry(&self, sql: &Sql<'_>) -> Result<Registry, StoreError> {
        let integrations = integrations::load(sql, &self.ring, self.resolver.as_ref())?;
        Ok(Registry {
            position: sql.position()?,
            integrations: integrations.into_iter().map(|one| (one.name.clone(), one)).collect(),
            keys: keys::load(sql)?.into_iter().map(|one| (one.id.clone(), one)).collect(),
        })
    }

    /// All that is always in memory, in one snapshot.
    pub fn load(&self, sql: &Sql<'_>) -> Result<(Registry, Counts), StoreError> {
        Ok((self.load_registry(sql)?, load_counts(sql)?))
    }

    /// After a commit of this node.
    pub fn apply(&self, effects: Vec<Effect>, turn: Option<Turn>) {
        let mut at = self.at();
        // Events last: who hears one finds in memory what it says.
        let (events, effects): (Vec<_>, Vec<_>) =
            effects.into_iter().partition(|effect| matches!(effect, Effect::Event(_)));
        for effect in effects.into_iter().chain(events) {
            self.apply_one(effect, turn.map(|turn| turn.seq), &mut at);
        }
    }

    fn apply_one(&self, effect: Effect, turn: Option<u64>, at: &mut Position) {
        // Whether what is in memory is of a later turn already.
        let is_late = |known: u64| turn.is_some_and(|turn| turn <= known);
        match effect {
            Effect::Record(record)
                if planted::is(Bug::CacheKeepsDisconnected) && record.connection.life.grant.is_none() => {}
            Effect::Record(record) => {
                self.wake(&record.connection.id);
                match is_late(at.heard) {
                    true => self.cache.forget_record(&record.connection.id),
                    false => self.cache.put_record(record),
                }
            }
            Effect::Noticed(kind) => self.tally().noticed(kind),
            Effect::Forget(id) => self.cache.forget_record(&id),
            Effect::Freed(_) | Effect::Erased(_) => {}
            Effect::Owner(owner) => self.cache.forget_owner(&owner),
            Effect::Counted { .. } if is_late(at.counts) => {}
            Effect::Counted { integration, from, to } => self.count(integration, from.as_ref(), to.as_ref()),
            Effect::Integration(_) | Effect::NoIntegration(_) | Effect::Key(_) if is_late(at.registry) => {}
            Effect::Integration(integration) => {
                write(&self.integrations).insert(integration.name.clone(), integration);
            }
            Effect::NoIntegration(name) => {
                write(&self.integrations).remove(&name);
                self.counts().remove(&name);
            }
            Effect::Key(key) => {
                write(&self.keys).insert(key.id.clone(), key);
            }
            Effect::Told => self.told.notify_one(),
            Effect::Rotated(master, newest) => self.ring.rotated(&master, &newest),
            // With several nodes they are told in the order of turns, where the turns of others are heard.
            Effect::Event(_) if turn.is_some() => {}
            // Nobody listening is no error.
            Effect::Event(event) => drop(self.events.send(event)),
        }
    }

    fn count(&self, integration: IntegrationName, from: Option<&String>, to: Option<&String>) {
        let mut counts = self.counts();
        let counts = counts.entry(integration).or_default();
        from.into_iter().for_each(|status| counts.take(status));
        to.into_iter().for_each(|status| counts.add(status, 1));
    }

    /// What other nodes have committed. Where it concerns integrations or keys these are loaded, while nothing else changes
    /// them here.
    pub fn hear(
        &self,
        heard: Heard,
        registry: impl FnOnce() -> Result<Registry, StoreError>,
    ) -> Result<(), StoreError> {
        let mut at = self.at();
        if heard.changes.iter().any(|(_, change)| matches!(change, Change::Registry | Change::Removed { .. })) {
            self.replace(registry()?, &mut at);
        }
        for (turn, change) in heard.changes {
            match change {
                Change::Connection { id } => {
                    self.cache.forget_record(&id);
                    self.wake(&id);
                }
                Change::Freed { id } => self.wake(&id),
                Change::Erased { id } => self.hear_erased(BTreeSet::from([id])),
                Change::Owner { tag } => {
                    u128::from_str_radix(&tag, 16).iter().for_each(|owner| self.cache.forget_owner(owner));
                }
                Change::Counted { integration, from, to } if turn > at.counts => {
                    self.count(integration, from.as_ref(), to.as_ref());
                }
                Change::Removed { integration } if turn > at.counts => drop(self.counts().remove(&integration)),
                Change::Rotated { fingerprint } => self.rotated_elsewhere(&fingerprint),
                Change::Counted { .. }
                | Change::Removed { .. }
                | Change::Registry
                | Change::Events
                | Change::Unknown => {}
            }
        }
        at.heard = at.heard.max(heard.seq);
        Ok(())
    }

    /// Forgets everything and loads what is always in memory.
    pub fn hear_anew(&self, load: impl FnOnce() -> Result<(Registry, Counts), StoreError>) -> Result<(), StoreError> {
        let mut at = self.at();
        let (registry, counts) = load()?;
        self.cache.forget_all();
        self.replace(registry, &mut at);
        *self.counts() = counts;
        (at.heard, at.counts) = (at.registry, at.registry);
        lock(&self.feed.waiting).values().for_each(|waiting| waiting.notify_one());
        Ok(())
    }

    fn replace(&self, registry: Registry, at: &mut Position) {
        *write(&self.integrations) = registry.integrations;
        *write(&self.keys) = registry.keys;
        at.registry = registry.position.unwrap_or(at.registry);
    }

    fn rotated_elsewhere(&self, fingerprint: &str) {
        if self.ring.master().fingerprint() != fingerprint {
            tracing::warn!(
                fingerprint,
                "another node has rotated the master key; this one goes on with the data keys that it holds. Give it the new \
                 master key before it is started again"
            );
        }
    }

    /// With the turn it is known what others have made meanwhile.
    pub fn took_turn(&self, tx: &Tx<'_>, turn: Turn) -> Result<(), StoreError> {
        if let Some(clock) = turn.clock {
            self.clock_seen(clock, Instant::now());
        }
        if turn.keys > self.ring.newest() { self.learn(tx) } else { Ok(()) }
    }

    /// Learns the data keys that other nodes have made.
    pub fn learn(&self, sql: &Sql<'_>) -> Result<(), StoreError> {
        for key in newer_data_keys(sql, self.ring.newest())? {
            self.ring.learn(&key)?;
        }
        Ok(())
    }

    /// The database's clock at an instant.
    pub fn clock_seen(&self, clock: Timestamp, at: Instant) {
        if self.rules {
            *lock(&self.feed.clock) = Some((clock, at));
        }
    }

    /// About what the clock shows that leases go by.
    pub fn lease_time(&self, now: Timestamp) -> Timestamp {
        match *lock(&self.feed.clock) {
            _ if planted::is(Bug::WallClockLeases) => now,
            Some((clock, at)) => clock.plus(at.elapsed()),
            None => now,
        }
    }

    /// A group of this node is about to be committed, or is in memory now; or it failed.
    pub fn commits(&self, about_to: bool) {
        *lock(&self.feed.committing) = about_to;
        if !about_to {
            self.feed.committed.notify_all();
        }
    }

    /// Waits until what this node has committed is in its memory: others read it in the database already.
    pub fn until_committed(&self) {
        let committing = lock(&self.feed.committing);
        drop(self.feed.committed.wait_timeout_while(committing, COMMITTED, |committing| *committing));
    }

    /// All that had been committed at this instant has been heard.
    pub fn confirmed(&self, at: Instant, nodes: u32) {
        *lock(&self.feed.confirmed) = Some(at);
        self.feed.nodes.store(nodes, Ordering::Relaxed);
    }

    /// For how long nothing has been heard of the other nodes; none where one process works alone.
    pub fn silence(&self) -> Option<Duration> {
        lock(&self.feed.confirmed).map(|at| at.elapsed())
    }

    /// Whether what is in memory may be shown: what others have committed has been heard lately.
    pub fn is_trusted(&self) -> bool {
        self.silence().is_none_or(|silence| silence < self.cache_grace)
    }

    /// How many nodes live, this one among them.
    pub fn nodes(&self) -> u32 {
        self.feed.nodes.load(Ordering::Relaxed)
    }

    pub fn last_event(&self) -> u64 {
        self.feed.last_event.load(Ordering::Relaxed)
    }

    pub fn told_events(&self, newest: u64) {
        self.feed.last_event.store(newest, Ordering::Relaxed);
    }

    pub fn hear_erased(&self, ids: BTreeSet<ConnectionId>) {
        lock(&self.feed.erased).extend(ids);
    }

    pub fn heard_erased(&self) -> BTreeSet<ConnectionId> {
        std::mem::take(&mut *lock(&self.feed.erased))
    }

    /// Whether anybody waits for what another node does.
    pub fn waits(&self) -> bool {
        !lock(&self.feed.waiting).is_empty()
    }

    fn wake(&self, id: &ConnectionId) {
        if let Some(waiting) = lock(&self.feed.waiting).get(id) {
            waiting.notify_one();
        }
    }

    pub fn wait_for(&self, id: &ConnectionId) -> Arc<Notify> {
        lock(&self.feed.waiting).entry(id.clone()).or_default().clone()
    }

    pub fn wait_no_more(&self, id: &ConnectionId) {
        lock(&self.feed.waiting).remove(id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &std::sync::RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
