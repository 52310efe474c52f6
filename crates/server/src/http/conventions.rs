//! What is true of every answer: a request id, security headers, problems written as RFC 9457 says, one line in the log.

use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use super::problem::Problem;
use super::shell::Shell;
use crate::notify::words::{Support, accepted};

/// The header that names a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest address that is read, in bytes: path and query.
const URI_LIMIT: usize = 8 * 1024;
/// The longest headers that are read, in bytes.
const HEADERS_LIMIT: usize = 32 * 1024;

/// For answers that are not pages: nothing in them may be run, shown in a frame or sent anywhere.
const CONTENT_SECURITY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
);

/// The outermost layer.
pub async fn conventions(State(shell): State<Shell>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let request_id = request_id(request.headers(), &shell);
    let method = request.method().clone();
    let language = language(request.headers());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let mut response = match over_a_limit(&request) {
        Some(problem) => axum::response::IntoResponse::into_response(problem),
        None => {
            // Handlers and their logs read it from here.
            request.headers_mut().insert(REQUEST_ID, request_id.clone());
            request.extensions_mut().insert(shell.clone());
            next.run(request).await
        }
    };
    let id = request_id.to_str().unwrap_or_default();
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        if let Some(cause) = problem.cause() {
            tracing::error!(request_id = id, route, status = problem.status().as_u16(), cause, "a request failed");
        }
        let support = Support { contact: shell.support_contact(), request: id };
        response = write(&problem, language, &support, response);
    }
    let status = response.status().as_u16();
    let millis = began.elapsed().as_secs_f64() * 1000.0;
    // The route's pattern, never the address: paths and queries hold subjects, states and codes.
    tracing::debug!(request_id = id, %method, route, status, millis, "answered");
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, request_id);
    secure(headers, shell.is_https());
    response
}

/// The language that a browser likes best, among ours.
pub fn language(headers: &HeaderMap) -> Option<&'static str> {
    headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).and_then(accepted)
}

/// The caller's own id if it is fit for a log line, else a new one.
fn request_id(headers: &HeaderMap, shell: &Shell) -> HeaderValue {
    let fit = |value: &&HeaderValue| {
        (1..=128).contains(&value.len()) && value.as_bytes().iter().all(|byte| byte.is_ascii_graphic())
    };
    let made = || HeaderValue::from_str(&shell.new_request_id()).unwrap_or(HeaderValue::from_static("req"));
    headers.get(&REQUEST_ID).filter(fit).cloned().unwrap_or_else(made)
}

fn over_a_limit(request: &Request) -> Option<Problem> {
    let uri = request.uri();
    if uri.path_and_query().map_or(0, |whole| whole.as_str().len()) > URI_LIMIT {
        return Some(Problem::uri_too_long(URI_LIMIT));
    }
    let length: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    (length > HEADERS_LIMIT).then(|| Problem::headers_too_large(HEADERS_LIMIT))
}

fn write(problem: &Problem, language: Option<&str>, support: &Support<'_>, shaped: Response) -> Response {
    let body = problem.body(language, support);
    let retry_after = body.retry_after;
    let json = serde_json::to_vec(&body).unwrap_or_default();
    let (mut parts, _) = shaped.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if problem.status() == StatusCode::UNAUTHORIZED {
        parts.headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"evergrant\""));
    }
    if let Some(seconds) = retry_after {
        parts.headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    Response::from_parts(parts, Body::from(json))
}

/// Headers of every answer; a page that brought its own policy keeps it.
fn secure(headers: &mut HeaderMap, https: bool) {
    let default = |headers: &mut HeaderMap, name: HeaderName, value: HeaderValue| {
        headers.entry(name).or_insert(value);
    };
    default(headers, header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY);
    default(headers, header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    default(headers, header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    default(headers, header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    default(headers, header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let same_origin = HeaderValue::from_static("same-origin");
    default(headers, HeaderName::from_static("cross-origin-opener-policy"), same_origin.clone());
    default(headers, HeaderName::from_static("cross-origin-resource-policy"), same_origin);
    let nothing = HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=(), usb=()");
    default(headers, HeaderName::from_static("permissions-policy"), nothing);
    if https {
        let two_years = HeaderValue::from_static("max-age=63072000; includeSubDomains");
        default(headers, header::STRICT_TRANSPORT_SECURITY, two_years);
    }
}
