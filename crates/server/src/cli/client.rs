//! Talks to the API: one request, one answer, JSON both ways; a problem document becomes a typed error.
//!
//! Over the network to a running service, or to an installation that this process has opened itself: the same handlers,
//! documents and checks, with the operator as the caller.

use std::time::Duration;

use bytes::Bytes;
use evergrant_core::secret::ApiKeySecret;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use serde_json::Value;
use tower::ServiceExt as _;
use url::Url;

use super::error::{CliError, Result};
use super::problem::Problem;
use super::wire::{self, Wire};
use crate::app::App;
use crate::service::access::Caller;

/// The longest answer that is read: a page of 500 connections stays far below.
pub(super) const MAX_BODY: usize = 32 << 20;

/// The service gave no answer.
#[derive(Debug, thiserror::Error)]
#[error("no answer from {url}: {why}. Is the service running there? `--url` or EVERGRANT_URL names another address")]
pub(crate) struct Unreachable {
    url: String,
    why: String,
}

/// Who answers.
#[derive(Debug)]
pub(crate) enum Client {
    /// A running service, shown a key.
    There {
        /// Where it is.
        base: Url,
        /// The key.
        key: ApiKeySecret,
        /// The way to it.
        wire: Wire,
    },
    /// An installation that is open here.
    Here(App),
}

/// How long an answer may take: a refresh that has to wait for a slow provider takes 100 s.
const PATIENCE: Duration = Duration::from_secs(130);

/// A route: its segments, unescaped, and its query; and how long its answer may take.
#[derive(Debug)]
pub(super) struct Route<'a> {
    segments: Vec<&'a str>,
    query: Vec<(&'a str, String)>,
    patience: Duration,
}

impl<'a> Route<'a> {
    /// `/v1/` and these segments.
    pub(super) fn v1(segments: &[&'a str]) -> Self {
        let segments = std::iter::once("v1").chain(segments.iter().copied()).collect();
        Route { segments, query: Vec::new(), patience: PATIENCE }
    }

    /// A route beside `/v1`.
    pub(super) fn root(segment: &'a str) -> Self {
        Route { segments: vec![segment], query: Vec::new(), patience: PATIENCE }
    }

    /// Whose answer may take so much longer than others.
    pub(super) fn patient(mut self, more: Duration) -> Self {
        self.patience = self.patience.saturating_add(more);
        self
    }

    /// With a parameter, if it has a value.
    pub(super) fn with(mut self, name: &'a str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(&self.segments);
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }
}

impl Client {
    /// The service at this address.
    pub(super) fn there(base: Url, key: ApiKeySecret) -> Result<Self> {
        Ok(Client::There { wire: Wire::new()?, base, key })
    }

    /// The installation that is open here, if it is one.
    pub(super) fn app(&self) -> Option<&App> {
        match self {
            Client::Here(app) => Some(app),
            Client::There { .. } => None,
        }
    }

    /// Lets go of an installation that is open here.
    pub(super) async fn close(self) {
        if let Client::Here(app) = self {
            app.close().await;
        }
    }

    /// `GET`.
    pub(super) async fn get(&self, route: Route<'_>) -> Result<Value> {
        self.call(Method::GET, route, None).await
    }

    /// `POST` of a document.
    pub(super) async fn post(&self, route: Route<'_>, body: &Value) -> Result<Value> {
        self.call(Method::POST, route, Some(body)).await
    }

    /// `PATCH` with a document.
    pub(super) async fn patch(&self, route: Route<'_>, body: &Value) -> Result<Value> {
        self.call(Method::PATCH, route, Some(body)).await
    }

    /// `DELETE`.
    pub(super) async fn delete(&self, route: Route<'_>) -> Result<Value> {
        self.call(Method::DELETE, route, None).await
    }

    /// Every item of a list, page after page, up to `limit`.
    pub(super) async fn list(
        &self,
        segments: &[&str],
        query: &[(&str, Option<String>)],
        limit: usize,
    ) -> Result<Value> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let route = query.iter().fold(Route::v1(segments), |route, (name, value)| route.with(name, value.as_ref()));
            let page_size = limit.saturating_sub(items.len()).clamp(1, 500);
            let mut page = self.get(route.with("limit", Some(page_size)).with("cursor", cursor)).await?;
            if let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) {
                items.extend(more);
            }
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() || items.len() >= limit {
                return Ok(serde_json::json!({ "items": items, "next_cursor": cursor }));
            }
        }
    }

    async fn call(&self, method: Method, route: Route<'_>, body: Option<&Value>) -> Result<Value> {
        let (status, body) = match self {
            Client::There { base, key, wire } => {
                let failed = |why| Unreachable { url: base.to_string(), why };
                let url = route.url(base);
                let request = wire::request(&url, method, key, body).map_err(failed)?;
                wire.exchange(&url, request, route.patience).await.map_err(failed)?
            }
            Client::Here(app) => ask(app, method, &route, body).await?,
        };
        if !(200..300).contains(&status) {
            return Err(CliError::Problem(Problem::read(status, &body)));
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|_| CliError::Problem(Problem::read(status, b"")))
    }
}

/// Asks the front door from within, as the operator.
async fn ask(app: &App, method: Method, route: &Route<'_>, body: Option<&Value>) -> Result<(u16, Bytes)> {
    let nowhere = Url::parse("http://localhost").map_err(|why| CliError::Usage(why.to_string()))?;
    let url = route.url(&nowhere);
    let mut request = Request::builder().method(method).uri(&url[url::Position::BeforePath..]);
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = Full::new(Bytes::from(body.map(Value::to_string).unwrap_or_default()));
    let request = request.extension(Caller::operator()).body(axum::body::Body::new(body));
    let request = request.map_err(|why| CliError::Usage(why.to_string()))?;
    let answer = app.router().oneshot(request).await.unwrap_or_else(|never| match never {});
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), MAX_BODY).collect().await;
    let body = body.map_err(|why| Unreachable { url: "the data folder".to_owned(), why: why.to_string() })?;
    Ok((status, body.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_with_odd_characters_stays_one_segment() {
        let base = Url::parse("http://127.0.0.1:8420").unwrap();
        let route = Route::v1(&["subjects", "auth0|7/日", "integrations", "strava", "token"]).with("min_ttl", Some(5));
        assert_eq!(
            route.url(&base).as_str(),
            "http://127.0.0.1:8420/v1/subjects/auth0|7%2F%E6%97%A5/integrations/strava/token?min_ttl=5"
        );
    }
}
