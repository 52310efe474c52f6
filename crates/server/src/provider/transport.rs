//! The wire: DNS, TCP, TLS, one HTTP/1.1 request, one answer, with limits on each.
//!
//! No redirect is followed, nothing is retried, nothing is decompressed, no proxy is taken from the environment.
//! What an error says of the request matters more than the error: [`Unsent`] means that the provider cannot have seen
//! it, [`SendError::Lost`] that it may have.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use evergrant_core::token_request::HttpRequest;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use super::address::{AddressPolicy, Refused};
use super::outlet::{OpenLine, SharedOutlet};
use crate::clock::SharedClock;

/// What one call may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Name look-up, TCP and TLS together.
    pub connect: Duration,
    /// From the first byte sent to the whole answer.
    pub answer: Duration,
    /// The longest answer body that is read, in bytes.
    pub body: usize,
}

impl Limits {
    /// Token endpoints: 10 s, 90 s, 256 KiB.
    pub const TOKEN_ENDPOINT: Limits =
        Limits { connect: Duration::from_secs(10), answer: Duration::from_secs(90), body: 256 * 1024 };
}

/// The request provably never left whole.
#[derive(Debug, thiserror::Error)]
pub enum Unsent {
    /// The endpoint's address is not one that can be called.
    #[error("the endpoint {host:?} cannot be called: {why}")]
    BadEndpoint {
        /// The host, without path and query.
        host: String,
        /// Why.
        why: &'static str,
    },
    /// The name did not resolve.
    #[error("the name {host} does not resolve")]
    Dns {
        /// The host.
        host: String,
    },
    /// The address may not be reached.
    #[error("{host} is not called: {refused}")]
    Refused {
        /// The host.
        host: String,
        /// Which address, and what would allow it.
        refused: Refused,
    },
    /// Nothing is sent to anybody.
    #[error("nothing is sent to {host} before the operator has adopted the database: `evergrant adopt`")]
    Held {
        /// The host.
        host: String,
    },
    /// TCP or TLS failed.
    #[error("no connection to {host}: {why}")]
    Connect {
        /// The host.
        host: String,
        /// What failed.
        why: String,
    },
    /// Connecting took too long.
    #[error("no connection to {host} within {} s", limit.as_secs_f32())]
    Timeout {
        /// The host.
        host: String,
        /// The limit that passed.
        limit: Duration,
    },
}

/// A sending that brought no whole answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The connection was closed before the request was taken.
    #[error("the connection was closed before the request was sent")]
    Unsent,
    /// The request may have arrived, and no whole answer came.
    #[error("{why}")]
    Lost {
        /// What happened.
        why: String,
        /// As much of the answer as came, if its head came at all.
        partial: Option<Answer>,
    },
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// Makes connections to providers.
#[derive(Clone, Debug)]
pub struct Transport(Way);

#[derive(Clone, Debug)]
enum Way {
    Wire(Wire),
    Outlet(SharedOutlet),
}

#[derive(Clone, Debug)]
struct Wire {
    addresses: AddressPolicy,
    tls: Arc<rustls::ClientConfig>,
    clock: SharedClock,
    /// While set, no connection is made: the database waits for the operator to adopt it.
    held: Arc<AtomicBool>,
}

/// The operating system offers no certificate authorities, and none are built in.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up: {0}")]
pub struct TlsSetup(#[from] rustls::Error);

impl Transport {
    /// A transport that trusts the operating system's certificate authorities, or Mozilla's where it has none.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(addresses: AddressPolicy, clock: SharedClock) -> Result<Self, TlsSetup> {
        let mut roots = rustls::RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(native.certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Transport(Way::Wire(Wire { addresses, tls: Arc::new(config), clock, held: Arc::default() })))
    }

    /// Another way than the wire.
    pub fn by(outlet: SharedOutlet) -> Self {
        Transport(Way::Outlet(outlet))
    }

    /// Lets nothing out, or everything again: all that goes to a provider over the wire goes through here.
    pub fn hold(&self, held: bool) {
        if let Way::Wire(wire) = &self.0 {
            wire.held.store(held, Ordering::Release);
        }
    }

    /// Looks up, connects and shakes hands; sends nothing of HTTP.
    ///
    /// # Errors
    /// [`Unsent`], always: the provider has seen no request.
    pub async fn connect(&self, url: &Url, limits: Limits) -> Result<Line, Unsent> {
        let wire = match &self.0 {
            Way::Wire(wire) => wire,
            Way::Outlet(outlet) => return Ok(Line(Open::Outlet(outlet.connect(url, limits).await?))),
        };
        let host = url.host_str().unwrap_or_default().to_owned();
        if wire.held.load(Ordering::Acquire) {
            return Err(Unsent::Held { host });
        }
        tokio::select! {
            line = wire.connect_unbounded(url, &host, limits) => line,
            () = wire.clock.sleep(limits.connect) => Err(Unsent::Timeout { host, limit: limits.connect }),
        }
    }

    /// Connects, sends one request that spends nothing (userinfo, revocation) and returns its answer.
    ///
    /// # Errors
    /// [`SendError`]; a failed connection is [`SendError::Lost`] without an answer, in words.
    pub async fn call(&self, request: HttpRequest, limits: Limits) -> Result<Answer, SendError> {
        let lost = |why: String| SendError::Lost { why, partial: None };
        let url = Url::parse(&request.url).map_err(|_| lost("the endpoint's address is not a URL".to_owned()))?;
        let line = self.connect(&url, limits).await.map_err(|unsent| lost(unsent.to_string()))?;
        line.send(request).await
    }
}

impl Wire {
    async fn connect_unbounded(&self, url: &Url, host: &str, limits: Limits) -> Result<Line, Unsent> {
        let bad = |why| Unsent::BadEndpoint { host: host.to_owned(), why };
        let tls = match url.scheme() {
            "https" => true,
            "http" if self.addresses == AddressPolicy::PrivateAllowed => false,
            _ => return Err(bad("only https is called, or http where private networks are allowed")),
        };
        let port = url.port_or_known_default().ok_or_else(|| bad("no port"))?;
        let tcp = self.tcp(host, port).await?;
        let failed = |why: &dyn std::fmt::Display| Unsent::Connect { host: host.to_owned(), why: why.to_string() };
        let sender = if tls {
            let name =
                ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(|_| bad("not a host name"))?;
            let stream = TlsConnector::from(self.tls.clone()).connect(name, tcp).await.map_err(|why| failed(&why))?;
            handshake(stream).await.map_err(|why| failed(&why))?
        } else {
            handshake(tcp).await.map_err(|why| failed(&why))?
        };
        Ok(Line(Open::Wire(Socket { sender, limits, clock: self.clock.clone() })))
    }

    async fn tcp(&self, host: &str, port: u16) -> Result<TcpStream, Unsent> {
        let dns = |_| Unsent::Dns { host: host.to_owned() };
        let name = host.trim_matches(['[', ']']).to_owned();
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name, port)).await.map_err(dns)?.collect();
        let mut last = Unsent::Dns { host: host.to_owned() };
        for address in addresses {
            if let Err(refused) = self.addresses.check(address.ip()) {
                last = Unsent::Refused { host: host.to_owned(), refused };
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // A request is one small write: waiting to fill a packet only adds delay.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(why) => last = Unsent::Connect { host: host.to_owned(), why: why.to_string() },
            }
        }
        Err(last)
    }
}

type Sender = http1::SendRequest<Full<Bytes>>;

async fn handshake<S>(stream: S) -> Result<Sender, hyper::Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) =
        http1::Builder::new().max_buf_size(64 * 1024).handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await?;
    #[expect(clippy::disallowed_methods, reason = "drives the socket; ends when the sender is dropped")]
    tokio::spawn(connection);
    Ok(sender)
}

/// A connection that is ready for one request.
#[derive(Debug)]
pub struct Line(Open);

#[derive(Debug)]
enum Open {
    Wire(Socket),
    Outlet(Box<dyn OpenLine>),
}

#[derive(Debug)]
struct Socket {
    sender: Sender,
    limits: Limits,
    clock: SharedClock,
}

impl Line {
    /// Sends one request and waits for its whole answer. When this returns, the connection is closed.
    ///
    /// # Errors
    /// [`SendError`], which says whether the provider may have seen the request.
    pub async fn send(self, request: HttpRequest) -> Result<Answer, SendError> {
        match self.0 {
            Open::Wire(socket) => socket.send(request).await,
            Open::Outlet(line) => line.send(request).await,
        }
    }
}

impl Socket {
    async fn send(mut self, request: HttpRequest) -> Result<Answer, SendError> {
        let request = build(&request)?;
        let clock = self.clock.clone();
        let mut progress = Progress::default();
        let limits = self.limits;
        tokio::select! {
            ended = exchange(&mut self.sender, request, limits.body, &mut progress) => match ended {
                Ok(()) => progress.into_answer().ok_or_else(|| SendError::Lost { why: NO_HEAD.to_owned(), partial: None }),
                Err(Broken::Unsent) => Err(SendError::Unsent),
                Err(Broken::Lost(why)) => Err(SendError::Lost { why, partial: progress.into_answer() }),
            },
            () = clock.sleep(limits.answer) => {
                let why = format!("no whole answer within {} s", limits.answer.as_secs_f32());
                Err(SendError::Lost { why, partial: progress.into_answer() })
            }
        }
    }
}

const NO_HEAD: &str = "the answer had no head";

/// As much of an answer as has come.
#[derive(Default)]
struct Progress {
    head: Option<(u16, Vec<(String, String)>)>,
    body: Vec<u8>,
}

impl Progress {
    fn into_answer(self) -> Option<Answer> {
        let (status, headers) = self.head?;
        Some(Answer { status, headers, body: self.body.into() })
    }
}

enum Broken {
    Unsent,
    Lost(String),
}

fn build(request: &HttpRequest) -> Result<http::Request<Full<Bytes>>, SendError> {
    let url = Url::parse(&request.url).map_err(|_| SendError::Unsent)?;
    let authority = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => return Err(SendError::Unsent),
    };
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let mut builder = http::Request::builder().method(request.method.as_str()).uri(path).header("host", authority);
    for (name, value) in &request.headers {
        let mut value = http::HeaderValue::from_str(value).map_err(|_| SendError::Unsent)?;
        value.set_sensitive(name == "authorization");
        builder = builder.header(name.as_str(), value);
    }
    let body = Full::new(Bytes::copy_from_slice(request.body()));
    builder.header("connection", "close").body(body).map_err(|_| SendError::Unsent)
}

async fn exchange(
    sender: &mut Sender,
    request: http::Request<Full<Bytes>>,
    body_limit: usize,
    progress: &mut Progress,
) -> Result<(), Broken> {
    let response = match sender.try_send_request(request).await {
        Ok(response) => response,
        Err(mut failed) => {
            if failed.take_message().is_some() {
                return Err(Broken::Unsent);
            }
            return Err(Broken::Lost(format!("the connection broke before an answer came: {}", failed.error())));
        }
    };
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = response.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    progress.head = Some((response.status().as_u16(), headers));
    let mut stream = response.into_body();
    while let Some(frame) = stream.frame().await {
        let come = progress.body.len();
        let frame = frame.map_err(|why| Broken::Lost(format!("the answer broke off after {come} bytes: {why}")))?;
        progress.body.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        if progress.body.len() > body_limit {
            progress.body.truncate(body_limit);
            return Err(Broken::Lost(format!("the answer is longer than {body_limit} bytes")));
        }
    }
    Ok(())
}
