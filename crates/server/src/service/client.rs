//! What our client shows for itself at a provider, wherever the service asks for something in its name.

use evergrant_core::integration::Integration;
use evergrant_core::provider::Variable;
use evergrant_core::secret::{ClientProof, ClientSecret, kind};

use super::Service;
use super::error::Refusal;
use crate::provider::Unusable;
use crate::provider::assertion::{Making, check, proof};

/// The longest private key, in bytes of its text: RSA of 8192 bits in a JWK, and something to spare.
const LONGEST_KEY: usize = 16 * 1024;

/// Whether one of an integration's secrets will do where its provider wants what is signed with a key, and what is signed
/// is known whole.
///
/// # Errors
/// [`Refusal::Invalid`] naming the secret or the parameter; the secret is not repeated.
pub(super) fn check_key(integration: &Integration, at: usize, secret: &ClientSecret) -> Result<(), Refusal> {
    let (provider, field) = (&integration.provider, format!("client_secrets[{at}].secret"));
    if provider.signs_with_key() && secret.len() > LONGEST_KEY {
        return Err(Refusal::invalid(field, format!("expected a key of at most {LONGEST_KEY} bytes")));
    }
    let unusable = |why: Unusable| Refusal::invalid(field, why.to_string());
    let signs = check(provider, &integration.client_id, secret).map_err(unusable)?;
    let unsaid = |(name, variable): &(&str, &Variable)| {
        integration.params.get(*name).or(variable.default.as_ref()).is_none_or(String::is_empty)
    };
    match provider.variables_of_client().filter(|_| signs).find(unsaid) {
        Some((name, variable)) => {
            let expected = format!("it is required where the client's secret is a key: {}", variable.title);
            Err(Refusal::invalid(format!("params.{name}"), expected))
        }
        None => Ok(()),
    }
}

impl Service {
    /// One of an integration's secrets as `endpoint`, a token endpoint, wants to see it: itself, or what is signed with it.
    pub(super) fn proof(
        &self,
        integration: &Integration,
        secret: Option<&ClientSecret>,
        endpoint: &str,
    ) -> Result<Option<ClientProof>, Unusable> {
        let id = self.entropy.one_time::<kind::Once>().expose().to_owned();
        proof(integration, secret, endpoint, Making { now: self.now(), id })
    }

    /// What a caller is told whose integration has nothing to show for itself.
    pub(super) fn unusable(&self, integration: &Integration, why: &Unusable) -> Refusal {
        let (integration, since) = (integration.name.clone(), self.now());
        Refusal::IntegrationMisconfigured { integration, since, detail: format!("its client secret: {why}") }
    }
}
