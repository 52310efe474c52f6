//! What an earlier process left behind: answers in the journal without a commit, sendings without an answer.

use evergrant_core::id::ConnectionId;
use evergrant_store::StoreError;
use evergrant_store::journal::{EntryKind, Journalled};

use super::{Refresher, Trigger, flight};
use crate::service::Service;

impl Refresher {
    /// Puts right what can be put right before anything else is sent.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn recover(&self, service: &Service) -> Result<(), StoreError> {
        for found in self.0.store.journal().uncommitted() {
            match &found.entry.kind {
                EntryKind::Refresh { connection, generation } => {
                    self.recover_refresh(&found, connection, *generation).await?;
                    self.0.store.journal().mark_committed(found.seq);
                }
                EntryKind::Exchange { session } => {
                    if service.recover_exchange(&found).await.is_err() {
                        tracing::error!(%session, "an exchange in the journal could not be finished; it is tried at the next start");
                    }
                }
            }
        }
        for intent in self.0.store.open_intents().await? {
            // Flown under a lease: the unanswered sending becomes an uncertain attempt, and nothing is sent for it.
            drop(self.join(&intent.connection, Trigger::Background));
        }
        Ok(())
    }

    /// Lands an answer under a lease of its own, as the flight would have that died with its process.
    async fn recover_refresh(&self, found: &Journalled, id: &ConnectionId, generation: u64) -> Result<(), StoreError> {
        let known = self.0.store.attempt_outcome(&found.entry.attempt).await?;
        if known.is_some_and(|attempt| attempt.end.is_some()) {
            return Ok(());
        }
        flight::land_journalled(&self.0, id, generation, found).await
    }
}
