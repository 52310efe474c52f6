//! What the store must be told to open.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use evergrant_core::id::NodeId;
use evergrant_core::integration::ProviderSource;
use evergrant_core::provider::Provider;

use crate::db::Database;
use crate::deliveries::Channels;
use crate::journal::JournalOptions;
use crate::pace::Threads;
use crate::seal::MasterKey;

type LookUp = dyn Fn(&ProviderSource) -> Option<Arc<Provider>> + Send + Sync;

/// Looks up what an integration's provider resolves to today; none: what was stored with it stays.
#[derive(Clone)]
pub struct ProviderResolver(Arc<LookUp>);

impl ProviderResolver {
    /// From a function, such as a look-up in the catalogue.
    pub fn new(look_up: impl Fn(&ProviderSource) -> Option<Arc<Provider>> + Send + Sync + 'static) -> Self {
        ProviderResolver(Arc::new(look_up))
    }

    pub(crate) fn resolve(&self, source: &ProviderSource) -> Option<Arc<Provider>> {
        (self.0)(source)
    }
}

impl fmt::Debug for ProviderResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<provider resolver>")
    }
}

/// How reads of tokens are audited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditReads {
    /// Not at all.
    Off,
    /// A line before each answer, on the disk within a second.
    #[default]
    Batched,
    /// A line on the disk before each answer.
    Strict,
}

/// What the store must be told to open.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The database.
    pub database: Database,
    /// The folder of the lock, the journal and the log of reads.
    pub data_dir: PathBuf,
    /// The key that wraps the data keys.
    pub master_key: MasterKey,
    /// This process.
    pub node: NodeId,
    /// How much the journal may take.
    pub journal: JournalOptions,
    /// About how many bytes the cache of sealed grants may take.
    pub cache_bytes: u64,
    /// For so long it is trusted where nothing is heard of the other nodes.
    pub cache_grace: Duration,
    /// Whether leases go by the database's clock, where it is on a server; for tests that tell the time themselves they need not.
    pub database_clock: bool,
    /// Whether nobody else can be at work on the database, so that whatever lease is found has ended. In a simulation there may
    /// be others.
    pub alone: bool,
    /// Where the work runs.
    pub threads: Threads,
    /// Threads that read.
    pub readers: usize,
    /// After so many sealings a new data key takes over.
    pub data_key_sealings: u64,
    /// How reads of tokens are audited.
    pub audit_reads: AuditReads,
    /// Where providers are looked up.
    pub providers: Option<ProviderResolver>,
    /// What can be told where.
    pub channels: Channels,
}

impl OpenOptions {
    /// With the defaults: 64 MiB of cache, two readers, a new data key after 2^31 sealings.
    pub fn new(database: impl Into<Database>, data_dir: PathBuf, master_key: MasterKey, node: NodeId) -> Self {
        OpenOptions {
            database: database.into(),
            data_dir,
            master_key,
            node,
            journal: JournalOptions::default(),
            cache_bytes: 64 << 20,
            cache_grace: Duration::from_secs(60),
            database_clock: true,
            alone: true,
            threads: Threads::Own,
            readers: 2,
            // Half of what random 96-bit nonces allow even under a single key (NIST SP 800-38D §8.3).
            data_key_sealings: 1 << 31,
            audit_reads: AuditReads::default(),
            providers: None,
            channels: Channels::default(),
        }
    }
}
