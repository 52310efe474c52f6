//! The connection that writes and those that read, whichever database it is.

use std::time::Duration;

use super::postgres::{Node, Session};
use super::sql::Sql;
use super::sqlite::trouble;
use super::turn::Turn;
use crate::error::{StoreError, Trouble};

/// A sign of life at least so often.
const BEAT: Duration = Duration::from_secs(5);

/// The connection that writes.
pub(crate) enum Base {
    Sqlite(rusqlite::Connection),
    Postgres(Box<Node>),
}

/// What became of a commit.
pub(crate) enum Commit {
    Held,
    Failed(StoreError),
    /// The connection ended before it was answered.
    Unknown,
}

impl Base {
    pub fn sql(&self) -> Sql<'_> {
        match self {
            Base::Sqlite(raw) => Sql::Sqlite(raw),
            Base::Postgres(node) => Sql::Postgres(node.session()),
        }
    }

    /// Begins a group of writes; on a server it waits for its turn.
    pub fn begin(&mut self) -> Result<Option<Turn>, StoreError> {
        match self {
            Base::Sqlite(raw) => raw.execute_batch("BEGIN IMMEDIATE").map(|()| None).map_err(trouble),
            Base::Postgres(node) => node.begin().map(Some),
        }
    }

    /// `SAVEPOINT one`, or what goes back to it or ends it.
    pub fn mark(&self, text: &'static str) -> Result<(), StoreError> {
        match self {
            Base::Sqlite(raw) => {
                raw.prepare_cached(text).and_then(|mut mark| mark.execute([])).map(drop).map_err(trouble)
            }
            Base::Postgres(node) => node.session().batch(text),
        }
    }

    /// Whether the whole group is gone, or would be if a use that says that it went well stayed in it.
    pub fn lost_group(&self, stays: bool) -> Option<StoreError> {
        match self {
            // A full disk or a failing one makes SQLite roll back the whole transaction by itself.
            Base::Sqlite(raw) if raw.is_autocommit() => {
                Some(StoreError::Unavailable { trouble: Trouble::Io, cause: None })
            }
            Base::Postgres(node) if node.session().is_cut() => {
                Some(StoreError::Unavailable { trouble: Trouble::Unreachable, cause: None })
            }
            // The server takes nothing more of a use in which a statement failed, so it cannot have gone well.
            Base::Postgres(node) if stays && node.session().has_failed() => {
                Some(StoreError::defect("running a use that passed over an error of the database"))
            }
            _ => None,
        }
    }

    pub fn commit(&self) -> Commit {
        let done = match self {
            Base::Sqlite(raw) => raw.execute_batch("COMMIT").map_err(trouble),
            Base::Postgres(node) => node.session().batch("COMMIT"),
        };
        match (self, done) {
            (Base::Postgres(node), Ok(())) => {
                node.keep();
                Commit::Held
            }
            (_, Ok(())) => Commit::Held,
            (Base::Postgres(node), Err(_)) if node.session().is_cut() => Commit::Unknown,
            (_, Err(error)) => Commit::Failed(error),
        }
    }

    /// Whether a commit of unknown outcome held.
    pub fn has_committed(&self) -> Result<bool, StoreError> {
        match self {
            Base::Sqlite(_) => Ok(false),
            Base::Postgres(node) => node.has_committed(),
        }
    }

    /// How long it is not worth while to ask again.
    pub fn pause(&self) -> Option<Duration> {
        match self {
            Base::Sqlite(_) => None,
            Base::Postgres(node) => node.session().pause(),
        }
    }

    /// Nothing may stay open of a group that failed.
    pub fn roll_back(&self) {
        match self {
            // Nothing is open any more after most errors; where something is, it must not leak into the next group.
            Base::Sqlite(raw) => drop(raw.execute_batch("ROLLBACK")),
            Base::Postgres(node) => node.session().roll_back(),
        }
    }

    /// How often a sign of life is due when there is nothing to write.
    pub fn rhythm(&self) -> Option<Duration> {
        match self {
            Base::Sqlite(_) => None,
            Base::Postgres(_) => Some(BEAT),
        }
    }

    /// Gives a sign of life.
    pub fn beat(&self) -> Result<(), StoreError> {
        match self {
            Base::Sqlite(_) => Ok(()),
            Base::Postgres(node) => node.beat(),
        }
    }

    /// Wakes the other nodes, which have been told something.
    pub fn call(&self) {
        if let Base::Postgres(node) = self {
            node.call();
        }
    }

    /// Puts SQLite's log into the file and empties it. PostgreSQL keeps its log by its own rules.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        let Base::Sqlite(raw) = self else { return Ok(()) };
        let busy = raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        match busy.map_err(trouble)? {
            0 => Ok(()),
            _ => Err(StoreError::Unavailable { trouble: Trouble::Locked, cause: None }),
        }
    }

    pub fn end(self) {
        let Base::Sqlite(raw) = self else { return };
        // The write-ahead log is put into the database, so that a copy of one file is a whole backup.
        let _ = raw.execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE)");
        if let Err((_, error)) = raw.close() {
            tracing::warn!(%error, "the database did not close cleanly; it will be recovered at the next start");
        }
    }
}

/// A connection that reads.
pub(crate) enum Reader {
    Sqlite(rusqlite::Connection),
    Postgres(Box<Session>),
}

impl Reader {
    pub fn sql(&self) -> Sql<'_> {
        match self {
            Reader::Sqlite(raw) => Sql::Sqlite(raw),
            Reader::Postgres(session) => Sql::Postgres(session),
        }
    }

    /// Begins a snapshot that sees every commit that was answered before; says which data key is the newest in it, where
    /// others may make one.
    pub fn begin(&self) -> Result<Option<u32>, StoreError> {
        match self {
            Reader::Sqlite(raw) => {
                raw.prepare_cached("BEGIN").and_then(|mut begin| begin.execute([])).map(|_| None).map_err(trouble)
            }
            Reader::Postgres(session) => session.begin_reading().map(Some),
        }
    }

    /// After a read that failed: begins anew where the server takes nothing more from the others.
    pub fn mend(&self) -> Result<(), StoreError> {
        match self {
            Reader::Postgres(session) if session.has_failed() => {
                session.roll_back();
                self.begin().map(drop)
            }
            _ => Ok(()),
        }
    }

    pub fn end(&self) {
        match self {
            Reader::Sqlite(raw) => drop(raw.prepare_cached("COMMIT").and_then(|mut end| end.execute([]))),
            Reader::Postgres(session) => session.roll_back(),
        }
    }
}
