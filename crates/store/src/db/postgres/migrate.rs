//! The schema, in numbered steps that are never edited once they have been released.

use super::super::values;
use super::super::{SCHEMA, WRITES_FROM};
use super::session::Session;
use crate::error::StoreError;

/// The steps, under the same numbers as those of SQLite.
const STEPS: [&str; SCHEMA as usize] = [
    include_str!("../../../../../migrations/postgres/0001_start.sql"),
    include_str!("../../../../../migrations/postgres/0002_integration_params.sql"),
    include_str!("../../../../../migrations/postgres/0003_nodes.sql"),
    include_str!("../../../../../migrations/postgres/0004_deliveries.sql"),
];

/// Takes the steps that are missing, all in one transaction with what `first` adds to a new database. Nodes that start at one
/// moment do it one after the other: who comes second finds it done.
pub(super) fn migrate(session: &Session, first: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
    session.begin("BEGIN")?;
    let taken = steps(session, first).and_then(|()| session.batch("COMMIT"));
    if taken.is_err() {
        session.roll_back();
    }
    taken
}

fn steps(session: &Session, first: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
    // A step may take long, and another node may be taking it just now.
    session.batch(
        "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'; SET LOCAL idle_in_transaction_session_timeout = '60s'",
    )?;
    let rows = session.rows("SELECT schema FROM turn WHERE one = 1 FOR UPDATE", &[])?;
    let found = rows.first().and_then(|row| row.try_get::<_, i64>(0).ok()).and_then(|found| u32::try_from(found).ok());
    let found = found.ok_or_else(|| StoreError::damaged("the row of `turn`"))?;
    if found >= SCHEMA {
        return Ok(());
    }
    for step in STEPS.iter().skip(found as usize) {
        session.batch(step)?;
    }
    let text = "UPDATE turn SET schema = ?1, writes_from = ?2 WHERE one = 1";
    let hit = session.run(text, values![SCHEMA, WRITES_FROM])?;
    if hit != 1 {
        return Err(StoreError::NotOneRow { table: "turn", rows: hit });
    }
    if found == 0 { first() } else { Ok(()) }
}
