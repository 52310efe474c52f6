//! Endpoints that are told by webhooks.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use evergrant_core::id::WebhookId;
use evergrant_store::{Delivery, DeliveryState, Webhook};
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Answer;
use super::keys::Part;
use crate::http::dto::{
    DeliveryStatus, DeliveryView, NewWebhook, OnTheWire, Page, ProblemBody, Redeliver, RedeliverAnswer, WebhookChange,
    WebhookSecretAnswer, WebhookView,
};
use crate::http::openapi::tag;
use crate::http::paging;
use crate::http::shell::Shell;
use crate::http::strict::{self, InPath, OptionalJson, Params};
use crate::service::access::Caller;
use crate::service::webhooks::Wish;

/// Endpoints
#[utoipa::path(get, path = "/v1/webhooks", tag = tag::NOTIFICATIONS, params(Part),
    responses((status = 200, description = "All endpoints, without their secrets", body = Page<WebhookView>)))]
pub async fn list(
    State(shell): State<Shell>,
    caller: Caller,
    Params(part): Params<Part>,
) -> Answer<Json<Page<WebhookView>>> {
    let (limit, cursor) = part.both();
    let window = paging::window(limit, cursor)?;
    Ok(Json(paging::page(shell.service().webhooks(&caller, &window).await?, view)))
}

/// Make an endpoint
///
/// Messages are signed as Standard Webhooks says. The secret is shown once. A key that
/// sees some integrations makes an endpoint that is told of those.
#[utoipa::path(post, path = "/v1/webhooks", tag = tag::NOTIFICATIONS, request_body = NewWebhook,
    responses((status = 201, description = "The endpoint and its secret", body = WebhookSecretAnswer)))]
pub async fn create(
    State(shell): State<Shell>,
    caller: Caller,
    strict::Json(new): strict::Json<NewWebhook>,
) -> Answer<impl IntoResponse> {
    let wish = Wish { url: Some(new.url), events: Some(new.events), description: Some(new.description), enabled: None };
    let webhook = shell.service().add_webhook(&caller, wish).await?;
    Ok((StatusCode::CREATED, Json(with_secret(webhook))))
}

/// An endpoint
#[utoipa::path(get, path = "/v1/webhooks/{id}", tag = tag::NOTIFICATIONS, params(("id" = String, Path, description = "The endpoint")),
    responses((status = 200, description = "It", body = WebhookView)))]
pub async fn get(
    State(shell): State<Shell>,
    caller: Caller,
    InPath(id): InPath<WebhookId>,
) -> Answer<Json<WebhookView>> {
    Ok(Json(view(shell.service().webhook(&caller, &id).await?)))
}

/// Change an endpoint
///
/// Also enables one again that was disabled.
#[utoipa::path(patch, path = "/v1/webhooks/{id}", tag = tag::NOTIFICATIONS, request_body = WebhookChange, params(("id" = String, Path, description = "The endpoint")),
    responses((status = 200, description = "As it is now", body = WebhookView), (status = 409, description = "It is declared in the configuration file", body = ProblemBody)))]
pub async fn change(
    State(shell): State<Shell>,
    caller: Caller,
    InPath(id): InPath<WebhookId>,
    strict::Json(change): strict::Json<WebhookChange>,
) -> Answer<Json<WebhookView>> {
    let WebhookChange { url, events, description, enabled } = change;
    let wish = Wish { url, events, description, enabled };
    Ok(Json(view(shell.service().change_webhook(&caller, &id, wish).await?)))
}

/// Remove an endpoint
///
/// With everything that waits for it.
#[utoipa::path(delete, path = "/v1/webhooks/{id}", tag = tag::NOTIFICATIONS, params(("id" = String, Path, description = "The endpoint")),
    responses((status = 204, description = "It is gone"), (status = 409, description = "It is declared in the configuration file", body = ProblemBody)))]
pub async fn remove(State(shell): State<Shell>, caller: Caller, InPath(id): InPath<WebhookId>) -> Answer<StatusCode> {
    shell.service().remove_webhook(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give an endpoint another secret
///
/// Shown once. For a day messages are signed with the old one too, so that the receiver can change without a gap.
#[utoipa::path(post, path = "/v1/webhooks/{id}/secret", tag = tag::NOTIFICATIONS, params(("id" = String, Path, description = "The endpoint")),
    responses((status = 200, description = "The endpoint and its new secret", body = WebhookSecretAnswer), (status = 409, description = "It is declared in the configuration file", body = ProblemBody)))]
pub async fn rotate(
    State(shell): State<Shell>,
    caller: Caller,
    InPath(id): InPath<WebhookId>,
) -> Answer<Json<WebhookSecretAnswer>> {
    Ok(Json(with_secret(shell.service().rotate_webhook_secret(&caller, &id).await?)))
}

/// Which deliveries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// Only those that are so.
    #[param(inline)]
    status: Option<DeliveryStatus>,
    /// At most so many: 50, at most 500.
    limit: Option<u32>,
    /// The `next_cursor` of an earlier part.
    cursor: Option<String>,
}

/// What was delivered to an endpoint
#[utoipa::path(get, path = "/v1/webhooks/{id}/deliveries", tag = tag::NOTIFICATIONS, params(("id" = String, Path, description = "The endpoint"), Which),
    responses((status = 200, description = "Deliveries, newest first; those that are over are kept for 30 days", body = Page<DeliveryView>)))]
pub async fn deliveries(
    State(shell): State<Shell>,
    caller: Caller,
    InPath(id): InPath<WebhookId>,
    Params(which): Params<Which>,
) -> Answer<Json<Page<DeliveryView>>> {
    let window = paging::window(which.limit, which.cursor.as_deref())?;
    let state = which.status.map(state);
    let part = shell.service().webhook_deliveries(&caller, &id, state, &window).await?;
    Ok(Json(paging::page(part, delivery)))
}

/// Send again
///
/// One delivery, or all that have failed, in the order of each connection, under the same ids.
#[utoipa::path(post, path = "/v1/webhooks/{id}/redeliver", tag = tag::NOTIFICATIONS, request_body = Option<Redeliver>, params(("id" = String, Path, description = "The endpoint")),
    responses((status = 200, description = "They are on their way", body = RedeliverAnswer), (status = 409, description = "It is disabled; enable it first", body = ProblemBody)))]
pub async fn redeliver(
    State(shell): State<Shell>,
    caller: Caller,
    InPath(id): InPath<WebhookId>,
    OptionalJson(which): OptionalJson<Redeliver>,
) -> Answer<Json<RedeliverAnswer>> {
    let redelivered = shell.service().redeliver(&caller, &id, which.delivery_id).await?;
    Ok(Json(RedeliverAnswer { redelivered }))
}

fn view(webhook: Webhook) -> WebhookView {
    WebhookView {
        id: webhook.id,
        url: webhook.url,
        events: webhook.kinds,
        description: webhook.description,
        integrations: webhook.integrations,
        declared: webhook.declared,
        enabled: webhook.disabled_at.is_none(),
        failing_since: webhook.failing_since,
        disabled_at: webhook.disabled_at,
        disabled_why: webhook.disabled_why,
        secrets: webhook.secrets.len(),
        created_at: webhook.created_at,
        updated_at: webhook.updated_at,
    }
}

/// The newest secret comes first.
fn with_secret(webhook: Webhook) -> WebhookSecretAnswer {
    let newest = webhook.secrets.first().map(|one| one.secret.clone());
    let secret = OnTheWire(newest.unwrap_or(evergrant_core::secret::WebhookSecret::new("")));
    WebhookSecretAnswer { secret, view: view(webhook) }
}

fn delivery(delivery: Delivery) -> DeliveryView {
    DeliveryView {
        id: delivery.id,
        message_id: delivery.message,
        kind: delivery.kind,
        connection_id: delivery.connection,
        status: match delivery.state {
            DeliveryState::Waiting => DeliveryStatus::Waiting,
            DeliveryState::Delivered => DeliveryStatus::Delivered,
            DeliveryState::Failed => DeliveryStatus::Failed,
            DeliveryState::Dropped => DeliveryStatus::Dropped,
        },
        tries: delivery.tries,
        next_at: delivery.next_at,
        last_at: delivery.last_at,
        last_status: delivery.last_status,
        last_detail: delivery.last_detail,
        at: delivery.at,
        ended_at: delivery.ended_at,
    }
}

const fn state(status: DeliveryStatus) -> DeliveryState {
    match status {
        DeliveryStatus::Waiting => DeliveryState::Waiting,
        DeliveryStatus::Delivered => DeliveryState::Delivered,
        DeliveryStatus::Failed => DeliveryState::Failed,
        DeliveryStatus::Dropped => DeliveryState::Dropped,
    }
}
