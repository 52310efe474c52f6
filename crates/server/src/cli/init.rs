//! `evergrant init`: a configuration, a master key and a first admin key, in a place where there is nothing yet.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::client::{Client, Route};
use super::console::Console;
use super::error::{CliError, Result};
use super::exit::Exit;
use super::table::cell;
use crate::app::App;
use crate::config::{Config, Flags, MasterKeySource, is_there, template};

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
        // A server's URL may hold its password.
        let mode = if self.flags.database_url.is_some() { 0o600 } else { 0o644 };
        write_new(&file, &written(&self.flags), mode)?;
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
        if let Some(file) = config.database.file() {
            refuse(file, next)?;
        }
        if let MasterKeySource::MadeAtFirstStart(key) = &config.master_key {
            refuse(key, next)?;
        }
        let folder = config.data_dir.clone();
        let before = Before::of(&folder);
        let made = installation(file, config).await;
        // In use by somebody else is not ours to tidy.
        if let Err(error) = &made
            && error.exit() != Exit::TryLater
            && before.restore(&folder)
        {
            console.note("It was not finished, and what had been made was removed again.");
        }
        made
    }
}

/// The folder, the key, the database and the first API key.
async fn installation(file: &Path, config: Config) -> Result<Value> {
    let folder = config.data_dir.clone();
    let failed = |why| CliError::File { file: folder.clone(), why };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
    let place = config.master_key.place();
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

/// What the data folder was before.
enum Before {
    Absent,
    Empty,
    Occupied,
}

impl Before {
    fn of(folder: &Path) -> Self {
        match std::fs::read_dir(folder) {
            Ok(mut entries) => entries.next().map_or(Before::Empty, |_| Before::Occupied),
            Err(why) if why.kind() == ErrorKind::NotFound => Before::Absent,
            Err(_) => Before::Occupied,
        }
    }

    /// Makes it so again; false where something else lay there, or nothing was made.
    fn restore(self, folder: &Path) -> bool {
        match self {
            Before::Absent => is_there(folder) && std::fs::remove_dir_all(folder).is_ok(),
            Before::Empty => empty(folder).is_ok(),
            Before::Occupied => false,
        }
    }
}

/// Removes what lies in a folder, and leaves the folder itself as it is: somebody has chosen its owner and its place.
fn empty(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn refuse(file: &Path, next: &'static str) -> Result<()> {
    if is_there(file) { Err(CliError::AlreadyThere { file: file.to_owned(), next }) } else { Ok(()) }
}

fn write_new(file: &PathBuf, text: &str, mode: u32) -> Result<()> {
    let failed = |why| CliError::File { file: file.clone(), why };
    let mut open = OpenOptions::new().write(true).create_new(true).mode(mode).open(file).map_err(failed)?;
    let written = open.write_all(text.as_bytes()).and_then(|()| open.sync_all());
    written.map_err(|why| {
        // Half a file would stand in the way of the next try.
        let _ = std::fs::remove_file(file);
        failed(why)
    })
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
    let (config, key) = (cell(&made["config"]), cell(&made["master_key"]));
    let start = if config == DEFAULT_FILE { String::new() } else { format!(" --config {config}") };
    format!(
        "configuration  {config}\nmaster key     {key}\nKeep a copy of the master key apart from the data: whoever loses it \
         loses every token.\nStart with `evergrant serve{start}`. The first admin API key, shown this once:",
    )
}
