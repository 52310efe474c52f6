//! Sets everything up: the provider, the service beside it, two integrations, an admin key. All on loopback, all of it
//! in a temporary folder, nothing taken from the caller's configuration or environment.

use std::time::Duration;

use evergrant_core::secret::ApiKeySecret;
use evergrant_testkit::http::Http;
use evergrant_testkit::{ClientConfig, Judge, JudgeConfig, ReplayKind};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::people::{SHAKY, STEADY, ok};
use super::{DemoError, Options};
use crate::app::App;
use crate::config::{Config, Environment, Flags};

/// The life of an access token.
const LIFE: Duration = Duration::from_secs(60);
/// How long a used refresh token still works at the provider; after that its use ends the whole family.
const WINDOW: Duration = Duration::from_secs(30);

/// Everything that runs.
pub(super) struct Stage {
    /// The provider.
    pub(super) judge: Judge,
    /// The service, not yet listening.
    pub(super) app: App,
    /// Where it will.
    pub(super) listener: TcpListener,
    /// The API, with the admin key.
    pub(super) api: Http,
    /// That key.
    pub(super) key: ApiKeySecret,
    /// Its address.
    pub(super) url: String,
    /// Held until the end: it is removed with everything in it.
    pub(super) folder: TempDir,
}
