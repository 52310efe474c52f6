//! What is thrown away by its age. Never a token: grants end by a newer grant or on purpose only.

use std::time::Duration;

use evergrant_core::time::Timestamp;

use crate::db::values;
use crate::deliveries;
use crate::error::StoreError;
use crate::refresh;
use crate::shared::Tx;
use crate::store::Store;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// For so long (milliseconds) a node that was away need not read everything anew.
const TOLD: i64 = 10 * 60 * 1000;
/// Nodes that have been silent for so long (milliseconds) are forgotten.
const NODES: i64 = 3600 * 1000;
/// For so long a node that lives through a rotation of the master key can learn the new data key.
const HANDED: Duration = Duration::from_secs(600);
/// Rows of a kind that one call throws away at most, so that nobody waits long behind it.
const PART: usize = 2000;

/// How long what is kept for looking back is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Events.
    pub events: Duration,
    /// Notices that have been read.
    pub read_notices: Duration,
    /// Finished jobs.
    pub jobs: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { events: 30 * DAY, read_notices: 90 * DAY, jobs: 7 * DAY }
    }
}

impl Store {
    /// Throws away a part of what has ended; says how many rows. Call it again soon while that is not 0, else about once a
    /// minute: it also notes the head of the log of token reads.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn clean_up(&self, retention: Retention, now: Timestamp) -> Result<usize, StoreError> {
        self.note_reads_head(now).await?;
        self.write(move |tx, _| {
            let mut rows = refresh::clean(tx, now, PART)?;
            rows += ended_sessions(tx, now)?;
            rows += deliveries::clean(tx, now, PART)?;
            let old = |text, age| tx.run(text, values![now.minus(age), PART]);
            rows += old(
                "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE at < ?1 ORDER BY at LIMIT ?2)",
                retention.events,
            )?;
            rows += old(
                "DELETE FROM notices WHERE id IN (SELECT id FROM notices WHERE read_at IS NOT NULL AND read_at < ?1 LIMIT ?2)",
                retention.read_notices,
            )?;
            rows += old(
                "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE finished_at IS NOT NULL AND finished_at < ?1 LIMIT ?2)",
                retention.jobs,
            )?;
            rows += old(
                "DELETE FROM idempotency WHERE (caller, name) IN \
                 (SELECT caller, name FROM idempotency WHERE expires_at <= ?1 LIMIT ?2)",
                Duration::ZERO,
            )?;
            rows += tx.erase_told(TOLD, NODES, PART)?;
            tx.run("UPDATE data_keys SET handed = NULL WHERE handed IS NOT NULL AND created_at < ?1", values![now.minus(HANDED)])?;
            rows += tx.run("DELETE FROM outcomes WHERE hour < ?1", values![now.minus(2 * DAY)])?;
            Ok(rows)
        })
        .await
    }
}

/// Sessions are shown for a day after their end, so that a late callback finds what became of it.
fn ended_sessions(tx: &Tx<'_>, now: Timestamp) -> Result<usize, StoreError> {
    let states =
        "DELETE FROM oauth_states WHERE hash IN (SELECT hash FROM oauth_states WHERE expires_at <= ?1 LIMIT ?2)";
    let sessions = "DELETE FROM connect_sessions WHERE id IN (SELECT id FROM connect_sessions \
                    WHERE expires_at <= ?1 AND pending IS NULL LIMIT ?2)";
    Ok(tx.run(states, values![now, PART])? + tx.run(sessions, values![now.minus(DAY), PART])?)
}
