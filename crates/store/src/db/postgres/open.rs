//! Opening a database on a server: whose it is, and bringing its schema up to date.

use super::super::{SCHEMA, Schema};
use super::migrate;
use super::node::{Node, TABLES};
use super::server::DatabaseServer;
use super::session::{Role, Session};
use super::trouble;
use crate::error::{OpenError, StoreError};

/// So often two processes that make the first table at one moment may stand in each other's way.
const RACES: usize = 5;

/// A database on a server, opened by a node.
pub(crate) struct Opened {
    pub node: Node,
    pub schema: Schema,
}

impl Opened {
    /// Looks at the database. Nothing is changed, except that an empty one is marked as ours.
    pub fn look(server: &DatabaseServer, place: &str, node: &str, rules: bool) -> Result<Self, OpenError> {
        let session = Session::new(server.clone(), Role::Writes);
        session.ready().map_err(|error| as_open_error(server, error))?;
        session.prove()?;
        let mut tries = 0;
        while !is_marked(&session)? {
            tries += 1;
            mark(&session, tries)?;
        }
        let rows = session.rows("SELECT schema, writes_from FROM turn WHERE one = 1", &[])?;
        let number =
            |at| rows.first().and_then(|row| row.try_get::<_, i64>(at).ok()).and_then(|n| u32::try_from(n).ok());
        let missing = || not_ours(server, "no row in `turn`");
        let (found, writes_from) = (number(0).ok_or_else(missing)?, number(1).ok_or_else(missing)?);
        if writes_from > SCHEMA {
            return Err(OpenError::SchemaNewer { database: server.to_string(), found, known: SCHEMA });
        }
        let node = Node::new(session, place, node, rules);
        Ok(Opened { node, schema: if found == 0 { Schema::New } else { Schema::Number(found) } })
    }

    /// Brings the schema up to date; `first` fills a new database in the same transaction.
    pub fn migrate(&self, first: impl FnOnce() -> Result<(), StoreError>) -> Result<(), OpenError> {
        let session = self.node.session();
        migrate::migrate(session, first).map_err(|error| as_open_error(session.server(), error))
    }
}

/// Whether the table that says whose the database is stands there; tables of anybody else are refused.
fn is_marked(session: &Session) -> Result<bool, OpenError> {
    let text = "SELECT COUNT(*), COUNT(*) FILTER (WHERE relname = 'turn') FROM pg_class \
                WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')";
    let rows = session.rows(text, &[])?;
    let counts = rows.first().and_then(|row| Some((row.try_get::<_, i64>(0).ok()?, row.try_get::<_, i64>(1).ok()?)));
    match counts {
        Some((_, 1)) => Ok(true),
        Some((0, _)) => Ok(false),
        _ => Err(not_ours(
            session.server(),
            "it holds the tables of another program; give the service a database or a schema of its own",
        )),
    }
}

fn mark(session: &Session, tries: usize) -> Result<(), OpenError> {
    match session.batch(TABLES) {
        // Another process made it at the same moment: whoever commits second is told so, and looks again.
        Err(error) if tries < RACES && trouble::is_race(&error) => Ok(()),
        other => other.map_err(|error| as_open_error(session.server(), error)),
    }
}

fn not_ours(server: &DatabaseServer, what: &str) -> OpenError {
    OpenError::NotOurs { database: server.to_string(), what: what.to_owned() }
}

fn as_open_error(server: &DatabaseServer, error: StoreError) -> OpenError {
    match error {
        StoreError::Unavailable { trouble, cause } => {
            OpenError::Unavailable { what: format!("the database {server}"), trouble, cause }
        }
        other => OpenError::Store(other),
    }
}
