//! Running it: health, metrics, statistics, and the description of the API itself.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use evergrant_core::secret::OneTime;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::{Answer, show};
use crate::http::cookies;
use crate::http::docs;
use crate::http::dto::Stats;
use crate::http::openapi::tag;
use crate::http::pages::{self, ResultPage};
use crate::http::shell::Shell;
use crate::http::strict::InPath;
use crate::service::access::{Access, Caller};

/// Whether the process lives
///
/// Asks nothing of anybody.
#[utoipa::path(get, path = "/healthz", tag = tag::OPERATION, responses((status = 200, description = "It lives", body = Object)))]
pub async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Whether calls should be sent here
///
/// With the database, the key ring and the refresher; where several nodes work on one database also with what is heard of the
/// others, and how many live. 503 while it stops. The refresher is `quarantined` on a restored or copied database that the
/// operator has not adopted: live tokens are served, and nothing is refreshed.
#[utoipa::path(get, path = "/readyz", tag = tag::OPERATION,
    responses((status = 200, description = "Ready", body = Object), (status = 503, description = "Not ready; what is not", body = Object)))]
pub async fn readyz(State(shell): State<Shell>) -> Response {
    let ready = shell.service().ready().await;
    let status = if ready.all() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = |good: bool| if good { "ok" } else { "failed" };
    let refresher = if ready.quarantined && ready.refresher { "quarantined" } else { word(ready.refresher) };
    let mut checks =
        json!({ "database": word(ready.database), "key_ring": word(ready.key_ring), "refresher": refresher });
    let status_word = if ready.all() { "ok" } else { "unavailable" };
    if ready.nodes.is_some() {
        checks["feed"] = word(ready.hears()).into();
    }
    let mut body = json!({ "status": status_word, "checks": checks });
    if let Some(nodes) = ready.nodes {
        body["nodes"] = json!({ "living": nodes.living, "feed_confirmed_seconds_ago": nodes.silence.as_secs() });
    }
    if let Some(detail) = ready.detail {
        body["detail"] = detail.into();
    }
    (status, Json(body)).into_response()
}

/// Metrics
///
/// In the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = tag::OPERATION, responses((status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text")))]
pub async fn metrics(State(shell): State<Shell>, caller: Caller) -> Answer<Response> {
    let service = shell.service();
    let levels = service.levels(&caller.scope).await?;
    let sees = |name: &str| name.parse().is_ok_and(|name| caller.scope.sees(&name));
    let text = service.metrics.text(&levels, sees);
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}

/// Statistics
///
/// What a dashboard draws.
#[utoipa::path(get, path = "/v1/stats", tag = tag::OPERATION,
    responses((status = 200, description = "By integration and status, expiring soon, outcomes over time", body = Stats)))]
pub async fn stats(State(shell): State<Shell>, caller: Caller) -> Answer<Json<Stats>> {
    Ok(Json(show::stats(shell.service().stats(&caller).await?)))
}

/// This description
///
/// OpenAPI 3.1, made of the handlers' own types.
#[utoipa::path(get, path = "/openapi.json", tag = tag::OPERATION, responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub async fn openapi(State(shell): State<Shell>) -> Response {
    let body = shell.documents().map(|documents| documents.openapi.clone()).unwrap_or_default();
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

/// This description, for people
///
/// Loads nothing from another host. A browser gets in by a one-time sign-in link.
#[utoipa::path(get, path = "/docs", tag = tag::OPERATION, responses((status = 200, description = "A page", body = String, content_type = "text/html")))]
pub async fn docs(State(shell): State<Shell>) -> Response {
    let nothing = Value::Null;
    let api = shell.documents().map_or(&nothing, |documents| &documents.api);
    pages::docs_page(&docs::page(api))
}

/// Sign in by a one-time link
///
/// Printed by the service at the machine itself; opens the description for this browser.
#[utoipa::path(get, path = "/sign-in/{token}", tag = tag::OPERATION, params(("token" = String, Path, description = "The link's secret")),
    responses((status = 303, description = "Signed in"), (status = 404, description = "The link has been used or has ended", body = String, content_type = "text/html")))]
pub async fn sign_in(State(shell): State<Shell>, InPath(token): InPath<String>) -> Response {
    let service = shell.service();
    let Some(session) = service.access.sign_in(&OneTime::new(token)) else {
        let page = ResultPage {
            title: "This link has been used, or has ended".to_owned(),
            message: "A sign-in link opens the door once, within an hour.".to_owned(),
            todo: "Make a new one where the service runs: it prints one when it starts.".to_owned(),
            ..ResultPage::default()
        };
        return pages::page(StatusCode::NOT_FOUND, &page);
    };
    let mut headers = HeaderMap::new();
    headers.insert(LOCATION, HeaderValue::from_static("/docs"));
    let cookie = cookies::SESSION.set(session.expose(), shell.is_https(), Access::SIGNED_IN);
    if let Some(cookie) = cookie {
        headers.insert(SET_COOKIE, cookie);
    }
    (StatusCode::SEE_OTHER, headers).into_response()
}
