//! `evergrant providers discover`: an entry for a provider that the catalogue does not know, from its issuer alone.

use std::sync::Arc;

use evergrant_core::discovery::Described;
use evergrant_core::provider::Provider;
use serde_json::{Value, json};

use super::super::console::Console;
use super::super::error::{CliError, Result};
use crate::clock::SystemClock;
use crate::provider::{AddressPolicy, Transport, describe};

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
    /// Asks, and prints the entry: TOML for a file of the catalogue, or JSON for an integration's `provider`. What an operator
    /// should look at goes to standard error, and into the file as comments.
    pub(super) async fn run(self, console: &Console) -> Result<()> {
        let Described { entry, notes } = self.found().await?;
        let notes: Vec<String> = notes.iter().map(ToString::to_string).collect();
        for note in &notes {
            console.note(&format!("look at this: {note}"));
        }
        let document = short(&entry)?;
        console.show(&document, |document| {
            let table: toml::Table = serde_json::from_value(document.clone()).unwrap_or_default();
            let comments: String = notes.iter().map(|note| format!("# Look at this: {note}\n")).collect();
            format!(
                "# Read from {}\n{comments}{}",
                entry.sources.join(", "),
                toml::to_string(&table).unwrap_or_default()
            )
        })
    }

    async fn found(&self) -> Result<Described> {
        let policy =
            if self.allow_private_networks { AddressPolicy::PrivateAllowed } else { AddressPolicy::PublicOnly };
        let refused = |why: &dyn std::fmt::Display| CliError::Refused(format!("no entry was made: {why}"));
        let transport = Transport::new(policy, Arc::new(SystemClock)).map_err(|error| refused(&error))?;
        describe(&transport, &self.issuer, self.allow_private_networks).await.map_err(|not| {
            if not.refused.is_some() {
                return refused(&format!("{}: {not}", self.issuer));
            }
            let by_hand = "Write the entry by hand: `providers show generic` has the fields";
            CliError::NotFound(format!("{}: {not}. {by_hand}", self.issuer))
        })
    }
}

/// The entry without the fields that say nothing.
fn short(entry: &Provider) -> Result<Value> {
    let (Value::Object(mut members), Value::Object(default)) = (json!(entry), json!(Provider::default())) else {
        return Err(CliError::Refused("the entry is no object".to_owned()));
    };
    members.retain(|name, value| default.get(name) != Some(value) || name == "client_auth");
    Ok(Value::Object(members))
}
