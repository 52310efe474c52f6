//! The schema, in numbered steps that are never edited once they have been released.

use super::super::SCHEMA;
use super::super::values;
use super::session::Session;
use crate::error::StoreError;

/// The steps, under the same numbers as those of SQLite.
const STEPS: [&str; SCHEMA as usize] = [
    include_str!("../../../../../migrations/postgres/0001_start.sql"),
    include_str!("../../../../../migrations/postgres/0002_integration_params.sql"),
    include_str!("../../../../../migrations/postgres/0003_deliveries.sql"),
];

/// Takes the steps from `found` on, all in one transaction with what `first` adds.
pub(super) fn migrate(
    session: &Session,
    found: u32,
    first: impl FnOnce() -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    if found == SCHEMA {
        return Ok(());
    }
    session.begin("BEGIN")?;
    let taken = steps(session, found).and_then(|()| first()).and_then(|()| session.batch("COMMIT"));
    if taken.is_err() {
        session.roll_back();
    }
    taken
}

fn steps(session: &Session, found: u32) -> Result<(), StoreError> {
    for step in STEPS.iter().skip(found as usize) {
        session.batch(step)?;
    }
    let hit = session.run("UPDATE holder SET schema = ?2 WHERE one = 1 AND schema = ?1", values![found, SCHEMA])?;
    if hit == 1 { Ok(()) } else { Err(StoreError::NotOneRow { table: "holder", rows: hit }) }
}
