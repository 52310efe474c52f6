//! The same of OAuth 1.0a (RFC 5849 §2.2): the temporary credentials are the state, and no other comes back.

use std::collections::BTreeMap;

use url::Url;

use super::callback::{Callback, CallbackAnswer, ErrorKind, LONGEST_QUERY, checked};
use super::{AuthorizationRequest, BadCallback, CannotAuthorize, is_reserved};
use crate::secret::OneTime;

/// The address to send the browser to with these temporary credentials.
///
/// # Errors
/// [`CannotAuthorize::NoEndpoint`], [`CannotAuthorize::Reserved`].
pub fn signed_authorization_url(request: &AuthorizationRequest<'_>) -> Result<Url, CannotAuthorize> {
    let provider = request.provider;
    let mut url = Url::parse(&provider.authorize_url).map_err(|_| CannotAuthorize::NoEndpoint)?;
    let mut params: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    params.extend(provider.authorize_params.clone());
    for (name, value) in request.params {
        if is_reserved(provider, name) || name.to_ascii_lowercase().starts_with("oauth_") {
            return Err(CannotAuthorize::Reserved { name: name.clone() });
        }
        params.insert(name.clone(), value.clone());
    }
    // The standard knows no scopes: they are asked for only where the entry says how.
    let scopes = if request.scopes.is_empty() { &provider.default_scopes } else { request.scopes };
    if !scopes.is_empty() && !provider.scope_param.is_empty() {
        params.insert(provider.scope_param.clone(), scopes.join(provider.scope_separator.as_str()));
    }
    params.insert("oauth_token".to_owned(), request.state.expose().to_owned());
    url.query_pairs_mut().clear().extend_pairs(&params);
    url.set_fragment(None);
    Ok(url)
}

/// Reads the callback's query. Who said no comes back with `denied`, with another error, or without a verifier.
///
/// # Errors
/// [`BadCallback`].
pub fn parse_signed_callback(query: &str) -> Result<Callback, BadCallback> {
    if query.len() > LONGEST_QUERY {
        return Err(BadCallback::TooLong);
    }
    let mut params: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let twice = ["oauth_token", "oauth_verifier", "denied"].into_iter().find(|once| *once == name);
        if let Some(name) = twice.filter(|name| params.contains_key(*name)) {
            return Err(BadCallback::Twice(name));
        }
        params.insert(name.into_owned(), value.into_owned());
    }
    let mut take = |name: &str| params.remove(name).filter(|value| !value.is_empty());
    let (token, denied, verifier) = (take("oauth_token"), take("denied"), take("oauth_verifier"));
    let refusal = |code: &str| CallbackAnswer::Error { kind: ErrorKind::Denied, code: code.to_owned() };
    let answer = match (verifier, &denied) {
        (_, Some(_)) => refusal("denied"),
        (Some(verifier), None) => CallbackAnswer::Code(checked(verifier)?),
        (None, None) => refusal("no_verifier"),
    };
    Ok(Callback { state: token.or(denied).map(OneTime::new), iss: None, answer, params })
}
