//! Which deployment a database belongs to, and how far that deployment has come: so that a restored backup and a copy are
//! told from the database that has been served all the time.
//!
//! The same two facts stand in the database and in a file of each data folder: the deployment's name, and an epoch that
//! grows at each start and every few minutes. The database is written first, so that a crash between the two leaves the
//! database ahead, which is harmless. The database also says which one it is, where its server tells that: a dump that
//! was loaded elsewhere is a copy. What follows from all this is [`rule`]'s. `docs/operations.md` tells it to operators.

mod mark;
mod rule;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use evergrant_core::id::DeploymentId;
use evergrant_core::time::Timestamp;
use tokio::sync::watch;

use crate::audit::{self, NewAudit};
use crate::db::{Opening, Schema, Sql, values};
use crate::entropy::SharedEntropy;
use crate::error::{OpenError, StoreError};
use crate::events::{self, About, NewEvent};
use crate::row::json;
use crate::shared::Tx;
use crate::store::{Store, meta, put_meta};
pub(crate) use mark::Copied;
use mark::Mark;
use rule::Seen;

/// The file, within the data folder.
const FILE: &str = "deployment";
/// The row of `meta` that says the same.
const ROW: &str = "deployment";
/// The row of `meta` that marks a copy: a backup says when it was made.
pub(crate) const COPY: &str = "copied";
/// The row of `meta` that says that the operator has been told.
const TOLD: &str = "quarantine_told";

/// Why a database is not taken for the latest of its deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuarantineCause {
    /// It is a backup that was put back.
    Restored,
    /// The deployment in this folder has come further than this database.
    Older,
    /// It is not the database in which its deployment was served, or belongs to a deployment in another folder.
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
    /// What this folder is called.
    place: String,
    had_journal: bool,
    stands: Mutex<Stands>,
    /// The server has lost commits that it had answered.
    behind: Arc<watch::Sender<bool>>,
}

struct Stands {
    /// What is in force, or what an adoption goes on from.
    mark: Mark,
    /// What the folder said at the start of a quarantine.
    file: Option<Mark>,
    quarantine: Option<Quarantine>,
    /// The cause lies in the database: another node may adopt it too.
    is_of_the_database: bool,
}

impl Standing {
    fn stands(&self) -> MutexGuard<'_, Stands> {
        self.stands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The data folder that a store is opened with.
pub(crate) struct Folder<'a> {
    pub path: &'a Path,
    /// What it is called.
    pub place: String,
    /// Whether the journal's folder was there.
    pub had_journal: bool,
}

/// Compares the two, and goes on to the next epoch where they agree: in one turn, so that nodes that start at one moment
/// see each other.
pub(crate) fn stand(
    opening: &mut Opening,
    folder: Folder<'_>,
    (behind, alone): (Arc<watch::Sender<bool>>, bool),
    entropy: &SharedEntropy,
    now: Timestamp,
) -> Result<Standing, OpenError> {
    let path = folder.path.join(FILE);
    let failed = |cause| OpenError::io(format!("the file {}", path.display()), cause);
    let file = mark::read(&path).map_err(failed)?;
    // In a simulation several share a file: then none is a copy.
    let is_new = opening.schema() == Schema::New || !alone;
    let (mut stood, mut unwritten) = (None, None);
    let entered = opening.enter(|sql, _| {
        let mut stands = compare(sql, &folder, (is_new, file.as_ref()), entropy, now)?;
        if stands.quarantine.is_none() {
            if file.is_none() {
                // First the file at epoch 0, then the row: a crash between them is no copy.
                mark::write(&path, &Mark { epoch: 0, ..stands.mark.clone() }).map_err(|why| {
                    unwritten = Some(failed(why));
                    StoreError::defect("writing the deployment's file")
                })?;
            }
            stands.mark = stands.mark.next(&folder.place, now);
            put_meta(sql, ROW, json(&stands.mark)?.as_bytes())?;
        }
        stood = Some(stands);
        Ok(())
    });
    if let Some(why) = unwritten {
        return Err(why);
    }
    entered?;
    let stands = stood.ok_or(StoreError::defect("comparing a database with its folder"))?;
    if stands.quarantine.is_none() {
        mark::write(&path, &stands.mark).map_err(failed)?;
    }
    let Folder { place, had_journal, .. } = folder;
    Ok(Standing { file: path, place, had_journal, stands: Mutex::new(stands), behind })
}

/// What the database and the file say together, before anything is changed but the marker of a copy.
fn compare(
    sql: &Sql<'_>,
    folder: &Folder<'_>,
    (is_new, file): (bool, Option<&Mark>),
    entropy: &SharedEntropy,
    now: Timestamp,
) -> Result<Stands, StoreError> {
    let (row, copied, here) = (document::<Mark>(sql, ROW)?, document::<Copied>(sql, COPY)?, sql.identity()?);
    let (row, copied) = (row.as_ref(), copied.as_ref());
    let seen = Seen { is_new, copied, row, file, here: here.as_ref(), had_journal: folder.had_journal };
    let both = || [row, file].into_iter().flatten();
    let cause = seen.cause();
    // A copy becomes a deployment of its own; the original keeps its name, also when a folder from elsewhere joins it.
    let joins = cause.is_none() || here.is_some() && !seen.is_of_the_database();
    let kept = if joins { row.or(file) } else { file.filter(|_| seen.is_ours()) };
    let mark = Mark {
        deployment: kept.map_or_else(|| DeploymentId::make(now, entropy.id()), |mark| mark.deployment.clone()),
        epoch: both().map(|mark| mark.epoch).max().unwrap_or(0),
        at: now,
        places: both().flat_map(|mark| mark.places.clone()).collect(),
        home: here.clone(),
    };
    let known = copied.filter(|copied| copied.cause.is_some());
    let quarantine = cause.map(|cause| {
        let journal_is_whole = match known {
            Some(copied) => copied.journal_is_whole && seen.is_ours(),
            None => seen.journal_is_whole(&folder.place, now),
        };
        Quarantine { cause, taken_at: seen.taken_at(), journal_is_whole }
    });
    let is_of_the_database = seen.is_of_the_database();
    if is_of_the_database && known.is_none() {
        put_marker(sql, quarantine)?;
    }
    Ok(Stands { mark, file: file.cloned(), quarantine, is_of_the_database })
}

impl Store {
    /// Why nothing may be spent from this database, if nothing may.
    pub fn quarantine(&self) -> Option<Quarantine> {
        self.standing().stands().quarantine
    }

    /// Whether the database server has lost commits that it had answered (it failed over, or was put back): until it has
    /// been put right from the journal, nothing is sent.
    pub fn is_behind(&self) -> bool {
        *self.standing().behind.borrow()
    }

    /// Waits until it has.
    pub async fn falls_behind(&self) {
        let mut behind = self.standing().behind.subscribe();
        // The sender is the store's own.
        let _ = behind.wait_for(|behind| *behind).await;
    }

    /// What the journal holds has been brought in.
    pub fn is_right_again(&self) {
        self.standing().behind.send_replace(false);
    }

    /// Looks again at which database this is, and goes on to the next epoch, so that an older copy is told from it. A
    /// database that turns out to be an older one or another one is in quarantine from then on; one that another node has
    /// adopted no longer is.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn advance_epoch(&self, now: Timestamp) -> Result<(), StoreError> {
        let standing = self.standing();
        let (mark, original, before, of_database) = {
            let stands = standing.stands();
            (stands.mark.clone(), stands.file.clone(), stands.quarantine, stands.is_of_the_database)
        };
        let (place, had_journal) = (standing.place.clone(), standing.had_journal);
        let looked = move |tx: &Tx<'_>| {
            let row = document::<Mark>(tx, ROW)?;
            let (copied, here) = (document::<Copied>(tx, COPY)?, tx.identity()?);
            let mut known = if before.is_some() { original } else { Some(mark.clone()) };
            if let (true, Some(row), Some(known)) = (before.is_some() && of_database, &row, &mut known) {
                // Whoever adopted it gave it a name.
                known.deployment = row.deployment.clone();
            }
            let (row, file) = (row.as_ref(), known.as_ref());
            let seen = Seen {
                is_new: false,
                copied: copied.as_ref(),
                row,
                file,
                here: here.as_ref(),
                had_journal: had_journal || before.is_none(),
            };
            let Some(cause) = seen.cause() else {
                let deployment = row.map_or(&mark, |row| row).deployment.clone();
                let epoch = row.map_or(0, |row| row.epoch).max(mark.epoch);
                let places = row.into_iter().flat_map(|row| row.places.clone()).collect();
                let next = Mark { deployment, epoch, places, home: here.clone(), at: now }.next(&place, now);
                put_meta(tx, ROW, json(&next)?.as_bytes())?;
                return Ok((None, Some(next)));
            };
            if before.is_some() {
                return Ok((before, None));
            }
            let found =
                Quarantine { cause, taken_at: seen.taken_at(), journal_is_whole: seen.journal_is_whole(&place, now) };
            if seen.is_of_the_database() && copied.is_none() {
                put_marker(tx, Some(found))?;
            }
            Ok((Some(found), None))
        };
        let (quarantine, next) = self.write(move |tx, _| looked(tx)).await?;
        if let Some(next) = &next {
            self.write_file(next.clone()).await?;
        }
        let mut stands = standing.stands();
        stands.quarantine = quarantine;
        stands.mark = next.unwrap_or_else(|| stands.mark.clone());
        Ok(())
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
        let standing = self.standing();
        let place = standing.place.clone();
        let (mark, is_ours) = {
            let stands = standing.stands();
            let named = |file: &Mark| file.deployment == stands.mark.deployment;
            (stands.mark.next(&place, now), stands.file.as_ref().is_some_and(named))
        };
        if !is_ours {
            // First the file at epoch 0, then the row: a crash between them is no copy.
            self.write_file(Mark { epoch: 0, ..mark.clone() }).await?;
        }
        let next = mark.clone();
        self.write(move |tx, _| {
            put_meta(tx, ROW, json(&Mark { home: tx.identity()?, ..next })?.as_bytes())?;
            for name in [COPY, TOLD] {
                tx.run("DELETE FROM meta WHERE name = ?1", values![name])?;
            }
            audit::write(tx, Some(&line), now)
        })
        .await?;
        self.write_file(mark.clone()).await?;
        let mut stands = standing.stands();
        (stands.mark, stands.quarantine) = (mark, None);
        Ok(())
    }

    /// Not on a thread that answers calls: a sync takes its time.
    async fn write_file(&self, mark: Mark) -> Result<(), StoreError> {
        let file = self.standing().file.clone();
        let written = self.blocking(move || mark::write(&file, &mark)).await;
        written.ok_or(StoreError::defect("writing the deployment's file"))?.map_err(StoreError::io)
    }
}

/// As of when a database is, by its own mark.
pub(crate) fn marked_at(sql: &Sql<'_>) -> Result<Option<Timestamp>, StoreError> {
    Ok(document::<Mark>(sql, ROW)?.map(|mark| mark.at))
}

fn put_marker(sql: &Sql<'_>, found: Option<Quarantine>) -> Result<(), StoreError> {
    let Some(found) = found else { return Ok(()) };
    let cause = Some(found.cause.as_str().to_owned());
    let at = found.taken_at.unwrap_or_default();
    let marker = Copied { at, cause, journal_is_whole: found.journal_is_whole };
    put_meta(sql, COPY, json(&marker)?.as_bytes())
}

pub(crate) fn document<T: for<'a> serde::Deserialize<'a>>(sql: &Sql<'_>, name: &str) -> Result<Option<T>, StoreError> {
    let Some(bytes) = meta(sql, name)? else { return Ok(None) };
    let read = serde_json::from_slice(&bytes);
    read.map(Some).map_err(|_| StoreError::damaged(format!("an unreadable `{name}` in `meta`")))
}
