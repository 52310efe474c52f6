//! The one request of a sending: what renews the grant, and what the client shows for itself, made just before the wire.

use evergrant_core::grant::Grant;
use evergrant_core::outcome::Class;
use evergrant_core::provider::{CredentialKind, Renewal};
use evergrant_core::secret::{ClientProof, ClientSecret};
use evergrant_core::token_request::{self, Client, HttpRequest};
use evergrant_store::refresh::Leased;

use super::flight::Flight;
use crate::provider::{Unusable, assertion};

/// A request, and the secrets in it that an answer could repeat.
pub(super) struct Asked {
    pub(super) request: HttpRequest,
    pub(super) known: Vec<String>,
}

impl Flight<'_> {
    /// The request with one of the integration's secrets; none where what would renew the grant is not there.
    pub(super) fn asked(
        &self,
        leased: &Leased,
        grant: &Grant,
        secret: Option<&ClientSecret>,
    ) -> Result<Option<Asked>, Unusable> {
        let (provider, integration) = (&self.integration.provider, self.integration.as_ref());
        let proof = assertion::proof(integration, secret, self.endpoint(leased), self.making())?;
        let redirect_uri = crate::service::callback_url(&self.inner.public_url, &integration.name);
        let client = Client { id: &integration.client_id, proof: proof.as_ref(), redirect_uri: &redirect_uri };
        let scopes = leased.connection.requested_scopes.as_slice();
        let issued = match provider.renewal {
            Renewal::Reissue => assertion::grant(integration, secret, scopes, self.making())?,
            Renewal::RefreshToken | Renewal::AccessToken | Renewal::None => None,
        };
        let (refresh, access) = (grant.refresh_token.as_ref(), grant.access_token.as_ref());
        let request = match provider.renewal {
            _ if self.is_short(leased) => {
                access.and_then(|token| token_request::second_exchange(provider, &client, token))
            }
            Renewal::Reissue => token_request::issue(provider, &client, scopes, issued.as_ref()),
            Renewal::RefreshToken | Renewal::AccessToken | Renewal::None => {
                token_request::renewal_of(provider, &client, refresh, access)
            }
        };
        let tokens = [access.map(|token| token.expose()), refresh.map(|token| token.expose())];
        let proofs = [proof.as_ref(), issued.as_ref()].map(|proof| proof.map(ClientProof::expose));
        let known = tokens.into_iter().chain(proofs).flatten().map(str::to_owned).collect();
        Ok(request.map(|request| Asked { request, known }))
    }

    /// Whether another of the client's secrets may do better. A key that the provider does not know is often called a bad
    /// grant there, because the assertion that it signed stands for one.
    pub(super) fn asked_by_wrong_client(&self, class: Class) -> bool {
        let signed = self.integration.provider.kind == CredentialKind::JwtBearer;
        class == Class::InvalidClient || (signed && class == Class::InvalidGrant)
    }

    fn making(&self) -> assertion::Making {
        let id = self.inner.entropy.one_time::<evergrant_core::secret::kind::Once>();
        assertion::Making { now: self.inner.clock.now(), id: id.expose().to_owned() }
    }
}
