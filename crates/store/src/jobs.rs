//! Bulk jobs: how far they are. The document is the caller's affair.

use evergrant_core::id::JobId;
use evergrant_core::time::Timestamp;
use serde_json::Value;

use crate::db::{Row, Sql, values};
use crate::error::StoreError;
use crate::nodes::Living;
use crate::report::{self, Report};
use crate::row::json;
use crate::store::Store;

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Under way.
    Running,
    /// Done.
    Finished,
    /// The process ended before it was done.
    Interrupted,
}

impl JobState {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            JobState::Running => "running",
            JobState::Finished => "finished",
            JobState::Interrupted => "interrupted",
        }
    }

    fn read(word: &str) -> Result<Self, StoreError> {
        let all = [JobState::Running, JobState::Finished, JobState::Interrupted];
        all.into_iter().find(|state| state.as_str() == word).ok_or_else(|| StoreError::damaged("the state of a job"))
    }
}

/// A job.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// How far it is.
    pub state: JobState,
    /// What the caller keeps of it; never a secret.
    pub document: Value,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl Store {
    /// Makes a job that is running.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn create_job(
        &self,
        id: JobId,
        document: Value,
        said: Report,
        now: Timestamp,
    ) -> Result<Job, StoreError> {
        self.write(move |tx, shared| {
            let text = "INSERT INTO jobs (id, state, node, document, created_at) VALUES (?1, ?2, ?3, ?4, ?5)";
            let state = JobState::Running;
            tx.run_one("jobs", text, values![id, state.as_str(), shared.node, json(&document)?, now])?;
            report::write_on_its_own(tx, shared, &said, id.as_str(), now)?;
            Ok(Job { id, state, document, created_at: now, finished_at: None })
        })
        .await
    }

    /// Writes how far a running job is, or that it is done; false if it is not running any more.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn update_job(
        &self,
        id: &JobId,
        document: Value,
        finished_at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write(move |tx, _| {
            let state = if finished_at.is_some() { JobState::Finished } else { JobState::Running };
            let text =
                "UPDATE jobs SET state = ?2, document = ?3, finished_at = ?4 WHERE id = ?1 AND state = 'running'";
            Ok(tx.run(text, values![id, state.as_str(), json(&document)?, finished_at])? == 1)
        })
        .await
    }

    /// A job.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn job(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
        let id = id.clone();
        let text = "SELECT id, state, document, created_at, finished_at FROM jobs WHERE id = ?1";
        self.read(move |sql, _| sql.one(text, values![id], read)).await
    }
}

fn read(row: &Row<'_>) -> Result<Job, StoreError> {
    let (state, document) = (JobState::read(&row.text(1)?)?, row.json(2)?);
    Ok(Job { id: row.parse(0)?, state, document, created_at: row.time(3)?, finished_at: row.opt_time(4)? })
}

/// The nodes that had jobs running and do not live any more.
pub(crate) fn left_behind(sql: &Sql<'_>, living: &Living) -> Result<Vec<String>, StoreError> {
    let text = "SELECT DISTINCT node FROM jobs WHERE finished_at IS NULL";
    let mut nodes: Vec<String> = sql.all(text, &[], |row| row.text(0))?;
    nodes.retain(|node| !living.has(Some(node)));
    Ok(nodes)
}

/// Whoever ran them is gone.
pub(crate) fn interrupt(sql: &Sql<'_>, living: &Living, now: Timestamp) -> Result<(), StoreError> {
    for node in left_behind(sql, living)? {
        let text = "UPDATE jobs SET state = 'interrupted', finished_at = ?1 WHERE finished_at IS NULL AND node = ?2";
        sql.run(text, values![now, node])?;
    }
    Ok(())
}
