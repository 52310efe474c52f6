//! What the operator decided: `evergrant.toml`, overridden by variables, overridden by flags.
//!
//! The only place that reads the environment. Everything is read and checked once, before anything else starts; a
//! refused start says what is wrong, where it was set and what would be right, and repeats no value that could be a
//! secret. It does not open the database or make a master key: that is the start of the service.

mod channels;
mod declared;
mod environment;
mod error;
mod file;
mod flags;
mod key_exchange;
mod master_key;
mod origins;
mod reference;
mod resolve;
mod secret_text;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use evergrant_core::policy::{Policy, PolicyOverrides};
use evergrant_core::secret::ApiKeySecret;
use evergrant_store::Database;
use url::Url;

pub use channels::{ChannelsConfig, DeclaredWebhook, EmailConfig, NoticeNumbers, Tls};
pub use declared::{Declared, DeclaredSecret, SecretFrom};
pub use environment::Environment;
pub use error::{ConfigError, SetBy};
pub use flags::Flags;
pub use key_exchange::{KeyExchange, KeyExchangeError};
pub use master_key::{FoundMasterKey, MasterKeyError, MasterKeySource};
pub use reference::{reference, template};
pub use secret_text::can_be_secret;

/// The configuration in force.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the service listens.
    pub listen: SocketAddr,
    /// The address that people and providers see, where it was set; see [`Config::public_url`].
    pub declared_public_url: Option<Url>,
    /// The folder of the database, the master key and the journal.
    pub data_dir: PathBuf,
    /// The folder of catalogue entries over the built-in ones.
    pub catalog: Option<PathBuf>,
    /// The SQLite file, or the database on a PostgreSQL server.
    pub database: Database,
    /// Where the master key comes from.
    pub master_key: MasterKeySource,
    /// An admin API key that exists from the first start.
    pub bootstrap_key: Option<ApiKeySecret>,
    /// Whether providers may live at loopback, link-local and private addresses.
    pub allow_private_networks: bool,
    /// What the file and the variables say of the numbers of `docs/lifecycle.md`.
    pub refresh: PolicyOverrides,
    /// Whom an error names that says to contact support.
    pub support_contact: Option<String>,
    /// The origins of the pages in which the widget stands, as browsers write them in `Origin`.
    pub widget_origins: Vec<String>,
    /// How the hand-out of tokens is audited.
    pub audit_reads: AuditReads,
    /// Integrations declared in the file.
    pub integrations: Vec<Declared>,
    /// How people and programs are told.
    pub channels: ChannelsConfig,
    /// The word for this installation in new API keys: `eg_<environment>_…`.
    pub key_environment: String,
}

impl Config {
    /// Reads file, variables and flags.
    ///
    /// # Errors
    /// [`ConfigError`] for the first thing that is wrong.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self, ConfigError> {
        resolve::resolve(flags, environment)
    }

    /// The numbers in force where no provider and no integration changes them.
    pub fn policy(&self) -> Policy {
        Policy::default().with(&self.refresh)
    }

    /// Whether nothing has been made here yet: no database, and no journal that would belong to one. What cannot be looked
    /// at is taken to be there, and a database on a server counts by the journal alone, so that nobody is told to begin anew beside data that he may not read.
    pub fn is_untouched(&self) -> bool {
        !self.database.file().is_some_and(is_there) && !is_there(&self.data_dir.join("journal"))
    }

    /// The address that people and providers see, without a slash at the end. Unless it was set, it follows from
    /// `listen`, with `localhost` in place of "every address".
    pub fn public_url(&self) -> String {
        match &self.declared_public_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None if self.listen.ip().is_unspecified() => format!("http://localhost:{}", self.listen.port()),
            None => format!("http://{}", self.listen),
        }
    }
}

/// Whether something is at this path; what cannot be looked at is.
pub(crate) fn is_there(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}

/// How the hand-out of tokens is audited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditReads {
    /// Not at all.
    Off,
    /// A line before each answer, made durable at least once a second.
    #[default]
    Batched,
    /// A durable line before each answer.
    Strict,
}
