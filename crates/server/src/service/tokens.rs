//! The main call: a valid access token.
//!
//! A live token comes from memory: one look-up, one unsealing, one line for the audit log. Everything else is the
//! kernel's, and what it cannot give is said here in words, with the way forward.

use evergrant_core::connection::{Connection, ReauthReason, Status};
use evergrant_core::id::{ConnectionId, IntegrationName, SubjectId};
use evergrant_core::integration::Integration;
use evergrant_core::outcome::Class;
use evergrant_core::time::Timestamp;

use super::access::Caller;
use super::connections::provider_name;
use super::error::Refusal;
use super::refresh::{HandOut, TokenAsk, TokenRefusal};
use super::{Service, health};

pub use super::refresh::HandOut as Given;
pub use super::refresh::TokenAsk as Ask;

impl Service {
    /// A token of a connection.
    ///
    /// # Errors
    /// A [`Refusal`] that says who has to do what.
    pub async fn token(&self, caller: &Caller, id: &ConnectionId, ask: TokenAsk) -> Result<HandOut, Refusal> {
        let not_found = || Refusal::not_found("connection");
        let record = self.store.token_record(id, false).await?.ok_or_else(not_found)?;
        let connection = record.connection.clone();
        let integration = self.seen_integration(&caller.scope, &connection.integration).map_err(|_| not_found())?;
        let given = match self.refresher.token(id, ask).await {
            Ok(hand_out) => self.audited(caller, hand_out).await,
            Err(refused) => Err(self.refused(refused, &connection, &integration)),
        };
        self.metrics.token_requested(&integration.name, given.as_ref().map_or_else(result, |_| "ok"));
        given
    }

    /// A token of the one connection that a subject has through an integration. Of the pairs of one grant the first is meant,
    /// unless the caller names another kind: who asked for a bot's token goes on getting it once there is a user's too.
    ///
    /// # Errors
    /// As [`Service::token`]; [`Refusal::Ambiguous`] where there are several.
    pub async fn token_of(
        &self,
        caller: &Caller,
        (subject, kind): (&SubjectId, Option<&str>),
        name: &IntegrationName,
        ask: TokenAsk,
    ) -> Result<HandOut, Refusal> {
        let integration = self.seen_integration(&caller.scope, name)?;
        let ids = self.store.connections_by_subject(name, subject).await?;
        let (mut living, mut further, mut ended) = (Vec::new(), Vec::new(), None);
        for id in ids.iter() {
            let Some(record) = self.store.token_record(id, false).await? else { continue };
            let of = record.connection.account.as_ref().and_then(|account| account.kind.as_deref());
            if kind.is_some() && kind != of {
                continue;
            }
            let is_further =
                kind.is_none() && integration.provider.also.iter().any(|also| Some(also.kind.as_str()) == of);
            match record.connection.life.status {
                Status::Disconnected { .. } => ended = Some(record.connection.clone()),
                _ if is_further => further.push(id.clone()),
                Status::Connected | Status::NeedsReauth { .. } => living.push(id.clone()),
            }
        }
        let living = if living.is_empty() { further } else { living };
        match living.as_slice() {
            [id] => self.token(caller, id, ask).await,
            [] => {
                self.metrics.token_requested(name, "not_connected");
                Err(self.not_connected(&integration, subject, ended.as_deref()))
            }
            _ => {
                self.metrics.token_requested(name, "ambiguous_connection");
                Err(Refusal::Ambiguous { connections: living })
            }
        }
    }

    /// The subject has no connection, or ended it: where to connect.
    pub(super) fn not_connected(
        &self,
        integration: &Integration,
        subject: &SubjectId,
        ended: Option<&Connection>,
    ) -> Refusal {
        let end = self.link_end(integration);
        let revive = ended.and_then(|connection| self.links.reconnect(connection, integration, end));
        let link = revive.or_else(|| self.links.connect(integration, subject, end));
        Refusal::NotConnected {
            provider: provider_name(integration).to_owned(),
            connect_url: link.filter(|_| !integration.paused).map(|link| link.expose().to_owned()),
        }
    }

    /// What the kernel could not give, in words.
    pub(super) fn refused(&self, refused: TokenRefusal, connection: &Connection, integration: &Integration) -> Refusal {
        let provider = provider_name(integration);
        match refused {
            TokenRefusal::NotFound => Refusal::not_found("connection"),
            TokenRefusal::NotConnected { connection } => {
                self.not_connected(integration, &connection.subject, Some(&connection))
            }
            TokenRefusal::NeedsReauth { connection, reason, detail, since } => {
                self.needs_reauth(&connection, integration, reason, &detail, since)
            }
            TokenRefusal::IntegrationMisconfigured { integration, since, detail } => {
                Refusal::IntegrationMisconfigured { integration, since, detail }
            }
            TokenRefusal::IntegrationPaused => Refusal::IntegrationPaused { integration: integration.name.clone() },
            TokenRefusal::Quarantined => Refusal::Quarantined,
            TokenRefusal::ProviderError { class, detail, retry_after } => {
                let detail = format!(
                    "{provider}: {}. The grant is kept, and it is tried again by itself.",
                    sentence(&detail, class)
                );
                Refusal::ProviderError { class, detail, retry_after }
            }
            TokenRefusal::ProviderUnavailable { class, detail, retry_after } => {
                let what = class.map_or_else(|| detail.clone(), |class| sentence(&detail, class));
                let detail = format!("{provider}: {what}. The grant is kept, and it is tried again by itself.");
                Refusal::ProviderUnavailable { class, detail, retry_after }
            }
            TokenRefusal::StorageUnavailable { retry_after } => {
                Refusal::StorageUnavailable { retry_after, cause: "the kernel could not reach the store".to_owned() }
            }
            TokenRefusal::NoToken => {
                let since = connection.updated_at;
                self.needs_reauth(connection, integration, ReauthReason::NoRefreshToken, "", since)
            }
        }
    }

    fn needs_reauth(
        &self,
        connection: &Connection,
        integration: &Integration,
        reason: ReauthReason,
        detail: &str,
        since: Timestamp,
    ) -> Refusal {
        let link = self.links.reconnect(connection, integration, self.link_end(integration));
        Refusal::NeedsReauth {
            connection: connection.id.clone(),
            reason,
            provider: provider_name(integration).to_owned(),
            sentence: why(provider_name(integration), reason, detail, since),
            reconnect_url: link.map(|link| link.expose().to_owned()),
        }
    }
}

/// What the application is told of a grant that is dead.
fn why(provider: &str, reason: ReauthReason, detail: &str, since: Timestamp) -> String {
    let said = if detail.is_empty() { String::new() } else { format!(" It said: {detail}") };
    match reason {
        ReauthReason::RefreshTokenInvalid => {
            format!("{provider} said on {since} that this refresh token is no longer valid.{said}")
        }
        ReauthReason::RefreshOutcomeLost => format!(
            "An answer of {provider} was lost on the way before {since}, and {provider} does not accept the earlier refresh \
             token any more: this is not a withdrawn consent."
        ),
        ReauthReason::AuthRejected => {
            format!("{provider} has refused to renew this grant several times, the last time on {since}.{said}")
        }
        ReauthReason::NoRefreshToken => {
            format!("The access token has ended on {since}, and {}.", health::because(reason))
        }
    }
}

/// A class, and what the provider said, as half a sentence.
fn sentence(detail: &str, class: Class) -> String {
    let what = match class {
        Class::Success => "it answered",
        Class::InvalidGrant => "it refused the refresh token",
        Class::AuthRejected => "it refused to renew the grant without saying why",
        Class::InvalidClient => "it refused the OAuth client",
        Class::RateLimited => "it limits requests just now",
        Class::Unavailable => "it is out of order just now",
        Class::Network => "it could not be reached",
        Class::Ambiguous => "no whole answer came, and what became of the request is not known yet",
        Class::Malformed => "its answer held no token",
        Class::Unknown => "it answered with something that nobody expects",
    };
    let detail = detail.trim_end_matches('.');
    if detail.is_empty() { what.to_owned() } else { format!("{what} ({detail})") }
}

/// The word for a metric.
fn result(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NotFound { .. } => "not_found",
        Refusal::NotConnected { .. } => "not_connected",
        Refusal::Ambiguous { .. } => "ambiguous_connection",
        Refusal::NeedsReauth { .. } => "needs_reauth",
        Refusal::IntegrationMisconfigured { .. } => "integration_misconfigured",
        Refusal::IntegrationPaused { .. } => "integration_paused",
        Refusal::Quarantined => "quarantined",
        Refusal::ProviderError { .. } => "provider_error",
        Refusal::ProviderUnavailable { .. } => "provider_unavailable",
        Refusal::StorageUnavailable { .. } => "storage_unavailable",
        Refusal::RateLimited { .. } => "rate_limited",
        Refusal::Unauthenticated
        | Refusal::Forbidden { .. }
        | Refusal::OtherSubject
        | Refusal::Invalid { .. }
        | Refusal::Conflict(_)
        | Refusal::NoRefreshToken
        | Refusal::Internal { .. } => "internal",
    }
}
