//! What an earlier process left behind: answers in the journal without a commit, sendings without an answer.

use std::time::Duration;

use evergrant_core::id::ConnectionId;
use evergrant_store::StoreError;
use evergrant_store::journal::{EntryKind, Journalled};

use super::{Refresher, Trigger, land};
use crate::service::Service;

/// How long the journal remembers what was committed: a database that lost its last seconds is put right from it.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);

impl Refresher {
    /// Puts right what can be put right before anything else is sent: answers that no commit followed, answers whose
    /// commit the database has lost since, sendings without an answer.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or written.
    pub async fn recover(&self, service: &Service) -> Result<(), StoreError> {
        let store = &self.0.store;
        let uncommitted = store.journal().uncommitted();
        let lost = store.lost_answers(self.0.clock.now().minus(REMEMBERED)).await?;
        for found in lost.iter().chain(&uncommitted) {
            match &found.entry.kind {
                EntryKind::Refresh { connection, generation } => {
                    self.recover_refresh(found, connection, *generation).await?;
                    store.journal().mark_committed(found.seq);
                }
                EntryKind::Exchange { session } => {
                    if service.recover_exchange(found).await.is_err() {
                        tracing::error!(%session, "an exchange in the journal could not be finished; it is tried at the next start");
                    }
                }
            }
        }
        for intent in store.open_intents(self.0.clock.now()).await? {
            // Flown under a lease: the unanswered sending becomes an uncertain attempt, and nothing is sent for it.
            drop(self.join(&intent.connection, Trigger::Background, None));
        }
        Ok(())
    }

    /// Lands an answer under a lease of its own, as the flight would have that died with its process.
    async fn recover_refresh(&self, found: &Journalled, id: &ConnectionId, generation: u64) -> Result<(), StoreError> {
        let known = self.0.store.attempt_outcome(&found.entry.attempt).await?;
        if known.is_some_and(|attempt| attempt.end.is_some()) {
            return Ok(());
        }
        tracing::info!(connection = %id, "an answer that had reached the journal is brought into the database");
        land::land_journalled(self, id, generation, found).await
    }
}
