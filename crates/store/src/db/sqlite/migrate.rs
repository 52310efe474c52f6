//! The schema, in numbered steps that are never edited once they have been released.

use super::super::SCHEMA;
use super::trouble;
use crate::error::StoreError;

/// The steps, under the same numbers as those of PostgreSQL.
const STEPS: [&str; SCHEMA as usize] = [
    include_str!("../../../../../migrations/sqlite/0001_start.sql"),
    include_str!("../../../../../migrations/sqlite/0002_integration_params.sql"),
    include_str!("../../../../../migrations/sqlite/0003_nodes.sql"),
    include_str!("../../../../../migrations/sqlite/0004_deliveries.sql"),
];

/// Takes the steps from `found` on, all in one transaction with what `first` adds.
pub(crate) fn migrate(
    raw: &mut rusqlite::Connection,
    found: u32,
    first: impl FnOnce(&rusqlite::Connection) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    if found == SCHEMA {
        return Ok(());
    }
    let transaction = raw.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(trouble)?;
    for step in STEPS.iter().skip(found as usize) {
        transaction.execute_batch(step).map_err(trouble)?;
    }
    transaction.pragma_update(None, "user_version", SCHEMA).map_err(trouble)?;
    first(&transaction)?;
    transaction.commit().map_err(trouble)
}
