//! What a person sees and does on the hosted pages of a subject's session: the own connections, and what to be told.
//!
//! Whoever holds the address of these pages holds the session: the application gave it to the browser in which that person is
//! signed in. It shows no token, and nothing is ended here.

use evergrant_core::connection::Connection;
use evergrant_core::id::{ConnectionId, SubjectId};
use evergrant_core::secret::OneTime;
use evergrant_core::telling::{Contact, Preferences};

use super::Service;
use super::access::{Caller, Who};
use super::connect::{Plan, account_name, return_url};
use super::connections::Seen;
use super::error::Refusal;
use super::health::{ConnectionHealth, HealthAction, Reader, health};
use super::links::{can_reconnect_by_link, mark};
use super::preferences::Wishes;
use crate::notify::words::{Support, Words};

/// How long a person may take from the list to the provider.
const RECONNECT_LINK: std::time::Duration = std::time::Duration::from_secs(3600);

/// Whose pages these are, and in which words.
#[derive(Clone, Debug)]
pub struct Own {
    /// Who looks.
    pub caller: Caller,
    /// Whose.
    pub subject: SubjectId,
    /// The words of the person's language.
    pub words: &'static Words,
}

/// One of a person's connections.
#[derive(Clone, Debug)]
pub struct OwnConnection {
    /// Which.
    pub id: ConnectionId,
    /// Who that is at the provider, in a person's words.
    pub account: Option<String>,
    /// The application's word for it.
    pub label: Option<String>,
    /// How it is doing.
    pub health: ConnectionHealth,
    /// Whether it can be connected again from here.
    pub can_reconnect: bool,
}

impl Service {
    /// The address of a session's page.
    pub fn own_address(&self, token: &OneTime) -> OneTime {
        OneTime::new(format!("{}/my/{}", self.public_url, token.expose()))
    }

    /// An address that the browser may go back to: registered with one of the integrations.
    pub fn registered_return(&self, return_url: &str) -> Option<url::Url> {
        let url = return_url::parse(return_url)?;
        self.store.integrations().iter().any(|one| return_url::is_registered(&url, &one.return_urls)).then_some(url)
    }

    /// Whose pages an address shows, in that person's language or the browser's.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when the session has ended or was not made here; [`Refusal::StorageUnavailable`].
    pub async fn own(&self, token: &OneTime, language: Option<&str>) -> Result<Own, Refusal> {
        let gone = || Refusal::not_found("session");
        let caller = self.access.subject_of(token.expose()).ok_or_else(gone)?;
        let Who::Subject(subject) = caller.who.clone() else { return Err(gone()) };
        let known = self.store.reach(&subject).await?.contact.language;
        Ok(Own { caller, subject, words: Words::of(known.as_deref().or(language)) })
    }

    /// A person's connections, those that need the person first.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub async fn own_connections(&self, own: &Own, support: Support<'_>) -> Result<Vec<OwnConnection>, Refusal> {
        let now = self.now();
        let reader = Reader { words: own.words, support };
        let look = |seen: &Seen| {
            let connection = &*seen.connection;
            OwnConnection {
                id: connection.id.clone(),
                account: connection.account.as_ref().map(account_name),
                label: connection.label.clone(),
                health: health(seen, &reader, &self.links, self.link_end(&seen.integration), now),
                can_reconnect: can_reconnect(seen),
            }
        };
        let mut all: Vec<OwnConnection> = self.of_subject(&own.caller, &own.subject).await?.iter().map(look).collect();
        all.sort_by_key(|one| match one.health.action {
            HealthAction::Reconnect => 0,
            HealthAction::Wait | HealthAction::Retry | HealthAction::FixIntegration | HealthAction::ContactSupport => 1,
            HealthAction::None => 2,
        });
        Ok(all)
    }

    /// A link to reconnect one of a person's connections, which comes back to `return_url`.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for what is not that person's, or cannot be reconnected by a link; [`Refusal::StorageUnavailable`].
    pub async fn reconnect_own(&self, own: &Own, id: &ConnectionId, return_url: String) -> Result<OneTime, Refusal> {
        let all = self.of_subject(&own.caller, &own.subject).await?;
        let seen = all.iter().find(|seen| seen.connection.id == *id && can_reconnect(seen));
        let connection: &Connection = &seen.ok_or(Refusal::not_found("connection"))?.connection;
        let plan = Plan {
            connection: Some(connection.id.clone()),
            return_url: Some(return_url),
            ..Plan::by_link(connection.integration.clone(), own.subject.clone())
        };
        let link = self.entropy.one_time();
        self.keep_session(&plan, &link, self.now().plus(RECONNECT_LINK), Some(&own.caller)).await?;
        Ok(self.links.address(&link))
    }

    /// Stores what a person chose: the kinds for the channels that were shown, and how to be reached. The rest stays as it is.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field; [`Refusal::StorageUnavailable`].
    pub async fn set_own_wishes(&self, own: &Own, chosen: Preferences, contact: Contact) -> Result<Wishes, Refusal> {
        let now = self.wishes(&own.subject).await?;
        let mut wanted = now.preferences;
        for (kind, channels) in chosen.0 {
            wanted.0.entry(kind).or_default().extend(channels);
        }
        let contact = Contact { email: now.contact.email, ..contact };
        self.set_wishes(&own.caller, &own.subject, wanted, Some(contact)).await
    }
}

/// Whether there is something to mend or to revive, and a link alone is safe for it.
fn can_reconnect(seen: &Seen) -> bool {
    mark(&seen.connection) != 0 && can_reconnect_by_link(&seen.connection, &seen.integration)
}
