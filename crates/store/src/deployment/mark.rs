//! What the database and the data folder say of their deployment, and how the folder's file is read and written.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use evergrant_core::id::DeploymentId;
use evergrant_core::time::{Timestamp, millis};
use serde::{Deserialize, Serialize};

use super::QuarantineCause;
use crate::db::Identity;

/// A data folder that has not been seen for so long has nothing in its journal that counts.
pub(super) const JOURNAL_KEEPS: Duration = Duration::from_secs(7 * 24 * 3600);

/// What the file and the row say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub deployment: DeploymentId,
    pub epoch: u64,
    #[serde(with = "millis")]
    pub at: Timestamp,
    /// The data folders that have worked on it lately, with the time in milliseconds: each has a journal of its own.
    #[serde(default)]
    pub places: BTreeMap<String, i64>,
    /// The database that it was written in; only in the row, and only where a database has an identity of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<Identity>,
}

impl Mark {
    /// The next one, written from this folder.
    pub fn next(&self, place: &str, now: Timestamp) -> Mark {
        let oldest = now.minus(JOURNAL_KEEPS).as_millis();
        let mut next = Mark { epoch: self.epoch + 1, at: now, ..self.clone() };
        next.places.retain(|_, seen| *seen >= oldest);
        next.places.insert(place.to_owned(), now.as_millis());
        next
    }
}

/// What the marker of a copy says. A backup says when it was made; what was found later is added.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Copied {
    /// As of when the database is; 0 where nobody knows.
    #[serde(with = "millis")]
    pub at: Timestamp,
    /// Why it is in quarantine, by its word in the API; none until a service has looked at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Whether the journal beside it holds every answer since.
    #[serde(default)]
    pub journal_is_whole: bool,
}

impl Copied {
    /// A backup, made now.
    pub fn made(at: Timestamp) -> Self {
        Copied { at, cause: None, journal_is_whole: false }
    }

    pub fn cause(&self) -> QuarantineCause {
        let all = [QuarantineCause::Restored, QuarantineCause::Older, QuarantineCause::Copied];
        let named = all.into_iter().find(|cause| self.cause.as_deref() == Some(cause.as_str()));
        named.unwrap_or(QuarantineCause::Restored)
    }
}

/// What the file says; none if it is missing, or is no such file: then the folder is taken for a new one.
pub(super) fn read(path: &Path) -> std::io::Result<Option<Mark>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why),
    }
}

/// Whole or not at all: beside it, synced, then in its place.
pub(super) fn write(path: &Path, mark: &Mark) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    serde_json::to_writer(&mut file, &Mark { home: None, ..mark.clone() })?;
    file.flush()?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    match path.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
