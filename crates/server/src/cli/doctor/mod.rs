//! `evergrant doctor`: looks at an installation and says what is wrong and what to do about it. It changes nothing.
//!
//! What needs the database goes through the API's handlers, at the running service or here. Stored values are opened
//! here only: no API shows them.

mod channels;
mod integrations;
mod machine;
mod report;

use serde_json::{Value, json};

use super::client::{Client, Route};
use super::console::Console;
use super::error::{CliError, Result};
use super::place::Place;
use crate::app::{App, StartError};
use crate::config::Config;
use crate::http::dto::{ConnectionView, IntegrationView};
use report::{Check, Finding};

/// Connections that are looked at for each integration: one without a refresh token shows among the first already.
const LOOKED_AT: usize = 500;

/// Where.
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    place: Place,
}

impl Doctor {
    /// Looks, tells, and ends with 1 if anything is wrong.
    pub(super) async fn run(self, console: &Console) -> Result<()> {
        let checks = self.checks(console).await?;
        console.show(&report::document(&checks), |_| report::text(&checks, console.is_colourful()))?;
        if report::is_well(&checks) { Ok(()) } else { Err(CliError::FoundWrong) }
    }

    async fn checks(&self, console: &Console) -> Result<Vec<Check>> {
        if let Some(client) = self.place.remote.given(console)? {
            return self.there(&client, console, None).await;
        }
        let config = match Config::load(&self.place.flags, &console.environment) {
            Ok(config) => config,
            Err(why) => {
                let finding =
                    Finding::new(why.to_string(), "Change it there; docs/configuration.md lists what there is.");
                return Ok(vec![Check::of("configuration", "refused", vec![finding])]);
            }
        };
        let mut checks = vec![
            Check::of("configuration", config.public_url(), Vec::new()),
            machine::clock(&config.data_dir, console.now()),
            machine::master_key(&config),
            machine::widget(&config),
        ];
        let outside = channels::Outside::of(&config);
        checks.extend(outside.named(&config.channels).await);
        if config.is_untouched() {
            checks.push(Check::skipped("database", format!("{} is not there", config.database)));
            return Ok(checks);
        }
        let listen = config.listen;
        match App::open(config).await {
            // Told above already.
            Err(StartError::MasterKey(_)) => checks.push(Check::skipped("database", "does not open without its key")),
            Ok(app) => {
                let client = Client::Here(app);
                let looked = here(&client, console, &outside).await;
                client.close().await;
                checks.extend(looked?);
            }
            Err(error) if error.is_in_use() => {
                let client = self.place.holder(&error, listen, console)?;
                checks.extend(self.there(&client, console, Some(&outside)).await?);
            }
            Err(error) => checks.push(does_not_open(&error)),
        }
        Ok(checks)
    }

    /// `outside`: how this machine reaches others, where the service runs on it.
    async fn there(
        &self,
        client: &Client,
        console: &Console,
        outside: Option<&channels::Outside>,
    ) -> Result<Vec<Check>> {
        let mut checks = vec![ready(client).await?, adopted(client).await?];
        checks.extend(what_is_registered(client, console).await?);
        checks.push(channels::endpoints(client, outside).await?);
        let why = "a running service shows none; run the doctor on the data folder while it is stopped";
        checks.push(Check::skipped("stored_values", why));
        Ok(checks)
    }
}

/// A database that does not open; the error says which way it is.
fn does_not_open(error: &StartError) -> Check {
    let name = match error {
        StartError::WrongMasterKey { .. } => "key_ring",
        StartError::Store(evergrant_store::OpenError::KeyRingDamaged { .. }) => "key_ring",
        StartError::Store(_) => "database",
        _ => "start",
    };
    let remedy = "Do what the sentence says; until then `evergrant serve` refuses to start, for the same reason.";
    Check::of(name, "does not open", vec![Finding::new(error.to_string(), remedy)])
}

/// Whether the database is the one that has been served all the time, or has been adopted.
async fn adopted(client: &Client) -> Result<Check> {
    let ready = match client.get(Route::root("readyz")).await {
        Ok(ready) => ready,
        // Told by another check.
        Err(CliError::Problem(_)) => Value::Null,
        Err(error) => return Err(error),
    };
    if ready.pointer("/checks/refresher").and_then(Value::as_str) != Some("quarantined") {
        return Ok(Check::of("deployment", "the database is the latest of this deployment", Vec::new()));
    }
    let what = "the database is a restored or copied one: live tokens are served, and nothing is refreshed";
    let remedy = "Look at what has been spent since: evergrant adopt --dry-run. Then, when no other service refreshes these \
                  grants: evergrant adopt.";
    let mut findings = vec![Finding::new(what.to_owned(), remedy)];
    // A key that may not adopt learns that there is something to adopt, and no more.
    if let Ok(told) = client.post(Route::v1(&["quarantine", "adopt"]), &json!({ "dry_run": true })).await {
        findings.extend(what_was_spent(&told));
    }
    Ok(Check::of("deployment", "in quarantine", findings))
}

/// What an adoption would do with the grants that were used since, by name.
fn what_was_spent(told: &Value) -> Vec<Finding> {
    const STANDINGS: [(&str, &str, &str); 2] = [
        (
            "spent",
            "their refresh tokens have been spent since, and the answers are lost",
            "An adoption never sends them; their people reconnect",
        ),
        (
            "tried",
            "their refresh tokens have been spent since, where a second sending does no harm",
            "An adoption tries them once",
        ),
    ];
    let all = told["connections"].as_array().map_or(&[][..], Vec::as_slice);
    let of = |standing: &str| {
        let named = all.iter().filter(|one| one["standing"] == standing);
        named.filter_map(|one| one["connection_id"].as_str()).collect::<Vec<_>>()
    };
    let found = STANDINGS.iter().filter_map(|(standing, what, remedy)| {
        let ids = of(standing);
        let what = format!("{} connections are `{standing}`: {what} ({})", ids.len(), ids.join(", "));
        (!ids.is_empty()).then(|| Finding::new(what, *remedy))
    });
    found.collect()
}

async fn ready(client: &Client) -> Result<Check> {
    match client.get(Route::root("readyz")).await {
        Ok(said) => {
            let nodes = said["nodes"]["living"].as_u64().filter(|living| *living > 1);
            let what = nodes.map_or_else(|| "ready".to_owned(), |living| format!("ready; {living} nodes live"));
            Ok(Check::of("service", what, Vec::new()))
        }
        Err(CliError::Problem(problem)) => {
            let remedy = "Look at the service's log; it goes on trying by itself.";
            Ok(Check::of("service", "not ready", vec![Finding::new(problem.to_string(), remedy)]))
        }
        Err(error) => Err(error),
    }
}

async fn here(client: &Client, console: &Console, outside: &channels::Outside) -> Result<Vec<Check>> {
    let mut checks = vec![
        adopted(client).await?,
        Check::of("database", "opens, and is of this version", Vec::new()),
        Check::of("key_ring", "the master key opens it", Vec::new()),
    ];
    checks.extend(what_is_registered(client, console).await?);
    checks.push(channels::endpoints(client, Some(outside)).await?);
    let Some(app) = client.app() else { return Ok(checks) };
    if let Some(nodes) = app.service().store.nodes() {
        // This command is one of them while it runs.
        let others = nodes.living.saturating_sub(1);
        checks.push(Check::of("nodes", format!("{others} others work on this database"), Vec::new()));
    }
    let odd = app.service().values_that_cannot_be_tokens().await;
    let odd = odd.map_err(|refusal| CliError::Refused(refusal.to_string()))?;
    let findings = odd.iter().map(|odd| {
        Finding::new(
            format!("{}: its {} cannot be one: {}", odd.connection, odd.field, odd.expected),
            "Import the right grant (POST /v1/connections), or have the subject reconnect: evergrant connect-link --reconnect …",
        )
    });
    let findings: Vec<Finding> = findings.collect();
    checks.push(Check::of("stored_values", "every grant was opened", findings));
    Ok(checks)
}

/// Integrations and what their connections say of them.
async fn what_is_registered(client: &Client, console: &Console) -> Result<Vec<Check>> {
    let list = client.list(&["integrations"], &[], usize::MAX).await?;
    let all: Vec<IntegrationView> = read(&list["items"])?;
    let mut findings = Vec::new();
    for integration in &all {
        let query = [("integration", Some(integration.name.to_string())), ("status", Some("connected".to_owned()))];
        let connections: Vec<ConnectionView> = read(&client.list(&["connections"], &query, LOOKED_AT).await?["items"])?;
        let provider = provider(client, &integration.provider).await?;
        findings.extend(integrations::refresh_tokens(integration, &provider, &connections));
    }
    Ok(vec![
        integrations::health(&all),
        integrations::callback_urls(&all),
        integrations::client_secrets(&all, console.now()),
        Check::of("refresh_tokens", format!("{} integrations looked at", all.len()), findings),
    ])
}

/// The entry of an integration: inline, or the catalogue's.
async fn provider(client: &Client, written: &Value) -> Result<Value> {
    match written.as_str() {
        Some(id) => client.get(Route::v1(&["providers", id])).await,
        None => Ok(written.clone()),
    }
}

fn read<T: serde::de::DeserializeOwned>(items: &Value) -> Result<Vec<T>> {
    serde_json::from_value(items.clone())
        .map_err(|why| CliError::Refused(format!("the service is of another version: {why}")))
}
