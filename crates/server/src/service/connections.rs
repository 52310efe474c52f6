//! Connections as they are shown: what is stored, and what follows from it, the clock and the integration's health.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use evergrant_core::connection::{Connection, Status};
use evergrant_core::id::{ConnectionId, IntegrationName, SubjectId};
use evergrant_core::integration::Integration;
use evergrant_core::policy::Policy;
use evergrant_core::schedule::{self, Freshness};
use evergrant_core::time::Timestamp;
use evergrant_store::{ConnectionFilter, ConnectionPatch, NewEvent, Patched, Report};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::access::{Caller, Scope};
use super::audit::line;
use super::error::{Conflict, Refusal};
use super::page::{Page, Window};
use super::{Service, import};

/// Who must act, as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeenStatus {
    /// Nobody.
    Connected,
    /// The subject must reconnect.
    NeedsReauth,
    /// The operator must mend the integration.
    Error,
    /// Nobody: ended on purpose.
    Disconnected,
}

impl SeenStatus {
    /// All words.
    pub const ALL: [SeenStatus; 4] =
        [SeenStatus::Connected, SeenStatus::NeedsReauth, SeenStatus::Error, SeenStatus::Disconnected];

    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            SeenStatus::Connected => "connected",
            SeenStatus::NeedsReauth => "needs_reauth",
            SeenStatus::Error => "error",
            SeenStatus::Disconnected => "disconnected",
        }
    }

    /// `error` is not stored with the connection: it follows from the integration's health, so that one mended client
    /// secret mends all its connections without writing one. `needs_reauth` and `disconnected` hide it.
    pub fn of(status: &Status, integration: &Integration) -> Self {
        match status {
            Status::Disconnected { .. } => SeenStatus::Disconnected,
            Status::NeedsReauth { .. } => SeenStatus::NeedsReauth,
            Status::Connected if integration.health.is_misconfigured() => SeenStatus::Error,
            Status::Connected => SeenStatus::Connected,
        }
    }
}

impl fmt::Display for SeenStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A connection with what follows.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What is stored.
    pub connection: Arc<Connection>,
    /// Its integration.
    pub integration: Arc<Integration>,
    /// Who must act.
    pub status: SeenStatus,
    /// How fresh its access token is.
    pub freshness: Freshness,
    /// When the service will next refresh it by itself.
    pub next_refresh_at: Option<Timestamp>,
}

impl Seen {
    /// Looks at a connection at `now`, with the numbers that are in force where its integration says nothing.
    pub fn at(connection: Arc<Connection>, integration: Arc<Integration>, base: &Policy, now: Timestamp) -> Self {
        let policy = integration.policy(base);
        let provider = &integration.provider;
        let status = SeenStatus::of(&connection.life.status, &integration);
        let freshness = schedule::freshness(&connection.life, provider, &policy, None, now);
        // Without jitter: people are shown when it begins to be due, not this installation's dice.
        let due = schedule::due_at(&connection.life, provider, &policy, 0.0);
        let renewable = |_: &Timestamp| {
            let facts = connection.life.grant.as_ref();
            facts.is_some_and(|facts| schedule::is_renewable(facts, provider, now)) && !integration.paused
        };
        let next_refresh_at = due.filter(renewable);
        Seen { connection, integration, status, freshness, next_refresh_at }
    }

    /// The name that people know.
    pub fn provider_name(&self) -> &str {
        provider_name(&self.integration)
    }
}

/// The name that people know; an inline entry may have none.
pub fn provider_name(integration: &Integration) -> &str {
    let name = integration.provider.name.as_str();
    if name.is_empty() { integration.name.as_str() } else { name }
}

/// Which connections.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this subject.
    pub subject: Option<SubjectId>,
    /// Of this integration.
    pub integration: Option<IntegrationName>,
    /// In this status.
    pub status: Option<SeenStatus>,
    /// With an access token in this state.
    pub freshness: Option<Freshness>,
    /// A word in the subject, the account or the label.
    pub q: Option<String>,
}

impl Service {
    /// A connection with what follows.
    pub fn see(&self, connection: Arc<Connection>, integration: Arc<Integration>) -> Seen {
        Seen::at(connection, integration, &self.base, self.now())
    }

    /// The connections that a caller may see, by id.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub async fn list_connections(
        &self,
        caller: &Caller,
        filter: &Filter,
        window: &Window,
    ) -> Result<Page<Seen>, Refusal> {
        let stored = ConnectionFilter {
            subject: filter.subject.clone(),
            integrations: visible(&caller.scope, filter.integration.as_ref()),
            status: filter.status.map(stored_word),
            text: filter.q.clone(),
        };
        let (service, status, freshness) = (self.clone(), filter.status, filter.freshness);
        let fits = move |connection: &Connection| {
            let Some(integration) = service.store.integration(&connection.integration) else { return false };
            let seen = service.see(Arc::new(connection.clone()), integration);
            status.is_none_or(|status| status == seen.status) && freshness.is_none_or(|wanted| wanted == seen.freshness)
        };
        let plain = filter.status.is_none() && filter.freshness.is_none();
        let keep = move |connection: &Connection| plain || fits(connection);
        let page = self.store.list_connections(stored, keep, window.after.clone(), window.limit as usize).await?;
        let see = |connection: Arc<Connection>| {
            let integration = self.store.integration(&connection.integration)?;
            Some(self.see(connection, integration))
        };
        Ok(Page { items: page.items.into_iter().filter_map(see).collect(), next: page.next })
    }

    /// One that a caller may see; else it does not exist for him.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::StorageUnavailable`].
    pub async fn connection(&self, caller: &Caller, id: &ConnectionId) -> Result<Seen, Refusal> {
        let not_found = || Refusal::not_found("connection");
        let record = self.store.token_record(id, false).await?.ok_or_else(not_found)?;
        let connection = record.connection.clone();
        let integration = self.seen_integration(&caller.scope, &connection.integration).map_err(|_| not_found())?;
        Ok(self.see(connection, integration))
    }

    /// Changes the application's own words for a connection.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::Invalid`], [`Conflict::Stale`].
    pub async fn change_connection(
        &self,
        caller: &Caller,
        id: &ConnectionId,
        metadata: Option<Map<String, Value>>,
        label: Option<Option<String>>,
        if_match: Option<u64>,
    ) -> Result<Seen, Refusal> {
        let seen = self.connection(caller, id).await?;
        if let Some(metadata) = &metadata {
            import::metadata(metadata)?;
        }
        let bad = |label: &String| label.is_empty() || label.len() > 255 || label.chars().any(char::is_control);
        if label.as_ref().is_some_and(|label| label.as_ref().is_some_and(bad)) {
            return Err(Refusal::invalid(
                "label",
                "expected 1 to 255 bytes of text without control characters, or null",
            ));
        }
        let report = Report {
            audit: Some(line(caller, "connection.changed", id.as_str())),
            events: vec![NewEvent::new("connection.changed")],
            notices: Vec::new(),
        };
        let patch = ConnectionPatch { label, metadata };
        match self.store.patch_connection(id, if_match, patch, report, self.now()).await? {
            Patched::Stored(record) => Ok(self.see(record.connection.clone(), seen.integration)),
            Patched::Stale { version } => Err(Conflict::Stale { version }.into()),
            Patched::Gone => Err(Refusal::not_found("connection")),
        }
    }
}

/// The integrations to look in: what the caller may see, and what he asked for. None: all.
pub fn visible(scope: &Scope, asked: Option<&IntegrationName>) -> Option<BTreeSet<IntegrationName>> {
    match (scope, asked) {
        (Scope::All, None) => None,
        (Scope::Only(names), None) => Some(names.clone()),
        (scope, Some(name)) => Some([name].into_iter().filter(|name| scope.sees(name)).cloned().collect()),
    }
}

/// `error` is stored as `connected`: the integration's health makes it so.
const fn stored_word(status: SeenStatus) -> &'static str {
    match status {
        SeenStatus::Connected | SeenStatus::Error => "connected",
        SeenStatus::NeedsReauth => "needs_reauth",
        SeenStatus::Disconnected => "disconnected",
    }
}
