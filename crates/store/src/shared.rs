//! What the threads and the callers share, and what happens after a commit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use evergrant_core::id::{ConnectionId, InstallationId, IntegrationName, NodeId};
use evergrant_core::integration::Integration;
use evergrant_core::notice::NoticeKind;
use tokio::sync::{Notify, broadcast};

use crate::cache::{Owner, ReadCache};
use crate::db::{Household, Unit, values};
use crate::deliveries::Channels;
use crate::entropy::SharedEntropy;
use crate::error::StoreError;
use crate::events::Event;
use crate::keys::ApiKey;
use crate::options::ProviderResolver;
use crate::record::TokenRecord;
use crate::seal::{KeyRing, MasterKey, WrappedKey};
use crate::tally::Tally;

/// A use at work.
pub(crate) type Tx<'a> = Unit<'a, Effect>;

/// What is to be done after a commit, before its callers are answered.
pub(crate) enum Effect {
    /// A connection is now this.
    Record(Arc<TokenRecord>),
    /// A connection has changed or is gone.
    Forget(ConnectionId),
    /// A subject's connections have changed.
    Owner(Owner),
    /// Connections of an integration have changed their status.
    Counted { integration: IntegrationName, from: Option<String>, to: Option<String> },
    /// An integration is now this.
    Integration(Arc<Integration>),
    /// An integration is gone.
    NoIntegration(IntegrationName),
    /// An API key is now this.
    Key(Arc<ApiKey>),
    /// Something happened.
    Event(Arc<Event>),
    /// Something is to be told, or a receiver has become free.
    Told,
    /// A notice was written.
    Noticed(NoticeKind),
    /// Another master key wraps the data keys, and a new one of those seals.
    Rotated(MasterKey, WrappedKey),
}

/// Connections of an integration by stored status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusCounts {
    /// `connected`.
    pub connected: u64,
    /// `needs_reauth`.
    pub needs_reauth: u64,
    /// `disconnected`.
    pub disconnected: u64,
}

impl StatusCounts {
    /// Those that are not disconnected.
    pub fn living(&self) -> u64 {
        self.connected + self.needs_reauth
    }

    fn of(&mut self, status: &str) -> &mut u64 {
        match status {
            "connected" => &mut self.connected,
            "needs_reauth" => &mut self.needs_reauth,
            _ => &mut self.disconnected,
        }
    }

    pub(crate) fn add(&mut self, status: &str, count: u64) {
        *self.of(status) += count;
    }

    fn take(&mut self, status: &str) {
        let count = self.of(status);
        *count = count.saturating_sub(1);
    }
}

/// What everybody shares.
pub(crate) struct Shared {
    pub ring: Arc<KeyRing>,
    pub entropy: SharedEntropy,
    pub node: NodeId,
    pub installation: InstallationId,
    pub cache: ReadCache,
    pub integrations: RwLock<BTreeMap<IntegrationName, Arc<Integration>>>,
    pub keys: RwLock<BTreeMap<String, Arc<ApiKey>>>,
    pub counts: Mutex<BTreeMap<IntegrationName, StatusCounts>>,
    pub events: broadcast::Sender<Arc<Event>>,
    pub tally: Mutex<Tally>,
    /// What can be told where.
    pub channels: Channels,
    /// Wakes who tells.
    pub told: Notify,
    pub resolver: Option<ProviderResolver>,
}

impl Shared {
    pub fn counts(&self) -> MutexGuard<'_, BTreeMap<IntegrationName, StatusCounts>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn integration(&self, name: &IntegrationName) -> Option<Arc<Integration>> {
        self.integrations.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn apply(&self, effect: Effect) {
        match effect {
            Effect::Record(record) => self.cache.put_record(record),
            Effect::Noticed(kind) => self.tally().noticed(kind),
            Effect::Forget(id) => self.cache.forget_record(&id),
            Effect::Owner(owner) => self.cache.forget_owner(&owner),
            Effect::Counted { integration, from, to } => {
                let mut counts = self.counts();
                let counts = counts.entry(integration).or_default();
                from.iter().for_each(|status| counts.take(status));
                to.iter().for_each(|status| counts.add(status, 1));
            }
            Effect::Integration(integration) => {
                let mut all = self.integrations.write().unwrap_or_else(PoisonError::into_inner);
                all.insert(integration.name.clone(), integration);
            }
            Effect::NoIntegration(name) => {
                self.integrations.write().unwrap_or_else(PoisonError::into_inner).remove(&name);
                self.counts().remove(&name);
            }
            Effect::Key(key) => {
                self.keys.write().unwrap_or_else(PoisonError::into_inner).insert(key.id.clone(), key);
            }
            Effect::Told => self.told.notify_one(),
            Effect::Rotated(master, newest) => self.ring.rotated(&master, &newest),
            // Nobody listening is no error.
            Effect::Event(event) => drop(self.events.send(event)),
        }
    }
}

/// What surrounds each group of writes.
pub(crate) struct Keeping {
    pub shared: Arc<Shared>,
    pub count: Option<(u32, u64)>,
    pub key: Option<WrappedKey>,
}

impl Household<Effect> for Keeping {
    /// Counts what was sealed, and makes a new data key when the present one is worn out.
    fn before(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        self.count = self.shared.ring.count_to_store();
        if let Some((id, sealings)) = self.count {
            tx.run_one("data_keys", "UPDATE data_keys SET sealings = ?2 WHERE id = ?1", values![id, sealings])?;
        }
        self.key = self.shared.ring.key_to_store()?;
        if let Some(key) = &self.key {
            let text = "INSERT INTO data_keys (id, wrapped, sealings, created_at) VALUES (?1, ?2, ?3, 0)";
            tx.run_one("data_keys", text, values![key.id, key.wrapped, key.sealings])?;
        }
        Ok(())
    }

    fn after(&mut self, effects: Vec<Effect>) {
        if let Some((id, count)) = self.count.take() {
            self.shared.ring.count_stored(id, count);
        }
        if let Some(key) = self.key.take() {
            self.shared.ring.key_stored(&key);
        }
        effects.into_iter().for_each(|effect| self.shared.apply(effect));
    }
}
