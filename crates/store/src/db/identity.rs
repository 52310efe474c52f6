//! Which database this is, as its server knows it: a copy of all its rows in another place is not the same database.

use serde::{Deserialize, Serialize};

use super::postgres::Session;
use super::sql::Sql;
use crate::error::StoreError;

/// What stays the same as long as a database lives, over restarts and promoted standbys, and changes when it is loaded
/// from a dump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The cluster's own number; none where the server does not tell it.
    #[serde(default)]
    system: Option<String>,
    /// The line of time that the cluster writes: another one after each promotion or recovery to a point in time.
    #[serde(default)]
    line: Option<String>,
    /// The database's number in the cluster.
    database: i64,
    /// The numbers of our oldest tables in the database.
    tables: String,
}

impl Identity {
    #[cfg(test)]
    pub fn of(system: &str, line: &str, database: i64, tables: &str) -> Self {
        Identity { system: Some(system.to_owned()), line: Some(line.to_owned()), database, tables: tables.to_owned() }
    }

    /// Whether it is the same database. What one of the two does not tell is passed over.
    pub fn is(&self, other: &Identity) -> bool {
        let same = |one: &Option<String>, other: &Option<String>| one.is_none() || other.is_none() || one == other;
        same(&self.system, &other.system) && self.database == other.database && self.tables == other.tables
    }

    /// Whether nothing was recovered or promoted between the two.
    pub fn is_on_line_of(&self, other: &Identity) -> bool {
        self.line.is_none() || other.line.is_none() || self.line == other.line
    }
}

const ALLOWED: &str = "SELECT COALESCE(has_function_privilege(to_regprocedure('pg_control_system()'), 'EXECUTE')::int, 0)::bigint, \
     COALESCE((has_function_privilege(to_regprocedure('pg_walfile_name(pg_lsn)'), 'EXECUTE') AND \
     has_function_privilege(to_regprocedure('pg_current_wal_lsn()'), 'EXECUTE'))::int, 0)::bigint";
const SYSTEM: &str = "SELECT system_identifier::text FROM pg_control_system()";
const LINE: &str = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)";
const TABLES: &str = "SELECT (SELECT oid::bigint FROM pg_database WHERE datname = current_database()), \
     (SELECT string_agg(oid::text, ',' ORDER BY relname) FROM pg_class \
     WHERE relnamespace = current_schema()::regnamespace \
     AND relname IN ('meta', 'grants', 'lives', 'connections', 'integrations', 'data_keys'))";

impl Sql<'_> {
    /// Which database this is; none for a file, which is what its folder is.
    pub fn identity(&self) -> Result<Option<Identity>, StoreError> {
        match self {
            Sql::Sqlite(_) => Ok(None),
            Sql::Postgres(session) => of_server(session).map(Some),
        }
    }
}

fn of_server(session: &Session) -> Result<Identity, StoreError> {
    let odd = |_| StoreError::damaged("the server's answer to who it is");
    let allowed = session.rows(ALLOWED, &[])?;
    let may = |at: usize| allowed.first().is_some_and(|row| row.try_get::<_, i64>(at).is_ok_and(|yes| yes == 1));
    let word = |text: &str| -> Result<Option<String>, StoreError> {
        session.rows(text, &[])?.first().map(|row| row.try_get(0).map_err(odd)).transpose()
    };
    let system = if may(0) { word(SYSTEM)? } else { None };
    let line = if may(1) { word(LINE)? } else { None };
    let tables = session.rows(TABLES, &[])?;
    let row = tables.first().ok_or_else(|| StoreError::damaged("no tables"))?;
    Ok(Identity { system, line, database: row.try_get(0).map_err(odd)?, tables: row.try_get(1).map_err(odd)? })
}
