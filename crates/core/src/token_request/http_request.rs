//! One HTTP request with secrets in it: wiped when dropped, mute when shown.

use std::collections::BTreeMap;
use std::fmt;

use url::Url;
use zeroize::Zeroizing;

use super::USER_AGENT;
use crate::provider::TokenFormat;

/// The methods that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// `DELETE`.
    Delete,
}

impl Method {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Delete => "DELETE",
        }
    }
}

/// A request, ready to be sent. Its `Debug` shows the method and the address without its query.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// The whole address; may hold secrets in its query.
    pub url: Zeroizing<String>,
    /// Headers, names in lower case, each name once; values may be secret. `host` and `content-length` are the sender's.
    pub headers: Vec<(String, Zeroizing<String>)>,
    body: Zeroizing<Vec<u8>>,
}

impl HttpRequest {
    /// The body; empty for a GET.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl HttpRequest {
    /// A POST of a JSON document without secrets.
    pub(super) fn post_json(url: &str, document: &serde_json::Value) -> Self {
        let mut draft = Draft::post(url);
        draft.header("content-type", "application/json");
        let body = Zeroizing::new(document.to_string().into_bytes());
        HttpRequest { body, ..draft.build(TokenFormat::Json) }
    }
}

impl HttpRequest {
    /// A POST of a JSON document to somebody who is no provider: a receiver of webhooks or a chat. Header names in lower case.
    pub fn message(url: &str, headers: Vec<(String, Zeroizing<String>)>, document: Vec<u8>) -> Self {
        let mut all = vec![
            ("content-type".to_owned(), Zeroizing::new("application/json".to_owned())),
            ("user-agent".to_owned(), Zeroizing::new(USER_AGENT.to_owned())),
        ];
        all.extend(headers);
        HttpRequest {
            method: Method::Post,
            url: Zeroizing::new(url.to_owned()),
            headers: all,
            body: Zeroizing::new(document),
        }
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.url.split(['?', '#']).next().unwrap_or_default();
        // A path can hold a secret too; only the host is sure not to.
        let host = Url::parse(address).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        write!(f, "<{} to {host}, {} bytes>", self.method.as_str(), self.body.len())
    }
}

/// A request in the making.
pub(super) struct Draft<'a> {
    method: Method,
    names: Option<&'a BTreeMap<String, String>>,
    url: String,
    params: Vec<(String, Zeroizing<String>)>,
    headers: Vec<(String, Zeroizing<String>)>,
}

impl<'a> Draft<'a> {
    pub(super) fn post(url: &str) -> Self {
        Draft::new(Method::Post, url)
    }

    pub(super) fn get(url: &str) -> Self {
        Draft::new(Method::Get, url)
    }

    pub(super) fn new(method: Method, url: &str) -> Self {
        let mut draft = Draft { method, names: None, url: url.to_owned(), params: Vec::new(), headers: Vec::new() };
        draft.header("accept", "application/json");
        draft.header("user-agent", USER_AGENT);
        draft
    }

    /// What the provider calls parameters of the standard; an empty name leaves one out.
    pub(super) fn names(mut self, names: &'a BTreeMap<String, String>) -> Self {
        self.names = Some(names);
        self
    }

    /// Sets a parameter of the standard, under the provider's name for it; one of the same name is replaced.
    pub(super) fn param(&mut self, name: &str, value: &str) {
        match self.names.and_then(|names| names.get(name)).map_or(name, String::as_str) {
            "" => {}
            name => self.own_param(name, value),
        }
    }

    /// Sets a parameter of the provider's own; one of the same name is replaced.
    pub(super) fn own_param(&mut self, name: &str, value: &str) {
        set(&mut self.params, name.to_owned(), value);
    }

    /// Sets a header; one of the same name is replaced.
    pub(super) fn header(&mut self, name: &str, value: &str) {
        set(&mut self.headers, name.to_ascii_lowercase(), value);
    }

    pub(super) fn secret_header(&mut self, name: &str, parts: &[&str]) {
        self.header(name, &Zeroizing::new(parts.concat()));
    }

    pub(super) fn build(mut self, format: TokenFormat) -> HttpRequest {
        let has_body = self.method != Method::Get;
        let body = match format {
            TokenFormat::Json if has_body => self.json(),
            TokenFormat::Form if has_body && !self.params.is_empty() => {
                Zeroizing::new(self.encoded().as_bytes().to_vec())
            }
            _ => {
                self.put_into_query();
                Zeroizing::default()
            }
        };
        if !body.is_empty() {
            let form = format == TokenFormat::Form;
            let kind = if form { "application/x-www-form-urlencoded" } else { "application/json" };
            if !self.headers.iter().any(|(name, _)| name == "content-type") {
                self.header("content-type", kind);
            }
        }
        HttpRequest { method: self.method, url: Zeroizing::new(self.url), headers: self.headers, body }
    }

    fn encoded(&self) -> Zeroizing<String> {
        let pairs = self.params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Zeroizing::new(form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish())
    }

    fn json(&self) -> Zeroizing<Vec<u8>> {
        let object: BTreeMap<&str, &str> =
            self.params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        // A map of texts always becomes JSON.
        Zeroizing::new(serde_json::to_vec(&object).unwrap_or_default())
    }

    fn put_into_query(&mut self) {
        if !self.params.is_empty() {
            let joint = if self.url.contains('?') { '&' } else { '?' };
            self.url = format!("{}{joint}{}", self.url, self.encoded().as_str());
        }
    }
}

fn set(pairs: &mut Vec<(String, Zeroizing<String>)>, name: String, value: &str) {
    let value = Zeroizing::new(value.to_owned());
    match pairs.iter_mut().find(|(known, _)| *known == name) {
        Some(pair) => pair.1 = value,
        None => pairs.push((name, value)),
    }
}
