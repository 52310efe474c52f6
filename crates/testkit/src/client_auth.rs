//! Who is calling: client authentication as RFC 6749 §2.3.1 has it, and the errors of §5.2.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::config::{ClientAuth, ClientConfig};
use crate::state::State;
use crate::wire::{Answer, Form, Request};

/// An error answer of the token, revocation and introspection endpoints.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OAuthError {
    pub(crate) error: &'static str,
    description: String,
    /// 401 with a challenge, because the client tried the `Authorization` header or none at all.
    challenge: bool,
}

impl OAuthError {
    pub(crate) fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self { error, description: description.into(), challenge: false }
    }

    fn invalid_client(description: &str) -> Self {
        Self { challenge: true, ..Self::new("invalid_client", description) }
    }

    pub(crate) fn answer(&self) -> Answer {
        let status = if self.challenge { 401 } else { 400 };
        let body = json!({ "error": self.error, "error_description": self.description });
        let answer = Answer::json(status, &body).with("pragma", "no-cache");
        if self.challenge { answer.with("www-authenticate", "Basic realm=\"judge\"") } else { answer }
    }
}

/// What a request says about its client, unproven.
struct Claim {
    id: String,
    secret: Option<String>,
    by_header: bool,
}

/// The client id that a request names, proven or not.
pub(crate) fn claimed_id(request: &Request, form: &Form) -> Option<String> {
    claim(request, form).ok().map(|claim| claim.id)
}

/// The client that a request comes from, proven.
pub(crate) fn authenticate(state: &State, request: &Request, form: &Form) -> Result<Arc<ClientConfig>, OAuthError> {
    let claim = claim(request, form)?;
    let client = state.clients.get(&claim.id).ok_or_else(|| OAuthError::invalid_client("no such client"))?;
    let right_way = match client.client_auth {
        ClientAuth::Basic => claim.by_header,
        ClientAuth::Body | ClientAuth::None => !claim.by_header,
        ClientAuth::Either => true,
    };
    let proven = match (client.client_auth, &claim.secret) {
        (ClientAuth::None, secret) => secret.is_none(),
        (_, Some(secret)) => client.client_secrets.contains(secret),
        (_, None) => false,
    };
    match (right_way, proven) {
        (true, true) => Ok(Arc::clone(client)),
        (true, false) => Err(OAuthError::invalid_client("the client secret is wrong")),
        (false, _) => {
            Err(OAuthError::invalid_client("the client authenticates in another way than it is registered for"))
        }
    }
}

fn claim(request: &Request, form: &Form) -> Result<Claim, OAuthError> {
    let in_body = form.get("client_secret");
    let Some(header) = request.header("authorization") else {
        let id = form.get("client_id").ok_or_else(|| OAuthError::invalid_client("no client id"))?;
        return Ok(Claim { id: id.to_owned(), secret: in_body.map(str::to_owned), by_header: false });
    };
    if in_body.is_some() {
        return Err(OAuthError::new("invalid_request", "more than one way of client authentication"));
    }
    let (id, secret) = basic(header).ok_or_else(|| OAuthError::invalid_client("the header cannot be read"))?;
    if form.get("client_id").is_some_and(|in_body| in_body != id) {
        return Err(OAuthError::new("invalid_request", "two different client ids"));
    }
    Ok(Claim { id, secret: Some(secret), by_header: true })
}

/// Both halves are form-encoded before they are joined (RFC 6749 §2.3.1).
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    let decoded = STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let text = String::from_utf8(decoded).ok()?;
    let (id, secret) = text.split_once(':')?;
    let unform = |half: &str| {
        let field = format!("v={}", half.replace('&', "%26"));
        form_urlencoded::parse(field.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    Some((unform(id)?, unform(secret)?))
}
