//! Where a command does its work that can be done in two places: at a running service, or directly on the data folder.
//!
//! Directly means: the same handlers, documents and checks, with the operator as the caller and no network between. While
//! `serve` holds the folder, the running service is asked instead.

use std::net::SocketAddr;

use super::client::Client;
use super::console::Console;
use super::error::{CliError, Result};
use super::remote::Remote;
use crate::app::{App, StartError};
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
        if config.is_untouched() {
            return Err(CliError::NoInstallation { folder: config.data_dir });
        }
        let listen = config.listen;
        match App::open(config).await {
            Ok(app) => Ok(Client::Here(app)),
            Err(error) if error.is_in_use() => self.holder(&error, listen, console),
            Err(error) => Err(error.into()),
        }
    }

    /// The service that holds the folder: it listens where the configuration says, and is asked if there is a key for it.
    pub(super) fn holder(&self, error: &StartError, listen: SocketAddr, console: &Console) -> Result<Client> {
        let asked = if listen.port() == 0 { None } else { self.remote.at(listen, console)? };
        asked.ok_or_else(|| CliError::Held(error.to_string()))
    }
}
