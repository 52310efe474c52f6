//! Statements and rows.

use std::str::FromStr;

use evergrant_core::time::Timestamp;
use serde::de::DeserializeOwned;

use super::postgres::{self, Session};
use super::sqlite::trouble;
use super::value::Value;
use super::values;
use crate::error::StoreError;
use crate::seal::SealedBytes;

/// A connection to the database, for the length of a unit of work.
#[derive(Clone, Copy)]
pub(crate) enum Sql<'a> {
    Sqlite(&'a rusqlite::Connection),
    Postgres(&'a Session),
}

impl Sql<'_> {
    /// Runs a statement; says how many rows it hit.
    pub fn run(&self, text: &'static str, values: &[Value<'_>]) -> Result<usize, StoreError> {
        match self {
            Sql::Sqlite(raw) => {
                let mut statement = raw.prepare_cached(text).map_err(trouble)?;
                statement.execute(rusqlite::params_from_iter(values)).map_err(trouble)
            }
            Sql::Postgres(session) => session.run(text, values),
        }
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
        match self {
            Sql::Sqlite(raw) => {
                let mut statement = raw.prepare_cached(text).map_err(trouble)?;
                let mut rows = statement.query(rusqlite::params_from_iter(values)).map_err(trouble)?;
                match rows.next().map_err(trouble)? {
                    Some(row) => read(&Row::Sqlite(row)).map(Some),
                    None => Ok(None),
                }
            }
            Sql::Postgres(session) => {
                session.rows(text, values)?.first().map(Row::Postgres).as_ref().map(read).transpose()
            }
        }
    }

    /// All rows.
    pub fn all<T>(
        &self,
        text: &'static str,
        values: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.all_of(text, values, read)
    }

    /// All rows of a statement that was put together from fixed parts (filters that may be there or not).
    pub fn all_of<T>(
        &self,
        text: &str,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        match self {
            Sql::Sqlite(raw) => {
                let mut statement = raw.prepare_cached(text).map_err(trouble)?;
                let mut rows = statement.query(rusqlite::params_from_iter(values)).map_err(trouble)?;
                let mut all = Vec::new();
                while let Some(row) = rows.next().map_err(trouble)? {
                    all.push(read(&Row::Sqlite(row))?);
                }
                Ok(all)
            }
            Sql::Postgres(session) => session.rows(text, values)?.iter().map(|row| read(&Row::Postgres(row))).collect(),
        }
    }

    /// The number of the last turn; none where one process works alone.
    pub fn position(&self) -> Result<Option<u64>, StoreError> {
        match self {
            Sql::Sqlite(_) => Ok(None),
            Sql::Postgres(_) => self.one("SELECT seq FROM turn WHERE one = 1", &[], |row| row.count(0)),
        }
    }

    /// The nodes that gave a sign of life lately; none where one process works alone.
    pub fn living(&self) -> Result<Option<Vec<String>>, StoreError> {
        match self {
            Sql::Sqlite(_) => Ok(None),
            Sql::Postgres(session) => session.living().map(Some),
        }
    }

    /// Tells the other nodes what a turn changes.
    pub fn tell(&self, turn: u64, node: &str, document: &str) -> Result<(), StoreError> {
        match self {
            Sql::Sqlite(_) => Ok(()),
            Sql::Postgres(session) => session.tell(turn, node, document),
        }
    }

    /// Forgets what was told long ago, and nodes that are long gone (milliseconds); says how many rows.
    pub fn erase_told(&self, age: i64, silent: i64, most: usize) -> Result<usize, StoreError> {
        match self {
            Sql::Sqlite(_) => Ok(0),
            Sql::Postgres(session) => session.erase_told(age, silent, most),
        }
    }

    /// Notes a new data key, so that no other node meets it unprepared.
    pub fn newest_key(&self, id: u32) -> Result<(), StoreError> {
        match self {
            Sql::Sqlite(_) => Ok(()),
            Sql::Postgres(_) => self.run_one("turn", "UPDATE turn SET keys = ?1 WHERE one = 1", values![id]),
        }
    }

    /// Whether there is a row.
    pub fn any(&self, text: &'static str, values: &[Value<'_>]) -> Result<bool, StoreError> {
        Ok(self.one(text, values, |_| Ok(()))?.is_some())
    }
}

/// A row of an answer; columns by their place.
pub(crate) enum Row<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a ::postgres::Row),
}

impl Row<'_> {
    fn get<T: rusqlite::types::FromSql + postgres::Column>(&self, at: usize) -> Result<T, StoreError> {
        match self {
            Row::Sqlite(row) => row.get(at).ok(),
            Row::Postgres(row) => T::read(row, at),
        }
        .ok_or_else(|| self.odd(at))
    }

    fn odd(&self, at: usize) -> StoreError {
        let column = match self {
            Row::Sqlite(row) => row.as_ref().column_name(at).unwrap_or("?"),
            Row::Postgres(row) => row.columns().get(at).map_or("?", |column| column.name()),
        };
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
