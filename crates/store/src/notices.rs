//! What is told to people: each kind once in an episode, written in the transaction that it reports.

use evergrant_core::id::{ConnectionId, IntegrationName, NoticeId, SubjectId};
use evergrant_core::notice::NoticeKind;
use evergrant_core::time::Timestamp;
use serde_json::{Map, Value};

use crate::db::values;
use crate::error::StoreError;
use crate::events::About;
use crate::row::json;
use crate::shared::{Shared, Tx};

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
    /// More about it; never a secret.
    pub detail: Map<String, Value>,
}

impl NewNotice {
    /// Without more about it.
    pub fn new(kind: NoticeKind, episode: Timestamp) -> Self {
        NewNotice { kind, episode, detail: Map::new() }
    }
}

/// Writes notices in a transaction; one that has been told in its episode is not written again.
pub(crate) fn write(
    tx: &Tx<'_>,
    shared: &Shared,
    about: About<'_>,
    notices: &[NewNotice],
    at: Timestamp,
) -> Result<(), StoreError> {
    for new in notices {
        let id = NoticeId::make(at, shared.entropy.id());
        let integration = about.integration.ok_or(StoreError::defect("writing a notice about nothing"))?;
        let whole = about.connection.map_or(integration.as_str(), ConnectionId::as_str);
        let episode = format!("{whole}@{}", new.episode.as_millis());
        // Alerts are the operator's, whomever they are about.
        let subject = about.subject.filter(|_| new.kind.is_for_subject());
        let text = "INSERT INTO notices (id, about, kind, integration, connection_id, subject, detail, at) \
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (about, kind) DO NOTHING";
        let (kind, detail) = (new.kind.as_str(), json(&new.detail)?);
        tx.run(text, values![id, episode, kind, integration, about.connection, subject, detail, at])?;
    }
    Ok(())
}
