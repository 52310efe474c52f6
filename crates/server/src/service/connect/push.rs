//! Where the browser is sent: to the provider with the whole request, or with a reference to one that was pushed there
//! before (RFC 9126).
//!
//! Nothing is stored before this, and nothing is spent by it: a push that fails leaves the link as it was. Where the provider
//! only offers pushing, passing trouble with it does not keep anybody from signing in: the request in the address is as good
//! there. What it refuses it would refuse in the address too, so that is said at once; and where it takes nothing but pushed
//! requests (`par_required`), the address would only lead to an error page that nobody understands.

use std::time::Duration;

use evergrant_core::authorize::{
    AuthorizationRequest, CannotAuthorize, NotPushed, authorization_params, authorization_url, pushed_url, request_uri,
    signed_authorization_url,
};
use evergrant_core::integration::Integration;
use evergrant_core::provider::CredentialKind;
use evergrant_core::secret::{ClientSecret, OneTime};
use evergrant_core::token_request::{Client, push};

use super::exchange::secrets;
use super::failure::Failure;
use super::session::stopped;
use super::told::Stopped;
use crate::provider::{Limits, SendError, Unusable};
use crate::service::Service;
use crate::service::connections::provider_name;
use crate::service::error::Refusal;

/// What a push may take while a person waits.
const LIMITS: Limits = Limits { connect: Duration::from_secs(5), answer: Duration::from_secs(10), body: 64 * 1024 };

/// What came of a push.
enum Pushed {
    /// The reference.
    At(String),
    /// Nobody could be asked, or the endpoint does not work.
    NotNow(String),
    /// The client's key does not sign.
    NothingToShow(Unusable),
    /// The provider does not want it.
    Refused(NotPushed),
}

impl Service {
    /// Where the browser goes with this request; `at` is the integration with the addresses of this connection.
    pub(super) async fn location(
        &self,
        request: &AuthorizationRequest<'_>,
        at: &Integration,
    ) -> Result<OneTime, Stopped> {
        let plain = |error: CannotAuthorize| stopped(Refusal::internal(&error));
        let url = match at.provider.kind {
            CredentialKind::Oauth1 => signed_authorization_url,
            _ => authorization_url,
        };
        let in_address = || url(request).map(|url| OneTime::new(String::from(url))).map_err(plain);
        if at.provider.par_url.is_empty() {
            return in_address();
        }
        let failure = match self.push_with_each_secret(request, at).await.map_err(plain)? {
            Pushed::At(reference) => {
                let url = pushed_url(&at.provider, request.client_id, &reference).map_err(plain)?;
                return Ok(OneTime::new(String::from(url)));
            }
            Pushed::NotNow(why) if !at.provider.par_required => {
                tracing::warn!(integration = %at.name, why, "an authorization request could not be pushed; it goes in the address");
                return in_address();
            }
            Pushed::NotNow(why) => {
                tracing::warn!(integration = %at.name, why, "an authorization request could not be pushed");
                Failure::ProviderUnavailable
            }
            Pushed::NothingToShow(why) => {
                tracing::warn!(integration = %at.name, %why, "an authorization request could not be pushed");
                Failure::IntegrationMisconfigured
            }
            Pushed::Refused(refused) => {
                tracing::warn!(integration = %at.name, %refused, "a pushed authorization request was refused");
                match refused {
                    NotPushed::Client { .. } => Failure::IntegrationMisconfigured,
                    NotPushed::Request { .. } | NotPushed::NotNow { .. } => Failure::RequestRefused,
                }
            }
        };
        self.metrics.connect_flow(&at.name, failure.code());
        Err(Stopped { failure, provider: Some(provider_name(at).to_owned()) })
    }

    async fn push_with_each_secret(
        &self,
        request: &AuthorizationRequest<'_>,
        at: &Integration,
    ) -> Result<Pushed, CannotAuthorize> {
        let mut last = Pushed::NotNow("there is no address to push to".to_owned());
        for secret in secrets(at, self.now()) {
            last = self.push(request, at, secret).await?;
            if !matches!(last, Pushed::NothingToShow(_) | Pushed::Refused(NotPushed::Client { .. })) {
                break;
            }
        }
        Ok(last)
    }

    async fn push(
        &self,
        request: &AuthorizationRequest<'_>,
        at: &Integration,
        secret: Option<&ClientSecret>,
    ) -> Result<Pushed, CannotAuthorize> {
        let proof = match self.proof(at, secret, &at.provider.token_url) {
            Ok(proof) => proof,
            Err(why) => return Ok(Pushed::NothingToShow(why)),
        };
        let client = Client { id: request.client_id, proof: proof.as_ref(), redirect_uri: request.redirect_uri };
        let params = authorization_params(request)?;
        let Some(pushing) = push(&at.provider, &client, &params) else {
            return Ok(Pushed::NotNow("there is no address to push to".to_owned()));
        };
        Ok(match self.transport.call(pushing, LIMITS).await {
            Ok(answer) => match request_uri(answer.status, &answer.body) {
                Ok(reference) => Pushed::At(reference),
                Err(trouble @ NotPushed::NotNow { .. }) => Pushed::NotNow(trouble.to_string()),
                Err(refused) => Pushed::Refused(refused),
            },
            Err(SendError::Unsent) => Pushed::NotNow("the connection was closed".to_owned()),
            Err(SendError::Lost { why, .. }) => Pushed::NotNow(why),
        })
    }
}
