//! Pushed authorization requests (RFC 9126): the request goes to the provider first, from here and with the client's
//! credentials, and the browser brings only a reference to it.

use std::collections::BTreeMap;

use super::client_auth::Client;
use super::http_request::{Draft, HttpRequest};
use super::own_headers;
use crate::provider::{Provider, TokenFormat};

/// The push of an authorization request's parameters, which bear the provider's own names already. None where the provider
/// has no place for it.
pub fn push(provider: &Provider, client: &Client<'_>, params: &BTreeMap<String, String>) -> Option<HttpRequest> {
    if provider.par_url.is_empty() {
        return None;
    }
    let mut draft = Draft::post(&provider.par_url).names(&provider.param_names);
    for (name, value) in params {
        draft.own_param(name, value);
    }
    client.authenticate(provider.client_auth, &mut draft);
    own_headers(provider, client, &mut draft);
    // RFC 9126 §2.1: a form, whatever the token endpoint wants.
    Some(draft.build(TokenFormat::Form))
}
