//! What the refresh kernel writes: claim, `sending`, success by generation, verdict by fence.
//!
//! A lease with its fencing number says who may send; the generation says what was sent from. A success for the stored
//! generation is better than what is stored, whoever brings it; a verdict counts only from the holder of the lease and
//! only about the stored grant.

mod attempts;
mod claim;
mod commit;
mod lost;
mod spares;

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::connection::{Account, Connection, Life};
use evergrant_core::grant::Grant;
use evergrant_core::id::{AttemptId, ConnectionId, NodeId};
use evergrant_core::outcome::Class;
use evergrant_core::time::Timestamp;
use serde_json::{Map, Value};

use crate::error::StoreError;
use crate::events::NewEvent;
use crate::notices::NewNotice;
use crate::record::{Durable, TokenRecord};
use crate::shared::Tx;

pub use attempts::{AttemptEnd, AttemptRecord, AttemptResult};
pub use claim::Due;
pub(crate) use commit::{reread, tell, with_generation};
pub use lost::Beyond;
pub use spares::{Spare, SpareId};

/// How long attempts that ended are kept, for reading back a commit whose outcome was unknown.
const ATTEMPTS_KEPT: Duration = Duration::from_secs(24 * 3600);

/// Throws away attempts and spares that are too old, a part at a time.
pub(crate) fn clean(tx: &Tx<'_>, now: Timestamp, most: usize) -> Result<usize, StoreError> {
    Ok(attempts::clean(tx, now.minus(ATTEMPTS_KEPT), most)? + spares::clean(tx, now, most)?)
}

/// A connection read again under a lease: the only thing that can mark a sending or pass a verdict.
#[derive(Debug)]
#[non_exhaustive]
pub struct Leased {
    /// The connection as it is under the lease.
    pub connection: Connection,
    /// Its grant, opened.
    pub grant: Option<Durable<Grant>>,
    /// The stored generation; counts on through disconnects.
    pub generation: u64,
    /// The fencing number.
    pub fence: u64,
    /// Until when the lease lasts.
    pub until: Timestamp,
    /// A sending of the stored refresh token whose outcome nobody has written down.
    pub open_intent: Option<OpenIntent>,
    /// How many spares there are to try before a verdict.
    pub spares: u64,
}

impl Leased {
    /// What a refresh under this lease is sent from.
    pub fn source(&self) -> RefreshedFrom {
        RefreshedFrom { connection: self.connection.id.clone(), generation: self.generation, fence: Some(self.fence) }
    }
}

/// What an answer is an answer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshedFrom {
    /// Whose refresh token was sent.
    pub connection: ConnectionId,
    /// Of which generation.
    pub generation: u64,
    fence: Option<u64>,
}

impl RefreshedFrom {
    /// What a journalled answer belongs to; no lease is needed to commit it.
    pub fn journalled(connection: ConnectionId, generation: u64) -> Self {
        RefreshedFrom { connection, generation, fence: None }
    }
}

/// A sending that was written down and whose outcome was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenIntent {
    /// Whose.
    pub connection: ConnectionId,
    /// The attempt.
    pub attempt: AttemptId,
    /// When the request was about to leave.
    pub sending_at: Timestamp,
    /// The process that was about to send.
    pub node: Option<NodeId>,
}

/// What came of a claim.
#[derive(Debug)]
pub enum Claim {
    /// It is yours.
    Leased(Box<Leased>),
    /// Somebody else has it.
    Busy {
        /// Until when at most.
        until: Timestamp,
        /// Who.
        owner: Option<NodeId>,
        /// Since when a request may be under way.
        sending_since: Option<Timestamp>,
    },
    /// There is no such connection, or it is disconnected.
    Gone,
}

/// Whether a request may leave now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It may: the sending is written down.
    Open,
    /// The lease has ended or somebody else has it.
    FenceLost,
    /// The stored grant is another one.
    GrantChanged,
}

/// Whether a refresh may be forced now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forced {
    /// It may, and this one is noted.
    Yes,
    /// Not before this instant: another one was forced shortly before.
    NotBefore(Timestamp),
    /// There is no such connection.
    Gone,
}

/// A refresh that brought a grant.
#[derive(Clone, Debug)]
pub struct SuccessCommit {
    /// The attempt.
    pub attempt: AttemptId,
    /// How it ended: [`Class::Success`], or what an answer is called of which only a refresh token could be kept.
    pub class: Class,
    /// The new tokens, whole: what the answer left out is carried over by the caller.
    pub grant: Grant,
    /// The life from now on; its grant's generation is set by the store.
    pub life: Life,
    /// When the kernel should next look at it; none: never by itself.
    pub next_at: Option<Timestamp>,
    /// What calling the provider needs besides the token, where the answer told something new; added to what is stored.
    pub provider_data: Option<Map<String, Value>>,
    /// The account, if the answer told it; kept only where none is stored and nobody else has it.
    pub account: Option<Account>,
    /// Notices, in order.
    pub notices: Vec<NewNotice>,
    /// Events, in order.
    pub events: Vec<NewEvent>,
}

/// What came of committing a success.
#[derive(Debug)]
pub enum Committed {
    /// The grant is stored.
    Stored {
        /// It, to be handed out and used.
        grant: Durable<Grant>,
        /// The connection as it is now.
        record: Arc<TokenRecord>,
    },
    /// A newer grant was there; this one is kept as a spare.
    Superseded {
        /// The connection as it is.
        record: Arc<TokenRecord>,
    },
    /// The connection was ended meanwhile; the new tokens go to the outbox to be revoked.
    Disconnected,
}

/// A change of a life without a new grant: a failure, or anything else that the kernel decides under a lease.
#[derive(Clone, Debug)]
pub struct VerdictCommit {
    /// How the attempt ended; none where nothing was sent.
    pub outcome: Option<AttemptOutcome>,
    /// The life from now on.
    pub life: Life,
    /// When the kernel should next look at it; none: never by itself.
    pub next_at: Option<Timestamp>,
    /// Notices, in order.
    pub notices: Vec<NewNotice>,
    /// Events, in order.
    pub events: Vec<NewEvent>,
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub struct AttemptOutcome {
    /// The attempt.
    pub attempt: AttemptId,
    /// Its class.
    pub class: Class,
    /// What the provider said, scrubbed, or what happened on the way.
    pub detail: String,
}

/// What came of committing a verdict.
#[derive(Debug)]
pub enum VerdictCommitted {
    /// It holds.
    Stored(Arc<TokenRecord>),
    /// The lease is somebody else's; nothing was changed.
    FenceLost,
    /// The stored grant is another one; nothing was changed but that the lease has ended.
    GrantChanged,
}
