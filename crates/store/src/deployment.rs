//! Which deployment a database belongs to, and how far that deployment has come: so that a restored backup and a copy are
//! told from the database that has been served all the time.
//!
//! The same two facts stand in the database and in a file of the data folder: the deployment's name, and an epoch that
//! grows at each start and every few minutes. The database is written first, so that a crash between the two leaves the
//! database ahead, which is harmless. A database behind its file, without its file, or with another one's is an older or
//! a copied one: its refresh tokens may have been spent since.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evergrant_core::id::DeploymentId;
use evergrant_core::time::{Timestamp, millis};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::audit::{self, NewAudit};
use crate::db::{Files, Schema, Sql, values};
use crate::entropy::SharedEntropy;
use crate::error::{OpenError, StoreError};
use crate::events::{self, About, NewEvent};
use crate::row::json;
use crate::store::{Store, meta, put_meta};

/// The file, within the data folder.
const FILE: &str = "deployment";
/// The row of `meta` that says the same.
const ROW: &str = "deployment";
/// The row of `meta` that marks a copy: a backup says when it was made.
pub(crate) const COPY: &str = "copied";
/// The row of `meta` that says that the operator has been told.
const TOLD: &str = "quarantine_told";
/// How long the journal keeps what was committed.
const JOURNAL_KEEPS: Duration = Duration::from_secs(7 * 24 * 3600);

/// What the file and the row say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    deployment: DeploymentId,
    epoch: u64,
    #[serde(with = "millis")]
    at: Timestamp,
}

/// What the marker of a copy says.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Copied {
    #[serde(with = "millis")]
    pub at: Timestamp,
}

/// Why a database is not taken for the latest of its deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuarantineCause {
    /// It is a backup that was put back.
    Restored,
    /// The deployment in this folder has come further than this database.
    Older,
    /// It belongs to a deployment in another folder, or the file that names this one is gone.
    Copied,
}

impl QuarantineCause {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            QuarantineCause::Restored => "restored_backup",
            QuarantineCause::Older => "older_database",
            QuarantineCause::Copied => "copied_database",
        }
    }
}

/// Nothing is spent until the operator adopts this database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// Why.
    pub cause: QuarantineCause,
    /// As of when the database is, as far as it says.
    pub taken_at: Option<Timestamp>,
    /// Whether the journal beside it holds every answer since then.
    pub journal_is_whole: bool,
}

/// Where this process stands.
pub(crate) struct Standing {
    file: PathBuf,
    /// What is in force, or what an adoption goes on from.
    mark: Mutex<Mark>,
    quarantine: Mutex<Option<Quarantine>>,
}

impl Standing {
    fn mark(&self) -> MutexGuard<'_, Mark> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn quarantine(&self) -> MutexGuard<'_, Option<Quarantine>> {
        self.quarantine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compares the two, and goes on to the next epoch where they agree. `had_journal`: whether the journal's folder was there.
pub(crate) fn stand(
    files: &Files,
    raw: &Connection,
    folder: &Path,
    (schema, had_journal): (Schema, bool),
    entropy: &SharedEntropy,
    now: Timestamp,
) -> Result<Standing, OpenError> {
    let path = folder.join(FILE);
    let failed = |cause| OpenError::io(format!("the file {}", path.display()), cause);
    let file = read(&path).map_err(failed)?;
    let (row, copied) = files.look(raw, |sql| Ok((document::<Mark>(sql, ROW)?, document::<Copied>(sql, COPY)?)))?;
    let taken_at = copied.map(|copied| copied.at).filter(|at| at.as_millis() > 0).or(row.as_ref().map(|row| row.at));
    let ours = match (&row, &file) {
        (Some(row), Some(file)) => row.deployment == file.deployment,
        // Of before deployments had names; the file came later.
        (None, Some(_)) => true,
        (_, None) => false,
    };
    let cause = match (&row, &file) {
        _ if schema == Schema::New => None,
        _ if copied.is_some() => Some(QuarantineCause::Restored),
        (None, None) => None,
        (None, Some(file)) => (file.epoch > 0).then_some(QuarantineCause::Older),
        (Some(_), None) => Some(QuarantineCause::Copied),
        (Some(_), Some(_)) if !ours => Some(QuarantineCause::Copied),
        (Some(row), Some(file)) => (row.epoch < file.epoch).then_some(QuarantineCause::Older),
    };
    let epochs = [&row, &file].into_iter().flatten().map(|mark| mark.epoch);
    let epoch = epochs.max().unwrap_or(0);
    let known = if ours { file.as_ref() } else { None };
    // A copy becomes a deployment of its own; the original keeps its name.
    let fresh = || DeploymentId::make(now, entropy.id());
    let keeps_name = known.or(file.as_ref().filter(|_| row.is_none() || schema == Schema::New));
    let deployment = keeps_name.map_or_else(fresh, |mark| mark.deployment.clone());
    let mark = Mark { deployment, epoch, at: now };
    let Some(cause) = cause else {
        if file.is_none() {
            // First the file at epoch 0, then the row: a crash between them is no copy.
            write(&path, &Mark { epoch: 0, ..mark.clone() }).map_err(failed)?;
        }
        let next = Mark { epoch: epoch + 1, ..mark };
        files.look(raw, |sql| put_meta(sql, ROW, json(&next)?.as_bytes()))?;
        write(&path, &next).map_err(failed)?;
        return Ok(Standing { file: path, mark: Mutex::new(next), quarantine: Mutex::default() });
    };
    if !had_journal && file.is_some() {
        // The next start finds a journal, made by this one: it must not take it for the old one.
        std::fs::remove_file(&path).map_err(failed)?;
    }
    let recent = taken_at.is_some_and(|at| at > now.minus(JOURNAL_KEEPS));
    let found = Quarantine { cause, taken_at, journal_is_whole: had_journal && ours && recent };
    Ok(Standing { file: path, mark: Mutex::new(mark), quarantine: Mutex::new(Some(found)) })
}

impl Store {
    /// Why nothing may be spent from this database, if nothing may.
    pub fn quarantine(&self) -> Option<Quarantine> {
        *self.standing().quarantine()
    }

    /// Goes on to the next epoch, so that an older copy is told from this database; nothing in quarantine.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn advance_epoch(&self, now: Timestamp) -> Result<(), StoreError> {
        if self.quarantine().is_some() {
            return Ok(());
        }
        let next = self.next_mark(now);
        self.write_mark(next, |_| Ok(())).await
    }

    /// Writes the alert for the operator, once in a quarantine.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn tell_quarantine(&self, now: Timestamp) -> Result<(), StoreError> {
        let Some(found) = self.quarantine() else { return Ok(()) };
        self.write(move |tx, shared| {
            if meta(tx, TOLD)?.is_some() {
                return Ok(());
            }
            put_meta(tx, TOLD, b"1")?;
            let event = NewEvent::new("deployment.quarantined").with("cause", found.cause.as_str());
            let about = About { integration: None, connection: None, subject: None };
            events::write(tx, shared, about, &[event], now)
        })
        .await
    }

    /// Takes this database for the latest: from now on it is refreshed from.
    ///
    /// # Errors
    /// Those of every write; then the quarantine goes on.
    pub async fn adopt(&self, line: NewAudit, now: Timestamp) -> Result<(), StoreError> {
        let next = self.next_mark(now);
        if read(&self.standing().file).map_err(StoreError::io)?.is_none_or(|file| file.deployment != next.deployment) {
            write(&self.standing().file, &Mark { epoch: 0, ..next.clone() }).map_err(StoreError::io)?;
        }
        self.write_mark(next, move |tx| {
            for name in [COPY, TOLD] {
                tx.run("DELETE FROM meta WHERE name = ?1", values![name])?;
            }
            audit::write(tx, Some(&line), now)
        })
        .await?;
        self.standing().quarantine().take();
        Ok(())
    }

    fn next_mark(&self, now: Timestamp) -> Mark {
        let mark = self.standing().mark();
        Mark { epoch: mark.epoch + 1, at: now, ..mark.clone() }
    }

    /// The database first, then the file.
    async fn write_mark(
        &self,
        next: Mark,
        more: impl FnOnce(&crate::shared::Tx<'_>) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let text = json(&next)?;
        self.write(move |tx, _| {
            put_meta(tx, ROW, text.as_bytes())?;
            more(tx)
        })
        .await?;
        write(&self.standing().file, &next).map_err(StoreError::io)?;
        *self.standing().mark() = next;
        Ok(())
    }
}

/// As of when a database is, by its own mark.
pub(crate) fn marked_at(sql: &Sql<'_>) -> Result<Option<Timestamp>, StoreError> {
    Ok(document::<Mark>(sql, ROW)?.map(|mark| mark.at))
}

fn document<T: for<'a> Deserialize<'a>>(sql: &Sql<'_>, name: &str) -> Result<Option<T>, StoreError> {
    let Some(bytes) = meta(sql, name)? else { return Ok(None) };
    let read = serde_json::from_slice(&bytes);
    read.map(Some).map_err(|_| StoreError::damaged(format!("an unreadable `{name}` in `meta`")))
}

/// What the file says; none if it is missing, or is no such file: then the database is taken for a copy.
fn read(path: &Path) -> std::io::Result<Option<Mark>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why),
    }
}

/// Whole or not at all: beside it, synced, then in its place.
fn write(path: &Path, mark: &Mark) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    serde_json::to_writer(&mut file, mark)?;
    file.flush()?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    match path.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
