//! `evergrant providers discover`: an entry for a provider that the catalogue does not know, from its issuer alone.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::discovery::{self, NoEntry};
use evergrant_core::provider::Provider;
use evergrant_core::token_request::document;
use serde_json::{Value, json};
use url::Url;

use super::super::console::Console;
use super::super::error::{CliError, Result};
use crate::clock::SystemClock;
use crate::provider::{AddressPolicy, Limits, SendError, Transport};

/// What asking may take.
const LIMITS: Limits = Limits { connect: Duration::from_secs(10), answer: Duration::from_secs(20), body: 256 * 1024 };

/// An issuer.
#[derive(Debug, clap::Args)]
pub(crate) struct Discover {
    /// The issuer, such as https://auth.example.com
    issuer: String,
    /// Allow issuers at loopback, link-local and private addresses
    #[arg(long)]
    allow_private_networks: bool,
}

impl Discover {
    /// Asks, and prints the entry: TOML for a file of the catalogue, or JSON for an integration's `provider`.
    pub(super) async fn run(self, console: &Console) -> Result<()> {
        let entry = self.found().await?;
        let document = short(&entry)?;
        console.show(&document, |document| {
            let table: toml::Table = serde_json::from_value(document.clone()).unwrap_or_default();
            format!("# Read from {}\n{}", entry.sources.join(", "), toml::to_string(&table).unwrap_or_default())
        })
    }

    async fn found(&self) -> Result<Provider> {
        let policy =
            if self.allow_private_networks { AddressPolicy::PrivateAllowed } else { AddressPolicy::PublicOnly };
        let transport = Transport::new(policy, Arc::new(SystemClock)).map_err(|error| refused(&error))?;
        let mut tried = Vec::new();
        for at in discovery::addresses(&self.issuer).map_err(|error| refused(&error))? {
            match self.read(&transport, &at).await? {
                Ok(entry) => return Ok(entry),
                Err(why) => tried.push(format!("{at}: {why}")),
            }
        }
        let tried = tried.join("; ");
        Err(CliError::NotFound(format!(
            "{} does not describe itself ({tried}). Write the entry by hand: `providers show generic` has the fields",
            self.issuer
        )))
    }

    /// The entry that stands at an address, or why there is nothing.
    async fn read(&self, transport: &Transport, at: &Url) -> Result<std::result::Result<Provider, String>> {
        let answer = match transport.call(document(at.as_str()), LIMITS).await {
            Ok(answer) => answer,
            Err(SendError::Unsent) => return Ok(Err("the connection was closed".to_owned())),
            Err(SendError::Lost { why, .. }) => return Ok(Err(why)),
        };
        if answer.status != 200 {
            return Ok(Err(format!("HTTP {}", answer.status)));
        }
        match discovery::entry(&self.issuer, at, &answer.body, self.allow_private_networks) {
            Ok(entry) => Ok(Ok(entry)),
            Err(NoEntry::NotMetadata(why)) => Ok(Err(why)),
            Err(error) => Err(refused(&error)),
        }
    }
}

fn refused(error: &dyn std::error::Error) -> CliError {
    CliError::Refused(format!("no entry was made: {error}"))
}

/// The entry without the fields that say nothing.
fn short(entry: &Provider) -> Result<Value> {
    let (Value::Object(mut members), Value::Object(default)) = (json!(entry), json!(Provider::default())) else {
        return Err(CliError::Refused("the entry is no object".to_owned()));
    };
    members.retain(|name, value| default.get(name) != Some(value) || name == "client_auth");
    Ok(Value::Object(members))
}
