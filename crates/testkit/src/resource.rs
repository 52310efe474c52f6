//! What is done with tokens: userinfo and a small API, introspection (RFC 7662), revocation (RFC 7009), metadata (RFC 8414).

use serde_json::{Value, json};

use crate::books::Ending;
use crate::client_auth::{OAuthError, authenticate};
use crate::clock::Moment;
use crate::config::Account;
use crate::state::State;
use crate::wire::{Answer, Request};

/// `GET /userinfo` and `GET /api/me`: who is it? Uses the token, which is what `confirm` waits for.
pub(crate) fn me(state: &mut State, request: &Request, now: Moment) -> Answer {
    if !matches!(request.method.as_str(), "GET" | "POST") {
        return Answer::json(405, &json!({ "error": "method_not_allowed" })).with("allow", "GET, POST");
    }
    let Some(token) = request.bearer() else {
        return Answer::json(401, &json!({ "error": "missing_token" })).with("www-authenticate", "Bearer");
    };
    let Some(pair) = state.books.live_access(token, now) else {
        return Answer::json(401, &json!({ "error": "invalid_token" }))
            .with("www-authenticate", "Bearer error=\"invalid_token\"");
    };
    state.books.use_access(pair);
    let id = &state.books.family(state.books.pair(pair).family).account;
    let Account { id, name, email } = account(state, id);
    Answer::json(200, &json!({ "sub": id, "id": id, "name": name, "email": email }))
}

fn account(state: &State, id: &str) -> Account {
    let known = state.config.accounts.iter().find(|account| account.id == id).cloned();
    known.unwrap_or_else(|| Account { id: id.to_owned(), name: id.to_owned(), email: format!("{id}@example.com") })
}

/// `POST /introspect`. Asking about an access token counts as its use.
pub(crate) fn introspect(state: &mut State, request: &Request, now: Moment) -> Answer {
    let form = request.form();
    let client = match authenticate(state, request, &form) {
        Ok(client) => client,
        Err(error) => return error.answer(),
    };
    let Some(token) = form.get("token") else {
        return OAuthError::new("invalid_request", "`token` is missing").answer();
    };
    if let Some(at) = state.books.live_access(token, now) {
        state.books.use_access(at);
        let pair = state.books.pair(at);
        let family = state.books.family(pair.family);
        return Answer::json(
            200,
            &json!({
                "active": true,
                "client_id": family.client_id,
                "sub": family.account,
                "scope": family.scope.join(" "),
                "token_type": "Bearer",
                "exp": pair.access_until.micros() / 1_000_000,
            }),
        );
    }
    let active = state.books.would_bring(token, &client, now);
    let sub = state.books.refresh(token).filter(|_| active).map(|token| &state.books.family(token.family).account);
    let answer = if active {
        json!({ "active": true, "sub": sub, "client_id": client.client_id })
    } else {
        json!({ "active": false })
    };
    Answer::json(200, &answer)
}

/// `POST /revoke`: a refresh token ends its whole grant, an access token only itself; an unknown token is no error.
pub(crate) fn revoke(state: &mut State, request: &Request, now: Moment) -> Answer {
    let form = request.form();
    let client = match authenticate(state, request, &form) {
        Ok(client) => client,
        Err(error) => return error.answer(),
    };
    let Some(token) = form.get("token") else {
        return OAuthError::new("invalid_request", "`token` is missing").answer();
    };
    let mine = |state: &State, family: usize| state.books.family(family).client_id == client.client_id;
    if let Some(family) = state.books.refresh(token).map(|token| token.family).filter(|&at| mine(state, at)) {
        state.books.end_family(family, Ending::Client, now);
    } else if let Some(pair) = state.books.access(token).filter(|&at| mine(state, state.books.pair(at).family)) {
        state.books.end_access(pair);
    }
    Answer::new(200, "text/plain", "")
}

/// The metadata documents.
pub(crate) fn metadata(state: &State) -> Answer {
    let url = &state.url;
    let mut document = json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "revocation_endpoint": format!("{url}/revoke"),
        "introspection_endpoint": format!("{url}/introspect"),
        "userinfo_endpoint": format!("{url}/userinfo"),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "subject_types_supported": ["public"],
    });
    if state.config.announce_iss {
        document["authorization_response_iss_parameter_supported"] = Value::Bool(true);
    }
    Answer::json(200, &document)
}
