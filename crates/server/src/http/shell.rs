//! What every handler has at hand: the use cases, and the few facts of the front door itself.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::service::Service;

/// Event streams at once; each holds a connection and a task for as long as somebody follows.
const STREAMS: usize = 256;

/// Shared by all handlers; cheap to clone.
#[derive(Clone, Debug)]
pub struct Shell(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    service: Service,
    https: bool,
    support_contact: Option<String>,
    widget_origins: Vec<String>,
    streams: Arc<Semaphore>,
    documents: OnceLock<Documents>,
}

/// What is written once and served as it is.
#[derive(Debug)]
pub struct Documents {
    /// `/openapi.json`.
    pub openapi: Bytes,
    /// The same, for the page.
    pub api: serde_json::Value,
}

impl Shell {
    /// For a service that people see at `public_url`, whose widget stands in pages of these origins.
    pub fn new(service: Service, support_contact: Option<String>, widget_origins: Vec<String>) -> Self {
        let https = service.public_url.starts_with("https:");
        let streams = Arc::new(Semaphore::new(STREAMS));
        let documents = OnceLock::new();
        Shell(Arc::new(Inner { service, https, support_contact, widget_origins, streams, documents }))
    }

    /// The use cases.
    pub fn service(&self) -> &Service {
        &self.0.service
    }

    /// Whether people reach the service by https.
    pub fn is_https(&self) -> bool {
        self.0.https
    }

    /// Whom an error names that says to contact support.
    pub fn support_contact(&self) -> Option<&str> {
        self.0.support_contact.as_deref()
    }

    /// The origins whose pages may call what a subject's session opens.
    pub fn widget_origins(&self) -> &[String] {
        &self.0.widget_origins
    }

    /// A new name for a request.
    pub fn new_request_id(&self) -> String {
        let id = self.service().entropy.id();
        id.iter().fold("req_".to_owned(), |text, byte| format!("{text}{byte:02x}"))
    }

    /// Places for event streams.
    pub fn streams(&self) -> Arc<Semaphore> {
        self.0.streams.clone()
    }

    /// Keeps the OpenAPI document, once the routes are known.
    pub fn publish(&self, api: &utoipa::openapi::OpenApi) {
        let api = serde_json::to_value(api).unwrap_or_default();
        let openapi = serde_json::to_vec(&api).unwrap_or_default().into();
        // A second router for the same shell publishes the same.
        let _ = self.0.documents.set(Documents { openapi, api });
    }

    /// What was published.
    pub fn documents(&self) -> Option<&Documents> {
        self.0.documents.get()
    }
}
