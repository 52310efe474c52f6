//! The lock on each route: who calls is found out before anything of the request is read.

use axum::RequestExt as _;
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::connect_pages;
use super::conventions::REQUEST_ID;
use super::conventions::language;
use super::cookies;
use super::problem::Problem;
use super::shell::Shell;
use super::table::Guard;
use crate::service::access::{Caller, Permission, Who};
use crate::service::error::Refusal;

/// Lets the request in, with its [`Caller`] put beside it, or answers 401, 403 or 404.
pub async fn check(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    match admit(guard, &mut request).await {
        Ok(_) if waits_for_adoption(guard, &request) => return waits(guard, language(request.headers())),
        Ok(Some(caller)) => {
            let request_id =
                request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
            request.extensions_mut().insert(Caller { request_id, ..caller });
        }
        Ok(None) => {}
        Err(refusal) => return Problem::from(refusal).into_response(),
    }
    next.run(request).await
}

/// Whether the call changes grants, or would send something to a provider, on a restored or copied database that the operator
/// has not adopted. What is read goes on, live tokens first of all.
fn waits_for_adoption(guard: Guard, request: &Request) -> bool {
    let quarantined =
        request.extensions().get::<Shell>().is_some_and(|shell| shell.service().store.quarantine().is_some());
    let path = request.uri().path();
    if !quarantined || path.starts_with("/sign-in/") {
        return false;
    }
    let goes_on = ["/v1/quarantine/", "/v1/keys"].iter().any(|start| path.starts_with(start))
        || ["/report", "/sessions", "/preferences"].iter().any(|end| path.ends_with(end))
        || path.contains("/notifications/");
    guard == Guard::OneTime || !(request.method().is_safe() || goes_on)
}

/// The refusal, for programs or for a person in a browser.
fn waits(guard: Guard, language: Option<&str>) -> Response {
    if guard != Guard::OneTime {
        return Problem::from(Refusal::Quarantined).into_response();
    }
    connect_pages::quarantined(language)
}

async fn admit(guard: Guard, request: &mut Request) -> Result<Option<Caller>, Refusal> {
    // Put there by `conventions`, the outermost layer; without it nobody is let in.
    let shell = request.extensions().get::<Shell>().cloned().ok_or(Refusal::Unauthenticated)?;
    if let Some(caller) = request.extensions().get::<Caller>().cloned() {
        return in_process(guard, caller);
    }
    let access = &shell.service().access;
    match guard {
        Guard::Open | Guard::OneTime => Ok(None),
        Guard::Key(needed) => {
            let caller = access.authenticate(bearer(request.headers())?)?;
            caller.require(needed)?;
            Ok(Some(caller))
        }
        Guard::KeyOrSubject(needed) => {
            let token = bearer(request.headers())?;
            match access.subject_of(token) {
                Some(caller) => of_this_subject(caller, needed, request).await.map(Some),
                None => {
                    let caller = access.authenticate(token)?;
                    caller.require(needed)?;
                    Ok(Some(caller))
                }
            }
        }
        Guard::AnyKey => {
            if cookies::SESSION
                .read(request.headers(), shell.is_https())
                .is_some_and(|token| access.is_signed_in(token))
            {
                return Ok(None);
            }
            access.authenticate(bearer(request.headers())?).map(Some)
        }
    }
}

/// A caller that brought itself along: a command of the operator's, through the very same handlers. Nothing that comes over
/// the wire becomes an extension of a request.
fn in_process(guard: Guard, caller: Caller) -> Result<Option<Caller>, Refusal> {
    if let Guard::Key(needed) | Guard::KeyOrSubject(needed) = guard {
        caller.require(needed)?;
    }
    Ok(Some(caller))
}

/// A subject's session opens that subject's routes; others do not exist for it.
async fn of_this_subject(caller: Caller, needed: Permission, request: &mut Request) -> Result<Caller, Refusal> {
    let not_found = || Refusal::not_found("subject");
    let params = request.extract_parts::<RawPathParams>().await.map_err(|_| not_found())?;
    let named = params.iter().find(|(name, _)| *name == "subject").map(|(_, value)| value.to_owned());
    match (&caller.who, named) {
        (Who::Subject(subject), Some(named)) if subject.as_str() == named => {
            Ok(Caller { permissions: [needed].into(), ..caller })
        }
        _ => Err(not_found()),
    }
}

/// The token of `Authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or(Refusal::Unauthenticated)?;
    let (scheme, token) = value.split_once(' ').ok_or(Refusal::Unauthenticated)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(Refusal::Unauthenticated) }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // The guard has put it there; a handler behind no guard has no caller and must not be given one.
        parts.extensions.get::<Caller>().cloned().ok_or_else(|| Refusal::Unauthenticated.into())
    }
}
