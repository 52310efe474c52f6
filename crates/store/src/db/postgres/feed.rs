//! What other nodes have committed, behind a position: read in one statement, woken by a call or by the time.

use std::time::Duration;

use evergrant_core::time::Timestamp;

use super::super::{Look, Sql, Told, values};
use super::node::clock;
use super::session::Session;
use crate::error::StoreError;

/// So many groups are read at once.
const MOST: usize = 1000;
/// A node that gave no sign for so long does not count: in milliseconds of the database's clock.
const SILENT: i64 = 60_000;

impl Session {
    /// Tells the other nodes what a turn changes, in its transaction.
    pub fn tell(&self, turn: u64, node: &str, document: &str) -> Result<(), StoreError> {
        let text = concat!("INSERT INTO changes (seq, node, document, at) VALUES (?1, ?2, ?3, ", clock!(), ")");
        self.run(text, values![turn, node, document]).map(drop)
    }

    /// The nodes that gave a sign of life lately.
    pub fn living(&self) -> Result<Vec<String>, StoreError> {
        let rows = self.rows(concat!("SELECT id FROM nodes WHERE beat_at > ", clock!(), " - ?1"), values![SILENT])?;
        Ok(rows.iter().filter_map(|row| row.try_get(0).ok()).collect())
    }

    /// Forgets, of what was told, what is older than `age` milliseconds, and nodes that have been silent for `silent`; a part
    /// at a time. Whoever has not heard it yet must read everything anew.
    pub fn erase_told(&self, age: i64, silent: i64, most: usize) -> Result<usize, StoreError> {
        let text = concat!(
            "WITH gone AS (DELETE FROM changes WHERE seq IN (SELECT seq FROM changes WHERE at < ",
            clock!(),
            " - ?1 ORDER BY seq LIMIT ?2) RETURNING seq) SELECT COUNT(*), COALESCE(MAX(seq), 0) FROM gone"
        );
        let rows = self.rows(text, values![age, most])?;
        let number = |at| rows.first().and_then(|row| row.try_get::<_, i64>(at).ok()).unwrap_or_default();
        let (count, last) = (number(0), number(1));
        self.run("UPDATE turn SET erased = ?1 WHERE one = 1 AND erased < ?1", values![last])?;
        self.run(concat!("DELETE FROM nodes WHERE beat_at < ", clock!(), " - ?1"), values![silent])?;
        Ok(usize::try_from(count).unwrap_or_default())
    }
}

/// The connection on which a node hears what others have committed.
pub(crate) struct Listener(Session);

impl Listener {
    pub fn new(session: Session) -> Self {
        Listener(session)
    }

    /// Reads one snapshot.
    pub fn read<T>(&self, work: impl FnOnce(&Sql<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.0.snapshot(|session| work(&Sql::Postgres(session)))
    }

    /// What was committed behind `position`, by whom. All of it is one snapshot: groups are serial, so nothing of a lower
    /// number can come later.
    pub fn look(&self, position: u64) -> Result<Look, StoreError> {
        self.0.ready()?;
        let text = concat!(
            "SELECT turn.seq, turn.erased, turn.keys, ",
            clock!(),
            ", (SELECT COUNT(*) FROM nodes WHERE beat_at > ",
            clock!(),
            " - ?3), changes.seq, changes.node, changes.document FROM turn LEFT JOIN changes ON changes.seq > ?1 \
             WHERE turn.one = 1 ORDER BY changes.seq LIMIT ?2"
        );
        let rows = self.0.rows(text, values![position, MOST, SILENT])?;
        let odd = || StoreError::damaged("the rows of `changes`");
        let first = rows.first().ok_or_else(odd)?;
        let number = |at: usize| first.try_get::<_, i64>(at).map_err(|_| odd());
        let count = |at: usize| number(at).map(|number| u64::try_from(number).unwrap_or_default());
        let mut told = Vec::new();
        for row in &rows {
            let Ok(Some(seq)) = row.try_get::<_, Option<i64>>(5) else { continue };
            let (node, document) = (row.try_get(6).map_err(|_| odd())?, row.try_get(7).map_err(|_| odd())?);
            told.push(Told { seq: u64::try_from(seq).map_err(|_| odd())?, node, document });
        }
        let more = rows.len() == MOST;
        let seq = if more { told.last().map_or(position, |last| last.seq) } else { count(0)? };
        Ok(Look {
            seq,
            behind: count(1)? > position,
            keys: u32::try_from(count(2)?).unwrap_or_default(),
            clock: Timestamp::from_millis(number(3)?),
            nodes: u32::try_from(count(4)?).unwrap_or(1).max(1),
            told,
            more,
        })
    }

    /// Waits for a call, at most so long.
    pub fn listen(&self, patience: Duration) {
        if !self.0.heard(patience) {
            std::thread::park_timeout(patience);
        }
    }
}
