//! What a person should know.

use evergrant_core::id::{ConnectionId, IntegrationName, NoticeId, SubjectId};
use evergrant_core::notice::NoticeKind;
use evergrant_core::secret::OneTime;
use evergrant_core::telling::{Channel, Preferences};
use evergrant_core::time::Timestamp;
use evergrant_store::{Notice as Stored, NoticeFilter};

use super::Service;
use super::access::Caller;
use super::connections::{provider_name, visible};
use super::error::Refusal;
use super::page::{Page, Window};
use crate::notify::words::Words;

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

impl Service {
    /// A subject's notices, newest first; those that the subject does not want in the application are left out. In the
    /// subject's language, or `language` where nothing is known of that.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub async fn notifications(
        &self,
        caller: &Caller,
        subject: &SubjectId,
        (unread, language): (bool, Option<&str>),
        window: &Window,
    ) -> Result<Page<Notice>, Refusal> {
        let filter =
            NoticeFilter { subject: Some(subject.clone()), integrations: visible(&caller.scope, None), unread };
        let page = self.store.notices(filter, window.after.clone(), window.limit as usize).await?;
        let wanted = self.wanted_by(subject).await?;
        let known = self.store.reach(subject).await?.contact.language;
        let words = Words::of(known.as_deref().or(language));
        let mut items = Vec::with_capacity(page.items.len());
        for stored in page.items {
            if wanted.wants(stored.kind, Channel::InApp) {
                items.push(self.worded(stored, words).await?);
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
        language: Option<&str>,
    ) -> Result<Notice, Refusal> {
        let stored = self.store.mark_notice_read(Some(subject), id, self.now()).await?;
        let stored = stored.filter(|stored| caller.scope.sees(&stored.integration));
        let known = self.store.reach(subject).await?.contact.language;
        let words = Words::of(known.as_deref().or(language));
        self.worded(stored.ok_or(Refusal::not_found("notification"))?, words).await
    }

    async fn worded(&self, stored: Stored, words: &Words) -> Result<Notice, Refusal> {
        let integration = self.store.integration(&stored.integration);
        let provider = integration.as_ref().map_or(stored.integration.as_str(), |one| provider_name(one));
        let message = words.message(stored.kind, provider);
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

    /// What a subject wants to be told, as it was said.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub(super) async fn wanted_by(&self, subject: &SubjectId) -> Result<Preferences, Refusal> {
        let said = self.store.preferences(subject).await?;
        Ok(said.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default())
    }
}
