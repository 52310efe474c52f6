//! The three signed requests of OAuth 1.0a (RFC 5849 §2).

use url::Url;

use super::{Client, Draft, HttpRequest, Method, TokenFormat};
use crate::oauth1::Signer;
use crate::provider::Provider;

/// What makes a signed request unlike every other one: drawn and read by the caller.
#[derive(Clone, Copy, Debug)]
pub struct Once<'a> {
    /// Never used before: letters and digits.
    pub nonce: &'a str,
    /// Unix time in seconds.
    pub seconds: i64,
}

/// Asks for temporary credentials (RFC 5849 §2.1). None where the address is none.
pub fn temporary_credentials(provider: &Provider, client: &Client<'_>, once: Once<'_>) -> Option<HttpRequest> {
    let callback = [("oauth_callback", client.redirect_uri)];
    signed((Method::Post, &provider.request_token_url), provider, client, None, &callback, once)
}

/// Exchanges temporary credentials and the verifier for a token (RFC 5849 §2.3).
pub fn signed_exchange(
    provider: &Provider,
    client: &Client<'_>,
    temporary: (&str, &str),
    verifier: &str,
    once: Once<'_>,
) -> Option<HttpRequest> {
    let verifier = [("oauth_verifier", verifier)];
    signed((Method::Post, &provider.token_url), provider, client, Some(temporary), &verifier, once)
}

/// Asks whose token it is. None where the entry names no such endpoint.
pub fn signed_userinfo(
    provider: &Provider,
    client: &Client<'_>,
    token: (&str, &str),
    once: Once<'_>,
) -> Option<HttpRequest> {
    signed((Method::Get, &provider.userinfo_url), provider, client, Some(token), &[], once)
}

fn signed(
    (method, address): (Method, &str),
    provider: &Provider,
    client: &Client<'_>,
    token: Option<(&str, &str)>,
    further: &[(&str, &str)],
    once: Once<'_>,
) -> Option<HttpRequest> {
    let url = Url::parse(address).ok()?;
    let signer = Signer {
        method: provider.signature_method,
        client_id: client.id,
        client_secret: client.proof.map_or("", |secret| secret.expose()),
        token,
    };
    let header = signer.header(method.as_str(), &url, further, once.nonce, once.seconds);
    let mut draft = Draft::new(method, url.as_str());
    draft.secret_header("authorization", &[&header]);
    for (name, value) in &provider.token_headers {
        draft.header(name, value);
    }
    Some(draft.build(TokenFormat::Query))
}
