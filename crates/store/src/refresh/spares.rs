//! Spares: answers that lost the race, kept sealed and tried once before a later verdict.

use std::time::Duration;

use evergrant_core::connection::Life;
use evergrant_core::grant::{Grant, GrantFacts};
use evergrant_core::id::{AttemptId, ConnectionId};
use evergrant_core::time::Timestamp;

use super::{RefreshedFrom, SuccessCommit};
use crate::db::{Sql, values};
use crate::error::StoreError;
use crate::record::{Durable, SealedGrant};
use crate::row::json;
use crate::shared::{Shared, Tx};
use crate::store::Store;

/// How long a spare is kept.
const KEPT: Duration = Duration::from_secs(72 * 3600);

/// Names a spare: the attempt that brought it.
pub type SpareId = AttemptId;

/// An answer that lost the race.
#[derive(Clone, Debug)]
pub struct Spare {
    /// Its name.
    pub id: SpareId,
    /// The tokens.
    pub grant: Durable<Grant>,
    /// What is known of them, if the caller said.
    pub facts: Option<GrantFacts>,
    /// When it was kept.
    pub created_at: Timestamp,
}

impl Store {
    /// A connection's spares, newest first. One that does not open is left out and logged.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn spares(&self, connection: &ConnectionId) -> Result<Vec<Spare>, StoreError> {
        let id = connection.clone();
        let found = self
            .read(move |sql, _| {
                let text = "SELECT id, facts, created_at, generation, token_type, access_token, refresh_token \
                            FROM spares WHERE connection_id = ?1 ORDER BY created_at DESC";
                sql.all(text, values![id], |row| {
                    let id: SpareId = row.parse(0)?;
                    let sealed =
                        SealedGrant::read(row, 3)?.ok_or_else(|| StoreError::damaged("a spare without tokens"));
                    Ok((id, row.json::<Option<GrantFacts>>(1)?, row.time(2)?, sealed?))
                })
            })
            .await?;
        let opened = found.into_iter().filter_map(|(id, facts, created_at, sealed)| {
            match sealed.open(&self.shared.ring, "spares", id.as_str()) {
                Ok(grant) => Some(Spare { id, grant: Durable::committed(grant), facts, created_at }),
                Err(error) => {
                    tracing::error!(%error, "a spare does not open and is passed over");
                    None
                }
            }
        });
        Ok(opened.collect())
    }

    /// Forgets a spare that was tried; false if it was gone.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn drop_spare(&self, id: &SpareId) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write(move |tx, _| Ok(tx.run("DELETE FROM spares WHERE id = ?1", values![id])? == 1)).await
    }
}

pub(super) fn count(sql: &Sql<'_>, connection: &ConnectionId) -> Result<u64, StoreError> {
    let text = "SELECT COUNT(*) FROM spares WHERE connection_id = ?1";
    Ok(sql.one(text, values![connection], |row| row.count(0))?.unwrap_or(0))
}

pub(super) fn keep(
    tx: &Tx<'_>,
    shared: &Shared,
    from: &RefreshedFrom,
    commit: &SuccessCommit,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (id, generation) = (&commit.attempt, from.generation + 1);
    let sealed = SealedGrant::seal(&shared.ring, "spares", id.as_str(), generation, &commit.grant)?;
    let text = "INSERT INTO spares (id, connection_id, generation, token_type, access_token, refresh_token, facts, \
                created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO NOTHING";
    let Life { grant: facts, .. } = &commit.life;
    let facts = json(facts)?;
    let tokens = (&sealed.access_token, &sealed.refresh_token);
    let all = values![id, from.connection, generation, sealed.token_type, tokens.0, tokens.1, facts, now];
    tx.run(text, all).map(drop)
}

/// Forgets spares that are too old, a part at a time.
pub(super) fn clean(tx: &Tx<'_>, now: Timestamp, most: usize) -> Result<usize, StoreError> {
    let text = "DELETE FROM spares WHERE id IN (SELECT id FROM spares WHERE created_at < ?1 LIMIT ?2)";
    tx.run(text, values![now.minus(KEPT), most])
}
