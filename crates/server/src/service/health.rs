//! How one connection is doing, in a person's words: what is the matter and who has to do something.

use std::time::Duration;

use evergrant_core::connection::{ReauthReason, Status};
use evergrant_core::id::{ConnectionId, IntegrationName};
use evergrant_core::notice::NoticeKind;
use evergrant_core::schedule::Freshness;
use evergrant_core::secret::OneTime;
use evergrant_core::telling::Trouble;
use evergrant_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::connections::{Seen, SeenStatus};
use super::links::Links;
use crate::notify::words::{Support, Words};

/// What is to be done about a connection, in a person's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthAction {
    /// Nothing.
    None,
    /// The person must reconnect.
    Reconnect,
    /// It mends itself.
    Wait,
    /// It mends itself; trying again in a moment may be enough.
    Retry,
    /// The operator must mend it.
    FixIntegration,
    /// Nobody here knows what is wrong: somebody has to look.
    ContactSupport,
}

/// How one connection is doing.
#[derive(Clone, Debug)]
pub struct ConnectionHealth {
    /// The connection.
    pub connection: Option<ConnectionId>,
    /// Its integration.
    pub integration: IntegrationName,
    /// The provider's name.
    pub provider: String,
    /// Whether a token can be had.
    pub connected: bool,
    /// Who must act.
    pub status: SeenStatus,
    /// How fresh the access token is.
    pub freshness: Freshness,
    /// What is to be done.
    pub action: HealthAction,
    /// Which of four kinds of trouble it is; none where there is none.
    pub trouble: Option<Trouble>,
    /// In words.
    pub message: String,
    /// When it is tried again, where that is known.
    pub retry_after: Option<Duration>,
    /// Whom to ask, where only somebody else can help.
    pub support_contact: Option<String>,
    /// Where to reconnect, if that is what is to be done and a link is safe.
    pub reconnect_url: Option<OneTime>,
}

/// With whose eyes it is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The words of the person's language.
    pub words: &'static Words,
    /// Whom the person can ask.
    pub support: Support<'a>,
}

/// Looks at one connection; links in it are good until `link_end`.
pub fn health(
    seen: &Seen,
    reader: &Reader<'_>,
    links: &Links,
    link_end: Timestamp,
    now: Timestamp,
) -> ConnectionHealth {
    let connection = &seen.connection;
    let facts = connection.life.grant.as_ref();
    let live = facts.is_some_and(|facts| facts.is_alive(now));
    let Told { action, trouble, message, retry_after } = in_words(seen, live, reader, now);
    let reconnect = action == HealthAction::Reconnect;
    let link = || links.reconnect(connection, &seen.integration, link_end);
    let ask = matches!(action, HealthAction::ContactSupport | HealthAction::FixIntegration);
    ConnectionHealth {
        connection: Some(connection.id.clone()),
        integration: connection.integration.clone(),
        provider: seen.provider_name().to_owned(),
        connected: matches!(seen.status, SeenStatus::Connected) || (seen.status == SeenStatus::Error && live),
        status: seen.status,
        freshness: seen.freshness,
        action,
        trouble,
        message,
        retry_after,
        support_contact: reader.support.contact.filter(|_| ask).map(str::to_owned),
        reconnect_url: reconnect.then(link).flatten(),
    }
}

/// What a person is told of a connection.
struct Told {
    action: HealthAction,
    trouble: Option<Trouble>,
    message: String,
    retry_after: Option<Duration>,
}

impl Told {
    fn new(action: HealthAction, trouble: Option<Trouble>, message: String) -> Self {
        Told { action, trouble, message, retry_after: None }
    }
}

fn in_words(seen: &Seen, live: bool, reader: &Reader<'_>, now: Timestamp) -> Told {
    let says = |name: &str| reader.words.health(name, seen.provider_name());
    let reconnect = |message| Told::new(HealthAction::Reconnect, Some(Trouble::Reconnect), message);
    let operator = |name| Told::new(HealthAction::FixIntegration, Some(Trouble::Unknown), says(name));
    let life = &seen.connection.life;
    let failing = life.auth_failures + life.transient_failures > 0 || life.episode.is_some();
    match (&seen.status, &life.status) {
        (SeenStatus::NeedsReauth, Status::NeedsReauth { reason, .. }) => reconnect(says(reason.as_str())),
        (SeenStatus::NeedsReauth, _) => reconnect(says(ReauthReason::RefreshTokenInvalid.as_str())),
        (SeenStatus::Disconnected, _) => Told::new(HealthAction::None, None, says("not_connected")),
        (SeenStatus::Error, _) => operator("operator"),
        (SeenStatus::Connected, _) if seen.integration.paused && !live => operator("paused"),
        (SeenStatus::Connected, _) if failing => failing_in_words(seen, live, reader, now),
        (SeenStatus::Connected, _) => Told::new(HealthAction::None, None, says("connected")),
    }
}

/// What is still being tried: silence is broken only where somebody can do something, or has been told already.
fn failing_in_words(seen: &Seen, live: bool, reader: &Reader<'_>, now: Timestamp) -> Told {
    let provider = seen.provider_name();
    let says = |name: &str| reader.words.health(name, provider);
    let life = &seen.connection.life;
    let told = |kind| life.episode.as_ref().is_some_and(|episode| episode.told.contains(&kind));
    let refused = life.auth_failures > 0;
    let class = life.last_failure.as_ref().map(|failure| failure.class);
    let kind = match class.and_then(Trouble::of) {
        Some(Trouble::RateLimit) if life.transient_failures > 0 => Trouble::RateLimit,
        Some(Trouble::Unknown) if refused || life.transient_failures > 0 => Trouble::Unknown,
        Some(Trouble::Reconnect) if refused => Trouble::Reconnect,
        _ if told(NoticeKind::RateLimited) => Trouble::RateLimit,
        _ => Trouble::Network,
    };
    let next = life.next_attempt.map(|next| next.until_from(now)).filter(|wait| !wait.is_zero());
    let patience = |message| Told { retry_after: next, ..Told::new(HealthAction::Wait, Some(kind), message) };
    if kind == Trouble::Reconnect && told(NoticeKind::Warning) && life.suspect.is_none() {
        return Told::new(HealthAction::Reconnect, Some(kind), says("refused"));
    }
    if live {
        return patience(says("works"));
    }
    let guided = |action| {
        let message = reader.words.guidance(kind, Some(provider), next, &reader.support);
        Told { retry_after: next, ..Told::new(action, Some(kind), message) }
    };
    match kind {
        // A verdict that is not final yet is no reason to call anybody.
        Trouble::Reconnect => patience(says("patience")),
        _ if life.suspect.is_some() => patience(says("patience")),
        Trouble::Network => guided(HealthAction::Retry),
        Trouble::RateLimit => guided(HealthAction::Wait),
        Trouble::Unknown => guided(HealthAction::ContactSupport),
    }
}

/// Why a person must reconnect, as half a sentence.
pub const fn because(reason: ReauthReason) -> &'static str {
    match reason {
        ReauthReason::RefreshTokenInvalid => "the permission was withdrawn or has ended",
        ReauthReason::RefreshOutcomeLost => "an answer got lost on the way, and the permission cannot be renewed",
        ReauthReason::AuthRejected => "the permission was refused several times",
        ReauthReason::NoRefreshToken => "the permission has ended and cannot be renewed",
    }
}
