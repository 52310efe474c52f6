//! Answers that were committed once and that the database does not know any more: it was restored, or failed over.

use std::collections::BTreeSet;

use evergrant_core::id::ConnectionId;
use evergrant_core::planted::{self, Bug};
use evergrant_core::time::Timestamp;

use crate::db::values;
use crate::error::StoreError;
use crate::journal::{EntryKind, Journalled};
use crate::row::Guard;
use crate::store::Store;

/// What the journal knows beyond the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beyond {
    /// Connections of which a later generation than the stored one was sent.
    pub ahead: BTreeSet<ConnectionId>,
    /// Connections that the database does not know.
    pub unknown: BTreeSet<ConnectionId>,
    /// Connects that brought a grant and were committed.
    pub connects: usize,
}

impl Store {
    /// What the journal knows of the time since `from` and the database does not, once lost answers have been brought in.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn beyond(&self, from: Timestamp) -> Result<Beyond, StoreError> {
        let store = self.clone();
        let found = self.blocking(move || store.journal().since(from)).await;
        let found = found.unwrap_or_else(|| Err(StoreError::defect("reading the journal")))?;
        self.read(move |sql, _| {
            let mut beyond = Beyond::default();
            for one in found.into_iter().filter(|one| one.committed) {
                let EntryKind::Refresh { connection, generation } = one.entry.kind else {
                    beyond.connects += usize::from((200..300).contains(&one.entry.status));
                    continue;
                };
                match Guard::read(sql, &connection)? {
                    Some(guard) if guard.generation < generation => drop(beyond.ahead.insert(connection)),
                    Some(_) => {}
                    None => drop(beyond.unknown.insert(connection)),
                }
            }
            Ok(beyond)
        })
        .await
    }

    /// Journalled answers to refreshes, received at `from` or later, that were committed and that the stored grant is not
    /// newer than; also those whose sending somebody else has called uncertain meanwhile. A success among them is to be
    /// committed again, in this order; a refusal among them changed no grant
    /// and is nothing. Reads the whole journal.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn lost_answers(&self, from: Timestamp) -> Result<Vec<Journalled>, StoreError> {
        let store = self.clone();
        let found = self.blocking(move || store.journal().since(from)).await;
        let mut found = found.unwrap_or_else(|| Err(StoreError::defect("reading the journal")))?;
        found.retain(|one| one.committed && !planted::is(Bug::JournalForgetsEarly));
        self.read(move |sql, _| {
            let mut lost = Vec::new();
            for one in found {
                let EntryKind::Refresh { connection, generation } = &one.entry.kind else { continue };
                let guard = Guard::read(sql, connection)?.filter(|guard| !guard.is_disconnected());
                let text = "SELECT 1 FROM attempts WHERE id = ?1 AND ended_at IS NOT NULL \
                            AND NOT (result = 'verdict' AND class = 'ambiguous')";
                let known = sql.any(text, values![one.entry.attempt])?;
                if !known && guard.is_some_and(|guard| guard.generation <= *generation) {
                    lost.push(one);
                }
            }
            Ok(lost)
        })
        .await
    }
}
