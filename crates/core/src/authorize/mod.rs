//! The authorization request (RFC 6749 §4.1.1) and the answer that the browser brings back (§4.1.2).
//!
//! Pure: state, verifier and challenge are made of random bytes by the caller and only put in place here. Whether a state
//! is known, unused and of this browser is the caller's to check, before anything else of the callback is believed.

mod callback;
mod oauth1;
mod pkce;
mod pushed;

pub use callback::{
    BadCallback, Callback, CallbackAnswer, ErrorKind, WrongIssuer, check_issuer, parse_callback, query_of_post,
};
pub use oauth1::{parse_signed_callback, signed_authorization_url};
pub use pkce::{challenge, verifier};
pub use pushed::{NotPushed, pushed_url, request_uri};

use std::collections::BTreeMap;

use url::Url;

use crate::provider::{Pkce, Provider};
use crate::secret::{CodeVerifier, OneTime};

/// What a person is sent to the provider with.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizationRequest<'a> {
    /// The provider.
    pub provider: &'a Provider,
    /// The client id.
    pub client_id: &'a str,
    /// Where the provider sends the browser back: one address for each integration.
    pub redirect_uri: &'a str,
    /// The one-time state.
    pub state: &'a OneTime,
    /// The PKCE verifier, kept for the exchange; only its challenge leaves, and none where the provider refuses PKCE.
    pub verifier: &'a CodeVerifier,
    /// The scopes to ask for; the entry's defaults when empty.
    pub scopes: &'a [String],
    /// Who should sign in, as far as is known (`login_hint`, OpenID Connect Core §3.1.2.1).
    pub login_hint: Option<&'a str>,
    /// Further parameters from the application.
    pub params: &'a BTreeMap<String, String>,
}

/// Why no authorization address can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotAuthorize {
    /// The provider has no authorization endpoint, or one that is no address.
    #[error("the provider has no authorization endpoint: expected an https address in `authorize_url`")]
    NoEndpoint,
    /// A parameter of the application belongs to the protocol.
    #[error("the parameter `{name}` belongs to the protocol and is set by the service")]
    Reserved {
        /// Its name.
        name: String,
    },
    /// A scope is not among those of the integration.
    #[error("the scope `{scope}` is not one of the scopes of the integration")]
    ScopeNotAllowed {
        /// The scope.
        scope: String,
    },
}

/// Names that no application may set. Everything that ends in `scope` or `scopes` is reserved too: providers have several
/// of them (`user_scope`, `optional_scope`), and each would lead around the integration's ceiling.
const RESERVED: [&str; 22] = [
    "response_type",
    "response_mode",
    "client_id",
    "client_key",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "redirect_uri",
    "redirect_url",
    "state",
    "nonce",
    "code",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "grant_type",
    "request",
    "request_uri",
    "registration",
    "iss",
    "authorization_details",
    "dpop_jkt",
];

/// Whether a parameter of the authorization request is the protocol's or the service's own.
pub fn is_reserved(provider: &Provider, name: &str) -> bool {
    let name = name.trim().to_ascii_lowercase();
    RESERVED.contains(&name.as_str())
        || name.ends_with("scope")
        || name.ends_with("scopes")
        || (!provider.scope_param.is_empty() && name == provider.scope_param.to_ascii_lowercase())
        || provider.param_names.values().any(|theirs| name == theirs.to_ascii_lowercase())
}

/// Whether each scope is among those that the integration may ask for.
///
/// # Errors
/// [`CannotAuthorize::ScopeNotAllowed`] with the first that is not.
pub fn within_ceiling(scopes: &[String], ceiling: &[String]) -> Result<(), CannotAuthorize> {
    match scopes.iter().find(|scope| !ceiling.contains(scope)) {
        Some(scope) => Err(CannotAuthorize::ScopeNotAllowed { scope: scope.clone() }),
        None => Ok(()),
    }
}

/// The address to send the browser to. Each parameter stands in it once, whatever the endpoint's own query, the entry and
/// the application say.
///
/// # Errors
/// [`CannotAuthorize::NoEndpoint`], [`CannotAuthorize::Reserved`].
pub fn authorization_url(request: &AuthorizationRequest<'_>) -> Result<Url, CannotAuthorize> {
    let mut url = endpoint(request.provider)?;
    let params = authorization_params(request)?;
    url.query_pairs_mut().clear().extend_pairs(&params);
    let fragment = request.provider.authorize_fragment.as_str();
    url.set_fragment(Some(fragment).filter(|fragment| !fragment.is_empty()));
    Ok(url)
}

fn endpoint(provider: &Provider) -> Result<Url, CannotAuthorize> {
    Url::parse(&provider.authorize_url).map_err(|_| CannotAuthorize::NoEndpoint)
}

/// The parameters of the authorization request, under the provider's own names: what stands in the address, or is pushed
/// (RFC 9126).
///
/// # Errors
/// As [`authorization_url`].
pub fn authorization_params(request: &AuthorizationRequest<'_>) -> Result<BTreeMap<String, String>, CannotAuthorize> {
    let provider = request.provider;
    let mut params: BTreeMap<String, String> = endpoint(provider)?.query_pairs().into_owned().collect();
    params.extend(provider.authorize_params.clone());
    if let Some(hint) = request.login_hint {
        params.insert("login_hint".to_owned(), hint.to_owned());
    }
    for (name, value) in request.params {
        if is_reserved(provider, name) {
            return Err(CannotAuthorize::Reserved { name: name.clone() });
        }
        params.insert(name.clone(), value.clone());
    }
    for (name, value) in own_params(request) {
        match provider.param_names.get(name).map_or(name, String::as_str) {
            "" => {}
            name => drop(params.insert(name.to_owned(), value)),
        }
    }
    Ok(params)
}

/// What the service itself says; it wins over everything else of the same name.
fn own_params<'a>(request: &AuthorizationRequest<'a>) -> Vec<(&'a str, String)> {
    let provider = request.provider;
    let mut own = vec![
        ("response_type", "code".to_owned()),
        ("client_id", request.client_id.to_owned()),
        ("redirect_uri", request.redirect_uri.to_owned()),
        ("state", request.state.expose().to_owned()),
    ];
    let scopes = if request.scopes.is_empty() { &provider.default_scopes } else { request.scopes };
    if !scopes.is_empty() {
        let name = if provider.scope_param.is_empty() { "scope" } else { provider.scope_param.as_str() };
        own.push((name, scopes.join(provider.scope_separator.as_str())));
    }
    let challenge = match provider.pkce {
        Pkce::S256 => Some((challenge(request.verifier), "S256")),
        Pkce::Plain => Some((request.verifier.expose().to_owned(), "plain")),
        Pkce::Refused => None,
    };
    if let Some((challenge, method)) = challenge {
        own.push(("code_challenge", challenge));
        own.push(("code_challenge_method", method.to_owned()));
    }
    own
}
