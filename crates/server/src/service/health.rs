//! How one connection is doing, in a person's words: what is the matter and who has to do something.

use evergrant_core::connection::{ReauthReason, Status};
use evergrant_core::id::{ConnectionId, IntegrationName};
use evergrant_core::schedule::Freshness;
use evergrant_core::secret::OneTime;
use evergrant_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::connections::{Seen, SeenStatus};
use super::links::Links;

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
    /// The operator must mend it.
    FixIntegration,
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
    /// In words.
    pub message: String,
    /// Where to reconnect, if that is what is to be done and a link is safe.
    pub reconnect_url: Option<OneTime>,
}

/// Looks at one connection; links in it are good until `link_end`.
pub fn health(seen: &Seen, links: &Links, link_end: Timestamp, now: Timestamp) -> ConnectionHealth {
    let connection = &seen.connection;
    let facts = connection.life.grant.as_ref();
    let live = facts.is_some_and(|facts| facts.is_alive(now));
    let (action, message) = in_words(seen, live);
    let reconnect = action == HealthAction::Reconnect;
    let link = || links.reconnect(connection, &seen.integration, link_end);
    ConnectionHealth {
        connection: Some(connection.id.clone()),
        integration: connection.integration.clone(),
        provider: seen.provider_name().to_owned(),
        connected: matches!(seen.status, SeenStatus::Connected) || (seen.status == SeenStatus::Error && live),
        status: seen.status,
        freshness: seen.freshness,
        action,
        message,
        reconnect_url: reconnect.then(link).flatten(),
    }
}

fn in_words(seen: &Seen, live: bool) -> (HealthAction, String) {
    let provider = seen.provider_name();
    let life = &seen.connection.life;
    let failing = life.auth_failures + life.transient_failures > 0;
    match (&seen.status, &life.status) {
        (SeenStatus::NeedsReauth, Status::NeedsReauth { reason, .. }) => {
            (HealthAction::Reconnect, format!("{provider} is disconnected: {}. Please reconnect.", because(*reason)))
        }
        (SeenStatus::NeedsReauth, _) => {
            (HealthAction::Reconnect, format!("{provider} is disconnected. Please reconnect."))
        }
        (SeenStatus::Disconnected, _) => (HealthAction::None, format!("{provider} is not connected.")),
        (SeenStatus::Error, _) => {
            let what = format!(
                "{provider} does not accept this application just now; its operator has to mend that. You need not do anything."
            );
            (HealthAction::FixIntegration, what)
        }
        (SeenStatus::Connected, _) if failing && live => {
            (HealthAction::Wait, format!("{provider} works. Renewing had trouble; we retry by ourselves."))
        }
        (SeenStatus::Connected, _) if failing => {
            (HealthAction::Wait, format!("{provider} does not answer; we retry by ourselves."))
        }
        (SeenStatus::Connected, _) => (HealthAction::None, format!("{provider} is connected.")),
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
