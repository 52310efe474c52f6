//! Which database it is, and opening it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use evergrant_core::id::NodeId;
use tokio::sync::watch;

use super::base::{Base, Reader};
use super::postgres::{DatabaseServer, Listener, Opened, Role};
use super::sql::Sql;
use super::sqlite::Files;
use super::turn::Former;
use crate::error::{OpenError, StoreError};

/// Where everything is kept.
#[derive(Clone, Debug)]
pub enum Database {
    /// A file of SQLite.
    File(PathBuf),
    /// A database on a PostgreSQL server.
    Server(Box<DatabaseServer>),
}

impl Database {
    /// The file; none where it is on a server.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Database::File(file) => Some(file),
            Database::Server(_) => None,
        }
    }

    /// Whether a server is found to have lost commits that it had answered. Never a file.
    pub(crate) fn behind(&self) -> Arc<watch::Sender<bool>> {
        match self {
            Database::File(_) => Arc::new(watch::Sender::new(false)),
            Database::Server(server) => server.behind.clone(),
        }
    }
}

/// The server has lost commits that it had answered: those who put it right are woken, and the operator is told.
pub(crate) fn fell_behind(behind: &watch::Sender<bool>) {
    if !behind.send_replace(true) {
        tracing::error!(
            "the database has lost its last commits; it is put right from the journal, and nothing is sent meanwhile. Look at \
             the server's replication"
        );
    }
}

/// Its name for people; never with a password.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Database::File(file) => file.display().fmt(f),
            Database::Server(server) => server.fmt(f),
        }
    }
}

impl From<PathBuf> for Database {
    fn from(file: PathBuf) -> Self {
        Database::File(file)
    }
}

impl From<DatabaseServer> for Database {
    fn from(server: DatabaseServer) -> Self {
        Database::Server(Box::new(server))
    }
}

/// What was found in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    /// Nothing yet.
    New,
    /// Ours, with this schema.
    Number(u32),
}

/// A database that is being opened.
pub(crate) enum Opening {
    Sqlite { files: Files, raw: rusqlite::Connection, schema: Schema },
    Postgres(Box<Opened>),
}

impl Opening {
    /// Opens the connection that writes. Nothing is changed yet, except that what is missing is made, empty. On a server this
    /// process will be `node`, on the data folder that `place` names; where it `rules`, leases go by the server's clock.
    pub fn start(database: &Database, place: &str, node: &NodeId, rules: bool) -> Result<Self, OpenError> {
        match database {
            Database::File(file) => {
                let files = Files { database: file.clone() };
                let (raw, schema) = files.open_writer()?;
                Ok(Opening::Sqlite { files, raw, schema })
            }
            Database::Server(server) => {
                Ok(Opening::Postgres(Box::new(Opened::look(server, place, node.as_str(), rules)?)))
            }
        }
    }

    pub fn schema(&self) -> Schema {
        match self {
            Opening::Sqlite { schema, .. } => *schema,
            Opening::Postgres(opened) => opened.schema,
        }
    }

    /// Brings the schema up to date, durably; `first` fills a new database in the same transaction.
    pub fn migrate(&mut self, first: impl FnOnce(&Sql<'_>) -> Result<(), StoreError>) -> Result<(), OpenError> {
        match self {
            Opening::Sqlite { files, raw, schema } => {
                files.make_durable(raw)?;
                files.migrate(raw, *schema, first)
            }
            Opening::Postgres(opened) => opened.migrate(|| first(&Sql::Postgres(opened.node.session()))),
        }
    }

    /// Reads one snapshot outside of the threads, while opening.
    pub fn look<T>(&self, work: impl FnOnce(&Sql<'_>) -> Result<T, StoreError>) -> Result<T, OpenError> {
        match self {
            Opening::Sqlite { files, raw, .. } => files.look(raw, work),
            Opening::Postgres(opened) => Ok(opened.node.session().snapshot(|session| work(&Sql::Postgres(session)))?),
        }
    }

    /// The first writes, with who worked here before.
    pub fn enter<T>(&mut self, work: impl FnOnce(&Sql<'_>, Former) -> Result<T, StoreError>) -> Result<T, OpenError> {
        match self {
            Opening::Sqlite { files, raw, .. } => files.look(raw, |sql| work(sql, Former::All)),
            Opening::Postgres(opened) => {
                Ok(opened.node.enter(|node| work(&Sql::Postgres(node.session()), Former::These(node.former()?)))?)
            }
        }
    }

    /// The connection on which the commits of other nodes are heard; none where there are none.
    pub fn listener(&self) -> Option<Listener> {
        match self {
            Opening::Sqlite { .. } => None,
            Opening::Postgres(opened) => Some(Listener::new(opened.node.another(Role::Listens))),
        }
    }

    /// Opens a connection that reads.
    pub fn reader(&self) -> Result<Reader, OpenError> {
        match self {
            Opening::Sqlite { files, .. } => files.open_reader().map(Reader::Sqlite),
            Opening::Postgres(opened) => {
                let session = opened.node.another(Role::Reads);
                session.ready()?;
                Ok(Reader::Postgres(Box::new(session)))
            }
        }
    }

    /// The connection that writes.
    pub fn into_base(self) -> Base {
        match self {
            Opening::Sqlite { raw, .. } => Base::Sqlite(raw),
            Opening::Postgres(opened) => Base::Postgres(Box::new(opened.node)),
        }
    }
}
