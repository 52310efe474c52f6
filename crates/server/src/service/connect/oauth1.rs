//! What is different with OAuth 1.0a: temporary credentials are fetched before a person is sent on, and they are what comes
//! back in the place of a state; requests are signed and not authenticated.

use std::time::Duration;

use evergrant_core::integration::Integration;
use evergrant_core::oauth1::{joined, parted, temporary};
use evergrant_core::secret::{AccessToken, AuthorizationCode, ClientProof, ClientSecret, CodeVerifier, OneTime};
use evergrant_core::token_request::{
    Client, HttpRequest, Once, signed_exchange, signed_userinfo, temporary_credentials,
};

use super::exchange::secrets;
use super::failure::Failure;
use super::told::Stopped;
use crate::provider::{Limits, SendError};
use crate::service::Service;
use crate::service::connections::provider_name;

/// What asking for temporary credentials may take while a person waits.
const LIMITS: Limits = Limits { connect: Duration::from_secs(5), answer: Duration::from_secs(10), body: 64 * 1024 };

impl Service {
    /// Temporary credentials: the part that comes back with the browser, and both parts to keep until then.
    ///
    /// # Errors
    /// [`Stopped`]; nothing is spent, and the link stays good.
    pub(super) async fn temporary(&self, at: &Integration) -> Result<(OneTime, CodeVerifier), Stopped> {
        let mut failure = Failure::Internal;
        for secret in secrets(at, self.now()) {
            let request = self.signed(at, secret, |client, once| temporary_credentials(&at.provider, client, once));
            let Some(request) = request else { break };
            failure = match self.transport.call(request, LIMITS).await {
                Ok(answer) => match temporary(answer.status, &answer.body) {
                    Some((token, secret)) => {
                        let kept = CodeVerifier::new(joined(&token, &secret).expose());
                        return Ok((OneTime::new(token.as_str()), kept));
                    }
                    None => refusal(answer.status),
                },
                Err(SendError::Unsent | SendError::Lost { .. }) => Failure::ProviderUnavailable,
            };
            tracing::warn!(integration = %at.name, code = failure.code(), "temporary credentials were not given");
            if failure != Failure::IntegrationMisconfigured {
                break;
            }
        }
        self.metrics.connect_flow(&at.name, failure.code());
        Err(Stopped { failure, provider: Some(provider_name(at).to_owned()) })
    }

    /// The exchange of temporary credentials for a token. None where they are none, or the address is none.
    pub(super) fn signed_exchange(
        &self,
        at: &Integration,
        secret: Option<&ClientSecret>,
        (code, kept): (&AuthorizationCode, &CodeVerifier),
    ) -> Option<HttpRequest> {
        let (token, token_secret) = parted(&AccessToken::new(kept.expose()))?;
        self.signed(at, secret, |client, once| {
            signed_exchange(&at.provider, client, (&token, &token_secret), code.expose(), once)
        })
    }

    /// The question whose token it is, signed with each of the client's secrets: one of them fits.
    pub(super) fn signed_userinfo(&self, at: &Integration, kept: &AccessToken) -> Vec<HttpRequest> {
        let Some((token, token_secret)) = parted(kept) else { return Vec::new() };
        let ask =
            |client: &Client<'_>, once: Once<'_>| signed_userinfo(&at.provider, client, (&token, &token_secret), once);
        secrets(at, self.now()).into_iter().filter_map(|secret| self.signed(at, secret, ask)).collect()
    }

    fn signed(
        &self,
        at: &Integration,
        secret: Option<&ClientSecret>,
        request: impl FnOnce(&Client<'_>, Once<'_>) -> Option<HttpRequest>,
    ) -> Option<HttpRequest> {
        let redirect_uri = self.callback_url(&at.name);
        // What signs is the secret itself, never anything made of it.
        let proof = secret.map(|secret| ClientProof::new(secret.expose()));
        let client = Client { id: &at.client_id, proof: proof.as_ref(), redirect_uri: &redirect_uri };
        let nonce: String = self.entropy.id().iter().map(|byte| format!("{byte:02x}")).collect();
        request(&client, Once { nonce: &nonce, seconds: self.now().as_seconds() })
    }
}

/// RFC 5849 §3.2: 401 speaks of the client or its signature, 400 of the request.
fn refusal(status: u16) -> Failure {
    match status {
        401 | 403 => Failure::IntegrationMisconfigured,
        408 | 429 | 500..=599 => Failure::ProviderUnavailable,
        _ => Failure::RequestRefused,
    }
}
