//! OAuth clients.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use evergrant_core::id::IntegrationName;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Answer, etag, if_match, show};
use crate::http::dto::{IntegrationChange, IntegrationView, NewIntegration, Page, ProblemBody};
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

/// Integrations
#[utoipa::path(get, path = "/v1/integrations", tag = tag::INTEGRATIONS, params(Part),
    responses((status = 200, description = "Those that the key sees, by name", body = Page<IntegrationView>)))]
pub async fn list(
    State(shell): State<Shell>,
    caller: Caller,
    Params(part): Params<Part>,
) -> Answer<Json<Page<IntegrationView>>> {
    let window = paging::window(part.limit, part.cursor.as_deref())?;
    let service = shell.service();
    let part = service.list_integrations(&caller, &window);
    Ok(Json(paging::page(part, |one| show::integration(&one, service))))
}

/// Register an integration
///
/// Its `callback_url` is what to register as redirect URI at the provider. Secrets are write-only.
#[utoipa::path(post, path = "/v1/integrations", tag = tag::INTEGRATIONS, request_body = NewIntegration,
    responses((status = 201, description = "It is there", body = IntegrationView),
              (status = 409, description = "The name is taken", body = ProblemBody),
              (status = 422, description = "A field is not accepted", body = ProblemBody)))]
pub async fn create(
    State(shell): State<Shell>,
    caller: Caller,
    strict::Json(new): strict::Json<NewIntegration>,
) -> Answer<impl IntoResponse> {
    let service = shell.service();
    let integration = service.add_integration(&caller, show::new_integration(new)).await?;
    Ok((StatusCode::CREATED, etag(integration.version), Json(show::integration(&integration, service))))
}

/// An integration
#[utoipa::path(get, path = "/v1/integrations/{name}", tag = tag::INTEGRATIONS,
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "The integration", body = IntegrationView), (status = 404, description = "No such integration", body = ProblemBody)))]
pub async fn get(
    State(shell): State<Shell>,
    caller: Caller,
    InPath(name): InPath<IntegrationName>,
) -> Answer<impl IntoResponse> {
    let service = shell.service();
    let integration = service.integration(&caller, &name)?;
    Ok((etag(integration.version), Json(show::integration(&integration, service))))
}

/// Change an integration
///
/// What is left out stays as it is. A changed client or secret is tried at once where the integration was misconfigured.
#[utoipa::path(patch, path = "/v1/integrations/{name}", tag = tag::INTEGRATIONS, request_body = IntegrationChange,
    params(("name" = String, Path, description = "Its name"), ("if-match" = Option<String>, Header, description = "Its version")),
    responses((status = 200, description = "As it is now", body = IntegrationView), (status = 404, description = "No such integration", body = ProblemBody),
              (status = 409, description = "It has changed meanwhile", body = ProblemBody), (status = 422, description = "A field is not accepted", body = ProblemBody)))]
pub async fn change(
    State(shell): State<Shell>,
    caller: Caller,
    InPath(name): InPath<IntegrationName>,
    headers: HeaderMap,
    strict::Json(change): strict::Json<IntegrationChange>,
) -> Answer<impl IntoResponse> {
    let service = shell.service();
    let change = show::integration_change(change);
    let integration = service.change_integration(&caller, &name, change, if_match(&headers)?).await?;
    Ok((etag(integration.version), Json(show::integration(&integration, service))))
}

/// Remove an integration
///
/// Only one without connections.
#[utoipa::path(delete, path = "/v1/integrations/{name}", tag = tag::INTEGRATIONS,
    params(("name" = String, Path, description = "Its name"), ("if-match" = Option<String>, Header, description = "Its version")),
    responses((status = 204, description = "It is gone"), (status = 404, description = "No such integration", body = ProblemBody),
              (status = 409, description = "It still has connections", body = ProblemBody)))]
pub async fn remove(
    State(shell): State<Shell>,
    caller: Caller,
    InPath(name): InPath<IntegrationName>,
    headers: HeaderMap,
) -> Answer<StatusCode> {
    shell.service().remove_integration(&caller, &name, if_match(&headers)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
