//! A restored or copied database: what is known of its grants, and the operator's word that it counts.
//!
//! Until then the kernel sends nothing, so that no refresh token is spent twice. What the journal holds is brought in
//! first. A grant whose refresh token has been spent since, and whose answer is not there, is told by name; where the
//! provider would take another sending for theft, it is never sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use evergrant_core::connection::{Connection, Status};
use evergrant_core::id::{ConnectionId, SubjectId};
use evergrant_core::integration::Integration;
use evergrant_core::provider::ReplayKind;
use evergrant_core::schedule;
use evergrant_core::time::Timestamp;
use evergrant_store::refresh::Beyond;
use evergrant_store::{ConnectionFilter, Quarantine};

use super::Service;
use super::access::{Caller, Scope};
use super::audit::line;
use super::error::Refusal;

/// How many connections are looked at in one go.
const PART: usize = 500;

/// What is known of a grant in a restored or copied database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It was put right from the journal.
    PutRight,
    /// Its refresh token has been spent since, and the answer is lost; it is not sent again.
    Spent,
    /// The same, at a provider where a second sending does no harm: it is tried.
    Tried,
    /// Nothing has been sent since.
    Unaffected,
}

impl Standing {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Standing::PutRight => "put_right",
            Standing::Spent => "spent",
            Standing::Tried => "tried",
            Standing::Unaffected => "unaffected",
        }
    }
}

/// What is known of one of them.
#[derive(Clone, Debug)]
pub struct Stands {
    /// Which.
    pub connection: ConnectionId,
    /// Through which integration.
    pub integration: evergrant_core::id::IntegrationName,
    /// Whose.
    pub subject: SubjectId,
    /// How it stands.
    pub standing: Standing,
}

/// What an adoption does, or would do.
#[derive(Clone, Debug, Default)]
pub struct Adoption {
    /// Why nothing is spent; none if there is nothing to adopt.
    pub quarantine: Option<Quarantine>,
    /// How many stand how.
    pub counts: BTreeMap<&'static str, u64>,
    /// Those that are not unaffected.
    pub each: Vec<Stands>,
    /// Connections that the journal knows and the database does not: made since.
    pub unknown: Vec<ConnectionId>,
    /// Connects and reconnects since that the journal knows of.
    pub connects: u64,
}

impl Service {
    /// Writes the operator's alert, once.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub async fn tell_quarantine(&self) -> Result<(), Refusal> {
        let Some(found) = self.store.quarantine() else { return Ok(()) };
        tracing::error!(
            cause = found.cause.as_str(),
            "this database is a restored or copied one: live tokens are served and nothing is spent until `evergrant adopt`"
        );
        Ok(self.store.tell_quarantine(self.now()).await?)
    }

    /// Looks again at which database this is: it may have been put back, or another node may have adopted it.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub async fn look_again(&self) -> Result<(), Refusal> {
        let before = self.store.quarantine().is_some();
        self.store.advance_epoch(self.now()).await?;
        let after = self.store.quarantine().is_some();
        self.transport.hold(after);
        match (before, after) {
            (false, true) => self.tell_quarantine().await,
            (true, false) => self.go_on().await,
            _ => Ok(()),
        }
    }

    /// Puts a database right that has lost what it had answered: from the journal, before anything else is sent.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub async fn put_right(&self) -> Result<(), Refusal> {
        self.look_again().await?;
        Ok(self.refresher.put_right().await?)
    }

    /// Takes the database for the latest, once the journal has been brought in and what has been spent is marked; with
    /// `dry_run` only says what that would be. `last_ran` is when another service last worked with these grants: now,
    /// if nobody knows.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for a key that does not see everything, [`Refusal::StorageUnavailable`].
    pub async fn adopt(
        &self,
        caller: &Caller,
        dry_run: bool,
        last_ran: Option<Timestamp>,
    ) -> Result<Adoption, Refusal> {
        if caller.scope != Scope::All {
            return Err(Refusal::not_found("quarantine for this key: it sees some integrations only"));
        }
        let Some(quarantine) = self.store.quarantine() else { return Ok(Adoption::default()) };
        self.refresher.recover(self).await?;
        let found = self.looked_through(quarantine, last_ran.unwrap_or_else(|| self.now())).await?;
        if dry_run {
            return Ok(found);
        }
        for one in found.each.iter().filter(|one| one.standing == Standing::Spent) {
            if !self.refresher.superseded(&one.connection).await {
                let cause = format!("{} could not be marked; the quarantine goes on", one.connection);
                return Err(Refusal::StorageUnavailable { retry_after: std::time::Duration::from_secs(5), cause });
            }
        }
        let count = |standing: Standing| found.counts.get(standing.as_str()).copied().unwrap_or(0);
        let line = line(caller, "database.adopted", self.store.installation().as_str())
            .with("cause", quarantine.cause.as_str())
            .with("put_right", count(Standing::PutRight))
            .with("spent", count(Standing::Spent));
        self.store.adopt(line, self.now()).await?;
        self.transport.hold(false);
        tracing::info!("the database has been adopted; refreshes go on");
        self.go_on().await?;
        Ok(found)
    }

    /// What the start of the process left out.
    async fn go_on(&self) -> Result<(), Refusal> {
        self.refresher.recover(self).await?;
        self.resume_devices().await?;
        self.refresher.nudge();
        Ok(())
    }

    async fn looked_through(&self, quarantine: Quarantine, last_ran: Timestamp) -> Result<Adoption, Refusal> {
        let taken_at = quarantine.taken_at.unwrap_or_default();
        let beyond = self.store.beyond(taken_at).await?;
        let under_way: Vec<ConnectionId> =
            self.store.open_intents(None).await?.into_iter().map(|intent| intent.connection).collect();
        let mut adoption = Adoption { quarantine: Some(quarantine), ..Adoption::default() };
        let mut after = None;
        loop {
            let page = self.store.list_connections(ConnectionFilter::default(), |_| true, after, PART).await?;
            for connection in &page.items {
                let Some(integration) = self.store.integration(&connection.integration) else { continue };
                let known = Known { quarantine, taken_at, last_ran, beyond: &beyond, under_way: &under_way };
                let standing = self.standing(connection, &integration, &known);
                *adoption.counts.entry(standing.as_str()).or_default() += 1;
                if standing != Standing::Unaffected {
                    adoption.each.push(stands(connection, standing));
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        adoption.unknown = beyond.unknown.into_iter().collect();
        adoption.connects = beyond.connects as u64;
        Ok(adoption)
    }

    fn standing(&self, connection: &Connection, integration: &Integration, known: &Known<'_>) -> Standing {
        let (life, provider) = (&connection.life, &integration.provider);
        let Some(facts) = life.grant.as_ref().filter(|_| life.status == Status::Connected) else {
            return Standing::Unaffected;
        };
        let put_right = known.quarantine.taken_at.is_some_and(|at| facts.issued_at > at);
        let renewable = schedule::is_renewable(facts, provider, known.taken_at);
        if !renewable || provider.replay == ReplayKind::None {
            return if put_right { Standing::PutRight } else { Standing::Unaffected };
        }
        // What has been due since, the other service has refreshed.
        let due = || self.refresher.scheduled(connection, integration).is_some_and(|due| due <= known.last_ran);
        let spent = match (known.quarantine.journal_is_whole, put_right) {
            (true, true) => false,
            (true, false) => known.beyond.ahead.contains(&connection.id),
            (false, _) => {
                let ran = known.last_ran > known.taken_at;
                known.under_way.contains(&connection.id) || ran && due()
            }
        };
        match (spent, provider.replay) {
            (true, ReplayKind::Single) => Standing::Tried,
            (true, _) => Standing::Spent,
            (false, _) if put_right => Standing::PutRight,
            (false, _) => Standing::Unaffected,
        }
    }
}

/// What a grant is looked at with.
struct Known<'a> {
    quarantine: Quarantine,
    taken_at: Timestamp,
    last_ran: Timestamp,
    beyond: &'a Beyond,
    under_way: &'a [ConnectionId],
}

fn stands(connection: &Arc<Connection>, standing: Standing) -> Stands {
    Stands {
        connection: connection.id.clone(),
        integration: connection.integration.clone(),
        subject: connection.subject.clone(),
        standing,
    }
}
