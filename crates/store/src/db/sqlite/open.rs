//! Opening SQLite so that a commit that was answered survives a power cut, and proving the settings by reading them back.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::super::{SCHEMA, Schema, Sql};
use super::{migrate, trouble};
use crate::error::{OpenError, StoreError};

/// Older ones carry the WAL-reset corruption (fixed in 3.51.3).
const OLDEST_SQLITE: i32 = 3_051_003;
/// "EVGR": marks the file as ours (`PRAGMA application_id`).
const APPLICATION: i32 = 0x4556_4752;
/// Statements kept prepared on each connection.
const STATEMENTS: usize = 256;
/// How long a lock of another program is waited for. Nobody else should have the file open.
const PATIENCE: Duration = Duration::from_secs(2);

/// Opens connections to one database file.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    /// The database.
    pub database: PathBuf,
}

impl Files {
    /// Opens the connection that writes. Nothing is changed yet, except that a missing file is made.
    pub fn open_writer(&self) -> Result<(Connection, Schema), OpenError> {
        let version = rusqlite::version_number();
        if version < OLDEST_SQLITE {
            let what = format!("version {version} is older than {OLDEST_SQLITE}, which mends a corruption of its log");
            return Err(OpenError::Unfit { what });
        }
        self.make_private()?;
        let raw = self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        let schema = self.schema(&raw)?;
        Ok((raw, schema))
    }

    /// The file is made here and not by SQLite, so that it is never readable by others, and a missing folder is named.
    fn make_private(&self) -> Result<(), OpenError> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut open = std::fs::OpenOptions::new();
        open.read(true).write(true).create(true).truncate(false).mode(0o600);
        open.open(&self.database).map(drop).map_err(|cause| OpenError::io(self.what(), cause))
    }

    /// Opens a connection that can only read.
    pub fn open_reader(&self) -> Result<Connection, OpenError> {
        let raw = self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        raw.pragma_update(None, "query_only", true).map_err(|error| self.refused(error))?;
        Ok(raw)
    }

    fn connect(&self, mode: OpenFlags) -> Result<Connection, OpenError> {
        let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let raw = Connection::open_with_flags(&self.database, flags).map_err(|error| self.refused(error))?;
        raw.set_prepared_statement_cache_capacity(STATEMENTS);
        // Else a statement is planned anew for each value that it is given, which costs more than running it.
        raw.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(|error| self.refused(error))?;
        raw.busy_timeout(PATIENCE).map_err(|error| self.refused(error))?;
        raw.pragma_update(None, "foreign_keys", true).map_err(|error| self.refused(error))?;
        raw.pragma_update(None, "trusted_schema", false).map_err(|error| self.refused(error))?;
        // Also where a build of SQLite would map by default: a file that shrinks under a map kills the process.
        raw.pragma_update(None, "mmap_size", 0).map_err(|error| self.refused(error))?;
        // What is erased with a person must not lie on in free pages.
        raw.pragma_update(None, "secure_delete", true).map_err(|error| self.refused(error))?;
        raw.pragma_update(None, "cache_size", -32_768).map_err(|error| self.refused(error))?;
        Ok(raw)
    }

    /// What kind of file it is.
    pub fn schema(&self, raw: &Connection) -> Result<Schema, OpenError> {
        let number = |name: &str| raw.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let application = number("application_id").map_err(|error| self.refused(error))?;
        let schema = number("user_version").map_err(|error| self.refused(error))?;
        let tables = raw.query_row("SELECT COUNT(*) FROM sqlite_master", [], |row| row.get::<_, i64>(0));
        let tables = tables.map_err(|error| self.refused(error))?;
        if tables == 0 && application == 0 && schema == 0 {
            return Ok(Schema::New);
        }
        if application != i64::from(APPLICATION) {
            let what = "it holds the tables of another program".to_owned();
            return Err(OpenError::NotOurs { database: self.name(), what });
        }
        let found = u32::try_from(schema).unwrap_or(u32::MAX);
        if found > SCHEMA {
            return Err(OpenError::SchemaNewer { database: self.name(), found, known: SCHEMA });
        }
        Ok(Schema::Number(found))
    }

    /// Sets what durability needs, and reads it back.
    pub fn make_durable(&self, raw: &Connection) -> Result<(), OpenError> {
        let mode: String = raw
            .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
            .map_err(|error| self.refused(error))?;
        raw.pragma_update(None, "synchronous", "FULL").map_err(|error| self.refused(error))?;
        raw.pragma_update(None, "wal_autocheckpoint", 20_000).map_err(|error| self.refused(error))?;
        // A crash in a long time leaves at most this much of the log behind after the next checkpoint.
        raw.pragma_update(None, "journal_size_limit", 256 * 1024 * 1024).map_err(|error| self.refused(error))?;
        let number = |name: &str| raw.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let read = |name: &str| number(name).map_err(|error| self.refused(error));
        for (name, right) in [("synchronous", 2), ("foreign_keys", 1), ("mmap_size", 0)] {
            let found = read(name).or_else(|error| if name == "mmap_size" { Ok(0) } else { Err(error) })?;
            if found != right {
                return Err(OpenError::Unfit { what: format!("`{name}` reads back as {found} instead of {right}") });
            }
        }
        if mode != "wal" {
            return Err(OpenError::Unfit { what: format!("`journal_mode` reads back as {mode} instead of wal") });
        }
        Ok(())
    }

    /// Brings the schema up to date; `first` fills a new database in the same transaction.
    pub fn migrate(
        &self,
        raw: &mut Connection,
        schema: Schema,
        first: impl FnOnce(&Sql<'_>) -> Result<(), StoreError>,
    ) -> Result<(), OpenError> {
        let found = match schema {
            Schema::New => 0,
            Schema::Number(found) => found,
        };
        migrate::migrate(raw, found, |raw| {
            if schema == Schema::New {
                raw.pragma_update(None, "application_id", APPLICATION).map_err(trouble)?;
                first(&Sql::Sqlite(raw))?;
            }
            Ok(())
        })
        .map_err(|error| self.as_open_error(error))
    }

    /// Reads outside of the threads, while opening.
    pub fn look<T>(
        &self,
        raw: &Connection,
        work: impl FnOnce(&Sql<'_>) -> Result<T, StoreError>,
    ) -> Result<T, OpenError> {
        work(&Sql::Sqlite(raw)).map_err(|error| self.as_open_error(error))
    }

    fn name(&self) -> String {
        self.database.display().to_string()
    }

    fn what(&self) -> String {
        format!("the database {}", self.name())
    }

    pub fn refused(&self, error: rusqlite::Error) -> OpenError {
        self.as_open_error(trouble(error))
    }

    fn as_open_error(&self, error: StoreError) -> OpenError {
        match error {
            StoreError::Unavailable { trouble, cause } => OpenError::Unavailable { what: self.what(), trouble, cause },
            StoreError::Damaged { what, .. } => OpenError::NotOurs { database: self.name(), what },
            other => OpenError::Store(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_statement_is_planned_once_and_not_anew_for_each_value_that_it_is_given() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (raw, _) = Files { database: folder.path().join("some.db") }.open_writer().expect("a new file");
        // What is known of the values, as after an orderly end, is what tempts SQLite to plan for each of them.
        let rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT i FROM n";
        let table =
            format!("CREATE TABLE some (at INTEGER); CREATE INDEX some_at ON some (at); INSERT INTO some {rows}");
        raw.execute_batch(&format!("{table}; ANALYZE")).expect("a table");
        let mut statement = raw.prepare("SELECT COUNT(*) FROM some WHERE at < ?1").expect("a statement");
        for at in 1..=10_i64 {
            let less: i64 = statement.query_row([at], |row| row.get(0)).expect("a row");
            assert_eq!(less, at - 1);
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }
}
