//! On to the provider: a one-time state, PKCE, and the integration's own redirect URI.

use evergrant_core::authorize::AuthorizationRequest;
use evergrant_core::id::IntegrationName;
use evergrant_core::integration::Integration;
use evergrant_core::provider::CredentialKind;
use evergrant_core::secret::{CodeVerifier, OneTime, kind};
use evergrant_store::connect::{Begun as StoreBegun, NewAuthorization};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::STATE_LIFE;
use super::failure::Failure;
use super::plan::Plan;
use super::session::stopped;
use super::told::{Begun, How, Stopped};
use crate::service::Service;
use crate::service::access::hash;
use crate::service::connections::provider_name;
use crate::service::error::Refusal;
use crate::service::exposed::Exposed;
use crate::service::known::values;

/// What is kept with a state until the browser comes back; sealed.
#[derive(Serialize, Deserialize)]
pub(super) struct Waiting {
    pub verifier: Exposed<kind::Verifier>,
    pub scopes: Vec<String>,
    /// What is known of the variables of the provider's addresses.
    #[serde(default)]
    pub known: Map<String, Value>,
}

impl Service {
    /// Begins at the provider. `browser` is what an earlier flow bound to this browser, if it did.
    ///
    /// # Errors
    /// [`Stopped`] when the link is not good any more, the storage is away, or the provider refuses a request that must be
    /// pushed; the link stays good then.
    pub async fn begin(&self, token: &OneTime, how: How<'_>, browser: Option<OneTime>) -> Result<Begun, Stopped> {
        let link = self.link(token, how.return_url).await?;
        let named = |name: &IntegrationName| link.integrations.iter().find(|one| one.name == *name);
        let integration = match how.chosen {
            Some(name) => named(name).ok_or(Failure::LinkGone)?,
            None => link.integrations.first().ok_or(Failure::LinkGone)?,
        };
        let browser = browser.filter(is_ours).unwrap_or_else(|| self.entropy.one_time());
        let scopes = link.plan.scopes.clone().unwrap_or_else(|| integration.requested_scopes().to_vec());
        let known = self.known(&link.plan, integration).await.map_err(stopped)?;
        let at = integration.at(&known).map_err(|unfilled| stopped(Refusal::internal(&unfilled)))?;
        let params = link.plan.params.iter().filter(|(name, _)| !integration.provider.variables.contains_key(*name));
        let ask = integration.provider.choose_account_params.iter().filter(|_| how.another_account);
        let params = params.chain(ask).map(|(name, value)| (name.clone(), value.clone())).collect();
        let (state, verifier): (OneTime, CodeVerifier) = match at.provider.kind {
            CredentialKind::Oauth1 => self.temporary(&at).await?,
            _ => (self.entropy.one_time(), self.entropy.one_time()),
        };
        let request = AuthorizationRequest {
            provider: &at.provider,
            client_id: &integration.client_id,
            redirect_uri: &self.callback_url(&integration.name),
            state: &state,
            verifier: &verifier,
            scopes: &scopes,
            login_hint: link.plan.email.as_deref().filter(|_| !how.another_account),
            params: &params,
        };
        let location = self.location(&request, &at).await?;
        let session = self.session_of(&link).await.map_err(stopped)?;
        let waiting = Waiting { verifier: Exposed(verifier), scopes, known };
        let payload = serde_json::to_vec(&waiting).map_err(|error| stopped(Refusal::internal(&error)))?;
        let now = self.now();
        let authorization = NewAuthorization {
            state_hash: hash(&state),
            session,
            integration: integration.name.clone(),
            cookie_hash: hash(&browser),
            payload: Zeroizing::new(payload),
            expires_at: now.plus(STATE_LIFE),
        };
        match self.store.begin_authorization(authorization, now).await.map_err(stopped)? {
            StoreBegun::Begun => Ok(Begun { location, browser }),
            StoreBegun::SessionOver => {
                Err(Stopped { failure: Failure::LinkGone, provider: Some(provider_name(integration).to_owned()) })
            }
        }
    }
}

impl Service {
    /// What is known of the variables of the provider's addresses: what the link says, else what the connection that is
    /// reconnected keeps.
    pub(super) async fn known(&self, plan: &Plan, integration: &Integration) -> Result<Map<String, Value>, Refusal> {
        let before = match &plan.connection {
            Some(id) if !integration.provider.variables.is_empty() => {
                let record = self.store.token_record(id, false).await?;
                record.map(|record| record.connection.provider_data.clone()).unwrap_or_default()
            }
            _ => Map::new(),
        };
        values(&integration.provider, &plan.params, &before)
    }
}

/// Whether a cookie's value can be one that was made here: 256 bits in 43 characters.
fn is_ours(value: &OneTime) -> bool {
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    value.len() == 43 && value.expose().bytes().all(digit)
}
