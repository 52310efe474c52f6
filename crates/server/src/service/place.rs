//! A grant that came by connect or import, on its way to the connection where it belongs.

use std::sync::Arc;

use evergrant_core::connection::{Account, Connection, DisconnectReason, Life, ReauthReason, Status};
use evergrant_core::grant::{Grant, GrantFacts};
use evergrant_core::id::{AttemptId, SubjectId};
use evergrant_core::integration::Integration;
use evergrant_core::lifecycle::{self, Circumstances, Event};
use evergrant_core::lifetime::{Expiry, TokenSet};
use evergrant_core::notice::NoticeKind;
use evergrant_core::provider::{Provider, RefreshLifetimeKind, Renewal};
use evergrant_core::schedule;
use evergrant_core::time::Timestamp;
use evergrant_store::{Decided, NewAudit, NewEvent, NewGrantFor, NewNotice, Placed, Store, Target, TokenRecord};
use serde_json::{Map, Value};

use super::Service;
use super::connections::provider_name;
use super::error::{Conflict, Refusal};

/// Where a grant comes from, as a word for events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A person agreed at the provider.
    Connect,
    /// The application brought it along.
    Import,
    /// The client gets it by itself, just now.
    Issue,
}

/// A grant that looks for its connection.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Where it comes from.
    pub origin: Origin,
    /// Whose it is.
    pub subject: SubjectId,
    /// Who that is at the provider.
    pub account: Option<Account>,
    /// Where it should go.
    pub target: Target,
    /// The tokens.
    pub grant: Grant,
    /// What is known of them.
    pub facts: GrantFacts,
    /// The scopes that were asked for; none: as they were.
    pub requested_scopes: Option<Vec<String>>,
    /// Free data; none: as it was.
    pub metadata: Option<Map<String, Value>>,
    /// What calling the provider needs besides the token; none: as it was.
    pub provider_data: Option<Map<String, Value>>,
    /// Calls that the provider did not answer and that are tried again from then on; none: as it was.
    pub owed: Option<(Vec<String>, Timestamp)>,
    /// What the event tells besides what the grant lacks.
    pub short: Vec<(&'static str, Value)>,
    /// The attempt that brought it.
    pub attempt: Option<AttemptId>,
    /// The line for the audit log.
    pub audit: Option<NewAudit>,
}

impl Service {
    /// What the store has to know to place a grant, and what it has to ask about the connection that it finds.
    pub fn placing(
        &self,
        integration: &Arc<Integration>,
        arrival: Arrival,
        now: Timestamp,
    ) -> (NewGrantFor, impl FnOnce(Option<&Connection>, u64) -> Decided + Send + use<>) {
        let jitter = self.entropy.fraction();
        let (integration, base) = (integration.clone(), self.base.clone());
        let (origin, facts, account) = (arrival.origin, arrival.facts, arrival.account.clone());
        let (asked, further) = (arrival.requested_scopes.clone().unwrap_or_default(), arrival.short);
        let new = NewGrantFor {
            integration: integration.name.clone(),
            subject: arrival.subject,
            account: arrival.account,
            target: arrival.target,
            grant: arrival.grant,
            requested_scopes: arrival.requested_scopes,
            label: None,
            metadata: arrival.metadata,
            provider_data: arrival.provider_data,
            owed: arrival.owed,
            attempt: arrival.attempt,
            audit: arrival.audit,
        };
        let policy = integration.policy(&base);
        let decide = move |found: Option<&Connection>, generation: u64| {
            let provider = &integration.provider;
            let around = Circumstances { provider, policy: &policy, others_work: true, brake: false, jitter };
            let kept = found.filter(|_| !facts.has_refresh_token);
            let kept = kept.and_then(|found| kept_refresh_token(found, account.as_ref()));
            let kept = kept.map(|stored| stored.refresh_expires_at);
            let facts = GrantFacts {
                generation,
                has_refresh_token: facts.has_refresh_token || kept.is_some(),
                refresh_expires_at: kept.unwrap_or(facts.refresh_expires_at),
                ..facts
            };
            let facts = if origin == Origin::Connect { with_end(facts, provider) } else { facts };
            let new_scopes = facts.scopes.clone();
            let mut short = if origin == Origin::Connect { shortfalls(&facts, &asked, provider) } else { Vec::new() };
            short.extend(further);
            let decided = decide(found, facts, origin, &around, now);
            let told =
                |event: NewEvent| short.iter().cloned().fold(event, |event, (name, what)| event.with(name, what));
            let mut events = decided.events;
            if let Some(first) = events.first_mut() {
                *first = told(first.clone());
            }
            events.extend(found.and_then(|found| scopes_changed(found, &new_scopes)));
            Decided { keep_refresh_token: kept.is_some(), events, ..decided }
        };
        (new, decide)
    }
}

/// What becomes of a connection that gets this grant.
fn decide(
    found: Option<&Connection>,
    facts: GrantFacts,
    origin: Origin,
    around: &Circumstances<'_>,
    now: Timestamp,
) -> Decided {
    let (life, notices) = match found {
        None => (Life::new(facts), Vec::new()),
        Some(connection) => {
            let episode = connection.life.episode.as_ref().map_or(now, |episode| episode.since);
            let grant = Event::GrantReplaced { grant: facts };
            let transition = lifecycle::advance(connection.life.clone(), grant, around, now);
            let notices = transition.notices.into_iter().map(|kind| NewNotice::new(kind, episode)).collect();
            (transition.life, notices)
        }
    };
    let granted_at = life.grant.as_ref().filter(|_| origin == Origin::Connect).map(|facts| facts.issued_at);
    let life = Life { granted_at, ..life };
    let next_at = schedule::due_at(&life, around.provider, around.policy, around.jitter);
    let kind = match (origin, found) {
        (Origin::Import, None) => "connection.imported",
        (Origin::Issue, None) => "connection.created",
        (Origin::Import | Origin::Issue, Some(_)) => "connection.grant_replaced",
        (Origin::Connect, None) => "connection.connected",
        (Origin::Connect, Some(_)) => "connection.reconnected",
    };
    let recovered = notices.iter().any(|notice: &NewNotice| notice.kind == NoticeKind::Recovered);
    let recovered = recovered.then(|| NewEvent::new("connection.recovered"));
    let events = [NewEvent::new(kind)].into_iter().chain(recovered).collect();
    Decided { life, next_at, keep_refresh_token: false, notices, events }
}

/// A refresh token whose life counts from the consent ends when that says, where the answer does not.
fn with_end(facts: GrantFacts, provider: &Provider) -> GrantFacts {
    let fixed = provider.refresh_lifetime_kind == RefreshLifetimeKind::Fixed && facts.has_refresh_token;
    let end = provider.refresh_lifetime.filter(|_| fixed).map(|life| facts.issued_at.plus(life.duration()));
    GrantFacts { refresh_expires_at: facts.refresh_expires_at.or(end), ..facts }
}

/// A person who agrees again can leave out what was agreed before: what depends on it fails, and nobody would know why.
fn scopes_changed(found: &Connection, now: &[String]) -> Option<NewEvent> {
    let before = &found.life.grant.as_ref()?.scopes;
    let less: Vec<&str> = before.iter().filter(|scope| !now.contains(scope)).map(String::as_str).collect();
    let more: Vec<&str> = now.iter().filter(|scope| !before.contains(scope)).map(String::as_str).collect();
    let changed = !(less.is_empty() && more.is_empty());
    changed.then(|| NewEvent::new("connection.scopes_changed").with("lost", less).with("gained", more))
}

/// What a new grant has less of than one would expect: told at once with its event, because later it is a riddle.
fn shortfalls(facts: &GrantFacts, asked: &[String], provider: &Provider) -> Vec<(&'static str, Value)> {
    let mut short = Vec::new();
    let missing: Vec<&str> = asked.iter().filter(|scope| !facts.scopes.contains(scope)).map(String::as_str).collect();
    if !missing.is_empty() {
        short.push(("missing_scopes", missing.into()));
    }
    if facts.expiry == Expiry::Unknown {
        short.push(("lifetime", "unknown".into()));
    }
    let renews = provider.renewal == Renewal::RefreshToken && facts.expiry != Expiry::Never;
    if renews && !facts.has_refresh_token {
        let hint = provider.offline_hint.as_str();
        short.push((
            "refresh_token",
            if hint.is_empty() { "none came".into() } else { format!("none came; what brings one: {hint}").into() },
        ));
    }
    short
}

/// The stored refresh token stays when the new grant brings none: only for the same account, and unless it was judged
/// dead (docs/lifecycle.md, "Lifetimes").
fn kept_refresh_token<'a>(connection: &'a Connection, account: Option<&Account>) -> Option<&'a GrantFacts> {
    let dead = match &connection.life.status {
        Status::Connected => false,
        Status::NeedsReauth { reason, .. } => {
            matches!(reason, ReauthReason::RefreshTokenInvalid | ReauthReason::RefreshOutcomeLost)
        }
        Status::Disconnected { .. } => true,
    };
    let same = match (&connection.account, account) {
        (Some(stored), Some(new)) => stored.id == new.id && stored.kind == new.kind,
        // Nobody knows whether it is the same person: then another person's refresh token must not be mixed in.
        _ => false,
    };
    connection.life.grant.as_ref().filter(|facts| facts.has_refresh_token && same && !dead)
}

/// The tokens of an answer and what is known of them.
pub fn grant_of(tokens: TokenSet, requested: &[String], sent_at: Timestamp, store: &Store) -> (Grant, GrantFacts) {
    let lifetime = match tokens.expiry {
        Expiry::At { at } => Some(at.since(sent_at)),
        Expiry::Unknown | Expiry::Never => None,
    };
    let facts = GrantFacts {
        generation: 0,
        issued_at: sent_at,
        expiry: tokens.expiry,
        lifetime_millis: lifetime.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
        token_id: store.fingerprint(tokens.access_token.expose()),
        has_access_token: true,
        has_refresh_token: tokens.refresh_token.is_some(),
        refresh_expires_at: tokens.refresh_expires_at,
        // RFC 6749 §5.1: left out means as requested.
        scopes: tokens.scopes.unwrap_or_else(|| requested.to_vec()),
        oddities: tokens.oddities,
        short: tokens.short,
    };
    let grant = Grant {
        access_token: Some(tokens.access_token),
        refresh_token: tokens.refresh_token,
        token_type: tokens.token_type,
    };
    (grant, facts)
}

/// The connection that has the grant now, and whether it is new.
///
/// # Errors
/// [`Conflict::AccountTaken`], [`Conflict::OtherAccount`], [`Refusal::NotFound`].
pub fn placed(placed: Placed, integration: &Integration) -> Result<(Arc<TokenRecord>, bool), Refusal> {
    let provider = || provider_name(integration).to_owned();
    match placed {
        Placed::Created(record) => Ok((record, true)),
        Placed::Replaced(record) => Ok((record, false)),
        Placed::AccountTaken { .. } => Err(Conflict::AccountTaken { provider: provider() }.into()),
        Placed::OtherAccount => Err(Conflict::OtherAccount { provider: provider() }.into()),
        Placed::Gone => Err(Refusal::not_found("connection")),
        Placed::NoIntegration => Err(Refusal::not_found("integration")),
        Placed::NotPending => Err(Refusal::not_found("pending grant")),
    }
}

/// The word for who ended a connection.
pub const fn ended_by(caller: &super::access::Who) -> DisconnectReason {
    match caller {
        super::access::Who::Key(_) => DisconnectReason::Application,
        super::access::Who::Subject(_) => DisconnectReason::Subject,
        super::access::Who::Operator => DisconnectReason::Operator,
    }
}
