//! The catalogue.

use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::{Answer, show};
use crate::http::dto::{Page, ProblemBody, ProviderSummary};
use crate::http::paging;
use crate::http::shell::Shell;
use crate::http::strict::{InPath, Params};
use crate::service::access::Caller;

/// `GET /v1/providers`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Find {
    /// Words in the id, the name or the category.
    q: Option<String>,
    /// At most so many: 50, at most 500.
    limit: Option<u32>,
    /// The `next_cursor` of an earlier part.
    cursor: Option<String>,
}

/// The catalogue
///
/// What is known of providers: endpoints, habits, lifetimes.
#[utoipa::path(get, path = "/v1/providers", tag = crate::http::openapi::tag::INTEGRATIONS, params(Find),
    responses((status = 200, description = "Catalogue entries by id", body = Page<ProviderSummary>)))]
pub async fn list(
    State(shell): State<Shell>,
    _: Caller,
    Params(find): Params<Find>,
) -> Answer<axum::Json<Page<ProviderSummary>>> {
    let window = paging::window(find.limit, find.cursor.as_deref())?;
    let part = shell.service().providers(find.q.as_deref(), &window);
    Ok(axum::Json(paging::page(part, |provider| show::provider(&provider))))
}

/// A catalogue entry
///
/// With the fields of its file; the same fields can be given inline with an integration.
#[utoipa::path(get, path = "/v1/providers/{id}", tag = crate::http::openapi::tag::INTEGRATIONS,
    params(("id" = String, Path, description = "The entry's id")),
    responses((status = 200, description = "The entry", body = Object), (status = 404, description = "No such entry", body = ProblemBody)))]
pub async fn get(State(shell): State<Shell>, _: Caller, InPath(id): InPath<String>) -> Answer<axum::Json<Value>> {
    let provider = shell.service().provider(&id)?;
    Ok(axum::Json(show::whole_provider(&provider)))
}
