//! What is told to people: each kind once in an episode, written in the transaction that it reports.

use std::collections::BTreeSet;

use evergrant_core::id::{ConnectionId, IntegrationName, NoticeId, SubjectId};
use evergrant_core::notice::NoticeKind;
use evergrant_core::time::Timestamp;
use serde_json::{Map, Value};

use crate::db::{Row, Select, values};
use crate::deliveries;
use crate::error::StoreError;
use crate::events::About;
use crate::page::{Cursor, Page};
use crate::row::json;
use crate::shared::{Effect, Shared, Tx};
use crate::store::Store;

macro_rules! notice_columns {
    () => {
        "SELECT id, at, kind, integration, connection_id, subject, detail, read_at"
    };
}

/// A notice as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// Its id.
    pub id: NoticeId,
    /// When.
    pub at: Timestamp,
    /// What kind.
    pub kind: NoticeKind,
    /// The integration that it is about.
    pub integration: IntegrationName,
    /// The connection that it is about; none where it is about the integration.
    pub connection: Option<ConnectionId>,
    /// Who it is for; none: the operator.
    pub subject: Option<SubjectId>,
    /// More about it; never a secret.
    pub detail: Map<String, Value>,
    /// When it was read.
    pub read_at: Option<Timestamp>,
}

/// A notice to be written. Who and what it is about, the store fills in.
#[derive(Clone, Debug, PartialEq)]
pub struct NewNotice {
    /// What kind.
    pub kind: NoticeKind,
    /// When its episode began: with the connection and the kind it says what has already been told.
    pub episode: Timestamp,
    /// What it is about besides, where one kind is told of several matters.
    pub matter: &'static str,
    /// More about it; never a secret.
    pub detail: Map<String, Value>,
}

impl NewNotice {
    /// Without more about it.
    pub fn new(kind: NoticeKind, episode: Timestamp) -> Self {
        NewNotice { kind, episode, matter: "", detail: Map::new() }
    }
}

/// Writes notices in a transaction, and says how many; one that has been told in its episode is not written again.
pub(crate) fn write(
    tx: &Tx<'_>,
    shared: &Shared,
    about: About<'_>,
    notices: &[NewNotice],
    at: Timestamp,
) -> Result<usize, StoreError> {
    let mut written = 0;
    for new in notices {
        let id = NoticeId::make(at, shared.entropy.id());
        let integration = about.integration.ok_or(StoreError::defect("writing a notice about nothing"))?;
        let whole = about.connection.map_or(integration.as_str(), ConnectionId::as_str);
        let episode = format!("{whole}@{}{}", new.episode.as_millis(), new.matter);
        // Alerts are the operator's, whomever they are about.
        let subject = about.subject.filter(|_| new.kind.is_for_subject());
        let text = "INSERT INTO notices (id, about, kind, integration, connection_id, subject, detail, at) \
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (about, kind) DO NOTHING";
        let (kind, detail) = (new.kind.as_str(), json(&new.detail)?);
        if tx.run(text, values![id, episode, kind, integration, about.connection, subject, detail, at])? == 1 {
            deliveries::of_notice(tx, shared, about, (new, &id), at)?;
            tx.after_commit(Effect::Noticed(new.kind));
            written += 1;
        }
    }
    Ok(written)
}

/// Which notices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeFilter {
    /// Of this subject; none: the operator's.
    pub subject: Option<SubjectId>,
    /// Of these integrations; none: of all.
    pub integrations: Option<BTreeSet<IntegrationName>>,
    /// Only those that have not been read.
    pub unread: bool,
}

impl Store {
    /// A page of notices, newest first.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn notices(
        &self,
        filter: NoticeFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Notice>, StoreError> {
        let last: Option<NoticeId> = match after.map(|cursor| cursor.key()) {
            Some(None) => return Ok(Page::last(Vec::new())),
            Some(last) => last,
            None => None,
        };
        self.read(move |sql, _| {
            let mut select = Select::from(concat!(notice_columns!(), " FROM notices"));
            match &filter.subject {
                Some(subject) => select.and("subject = #", subject),
                None => select.and_plain("subject IS NULL"),
            }
            if let Some(names) = &filter.integrations {
                select.and_in("integration", names);
            }
            if filter.unread {
                select.and_plain("read_at IS NULL");
            }
            if let Some(last) = &last {
                select.and("id < #", last);
            }
            let items = select.run(sql, "ORDER BY id DESC", limit + 1, read)?;
            Ok(Page::cut(items, limit, |notice| notice.id.to_string()))
        })
        .await
    }

    /// Notes that a notice was read by whom it is for; none if there is no such notice. One that was read stays as it is.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn mark_notice_read(
        &self,
        subject: Option<&SubjectId>,
        id: &NoticeId,
        now: Timestamp,
    ) -> Result<Option<Notice>, StoreError> {
        let (subject, id) = (subject.cloned(), id.clone());
        self.write(move |tx, _| {
            let text = concat!(notice_columns!(), " FROM notices WHERE id = ?1");
            let found = tx.one(text, values![id], read)?.filter(|notice| notice.subject == subject);
            let Some(notice) = found else { return Ok(None) };
            let read_at = notice.read_at.unwrap_or(now);
            tx.run_one("notices", "UPDATE notices SET read_at = ?2 WHERE id = ?1", values![id, read_at])?;
            Ok(Some(Notice { read_at: Some(read_at), ..notice }))
        })
        .await
    }

    /// What a subject wants to be told; none: nothing was said. What it means is the caller's affair.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn preferences(&self, subject: &SubjectId) -> Result<Option<Value>, StoreError> {
        let subject = subject.clone();
        let text = "SELECT document FROM preferences WHERE subject = ?1";
        self.read(move |sql, _| sql.one(text, values![subject], |row| row.json(0))).await
    }

    /// Stores what a subject wants to be told.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn put_preferences(
        &self,
        subject: &SubjectId,
        document: Value,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let subject = subject.clone();
        let text = "INSERT INTO preferences (subject, document, updated_at) VALUES (?1, ?2, ?3) \
                    ON CONFLICT (subject) DO UPDATE SET document = excluded.document, updated_at = excluded.updated_at";
        self.write(move |tx, _| tx.run_one("preferences", text, values![subject, json(&document)?, now])).await
    }
}

fn read(row: &Row<'_>) -> Result<Notice, StoreError> {
    let word = row.text(2)?;
    let kind = NoticeKind::ALL.into_iter().find(|kind| kind.as_str() == word);
    Ok(Notice {
        id: row.parse(0)?,
        at: row.time(1)?,
        kind: kind.ok_or_else(|| StoreError::damaged("the kind of a notice"))?,
        integration: row.parse(3)?,
        connection: row.opt_parse(4)?,
        subject: row.opt_parse(5)?,
        detail: row.json(6)?,
        read_at: row.opt_time(7)?,
    })
}
