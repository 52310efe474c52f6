//! Which path is answered by what.

use serde_json::json;

use crate::clock::Moment;
use crate::ledger::Decision;
use crate::state::State;
use crate::wire::{Answer, Request};
use crate::{api, authorize, control, lengthen, page, resource, token};

/// The judge's answer, and what it decided about a refresh token.
pub(crate) fn answer(state: &mut State, request: &Request, now: Moment) -> (Answer, Option<Decision>) {
    let answer = match (request.method.as_str(), request.path.as_str()) {
        (_, "/token") => return token::token(state, request, now),
        (_, "/token/long") => lengthen::long(state, request, now),
        (_, "/token/renewed") => lengthen::renewed(state, request, now),
        ("GET" | "POST", "/authorize") => authorize::authorize(state, request, now),
        ("POST", "/revoke") => resource::revoke(state, request, now),
        ("POST", "/introspect") => resource::introspect(state, request, now),
        (_, "/userinfo" | "/api/me") => resource::me(state, request, now),
        ("GET", "/api/facts") => api::facts(state, request, now),
        ("POST", "/api/users") => api::register(state, request, now),
        ("DELETE", path) if path.starts_with("/api/apps/") => api::end_grant(state, request, now),
        ("GET", "/.well-known/openid-configuration" | "/.well-known/oauth-authorization-server") => {
            resource::metadata(state)
        }
        ("GET", "/") => page::page(state, request, now),
        (_, path) if path == "/control" || path.starts_with("/control/") => control::control(state, request, now),
        _ => Answer::json(404, &json!({ "error": "not_found", "error_description": "No such page at this provider." })),
    };
    (answer, None)
}
