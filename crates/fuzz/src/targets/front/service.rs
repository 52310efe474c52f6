//! A service of its own for each thread, on a folder in memory where there is one; called without a socket.

use std::cell::RefCell;
use std::path::Path;

use axum::body::Body;
use evergrant::app::App;
use evergrant::config::{Config, Environment, Flags};
use evergrant::service::access::Caller;
use evergrant_core::id::IntegrationName;
use evergrant_store::{EventFilter, StatusCounts};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

/// Stands in everything that only the operator may see.
pub const FOREIGN: &str = "foreign-mark-5b1e";

/// After so many calls another service is opened: what has gathered in its database must not decide what comes.
const CALLS: u32 = 2000;

/// The service.
pub struct Service {
    runtime: Runtime,
    app: App,
    router: axum::Router,
    /// Its address.
    pub url: String,
    calls: u32,
    _folder: TempDir,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Where it leads.
    pub location: String,
    /// Its body; of a stream nothing.
    pub body: String,
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// With the service of this thread.
pub fn with_service(then: impl FnOnce(&mut Service)) {
    thread_local! {
        static SERVICE: RefCell<Option<Service>> = const { RefCell::new(None) };
    }
    SERVICE.with_borrow_mut(|kept| {
        if kept.as_ref().is_some_and(|service| service.calls >= CALLS) {
            kept.take().into_iter().for_each(Service::close);
        }
        then(kept.get_or_insert_with(Service::open));
    });
}

impl Service {
    fn open() -> Self {
        let shared = Path::new("/dev/shm");
        let folder = if shared.is_dir() { TempDir::new_in(shared) } else { TempDir::new() };
        let folder = folder.expect("a folder");
        let file = folder.path().join("evergrant.toml");
        let text = format!(
            "data_dir = '{}'\nlisten = '127.0.0.1:1'\n[audit]\nreads = 'off'\n",
            folder.path().join("data").display()
        );
        std::fs::write(&file, text).expect("the folder can be written");
        let flags = Flags { config: Some(file), ..Flags::default() };
        let config = Config::load(&flags, &Environment::default()).expect("a good configuration");
        let url = config.public_url();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let app = runtime.block_on(App::open(config)).expect("the service opens");
        let router = app.router();
        let mut service = Service { runtime, app, router, url, calls: 0, _folder: folder };
        service.fill();
        service
    }

    fn fill(&mut self) {
        let foreign = format!(
            r#"{{"name":"{FOREIGN}","provider":{{"name":"F","authorize_url":"https://f.example/a","token_url":"https://f.example/t"}},"client_id":"1"}}"#
        );
        let connection = format!(
            r#"{{"integration":"{FOREIGN}","subject":"nobody","access_token":"at-0123456789","metadata":{{"mark":"{FOREIGN}"}}}}"#
        );
        for (path, body) in [
            (
                "/v1/integrations",
                r#"{"name":"acme","provider":{"name":"Acme","authorize_url":"https://acme.example/a","token_url":"https://acme.example/t"},"client_id":"1"}"#,
            ),
            (
                "/v1/integrations",
                r#"{"name":"pasted","provider":{"name":"Pasted","kind":"static","renewal":"none"},"client_id":"1"}"#,
            ),
            ("/v1/integrations", foreign.as_str()),
            ("/v1/connections", connection.as_str()),
            ("/v1/connections", r#"{"integration":"acme","subject":"ann","access_token":"at-0123456789"}"#),
            ("/v1/connections", r#"{"integration":"acme","subject":"bob","access_token":"at-0123456789"}"#),
        ] {
            let headers = [("content-type", "application/json")];
            let reply = self.send_as(&Caller::operator(), Method::POST, path, &headers, body.as_bytes());
            let reply = reply.expect("a good request");
            assert_eq!(reply.status, StatusCode::CREATED, "{path}: {}", reply.body);
        }
    }

    fn close(self) {
        let Service { runtime, app, router, .. } = self;
        drop(router);
        runtime.block_on(app.close());
    }

    /// Sends a request as nobody. None where no client could write it.
    pub fn send(&mut self, method: Method, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Reply> {
        self.call(request(method, path, headers, body)?)
    }

    /// Sends a request as this caller.
    pub fn send_as(
        &mut self,
        caller: &Caller,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Reply> {
        let mut request = request(method, path, headers, body)?;
        request.extensions_mut().insert(caller.clone());
        self.call(request)
    }

    fn call(&mut self, request: Request<Body>) -> Option<Reply> {
        self.calls += 1;
        let router = self.router.clone();
        self.runtime.block_on(async move {
            let response = match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            let text = |name: &str| {
                response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
            };
            let (location, status) = (text("location"), response.status());
            let endless = text("content-type").starts_with("text/event-stream");
            let body =
                if endless { Vec::new() } else { response.into_body().collect().await.ok()?.to_bytes().to_vec() };
            Some(Reply { status, location, body: String::from_utf8_lossy(&body).into_owned() })
        })
    }

    /// What is kept, as far as a refused request could have changed it: connections by status and the latest event.
    pub fn kept(&self) -> (Vec<StatusCounts>, usize, Option<String>) {
        let store = &self.app.service().store;
        let counts = ["acme", "pasted", FOREIGN]
            .map(|name| store.status_counts(&name.parse::<IntegrationName>().expect("a name")));
        let latest = self.runtime.block_on(store.events(EventFilter::default(), None, 1)).expect("a read");
        let pending = self.runtime.block_on(store.pending_grants()).expect("a read");
        (counts.to_vec(), pending.len(), latest.items.first().map(|event| event.id.to_string()))
    }
}

fn request(method: Method, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Request<Body>> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_vec())).ok()
}
