//! What is kept: sealed rows, leases with fencing, outbox, journal, migrations.
//!
//! One [`Store`], whose methods are named by use; each is one transaction, answered after its commit. `now` is always an
//! argument. Only `db` knows which database it is. The store decides nothing about a connection's life: that is
//! `evergrant_core::lifecycle`, called by the caller; what it promises is that what was decided is kept whole.

mod audit;
mod cache;
mod changes;
mod cleanup;
pub mod connect;
mod connections;
mod contacts;
mod db;
mod deliveries;
mod deployment;
mod entropy;
mod error;
mod events;
mod folder;
mod follow;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod grants;
mod idempotency;
mod integrations;
mod jobs;
pub mod journal;
mod keys;
mod memory;
mod nodes;
mod notices;
mod options;
mod outbox;
mod owed;
mod pace;
mod page;
mod queue;
mod reads;
mod record;
pub mod refresh;
mod report;
mod rotate;
mod row;
mod seal;
mod shared;
mod stats;
mod store;
mod tally;
mod webhooks;

pub use audit::{AuditCheck, AuditLine, NewAudit};
pub use cleanup::Retention;
pub use connections::{
    ConnectionFilter, ConnectionPatch, Decided, Ended, EndedNow, Ending, Erased, NewGrantFor, Patched, Placed, Target,
};
pub use contacts::Reach;
pub use db::{BackupError, Database, DatabaseServer, NotAServer, RestoredBackup, back_up, restore};
pub use deliveries::{
    Channels, Claimed, Delivery, DeliveryState, EMAIL, OPERATOR, Outcome as DeliveryOutcome, Redelivered, WEBHOOK,
};
pub use deployment::{Quarantine, QuarantineCause};
pub use entropy::{Entropy, SharedEntropy, SystemEntropy};
pub use error::{Cause, OpenError, StoreError, Trouble};
pub use events::{Event, EventFilter, NewEvent};
pub use idempotency::Idempotent;
pub use integrations::{IntegrationAdded, IntegrationRemoved, IntegrationReplaced};
pub use jobs::{Job, JobState};
pub use keys::{ApiKey, KeyAdded};
pub use nodes::{Nodes, Watch};
pub use notices::{NewNotice, Notice, NoticeFilter};
pub use options::{AuditReads, OpenOptions, ProviderResolver};
pub use outbox::{OutboxId, Revocation};
pub use owed::{Owed, Settled};
pub use pace::{AtOnce, Pace, SharedPace, Step, Threads, Turn};
pub use page::{Cursor, NotACursor, Page};
pub use reads::TokenRead;
pub use record::{Durable, TokenRecord};
pub use report::Report;
pub use rotate::Resealed;
pub use seal::{MasterKey, NotAMasterKey, SealedBytes};
pub use shared::StatusCounts;
pub use stats::{IntegrationNumbers, OutcomeNumber};
pub use store::Store;
pub use tally::Tally;
pub use webhooks::{OLD_SECRET, SigningSecret, Webhook};
