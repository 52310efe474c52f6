//! A small HTTP client for tests: loopback and plain `http` only, one connection for each request, JSON in and out.
//!
//! It follows nothing, retries nothing and remembers nothing; [`crate::browser`] is for that.

use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use url::{Host, Url};

use crate::clock::pause;

/// Asks one server, under one base address, perhaps with one key.
#[derive(Clone)]
pub struct Http {
    base: String,
    headers: Vec<(String, String)>,
    limit: Duration,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why no whole answer came.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address is none that this client may call.
    #[error("`{0}` is not a plain http address on loopback")]
    Address(String),
    /// A header or the target cannot be sent.
    #[error("the request cannot be written: {0}")]
    Request(#[from] http::Error),
    /// No connection.
    #[error("no connection: {0}")]
    Connect(#[from] std::io::Error),
    /// The connection ended before the whole answer was there.
    #[error("no whole answer: {0}")]
    Answer(#[from] hyper::Error),
    /// The time was over.
    #[error("no whole answer within {0:?}")]
    TimedOut(Duration),
    /// What was read is not what was expected.
    #[error("unexpected content: {0}")]
    Content(String),
}

impl Reply {
    /// The body as JSON; `null` when it is none, so that a test's comparison shows what came instead.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value, empty when there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Http {
    /// For this base address (`http://127.0.0.1:8420`), with a limit of 60 seconds for each answer.
    #[must_use]
    pub fn new(base: &str) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), headers: Vec::new(), limit: Duration::from_secs(60) }
    }

    /// The same with `Authorization: Bearer`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        let value = format!("Bearer {token}");
        self.header("authorization", &value)
    }

    /// The same with HTTP Basic, both halves form-encoded as RFC 6749 §2.3.1 wants it.
    #[must_use]
    pub fn basic(self, user: &str, password: &str) -> Self {
        use base64::Engine as _;
        let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let joined = format!("{}:{}", encode(user), encode(password));
        let value = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(joined));
        self.header("authorization", &value)
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with another limit.
    #[must_use]
    pub fn limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// `GET`.
    ///
    /// # Errors
    /// When no whole answer comes; a status of 400 or more is an answer.
    pub async fn get(&self, path: &str) -> Result<Reply, HttpError> {
        self.send(Method::GET, path, None, Bytes::new()).await
    }

    /// `DELETE`.
    ///
    /// # Errors
    /// As [`Http::get`].
    pub async fn delete(&self, path: &str) -> Result<Reply, HttpError> {
        self.send(Method::DELETE, path, None, Bytes::new()).await
    }

    /// `POST` of JSON.
    ///
    /// # Errors
    /// As [`Http::get`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Reply, HttpError> {
        self.json(Method::POST, path, body).await
    }

    /// Any method with JSON.
    ///
    /// # Errors
    /// As [`Http::get`].
    pub async fn json(&self, method: Method, path: &str, body: &Value) -> Result<Reply, HttpError> {
        self.send(method, path, Some("application/json"), body.to_string().into()).await
    }

    /// `POST` of form fields.
    ///
    /// # Errors
    /// As [`Http::get`].
    pub async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Result<Reply, HttpError> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send(Method::POST, path, Some("application/x-www-form-urlencoded"), body.into()).await
    }

    /// Anything: `path` is under the base, or a whole address.
    ///
    /// # Errors
    /// As [`Http::get`].
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: Bytes,
    ) -> Result<Reply, HttpError> {
        let address = if path.starts_with("http://") { path.to_owned() } else { format!("{}{path}", self.base) };
        let url = loopback(&address).ok_or_else(|| HttpError::Address(address.clone()))?;
        let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80));
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let mut request = Request::builder().method(method).uri(target).header("host", format!("{host}:{port}"));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let request = request.body(Full::new(body))?;
        tokio::select! {
            reply = exchange(host.trim_matches(['[', ']']), port, request) => reply,
            () = pause(self.limit) => Err(HttpError::TimedOut(self.limit)),
        }
    }
}

/// The address, if it is plain http on loopback.
pub(crate) fn loopback(address: &str) -> Option<Url> {
    let url = Url::parse(address).ok()?;
    let local = match url.host()? {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(ip) => IpAddr::V4(ip).is_loopback(),
        Host::Ipv6(ip) => IpAddr::V6(ip).is_loopback(),
    };
    (local && url.scheme() == "http").then_some(url)
}

async fn exchange(host: &str, port: u16, request: Request<Full<Bytes>>) -> Result<Reply, HttpError> {
    let stream = TcpStream::connect((host, port)).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut connection = pin!(connection);
    let mut talk = pin!(async move {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, body })
    });
    tokio::select! {
        reply = &mut talk => reply,
        // The connection may end before its last bytes have been taken out of it.
        _ = &mut connection => talk.await,
    }
}
