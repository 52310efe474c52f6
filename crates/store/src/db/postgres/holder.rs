//! Who works on the database: one process at a time.
//!
//! The row is written in each group of writes, and every few seconds when there is nothing to write. Its epoch is a fence:
//! once another process has taken over, no group of the former one commits. Its number of groups tells, after a connection
//! that broke during a commit, whether that commit held. Time is the database's alone.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::values;
use super::session::Session;
use crate::error::{OpenError, StoreError, Trouble};

/// A sign of life at least so often.
pub(crate) const BEAT: Duration = Duration::from_secs(5);
/// A holder that gave no sign for so long is taken to be dead. Longer than the answer to a request that it sent can take
/// (`sending` is over 150 s after it was written down), so that no refresh token is sent beside it.
const DEAD: i64 = 180_000;

/// The clock of the database, in milliseconds.
macro_rules! clock {
    () => {
        "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint"
    };
}

/// The table, made when the database is first looked at; it also holds the number of the schema.
pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS holder (one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1), \
     schema BIGINT NOT NULL, epoch BIGINT NOT NULL, written BIGINT NOT NULL, place TEXT COLLATE \"C\", \
     node TEXT COLLATE \"C\", beat_at BIGINT NOT NULL); \
     INSERT INTO holder (one, schema, epoch, written, beat_at) VALUES (1, 0, 0, 0, 0) ON CONFLICT (one) DO NOTHING";

/// The database, held.
pub(crate) struct Holder {
    session: Session,
    epoch: i64,
    /// The number of the last group that was begun.
    written: i64,
    /// The number of the last group that the server has answered as committed.
    kept: Cell<i64>,
}

impl Holder {
    /// Takes the database, if nobody else holds it. `place` is the data folder: whoever holds that folder knows that a
    /// former process on it has ended.
    pub fn take(session: Session, place: &str, node: &str) -> Result<Self, OpenError> {
        let text = concat!(
            "UPDATE holder SET place = ?1, node = ?2, epoch = epoch + 1, beat_at = ",
            clock!(),
            " WHERE one = 1 AND (place IS NULL OR place = ?1 OR beat_at <= ",
            clock!(),
            " - ?3) RETURNING epoch, written"
        );
        let taken = session.rows(text, values![place, node, DEAD])?;
        let Some(row) = taken.first() else { return Err(held(&session)) };
        let odd = |_| StoreError::damaged("the row of `holder`");
        let (epoch, written) = (row.try_get(0).map_err(odd)?, row.try_get(1).map_err(odd)?);
        Ok(Holder { session, epoch, written, kept: Cell::new(written) })
    }

    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Begins a group of writes; fails if another process has taken over.
    pub fn begin(&mut self) -> Result<(), StoreError> {
        self.session.begin("BEGIN")?;
        let text = concat!(
            "UPDATE holder SET written = written + 1, beat_at = ",
            clock!(),
            " WHERE one = 1 AND epoch = ?1 RETURNING written"
        );
        let rows = self.session.rows(text, values![self.epoch])?;
        self.written = self.first(&rows)?;
        self.compare(self.written - 1);
        Ok(())
    }

    /// The last group that was begun has been committed.
    pub fn keep(&self) {
        self.kept.set(self.written);
    }

    /// A server that counts fewer groups than it has answered has lost some: a standby took over that had not seen them,
    /// or its files were put back. Nothing is sent before that is put right.
    fn compare(&self, counted: i64) {
        if counted < self.kept.get() {
            self.kept.set(counted);
            self.session.server().behind.send_replace(true);
            tracing::error!(
                "the database has lost its last commits; it is put right from the journal, and nothing is sent meanwhile"
            );
        }
    }

    /// Whether the last group that was begun has been committed. Waits for a transaction of the broken connection that
    /// the server has not ended yet.
    pub fn has_committed(&self) -> Result<bool, StoreError> {
        self.session.ready()?;
        let rows = self
            .session
            .rows("SELECT written FROM holder WHERE one = 1 AND epoch = ?1 FOR UPDATE", values![self.epoch])?;
        let counted = self.first(&rows)?;
        self.compare(counted);
        if counted == self.written {
            self.keep();
        }
        Ok(counted == self.written)
    }

    /// A sign of life.
    pub fn beat(&self) -> Result<(), StoreError> {
        self.session.ready()?;
        let text = concat!("UPDATE holder SET beat_at = ", clock!(), " WHERE one = 1 AND epoch = ?1 RETURNING written");
        let rows = self.session.rows(text, values![self.epoch])?;
        self.first(&rows).map(|counted| self.compare(counted))
    }

    fn first(&self, rows: &[postgres::Row]) -> Result<i64, StoreError> {
        let Some(row) = rows.first() else {
            self.session.server().lost.store(true, Ordering::Relaxed);
            tracing::error!("another process has taken the database over; this one reads and writes nothing any more");
            return Err(StoreError::Unavailable { trouble: Trouble::TakenOver, cause: None });
        };
        row.try_get(0).map_err(|_| StoreError::damaged("the row of `holder`"))
    }
}

impl Drop for Holder {
    /// Lets go, so that the next one need not wait.
    fn drop(&mut self) {
        let text = "UPDATE holder SET place = NULL, node = NULL WHERE one = 1 AND epoch = ?1";
        if let Err(error) = self.session.ready().and_then(|()| self.session.run(text, values![self.epoch])) {
            tracing::warn!(%error, "the database could not be let go; from another data folder it can be taken in minutes");
        }
    }
}

fn held(session: &Session) -> OpenError {
    let text = concat!("SELECT node, ", clock!(), " - beat_at FROM holder WHERE one = 1");
    let (node, silent) = match session.rows(text, &[]) {
        Ok(rows) => rows.first().map_or((None, None), |row| (row.try_get(0).ok(), row.try_get::<_, i64>(1).ok())),
        Err(_) => (None, None),
    };
    let silent = u64::try_from(silent.unwrap_or_default()).unwrap_or_default() / 1000;
    OpenError::Held {
        database: session.server().to_string(),
        node: node.unwrap_or_else(|| "unknown".to_owned()),
        silent,
        dead: DEAD.unsigned_abs() / 1000,
    }
}
