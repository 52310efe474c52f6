//! `evergrant backup` and `evergrant restore`: the database as one file, and back.
//!
//! Both work on files: no key is needed, and a running service is not asked. Neither copies the master key.

use std::path::{Path, PathBuf};

use evergrant_store::{BackupError, back_up, restore};
use serde_json::json;

use super::console::Console;
use super::error::{CliError, Result};
use super::table::cell;
use crate::config::{Config, Flags};

/// Where a backup goes.
#[derive(Debug, clap::Args)]
pub(crate) struct Backup {
    /// The file to be made; it must not be there yet
    file: PathBuf,
    #[command(flatten)]
    flags: Flags,
}

/// Where a backup comes from.
#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// The backup
    file: PathBuf,
    /// Put it in the place of the database that is there, which is kept beside it
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    flags: Flags,
}

impl Backup {
    /// Makes it.
    pub(super) async fn run(self, console: &Console) -> Result<()> {
        let config = Config::load(&self.flags, &console.environment)?;
        let (file, now) = (self.file.clone(), console.now());
        let database = database_file(&config, "pg_dump -Fc -f FILE DATABASE_URL")?;
        blocking(move || back_up(&database, &file, now)).await?;
        console.note(
            "The master key is not in it: without the key nobody can read a token, you neither. Keep both, in two places.",
        );
        let document = json!({ "file": self.file, "taken_at": now });
        console.show(&document, |document| format!("{}\n", cell(&document["file"])))
    }
}

impl Restore {
    /// Puts it back.
    pub(super) async fn run(self, console: &Console) -> Result<()> {
        let config = Config::load(&self.flags, &console.environment)?;
        let now = console.now();
        let replace = self.replace;
        let database = database_file(&config, "pg_restore -d DATABASE_URL FILE, into an empty database")?;
        let place = database.clone();
        let restored = blocking(move || restore(&self.file, (&config.data_dir, &place), replace, now)).await;
        let restored = match restored {
            Err(CliError::Backup(BackupError::AlreadyThere { file })) if !replace => {
                let next = "With --replace it is kept beside, under another name, and the backup takes its place";
                return Err(CliError::AlreadyThere { file, next });
            }
            restored => restored?,
        };
        console.note(
            "The next start serves live tokens and sends nothing: see `evergrant adopt --dry-run`, then `evergrant adopt`.",
        );
        let document = json!({ "database": database, "taken_at": restored.taken_at, "kept": restored.kept });
        console.show(&document, |document| match document["kept"].as_str() {
            Some(_) => format!("{}  (before: {})\n", cell(&document["database"]), cell(&document["kept"])),
            None => format!("{}\n", cell(&document["database"])),
        })
    }
}

/// A database on a server has tools of its own, which copy it while it is in use.
fn database_file(config: &Config, instead: &str) -> Result<PathBuf> {
    config.database.file().map(Path::to_owned).ok_or_else(|| {
        CliError::Usage(format!(
            "{} is on a database server, which has tools of its own: {instead} (docs/operations.md). Nothing was changed",
            config.database
        ))
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::result::Result<T, BackupError> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|why| CliError::Refused(why.to_string()))??)
}
