//! HTTP/1.1 by hand on a TCP socket: one request, one answer, one connection.
//!
//! A server library would hide exactly what the judge must know and do: when the last byte of a request came, when
//! the last byte of an answer left, that the client has gone, and how to stop in the middle of a byte-exact answer.
//! It understands what browsers, curl and HTTP libraries send to a small server, and closes after each answer.

use std::fmt::Write as _;
use std::io::{self, ErrorKind};

use rustix::net::{RecvFlags, Shutdown};
use tokio::net::TcpStream;

/// Longest request head taken.
const MAX_HEAD: usize = 64 << 10;
/// Longest request body taken.
const MAX_BODY: usize = 1 << 20;

/// A request, read whole.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn query(&self) -> Form {
        Form::parse(self.query.as_bytes())
    }

    /// The body as form fields; nothing when it is of another type than RFC 6749 has it.
    pub(crate) fn form(&self) -> Form {
        if self.is_of_type("application/x-www-form-urlencoded") { Form::parse(&self.body) } else { Form::default() }
    }

    /// The body as fields, whether it is a form or a JSON object and whatever it calls itself.
    pub(crate) fn fields(&self) -> Form {
        let json = self.is_of_type("application/json") || self.body.trim_ascii_start().starts_with(b"{");
        if json { Form::from_json(&self.body) } else { Form::parse(&self.body) }
    }

    fn is_of_type(&self, name: &str) -> bool {
        let written = self.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
        written.trim().eq_ignore_ascii_case(name)
    }

    pub(crate) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    }

    /// Whether a person's browser asked, who wants a page and not JSON.
    pub(crate) fn wants_html(&self) -> bool {
        self.header("accept").is_some_and(|accept| accept.contains("text/html"))
    }
}

/// Form fields in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    fn parse(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    fn from_json(bytes: &[u8]) -> Self {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(bytes).unwrap_or_default();
        let text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        Self(object.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, text(v))).collect())
    }

    /// The field's value, if it is there and not empty (RFC 6749 §3.1: empty is as if omitted).
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub(crate) fn parse_as<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        self.get(name).map(str::parse).transpose().map_err(|_| format!("`{name}` cannot be read"))
    }

    pub(crate) fn repeats(&self, name: &str) -> bool {
        self.0.iter().filter(|(of, _)| of == name).count() > 1
    }

    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| matches!(value, "1" | "true" | "yes" | "on"))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

/// An answer before it is bytes.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("content-type".to_owned(), content_type.to_owned())], body: body.into() }
    }

    pub(crate) fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::new(status, "application/json", value.to_string()).with("cache-control", "no-store")
    }

    pub(crate) fn html(status: u16, page: String) -> Self {
        Self::new(status, "text/html; charset=utf-8", page)
            .with("cache-control", "no-store")
            .with("referrer-policy", "no-referrer")
            .with("x-content-type-options", "nosniff")
            .with("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
    }

    pub(crate) fn redirect(status: u16, location: &str) -> Self {
        Self::new(status, "text/plain", "").with("location", location).with("cache-control", "no-store")
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The answer as bytes and the place where its body begins; `length` is the declared one.
    pub(crate) fn bytes(&self, length: usize) -> (Vec<u8>, usize) {
        let reason = http::StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason.unwrap_or("Unknown"));
        for (name, value) in &self.headers {
            let value = value.replace(['\r', '\n'], " ");
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = write!(head, "content-length: {length}\r\nconnection: close\r\n\r\n");
        let start = head.len();
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        (bytes, start)
    }
}

/// Why no request could be read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The client left, or the socket failed.
    Gone,
    /// What came is not a request that this server takes.
    Bad(u16),
}

/// Reads one request, whole.
pub(crate) async fn read_request(stream: &TcpStream) -> Result<Request, Unread> {
    let mut bytes = Vec::new();
    let (mut request, mut rest, framing) = loop {
        if let Some(parsed) = parse_head(&bytes)? {
            break parsed;
        }
        if bytes.len() > MAX_HEAD {
            return Err(Unread::Bad(431));
        }
        read_more(stream, &mut bytes).await?;
    };
    match framing {
        Framing::Length(length) => {
            while rest.len() < length {
                read_more(stream, &mut rest).await?;
            }
            rest.truncate(length);
            request.body = rest;
        }
        Framing::Chunked => request.body = read_chunks(stream, rest).await?,
    }
    Ok(request)
}

enum Framing {
    Length(usize),
    Chunked,
}

fn parse_head(bytes: &[u8]) -> Result<Option<(Request, Vec<u8>, Framing)>, Unread> {
    let mut slots = [httparse::EMPTY_HEADER; 100];
    let mut head = httparse::Request::new(&mut slots);
    let httparse::Status::Complete(end) = head.parse(bytes).map_err(|_| Unread::Bad(400))? else {
        return Ok(None);
    };
    let target = head.path.unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let request = Request {
        method: head.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: head.headers.iter().map(|header| (header.name.to_owned(), text(header.value))).collect(),
        body: Vec::new(),
    };
    let framing = if request.header("transfer-encoding").is_some() {
        Framing::Chunked
    } else {
        let length = request.header("content-length").map_or(Ok(0), str::parse).map_err(|_| Unread::Bad(400))?;
        if length > MAX_BODY {
            return Err(Unread::Bad(413));
        }
        Framing::Length(length)
    };
    Ok(Some((request, bytes[end..].to_vec(), framing)))
}

async fn read_chunks(stream: &TcpStream, mut rest: Vec<u8>) -> Result<Vec<u8>, Unread> {
    let mut body = Vec::new();
    loop {
        match httparse::parse_chunk_size(&rest).map_err(|_| Unread::Bad(400))? {
            httparse::Status::Complete((_, 0)) => return Ok(body),
            httparse::Status::Complete((start, size)) => {
                let end = start + usize::try_from(size).map_err(|_| Unread::Bad(413))?.min(MAX_BODY + 1);
                if body.len() + end > MAX_BODY {
                    return Err(Unread::Bad(413));
                }
                while rest.len() < end + 2 {
                    read_more(stream, &mut rest).await?;
                }
                body.extend_from_slice(&rest[start..end]);
                rest.drain(..end + 2);
            }
            httparse::Status::Partial => read_more(stream, &mut rest).await?,
        }
    }
}

async fn read_more(stream: &TcpStream, into: &mut Vec<u8>) -> Result<(), Unread> {
    let mut buffer = [0_u8; 8192];
    loop {
        stream.readable().await.map_err(|_| Unread::Gone)?;
        match stream.try_read(&mut buffer) {
            Ok(0) => return Err(Unread::Gone),
            Ok(count) => {
                into.extend_from_slice(&buffer[..count]);
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return Err(Unread::Gone),
        }
    }
}

/// Writes all of `bytes`: when it returns, the kernel has the last of them.
pub(crate) async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Says that nothing more will be written.
pub(crate) fn finish_writing(stream: &TcpStream) {
    // It fails only when the client has gone, which the next read tells.
    let _ = rustix::net::shutdown(stream, Shutdown::Write);
}

/// How the client ended its side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// It closed, with everything read that it had been sent.
    Closed,
    /// It closed with bytes unread, or was told to reset.
    Reset,
}

/// Waits until the client has gone; whatever it still sends is dropped.
pub(crate) async fn gone(stream: &TcpStream) -> Gone {
    let mut ignored = [0_u8; 1024];
    loop {
        if stream.readable().await.is_err() {
            return Gone::Reset;
        }
        match stream.try_read(&mut ignored) {
            Ok(0) => return Gone::Closed,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return Gone::Reset,
        }
    }
}

/// Whether the client has gone, asked of the kernel itself without waiting: what the runtime has not yet noticed counts too.
pub(crate) fn has_gone(stream: &TcpStream) -> Option<Gone> {
    match rustix::net::recv(stream, &mut [0_u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, 0)) => Some(Gone::Closed),
        Ok(_) => None,
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => None,
        Err(_) => Some(Gone::Reset),
    }
}
