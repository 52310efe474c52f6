//! Refreshing many connections at once, on order: a job goes on by itself and is looked at now and then.
//!
//! What a job is about is fixed when it is made. It refreshes at most a few at once: the kernel's gates decide how fast
//! each provider is asked, and a job must not fill them for those who wait.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use evergrant_core::id::{ConnectionId, IntegrationName, JobId, SubjectId};
use evergrant_core::time::Timestamp;
use evergrant_store::{NewEvent, Report};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::Service;
use super::access::Caller;
use super::audit::line;
use super::connections::{Filter, Seen, SeenStatus};
use super::error::Refusal;
use super::page::Window;

/// Connections that a job refreshes at once.
const AT_ONCE: usize = 32;
/// Connections that can be named in one order.
const MOST_NAMED: usize = 10_000;
/// How often the progress of a job is written down.
const NOTE_EVERY: usize = 100;

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Under way.
    Running,
    /// Done.
    Finished,
    /// The service stopped before it was done; what was refreshed stays refreshed.
    Interrupted,
}

impl From<evergrant_store::JobState> for JobState {
    fn from(stored: evergrant_store::JobState) -> Self {
        match stored {
            evergrant_store::JobState::Running => JobState::Running,
            evergrant_store::JobState::Finished => JobState::Finished,
            evergrant_store::JobState::Interrupted => JobState::Interrupted,
        }
    }
}

/// Which connections to refresh; all conditions that are given must hold.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Of this integration.
    pub integration: Option<IntegrationName>,
    /// Of this subject.
    pub subject: Option<SubjectId>,
    /// In this status.
    pub status: Option<SeenStatus>,
    /// Whose access token ends within this.
    pub due_within: Option<Duration>,
    /// These.
    pub connections: Option<Vec<ConnectionId>>,
    /// Also those that are fresh.
    pub force: bool,
    /// Only count.
    pub dry_run: bool,
}

/// A job.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// How far it is.
    pub state: JobState,
    /// Whether it only counted.
    pub dry_run: bool,
    /// How many connections it is about.
    pub total: u64,
    /// How many are done.
    pub done: u64,
    /// How they ended.
    pub outcomes: BTreeMap<String, u64>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was done.
    pub finished_at: Option<Timestamp>,
}

/// What is kept of a job.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Document {
    dry_run: bool,
    total: u64,
    done: u64,
    outcomes: BTreeMap<String, u64>,
    /// The integrations that it is about: who may see all of them may see the job.
    integrations: BTreeSet<IntegrationName>,
}

impl Service {
    /// Makes a job of an order, and begins with it.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], [`Refusal::NotFound`] for an integration that is not there, [`Refusal::StorageUnavailable`].
    pub async fn start_job(&self, caller: &Caller, order: Order) -> Result<Job, Refusal> {
        let found = self.ordered(caller, &order).await?;
        let now = self.now();
        let document = Document {
            dry_run: order.dry_run,
            total: found.len() as u64,
            integrations: found.iter().map(|seen| seen.integration.name.clone()).collect(),
            ..Document::default()
        };
        let id = JobId::make(now, self.entropy.id());
        let audit = line(caller, "refresh.ordered", id.as_str()).with("connections", document.total);
        let said = Report::audited(audit).event(NewEvent::new("refresh.ordered").with("job", id.as_str()));
        self.store.create_job(id.clone(), written(&document)?, said, now).await?;
        let ids: Vec<ConnectionId> = found.iter().map(|seen| seen.connection.id.clone()).collect();
        if order.dry_run || ids.is_empty() {
            self.store.update_job(&id, written(&document)?, Some(now)).await?;
            return Ok(shown(id, JobState::Finished, document, now, Some(now)));
        }
        let (service, task_id, task_document) = (self.clone(), id.clone(), document.clone());
        self.tasks.spawn(async move { service.work(task_id, task_document, ids, order.due_within, order.force).await });
        Ok(shown(id, JobState::Running, document, now, None))
    }

    /// A job that a caller may see.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::StorageUnavailable`].
    pub async fn job(&self, caller: &Caller, id: &JobId) -> Result<Job, Refusal> {
        let not_found = || Refusal::not_found("job");
        let job = self.store.job(id).await?.ok_or_else(not_found)?;
        let document: Document =
            serde_json::from_value(job.document).map_err(|_| Refusal::internal(&"an unreadable job"))?;
        if !document.integrations.iter().all(|name| caller.scope.sees(name)) {
            return Err(not_found());
        }
        Ok(shown(job.id, job.state.into(), document, job.created_at, job.finished_at))
    }

    /// The connections that an order is about.
    async fn ordered(&self, caller: &Caller, order: &Order) -> Result<Vec<Seen>, Refusal> {
        if let Some(name) = &order.integration {
            self.seen_integration(&caller.scope, name)?;
        }
        let named = match &order.connections {
            Some(ids) if ids.len() > MOST_NAMED => {
                return Err(Refusal::invalid("connection_ids", format!("expected at most {MOST_NAMED}")));
            }
            Some(ids) => Some(ids.iter().collect::<BTreeSet<_>>()),
            None => None,
        };
        let mut found = match named {
            Some(ids) => self.named(caller, ids, order).await?,
            None => self.filtered(caller, order).await?,
        };
        found.retain(|seen| seen.status != SeenStatus::Disconnected);
        Ok(found)
    }

    async fn named(&self, caller: &Caller, ids: BTreeSet<&ConnectionId>, order: &Order) -> Result<Vec<Seen>, Refusal> {
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            let seen = self.connection(caller, id).await?;
            let fits = order.integration.as_ref().is_none_or(|name| *name == seen.integration.name)
                && order.subject.as_ref().is_none_or(|subject| *subject == seen.connection.subject)
                && order.status.is_none_or(|status| status == seen.status);
            if fits {
                found.push(seen);
            }
        }
        Ok(found)
    }

    async fn filtered(&self, caller: &Caller, order: &Order) -> Result<Vec<Seen>, Refusal> {
        let filter = Filter {
            subject: order.subject.clone(),
            integration: order.integration.clone(),
            status: order.status,
            ..Filter::default()
        };
        let (mut found, mut window) = (Vec::new(), Window { limit: Window::MOST, after: None });
        loop {
            let page = self.list_connections(caller, &filter, &window).await?;
            found.extend(page.items);
            match page.next {
                Some(next) => window.after = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// Does the work, a few at once; stops with the service.
    async fn work(
        &self,
        id: JobId,
        mut document: Document,
        ids: Vec<ConnectionId>,
        due_within: Option<Duration>,
        force: bool,
    ) {
        let (mut waiting, mut running) = (ids.into_iter(), JoinSet::new());
        loop {
            while running.len() < AT_ONCE && !self.stop.is_cancelled() {
                let Some(next) = waiting.next() else { break };
                let refresher = self.refresher.clone();
                running.spawn(async move { refresher.refresh_if_due(&next, due_within, force).await });
            }
            let Some(done) = running.join_next().await else { break };
            let outcome = done.map_or("internal", |outcome| outcome.as_str());
            *document.outcomes.entry(outcome.to_owned()).or_default() += 1;
            document.done += 1;
            if document.done.is_multiple_of(NOTE_EVERY as u64) {
                self.note(&id, &document, None).await;
            }
        }
        // One that was stopped half-way is called interrupted at the next start.
        let finished = (document.done == document.total).then(|| self.now());
        self.note(&id, &document, finished).await;
    }

    async fn note(&self, id: &JobId, document: &Document, finished: Option<Timestamp>) {
        let Ok(value) = written(document) else { return };
        if let Err(error) = self.store.update_job(id, value, finished).await {
            tracing::warn!(%error, job = %id, "how far a job is could not be written down");
        }
    }
}

fn written(document: &Document) -> Result<serde_json::Value, Refusal> {
    serde_json::to_value(document).map_err(|error| Refusal::internal(&error))
}

fn shown(id: JobId, state: JobState, document: Document, created_at: Timestamp, finished_at: Option<Timestamp>) -> Job {
    let Document { dry_run, total, done, outcomes, .. } = document;
    Job { id, state, dry_run, total, done, outcomes, created_at, finished_at }
}
