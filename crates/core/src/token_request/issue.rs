//! A token that the client gets by itself: no person, no code, nothing that could be spent.

use super::HttpRequest;
use super::client_auth::Client;
use super::{How, token_call};
use crate::provider::{CredentialKind, Provider};
use crate::secret::ClientProof;

/// The word for a signed assertion that stands for a grant (RFC 7523 §2.1).
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A token by client credentials (RFC 6749 §4.4.2), or by an assertion that the client has signed (RFC 7523 §2.1). None
/// where the entry is of another kind, or the assertion that it wants is not there.
pub fn issue(
    provider: &Provider,
    client: &Client<'_>,
    scopes: &[String],
    assertion: Option<&ClientProof>,
) -> Option<HttpRequest> {
    let mut standard = match provider.kind {
        CredentialKind::ClientCredentials => vec![("grant_type", "client_credentials")],
        CredentialKind::JwtBearer => vec![("grant_type", JWT_BEARER), ("assertion", assertion?.expose())],
        CredentialKind::Oauth2 | CredentialKind::Oauth1 | CredentialKind::Static => return None,
    };
    let claimed = provider.assertion.as_ref().is_some_and(|assertion| !assertion.scope_claim.is_empty());
    let joined = scopes.join(provider.scope_separator.as_str());
    let name = if provider.scope_param.is_empty() { "scope" } else { &provider.scope_param };
    if !scopes.is_empty() && !claimed {
        standard.push((name, &joined));
    }
    Some(token_call(provider, client, &provider.token_url, How::of(provider), &standard, &provider.token_params))
}
