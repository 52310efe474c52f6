//! Talks to a running service: one request, one answer, JSON both ways; a problem document becomes a typed error.

use std::time::Duration;

use bytes::Bytes;
use evergrant_core::secret::ApiKeySecret;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use url::Url;

use super::error::{CliError, Result};
use super::problem::Problem;
use crate::clock::{Clock as _, SystemClock};

/// The longest answer that is read: a page of 500 connections stays far below.
const MAX_BODY: usize = 32 << 20;
/// How long a request may take: longer than the longest `wait`.
const LIMIT: Duration = Duration::from_secs(150);

/// The service gave no answer.
#[derive(Debug, thiserror::Error)]
#[error("no answer from {url}: {why}. Is the service running there? `--url` or EVERGRANT_URL names another address")]
pub(crate) struct Unreachable {
    url: String,
    why: String,
}

/// A running service and a key for it.
#[derive(Debug)]
pub(crate) struct Client {
    base: Url,
    key: ApiKeySecret,
}

/// A route: its segments, unescaped, and its query.
#[derive(Debug, Default)]
pub(super) struct Route<'a> {
    segments: Vec<&'a str>,
    query: Vec<(&'a str, String)>,
}

impl<'a> Route<'a> {
    /// `/v1/` and these segments.
    pub(super) fn v1(segments: &[&'a str]) -> Self {
        let segments = std::iter::once("v1").chain(segments.iter().copied()).collect();
        Route { segments, query: Vec::new() }
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
    /// For the service at this address.
    pub(super) fn new(base: Url, key: ApiKeySecret) -> Self {
        Client { base, key }
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
        let url = route.url(&self.base);
        let exchange = exchange(&url, method, &self.key, body);
        let answer = tokio::select! {
            answer = exchange => answer,
            () = SystemClock.sleep(LIMIT) => Err(format!("nothing came within {} s", LIMIT.as_secs())),
        };
        let (status, body) = answer.map_err(|why| Unreachable { url: self.base.to_string(), why })?;
        if !(200..300).contains(&status) {
            return Err(CliError::Problem(Problem::read(status, &body)));
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|_| CliError::Problem(Problem::read(status, b"")))
    }
}

/// One request on a connection of its own; the error says in words why no whole answer came.
async fn exchange(
    url: &Url,
    method: Method,
    key: &ApiKeySecret,
    body: Option<&Value>,
) -> std::result::Result<(u16, Bytes), String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(80);
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let mut request = Request::builder().method(method).uri(target).header("host", format!("{host}:{port}"));
    let mut bearer = http::HeaderValue::from_str(&format!("Bearer {}", key.expose())).map_err(|e| words(&e))?;
    bearer.set_sensitive(true);
    request = request.header("authorization", bearer).header("accept", "application/json");
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = request.body(Full::new(Bytes::from(body))).map_err(|e| words(&e))?;
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await.map_err(|e| words(&e))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| words(&e))?;
    let mut connection = std::pin::pin!(connection);
    let mut talk = std::pin::pin!(async move {
        let (head, body) = sender.send_request(request).await.map_err(|e| words(&e))?.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|e| words(&e))?.to_bytes();
        Ok((head.status.as_u16(), body))
    });
    tokio::select! {
        answer = &mut talk => answer,
        // The connection may end before its last bytes have been taken out of it.
        _ = &mut connection => talk.await,
    }
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
