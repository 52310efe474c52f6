//! Lists, a page at a time, by key and never by offset.

use std::collections::BTreeSet;
use std::sync::Arc;

use evergrant_core::connection::Connection;
use evergrant_core::id::{AccountId, ConnectionId, IntegrationName, SubjectId};
use evergrant_core::time::Timestamp;

use crate::db::{Select, values};
use crate::error::StoreError;
use crate::page::{Cursor, Page};
use crate::row::{self, columns};
use crate::store::Store;

/// So many rows are looked at for one page at most; a page may then be short though there is more.
const LOOKED_AT: usize = 10_000;
/// Rows read at once.
const CHUNK: usize = 500;

/// Which connections; all conditions that are given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionFilter {
    /// Of this subject.
    pub subject: Option<SubjectId>,
    /// Of these integrations: what the caller may see, and what he asked for.
    pub integrations: Option<BTreeSet<IntegrationName>>,
    /// In this stored status: `connected`, `needs_reauth`, `disconnected`.
    pub status: Option<&'static str>,
    /// With this text in subject, label, account or id, whatever its case.
    pub text: Option<String>,
}

impl Store {
    /// How many living connections of an integration belong to an account.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn account_connections(
        &self,
        integration: &IntegrationName,
        account: &AccountId,
    ) -> Result<u64, StoreError> {
        let (integration, account) = (integration.clone(), account.clone());
        let text = "SELECT COUNT(*) FROM connections c JOIN lives l ON l.connection_id = c.id WHERE c.integration = ?1 \
                    AND c.account_id = ?2 AND l.status <> 'disconnected'";
        self.read(move |sql, _| Ok(sql.one(text, values![integration, account], |row| row.count(0))?.unwrap_or(0)))
            .await
    }

    /// Connections of an integration that wait for their person since `since`, the latest first.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn ended_connections(
        &self,
        integration: &IntegrationName,
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<Connection>, StoreError> {
        let integration = integration.clone();
        let text = concat!(
            columns!(),
            "WHERE l.integration = ?1 AND l.status = 'needs_reauth' AND l.changed_at > ?2 ORDER BY l.changed_at DESC LIMIT ?3"
        );
        self.read(move |sql, _| sql.all(text, values![integration, since, limit], row::connection)).await
    }

    /// Connections of an integration that have been due for longest, at most `limit`.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn longest_due(
        &self,
        integration: &IntegrationName,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Connection>, StoreError> {
        let integration = integration.clone();
        let text = concat!(
            columns!(),
            "WHERE l.integration = ?1 AND l.status = 'connected' AND l.next_at IS NOT NULL AND l.next_at <= ?2 \
             ORDER BY l.next_at LIMIT ?3"
        );
        self.read(move |sql, _| sql.all(text, values![integration, now, limit], row::connection)).await
    }

    /// A page of connections in the order of their ids, of those that fit the filter and that `keep` keeps. What is
    /// derived from the clock (freshness) is for `keep`. A page may hold fewer than `limit` and still have a next one.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn list_connections(
        &self,
        filter: ConnectionFilter,
        keep: impl Fn(&Connection) -> bool + Send + 'static,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Arc<Connection>>, StoreError> {
        if filter.integrations.as_ref().is_some_and(BTreeSet::is_empty) {
            return Ok(Page::last(Vec::new()));
        }
        let mut last: Option<ConnectionId> = match &after {
            Some(cursor) => match cursor.key() {
                Some(id) => Some(id),
                None => return Ok(Page::last(Vec::new())),
            },
            None => None,
        };
        self.read(move |sql, _| {
            let wanted = filter.text.as_ref().map(|text| text.to_lowercase());
            let (mut items, mut looked_at) = (Vec::new(), 0);
            loop {
                let chunk = select(&filter, last.as_ref()).run(sql, "ORDER BY c.id", CHUNK, row::connection)?;
                let whole = chunk.len() == CHUNK;
                for connection in chunk {
                    looked_at += 1;
                    last = Some(connection.id.clone());
                    if wanted.as_ref().is_none_or(|text| mentions(&connection, text)) && keep(&connection) {
                        items.push(Arc::new(connection));
                    }
                    // One more than fits: only then is there a next page.
                    if items.len() > limit {
                        return Ok(Page::cut(items, limit, |last| last.id.to_string()));
                    }
                }
                if !whole {
                    return Ok(Page::last(items));
                }
                if looked_at >= LOOKED_AT {
                    return Ok(Page { items, next: last.map(|id| Cursor::at(id.as_str())) });
                }
            }
        })
        .await
    }
}

fn select<'a>(filter: &'a ConnectionFilter, after: Option<&'a ConnectionId>) -> Select<'a> {
    let mut select = Select::from(columns!());
    if let Some(id) = after {
        select.and("c.id > #", id);
    }
    if let Some(subject) = &filter.subject {
        select.and("c.subject = #", subject);
    }
    if let Some(status) = filter.status {
        select.and("l.status = #", status);
    }
    if let Some(names) = &filter.integrations {
        select.and_in("c.integration", names);
    }
    select
}

fn mentions(connection: &Connection, text: &str) -> bool {
    let account = connection.account.as_ref();
    let places = [
        Some(connection.id.as_str()),
        Some(connection.subject.as_str()),
        connection.label.as_deref(),
        account.map(|account| account.id.as_str()),
        account.and_then(|account| account.name.as_deref()),
    ];
    places.into_iter().flatten().any(|place| place.to_lowercase().contains(text))
}
