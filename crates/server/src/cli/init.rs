//! `evergrant init`: a configuration, a master key and a first admin key, in a place where there is nothing yet.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::client::{Client, Route};
use super::console::Console;
use super::error::{CliError, Result};
use super::table::cell;
use crate::app::App;
use crate::config::{Config, Flags, MasterKeySource, template};

/// The file's name where none is given.
const DEFAULT_FILE: &str = "evergrant.toml";

/// Where.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    #[command(flatten)]
    flags: Flags,
}

impl Init {
    /// Makes it all, or nothing.
    pub(super) async fn run(self, console: &Console) -> Result<()> {
        let file = self.flags.config.clone().unwrap_or_else(|| DEFAULT_FILE.into());
        refuse(&file, "Remove it, or name another file with --config.")?;
        write_new(&file, &written(&self.flags))?;
        let made = self.make(&file, console).await;
        if made.is_err() {
            // It was made just now, by us, and there is nothing that it would belong to.
            let _ = std::fs::remove_file(&file);
        }
        let made = made?;
        if !console.json {
            console.note(&told(&made));
        }
        console.show(&made, |made| format!("{}\n", cell(&made["api_key"])))
    }

    async fn make(&self, file: &Path, console: &Console) -> Result<Value> {
        let flags = Flags { config: Some(file.to_owned()), ..self.flags.clone() };
        let config = Config::load(&flags, &console.environment)?;
        let next = "There is an installation already: start it with `evergrant serve`, or name another folder with --data-dir.";
        refuse(&config.database, next)?;
        if let MasterKeySource::MadeAtFirstStart(key) = &config.master_key {
            refuse(key, next)?;
        }
        let folder = &config.data_dir;
        let failed = |why| CliError::File { file: folder.clone(), why };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let (folder, place) = (folder.clone(), config.master_key.place());
        let client = Client::Here(App::open(config).await?);
        let wanted = json!({ "name": "first admin key", "permissions": ["admin"] });
        let key = client.post(Route::v1(&["keys"]), &wanted).await;
        client.close().await;
        let key = key?;
        Ok(json!({
            "config": file,
            "data_dir": folder,
            "master_key": place,
            "api_key": key["key"],
            "api_key_id": key["id"],
        }))
    }
}

fn refuse(file: &Path, next: &'static str) -> Result<()> {
    if file.exists() { Err(CliError::AlreadyThere { file: file.to_owned(), next }) } else { Ok(()) }
}

fn write_new(file: &PathBuf, text: &str) -> Result<()> {
    let open = OpenOptions::new().write(true).create_new(true).mode(0o644).open(file);
    let written = open.and_then(|mut open| open.write_all(text.as_bytes()).and_then(|()| open.sync_all()));
    written.map_err(|why| CliError::File { file: file.clone(), why })
}

/// The commented file, with what was given by flags set in it: the service must find what was made here.
fn written(flags: &Flags) -> String {
    let path = |path: &PathBuf| path.to_string_lossy().into_owned();
    let given = [
        ("listen", flags.listen.clone()),
        ("public_url", flags.public_url.clone()),
        ("data_dir", flags.data_dir.as_ref().map(path)),
        ("database_url", flags.database_url.clone()),
    ];
    let mut file = template();
    for (key, value) in given {
        if let Some(value) = value {
            set(&mut file, key, &toml::Value::String(value).to_string());
        }
    }
    if let Some(allowed) = flags.allow_private_networks {
        set(&mut file, "allow_private_networks", &allowed.to_string());
    }
    file
}

/// Puts a value in the place of a commented default.
fn set(file: &mut String, key: &str, value: &str) {
    let commented = format!("# {key} = ");
    let line = |line: &str| {
        if line.starts_with(&commented) { format!("{key} = {value}\n") } else { format!("{line}\n") }
    };
    *file = file.lines().map(line).collect();
}

fn told(made: &Value) -> String {
    format!(
        "{}  the configuration, commented\n{}  the master key, readable by you alone. Keep a copy apart from the data: \
         whoever loses it loses every token\nStart with `evergrant serve`. The first admin API key, shown this once:",
        cell(&made["config"]),
        cell(&made["master_key"]),
    )
}
