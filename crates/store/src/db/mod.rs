//! The database: the only folder that knows which one it is.
//!
//! Everything above speaks in statements of the common subset of SQL (ids TEXT, times BIGINT milliseconds, secrets BLOB,
//! numbered parameters) through [`Sql`], inside a unit of work that [`Writer`] or [`Readers`] run on threads of their own.
//! A use is one transaction for its caller; the writer puts those that wait into one commit.

mod backup;
mod migrate;
mod open;
mod readers;
mod select;
mod sql;
#[cfg(test)]
mod tests;
mod value;
mod writer;

pub use backup::{BackupError, RestoredBackup, back_up, restore};
pub(crate) use open::{Files, Schema};
pub(crate) use readers::Readers;
pub(crate) use select::Select;
pub(crate) use sql::{Row, Sql};
pub(crate) use value::ToValue;
pub(crate) use writer::{Household, Unit, Writer};

/// The values of a statement, in the order of its numbers.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::db::ToValue::to_value(&$value)),*] };
}
pub(crate) use values;
