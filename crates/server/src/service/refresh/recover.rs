//! What an earlier process left behind: answers in the journal without a commit, sendings without an answer.

use std::time::Duration;

use evergrant_core::id::ConnectionId;
use evergrant_store::StoreError;
use evergrant_store::journal::{EntryKind, Journalled};

use super::{Refresher, Trigger, land};
use crate::service::Service;

/// How long the journal remembers what was committed: a database that lost its last seconds is put right from it.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long other nodes are given to bring in what is in their journals: a token that one of them has spent must not be sent
/// by another one. All of them notice it within a second.
const OTHERS: Duration = Duration::from_secs(10);
/// After this an answer is tried again for whose connection another node has the lease.
const AGAIN: Duration = Duration::from_secs(1);

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

    /// Lands an answer. Where another node refreshes the connection just now, it is tried again behind the scenes: until then it
    /// stays in the journal.
    async fn recover_refresh(&self, found: &Journalled, id: &ConnectionId, generation: u64) -> Result<(), StoreError> {
        if self.has_landed(found, id, generation).await? {
            self.0.store.journal().mark_committed(found.seq);
            return Ok(());
        }
        tracing::info!(connection = %id, "another node refreshes it; the answer waits in the journal meanwhile");
        let (refresher, found, id) = (self.clone(), found.clone(), id.clone());
        self.0.tasks.spawn(async move { refresher.land_later(&found, &id, generation).await });
        Ok(())
    }

    async fn land_later(&self, found: &Journalled, id: &ConnectionId, generation: u64) {
        loop {
            tokio::select! {
                biased;
                // The next start finds it.
                () = self.0.stop.cancelled() => return,
                () = self.0.clock.sleep(AGAIN) => {}
            }
            match self.has_landed(found, id, generation).await {
                Ok(true) => return self.0.store.journal().mark_committed(found.seq),
                Ok(false) => {}
                Err(error) => tracing::debug!(connection = %id, %error, "an answer in the journal is not stored yet"),
            }
        }
    }

    /// Lands an answer under a lease of its own, as the flight would have that died with its process; false where another node
    /// has the lease.
    async fn has_landed(&self, found: &Journalled, id: &ConnectionId, generation: u64) -> Result<bool, StoreError> {
        let known = self.0.store.attempt_outcome(&found.entry.attempt).await?;
        if known.is_some_and(|attempt| attempt.end.is_some()) {
            return Ok(true);
        }
        tracing::info!(connection = %id, "an answer that had reached the journal is brought into the database");
        land::land_journalled(self, id, generation, found).await
    }
}
