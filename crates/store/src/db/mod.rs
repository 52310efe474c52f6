//! The database: the only folder that knows which one it is.
//!
//! Everything above speaks in statements of the common subset of SQL (ids TEXT, times BIGINT milliseconds, secrets BLOB,
//! numbered parameters) through [`Sql`], inside a unit of work that [`Writer`] or [`Readers`] run on threads of their own. What differs stands side by side in
//! `base` and `sql`; what only one of the two has, in its own folder.
//! A use is one transaction for its caller; the writer puts those that wait into one commit.

mod base;
mod database;
mod identity;
mod postgres;
mod readers;
mod select;
mod sql;
mod sqlite;
#[cfg(test)]
mod tests;
mod turn;
mod unit;
mod value;
mod writer;

pub use database::Database;
pub(crate) use database::{Opening, Schema, fell_behind};
pub(crate) use identity::Identity;
pub(crate) use postgres::Listener;
pub use postgres::{DatabaseServer, NotAServer};
pub(crate) use readers::{Learn, Readers};
pub(crate) use select::Select;
pub(crate) use sql::{Row, Sql};
pub use sqlite::{BackupError, RestoredBackup, back_up, restore};
pub(crate) use turn::{Former, Look, Told, Turn};
pub(crate) use unit::{Household, Unit};
pub(crate) use value::ToValue;
pub(crate) use writer::Writer;

/// The newest schema that this binary knows: how many steps there are, the same for both databases.
pub(crate) const SCHEMA: u32 = 4;
/// The oldest schema whose binaries may write beside this one, while the nodes on a server are replaced one by one.
pub(crate) const WRITES_FROM: u32 = 4;

/// The values of a statement, in the order of its numbers.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::db::ToValue::to_value(&$value)),*] };
}
pub(crate) use values;
