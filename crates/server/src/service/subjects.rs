//! Everything about one person: how the connections are doing, what to do, and being forgotten.

use std::time::Duration;

use evergrant_core::connection::Status;
use evergrant_core::id::SubjectId;

use super::Service;
use super::access::{Caller, Scope, Who};
use super::audit::line;
use super::connections::{Filter, Seen};
use super::disconnect::{Revocation, may_revoke};
use super::error::Refusal;
pub use super::health::{ConnectionHealth, HealthAction};
use super::health::{Reader, health};
use super::page::Window;
use super::sweep::Pass;
use crate::notify::words::{Support, Words, spoken};

/// How a subject's connections are doing.
#[derive(Clone, Debug)]
pub struct PersonHealth {
    /// Whose.
    pub subject: SubjectId,
    /// Whether nobody has to do anything.
    pub healthy: bool,
    /// The language of the sentences.
    pub language: &'static str,
    /// One line for all.
    pub message: String,
    /// Each connection.
    pub connections: Vec<ConnectionHealth>,
}

impl PersonHealth {
    /// Whether a person would read the same in both. Links differ each time that they are made.
    pub fn reads_like(&self, other: &PersonHealth) -> bool {
        fn read(health: &PersonHealth) -> impl Iterator<Item = impl PartialEq> {
            let read = |one: &ConnectionHealth| {
                let words = (one.connection.clone(), one.provider.clone(), one.message.clone());
                (words, one.connected, one.status, one.freshness, one.action, one.reconnect_url.is_some())
            };
            health.connections.iter().map(read)
        }
        (self.language, &self.message) == (other.language, &other.message) && read(self).eq(read(other))
    }
}

/// What was erased with a subject.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forgotten {
    /// Connections.
    pub connections: u64,
    /// Those of them whose provider was told.
    pub revoked: u64,
    /// Notices.
    pub notices: u64,
}

impl Service {
    /// How a subject's connections are doing, as far as the caller may see them: in the subject's language, or `language`
    /// where nothing is known of that.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub async fn health(
        &self,
        caller: &Caller,
        subject: &SubjectId,
        language: Option<&str>,
        support: Support<'_>,
    ) -> Result<PersonHealth, Refusal> {
        let now = self.now();
        let known = self.store.reach(subject).await?.contact.language;
        let language = spoken(known.as_deref().or(language));
        let words = Words::of(Some(language));
        let all = self.of_subject(caller, subject).await?;
        let reader = Reader { words, support };
        let look = |seen: &Seen| health(seen, &reader, &self.links, self.link_end(&seen.integration), now);
        let connections: Vec<ConnectionHealth> = all.iter().map(look).collect();
        let healthy = connections.iter().all(|one| one.action == HealthAction::None);
        let message = one_line(&connections, words);
        Ok(PersonHealth { subject: subject.clone(), healthy, language, message, connections })
    }

    /// Refreshes whatever of a subject is due.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] when a session asks for more than what is due: it stands in a page that can be loaded again and
    /// again; [`Refusal::StorageUnavailable`].
    pub async fn refresh_subject(
        &self,
        caller: &Caller,
        subject: &SubjectId,
        due_within: Option<Duration>,
    ) -> Result<Vec<Pass>, Refusal> {
        if due_within.is_some() && matches!(caller.who, Who::Subject(_)) {
            return Err(Refusal::invalid("due_within", "a subject's session refreshes what is due; leave it out"));
        }
        let mut passes = Vec::new();
        for seen in self.of_subject(caller, subject).await? {
            if matches!(seen.connection.life.status, Status::Disconnected { .. }) {
                continue;
            }
            let id = &seen.connection.id;
            let outcome = self.refresher.refresh_if_due(id, due_within, false).await;
            passes.push(Pass { connection: id.clone(), outcome: outcome.as_str().to_owned() });
        }
        Ok(passes)
    }

    /// Ends and erases everything about a person. Only a key that sees all integrations may: a part of a person cannot be
    /// forgotten.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for a key that is limited to some integrations; [`Refusal::StorageUnavailable`].
    pub async fn erase_subject(&self, caller: &Caller, subject: &SubjectId) -> Result<Forgotten, Refusal> {
        if caller.scope != Scope::All {
            return Err(Refusal::not_found(
                "subject for this key: it sees some integrations only, and can end connections one by one",
            ));
        }
        let store = self.store.clone();
        let tell = move |connection: &evergrant_core::connection::Connection, others: u64| {
            store.integration(&connection.integration).is_some_and(|one| may_revoke(&one, others))
        };
        // The audit log keeps that it was done, and to whom only as a keyed hash.
        let audit = line(caller, "subject.erased", self.store.fingerprint(subject.as_str()));
        let erased = self.store.erase_subject(subject, tell, Some(audit), self.now()).await?;
        let mut forgotten = Forgotten { connections: erased.connections, revoked: 0, notices: erased.notices };
        for one in erased.revocations {
            let Some(integration) = self.store.integration(&one.integration) else { continue };
            if self.tell_now(one.id, &one.grant, &integration).await == Revocation::Revoked {
                forgotten.revoked += 1;
            }
        }
        Ok(forgotten)
    }

    /// A subject's connections, as far as the caller may see them.
    pub(super) async fn of_subject(&self, caller: &Caller, subject: &SubjectId) -> Result<Vec<Seen>, Refusal> {
        let filter = Filter { subject: Some(subject.clone()), ..Filter::default() };
        let window = Window { limit: Window::MOST, after: None };
        Ok(self.list_connections(caller, &filter, &window).await?.items)
    }
}

/// One line for all: what the person can do comes before what passes by itself.
fn one_line(connections: &[ConnectionHealth], words: &Words) -> String {
    let waiting: Vec<&ConnectionHealth> =
        connections.iter().filter(|one| one.action == HealthAction::Reconnect).collect();
    let trouble = connections.iter().find(|one| one.action != HealthAction::None);
    match (waiting.as_slice(), trouble) {
        ([one], _) => one.message.clone(),
        ([], Some(one)) => one.message.clone(),
        ([], None) if connections.iter().any(|one| one.connected) => words.health("all", ""),
        ([], None) => words.health("none", ""),
        (several, _) => words.several_need(&several.iter().map(|one| one.provider.as_str()).collect::<Vec<_>>()),
    }
}
