//! The requests to a provider's endpoints that carry secrets: built here whole, sent elsewhere.
//!
//! Pure: a catalogue entry and a client in, an [`HttpRequest`] out. It knows no provider by name; what differs (client
//! authentication, form or JSON, further parameters and headers) comes from the entry. Extra parameters and headers of the
//! entry replace standard ones of the same name, because that is how the oddest providers are spoken to.

mod after_grant;
mod client_auth;
mod device;
mod http_request;
mod issue;
mod oauth1;
mod push;
mod register;
mod revoke;

pub use after_grant::after_grant;
pub use client_auth::Client;
pub use device::{device_authorization, exchange_device_code};
pub use http_request::{HttpRequest, Method};
pub use issue::issue;
pub use oauth1::{Once, signed_exchange, signed_userinfo, temporary_credentials};
pub use push::push;
pub(crate) use register::method_name;
pub use register::{NewClient, register};
pub use revoke::revoke;

use std::collections::BTreeMap;

use crate::provider::{ClientAuth, Provider, Renewal, TokenFormat};
use crate::secret::{AccessToken, AuthorizationCode, CodeVerifier, RefreshToken};
use http_request::Draft;

/// What this software calls itself at providers.
pub const USER_AGENT: &str = concat!("evergrant/", env!("CARGO_PKG_VERSION"));

/// A refresh (RFC 6749 §6).
pub fn refresh(provider: &Provider, client: &Client<'_>, refresh_token: &RefreshToken) -> HttpRequest {
    let mut standard = vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose())];
    if provider.redirect_uri_on_refresh {
        standard.push(("redirect_uri", client.redirect_uri));
    }
    refresh_call(provider, client, &standard)
}

/// A renewal by the live access token, where the catalogue says that nothing else renews a grant (Facebook).
pub fn renew(provider: &Provider, client: &Client<'_>, access_token: &AccessToken) -> HttpRequest {
    let param = if provider.renewal_param.is_empty() { "access_token" } else { &provider.renewal_param };
    refresh_call(provider, client, &[(param, access_token.expose())])
}

/// The exchange of the short token that a code brought for a long one. None where the entry knows no such thing.
pub fn second_exchange(provider: &Provider, client: &Client<'_>, access_token: &AccessToken) -> Option<HttpRequest> {
    let second = provider.second_exchange.as_ref()?;
    let param = if second.param.is_empty() { "access_token" } else { &second.param };
    let how = How { format: second.format, auth: Some(second.client_auth), names: &second.param_names };
    Some(token_call(provider, client, &second.url, how, &[(param, access_token.expose())], &second.params))
}

/// What renews this grant now, if it is its own token that does and that is there; what is issued anew is [`issue`]'s.
pub fn renewal_of(
    provider: &Provider,
    client: &Client<'_>,
    refresh_token: Option<&RefreshToken>,
    access_token: Option<&AccessToken>,
) -> Option<HttpRequest> {
    match provider.renewal {
        Renewal::RefreshToken => refresh_token.map(|token| refresh(provider, client, token)),
        Renewal::AccessToken => access_token.map(|token| renew(provider, client, token)),
        Renewal::Reissue | Renewal::None => None,
    }
}

/// An authorization code's exchange (RFC 6749 §4.1.3), with the PKCE verifier where one was announced.
pub fn exchange_code(
    provider: &Provider,
    client: &Client<'_>,
    code: &AuthorizationCode,
    verifier: Option<&CodeVerifier>,
) -> HttpRequest {
    let mut standard =
        vec![("grant_type", "authorization_code"), ("code", code.expose()), ("redirect_uri", client.redirect_uri)];
    if let Some(verifier) = verifier {
        standard.push(("code_verifier", verifier.expose()));
    }
    let how = How::of(provider);
    token_call(provider, client, &provider.token_url, how, &standard, &provider.token_params)
}

/// The question whose grant an access token is: userinfo, or what the entry names in its place. None where it names
/// nothing.
pub fn userinfo(provider: &Provider, client_id: &str, access_token: &AccessToken) -> Option<HttpRequest> {
    if provider.userinfo_url.is_empty() {
        return None;
    }
    let in_path: String = form_urlencoded::byte_serialize(access_token.expose().as_bytes()).collect();
    let mut draft = Draft::get(&provider.userinfo_url.replace("{access_token}", &in_path));
    let scheme = if provider.userinfo_scheme.is_empty() { "Bearer" } else { &provider.userinfo_scheme };
    draft.secret_header("authorization", &[scheme, " ", access_token.expose()]);
    for (name, value) in &provider.userinfo_headers {
        draft.header(name, &value.replace("{client_id}", client_id));
    }
    Some(draft.build(TokenFormat::Query))
}

/// A document that is read without any secret, such as an authorization server's metadata (RFC 8414 §3.1).
pub fn document(url: &str) -> HttpRequest {
    Draft::get(url).build(TokenFormat::Query)
}

/// What a request that brings tokens is like, where that differs from one to the next.
#[derive(Clone, Copy)]
struct How<'a> {
    format: TokenFormat,
    /// None: nothing of the client is shown.
    auth: Option<ClientAuth>,
    names: &'a BTreeMap<String, String>,
}

impl<'a> How<'a> {
    fn of(provider: &'a Provider) -> Self {
        How { format: provider.token_format, auth: Some(provider.client_auth), names: &provider.param_names }
    }
}

fn refresh_call(provider: &Provider, client: &Client<'_>, standard: &[(&str, &str)]) -> HttpRequest {
    let how = How {
        format: provider.refresh_format.unwrap_or(provider.token_format),
        auth: (!provider.refresh_without_client).then_some(provider.client_auth),
        ..How::of(provider)
    };
    token_call(provider, client, provider.refresh_endpoint(), how, standard, &provider.refresh_params)
}

fn token_call(
    provider: &Provider,
    client: &Client<'_>,
    endpoint: &str,
    how: How<'_>,
    standard: &[(&str, &str)],
    further: &BTreeMap<String, String>,
) -> HttpRequest {
    let draft = if how.format == TokenFormat::Get { Draft::get(endpoint) } else { Draft::post(endpoint) };
    let mut draft = draft.names(how.names);
    for (name, value) in standard {
        draft.param(name, value);
    }
    if let Some(auth) = how.auth {
        client.authenticate(auth, &mut draft);
    }
    for (name, value) in further {
        draft.own_param(name, value);
    }
    own_headers(provider, client, &mut draft);
    draft.build(how.format)
}

fn own_headers(provider: &Provider, client: &Client<'_>, draft: &mut Draft<'_>) {
    for (name, value) in &provider.token_headers {
        draft.header(name, &value.replace("{client_id}", client.id));
    }
}
