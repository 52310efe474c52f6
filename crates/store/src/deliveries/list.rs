//! Looking at deliveries, sending them again by hand, and forgetting them.

use std::time::Duration;

use evergrant_core::id::{ConnectionId, DeliveryId, IntegrationName, SubjectId, WebhookId};
use evergrant_core::time::Timestamp;

use super::{Delivery, DeliveryState, delivery_columns, read};
use crate::db::{Select, values};
use crate::error::StoreError;
use crate::page::{Cursor, Page};
use crate::shared::{Effect, Tx};
use crate::store::Store;

/// Deliveries that are over are kept for so long.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

macro_rules! again {
    () => {
        "UPDATE deliveries SET state = 'waiting', next_at = ?2, claimed_until = 0, claimed_by = NULL, tries = 0, \
         ended_at = NULL WHERE target = ?1 AND channel = 'webhook' AND "
    };
}

/// What came of sending again by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redelivered {
    /// So many are on their way.
    Some(u64),
    /// There is no such delivery to this endpoint.
    NoSuch,
    /// The endpoint is disabled, or gone.
    NotEnabled,
}

impl Store {
    /// A page of the deliveries to an endpoint, newest first.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn deliveries(
        &self,
        endpoint: &WebhookId,
        state: Option<DeliveryState>,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Delivery>, StoreError> {
        let last: Option<u64> = match after.map(|cursor| cursor.key()) {
            Some(None) => return Ok(Page::last(Vec::new())),
            Some(last) => last,
            None => None,
        };
        let endpoint = endpoint.clone();
        self.read(move |sql, _| {
            let mut select = Select::from(delivery_columns!());
            select.and("target = #", &endpoint);
            let word = state.map(DeliveryState::as_str);
            if let Some(word) = &word {
                select.and("state = #", word);
            }
            if let Some(last) = &last {
                select.and("seq < #", last);
            }
            let items = select.run(sql, "ORDER BY seq DESC", limit + 1, read)?;
            Ok(Page::cut(items, limit, |delivery| delivery.seq.to_string()))
        })
        .await
    }

    /// Sends one delivery again, or all that have failed, in their order.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn redeliver(
        &self,
        endpoint: &WebhookId,
        one: Option<DeliveryId>,
        now: Timestamp,
    ) -> Result<Redelivered, StoreError> {
        let endpoint = endpoint.clone();
        self.write(move |tx, _| {
            if !tx.any("SELECT 1 FROM webhooks WHERE id = ?1 AND disabled_at IS NULL", values![endpoint])? {
                return Ok(Redelivered::NotEnabled);
            }
            // Each is tried at once: what it was behind is over long since.
            let count = match &one {
                Some(id) => {
                    let text = concat!(again!(), "id = ?3 AND state <> 'waiting'");
                    let rows = tx.run(text, values![endpoint, now, id])?;
                    let waits = "SELECT 1 FROM deliveries WHERE id = ?1 AND target = ?2";
                    if rows == 0 && !tx.any(waits, values![id, endpoint])? {
                        return Ok(Redelivered::NoSuch);
                    }
                    rows
                }
                None => {
                    let rows = tx.run(concat!(again!(), "state = 'failed'"), values![endpoint, now])?;
                    only_first_has_turn(tx, &endpoint)?;
                    rows
                }
            };
            tx.after_commit(Effect::Told);
            Ok(Redelivered::Some(count as u64))
        })
        .await
    }

    /// How many mails about an integration were to be sent since then, counted up to `limit`.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn mails_since(
        &self,
        integration: &IntegrationName,
        since: Timestamp,
        limit: usize,
    ) -> Result<u64, StoreError> {
        let integration = integration.clone();
        let text = "SELECT COUNT(*) FROM (SELECT 1 FROM deliveries WHERE channel = 'email' AND integration = ?1 \
                    AND at > ?2 LIMIT ?3) counted";
        self.read(move |sql, _| {
            Ok(sql.one(text, values![integration, since, limit], |row| row.count(0))?.unwrap_or_default())
        })
        .await
    }
}

/// Of those that follow each other only the first has a time.
fn only_first_has_turn(tx: &Tx<'_>, endpoint: &WebhookId) -> Result<(), StoreError> {
    let text = "UPDATE deliveries SET next_at = NULL WHERE target = ?1 AND state = 'waiting' AND lane IS NOT NULL \
                AND claimed_until = 0 AND seq > (SELECT MIN(other.seq) FROM deliveries other \
                WHERE other.target = deliveries.target AND other.lane = deliveries.lane AND other.state = 'waiting')";
    tx.run(text, values![endpoint]).map(drop)
}

/// Throws away a part of what is over and old.
pub(crate) fn clean(tx: &Tx<'_>, now: Timestamp, most: usize) -> Result<usize, StoreError> {
    let text = "DELETE FROM deliveries WHERE seq IN (SELECT seq FROM deliveries WHERE ended_at IS NOT NULL \
                AND ended_at < ?1 LIMIT ?2)";
    tx.run(text, values![now.minus(KEPT), most])
}

/// Forgets a person.
pub(crate) fn erase(tx: &Tx<'_>, subject: &SubjectId) -> Result<(), StoreError> {
    tx.run("DELETE FROM deliveries WHERE subject = ?1", values![subject])?;
    tx.run("DELETE FROM contacts WHERE subject = ?1", values![subject]).map(drop)
}

/// Forgets a connection.
pub(crate) fn erase_connection(tx: &Tx<'_>, connection: &ConnectionId) -> Result<(), StoreError> {
    tx.run("DELETE FROM deliveries WHERE connection_id = ?1", values![connection])?;
    tx.run("DELETE FROM told WHERE connection_id = ?1", values![connection]).map(drop)
}
