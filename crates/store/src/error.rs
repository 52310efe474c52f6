//! What can go wrong with what is kept: once it is open, and when it is opened.
//!
//! Sentences are for the operator: what happened, what was kept, what to do. They name tables, rows and files, never content.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use evergrant_core::id::InstallationId;

/// What lies beneath an error; shared, because one failed commit answers many callers.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// A use of the store that did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The storage cannot be had just now; the same call can be made again.
    #[error("the storage is not available: {trouble}. {}; {}", trouble.kept(), trouble.remedy())]
    Unavailable {
        /// What kind of trouble.
        trouble: Trouble,
        /// What the system said.
        #[source]
        cause: Option<Cause>,
    },
    /// A ciphertext does not open where it stands: it was damaged, moved or replaced.
    #[error(
        "the sealed {column} of {row} in `{table}` does not open: it was damaged, moved or replaced outside the service. \
         It is left as it is; restore this row from a backup, or let the subject reconnect"
    )]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The row's key.
        row: String,
        /// The column.
        column: &'static str,
    },
    /// The database itself is damaged, or a row holds what the service never writes.
    #[error("the database holds something that the service did not write: {what}. Nothing was changed by this call")]
    Damaged {
        /// Where, in words.
        what: String,
        /// What lies beneath.
        #[source]
        cause: Option<Cause>,
    },
    /// A write that is meant for one row hit none or several; it was rolled back.
    #[error("a change of `{table}` that is meant for one row hit {rows}; it was taken back")]
    NotOneRow {
        /// The table.
        table: &'static str,
        /// How many it hit.
        rows: usize,
    },
    /// A defect of the service.
    #[error("the store met something that should not be while {doing}; the change was taken back")]
    Defect {
        /// What was being done.
        doing: &'static str,
        /// What lies beneath.
        #[source]
        cause: Option<Cause>,
    },
}

impl StoreError {
    /// The storage is closed.
    pub(crate) fn closed() -> Self {
        StoreError::Unavailable { trouble: Trouble::Closed, cause: None }
    }

    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        StoreError::Damaged { what: what.into(), cause: None }
    }

    pub(crate) fn defect(doing: &'static str) -> Self {
        StoreError::Defect { doing, cause: None }
    }

    pub(crate) fn io(cause: std::io::Error) -> Self {
        StoreError::Unavailable { trouble: Trouble::of_io(&cause), cause: Some(Arc::new(cause)) }
    }

    /// Whether the same call can be made again as it is.
    pub fn is_passing(&self) -> bool {
        matches!(self, StoreError::Unavailable { .. })
    }
}

/// Why the storage cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// Another program holds the database.
    Locked,
    /// The disk is full, or the quota is used up.
    Full,
    /// It may not be written.
    ReadOnly,
    /// The file is not there or may not be opened.
    CannotOpen,
    /// The disk or the system failed.
    Io,
    /// The database server cannot be reached, or its connection broke.
    Unreachable,
    /// The connection to the database server broke during a commit: whether it held is not known yet.
    Unanswered,
    /// The database server does not let the service in.
    NotAdmitted,
    /// A later version has changed the database, so that this one may not write any more.
    Outdated,
    /// Another node has rotated the master key, and this one was away too long to follow.
    KeyChanged,
    /// The database server has lost commits that it had answered, and they are not put right yet.
    Behind,
    /// More calls wait than are let in.
    Overloaded,
    /// The store has been closed.
    Closed,
}

impl Trouble {
    /// The kind, as one word for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Trouble::Locked => "locked",
            Trouble::Full => "full",
            Trouble::ReadOnly => "read_only",
            Trouble::CannotOpen => "cannot_open",
            Trouble::Io => "io",
            Trouble::Unreachable => "unreachable",
            Trouble::Unanswered => "unanswered",
            Trouble::NotAdmitted => "not_admitted",
            Trouble::Outdated => "outdated",
            Trouble::KeyChanged => "key_changed",
            Trouble::Behind => "behind",
            Trouble::Overloaded => "overloaded",
            Trouble::Closed => "closed",
        }
    }

    /// What became of the call.
    const fn kept(self) -> &'static str {
        match self {
            Trouble::Unanswered => "Whether this call changed anything is not known",
            _ => "Nothing was changed by this call",
        }
    }

    /// What the operator should do.
    pub const fn remedy(self) -> &'static str {
        match self {
            Trouble::Locked => {
                "it is tried again; if it lasts, find the other program that holds a lock in the database"
            }
            Trouble::Full => "free space on the disk of the data folder, or of the database server",
            Trouble::ReadOnly => "make the data folder, or the database, writable for the user that runs the service",
            Trouble::CannotOpen => "see that the data folder is there and belongs to the user that runs the service",
            Trouble::Io => "look at the disk and at the system's log",
            Trouble::Unreachable => "see that the database server runs and that it can be reached from here",
            Trouble::Unanswered => "see that the database server runs and that it can be reached from here",
            Trouble::NotAdmitted => "look at user, password and database in `database_url`, and at the server's log",
            Trouble::Outdated => "replace this process by the later version, as the other nodes",
            Trouble::KeyChanged => "give this node the new master key and start it again",
            Trouble::Behind => "wait a moment: it is put right from the journal; then look at the server's replication",
            Trouble::Overloaded => "wait a moment; if it lasts, the disk is too slow for the load",
            Trouble::Closed => "the service is stopping",
        }
    }

    pub(crate) fn of_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Trouble::Full,
            ErrorKind::ReadOnlyFilesystem => Trouble::ReadOnly,
            ErrorKind::PermissionDenied | ErrorKind::NotFound => Trouble::CannotOpen,
            _ => Trouble::Io,
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Trouble::Locked => "the database is locked",
            Trouble::Full => "the disk is full",
            Trouble::ReadOnly => "it may not be written",
            Trouble::CannotOpen => "a file of the data folder cannot be opened",
            Trouble::Io => "the disk or the system failed",
            Trouble::Unreachable => "the database server cannot be reached",
            Trouble::Unanswered => "the database server did not answer a commit",
            Trouble::NotAdmitted => "the database server refuses the service",
            Trouble::Outdated => "a later version has changed it, and this one may not write any more",
            Trouble::KeyChanged => "the master key was rotated by another node while this one was away",
            Trouble::Behind => "the database has lost its last commits",
            Trouble::Overloaded => "too many calls wait for it",
            Trouble::Closed => "it has been closed",
        })
    }
}

/// Why the store cannot be opened. In every case nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process works on the data folder.
    #[error(
        "the data folder {folder} is in use by another process (it holds {lock}). Stop that one, or set another \
         `data_dir`; do not remove the lock by hand", folder = folder.display(), lock = lock.display()
    )]
    InUse {
        /// The data folder.
        folder: PathBuf,
        /// The lock file.
        lock: PathBuf,
    },
    /// The key does not open what was sealed.
    #[error(
        "the master key (fingerprint {given}) is not the one that {database} was sealed with (fingerprint {expected}). \
         Give the right key; nothing was changed"
    )]
    WrongMasterKey {
        /// The database.
        database: String,
        /// The fingerprint of the key that was given.
        given: String,
        /// The fingerprint of the key that is right.
        expected: String,
    },
    /// A key of the ring or the canary was changed outside the service.
    #[error(
        "the key ring in {database} is damaged ({what}). The master key is right; restore the database from a backup. \
         Nothing was changed"
    )]
    KeyRingDamaged {
        /// The database.
        database: String,
        /// What does not fit.
        what: String,
    },
    /// A later version of the service has written here.
    #[error(
        "{database} was written by a later version (schema {found}, this binary knows up to {known}). Run that version; \
         nothing was changed"
    )]
    SchemaNewer {
        /// The database.
        database: String,
        /// The schema that was found.
        found: u32,
        /// The newest schema that this binary knows.
        known: u32,
    },
    /// The file is something else, or damaged.
    #[error(
        "{database} is not a database of this service, or it is damaged: {what}. Restore it from a backup, or set \
         another `database_url`; nothing was changed"
    )]
    NotOurs {
        /// The file.
        database: String,
        /// What is wrong with it.
        what: String,
    },
    /// There is a journal, but its database is gone.
    #[error(
        "the database {database} is missing, but its journal is there ({journal}). Put the database back, or say where it \
         is; to begin anew, move the whole data folder away. Nothing was changed",
        journal = journal.display()
    )]
    DatabaseMissing {
        /// Where the database should be.
        database: String,
        /// The journal's folder.
        journal: PathBuf,
    },
    /// The server cannot be trusted to keep what it has answered, or is too old.
    #[error("the database {database} cannot be trusted with tokens: {what}. Nothing was changed")]
    UnfitServer {
        /// The database.
        database: String,
        /// What is wrong.
        what: String,
    },
    /// The journal belongs to another installation.
    #[error(
        "the journal in {folder} belongs to installation {found}, the database to {expected}. Put back the folder that \
         belongs to this database; nothing was changed", folder = folder.display()
    )]
    ForeignJournal {
        /// The journal's folder.
        folder: PathBuf,
        /// Whose journal it is.
        found: InstallationId,
        /// Whose it should be.
        expected: InstallationId,
    },
    /// The database file lies on a network file system, where locks and durability can't be trusted.
    #[error(
        "the data folder {folder} is on a network file system ({kind}), where a crash can damage the database. Set \
         `data_dir` to a local disk", folder = folder.display()
    )]
    NetworkFileSystem {
        /// The folder.
        folder: PathBuf,
        /// Which.
        kind: &'static str,
    },
    /// The SQLite library has a known defect or a setting that is needed did not hold.
    #[error("this build of SQLite cannot be trusted with tokens: {what}")]
    Unfit {
        /// What is wrong.
        what: String,
    },
    /// The disk or the system refused.
    #[error("{what} cannot be used: {trouble}; {}", trouble.remedy())]
    Unavailable {
        /// The file or folder.
        what: String,
        /// What kind of trouble.
        trouble: Trouble,
        /// What the system said.
        #[source]
        cause: Option<Cause>,
    },
    /// Anything else of the store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OpenError {
    pub(crate) fn io(what: impl Into<String>, cause: std::io::Error) -> Self {
        let trouble = Trouble::of_io(&cause);
        OpenError::Unavailable { what: what.into(), trouble, cause: Some(Arc::new(cause)) }
    }
}
