//! What came of a try.

use std::time::Duration;

use evergrant_core::id::WebhookId;
use evergrant_core::time::Timestamp;

use super::{DeliveryState, WEBHOOK, write};
use crate::db::values;
use crate::error::StoreError;
use crate::shared::{Effect, Shared, Tx};
use crate::store::Store;
use crate::webhooks;

/// What came of a try.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// What becomes of it: over, or waiting until this instant.
    pub state: Result<DeliveryState, Timestamp>,
    /// Whether it counts as a try: what was put off was none.
    pub tried: bool,
    /// What the receiver answered, as a number.
    pub status: Option<u16>,
    /// What the receiver answered, cut short, or why nothing came.
    pub detail: String,
    /// The endpoint wants nothing any more (410).
    pub gone: bool,
}

impl Outcome {
    /// It is put off, untried.
    pub fn put_off(until: Timestamp) -> Self {
        Outcome { state: Err(until), tried: false, status: None, detail: String::new(), gone: false }
    }

    /// Nobody has to be told any more.
    pub fn dropped(why: &str) -> Self {
        let (state, detail) = (Ok(DeliveryState::Dropped), why.to_owned());
        Outcome { state, tried: false, status: None, detail, gone: false }
    }
}

impl Store {
    /// Writes down what came of a try of these, which were told in one go. An endpoint that has failed for `patience` is
    /// disabled, and so is one that is gone.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn delivery_ended(
        &self,
        seqs: Vec<u64>,
        outcome: Outcome,
        patience: Duration,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(move |tx, shared| {
            for seq in &seqs {
                let text = "SELECT channel, target, lane, state FROM deliveries WHERE seq = ?1";
                let found = tx
                    .one(text, values![*seq], |row| Ok((row.text(0)?, row.text(1)?, row.opt_text(2)?, row.text(3)?)))?;
                // Erased or disabled meanwhile: there is nothing to write down.
                let Some((channel, target, lane, _)) = found.filter(|found| found.3 == "waiting") else { continue };
                one(tx, *seq, &outcome, now)?;
                if let (true, Some(lane)) = (outcome.state.is_ok(), &lane) {
                    next_in(tx, &target, lane, now)?;
                }
                if channel == WEBHOOK
                    && outcome.tried
                    && let Some(endpoint) = write::endpoint(&target)
                {
                    endpoint_ended(tx, shared, &endpoint, &outcome, patience, now)?;
                }
            }
            tx.after_commit(Effect::Told);
            Ok(())
        })
        .await
    }

    /// Tells the operator that a channel does not work, by all the others; once a day for each `what`.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn alert_of_channel(
        &self,
        channel: &'static str,
        what: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let what = what.to_owned();
        self.write(move |tx, shared| {
            let text = "SELECT data FROM events WHERE kind = 'channel.failed' AND at > ?1";
            let told: Vec<serde_json::Value> =
                tx.all(text, values![now.minus(Duration::from_secs(24 * 3600))], |row| row.json(0))?;
            if told.iter().any(|data| data["what"] == what.as_str()) {
                return Ok(false);
            }
            write::alert(tx, shared, "channel.failed", &what, Some(channel), now)?;
            Ok(true)
        })
        .await
    }
}

fn one(tx: &Tx<'_>, seq: u64, outcome: &Outcome, now: Timestamp) -> Result<(), StoreError> {
    let (state, next_at, ended_at) = match outcome.state {
        Ok(state) => (state, None, Some(now)),
        Err(until) => (DeliveryState::Waiting, Some(until), None),
    };
    let status = outcome.status.map(u64::from);
    let text = "UPDATE deliveries SET state = ?2, next_at = ?3, ended_at = ?4, tries = tries + ?5, last_at = ?6, \
                last_status = ?7, last_detail = ?8, claimed_until = 0, claimed_by = NULL, \
                batch = CASE WHEN ?9 = 1 THEN batch ELSE NULL END WHERE seq = ?1";
    let (tries, detail, state) = (u64::from(outcome.tried), outcome.detail.as_str(), state.as_str());
    // What was put off has been told to nobody: it may go together with others.
    let all = values![seq, state, next_at, ended_at, tries, now, status, detail, outcome.tried];
    tx.run_one("deliveries", text, all)
}

/// The next of those that follow each other has its turn.
pub(super) fn next_in(tx: &Tx<'_>, target: &str, lane: &str, now: Timestamp) -> Result<(), StoreError> {
    let text = "UPDATE deliveries SET next_at = ?3 WHERE next_at IS NULL AND seq = (SELECT MIN(seq) FROM deliveries \
                WHERE target = ?1 AND lane = ?2 AND state = 'waiting')";
    tx.run(text, values![target, lane, now]).map(drop)
}

fn endpoint_ended(
    tx: &Tx<'_>,
    shared: &Shared,
    endpoint: &WebhookId,
    outcome: &Outcome,
    patience: Duration,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(failing) = webhooks::failing_since(tx, endpoint)? else { return Ok(()) };
    if outcome.state == Ok(DeliveryState::Delivered) {
        if failing.is_some() {
            webhooks::works_again(tx, endpoint)?;
            // It is back: what waited for it does not wait on.
            let text = "UPDATE deliveries SET next_at = ?2 WHERE channel = 'webhook' AND target = ?1 \
                        AND state = 'waiting' AND next_at IS NOT NULL AND next_at > ?2";
            tx.run(text, values![endpoint, now])?;
        }
        return Ok(());
    }
    let since = failing.unwrap_or(now);
    webhooks::fails_since(tx, endpoint, since)?;
    let why = if outcome.gone {
        "it answered 410 Gone".to_owned()
    } else if now.since(since) >= patience {
        format!("nothing could be delivered since {since}")
    } else {
        return Ok(());
    };
    webhooks::disable(tx, endpoint, &why, now)?;
    let text = "UPDATE deliveries SET state = 'failed', next_at = NULL, ended_at = ?2, claimed_until = 0, \
                claimed_by = NULL WHERE channel = 'webhook' AND target = ?1 AND state = 'waiting'";
    tx.run(text, values![endpoint, now])?;
    let what = format!(
        "The webhook endpoint {endpoint} was disabled: {why}. What was not delivered is kept: enable it with \
         PATCH /v1/webhooks/{endpoint} and send it with POST /v1/webhooks/{endpoint}/redeliver."
    );
    write::alert(tx, shared, "webhook.disabled", &what, None, now)
}
