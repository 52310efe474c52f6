//! Another way to providers than the wire: the simulator brings one, with providers at its end that live in its world.
//!
//! The same two steps as on the wire, with the same words for what went wrong.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use evergrant_core::token_request::HttpRequest;
use url::Url;

use super::transport::{Answer, Limits, SendError, Unsent};

/// Makes connections.
pub trait Outlet: Debug + Send + Sync + 'static {
    /// Connects; sends nothing.
    fn connect(&self, url: &Url, limits: Limits) -> Connecting;
}

/// A connection that is ready for one request.
pub trait OpenLine: Debug + Send {
    /// Sends one request and waits for its whole answer. When this ends or is dropped, the connection is closed.
    fn send(self: Box<Self>, request: HttpRequest) -> Answering;
}

/// What comes of connecting.
pub type Connecting = Pin<Box<dyn Future<Output = Result<Box<dyn OpenLine>, Unsent>> + Send>>;
/// What comes of sending.
pub type Answering = Pin<Box<dyn Future<Output = Result<Answer, SendError>> + Send>>;
/// An outlet that is shared by everything in a process.
pub type SharedOutlet = Arc<dyn Outlet>;
