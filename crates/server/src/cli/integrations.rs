//! `evergrant integrations`: the OAuth clients that the operator has registered at providers.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::client::Route;
use super::console::Console;
use super::error::{CliError, Result};
use super::provider_file;
use super::remote::Remote;
use super::secret_input::ClientSecretFrom;
use super::span::When;
use super::table::{Table, cell, fields};

/// What to do with integrations.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Integrations {
    /// Add an integration, and print the callback URL to register at the provider
    Add(Add),
    /// List integrations
    List(Remote),
    /// Show one integration, without its secrets
    Show(Named),
    /// Change what is given, and leave the rest
    Edit(Edit),
    /// Remove an integration that has no connections
    Remove(Named),
}

/// One by its name.
#[derive(Debug, clap::Args)]
pub(crate) struct Named {
    /// The integration's name
    name: String,
    #[command(flatten)]
    remote: Remote,
}

/// A new one.
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// The integration's name: strava, google-prod
    name: String,
    /// The catalogue entry [default: the one with the integration's name]
    #[arg(long, value_name = "ID", conflicts_with_all = ["provider_file", "issuer"])]
    provider: Option<String>,
    /// The issuer of a provider that is not in the catalogue and describes itself, such as https://auth.example.com
    #[arg(long, value_name = "URL", conflicts_with = "provider_file")]
    issuer: Option<String>,
    /// A file with the fields of a catalogue entry, for a provider that is not in the catalogue: TOML, or JSON by its ending
    #[arg(long, value_name = "FILE")]
    provider_file: Option<PathBuf>,
    /// The client id that the provider gave [default: the provider is asked for a client, where it lets clients register]
    #[arg(long)]
    client_id: Option<String>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    remote: Remote,
}

/// A changed one.
#[derive(Debug, clap::Args)]
pub(crate) struct Edit {
    /// The integration's name
    name: String,
    /// Another client id
    #[arg(long)]
    client_id: Option<String>,
    /// Ask this issuer, and use what it says of itself from now on in place of the entry that there is
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    #[command(flatten)]
    settings: Settings,
    /// Pause it: nothing is refreshed or connected until --resume
    #[arg(long, conflicts_with = "resume")]
    pause: bool,
    /// Let it go on
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    remote: Remote,
}

/// What can be said of both.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    secret: ClientSecretFrom,
    /// When the client secret ends, by the provider's word: 2027-01-31T00:00:00Z, or 180d from now
    #[arg(long, value_name = "WHEN")]
    client_secret_expires: Option<When>,
    /// A value of the entry's variables, such as tenant=acme; may be repeated, and replaces those that there are
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = param)]
    params: Vec<(String, String)>,
    /// The scopes to ask for, separated by commas
    #[arg(long, value_delimiter = ',')]
    scopes: Vec<String>,
    /// Where applications may be returned to; may be repeated
    #[arg(long = "return-url", value_name = "URL")]
    return_urls: Vec<String>,
    /// A number of the policy, such as margin=1800, or margin=null for what holds without it; may be repeated
    #[arg(long = "policy", value_name = "NAME=VALUE", value_parser = policy_number)]
    policy: Vec<(String, Value)>,
    /// Whether one account may belong to several subjects
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    shared_accounts: Option<bool>,
}

fn param(text: &str) -> std::result::Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE, such as tenant=acme")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn policy_number(text: &str) -> std::result::Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE, such as margin=1800")?;
    let value: Value = serde_json::from_str(value).map_err(|_| "expected a number, true, false or null after the =")?;
    Ok((name.to_owned(), value))
}

impl Settings {
    /// The fields of the API's document that were given.
    fn written(self, console: &Console) -> Result<Map<String, Value>> {
        let mut written = Map::new();
        let expires_at = self.client_secret_expires.map(|when| when.from(console.now()));
        match (self.secret.read(console)?, expires_at) {
            (Some(secret), expires_at) => {
                let secrets = json!([{ "secret": secret.expose(), "expires_at": expires_at }]);
                written.insert("client_secrets".to_owned(), secrets);
            }
            (None, Some(_)) => {
                let words = "--client-secret-expires speaks of a client secret: give it too, by \
                             --client-secret-stdin, --client-secret-file or --client-secret-env";
                return Err(CliError::Usage(words.to_owned()));
            }
            (None, None) => {}
        }
        if !self.params.is_empty() {
            let params: Map<String, Value> =
                self.params.into_iter().map(|(name, value)| (name, value.into())).collect();
            written.insert("params".to_owned(), Value::Object(params));
        }
        if !self.scopes.is_empty() {
            written.insert("scopes".to_owned(), json!(self.scopes));
        }
        if !self.return_urls.is_empty() {
            written.insert("return_urls".to_owned(), json!(self.return_urls));
        }
        if !self.policy.is_empty() {
            written.insert("policy".to_owned(), Value::Object(self.policy.into_iter().collect()));
        }
        if let Some(shared) = self.shared_accounts {
            written.insert("shared_accounts".to_owned(), json!(shared));
        }
        Ok(written)
    }
}

const COLUMNS: [(&str, &str); 5] = [
    ("name", "/name"),
    ("provider", "/provider_name"),
    ("client id", "/client_id"),
    ("status", "/status"),
    ("callback url", "/callback_url"),
];
const FIRST: [&str; 6] = ["name", "provider", "client_id", "status", "health", "callback_url"];

impl Integrations {
    /// Does it.
    pub(super) async fn run(self, console: &Console) -> Result<()> {
        match self {
            Integrations::Add(add) => add.run(console).await,
            Integrations::Edit(edit) => edit.run(console).await,
            Integrations::List(remote) => {
                let list = remote.client(console)?.list(&["integrations"], &[], usize::MAX).await?;
                console.show(&list, |list| {
                    Table::of_items(list, &COLUMNS).or("No integrations; `evergrant integrations add` makes one.")
                })
            }
            Integrations::Show(Named { name, remote }) => {
                let integration = remote.client(console)?.get(Route::v1(&["integrations", &name])).await?;
                console.show(&integration, |integration| fields(integration, &FIRST))
            }
            Integrations::Remove(Named { name, remote }) => {
                remote.client(console)?.delete(Route::v1(&["integrations", &name])).await?;
                console.show(&json!({ "name": name, "removed": true }), |_| format!("{name} is removed.\n"))
            }
        }
    }
}

impl Add {
    async fn run(self, console: &Console) -> Result<()> {
        // Before anything else, so that a secret in an argument is refused for that reason and no other.
        let mut written = self.settings.written(console)?;
        let client = self.remote.client(console)?;
        let (registers, by_issuer) = (self.client_id.is_none(), self.issuer.is_some());
        let provider = match (&self.provider_file, self.issuer) {
            (Some(file), _) => provider_file::read(file)?,
            (None, Some(issuer)) => json!({ "issuer": issuer }),
            (None, None) => json!(self.provider.unwrap_or_else(|| self.name.clone())),
        };
        written.insert("name".to_owned(), json!(self.name));
        written.insert("provider".to_owned(), provider);
        if let Some(client_id) = self.client_id {
            written.insert("client_id".to_owned(), json!(client_id));
        }
        let made = client.post(Route::v1(&["integrations"]), &Value::Object(written)).await?;
        for note in made["provider"]["notes"].as_array().into_iter().flatten().filter(|_| by_issuer) {
            console.note(&format!("look at this: {}", cell(note)));
        }
        if !console.json {
            let todo = if registers {
                "The provider knows its callback URL:"
            } else {
                "Register this callback URL at the provider:"
            };
            console.note(&format!("{} is added. {todo}", self.name));
        }
        console.show(&made, |made| format!("{}\n", cell(&made["callback_url"])))
    }
}

impl Edit {
    async fn run(self, console: &Console) -> Result<()> {
        // Before anything else, so that a secret in an argument is refused for that reason and no other.
        let mut written = self.settings.written(console)?;
        let client = self.remote.client(console)?;
        if let Some(client_id) = self.client_id {
            written.insert("client_id".to_owned(), json!(client_id));
        }
        if let Some(issuer) = self.issuer {
            written.insert("provider".to_owned(), json!({ "issuer": issuer }));
        }
        if let Some(Value::Object(given)) = written.get_mut("policy") {
            // The API takes a policy whole; here what is not named stays.
            let present = client.get(Route::v1(&["integrations", &self.name])).await?;
            let mut policy = present["policy"].as_object().cloned().unwrap_or_default();
            policy.append(given);
            policy.retain(|_, value| !value.is_null());
            *given = policy;
        }
        if self.pause || self.resume {
            written.insert("paused".to_owned(), json!(self.pause));
        }
        if written.is_empty() {
            let words = "nothing to change was given; `evergrant integrations edit --help` lists what can be";
            return Err(CliError::Usage(words.to_owned()));
        }
        let changed = client.patch(Route::v1(&["integrations", &self.name]), &Value::Object(written)).await?;
        console.show(&changed, |changed| fields(changed, &FIRST))
    }
}
