//! Taking what is due, for a while: nobody else gets it meanwhile, and everybody may when that while is over.

use std::time::Duration;

use evergrant_core::time::Timestamp;

use super::{Delivery, delivery_columns, read};
use crate::db::values;
use crate::error::StoreError;
use crate::shared::{Shared, Tx};
use crate::store::Store;

/// What is told in one go.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// Its name: the same when it is told again after a crash.
    pub batch: String,
    /// What is in it, oldest first.
    pub deliveries: Vec<Delivery>,
}

impl Store {
    /// Takes at most `limit` deliveries to one receiver that are due.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn claim_deliveries(
        &self,
        channel: &'static str,
        target: &str,
        now: Timestamp,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let target = target.to_owned();
        self.write(move |tx, shared| {
            let found = due(tx, channel, &target, now, limit)?;
            found.iter().try_for_each(|one| claim(tx, shared, one.seq, now.plus(lease), None))?;
            Ok(found)
        })
        .await
    }

    /// Takes all that is due to one receiver, to be told in one go. What was taken so before and not brought to an end is
    /// taken again as it was, and the rest waits: who gets it twice must get the same.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn claim_batch(
        &self,
        channel: &'static str,
        target: &str,
        now: Timestamp,
        lease: Duration,
        limit: usize,
    ) -> Result<Option<Claimed>, StoreError> {
        let target = target.to_owned();
        self.write(move |tx, shared| {
            let mut found = due(tx, channel, &target, now, limit)?;
            let Some(first) = found.first() else { return Ok(None) };
            let earlier = found.iter().find_map(|one| one.batch.clone());
            let batch = earlier.clone().unwrap_or_else(|| first.message.clone());
            found.retain(|one| one.batch == earlier);
            found.sort_by_key(|one| one.seq);
            found.iter().try_for_each(|one| claim(tx, shared, one.seq, now.plus(lease), Some(&batch)))?;
            Ok(Some(Claimed { batch, deliveries: found }))
        })
        .await
    }

    /// Receivers of a channel to whom something is due, at most `limit`.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn due_targets(
        &self,
        channel: &'static str,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let text = "SELECT DISTINCT target FROM deliveries WHERE channel = ?1 AND state = 'waiting' \
                    AND next_at IS NOT NULL AND next_at <= ?2 AND claimed_until <= ?2 LIMIT ?3";
        self.read(move |sql, _| sql.all(text, values![channel, now, limit], |row| row.text(0))).await
    }

    /// When the next delivery is due that is not due yet.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn next_delivery(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let text = "SELECT next_at FROM deliveries WHERE state = 'waiting' AND next_at IS NOT NULL AND next_at > ?1 \
                    ORDER BY next_at LIMIT 1";
        self.read(move |sql, _| sql.one(text, values![now], |row| row.time(0))).await
    }

    /// Wakes who waits in [`Store::told`].
    pub fn tell_on(&self) {
        self.shared.told.notify_one();
    }

    /// Waits until something was written that is to be told.
    pub async fn told(&self) {
        self.shared.told.notified().await;
    }
}

fn due(tx: &Tx<'_>, channel: &str, target: &str, now: Timestamp, limit: usize) -> Result<Vec<Delivery>, StoreError> {
    let text = concat!(
        delivery_columns!(),
        "WHERE channel = ?1 AND target = ?2 AND state = 'waiting' AND next_at IS NOT NULL AND next_at <= ?3 \
         AND claimed_until <= ?3 ORDER BY next_at, seq LIMIT ?4"
    );
    tx.all(text, values![channel, target, now, limit], read)
}

fn claim(tx: &Tx<'_>, shared: &Shared, seq: u64, until: Timestamp, batch: Option<&str>) -> Result<(), StoreError> {
    let text = "UPDATE deliveries SET claimed_until = ?2, claimed_by = ?3, batch = ?4 WHERE seq = ?1";
    tx.run_one("deliveries", text, values![seq, until, shared.node, batch])
}
