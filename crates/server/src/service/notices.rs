//! What a person should know, and what a person wants to be told.

use std::collections::BTreeMap;

use evergrant_core::id::{ConnectionId, IntegrationName, NoticeId, SubjectId};
use evergrant_core::notice::NoticeKind;
use evergrant_core::secret::OneTime;
use evergrant_core::time::Timestamp;
use evergrant_store::{Notice as Stored, NoticeFilter};

use super::Service;
use super::access::Caller;
use super::connections::{provider_name, visible};
use super::error::Refusal;
use super::page::{Page, Window};

/// Channels that a person can switch.
const CHANNELS: [&str; 3] = ["in_app", "email", "webhook"];

/// A notice with its words.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Its id.
    pub id: NoticeId,
    /// When.
    pub at: Timestamp,
    /// What kind.
    pub kind: NoticeKind,
    /// The connection that it is about.
    pub connection: Option<ConnectionId>,
    /// The integration that it is about.
    pub integration: IntegrationName,
    /// In words.
    pub message: String,
    /// Where to reconnect, for kinds that ask for it.
    pub reconnect_url: Option<OneTime>,
    /// When it was read.
    pub read_at: Option<Timestamp>,
}

/// Kind → channel → on or off.
pub type Preferences = BTreeMap<String, BTreeMap<String, bool>>;

impl Service {
    /// A subject's notices, newest first; those that the subject does not want in the application are left out.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub async fn notifications(
        &self,
        caller: &Caller,
        subject: &SubjectId,
        unread: bool,
        window: &Window,
    ) -> Result<Page<Notice>, Refusal> {
        let filter =
            NoticeFilter { subject: Some(subject.clone()), integrations: visible(&caller.scope, None), unread };
        let page = self.store.notices(filter, window.after.clone(), window.limit as usize).await?;
        let wanted = self.preferences(subject).await?;
        let mut items = Vec::with_capacity(page.items.len());
        for stored in page.items {
            if wants(&wanted, stored.kind, "in_app") {
                items.push(self.worded(stored).await?);
            }
        }
        Ok(Page { items, next: page.next })
    }

    /// Marks a notice as read.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::StorageUnavailable`].
    pub async fn read_notification(
        &self,
        caller: &Caller,
        subject: &SubjectId,
        id: &NoticeId,
    ) -> Result<Notice, Refusal> {
        let stored = self.store.mark_notice_read(Some(subject), id, self.now()).await?;
        let stored = stored.filter(|stored| caller.scope.sees(&stored.integration));
        self.worded(stored.ok_or(Refusal::not_found("notification"))?).await
    }

    async fn worded(&self, stored: Stored) -> Result<Notice, Refusal> {
        let integration = self.store.integration(&stored.integration);
        let provider = integration.as_ref().map_or(stored.integration.as_str(), |one| provider_name(one));
        let message = stored.kind.message(provider);
        let mut reconnect_url = None;
        if let (Some(id), Some(integration), true) = (&stored.connection, &integration, stored.kind.asks_for_action()) {
            let record = self.store.token_record(id, false).await?;
            // A link is for what is the matter now: once that is mended, an old notice has none.
            let troubled = record.filter(|record| super::links::mark(&record.connection) != 0);
            let end = self.link_end(integration);
            reconnect_url = troubled.and_then(|record| self.links.reconnect(&record.connection, integration, end));
        }
        let Stored { id, at, kind, connection, integration, read_at, .. } = stored;
        Ok(Notice { id, at, kind, connection, integration, message, reconnect_url, read_at })
    }

    /// What a subject wants to be told: every kind and channel, as it is or by default.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub async fn preferences(&self, subject: &SubjectId) -> Result<Preferences, Refusal> {
        let said = self.store.preferences(subject).await?;
        let said: Preferences = said.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
        Ok(whole(&said))
    }

    /// Stores what a subject wants to be told; what is left out is as by default.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a kind or channel that nobody knows; [`Refusal::StorageUnavailable`].
    pub async fn set_preferences(&self, subject: &SubjectId, wanted: Preferences) -> Result<Preferences, Refusal> {
        let kinds = || NoticeKind::ALL.into_iter().filter(|kind| kind.is_for_subject()).map(NoticeKind::as_str);
        for (kind, channels) in &wanted {
            if !kinds().any(|known| known == kind) {
                let expected = format!("expected one of {}", kinds().collect::<Vec<_>>().join(", "));
                return Err(Refusal::invalid(named(kind), expected));
            }
            if let Some(unknown) = channels.keys().find(|channel| !CHANNELS.contains(&channel.as_str())) {
                let expected = format!("expected one of {}", CHANNELS.join(", "));
                return Err(Refusal::invalid(format!("{kind}.{}", named(unknown)), expected));
            }
        }
        let document = serde_json::to_value(&wanted).map_err(|error| Refusal::internal(&error))?;
        self.store.put_preferences(subject, document, self.now()).await?;
        Ok(whole(&wanted))
    }
}

/// A key of a request, short enough to be named.
fn named(key: &str) -> String {
    key.chars().filter(|c| !c.is_control()).take(64).collect()
}

fn whole(said: &Preferences) -> Preferences {
    let kinds = NoticeKind::ALL.into_iter().filter(|kind| kind.is_for_subject());
    let channels = |kind: NoticeKind| {
        let wants = |channel: &&str| ((*channel).to_owned(), wants(said, kind, channel));
        CHANNELS.iter().map(wants).collect()
    };
    kinds.map(|kind| (kind.as_str().to_owned(), channels(kind))).collect()
}

fn wants(said: &Preferences, kind: NoticeKind, channel: &str) -> bool {
    let said = said.get(kind.as_str()).and_then(|channels| channels.get(channel)).copied();
    said.unwrap_or_else(|| by_default(kind, channel))
}

/// The table of docs/lifecycle.md, "Who is told, and how".
fn by_default(kind: NoticeKind, channel: &str) -> bool {
    match (kind, channel) {
        (NoticeKind::Refreshed, _) => false,
        (_, "in_app") => true,
        (NoticeKind::Disconnected, _) => true,
        (NoticeKind::Expiring, _) => true,
        (NoticeKind::Warning | NoticeKind::Recovered, "webhook") => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_said_is_as_the_lifecycle_has_it() {
        let all = whole(&Preferences::new());
        let is = |kind: &str, channel: &str| all[kind][channel];
        assert!(is("disconnected", "in_app") && is("disconnected", "email") && is("disconnected", "webhook"));
        assert!(is("warning", "in_app") && !is("warning", "email") && is("warning", "webhook"));
        assert!(is("trouble", "in_app") && !is("trouble", "email") && !is("trouble", "webhook"));
        assert!(is("recovered", "webhook") && !is("recovered", "email"));
        assert!(!is("refreshed", "in_app"));
        assert!(!all.contains_key("operator_alert"));
    }
}
