//! API keys and the audit log.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Answer, show};
use crate::http::dto::{AuditEntry, KeyView, MasterKeyRotated, NewKey, NewKeyAnswer, OnTheWire, Page, ProblemBody};
use crate::http::openapi::tag;
use crate::http::paging;
use crate::http::shell::Shell;
use crate::http::strict::{self, InPath, Params};
use crate::service::access::Caller;

/// A part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Part {
    /// At most so many: 50, at most 500.
    limit: Option<u32>,
    /// The `next_cursor` of an earlier part.
    cursor: Option<String>,
}

impl Part {
    /// How much, and from where on.
    pub fn both(&self) -> (Option<u32>, Option<&str>) {
        (self.limit, self.cursor.as_deref())
    }
}

/// API keys
#[utoipa::path(get, path = "/v1/keys", tag = tag::ADMIN, params(Part),
    responses((status = 200, description = "All keys, without the keys themselves", body = Page<KeyView>)))]
pub async fn list(
    State(shell): State<Shell>,
    caller: Caller,
    Params(part): Params<Part>,
) -> Answer<Json<Page<KeyView>>> {
    let window = paging::window(part.limit, part.cursor.as_deref())?;
    Ok(Json(paging::page(shell.service().list_keys(&caller, &window), |key| show::key(&key))))
}

/// Make an API key
///
/// Shown once. It can do and see no more than the key that makes it.
#[utoipa::path(post, path = "/v1/keys", tag = tag::ADMIN, request_body = NewKey,
    responses((status = 201, description = "The key", body = NewKeyAnswer), (status = 403, description = "It would be more than the maker's own", body = ProblemBody),
              (status = 422, description = "A field is not accepted", body = ProblemBody)))]
pub async fn create(
    State(shell): State<Shell>,
    caller: Caller,
    strict::Json(new): strict::Json<NewKey>,
) -> Answer<impl IntoResponse> {
    let made = shell.service().create_key(&caller, show::new_key(new)).await?;
    Ok((StatusCode::CREATED, Json(NewKeyAnswer { key: OnTheWire(made.secret), view: show::key(&made.key) })))
}

/// Revoke an API key
///
/// At once.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = tag::ADMIN, params(("id" = String, Path, description = "The key's id")),
    responses((status = 204, description = "It is revoked"), (status = 404, description = "No such key", body = ProblemBody)))]
pub async fn revoke(State(shell): State<Shell>, caller: Caller, InPath(id): InPath<String>) -> Answer<StatusCode> {
    shell.service().revoke_key(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Rotate the master key
///
/// Makes a new one in its file, keeps the old one beside it under a name with a time, and wraps the data keys anew. What is
/// kept is sealed under a new data key in the background; reads and refreshes go on. For a key that comes from a variable or
/// a command, use `evergrant master-key rotate`.
#[utoipa::path(post, path = "/v1/master-key/rotate", tag = tag::ADMIN,
    responses((status = 200, description = "The new key is in use", body = MasterKeyRotated),
              (status = 409, description = "The key is not in a file, or the file can't be replaced; nothing was changed", body = ProblemBody)))]
pub async fn rotate(State(shell): State<Shell>, caller: Caller) -> Answer<Json<MasterKeyRotated>> {
    Ok(Json(show::rotated(shell.service().rotate_master_key(&caller).await?)))
}

/// The audit log
///
/// Who read, changed or ended what, newest first; each line is bound to all before it by a hash.
#[utoipa::path(get, path = "/v1/audit", tag = tag::ADMIN, params(Part),
    responses((status = 200, description = "Lines, newest first", body = Page<AuditEntry>)))]
pub async fn audit(
    State(shell): State<Shell>,
    caller: Caller,
    Params(part): Params<Part>,
) -> Answer<Json<Page<AuditEntry>>> {
    let window = paging::window(part.limit, part.cursor.as_deref())?;
    let part = shell.service().audit(&caller, &window).await?;
    Ok(Json(paging::page(part, show::audit)))
}
