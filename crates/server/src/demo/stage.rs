//! Sets everything up: the provider, the service beside it, two integrations, an admin key. All on loopback, all of it
//! in a temporary folder, nothing taken from the caller's configuration or environment.

use std::fmt::Write as _;
use std::time::Duration;

use evergrant_core::api_key::ApiKeyText;
use evergrant_core::secret::ApiKeySecret;
use evergrant_testkit::http::Http;
use evergrant_testkit::{Account, ClientConfig, Judge, JudgeConfig, ReplayKind};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::people::{PEOPLE, SHAKY, STEADY, ok};
use super::{DemoError, Options};
use crate::app::{self, App, StartError};
use crate::config::{Config, Environment, Flags};
use crate::entropy::{Entropy as _, SystemEntropy};

/// The life of an access token.
const LIFE: Duration = Duration::from_secs(60);
/// How long a used refresh token still works at the provider; after that, its use ends the whole family.
const WINDOW: Duration = Duration::from_secs(30);

/// What runs besides the service.
pub(super) struct Stage {
    /// The provider.
    pub(super) judge: Judge,
    /// The API, with the admin key.
    pub(super) api: Http,
    /// That key.
    pub(super) key: ApiKeySecret,
    /// Where the service is.
    pub(super) url: String,
    /// Held to the end: it is removed with everything in it.
    _folder: TempDir,
}

/// Starts the provider and opens the service.
pub(super) async fn build(options: &Options) -> Result<(Stage, App, TcpListener), DemoError> {
    let folder = tempfile::Builder::new().prefix("evergrant-demo-").tempdir().map_err(DemoError::Folder)?;
    let judge = Judge::start(provider()).await?;
    let key = ApiKeyText::make("demo", |bytes| SystemEntropy.fill(bytes))?.secret().clone();
    // A file of its own, so that one in the working directory is not read.
    let file = folder.path().join("evergrant.toml");
    std::fs::write(&file, "").map_err(DemoError::Folder)?;
    let flags = Flags {
        config: Some(file),
        listen: Some(options.listen.clone()),
        data_dir: Some(folder.path().join("data")),
        allow_private_networks: Some(true),
        ..Flags::default()
    };
    let variables = Environment::of([("EVERGRANT_BOOTSTRAP_KEY", key.expose())]);
    let mut config = Config::load(&flags, &variables).map_err(StartError::from)?;
    let listener = app::bind(&mut config).await?;
    let url = config.public_url();
    let app = App::open(config).await?;
    let api = Http::new(&url).bearer(key.expose());
    Ok((Stage { judge, api, key, url, _folder: folder }, app, listener))
}

fn provider() -> JudgeConfig {
    let account = |name: &str| {
        let mut letters = name.chars();
        let mut shown = String::new();
        // A format into a text cannot fail.
        let _ = write!(shown, "{}{}", letters.next().unwrap_or_default().to_uppercase(), letters.as_str());
        Account { id: name.to_owned(), name: shown, email: format!("{name}@example.com") }
    };
    let replay = ReplayKind::Overlap { window: WINDOW };
    let client =
        |id| ClientConfig { strict_after_window: true, ..ClientConfig::new(id).replay(replay).access_lifetime(LIFE) };
    JudgeConfig {
        clients: vec![client(STEADY), client(SHAKY)],
        accounts: PEOPLE.iter().map(|person| account(person.name)).chain([account("you")]).collect(),
        reveal: false,
        ..JudgeConfig::default()
    }
}

impl Stage {
    /// Registers both clients, as an operator does.
    pub(super) async fn register(&mut self) -> Result<(), DemoError> {
        for client in [STEADY, SHAKY] {
            let wanted = json!({
                "name": client,
                "provider": self.judge.catalogue_json(client)?,
                "client_id": client,
                "client_secrets": [{ "secret": self.judge.client_secret(client)? }],
            });
            ok(&self.api.post("/v1/integrations", &wanted).await?)?;
        }
        Ok(())
    }
}
