//! What must still be told to others: grants to be revoked at their provider. Written in the transaction that ended
//! them, claimed one by one, tried again until told or given up by the caller.

use std::time::Duration;

use evergrant_core::grant::Grant;
use evergrant_core::id::{ConnectionId, IntegrationName};
use evergrant_core::secret::{AccessToken, RefreshToken};
use evergrant_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::db::values;
use crate::error::StoreError;
use crate::record::Durable;
use crate::row::json;
use crate::seal::{KeyRing, Place, SealedBytes, Wiped};
use crate::shared::{Shared, Tx};
use crate::store::Store;

/// Names something in the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OutboxId(String);

impl std::fmt::Display for OutboxId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A grant to be revoked at its provider.
#[derive(Clone, Debug)]
pub struct Revocation {
    /// Its name.
    pub id: OutboxId,
    /// The integration through which it was given.
    pub integration: IntegrationName,
    /// The connection that it belonged to.
    pub connection: Option<ConnectionId>,
    /// The tokens.
    pub grant: Durable<Grant>,
    /// How often it was tried before.
    pub tries: u64,
    /// When it was written.
    pub created_at: Timestamp,
}

/// Whose grant it was.
#[derive(Clone, Copy)]
pub(crate) struct Whose<'a> {
    pub integration: &'a IntegrationName,
    pub connection: Option<&'a ConnectionId>,
    /// For so long nobody else gets it.
    pub claimed: Duration,
}

#[derive(Serialize, Deserialize)]
struct Tokens {
    access_token: Option<Wiped>,
    refresh_token: Option<Wiped>,
    token_type: String,
}

struct Row {
    id: OutboxId,
    integration: IntegrationName,
    connection: Option<ConnectionId>,
    payload: SealedBytes,
    tries: u64,
    created_at: Timestamp,
}

impl Store {
    /// Takes at most `limit` revocations that are due; for `lease` nobody else gets them. One that does not open is
    /// dropped and logged.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn claim_revocations(
        &self,
        now: Timestamp,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Revocation>, StoreError> {
        let rows = self
            .write(move |tx, _| {
                let text = "SELECT id, integration, connection_id, payload, tries, created_at FROM outbox \
                            WHERE kind = 'revocation' AND next_at <= ?1 AND claimed_until <= ?3 ORDER BY next_at LIMIT ?2";
                let free_at = tx.lease_time(now);
                let rows = tx.all(text, values![now, limit, free_at], |row| {
                    let (id, integration) = (OutboxId(row.text(0)?), row.parse(1)?);
                    let (connection, payload) = (row.opt_parse(2)?, row.sealed(3)?);
                    Ok(Row { id, integration, connection, payload, tries: row.count(4)?, created_at: row.time(5)? })
                })?;
                for row in &rows {
                    let text = "UPDATE outbox SET claimed_until = ?2, tries = tries + 1 WHERE id = ?1";
                    tx.run_one("outbox", text, values![row.id.0, free_at.plus(lease)])?;
                }
                Ok(rows)
            })
            .await?;
        let mut revocations = Vec::with_capacity(rows.len());
        for row in rows {
            match open(&self.shared.ring, &row.id.0, &row.payload) {
                Ok(grant) => revocations.push(Revocation {
                    id: row.id,
                    integration: row.integration,
                    connection: row.connection,
                    grant: Durable::committed(grant),
                    tries: row.tries,
                    created_at: row.created_at,
                }),
                Err(error) => {
                    tracing::error!(%error, "a revocation does not open; its tokens end by themselves");
                    self.revocation_done(&row.id).await?;
                }
            }
        }
        Ok(revocations)
    }

    /// A revocation was told, or was given up: its tokens are forgotten. False if it was gone.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn revocation_done(&self, id: &OutboxId) -> Result<bool, StoreError> {
        let id = id.0.clone();
        self.write(move |tx, _| Ok(tx.run("DELETE FROM outbox WHERE id = ?1", values![id])? == 1)).await
    }

    /// A revocation could not be told; it is tried again at `at`. False if it was gone.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn revocation_retry(&self, id: &OutboxId, at: Timestamp) -> Result<bool, StoreError> {
        let id = id.0.clone();
        let text = "UPDATE outbox SET next_at = ?2, claimed_until = 0 WHERE id = ?1";
        self.write(move |tx, _| Ok(tx.run(text, values![id, at])? == 1)).await
    }

    /// When the next revocation is due.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn next_revocation(&self) -> Result<Option<Timestamp>, StoreError> {
        // One that somebody has must not hide a later one that nobody has.
        let text = "SELECT MIN(CASE WHEN claimed_until > next_at THEN claimed_until ELSE next_at END) FROM outbox \
                    WHERE kind = 'revocation'";
        self.read(move |sql, _| Ok(sql.one(text, &[], |row| row.opt_time(0))?.flatten())).await
    }
}

/// Writes a revocation in the transaction that ended the grant; none where there is nothing to revoke.
pub(crate) fn revoke(
    tx: &Tx<'_>,
    shared: &Shared,
    whose: Whose<'_>,
    grant: &Grant,
    now: Timestamp,
) -> Result<Option<OutboxId>, StoreError> {
    if grant.access_token.is_none() && grant.refresh_token.is_none() {
        return Ok(None);
    }
    let mut random = [0; 16];
    shared.entropy.fill(&mut random);
    let id = format!("obx_{}", crate::seal::hex(&random));
    let tokens = Tokens {
        access_token: grant.access_token.as_ref().map(|token| Wiped::new(token.expose())),
        refresh_token: grant.refresh_token.as_ref().map(|token| Wiped::new(token.expose())),
        token_type: grant.token_type.clone(),
    };
    let payload = shared.ring.seal(place(&id), Zeroizing::new(json(&tokens)?).as_bytes())?;
    let text = "INSERT INTO outbox (id, kind, integration, connection_id, payload, tries, next_at, \
                claimed_until, created_at) VALUES (?1, 'revocation', ?2, ?3, ?4, 0, ?5, ?6, ?5)";
    let claimed_until = tx.lease_time(now).plus(whose.claimed);
    let all = values![id, whose.integration, whose.connection, payload, now, claimed_until];
    tx.run_one("outbox", text, all)?;
    Ok(Some(OutboxId(id)))
}

pub(crate) fn place(id: &str) -> Place<'_> {
    Place { table: "outbox", row: id, column: "payload", generation: 0 }
}

fn open(ring: &KeyRing, id: &str, payload: &SealedBytes) -> Result<Grant, StoreError> {
    let text = ring.open_text(place(id), payload)?;
    let tokens: Tokens = serde_json::from_str(&text).map_err(|_| StoreError::damaged("a revocation"))?;
    Ok(Grant {
        access_token: tokens.access_token.map(|token| AccessToken::new(token.expose())),
        refresh_token: tokens.refresh_token.map(|token| RefreshToken::new(token.expose())),
        token_type: tokens.token_type,
    })
}
