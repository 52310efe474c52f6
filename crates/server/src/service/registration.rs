//! A client of our own, where the provider lets clients register themselves (RFC 7591).
//!
//! Everything else of the integration is looked at before, so that no client is registered for one that cannot be stored. What
//! a provider gives for managing the registration (RFC 7592) is not kept: a client that nobody needs any more is taken away
//! by hand, at the provider.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::integration::{Integration, ProviderSource, StoredClientSecret};
use evergrant_core::provider::{ClientAuth, Provider};
use evergrant_core::registration::{NotRegistered, Registered, registered};
use evergrant_core::return_url::is_loopback;
use evergrant_core::token_request::{NewClient, register};
use url::Url;

use super::Service;
use super::connections::provider_name;
use super::error::Refusal;
use super::integrations::check_but_client;
use crate::provider::{Limits, SendError};

/// What a registration may take while an operator waits.
const LIMITS: Limits = Limits { connect: Duration::from_secs(5), answer: Duration::from_secs(20), body: 64 * 1024 };
/// When to ask again after passing trouble.
const AGAIN: Duration = Duration::from_secs(60);

impl Service {
    /// The integration with a client that its provider has just made for it. Not stored yet.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] of `client_id` where the provider registers nobody, or not this client;
    /// [`Refusal::ProviderUnavailable`] where it cannot just now.
    pub(super) async fn registered(&self, integration: Integration) -> Result<Integration, Refusal> {
        if !integration.client_secrets.is_empty() {
            let expected = "expected none without a `client_id`: a client that registers itself gets its own";
            return Err(Refusal::invalid("client_secrets", expected));
        }
        check_but_client(&integration)?;
        let filled = integration.provider.filled(&integration.params, |_| None);
        let entry = filled.map_err(|_| Refusal::invalid("client_id", BY_HAND))?;
        let (redirect_uri, name) = (self.callback_url(&integration.name), self.client_name());
        let wish = NewClient {
            redirect_uri: &redirect_uri,
            name: &name,
            scopes: integration.requested_scopes(),
            native: Url::parse(&redirect_uri).is_ok_and(|url| is_loopback(&url)),
        };
        let request = register(&entry, &wish).ok_or_else(|| Refusal::invalid("client_id", BY_HAND))?;
        let answer = match self.transport.call(request, LIMITS).await {
            Ok(answer) => answer,
            Err(SendError::Unsent) => return Err(not_now(&integration, "the connection was closed")),
            Err(SendError::Lost { why, .. }) => return Err(not_now(&integration, &why)),
        };
        let made = registered(answer.status, &answer.body, entry.client_auth).map_err(|not| match not {
            NotRegistered::NotNow { .. } => not_now(&integration, &not.to_string()),
            not => Refusal::invalid("client_id", format!("{BY_HAND_AFTER}: {not}")),
        })?;
        tracing::info!(integration = %integration.name, client_id = made.client_id, "a client was registered");
        with_client(integration, made)
    }

    /// What people see of the client on the provider's pages.
    fn client_name(&self) -> String {
        let host = Url::parse(&self.public_url).ok().and_then(|url| url.host_str().map(str::to_owned));
        host.map_or_else(|| "Evergrant".to_owned(), |host| format!("Evergrant at {host}"))
    }
}

pub(super) const BY_HAND: &str = "it is required: this provider's entry has no `registration_url` at which a client could register itself. \
                       Register one by hand at the provider";
const BY_HAND_AFTER: &str =
    "it was left out, and the provider did not register a client. Register one by hand there and give its id";

fn with_client(integration: Integration, made: Registered) -> Result<Integration, Refusal> {
    let secret = made.secret.map(|(secret, expires_at)| StoredClientSecret { secret, expires_at });
    let integration =
        Integration { client_id: made.client_id, client_secrets: secret.into_iter().collect(), ..integration };
    authenticating(integration, made.client_auth)
}

/// The server may have decided how the client authenticates; an inline entry follows it.
fn authenticating(integration: Integration, how: ClientAuth) -> Result<Integration, Refusal> {
    if integration.provider.client_auth == how {
        return Ok(integration);
    }
    match &integration.source {
        ProviderSource::Inline(entry) => Ok(Integration {
            source: ProviderSource::Inline(Box::new(Provider { client_auth: how, ..(**entry).clone() })),
            provider: Arc::new(Provider { client_auth: how, ..(*integration.provider).clone() }),
            ..integration
        }),
        ProviderSource::Catalogue(_) => Err(Refusal::invalid(
            "provider",
            "expected an entry whose `client_auth` is what the provider gives to clients that register themselves",
        )),
    }
}

fn not_now(integration: &Integration, why: &str) -> Refusal {
    let provider = provider_name(integration);
    Refusal::ProviderUnavailable {
        class: None,
        detail: format!("{provider} did not register a client: {why}. Nothing was stored; try again in a moment."),
        retry_after: AGAIN,
    }
}
