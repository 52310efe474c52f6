//! The requests to a provider's endpoints that carry secrets: built here whole, sent elsewhere.
//!
//! Pure: a catalogue entry and a client in, an [`HttpRequest`] out. It knows no provider by name; what differs (client
//! authentication, form or JSON, further parameters and headers) comes from the entry. Extra parameters and headers of the
//! entry replace standard ones of the same name, because that is how the oddest providers are spoken to.

mod client_auth;
mod http_request;
mod issue;

pub use client_auth::Client;
pub use http_request::{HttpRequest, Method};
pub use issue::issue;

use std::collections::BTreeMap;

use crate::provider::{Provider, Renewal, RevokeWith, TokenFormat};
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
    token_call(provider, client, provider.refresh_endpoint(), &standard, &provider.refresh_params)
}

/// A renewal by the live access token, where the catalogue says that nothing else renews a grant (Facebook).
pub fn renew(provider: &Provider, client: &Client<'_>, access_token: &AccessToken) -> HttpRequest {
    let param = if provider.renewal_param.is_empty() { "access_token" } else { &provider.renewal_param };
    let standard = [(param, access_token.expose())];
    token_call(provider, client, provider.refresh_endpoint(), &standard, &provider.refresh_params)
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
    token_call(provider, client, &provider.token_url, &standard, &provider.token_params)
}

/// A revocation (RFC 7009, or what the entry says instead). None where the provider has no such endpoint or the
/// token that it wants is not there.
pub fn revoke(
    provider: &Provider,
    client: &Client<'_>,
    refresh_token: Option<&RefreshToken>,
    access_token: Option<&AccessToken>,
) -> Option<HttpRequest> {
    if provider.revoke_url.is_empty() {
        return None;
    }
    let mut draft = Draft::post(&provider.revoke_url).names(&provider.param_names);
    match provider.revoke_with {
        RevokeWith::Token => {
            // The refresh token first: revoking it ends the access tokens made from it too (RFC 7009 §2.1).
            let (token, hint) = match (refresh_token, access_token) {
                (Some(token), _) => (token.expose(), "refresh_token"),
                (None, Some(token)) => (token.expose(), "access_token"),
                (None, None) => return None,
            };
            draft.param("token", token);
            draft.param("token_type_hint", hint);
            client.authenticate(provider.client_auth, &mut draft);
            own_headers(provider, client, &mut draft);
        }
        RevokeWith::AccessToken => draft.own_param("access_token", access_token?.expose()),
        RevokeWith::Bearer => draft.secret_header("authorization", &["Bearer ", access_token?.expose()]),
    }
    // RFC 7009 §2.1 wants a form; who wants JSON at the token endpoint wants it here too (Notion).
    let json = provider.token_format == TokenFormat::Json && provider.revoke_with == RevokeWith::Token;
    Some(draft.build(if json { TokenFormat::Json } else { TokenFormat::Form }))
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

fn token_call(
    provider: &Provider,
    client: &Client<'_>,
    endpoint: &str,
    standard: &[(&str, &str)],
    further: &BTreeMap<String, String>,
) -> HttpRequest {
    let draft = if provider.token_format == TokenFormat::Get { Draft::get(endpoint) } else { Draft::post(endpoint) };
    let mut draft = draft.names(&provider.param_names);
    for (name, value) in standard {
        draft.param(name, value);
    }
    client.authenticate(provider.client_auth, &mut draft);
    for (name, value) in further {
        draft.own_param(name, value);
    }
    own_headers(provider, client, &mut draft);
    draft.build(provider.token_format)
}

fn own_headers(provider: &Provider, client: &Client<'_>, draft: &mut Draft<'_>) {
    for (name, value) in &provider.token_headers {
        draft.header(name, &value.replace("{client_id}", client.id));
    }
}
