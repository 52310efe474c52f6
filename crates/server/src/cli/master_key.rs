//! `evergrant master-key`: which master key this is, without showing it, and another one in its place.

use std::path::PathBuf;

use evergrant_store::{Database, MasterKey};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::client::Route;
use super::console::Console;
use super::error::{CliError, Result};
use super::place::Place;
use super::table::cell;
use crate::app::{App, StartError};
use crate::config::{Config, Flags, FoundMasterKey, MasterKeySource, is_there};
use crate::entropy::SystemEntropy;
use crate::service::access::Caller;

/// What to do with the master key.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum MasterKeys {
    /// Print the fingerprint of the master key: the same digits that a refused start names
    Fingerprint(Box<Flags>),
    /// Put a new master key in the place of the old one, while the service runs; the old one is kept beside it
    Rotate(Box<Rotate>),
}

/// A rotation.
#[derive(Debug, clap::Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    to: NewKey,
    #[command(flatten)]
    place: Place,
}

/// Where the new key comes from, if it is not to be made in the file of the old one. Only while the service is stopped: its
/// next start must find the key there.
#[derive(Debug, Default, clap::Args)]
#[group(multiple = false)]
pub(crate) struct NewKey {
    /// With the service stopped: take the new key from this file, or make it there
    #[arg(long, value_name = "FILE")]
    to_file: Option<PathBuf>,
    /// With the service stopped: take the new key from this variable
    #[arg(long, value_name = "NAME")]
    to_env: Option<String>,
    /// With the service stopped: take the new key from what this command prints
    #[arg(long, value_name = "COMMAND")]
    to_command: Option<String>,
}

impl MasterKeys {
    /// Does it.
    pub(super) async fn run(self, console: &Console) -> Result<()> {
        match self {
            MasterKeys::Fingerprint(flags) => fingerprint(&flags, console),
            MasterKeys::Rotate(rotate) => rotate.run(console).await,
        }
    }
}

/// The key is read and nothing else is touched, so that it works beside a running service.
fn fingerprint(flags: &Flags, console: &Console) -> Result<()> {
    let config = Config::load(flags, &console.environment)?;
    let place = config.master_key.place();
    if let MasterKeySource::MadeAtFirstStart(file) = &config.master_key
        && !is_there(file)
        && config.is_untouched()
    {
        return Err(CliError::NoInstallation { folder: config.data_dir });
    }
    let found = config.master_key.load(&config.database, &SystemEntropy).map_err(StartError::from)?;
    let fingerprint = MasterKey::new(found.key).fingerprint();
    let document = json!({ "fingerprint": fingerprint, "place": place });
    console.show(&document, |document| format!("{}  {}\n", cell(&document["fingerprint"]), cell(&document["place"])))
}

impl Rotate {
    async fn run(self, console: &Console) -> Result<()> {
        let rotated = match self.to.source(console)? {
            None => {
                let client = self.place.open(console).await?;
                let rotated = client.post(Route::v1(&["master-key", "rotate"]), &json!({})).await;
                client.close().await;
                rotated?
            }
            Some(source) => self.take(&source, console).await?,
        };
        if !console.json {
            console.note(&told(&rotated));
        }
        console.show(&rotated, |rotated| format!("{}\n", cell(&rotated["to"])))
    }

    /// Directly on the data folder: a running service could not be told by a restart where its key is now.
    async fn take(&self, source: &MasterKeySource, console: &Console) -> Result<Value> {
        let config = Config::load(&self.place.flags, &console.environment)?;
        if config.is_untouched() {
            return Err(CliError::NoInstallation { folder: config.data_dir });
        }
        let app = App::open(config).await.map_err(|error| match error.is_in_use() {
            true => CliError::HeldForKey(error.to_string()),
            false => error.into(),
        })?;
        let done = self.taken(&app, source).await;
        app.close().await;
        done
    }

    async fn taken(&self, app: &App, source: &MasterKeySource) -> Result<Value> {
        // No database is named: where the file is not there, the key is made.
        let FoundMasterKey { key, place, .. } =
            source.load(&Database::File(PathBuf::new()), &SystemEntropy).map_err(StartError::from)?;
        let taken = app.service().take_master_key(&Caller::operator(), MasterKey::new(key)).await;
        let done = taken.map_err(|refusal| CliError::Refused(refusal.to_string()))?;
        Ok(json!({ "from": done.from, "to": done.to, "place": place, "key_file": null, "old_key_file": null }))
    }
}

impl NewKey {
    fn source(&self, console: &Console) -> Result<Option<MasterKeySource>> {
        if let Some(file) = &self.to_file {
            return Ok(Some(MasterKeySource::MadeAtFirstStart(file.clone())));
        }
        if let Some(name) = &self.to_env {
            let missing = || CliError::Usage(format!("--to-env: the variable {name} is not set"));
            let digits = Zeroizing::new(console.environment.get(name).ok_or_else(missing)?.to_owned());
            return Ok(Some(MasterKeySource::Digits { digits, set_by: format!("the variable {name}") }));
        }
        Ok(self.to_command.clone().map(MasterKeySource::Command))
    }
}

fn told(rotated: &Value) -> String {
    let (from, to) = (cell(&rotated["from"]), cell(&rotated["to"]));
    if rotated["key_file"].is_null() {
        return format!(
            "the master key {from} opens nothing any more; {to} does. Start the service with the new one, and keep the old \
             one as long as backups that were made under it. The fingerprint of the new key:"
        );
    }
    format!(
        "new master key  {}\nold master key  {}\nKeep a copy of the new key apart from the data. The old one opens backups \
         made before, and nothing else: remove it when those are gone. The fingerprint of the new key:",
        cell(&rotated["key_file"]),
        cell(&rotated["old_key_file"])
    )
}
