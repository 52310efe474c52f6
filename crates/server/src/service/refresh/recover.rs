//! What an earlier process left behind: answers in the journal without a commit, sendings without an answer.

use std::time::Duration;

use evergrant_core::id::ConnectionId;
use evergrant_core::outcome::Class;
use evergrant_store::StoreError;
use evergrant_store::journal::{EntryKind, Journalled};
use evergrant_store::refresh::{AttemptEnd, AttemptResult};

use super::{Refresher, Trigger, land};
use crate::service::Service;

/// How long the journal remembers what was committed: a database that lost its last seconds is put right from it.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long other nodes are given to bring in what is in their journals: a token that one of them has spent must not be sent
/// by another one. All of them notice it within a second.
const OTHERS: Duration = Duration::from_secs(10);

impl Refresher {
    /// Puts right what can be put right before anything else is sent: answers that no commit followed, answers whose
    /// commit the database has lost since, sendings without an answer.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or written.
    pub async fn recover(&self, service: &Service) -> Result<(), StoreError> {
        let store = &self.0.store;
        let quarantined = store.quarantine().is_some();
        let uncommitted = store.journal().uncommitted();
        let lost = store.lost_answers(self.0.clock.now().minus(REMEMBERED)).await?;
        for found in lost.iter().chain(&uncommitted) {
            match &found.entry.kind {
                EntryKind::Refresh { connection, generation } => {
                    self.recover_refresh(found, connection, *generation).await?;
                    store.journal().mark_committed(found.seq);
                }
                // Its account would be looked up.
                EntryKind::Exchange { .. } if quarantined => {}
                EntryKind::Exchange { session } => {
                    if service.recover_exchange(found).await.is_err() {
                        tracing::error!(%session, "an exchange in the journal could not be finished; it is tried at the next start");
                    }
                }
            }
        }
        store.clear_up_behind_the_former().await?;
        if quarantined {
            return Ok(());
        }
        self.settle_open_intents().await
    }

    /// Brings in what the database server has lost of what it had answered; nothing is sent before.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or written.
    pub async fn put_right(&self) -> Result<(), StoreError> {
        let mut answers = self.bring_in_lost().await?;
        if self.0.nodes() > 1 {
            tokio::select! {
                biased;
                () = self.0.stop.cancelled() => return Ok(()),
                () = self.0.clock.sleep(OTHERS) => {}
            }
            // What the server may have lost meanwhile once more.
            answers += self.bring_in_lost().await?;
        }
        tracing::warn!(answers, "what the database had lost of the providers' answers is in it again");
        self.0.store.is_right_again();
        self.nudge();
        Ok(())
    }

    /// Commits again what this journal holds and the database has lost; how many answers.
    async fn bring_in_lost(&self) -> Result<usize, StoreError> {
        let lost = self.0.store.lost_answers(self.0.clock.now().minus(REMEMBERED)).await?;
        for found in &lost {
            if let EntryKind::Refresh { connection, generation } = &found.entry.kind {
                self.recover_refresh(found, connection, *generation).await?;
            }
        }
        Ok(lost.len())
    }

    async fn settle_open_intents(&self) -> Result<(), StoreError> {
        for intent in self.0.store.open_intents(Some(self.0.clock.now())).await? {
            // Flown under a lease: the unanswered sending becomes an uncertain attempt, and nothing is sent for it.
            drop(self.join(&intent.connection, Trigger::Background, None));
        }
        Ok(())
    }

    /// Lands an answer under a lease of its own, as the flight would have that died with its process; where another node has
    /// the lease, without one.
    async fn recover_refresh(&self, found: &Journalled, id: &ConnectionId, generation: u64) -> Result<(), StoreError> {
        let known = self.0.store.attempt_outcome(&found.entry.attempt).await?.and_then(|attempt| attempt.end);
        // Another node may have called the sending uncertain meanwhile: it knew of no answer.
        let uncertain =
            |end: &AttemptEnd| end.result == AttemptResult::Verdict && end.class == Class::Ambiguous.as_str();
        if known.as_ref().is_some_and(|end| !uncertain(end)) {
            return Ok(());
        }
        land::land_journalled(self, id, generation, (found, known.is_some())).await
    }
}
