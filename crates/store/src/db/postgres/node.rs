//! One of the processes that work on a database, and its turns.
//!
//! Groups of writes of all nodes are serial: each begins by counting the one row of `turn`, which is locked until it ends.
//! So every use sees what all others have committed, as if one process wrote. The node's own row gets the number of the
//! group, and tells after a connection that broke during a commit whether that commit held. Time is the database's alone.

use std::cell::Cell;

use evergrant_core::time::Timestamp;

use super::super::{SCHEMA, Turn, values};
use super::session::{Role, Session};
use crate::error::{StoreError, Trouble};

/// How often a turn that could not be had is asked for again.
const TRIES: usize = 3;

/// The clock of the database, in milliseconds.
macro_rules! clock {
    () => {
        "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint"
    };
}
pub(super) use clock;

/// The tables that there are before the first step of the schema: `turn` says whose the database is, which schema it has
/// and the oldest one that may still write; `changes` tells every node what the others have committed.
pub(super) const TABLES: &str = "CREATE TABLE IF NOT EXISTS turn (one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1), \
     schema BIGINT NOT NULL, writes_from BIGINT NOT NULL, seq BIGINT NOT NULL, erased BIGINT NOT NULL, \
     keys BIGINT NOT NULL); \
     CREATE TABLE IF NOT EXISTS nodes (id TEXT COLLATE \"C\" NOT NULL PRIMARY KEY, place TEXT COLLATE \"C\" NOT NULL, \
     schema BIGINT NOT NULL, written BIGINT NOT NULL, beat_at BIGINT NOT NULL); \
     CREATE TABLE IF NOT EXISTS changes (seq BIGINT NOT NULL PRIMARY KEY, node TEXT COLLATE \"C\" NOT NULL, \
     document TEXT COLLATE \"C\" NOT NULL, at BIGINT NOT NULL); \
     CREATE INDEX IF NOT EXISTS changes_age ON changes (at); \
     INSERT INTO turn (one, schema, writes_from, seq, erased, keys) VALUES (1, 0, 0, 0, 0, 0) ON CONFLICT (one) DO NOTHING";

/// A node, and the connection on which it writes.
pub(crate) struct Node {
    session: Session,
    id: String,
    place: String,
    /// Whether leases go by the database's clock; else by what the caller says.
    rules: bool,
    /// The number of the last group that was begun.
    begun: u64,
    /// The number of the last group that the server has answered as committed.
    kept: Cell<u64>,
}

impl Node {
    /// `place` is the data folder: whoever holds that folder knows that a former process on it has ended.
    pub fn new(session: Session, place: &str, id: &str, rules: bool) -> Self {
        Node { session, id: id.to_owned(), place: place.to_owned(), rules, begun: 0, kept: Cell::new(0) }
    }

    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Another connection to the same server.
    pub fn another(&self, role: Role) -> Session {
        Session::new(self.session.server().clone(), role)
    }

    /// Begins a group of writes: waits for the turn and takes it. Where the turn could not be had, nothing has been done yet,
    /// and it is asked for again.
    pub fn begin(&mut self) -> Result<Turn, StoreError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.take() {
                Err(StoreError::Unavailable { trouble: Trouble::Locked | Trouble::Unreachable, .. })
                    if tries < TRIES =>
                {
                    self.session.roll_back();
                }
                other => return other,
            }
        }
    }

    fn take(&mut self) -> Result<Turn, StoreError> {
        self.session.begin("BEGIN")?;
        let text = concat!(
            "UPDATE turn SET seq = seq + 1 WHERE one = 1 RETURNING seq, writes_from, keys, ",
            clock!(),
            " AS clock"
        );
        let rows = self.session.rows(text, &[])?;
        let row = rows.first().ok_or_else(odd)?;
        let number = |at: usize| row.try_get::<_, i64>(at).map_err(|_| odd());
        let (seq, from, keys, clock) = (number(0)?, number(1)?, number(2)?, number(3)?);
        if from > i64::from(SCHEMA) {
            return Err(StoreError::Unavailable { trouble: Trouble::Outdated, cause: None });
        }
        let text = "INSERT INTO nodes (id, place, schema, written, beat_at) VALUES (?1, ?2, ?3, ?4, ?5) \
                    ON CONFLICT (id) DO UPDATE SET written = excluded.written, beat_at = excluded.beat_at";
        self.session.run(text, values![self.id, self.place, SCHEMA, seq, clock])?;
        let seq = u64::try_from(seq).map_err(|_| odd())?;
        self.session.server().compare(seq - 1, &self.kept);
        self.begun = seq;
        let clock = self.rules.then(|| Timestamp::from_millis(clock));
        Ok(Turn { seq, clock, keys: u32::try_from(keys).unwrap_or_default() })
    }

    /// The last group that was begun has been committed.
    pub fn keep(&self) {
        self.kept.set(self.begun);
    }

    /// A group of writes while opening.
    pub fn enter<T>(&mut self, work: impl FnOnce(&Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let entered = self.begin().and_then(|_| work(self));
        let entered = entered.and_then(|worked| self.session.batch("COMMIT").map(|()| worked));
        if entered.is_err() {
            self.session.roll_back();
        }
        entered
    }

    /// Whether the last group that was begun has been committed. Waits for a transaction of the broken connection that
    /// the server has not ended yet: that one holds the turn.
    pub fn has_committed(&self) -> Result<bool, StoreError> {
        self.session.begin("BEGIN")?;
        let found = self.session.rows("SELECT seq FROM turn WHERE one = 1 FOR UPDATE", &[]).and_then(|turn| {
            let own = self.session.rows("SELECT written FROM nodes WHERE id = ?1", values![self.id])?;
            Ok((turn, own))
        });
        self.session.roll_back();
        let (turn, found) = found?;
        if let Some(counted) = turn.first().and_then(|row| row.try_get::<_, i64>(0).ok()) {
            self.session.server().compare(u64::try_from(counted).unwrap_or_default(), &self.kept);
        }
        let written = found.first().and_then(|row| row.try_get::<_, i64>(0).ok());
        let held = written.and_then(|written| u64::try_from(written).ok()) == Some(self.begun);
        if held {
            self.keep();
        }
        Ok(held)
    }

    /// A sign of life, without a turn.
    pub fn beat(&self) -> Result<(), StoreError> {
        self.session.ready()?;
        let text = concat!("UPDATE nodes SET beat_at = ", clock!(), " WHERE id = ?1");
        self.session.run(text, values![self.id]).map(drop)
    }

    /// Nodes that worked on the same data folder before: they have ended, because this one holds the folder.
    pub fn former(&self) -> Result<Vec<String>, StoreError> {
        let text = "SELECT id FROM nodes WHERE place = ?1 AND id <> ?2";
        let rows = self.session.rows(text, values![self.place, self.id])?;
        Ok(rows.iter().filter_map(|row| row.try_get(0).ok()).collect())
    }

    /// Wakes those who listen. Who does not hear it looks by himself soon.
    pub fn call(&self) {
        if let Err(error) = self.session.batch("SELECT pg_notify(left('evergrant ' || current_schema(), 60), '')") {
            tracing::debug!(%error, "the other nodes were not called; they look by themselves");
        }
    }
}

fn odd() -> StoreError {
    StoreError::damaged("the row of `turn`")
}
