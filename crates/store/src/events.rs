//! What happened, in order: written in the transaction that made it happen, told live after its commit.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use evergrant_core::connection::Connection;
use evergrant_core::id::{ConnectionId, EventId, IntegrationName, SubjectId};
use evergrant_core::time::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::broadcast;

use crate::db::{Row, Select, Sql, values};
use crate::deliveries;
use crate::error::StoreError;
use crate::page::{Cursor, Page};
use crate::row::json;
use crate::shared::{Effect, Shared, Tx};
use crate::store::Store;

macro_rules! event_columns {
    () => {
        "SELECT seq, id, kind, integration, connection_id, subject, data, at"
    };
}

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
        deliveries::of_event(tx, shared, about, (new, &id), at)?;
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

/// Which events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of these integrations; none: all, also those that are about none.
    pub integrations: Option<BTreeSet<IntegrationName>>,
    /// Of this subject.
    pub subject: Option<SubjectId>,
    /// Of this connection.
    pub connection: Option<ConnectionId>,
}

impl EventFilter {
    /// Whether an event fits, for one that was told live.
    pub fn fits(&self, event: &Event) -> bool {
        let sees =
            |names: &BTreeSet<IntegrationName>| event.integration.as_ref().is_some_and(|name| names.contains(name));
        self.integrations.as_ref().is_none_or(sees)
            && (self.subject.is_none() || self.subject == event.subject)
            && (self.connection.is_none() || self.connection == event.connection)
    }

    fn select(&self) -> Select<'_> {
        let mut select = Select::from(concat!(event_columns!(), " FROM events"));
        if let Some(names) = &self.integrations {
            select.and_in("integration", names);
        }
        if let Some(subject) = &self.subject {
            select.and("subject = #", subject);
        }
        if let Some(connection) = &self.connection {
            select.and("connection_id = #", connection);
        }
        select
    }
}

impl Store {
    /// A page of events, newest first.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn events(
        &self,
        filter: EventFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Event>, StoreError> {
        let before: Option<u64> = match after.map(|cursor| cursor.key()) {
            Some(None) => return Ok(Page::last(Vec::new())),
            Some(seq) => seq,
            None => None,
        };
        self.read(move |sql, _| {
            let mut select = filter.select();
            if let Some(seq) = &before {
                select.and("seq < #", seq);
            }
            let items = select.run(sql, "ORDER BY seq DESC", limit + 1, read)?;
            Ok(Page::cut(items, limit, |event| event.seq.to_string()))
        })
        .await
    }

    /// Events after a place in the order of commits, oldest first.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn events_after(&self, filter: EventFilter, seq: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.read(move |sql, _| {
            let mut select = filter.select();
            select.and("seq > #", &seq);
            select.run(sql, "ORDER BY seq", limit, read)
        })
        .await
    }

    /// Where an event stands in the order of commits; none if it is gone.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn event_seq(&self, id: &EventId) -> Result<Option<u64>, StoreError> {
        let id = id.clone();
        self.read(move |sql, _| sql.one("SELECT seq FROM events WHERE id = ?1", values![id], |row| row.count(0))).await
    }

    /// Events from now on, each after its commit. Who lags behind reads on from [`Store::events_after`].
    pub fn follow_events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.shared.events.subscribe()
    }
}

/// Some events behind a place in the order of commits, oldest first.
pub(crate) fn behind(sql: &Sql<'_>, seq: u64) -> Result<Vec<Event>, StoreError> {
    sql.all(concat!(event_columns!(), " FROM events WHERE seq > ?1 ORDER BY seq LIMIT 500"), values![seq], read)
}

/// The place of the newest event.
pub(crate) fn newest(sql: &Sql<'_>) -> Result<u64, StoreError> {
    let text = "SELECT seq FROM events ORDER BY seq DESC LIMIT 1";
    Ok(sql.one(text, &[], |row| row.count(0))?.unwrap_or(0))
}

fn read(row: &Row<'_>) -> Result<Event, StoreError> {
    Ok(Event {
        seq: row.count(0)?,
        id: row.parse(1)?,
        kind: row.text(2)?,
        integration: row.opt_parse(3)?,
        connection: row.opt_parse(4)?,
        subject: row.opt_parse(5)?,
        data: row.json(6)?,
        at: row.time(7)?,
    })
}
