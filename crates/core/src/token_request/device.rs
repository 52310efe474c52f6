//! The device flow (RFC 8628): a code is asked for here, and typed in by a person elsewhere.

use super::client_auth::Client;
use super::http_request::{Draft, HttpRequest};
use super::{How, own_headers, token_call};
use crate::provider::{Provider, TokenFormat};
use crate::secret::DeviceCode;

/// The grant's name (RFC 8628 §3.4).
pub(super) const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The question for a code (RFC 8628 §3.1). None where the provider has no place for it.
pub fn device_authorization(provider: &Provider, client: &Client<'_>, scopes: &[String]) -> Option<HttpRequest> {
    if provider.device_authorization_url.is_empty() {
        return None;
    }
    let mut draft = Draft::post(&provider.device_authorization_url).names(&provider.param_names);
    // Clients that authenticate need not say it; some servers look for it all the same.
    draft.param("client_id", client.id);
    if !scopes.is_empty() {
        let name = if provider.scope_param.is_empty() { "scope" } else { provider.scope_param.as_str() };
        draft.own_param(name, &scopes.join(provider.scope_separator.as_str()));
    }
    client.authenticate(provider.client_auth, &mut draft);
    own_headers(provider, client, &mut draft);
    Some(draft.build(TokenFormat::Form))
}

/// One question whether the person has agreed (RFC 8628 §3.4).
pub fn exchange_device_code(provider: &Provider, client: &Client<'_>, code: &DeviceCode) -> HttpRequest {
    let standard = [("grant_type", DEVICE_GRANT), ("device_code", code.expose()), ("client_id", client.id)];
    token_call(provider, client, &provider.token_url, How::of(provider), &standard, &provider.token_params)
}
