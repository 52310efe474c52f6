//! What a node learns with its turn, and what it is told of the turns of others. SQLite has one writer and none of this.

use evergrant_core::time::Timestamp;

/// A turn at writing: groups of all nodes come one after the other, in the order of these numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Its number.
    pub seq: u64,
    /// The database's clock at its beginning; none where leases go by what the callers say.
    pub clock: Option<Timestamp>,
    /// The number of the newest data key.
    pub keys: u32,
}

/// What others have committed behind a position.
pub(crate) struct Look {
    /// Up to this turn.
    pub seq: u64,
    /// Whether some of it has been erased already.
    pub behind: bool,
    /// The number of the newest data key.
    pub keys: u32,
    /// The database's clock.
    pub clock: Timestamp,
    /// How many nodes gave a sign of life lately.
    pub nodes: u32,
    /// What was told, in the order of turns; also by this node.
    pub told: Vec<Told>,
    /// Whether there is more behind it.
    pub more: bool,
}

/// What one group told.
pub(crate) struct Told {
    /// Its turn.
    pub seq: u64,
    /// Whose.
    pub node: String,
    /// What.
    pub document: String,
}

/// Who worked on the same place before, and has certainly ended.
pub(crate) enum Former {
    /// Everybody: the database is this process's alone.
    All,
    /// These nodes.
    These(Vec<String>),
}
