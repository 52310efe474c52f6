//! The schema, in numbered steps that are never edited once they have been released.

use super::sql::trouble;
use crate::error::StoreError;

/// The steps; the schema's number is how many have been taken.
const STEPS: [&str; 2] = [
    include_str!("../../../../migrations/sqlite/0001_start.sql"),
    include_str!("../../../../migrations/sqlite/0002_integration_params.sql"),
];

/// The newest schema that this binary knows.
pub(crate) const SCHEMA: u32 = STEPS.len() as u32;

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
