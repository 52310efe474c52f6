//! Everything about one person.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use evergrant_core::id::{NoticeId, SubjectId};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use std::time::Duration;
use utoipa::IntoParams;

use super::{Answer, live, show};
use crate::http::conventions::{REQUEST_ID, language};
use crate::http::dto::{
    Erased, NotificationView, OnTheWire, Page, Preferences, ProblemBody, SubjectHealth, SubjectRefresh,
    SubjectRefreshed, SubjectSession,
};
use crate::http::openapi::tag;
use crate::http::paging;
use crate::http::shell::Shell;
use crate::http::strict::{self, InPath, OptionalJson, Params};
use crate::notify::words::Support;
use crate::service::access::Caller;

/// How a subject's connections are doing
///
/// One line for all and one entry each, in words for people, with a link where the person should act. In the subject's
/// language, else in the one that `accept-language` likes best. With `accept: text/event-stream` it follows live: the same
/// document as an event `health`, now and whenever it reads otherwise, until the session ends.
#[utoipa::path(get, path = "/v1/subjects/{subject}/health", tag = tag::SUBJECTS, params(("subject" = String, Path, description = "The subject")),
    responses((status = 200, description = "How they are doing; or a live stream of it", body = SubjectHealth), (status = 429, description = "Too many streams", body = ProblemBody)))]
pub async fn health(
    State(shell): State<Shell>,
    caller: Caller,
    InPath(subject): InPath<SubjectId>,
    headers: HeaderMap,
) -> Answer<Response> {
    let (language, support) = (language(&headers), support(&shell, &headers));
    if live::is_wanted(&headers) {
        return live::health(&shell, &caller, &subject, language, support);
    }
    let health = shell.service().health(&caller, &subject, language, support).await?;
    Ok(Json(show::health(health)).into_response())
}

/// Whom a person can ask, and what about.
fn support<'a>(shell: &'a Shell, headers: &'a HeaderMap) -> Support<'a> {
    let request = headers.get(&REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    Support { contact: shell.support_contact(), request }
}

/// Refresh whatever of a subject is due
///
/// Call it when a page opens. A subject's session refreshes what is due; only a key can ask for more with `due_within`.
#[utoipa::path(post, path = "/v1/subjects/{subject}/refresh", tag = tag::SUBJECTS, request_body = Option<SubjectRefresh>, params(("subject" = String, Path, description = "The subject")),
    responses((status = 200, description = "What came of it", body = SubjectRefreshed)))]
pub async fn refresh(
    State(shell): State<Shell>,
    caller: Caller,
    InPath(subject): InPath<SubjectId>,
    headers: HeaderMap,
    OptionalJson(how): OptionalJson<SubjectRefresh>,
) -> Answer<Json<SubjectRefreshed>> {
    let service = shell.service();
    let each = service.refresh_subject(&caller, &subject, how.due_within.map(Duration::from_secs)).await?;
    let health = service.health(&caller, &subject, language(&headers), support(&shell, &headers)).await?;
    Ok(Json(SubjectRefreshed { connections: show::passes(each), health: show::health(health) }))
}

/// Forget a subject
///
/// Ends and erases everything about a person; the audit log keeps that it was done, under a keyed hash.
#[utoipa::path(delete, path = "/v1/subjects/{subject}", tag = tag::SUBJECTS, params(("subject" = String, Path, description = "The subject")),
    responses((status = 200, description = "What was erased", body = Erased)))]
pub async fn erase(
    State(shell): State<Shell>,
    caller: Caller,
    InPath(subject): InPath<SubjectId>,
) -> Answer<Json<Erased>> {
    let erased = shell.service().erase_subject(&caller, &subject).await?;
    Ok(Json(Erased { connections: erased.connections, revoked: erased.revoked, notifications: erased.notices }))
}

/// Make a subject session
///
/// For a browser: good for this subject's health, notifications, preferences and reconnect, never for tokens; one hour.
#[utoipa::path(post, path = "/v1/subjects/{subject}/sessions", tag = tag::SUBJECTS, params(("subject" = String, Path, description = "The subject")),
    responses((status = 201, description = "The session", body = SubjectSession)))]
pub async fn session(
    State(shell): State<Shell>,
    _: Caller,
    InPath(subject): InPath<SubjectId>,
) -> Answer<impl IntoResponse> {
    let (token, expires_at) = shell.service().access.subject_session(&subject);
    let url = OnTheWire(shell.service().own_address(&token));
    Ok((StatusCode::CREATED, Json(SubjectSession { token: OnTheWire(token), url, expires_at })))
}

/// Which notices.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// Only those that were not read.
    #[serde(default)]
    #[param(required = false)]
    unread: bool,
    /// At most so many: 50, at most 500.
    limit: Option<u32>,
    /// The `next_cursor` of an earlier part.
    cursor: Option<String>,
}

/// A subject's notices
///
/// In the subject's language, else in the one that `accept-language` likes best.
#[utoipa::path(get, path = "/v1/subjects/{subject}/notifications", tag = tag::SUBJECTS, params(("subject" = String, Path, description = "The subject"), Which),
    responses((status = 200, description = "Notices, newest first", body = Page<NotificationView>)))]
pub async fn notifications(
    State(shell): State<Shell>,
    caller: Caller,
    InPath(subject): InPath<SubjectId>,
    Params(which): Params<Which>,
    headers: HeaderMap,
) -> Answer<Json<Page<NotificationView>>> {
    let window = paging::window(which.limit, which.cursor.as_deref())?;
    let how = (which.unread, language(&headers));
    let part = shell.service().notifications(&caller, &subject, how, &window).await?;
    Ok(Json(paging::page(part, show::notification)))
}

/// Mark a notice as read
#[utoipa::path(post, path = "/v1/subjects/{subject}/notifications/{id}/read", tag = tag::SUBJECTS,
    params(("subject" = String, Path, description = "The subject"), ("id" = String, Path, description = "The notice")),
    responses((status = 200, description = "It is read", body = NotificationView), (status = 404, description = "No such notice", body = ProblemBody)))]
pub async fn read(
    State(shell): State<Shell>,
    caller: Caller,
    InPath((subject, id)): InPath<(SubjectId, NoticeId)>,
    headers: HeaderMap,
) -> Answer<Json<NotificationView>> {
    let notice = shell.service().read_notification(&caller, &subject, &id, language(&headers)).await?;
    Ok(Json(show::notification(notice)))
}

/// What a subject wants to be told
#[utoipa::path(get, path = "/v1/subjects/{subject}/notifications/preferences", tag = tag::SUBJECTS, params(("subject" = String, Path, description = "The subject")),
    responses((status = 200, description = "Kind by channel, on or off", body = Preferences)))]
pub async fn preferences(
    State(shell): State<Shell>,
    _: Caller,
    InPath(subject): InPath<SubjectId>,
) -> Answer<Json<Preferences>> {
    Ok(Json(show::wishes(shell.service().wishes(&subject).await?)))
}

/// Say what a subject wants to be told
///
/// What is left out is as by default.
#[utoipa::path(put, path = "/v1/subjects/{subject}/notifications/preferences", tag = tag::SUBJECTS, request_body = Preferences, params(("subject" = String, Path, description = "The subject")),
    responses((status = 200, description = "As it is now", body = Preferences), (status = 422, description = "A kind or channel that is not known", body = ProblemBody)))]
pub async fn set_preferences(
    State(shell): State<Shell>,
    caller: Caller,
    InPath(subject): InPath<SubjectId>,
    strict::Json(wanted): strict::Json<Preferences>,
) -> Answer<Json<Preferences>> {
    let (preferences, contact) = show::wanted(wanted);
    Ok(Json(show::wishes(shell.service().set_wishes(&caller, &subject, preferences, contact).await?)))
}

/// What a subject wants to be told (short address)
#[utoipa::path(get, path = "/v1/subjects/{subject}/preferences", tag = tag::SUBJECTS, params(("subject" = String, Path, description = "The subject")),
    responses((status = 200, description = "Kind by channel, on or off", body = Preferences)))]
pub async fn preferences_short(
    shell: State<Shell>,
    caller: Caller,
    subject: InPath<SubjectId>,
) -> Answer<Json<Preferences>> {
    preferences(shell, caller, subject).await
}

/// Say what a subject wants to be told (short address)
#[utoipa::path(put, path = "/v1/subjects/{subject}/preferences", tag = tag::SUBJECTS, request_body = Preferences, params(("subject" = String, Path, description = "The subject")),
    responses((status = 200, description = "As it is now", body = Preferences), (status = 422, description = "A kind or channel that is not known", body = ProblemBody)))]
pub async fn set_preferences_short(
    shell: State<Shell>,
    caller: Caller,
    subject: InPath<SubjectId>,
    wanted: strict::Json<Preferences>,
) -> Answer<Json<Preferences>> {
    set_preferences(shell, caller, subject, wanted).await
}
