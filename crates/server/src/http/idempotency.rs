//! `Idempotency-Key` on POSTs that create: the same key with the same request gets the first answer again.
//!
//! Kept per API key for 24 hours, sealed, because some answers hold a secret that is shown once. A request that failed on
//! our side is forgotten, so that it can be tried again under its key.

use aws_lc_rs::digest::{Context, SHA256};
use axum::body::Body;
use axum::extract::{FromRequestParts as _, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG};
use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::shell::Shell;
use super::strict;
use crate::service::access::{Caller, Who};
use crate::service::error::Refusal;
use crate::service::idempotency::Entry;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer is an earlier one.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    content_type: Option<String>,
    etag: Option<String>,
    body: String,
}

/// Answers a repeated request with its first answer.
pub async fn once(request: Request, next: Next) -> Response {
    let shell = request.extensions().get::<Shell>().cloned();
    if !request.headers().contains_key(&IDEMPOTENCY_KEY) {
        return next.run(request).await;
    }
    let answered = match shell {
        Some(shell) => keyed(&shell, request, next).await,
        None => Err(Refusal::Unauthenticated.into()),
    };
    answered.unwrap_or_else(Problem::into_response)
}

async fn keyed(shell: &Shell, request: Request, next: Next) -> Result<Response, Problem> {
    let key = request.headers().get(&IDEMPOTENCY_KEY).and_then(|key| key.to_str().ok()).unwrap_or_default();
    if key.is_empty() || key.len() > 255 || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::invalid("idempotency-key", "expected 1 to 255 visible ASCII characters").into());
    }
    let key = key.to_owned();
    let (mut parts, body) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, &()).await?;
    let who = match &caller.who {
        Who::Key(id) => id.clone(),
        Who::Subject(_) | Who::Operator => caller.actor(),
    };
    let body = strict::whole(Request::from_parts(parts.clone(), body)).await?;
    let mut digest = Context::new(&SHA256);
    for part in [parts.method.as_str().as_bytes(), parts.uri.path().as_bytes(), &body] {
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let service = shell.service().clone();
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.finish().as_ref());
    match service.idempotency_begin(&who, &key, hash).await? {
        Entry::Replay(kept) => replay(&kept),
        Entry::New => {
            // On a task of the service's own: a caller that goes away must not leave the key behind half-used.
            let work = service.tasks.clone().spawn(async move {
                let response = next.run(Request::from_parts(parts, Body::from(body))).await;
                keep(&service, &who, &key, response).await
            });
            work.await.map_err(|error| Problem::from(Refusal::internal(&error)))
        }
    }
}

async fn keep(service: &crate::service::Service, who: &str, key: &str, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let text = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let worth_keeping = parts.status.is_success();
    let kept = Kept {
        status: parts.status.as_u16(),
        content_type: text(CONTENT_TYPE),
        etag: text(ETAG),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let kept = worth_keeping.then(|| zeroize::Zeroizing::new(serde_json::to_vec(&kept).unwrap_or_default()));
    if let Err(refusal) = service.idempotency_finish(who, key, kept).await {
        tracing::warn!(%refusal, "an answer could not be kept for its idempotency key");
    }
    Response::from_parts(parts, Body::from(body))
}

fn replay(kept: &[u8]) -> Result<Response, Problem> {
    let kept: Kept = serde_json::from_slice(kept).map_err(|error| Problem::from(Refusal::internal(&error)))?;
    let mut response = Response::new(Body::from(Bytes::from(kept.body)));
    *response.status_mut() = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    for (name, value) in [(CONTENT_TYPE, kept.content_type), (ETAG, kept.etag), (REPLAYED, Some("true".to_owned()))] {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}
