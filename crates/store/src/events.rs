//! What happened, in order: written in the transaction that made it happen, told live after its commit.

use std::borrow::Cow;
use std::sync::Arc;

use evergrant_core::connection::Connection;
use evergrant_core::id::{ConnectionId, EventId, IntegrationName, SubjectId};
use evergrant_core::time::Timestamp;
use serde_json::{Map, Value};

use crate::db::values;
use crate::error::StoreError;
use crate::row::json;
use crate::shared::{Effect, Shared, Tx};

/// Something that happened, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its place in the order of commits.
    pub seq: u64,
    /// Its id.
    pub id: EventId,
    /// When.
    pub at: Timestamp,
    /// What: `connection.refreshed`, `connection.needs_reauth`, …
    pub kind: String,
    /// The integration that it is about.
    pub integration: Option<IntegrationName>,
    /// The connection that it is about.
    pub connection: Option<ConnectionId>,
    /// The subject that it is about.
    pub subject: Option<SubjectId>,
    /// More about it; never a secret.
    pub data: Map<String, Value>,
}

/// Something that is about to have happened. What it is about, the store fills in.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// What: `connection.refreshed`, `connection.needs_reauth`, …
    pub kind: Cow<'static, str>,
    /// More about it; never a secret.
    pub data: Map<String, Value>,
}

impl NewEvent {
    /// Without more about it.
    pub fn new(kind: impl Into<Cow<'static, str>>) -> Self {
        NewEvent { kind: kind.into(), data: Map::new() }
    }

    /// With one more fact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.data.insert(name.to_owned(), value.into());
        self
    }
}

/// What an event or a notice is about.
#[derive(Clone, Copy)]
pub(crate) struct About<'a> {
    pub integration: Option<&'a IntegrationName>,
    pub connection: Option<&'a ConnectionId>,
    pub subject: Option<&'a SubjectId>,
}

impl<'a> About<'a> {
    pub fn connection(connection: &'a Connection) -> Self {
        About {
            integration: Some(&connection.integration),
            connection: Some(&connection.id),
            subject: Some(&connection.subject),
        }
    }

    pub fn integration(name: &'a IntegrationName) -> Self {
        About { integration: Some(name), connection: None, subject: None }
    }
}

/// Writes events in a transaction.
pub(crate) fn write(
    tx: &Tx<'_>,
    shared: &Shared,
    about: About<'_>,
    events: &[NewEvent],
    at: Timestamp,
) -> Result<(), StoreError> {
    for new in events {
        let id = EventId::make(at, shared.entropy.id());
        let text = "INSERT INTO events (id, kind, integration, connection_id, subject, data, at) \
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING seq";
        let data = json(&new.data)?;
        let kind: &str = &new.kind;
        let all = values![id, kind, about.integration, about.connection, about.subject, data, at];
        let seq = tx.one(text, all, |row| row.count(0))?.ok_or(StoreError::NotOneRow { table: "events", rows: 0 })?;
        tx.after_commit(Effect::Event(Arc::new(Event {
            seq,
            id,
            at,
            kind: new.kind.clone().into_owned(),
            integration: about.integration.cloned(),
            connection: about.connection.cloned(),
            subject: about.subject.cloned(),
            data: new.data.clone(),
        })));
    }
    Ok(())
}
