//! Which pages of other origins may call: those of the configured origins, and only what a subject's session opens.
//!
//! An origin is compared as a whole with what was configured; none is by default. No cookie is ever allowed along
//! (`access-control-allow-credentials` is not sent): a page shows a session's token, or nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};

use super::table::{Guard, Rule};

/// What a page may send besides what it always may.
const HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type");
/// What a page may read besides what it always may.
const EXPOSED: HeaderValue = HeaderValue::from_static("retry-after, x-request-id");
/// How long a browser may remember the answer, in seconds: no browser does so for more than two hours.
const REMEMBERED: HeaderValue = HeaderValue::from_static("7200");

/// Who may call what from a page of another origin. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Origins(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    allowed: Vec<String>,
    /// Path → methods.
    routes: BTreeMap<String, Vec<Method>>,
}

impl Origins {
    /// These origins may call the routes that a subject's session opens.
    pub fn new(allowed: &[String], rules: &[Rule]) -> Self {
        let mut routes: BTreeMap<String, Vec<Method>> = BTreeMap::new();
        for rule in rules.iter().filter(|rule| matches!(rule.guard, Guard::KeyOrSubject(_))) {
            routes.entry(rule.path.clone()).or_default().push(rule.method.clone());
        }
        Origins(Arc::new(Inner { allowed: allowed.to_vec(), routes }))
    }

    fn methods(&self, request: &Request) -> Option<&[Method]> {
        let path = request.extensions().get::<MatchedPath>()?;
        self.0.routes.get(path.as_str()).map(Vec::as_slice)
    }

    /// The request's origin, if it is one of ours.
    fn allowed(&self, request: &Request) -> Option<HeaderValue> {
        let mut said = request.headers().get_all(header::ORIGIN).into_iter();
        let (origin, more) = (said.next()?, said.next());
        let ours = more.is_none() && self.0.allowed.iter().any(|one| one.as_bytes() == origin.as_bytes());
        ours.then(|| origin.clone())
    }
}

/// Answers a browser's question beforehand (the preflight), and says with each answer whether the page may read it.
pub async fn answer(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    let Some(methods) = origins.methods(&request) else { return next.run(request).await };
    let origin = origins.allowed(&request);
    let asks_beforehand =
        *request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let opens = asks_beforehand || methods.contains(request.method());
    let mut response = match &origin {
        Some(_) if asks_beforehand => preflight(methods),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin.filter(|_| opens) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    response
}

fn preflight(methods: &[Method]) -> Response {
    let methods: Vec<&str> = methods.iter().map(Method::as_str).collect();
    let methods = HeaderValue::from_str(&methods.join(", ")).unwrap_or(HeaderValue::from_static("GET"));
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, methods),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, REMEMBERED),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}
