//! Dynamic client registration (RFC 7591 §3.1): what is asked of a server that lets clients register themselves.

use serde_json::{Value, json};

use super::device::DEVICE_GRANT;
use super::http_request::HttpRequest;
use crate::provider::{ClientAuth, Provider, Renewal};

/// A client that is to be registered.
#[derive(Clone, Copy, Debug)]
pub struct NewClient<'a> {
    /// The address that the provider sends browsers back to.
    pub redirect_uri: &'a str,
    /// What people may see on the provider's pages.
    pub name: &'a str,
    /// The scopes that it will ask for; none are named when empty.
    pub scopes: &'a [String],
    /// Whether the redirect URI is on loopback: then it is a native application in the eyes of OpenID providers.
    pub native: bool,
}

/// The registration; none where the entry has no place for it, or its client authenticates in a way that has no name there.
pub fn register(provider: &Provider, client: &NewClient<'_>) -> Option<HttpRequest> {
    let method = method_name(provider.client_auth)?;
    if provider.registration_url.is_empty() {
        return None;
    }
    let renews = provider.renewal == Renewal::RefreshToken;
    let device = !provider.device_authorization_url.is_empty();
    let further = [renews.then_some("refresh_token"), device.then_some(DEVICE_GRANT)];
    let grants: Vec<&str> = ["authorization_code"].into_iter().chain(further.into_iter().flatten()).collect();
    let mut wanted = json!({
        "client_name": client.name,
        "redirect_uris": [client.redirect_uri],
        "grant_types": grants,
        "response_types": ["code"],
        "token_endpoint_auth_method": method,
        "application_type": if client.native { "native" } else { "web" },
    });
    if !client.scopes.is_empty() {
        wanted["scope"] = Value::from(client.scopes.join(" "));
    }
    Some(HttpRequest::post_json(&provider.registration_url, &wanted))
}

/// What RFC 7591 §2 calls a way of authenticating.
pub(crate) fn method_name(how: ClientAuth) -> Option<&'static str> {
    match how {
        ClientAuth::Basic => Some("client_secret_basic"),
        ClientAuth::Body => Some("client_secret_post"),
        ClientAuth::None => Some("none"),
        // The one is no standard's; for the other a client registers a key, which the operator has and the service has not.
        ClientAuth::SecretAsUsername | ClientAuth::PrivateKeyJwt => None,
    }
}
