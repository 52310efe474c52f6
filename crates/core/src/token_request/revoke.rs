//! A revocation: RFC 7009, or whatever the entry says instead.

use super::http_request::{Draft, HttpRequest, Method};
use super::{Client, own_headers};
use crate::provider::{Provider, RevokeMethod, RevokeWith, TokenFormat};
use crate::secret::{AccessToken, RefreshToken};

/// A revocation. None where the provider has no such endpoint or the token that it wants is not there.
pub fn revoke(
    provider: &Provider,
    client: &Client<'_>,
    refresh_token: Option<&RefreshToken>,
    access_token: Option<&AccessToken>,
) -> Option<HttpRequest> {
    if provider.revoke_url.is_empty() {
        return None;
    }
    let url = address(provider, client, refresh_token, access_token)?;
    let method = match provider.revoke_method {
        RevokeMethod::Post => Method::Post,
        RevokeMethod::Delete => Method::Delete,
        RevokeMethod::Get => Method::Get,
    };
    let mut draft = Draft::new(method, &url).names(&provider.param_names);
    let mut auth = provider.revoke_auth;
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
            auth = auth.or(Some(provider.client_auth));
        }
        RevokeWith::AccessToken => draft.own_param("access_token", access_token?.expose()),
        RevokeWith::Bearer => draft.secret_header("authorization", &["Bearer ", access_token?.expose()]),
        RevokeWith::Address => {}
    }
    for (name, value) in &provider.revoke_params {
        draft.own_param(name, value);
    }
    if let Some(auth) = auth {
        client.authenticate(auth, &mut draft);
        own_headers(provider, client, &mut draft);
    }
    Some(draft.build(format(provider)))
}

/// The address with what the entry wants in it. None where that is not there.
fn address(
    provider: &Provider,
    client: &Client<'_>,
    refresh_token: Option<&RefreshToken>,
    access_token: Option<&AccessToken>,
) -> Option<String> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let mut url = provider.revoke_url.replace("{client_id}", &encoded(client.id));
    let tokens = [
        ("{access_token}", access_token.map(|token| token.expose())),
        ("{refresh_token}", refresh_token.map(|token| token.expose())),
    ];
    for (name, token) in tokens {
        if url.contains(name) {
            url = url.replace(name, &encoded(token?));
        }
    }
    Some(url)
}

/// RFC 7009 §2.1 wants a form; who wants JSON at the token endpoint wants it here too (Notion). Where nothing is posted,
/// parameters stand in the address unless the entry says otherwise.
fn format(provider: &Provider) -> TokenFormat {
    let json = provider.token_format == TokenFormat::Json && provider.revoke_with == RevokeWith::Token;
    provider.revoke_format.unwrap_or(match provider.revoke_method {
        RevokeMethod::Post if json => TokenFormat::Json,
        RevokeMethod::Post => TokenFormat::Form,
        RevokeMethod::Delete | RevokeMethod::Get => TokenFormat::Query,
    })
}
