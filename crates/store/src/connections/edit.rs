//! Edits by the application: its own words for a connection, and what it reports of uses.

use std::sync::Arc;

use evergrant_core::connection::LastUse;
use evergrant_core::id::ConnectionId;
use evergrant_core::time::Timestamp;
use serde_json::{Map, Value};

use crate::db::values;
use crate::error::StoreError;
use crate::events::About;
use crate::record::TokenRecord;
use crate::refresh::reread;
use crate::report::{self, Report};
use crate::row::json;
use crate::store::Store;

/// What is changed; what is none stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectionPatch {
    /// The label; an inner none takes it away.
    pub label: Option<Option<String>>,
    /// The metadata, as a whole.
    pub metadata: Option<Map<String, Value>>,
}

/// What came of an edit.
#[derive(Clone, Debug)]
pub enum Patched {
    /// It is now this.
    Stored(Arc<TokenRecord>),
    /// It has changed since the version that was named.
    Stale {
        /// Its present version.
        version: u64,
    },
    /// There is none.
    Gone,
}

impl Store {
    /// Edits a connection, if it is still at `if_version`. Touches nothing that a refresh writes.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn patch_connection(
        &self,
        id: &ConnectionId,
        if_version: Option<u64>,
        patch: ConnectionPatch,
        said: Report,
        now: Timestamp,
    ) -> Result<Patched, StoreError> {
        let id = id.clone();
        self.write(move |tx, shared| {
            let Some(stored) = TokenRecord::load(tx, &id)? else { return Ok(Patched::Gone) };
            let connection = &stored.connection;
            if if_version.is_some_and(|version| version != connection.version) {
                return Ok(Patched::Stale { version: connection.version });
            }
            let label = patch.label.as_ref().unwrap_or(&connection.label);
            let metadata = json(patch.metadata.as_ref().unwrap_or(&connection.metadata))?;
            let text = "UPDATE connections SET label = ?2, metadata = ?3, version = version + 1, updated_at = ?4 \
                        WHERE id = ?1";
            tx.run_one("connections", text, values![id, label, metadata, now])?;
            let record = reread(tx, &id)?;
            let about = About::connection(&record.connection);
            report::write(tx, shared, about, &said, id.as_str(), now)?;
            Ok(Patched::Stored(record))
        })
        .await
    }

    /// Notes what came of a use of the token; false if there is no such connection. Not a change: the version stays.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn record_use(&self, id: &ConnectionId, last: LastUse) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write(move |tx, _| {
            let text = "UPDATE connections SET last_use = ?2 WHERE id = ?1";
            let found = tx.run(text, values![id, json(&last)?])? == 1;
            if found {
                reread(tx, &id)?;
            }
            Ok(found)
        })
        .await
    }
}
