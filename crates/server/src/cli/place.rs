//! Where a command does its work that can be done in two places: at a running service, or directly on the data folder.
//!
//! Directly means: the same handlers, documents and checks, with the operator as the caller and no network between. While
//! `serve` holds the folder, the running service has to be asked instead.

use super::client::Client;
use super::console::Console;
use super::error::{CliError, Result};
use super::remote::Remote;
use crate::app::App;
use crate::config::{Config, Flags};

/// The service, or the installation.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Place {
    #[command(flatten)]
    pub(super) remote: Remote,
    #[command(flatten, next_help_heading = "The installation, if no service is asked")]
    pub(super) flags: Flags,
}

impl Place {
    /// The service, if both its address and a key are given; else the installation that the configuration names.
    pub(super) async fn open(&self, console: &Console) -> Result<Client> {
        if let Some(client) = self.remote.given(console)? {
            return Ok(client);
        }
        let config = Config::load(&self.flags, &console.environment)?;
        if !config.database.exists() {
            return Err(CliError::NoInstallation { folder: config.data_dir });
        }
        Ok(Client::Here(App::open(config).await?))
    }
}
