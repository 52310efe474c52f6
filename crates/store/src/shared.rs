//! What the threads and the callers share, and what happens after a commit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use evergrant_core::id::{ConnectionId, InstallationId, IntegrationName, NodeId};
use evergrant_core::integration::Integration;
use evergrant_core::notice::NoticeKind;
use tokio::sync::{Notify, broadcast, watch};

use crate::cache::{Owner, ReadCache};
use crate::changes::Change;
use crate::db::{Household, Turn, Unit, values};
use crate::deliveries::Channels;
use crate::entropy::SharedEntropy;
use crate::error::StoreError;
use crate::events::Event;
use crate::keys::ApiKey;
use crate::memory::Feed;
use crate::nodes;
use crate::options::ProviderResolver;
use crate::record::TokenRecord;
use crate::row::json;
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
    /// A lease on a connection has ended.
    Freed(ConnectionId),
    /// A connection was erased with its person.
    Erased(ConnectionId),
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

    pub(crate) fn take(&mut self, status: &str) {
        let count = self.of(status);
        *count = count.saturating_sub(1);
    }
}

/// What everybody shares.
pub(crate) struct Shared {
    pub ring: Arc<KeyRing>,
    pub entropy: SharedEntropy,
    pub node: NodeId,
    /// Earlier processes of this data folder whose leases are this one's until the journal has been read.
    pub former: Vec<String>,
    pub installation: InstallationId,
    pub cache: ReadCache,
    /// For so long it is trusted without hearing of the other nodes.
    pub cache_grace: Duration,
    /// Whether leases go by the database's clock, where it is on a server.
    pub rules: bool,
    pub integrations: RwLock<BTreeMap<IntegrationName, Arc<Integration>>>,
    pub keys: RwLock<BTreeMap<String, Arc<ApiKey>>>,
    pub counts: Mutex<BTreeMap<IntegrationName, StatusCounts>>,
    pub events: broadcast::Sender<Arc<Event>>,
    /// What is known of the other nodes; where one process works alone nothing.
    pub feed: Feed,
    pub tally: Mutex<Tally>,
    /// What can be told where.
    pub channels: Channels,
    /// Wakes who tells.
    pub told: Notify,
    pub resolver: Option<ProviderResolver>,
    /// The database server has lost commits that it had answered.
    pub behind: Arc<watch::Sender<bool>>,
}

impl Shared {
    pub fn counts(&self) -> MutexGuard<'_, BTreeMap<IntegrationName, StatusCounts>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a node is this one, or was an earlier process of its data folder.
    pub fn is_own(&self, node: &NodeId) -> bool {
        *node == self.node || self.former.iter().any(|former| former == node.as_str())
    }

    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn integration(&self, name: &IntegrationName) -> Option<Arc<Integration>> {
        self.integrations.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

/// What surrounds each group of writes.
pub(crate) struct Keeping {
    pub shared: Arc<Shared>,
    pub count: Option<(u32, u64, u64)>,
    pub key: Option<WrappedKey>,
}

impl Household<Effect> for Keeping {
    /// Counts what was sealed, and makes a new data key when the present one is worn out.
    fn before(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        if let Some(turn) = tx.turn() {
            // The group before may have failed.
            self.shared.commits(false);
            self.shared.took_turn(tx, turn)?;
        }
        self.count = match self.shared.ring.count_to_store() {
            Some((id, step)) => {
                let text = "UPDATE data_keys SET sealings = sealings + ?2 WHERE id = ?1 RETURNING sealings";
                let all = tx.one(text, values![id, step], |row| row.count(0))?;
                Some((id, all.ok_or(StoreError::NotOneRow { table: "data_keys", rows: 0 })?, step))
            }
            None => None,
        };
        self.key = self.shared.ring.key_to_store()?;
        if let Some(key) = &self.key {
            let text = "INSERT INTO data_keys (id, wrapped, sealings, created_at) VALUES (?1, ?2, ?3, 0)";
            tx.run_one("data_keys", text, values![key.id, key.wrapped, key.sealings])?;
            tx.newest_key(key.id)?;
        }
        Ok(())
    }

    /// Tells the other nodes what changes in memory.
    fn last(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        if tx.turn().is_none() {
            return Ok(());
        }
        self.shared.commits(true);
        let changes: Vec<Change> = tx.look(|effects| effects.iter().filter_map(Change::of).collect());
        if changes.is_empty() { Ok(()) } else { tx.tell(self.shared.node.as_str(), &json(&changes)?) }
    }

    fn after(&mut self, effects: Vec<Effect>, turn: Option<Turn>) {
        if let Some((id, count, raised)) = self.count.take() {
            self.shared.ring.count_stored(id, count, raised);
        }
        if let Some(key) = self.key.take() {
            self.shared.ring.key_stored(&key);
        }
        self.shared.apply(effects, turn);
        if turn.is_some() {
            self.shared.commits(false);
        }
    }

    /// Nobody need wait for what this node held.
    fn leave(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        nodes::leave(tx, &self.shared.node)
    }
}
