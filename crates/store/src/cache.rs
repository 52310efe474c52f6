//! What is kept in memory so that a token call asks nobody: records in sealed form, and who has which connections.
//!
//! Bounded by weight. The writer changes it after each commit and before any caller is answered. A read that began
//! before such a change must not put back what it saw: each key's shard counts the changes, and what was loaded is kept
//! only if none came in between.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use evergrant_core::id::ConnectionId;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::record::TokenRecord;

const SHARDS: usize = 64;

/// A subject at an integration, by a tag that the installation's key makes: other nodes are told it, and it names nobody.
pub(crate) type Owner = u128;

/// The cache.
pub(crate) struct ReadCache {
    records: Cached<ConnectionId, Arc<TokenRecord>, Weights>,
    owners: Cached<Owner, Arc<[ConnectionId]>, Weights>,
}

#[derive(Clone)]
struct Weights;

impl Weighter<ConnectionId, Arc<TokenRecord>> for Weights {
    fn weight(&self, _: &ConnectionId, record: &Arc<TokenRecord>) -> u64 {
        record.weight()
    }
}

impl Weighter<Owner, Arc<[ConnectionId]>> for Weights {
    fn weight(&self, _: &Owner, ids: &Arc<[ConnectionId]>) -> u64 {
        (144 + 48 * ids.len()) as u64
    }
}

impl ReadCache {
    /// A cache of at most so many bytes, roughly.
    pub fn new(bytes: u64) -> Self {
        let (records, owners) = (bytes - bytes / 8, bytes / 8);
        ReadCache { records: Cached::new(records, 2048), owners: Cached::new(owners, 200) }
    }

    pub fn record(&self, id: &ConnectionId) -> Option<Arc<TokenRecord>> {
        self.records.cache.get(id)
    }

    /// To be called before the database is read.
    pub fn loading_record(&self, id: &ConnectionId) -> Ticket {
        self.records.loading(id)
    }

    pub fn loaded_record(&self, ticket: Ticket, id: &ConnectionId, record: &Arc<TokenRecord>) {
        self.records.loaded(ticket, id, record);
    }

    pub fn put_record(&self, record: Arc<TokenRecord>) {
        self.records.change(&record.connection.id.clone(), Some(record));
    }

    pub fn forget_record(&self, id: &ConnectionId) {
        self.records.change(id, None);
    }

    pub fn owned(&self, owner: &Owner) -> Option<Arc<[ConnectionId]>> {
        self.owners.cache.get(owner)
    }

    /// To be called before the database is read.
    pub fn loading_owned(&self, owner: &Owner) -> Ticket {
        self.owners.loading(owner)
    }

    pub fn loaded_owned(&self, ticket: Ticket, owner: &Owner, ids: &Arc<[ConnectionId]>) {
        self.owners.loaded(ticket, owner, ids);
    }

    pub fn forget_owner(&self, owner: &Owner) {
        self.owners.change(owner, None);
    }

    /// Forgets everything, also what is being loaded.
    pub fn forget_all(&self) {
        self.records.forget_all();
        self.owners.forget_all();
    }

    /// Bytes in use, roughly.
    pub fn weight(&self) -> u64 {
        self.records.cache.weight() + self.owners.cache.weight()
    }
}

/// How often a shard had changed when a read began.
#[derive(Clone, Copy)]
pub(crate) struct Ticket(u64);

struct Cached<K, V, W> {
    cache: Cache<K, V, W>,
    changes: [Mutex<u64>; SHARDS],
    hasher: RandomState,
}

impl<K: Hash + Eq + Clone, V: Clone, W: Weighter<K, V> + Clone + Default> Cached<K, V, W> {
    fn new(bytes: u64, each: u64) -> Self {
        let items = usize::try_from(bytes / each).unwrap_or(usize::MAX).max(1);
        Cached {
            cache: Cache::with_weighter(items, bytes, W::default()),
            changes: std::array::from_fn(|_| Mutex::new(0)),
            hasher: RandomState::new(),
        }
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, u64> {
        let at = (self.hasher.hash_one(key) % SHARDS as u64) as usize;
        self.changes[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn loading(&self, key: &K) -> Ticket {
        Ticket(*self.shard(key))
    }

    fn loaded(&self, ticket: Ticket, key: &K, value: &V) {
        let changes = self.shard(key);
        if *changes == ticket.0 {
            self.cache.insert(key.clone(), value.clone());
        }
    }

    fn forget_all(&self) {
        for shard in &self.changes {
            *shard.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        }
        self.cache.clear();
    }

    fn change(&self, key: &K, value: Option<V>) {
        let mut changes = self.shard(key);
        *changes += 1;
        match value {
            Some(value) => self.cache.insert(key.clone(), value),
            None => drop(self.cache.remove(key)),
        }
    }
}

impl Default for Weights {
    fn default() -> Self {
        Weights
    }
}
