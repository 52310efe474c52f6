//! Backups: one consistent file of a database that may be in use, and putting one back.
//!
//! A backup is the database and nothing else: neither the master key, without which nobody can read a token in it, nor the
//! journal. It is marked as a copy, so that a service that opens it spends nothing before the operator says so. Both work on
//! files and need no key; a running service goes on and is not asked.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use evergrant_core::time::Timestamp;
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};

use super::super::{Schema, Sql};
use super::Files;
use crate::deployment::{COPY, Copied, document};
use crate::error::{OpenError, StoreError};
use crate::folder::HeldFolder;
use crate::row::json;
use crate::store::put_meta;

/// A backup that cannot be made or put back. Nothing has been changed then.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A database does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is no database.
    #[error("there is no database at {file}; nothing was changed. Name the right one", file = file.display())]
    Missing {
        /// Where it was looked for.
        file: PathBuf,
    },
    /// Something is there that would be overwritten.
    #[error("{file} is already there; nothing was changed", file = file.display())]
    AlreadyThere {
        /// It.
        file: PathBuf,
    },
    /// The pages of a backup do not fit together.
    #[error("the backup {file} is damaged: {what}. Nothing was changed; take another one", file = file.display())]
    Damaged {
        /// The backup.
        file: PathBuf,
        /// What SQLite found.
        what: String,
    },
    /// A file cannot be written.
    #[error("{file} cannot be written: {why}. What was there before is as it was", file = file.display())]
    File {
        /// It.
        file: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
}

/// What was put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredBackup {
    /// When the backup was made; none if `evergrant backup` did not make it.
    pub taken_at: Option<Timestamp>,
    /// Where the database lies now that was there before.
    pub kept: Option<PathBuf>,
}

/// Copies a database into a new file, as of one instant, while others may write to it. Blocks.
///
/// # Errors
/// [`BackupError`]; then the file is not there.
pub fn back_up(database: &Path, into: &Path, now: Timestamp) -> Result<(), BackupError> {
    let source = open(database)?;
    make_private(into)?;
    let beside = with_suffix(into, ".part");
    let made = copy(&source, &beside, now, true).and_then(|_| place(&beside, into));
    if made.is_err() {
        // Neither is anything yet; the place was taken a moment ago.
        let _ = std::fs::remove_file(&beside);
        let _ = std::fs::remove_file(into);
    }
    made
}

/// Puts a backup in the place of the database of a folder that nobody serves from. A database that is there is kept beside
/// it, if `replace` allows that. The folder's journal stays: it mends what the backup does not know. Blocks.
///
/// # Errors
/// [`BackupError`]; then the folder is as it was.
pub fn restore(
    backup: &Path,
    (folder, database): (&Path, &Path),
    replace: bool,
    now: Timestamp,
) -> Result<RestoredBackup, BackupError> {
    let source = open(backup)?;
    let whole: String = source
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|why| BackupError::Damaged { file: backup.to_owned(), what: why.to_string() })?;
    if whole != "ok" {
        return Err(BackupError::Damaged { file: backup.to_owned(), what: whole });
    }
    let _held = HeldFolder::take(folder)?;
    let there = std::fs::metadata(database).is_ok_and(|found| found.len() > 0);
    if there && !replace {
        return Err(BackupError::AlreadyThere { file: database.to_owned() });
    }
    let beside = with_suffix(database, ".restoring");
    let taken_at = copy(&source, &beside, now, false)?;
    let kept = if there { Some(set_aside(database, now)?) } else { None };
    place(&beside, database)?;
    Ok(RestoredBackup { taken_at, kept })
}

/// Opens a database of ours that is there.
fn open(database: &Path) -> Result<Connection, BackupError> {
    if !std::fs::metadata(database).is_ok_and(|found| found.is_file() && found.len() > 0) {
        return Err(BackupError::Missing { file: database.to_owned() });
    }
    let files = Files { database: database.to_owned() };
    let raw = files.open_reader()?;
    match files.schema(&raw)? {
        Schema::Number(_) => Ok(raw),
        Schema::New => Err(BackupError::Missing { file: database.to_owned() }),
    }
}

/// All pages in one step, so in one transaction: those who write meanwhile are not held up and not half seen. Marks the copy;
/// says when it, or what it is a copy of, was taken.
fn copy(source: &Connection, into: &Path, now: Timestamp, fresh: bool) -> Result<Option<Timestamp>, BackupError> {
    // What an earlier try left behind is nothing.
    let _ = std::fs::remove_file(into);
    make_private(into)?;
    let files = Files { database: into.to_owned() };
    let failed = |error| BackupError::Open(files.refused(error));
    let mut raw = Connection::open_with_flags(into, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
        .map_err(failed)?;
    Backup::new(source, &mut raw)
        .and_then(|backup| backup.run_to_completion(i32::MAX, std::time::Duration::ZERO, None))
        .map_err(failed)?;
    // One file, without a log beside it.
    raw.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(())).map_err(failed)?;
    let taken_at = files.look(&raw, |sql| {
        let marked = document::<Copied>(sql, COPY).ok().flatten();
        if fresh {
            put_meta(sql, COPY, json(&Copied::made(now))?.as_bytes())?;
            return Ok(Some(now));
        }
        match marked {
            Some(marked) => Ok(Some(marked.at)),
            // A copy of another making: as of when it is, its own mark says better than the clock does now.
            None => mark_as_copy(sql).map(|()| None),
        }
    })?;
    raw.close().map_err(|(_, error)| failed(error))?;
    Ok(taken_at)
}

fn mark_as_copy(sql: &Sql<'_>) -> Result<(), StoreError> {
    let at = crate::deployment::marked_at(sql)?.unwrap_or_default();
    put_meta(sql, COPY, json(&Copied::made(at))?.as_bytes())
}

/// The database and its log under another name.
fn set_aside(database: &Path, now: Timestamp) -> Result<PathBuf, BackupError> {
    let named = format!(".before-{}", now.as_seconds());
    let kept = with_suffix(database, &named);
    if kept.exists() {
        return Err(BackupError::AlreadyThere { file: kept });
    }
    for part in ["-wal", "-shm", ""] {
        let (from, to) = (with_suffix(database, part), with_suffix(&kept, part));
        match std::fs::rename(&from, &to) {
            Err(why) if part.is_empty() || why.kind() != std::io::ErrorKind::NotFound => {
                return Err(file_error(&from, why));
            }
            _ => {}
        }
    }
    Ok(kept)
}

/// A new file that nobody else can read.
fn make_private(file: &Path) -> Result<(), BackupError> {
    let fresh = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    fresh.map(drop).map_err(|why| file_error(file, why))
}

/// Synced, then under its name.
fn place(from: &Path, to: &Path) -> Result<(), BackupError> {
    let placed = std::fs::File::open(from).and_then(|file| file.sync_all()).and_then(|()| std::fs::rename(from, to));
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    placed.and_then(|()| std::fs::File::open(folder)?.sync_all()).map_err(|why| file_error(to, why))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn file_error(file: &Path, why: std::io::Error) -> BackupError {
    let file = file.to_owned();
    match why.kind() {
        std::io::ErrorKind::AlreadyExists => BackupError::AlreadyThere { file },
        _ => BackupError::File { file, why },
    }
}
