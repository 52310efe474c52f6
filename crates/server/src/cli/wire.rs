//! The network between a command and a running service: one HTTP/1.1 request on a connection of its own, http or https.
//!
//! Not the outlet to providers (`crate::provider`): the operator names the address here, and it may well be on loopback.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use evergrant_core::secret::ApiKeySecret;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use super::client::MAX_BODY;
use super::error::{CliError, Result};
use crate::clock::{Clock as _, SystemClock};

/// What an answer is here: its status and its whole body; or why there is none, in words.
type Answer = std::result::Result<(u16, Bytes), String>;

/// The way to a service.
#[derive(Clone)]
pub(crate) struct Wire {
    tls: TlsConnector,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<wire>")
    }
}

fn words(error: &dyn fmt::Display) -> String {
    error.to_string()
}

impl Wire {
    /// Trusts the operating system's certificate authorities, or Mozilla's where it has none.
    pub(super) fn new() -> Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|why| CliError::Usage(format!("TLS cannot be set up: {why}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Wire { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// One request, one answer.
    pub(super) async fn exchange(&self, url: &Url, request: Request<Full<Bytes>>, patience: Duration) -> Answer {
        tokio::select! {
            answer = self.talk(url, request) => answer,
            () = SystemClock.sleep(patience) => Err(format!("nothing came within {} s", patience.as_secs())),
        }
    }

    async fn talk(&self, url: &Url, request: Request<Full<Bytes>>) -> Answer {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default().unwrap_or(80);
        let stream = TcpStream::connect((host.as_str(), port)).await.map_err(|why| words(&why))?;
        if url.scheme() != "https" {
            return converse(stream, request).await;
        }
        let name = ServerName::try_from(host).map_err(|why| words(&why))?;
        converse(self.tls.connect(name, stream).await.map_err(|why| words(&why))?, request).await
    }
}

/// The request as it goes over the wire.
pub(super) fn request(
    url: &Url,
    method: Method,
    key: &ApiKeySecret,
    body: Option<&Value>,
) -> std::result::Result<Request<Full<Bytes>>, String> {
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let mut bearer = http::HeaderValue::from_str(&format!("Bearer {}", key.expose())).map_err(|why| words(&why))?;
    bearer.set_sensitive(true);
    let mut request = Request::builder().method(method).uri(target).header("host", host);
    request = request.header("authorization", bearer).header("accept", "application/json");
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = body.map(Value::to_string).unwrap_or_default();
    request.body(Full::new(Bytes::from(body))).map_err(|why| words(&why))
}

async fn converse<S>(stream: S, request: Request<Full<Bytes>>) -> Answer
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|why| words(&why))?;
    let mut connection = std::pin::pin!(connection);
    let mut talk = std::pin::pin!(async move {
        let (head, body) = sender.send_request(request).await.map_err(|why| words(&why))?.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|why| words(&why))?.to_bytes();
        Ok((head.status.as_u16(), body))
    });
    tokio::select! {
        answer = &mut talk => answer,
        // The connection may end before its last bytes have been taken out of it.
        _ = &mut connection => talk.await,
    }
}
