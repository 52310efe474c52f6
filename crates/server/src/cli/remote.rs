//! Which running service a command talks to, and with which key.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use evergrant_core::secret::ApiKeySecret;
use url::Url;

use super::client::Client;
use super::console::Console;
use super::error::{CliError, Result};
use super::secret_input;
use crate::config::{Config, Flags};

/// The service and the key.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "The running service")]
pub(crate) struct Remote {
    /// Where the service is [default: where the configuration here says that it listens]
    #[arg(long, value_name = "URL", env = "EVERGRANT_URL", hide_env_values = true)]
    pub(super) url: Option<String>,
    /// A file that holds the API key [default: the variable EVERGRANT_API_KEY]
    #[arg(long, value_name = "FILE")]
    pub(super) api_key_file: Option<PathBuf>,
}

impl Remote {
    /// The client, or what is missing for one.
    pub(super) fn client(&self, console: &Console) -> Result<Client> {
        let key = self.key(console)?.ok_or(CliError::NoApiKey)?;
        Client::there(self.base(console)?, key)
    }

    /// The client, if both an address and a key are given; the configuration's address does not count as given.
    pub(super) fn given(&self, console: &Console) -> Result<Option<Client>> {
        match (&self.url, self.key(console)?) {
            (Some(url), Some(key)) => Client::there(parse(url)?, key).map(Some),
            _ => Ok(None),
        }
    }

    fn key(&self, console: &Console) -> Result<Option<ApiKeySecret>> {
        match &self.api_key_file {
            Some(file) => Ok(Some(ApiKeySecret::new(secret_input::from_file(file)?.as_str()))),
            None => Ok(console.environment.get("EVERGRANT_API_KEY").map(|key| ApiKeySecret::new(key.trim()))),
        }
    }

    fn base(&self, console: &Console) -> Result<Url> {
        match &self.url {
            Some(url) => parse(url),
            None => listening_on(Config::load(&Flags::default(), &console.environment)?.listen),
        }
    }

    /// The client for a service on this machine that listens there, if a key is given.
    pub(super) fn at(&self, listen: SocketAddr, console: &Console) -> Result<Option<Client>> {
        let Some(key) = self.key(console)? else { return Ok(None) };
        let base = self.url.as_deref().map_or_else(|| listening_on(listen), parse)?;
        Client::there(base, key).map(Some)
    }
}

/// The address for those on the same machine.
fn listening_on(mut listen: SocketAddr) -> Result<Url> {
    if listen.ip().is_unspecified() {
        listen.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    parse(&format!("http://{listen}"))
}

fn parse(url: &str) -> Result<Url> {
    let bad = || CliError::Usage("--url: expected the address of a service, such as http://127.0.0.1:8420".to_owned());
    let url = Url::parse(url).map_err(|_| bad())?;
    let fits = matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty();
    if fits { Ok(url) } else { Err(bad()) }
}
