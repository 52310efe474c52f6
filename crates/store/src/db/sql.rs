//! Statements and rows.

use std::str::FromStr;
use std::sync::Arc;

use evergrant_core::time::Timestamp;
use rusqlite::ErrorCode;
use rusqlite::types::{ToSqlOutput, ValueRef};
use serde::de::DeserializeOwned;

use super::value::Value;
use crate::error::{StoreError, Trouble};
use crate::seal::SealedBytes;

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Int(value) => ValueRef::Integer(*value),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// A connection to the database, for the length of a unit of work.
pub(crate) struct Sql<'a> {
    pub(super) raw: &'a rusqlite::Connection,
}

impl Sql<'_> {
    /// Runs a statement; says how many rows it hit.
    pub fn run(&self, text: &'static str, values: &[Value<'_>]) -> Result<usize, StoreError> {
        let mut statement = self.raw.prepare_cached(text).map_err(trouble)?;
        statement.execute(rusqlite::params_from_iter(values)).map_err(trouble)
    }

    /// Runs a statement that is meant for one row of `table`.
    pub fn run_one(&self, table: &'static str, text: &'static str, values: &[Value<'_>]) -> Result<(), StoreError> {
        match self.run(text, values)? {
            1 => Ok(()),
            rows => Err(StoreError::NotOneRow { table, rows }),
        }
    }

    /// The first row.
    pub fn one<T>(
        &self,
        text: &'static str,
        values: &[Value<'_>],
        read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut statement = self.raw.prepare_cached(text).map_err(trouble)?;
        let mut rows = statement.query(rusqlite::params_from_iter(values)).map_err(trouble)?;
        match rows.next().map_err(trouble)? {
            Some(row) => read(&Row { row }).map(Some),
            None => Ok(None),
        }
    }

    /// All rows.
    pub fn all<T>(
        &self,
        text: &'static str,
        values: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.raw.prepare_cached(text).map_err(trouble)?;
        collect(&mut statement, values, read)
    }

    /// All rows of a statement that was put together from fixed parts (filters that may be there or not).
    pub fn all_of<T>(
        &self,
        text: &str,
        values: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.raw.prepare_cached(text).map_err(trouble)?;
        collect(&mut statement, values, read)
    }

    /// Whether there is a row.
    pub fn any(&self, text: &'static str, values: &[Value<'_>]) -> Result<bool, StoreError> {
        Ok(self.one(text, values, |_| Ok(()))?.is_some())
    }
}

fn collect<T>(
    statement: &mut rusqlite::CachedStatement<'_>,
    values: &[Value<'_>],
    mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut rows = statement.query(rusqlite::params_from_iter(values)).map_err(trouble)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next().map_err(trouble)? {
        all.push(read(&Row { row })?);
    }
    Ok(all)
}

/// A row of an answer; columns by their place.
pub(crate) struct Row<'a> {
    row: &'a rusqlite::Row<'a>,
}

impl Row<'_> {
    fn get<T: rusqlite::types::FromSql>(&self, at: usize) -> Result<T, StoreError> {
        self.row.get(at).map_err(|_| self.odd(at))
    }

    fn odd(&self, at: usize) -> StoreError {
        let column = self.row.as_ref().column_name(at).unwrap_or("?");
        StoreError::damaged(format!("an unreadable value in column `{column}`"))
    }

    pub fn int(&self, at: usize) -> Result<i64, StoreError> {
        self.get(at)
    }

    /// A counter or a generation.
    pub fn count(&self, at: usize) -> Result<u64, StoreError> {
        u64::try_from(self.int(at)?).map_err(|_| self.odd(at))
    }

    pub fn flag(&self, at: usize) -> Result<bool, StoreError> {
        Ok(self.int(at)? != 0)
    }

    pub fn text(&self, at: usize) -> Result<String, StoreError> {
        self.get(at)
    }

    pub fn opt_text(&self, at: usize) -> Result<Option<String>, StoreError> {
        self.get(at)
    }

    pub fn time(&self, at: usize) -> Result<Timestamp, StoreError> {
        self.int(at).map(Timestamp::from_millis)
    }

    pub fn opt_time(&self, at: usize) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.get::<Option<i64>>(at)?.map(Timestamp::from_millis))
    }

    pub fn bytes(&self, at: usize) -> Result<Vec<u8>, StoreError> {
        self.get(at)
    }

    pub fn sealed(&self, at: usize) -> Result<SealedBytes, StoreError> {
        self.bytes(at).map(SealedBytes::stored)
    }

    pub fn opt_sealed(&self, at: usize) -> Result<Option<SealedBytes>, StoreError> {
        Ok(self.get::<Option<Vec<u8>>>(at)?.map(SealedBytes::stored))
    }

    /// An id or a name.
    pub fn parse<T: FromStr>(&self, at: usize) -> Result<T, StoreError> {
        self.text(at)?.parse().map_err(|_| self.odd(at))
    }

    pub fn opt_parse<T: FromStr>(&self, at: usize) -> Result<Option<T>, StoreError> {
        self.opt_text(at)?.map(|text| text.parse().map_err(|_| self.odd(at))).transpose()
    }

    pub fn json<T: DeserializeOwned>(&self, at: usize) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(at)?).map_err(|_| self.odd(at))
    }

    pub fn opt_json<T: DeserializeOwned>(&self, at: usize) -> Result<Option<T>, StoreError> {
        self.opt_text(at)?.map(|text| serde_json::from_str(&text).map_err(|_| self.odd(at))).transpose()
    }
}

/// What an error of the database means.
pub(super) fn trouble(error: rusqlite::Error) -> StoreError {
    let code = error.sqlite_error_code();
    let trouble = match code {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Some(Trouble::Locked),
        Some(ErrorCode::DiskFull) => Some(Trouble::Full),
        Some(ErrorCode::ReadOnly) => Some(Trouble::ReadOnly),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => Some(Trouble::CannotOpen),
        Some(ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory | ErrorCode::OperationInterrupted) => {
            Some(Trouble::Io)
        }
        _ => None,
    };
    if let Some(trouble) = trouble {
        return StoreError::Unavailable { trouble, cause: Some(Arc::new(error)) };
    }
    match code {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged { what: "the database file is damaged".to_owned(), cause: Some(Arc::new(error)) }
        }
        _ => StoreError::Defect { doing: "running a statement", cause: Some(Arc::new(error)) },
    }
}
