//! Attempts: one row for each sending, so that a commit whose outcome is unknown can be read back.

use evergrant_core::id::{AttemptId, ConnectionId, IntegrationName, NodeId};
use evergrant_core::outcome::Class;
use evergrant_core::time::Timestamp;

use super::RefreshedFrom;
use crate::db::{Row, values};
use crate::error::StoreError;
use crate::shared::Tx;
use crate::store::Store;

const HOUR: i64 = 3_600_000;

/// An attempt as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// Its id.
    pub id: AttemptId,
    /// Whose refresh token was sent.
    pub connection: ConnectionId,
    /// Of which generation.
    pub generation: u64,
    /// When the latest request was about to leave.
    pub sending_at: Timestamp,
    /// How it ended; none: nobody has written it down.
    pub end: Option<AttemptEnd>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptEnd {
    /// When it was written down.
    pub at: Timestamp,
    /// Its class, in the words of [`Class`].
    pub class: String,
    /// What the provider said, scrubbed.
    pub detail: String,
    /// What the commit did.
    pub result: AttemptResult,
}

/// What a commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptResult {
    /// The grant was stored.
    Stored,
    /// It was kept as a spare.
    Superseded,
    /// The connection had been ended.
    Disconnected,
    /// A life without a new grant was stored, or would have been if the grant had not changed.
    Verdict,
}

impl AttemptResult {
    const fn as_str(self) -> &'static str {
        match self {
            AttemptResult::Stored => "stored",
            AttemptResult::Superseded => "superseded",
            AttemptResult::Disconnected => "disconnected",
            AttemptResult::Verdict => "verdict",
        }
    }

    fn read(word: &str) -> Result<Self, StoreError> {
        let all = [Self::Stored, Self::Superseded, Self::Disconnected, Self::Verdict];
        let found = all.into_iter().find(|result| result.as_str() == word);
        found.ok_or_else(|| StoreError::damaged("the result of an attempt"))
    }
}

impl Store {
    /// What is known of an attempt; none if it never came to sending, or was long ago.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn attempt_outcome(&self, id: &AttemptId) -> Result<Option<AttemptRecord>, StoreError> {
        let id = id.clone();
        self.read(move |sql, _| {
            let text = "SELECT id, connection_id, generation, sending_at, ended_at, class, detail, result \
                        FROM attempts WHERE id = ?1";
            sql.one(text, values![id], read)
        })
        .await
    }
}

fn read(row: &Row<'_>) -> Result<AttemptRecord, StoreError> {
    let end = match row.opt_time(4)? {
        None => None,
        Some(at) => Some(AttemptEnd {
            at,
            class: row.text(5)?,
            detail: row.text(6)?,
            result: AttemptResult::read(&row.text(7)?)?,
        }),
    };
    let (connection, generation) = (row.parse(1)?, row.count(2)?);
    Ok(AttemptRecord { id: row.parse(0)?, connection, generation, sending_at: row.time(3)?, end })
}

/// A request is about to leave, perhaps not the first of its attempt.
pub(super) fn begin(
    tx: &Tx<'_>,
    id: &AttemptId,
    from: &RefreshedFrom,
    integration: &IntegrationName,
    node: &NodeId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let text = "INSERT INTO attempts (id, connection_id, integration, node, generation, sending_at) \
                VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO UPDATE SET sending_at = excluded.sending_at";
    tx.run_one("attempts", text, values![id, from.connection, integration, node, from.generation, now])
}

/// The integration that an attempt went through, also after its connection is gone.
pub(super) fn integration(tx: &Tx<'_>, id: &AttemptId) -> Result<Option<IntegrationName>, StoreError> {
    let text = "SELECT integration FROM attempts WHERE id = ?1 AND integration IS NOT NULL";
    tx.one(text, values![id], |row| row.parse(0))
}

/// How an attempt ended.
pub(super) struct End<'a> {
    pub class: Class,
    pub detail: &'a str,
    pub result: AttemptResult,
}

/// Also where the beginning is missing: a database that has lost its last seconds is put right from the journal.
pub(super) fn end(
    tx: &Tx<'_>,
    id: &AttemptId,
    from: &RefreshedFrom,
    node: &NodeId,
    end: &End<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let text = "INSERT INTO attempts (id, connection_id, node, generation, sending_at, ended_at, class, detail, result) \
                VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO UPDATE SET \
                ended_at = excluded.ended_at, class = excluded.class, detail = excluded.detail, result = excluded.result";
    let (class, result) = (end.class.as_str(), end.result.as_str());
    tx.run_one("attempts", text, values![id, from.connection, node, from.generation, now, class, end.detail, result])
}

/// What an attempt's commit did, if it happened.
pub(super) fn result(tx: &Tx<'_>, id: &AttemptId) -> Result<Option<AttemptResult>, StoreError> {
    let text = "SELECT result FROM attempts WHERE id = ?1";
    match tx.one(text, values![id], |row| row.opt_text(0))?.flatten() {
        Some(word) => AttemptResult::read(&word).map(Some),
        None => Ok(None),
    }
}

/// Counts an outcome in its hour, for statistics that read no attempts.
pub(super) fn count(
    tx: &Tx<'_>,
    integration: &IntegrationName,
    class: Class,
    now: Timestamp,
) -> Result<(), StoreError> {
    let hour = now.as_millis().div_euclid(HOUR) * HOUR;
    let text = "INSERT INTO outcomes (hour, integration, class, count) VALUES (?1, ?2, ?3, 1) \
                ON CONFLICT (hour, integration, class) DO UPDATE SET count = outcomes.count + 1";
    tx.run_one("outcomes", text, values![hour, integration, class.as_str()])
}

/// Forgets attempts that ended before `before`, or that began before and never ended, a part at a time.
pub(super) fn clean(tx: &Tx<'_>, before: Timestamp, most: usize) -> Result<usize, StoreError> {
    let text =
        "DELETE FROM attempts WHERE id IN (SELECT id FROM attempts WHERE COALESCE(ended_at, sending_at) < ?1 LIMIT ?2)";
    tx.run(text, values![before, most])
}
