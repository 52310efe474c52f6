//! What is still owed to a connection: calls that its provider should have got once its grant was there, and did not
//! answer. Written in the transaction that made the connection, tried again until they are answered or given up.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::id::ConnectionId;
use evergrant_core::time::Timestamp;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::db::values;
use crate::error::StoreError;
use crate::events::{self, About, NewEvent};
use crate::outbox::place;
use crate::record::TokenRecord;
use crate::refresh::reread;
use crate::row::json;
use crate::seal::SealedBytes;
use crate::shared::{Shared, Tx};
use crate::store::Store;

/// Calls that are owed to a connection.
#[derive(Clone, Debug)]
pub struct Owed {
    id: String,
    /// The connection.
    pub connection: ConnectionId,
    /// The calls, by the names that the caller gave them.
    pub calls: Vec<String>,
    /// How often they were tried before by this list.
    pub tries: u64,
    /// When they were written down.
    pub created_at: Timestamp,
}

/// What a further try of owed calls came to.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// Facts to keep with the connection.
    pub facts: Map<String, Value>,
    /// What is owed still, and when that is tried again; none: it is over.
    pub again: Option<(Vec<String>, Timestamp)>,
    /// Events, in order.
    pub events: Vec<NewEvent>,
}

impl Store {
    /// Takes at most `limit` lists of owed calls that are due; for `lease` nobody else gets them. One that does not open is
    /// dropped and logged.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn claim_owed(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<Owed>, StoreError> {
        let rows = self
            .write(move |tx, _| {
                let text = "SELECT id, connection_id, payload, tries, created_at FROM outbox WHERE kind = 'after_grant' \
                            AND next_at <= ?1 AND claimed_until <= ?3 AND connection_id IS NOT NULL ORDER BY next_at LIMIT ?2";
                let free_at = tx.lease_time(now);
                let rows = tx.all(text, values![now, limit, free_at], |row| {
                    let (id, connection, payload): (_, _, SealedBytes) = (row.text(0)?, row.parse(1)?, row.sealed(2)?);
                    let owed =
                        Owed { id, connection, calls: Vec::new(), tries: row.count(3)?, created_at: row.time(4)? };
                    Ok((owed, payload))
                })?;
                for (owed, _) in &rows {
                    let text = "UPDATE outbox SET claimed_until = ?2, tries = tries + 1 WHERE id = ?1";
                    tx.run_one("outbox", text, values![owed.id, free_at.plus(lease)])?;
                }
                Ok(rows)
            })
            .await?;
        let mut all = Vec::with_capacity(rows.len());
        for (owed, payload) in rows {
            let opened = self.shared.ring.open_text(place(&owed.id), &payload);
            match opened.ok().and_then(|text| serde_json::from_str(&text).ok()) {
                Some(calls) => all.push(Owed { calls, ..owed }),
                None => {
                    tracing::error!(connection = %owed.connection, "a list of owed calls does not open; it is dropped");
                    self.owed_settled(&owed, Settled::default(), now).await?;
                }
            }
        }
        Ok(all)
    }

    /// Writes down what a try of owed calls came to. False if they were not owed any more, because the connection is gone
    /// or has got another grant by a new consent: then nothing is changed.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn owed_settled(&self, owed: &Owed, settled: Settled, now: Timestamp) -> Result<bool, StoreError> {
        let owed = owed.clone();
        self.write(move |tx, shared| {
            if !tx.any("SELECT 1 FROM outbox WHERE id = ?1", values![owed.id])? {
                return Ok(false);
            }
            match &settled.again {
                Some((calls, at)) => {
                    let payload = shared.ring.seal(place(&owed.id), Zeroizing::new(json(calls)?).as_bytes())?;
                    let text = "UPDATE outbox SET payload = ?2, next_at = ?3, claimed_until = 0 WHERE id = ?1";
                    tx.run_one("outbox", text, values![owed.id, payload, *at])?;
                }
                None => tx.run_one("outbox", "DELETE FROM outbox WHERE id = ?1", values![owed.id])?,
            }
            let Some(record) = TokenRecord::load(tx, &owed.connection)? else { return Ok(false) };
            let record = if settled.facts.is_empty() {
                Arc::new(record)
            } else {
                learn(tx, &owed.connection, &settled.facts, now)?;
                reread(tx, &owed.connection)?
            };
            events::write(tx, shared, About::connection(&record.connection), &settled.events, now)?;
            Ok(true)
        })
        .await
    }
}

/// Adds facts to what calling the provider needs besides the token.
pub(crate) fn learn(
    tx: &Tx<'_>,
    id: &ConnectionId,
    facts: &Map<String, Value>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let missing = || StoreError::NotOneRow { table: "connections", rows: 0 };
    let stored = TokenRecord::load(tx, id)?.ok_or_else(missing)?;
    let mut known = stored.connection.provider_data.clone();
    known.extend(facts.clone());
    let text = "UPDATE connections SET provider_data = ?2, version = version + 1, updated_at = ?3 WHERE id = ?1";
    tx.run_one("connections", text, values![id, json(&known)?, now])
}

/// Writes what is owed to a connection that has just got its grant, in the place of what was owed to it before.
pub(crate) fn owe(
    tx: &Tx<'_>,
    shared: &Shared,
    record: &TokenRecord,
    (calls, next_at): &(Vec<String>, Timestamp),
    now: Timestamp,
) -> Result<(), StoreError> {
    let connection = &record.connection;
    tx.run("DELETE FROM outbox WHERE kind = 'after_grant' AND connection_id = ?1", values![connection.id])?;
    if calls.is_empty() {
        return Ok(());
    }
    let mut random = [0; 16];
    shared.entropy.fill(&mut random);
    let id = format!("obx_{}", crate::seal::hex(&random));
    let payload = shared.ring.seal(place(&id), Zeroizing::new(json(calls)?).as_bytes())?;
    let text = "INSERT INTO outbox (id, kind, integration, connection_id, payload, tries, next_at, \
                claimed_until, created_at) VALUES (?1, 'after_grant', ?2, ?3, ?4, 0, ?5, 0, ?6)";
    tx.run_one("outbox", text, values![id, connection.integration, connection.id, payload, *next_at, now])
}
