//! Connect sessions, as the application makes and completes them.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use evergrant_core::id::ConnectSessionId;
use http::StatusCode;

use super::{Answer, etag, show};
use crate::http::dto::{
    Complete, ConnectSession, ConnectSessionProgress, ConnectionView, NewConnectSession, ProblemBody,
};
use crate::http::openapi::tag;
use crate::http::shell::Shell;
use crate::http::strict::{self, InPath};
use crate::service::access::Caller;

/// Make a connect session
///
/// Send the browser to its `url`, or with `flow: "device"` show the person `user_code` and `verification_uri`. With `connection_id` it is a reconnect; without a `subject` it signs a person in by account.
#[utoipa::path(post, path = "/v1/connect-sessions", tag = tag::CONNECT, request_body = NewConnectSession,
    responses((status = 201, description = "A link for one browser, or a code for one person", body = ConnectSession), (status = 404, description = "No such integration or connection", body = ProblemBody),
              (status = 422, description = "A field is not accepted", body = ProblemBody), (status = 424, description = "The integration is paused, or its client is refused", body = ProblemBody),
              (status = 502, description = "The provider gives no code", body = ProblemBody), (status = 503, description = "The provider gives no code just now", body = ProblemBody)))]
pub async fn create(
    State(shell): State<Shell>,
    caller: Caller,
    strict::Json(new): strict::Json<NewConnectSession>,
) -> Answer<impl IntoResponse> {
    let made = shell.service().connect_session(&caller, show::wish(new)).await?;
    Ok((StatusCode::CREATED, Json(show::session(made))))
}

/// How far a connect session is
///
/// `pending` until the person is done, then `connected`, `denied`, `failed` or `expired`. In the device flow ask every `interval`.
#[utoipa::path(get, path = "/v1/connect-sessions/{id}", tag = tag::CONNECT, params(("id" = String, Path, description = "The session")),
    responses((status = 200, description = "Its progress", body = ConnectSessionProgress), (status = 404, description = "No such session", body = ProblemBody)))]
pub async fn get(
    State(shell): State<Shell>,
    caller: Caller,
    InPath(id): InPath<ConnectSessionId>,
) -> Answer<Json<ConnectSessionProgress>> {
    Ok(Json(show::progress(shell.service().session_status(&caller, &id).await?)))
}

/// Take back a connect session
///
/// Its link is not good any more, and a code that waits in it is dropped. What has led to a connection stays.
#[utoipa::path(delete, path = "/v1/connect-sessions/{id}", tag = tag::CONNECT, params(("id" = String, Path, description = "The session")),
    responses((status = 204, description = "It is taken back"), (status = 404, description = "No such session", body = ProblemBody)))]
pub async fn revoke(
    State(shell): State<Shell>,
    caller: Caller,
    InPath(id): InPath<ConnectSessionId>,
) -> Answer<StatusCode> {
    shell.service().revoke_session(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Complete a connect session
///
/// The application says who is signed in in that browser; only now the code is exchanged. Repeated with the same handle
/// and subject it answers the same connection; another subject is refused and the code is dropped.
#[utoipa::path(post, path = "/v1/connect-sessions/{id}/complete", tag = tag::CONNECT, request_body = Complete, params(("id" = String, Path, description = "The session")),
    responses((status = 201, description = "A new connection", body = ConnectionView), (status = 200, description = "The connection whose grant was replaced", body = ConnectionView),
              (status = 403, description = "Another subject", body = ProblemBody), (status = 404, description = "No such session or handle, or too late", body = ProblemBody),
              (status = 409, description = "The account belongs to another subject, or is another than the connection's", body = ProblemBody),
              (status = 502, description = "The provider refused the code", body = ProblemBody), (status = 503, description = "Passing trouble: see `retry_after`", body = ProblemBody)))]
pub async fn complete(
    State(shell): State<Shell>,
    caller: Caller,
    InPath(id): InPath<ConnectSessionId>,
    strict::Json(done): strict::Json<Complete>,
) -> Answer<impl IntoResponse> {
    let (seen, created) = shell.service().complete(&caller, &id, &done.handle.0, done.subject.as_ref()).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, etag(seen.connection.version), Json(show::connection(&seen))))
}
