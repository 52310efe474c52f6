//! Connections: listed, imported, changed, refreshed, ended.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use evergrant_core::id::{ConnectionId, IntegrationName, JobId, SubjectId};
use evergrant_core::schedule::Freshness;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Answer, etag, if_match, show};
use crate::http::dto::{
    BulkRefresh, ConnectionChange, ConnectionView, Disconnected, Forced, ImportGrant, JobView, Page, ProblemBody,
    Report, Reported, SeenStatus, Sweep,
};
use crate::http::openapi::tag;
use crate::http::paging;
use crate::http::shell::Shell;
use crate::http::strict::{self, InPath, Params};
use crate::service::access::Caller;
use crate::service::connections::Filter;
use crate::service::sweep::Said;

/// Which connections.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// Of this subject.
    #[param(value_type = Option<String>)]
    subject: Option<SubjectId>,
    /// Of this integration.
    #[param(value_type = Option<String>)]
    integration: Option<IntegrationName>,
    /// In this status.
    status: Option<SeenStatus>,
    /// With an access token in this state.
    #[param(value_type = Option<String>)]
    freshness: Option<Freshness>,
    /// A word in the subject, the account or the label.
    q: Option<String>,
    /// At most so many: 50, at most 500.
    limit: Option<u32>,
    /// The `next_cursor` of an earlier part.
    cursor: Option<String>,
}

/// Connections
#[utoipa::path(get, path = "/v1/connections", tag = tag::CONNECTIONS, params(Which),
    responses((status = 200, description = "Those that the key sees, oldest first; no token in them", body = Page<ConnectionView>)))]
pub async fn list(
    State(shell): State<Shell>,
    caller: Caller,
    Params(which): Params<Which>,
) -> Answer<Json<Page<ConnectionView>>> {
    let window = paging::window(which.limit, which.cursor.as_deref())?;
    let Which { subject, integration, status, freshness, q, .. } = which;
    let filter = Filter { subject, integration, status, freshness, q };
    let part = shell.service().list_connections(&caller, &filter, &window).await?;
    Ok(Json(paging::page(part, |seen| show::connection(&seen))))
}

/// Import a grant, or make one of a client that gets its tokens by itself
///
/// Takes over tokens from elsewhere; where the provider's kind is `client_credentials` or `jwt_bearer`, no token is given,
/// and the answer comes when the first one has come or a while has passed. Onto an existing account (or subject, where the provider has no account id) it
/// replaces the grant in place and answers 200 with the same id; otherwise 201.
#[utoipa::path(post, path = "/v1/connections", tag = tag::CONNECTIONS, request_body = ImportGrant,
    responses((status = 201, description = "A new connection", body = ConnectionView), (status = 200, description = "The connection whose grant was replaced", body = ConnectionView),
              (status = 409, description = "The account belongs to another subject", body = ProblemBody), (status = 422, description = "A field is not accepted", body = ProblemBody)))]
pub async fn import(
    State(shell): State<Shell>,
    caller: Caller,
    strict::Json(grant): strict::Json<ImportGrant>,
) -> Answer<impl IntoResponse> {
    let (seen, created) = shell.service().import(&caller, show::import(grant)).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, etag(seen.connection.version), Json(show::connection(&seen))))
}

/// A connection
#[utoipa::path(get, path = "/v1/connections/{id}", tag = tag::CONNECTIONS, params(("id" = String, Path, description = "The connection")),
    responses((status = 200, description = "The connection", body = ConnectionView), (status = 404, description = "No such connection", body = ProblemBody)))]
pub async fn get(
    State(shell): State<Shell>,
    caller: Caller,
    InPath(id): InPath<ConnectionId>,
) -> Answer<impl IntoResponse> {
    let seen = shell.service().connection(&caller, &id).await?;
    Ok((etag(seen.connection.version), Json(show::connection(&seen))))
}

/// Change a connection
#[utoipa::path(patch, path = "/v1/connections/{id}", tag = tag::CONNECTIONS, request_body = ConnectionChange,
    params(("id" = String, Path, description = "The connection"), ("if-match" = Option<String>, Header, description = "Its version")),
    responses((status = 200, description = "As it is now", body = ConnectionView), (status = 404, description = "No such connection", body = ProblemBody),
              (status = 409, description = "It has changed meanwhile", body = ProblemBody)))]
pub async fn change(
    State(shell): State<Shell>,
    caller: Caller,
    InPath(id): InPath<ConnectionId>,
    headers: HeaderMap,
    strict::Json(change): strict::Json<ConnectionChange>,
) -> Answer<impl IntoResponse> {
    let seen =
        shell.service().change_connection(&caller, &id, change.metadata, change.label, if_match(&headers)?).await?;
    Ok((etag(seen.connection.version), Json(show::connection(&seen))))
}

/// End a connection
///
/// Its tokens are erased here and, where the provider can be told, revoked there.
#[utoipa::path(delete, path = "/v1/connections/{id}", tag = tag::CONNECTIONS,
    params(("id" = String, Path, description = "The connection"), ("if-match" = Option<String>, Header, description = "Its version")),
    responses((status = 200, description = "It has ended", body = Disconnected), (status = 404, description = "No such connection", body = ProblemBody),
              (status = 409, description = "It has changed meanwhile", body = ProblemBody)))]
pub async fn disconnect(
    State(shell): State<Shell>,
    caller: Caller,
    InPath(id): InPath<ConnectionId>,
    headers: HeaderMap,
) -> Answer<Json<Disconnected>> {
    let (seen, revocation) = shell.service().disconnect(&caller, &id, if_match(&headers)?).await?;
    let revoked = revocation == crate::service::disconnect::Revocation::Revoked;
    Ok(Json(Disconnected { connection: show::connection(&seen), revocation, revoked }))
}

/// Take back all reconnect links
///
/// Every link to reconnect this connection that was made until now, in mails, messages and answers. Later ones are good.
#[utoipa::path(delete, path = "/v1/connections/{id}/links", tag = tag::CONNECTIONS, params(("id" = String, Path, description = "The connection")),
    responses((status = 204, description = "They are taken back"), (status = 404, description = "No such connection", body = ProblemBody)))]
pub async fn revoke_links(
    State(shell): State<Shell>,
    caller: Caller,
    InPath(id): InPath<ConnectionId>,
) -> Answer<StatusCode> {
    shell.service().revoke_links(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Refresh now
///
/// 200 whatever the outcome, once it ran. At most one in 60 seconds, and never past the provider's word.
#[utoipa::path(post, path = "/v1/connections/{id}/refresh", tag = tag::CONNECTIONS, params(("id" = String, Path, description = "The connection")),
    responses((status = 200, description = "It ran", body = Forced), (status = 404, description = "No such connection, or not connected", body = ProblemBody),
              (status = 409, description = "There is no refresh token", body = ProblemBody), (status = 424, description = "The operator must act", body = ProblemBody),
              (status = 429, description = "Too soon after the last", body = ProblemBody), (status = 503, description = "Passing trouble", body = ProblemBody)))]
pub async fn force(
    State(shell): State<Shell>,
    caller: Caller,
    InPath(id): InPath<ConnectionId>,
) -> Answer<Json<Forced>> {
    let (outcome, seen) = shell.service().force(&caller, &id).await?;
    Ok(Json(Forced { outcome, connection: show::connection(&seen) }))
}

/// Report a use
///
/// What the provider's API said to a token. `unauthorized` leads to one refresh, never to a verdict by itself.
#[utoipa::path(post, path = "/v1/connections/{id}/report", tag = tag::CONNECTIONS, request_body = Report, params(("id" = String, Path, description = "The connection")),
    responses((status = 200, description = "Noted", body = Reported), (status = 404, description = "No such connection", body = ProblemBody),
              (status = 422, description = "A field is not accepted", body = ProblemBody)))]
pub async fn report(
    State(shell): State<Shell>,
    caller: Caller,
    InPath(id): InPath<ConnectionId>,
    strict::Json(report): strict::Json<Report>,
) -> Answer<Json<Reported>> {
    let Report { token_id, outcome, detail, retry_after } = report;
    let retry_after = retry_after.map(|seconds| Duration::from_secs(seconds.min(86_400)));
    let noted = shell.service().report(&caller, &id, Said { token_id, outcome, detail, retry_after }).await?;
    Ok(Json(Reported {
        current: noted.current,
        refreshing: noted.refreshing,
        connection: show::connection(&noted.seen),
    }))
}

/// Refresh many
///
/// All conditions that are given must hold. `dry_run` only counts.
#[utoipa::path(post, path = "/v1/refresh", tag = tag::CONNECTIONS, request_body = BulkRefresh,
    responses((status = 202, description = "A job that goes on by itself", body = JobView), (status = 422, description = "A field is not accepted", body = ProblemBody)))]
pub async fn bulk(
    State(shell): State<Shell>,
    caller: Caller,
    strict::Json(order): strict::Json<BulkRefresh>,
) -> Answer<impl IntoResponse> {
    let job = shell.service().start_job(&caller, show::order(order)).await?;
    Ok((StatusCode::ACCEPTED, Json(show::job(&job))))
}

/// A job
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = tag::CONNECTIONS, params(("id" = String, Path, description = "The job")),
    responses((status = 200, description = "How far it is", body = JobView), (status = 404, description = "No such job", body = ProblemBody)))]
pub async fn job(State(shell): State<Shell>, caller: Caller, InPath(id): InPath<JobId>) -> Answer<Json<JobView>> {
    let job = shell.service().job(&caller, &id).await?;
    Ok(Json(show::job(&job)))
}

/// `POST /v1/sweep`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Verbose {
    /// Whether to list each connection.
    #[serde(default)]
    #[param(required = false)]
    verbose: bool,
    /// Whether to count only what is due, and to send nothing.
    #[serde(default)]
    #[param(required = false)]
    dry_run: bool,
}

/// One pass over all that is due
///
/// For an outside scheduler; the service does the same by itself unless `background` is off.
#[utoipa::path(post, path = "/v1/sweep", tag = tag::CONNECTIONS, params(Verbose),
    responses((status = 200, description = "What came of it", body = Sweep), (status = 503, description = "Storage is away", body = ProblemBody)))]
pub async fn sweep(State(shell): State<Shell>, caller: Caller, Params(how): Params<Verbose>) -> Answer<Json<Sweep>> {
    let service = shell.service();
    let swept = if how.dry_run { service.due(&caller).await? } else { service.sweep(&caller).await? };
    Ok(Json(show::sweep(swept, how.verbose)))
}
