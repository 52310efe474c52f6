//! The one thread that writes.
//!
//! It takes everything that waits, runs each use in a savepoint of one transaction, commits once, and only then answers
//! each caller. A use that fails is rolled back alone. A commit that fails fails everybody who was in it. A caller who
//! goes away changes nothing: his use still runs.

use std::cell::RefCell;
use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::sql::{Sql, trouble};
use crate::error::{StoreError, Trouble};
use crate::queue::{NotTaken, Queue, Taken};

/// At most so many uses share a commit: bounds how long the first of them waits.
const GROUP: usize = 256;
/// At most so many uses wait.
const WAITING: usize = 65_536;

/// A use at work: statements, and what is to be done after the commit.
pub(crate) struct Unit<'a, E> {
    sql: Sql<'a>,
    effects: RefCell<Vec<E>>,
}

impl<'a, E> Deref for Unit<'a, E> {
    type Target = Sql<'a>;
    fn deref(&self) -> &Sql<'a> {
        &self.sql
    }
}

impl<E> Unit<'_, E> {
    /// After the commit, and before anybody is answered.
    pub fn after_commit(&self, effect: E) {
        self.effects.borrow_mut().push(effect);
    }
}

/// A use that waits.
trait Waiting<E>: Send {
    /// Runs it; says whether what it did should stay.
    fn run(&mut self, unit: &Unit<'_, E>) -> bool;
    /// Answers its caller, after the commit or instead of it.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

enum Job<E> {
    Use(Box<dyn Waiting<E>>),
    /// Puts the log into the database and empties it.
    Checkpoint(oneshot::Sender<Result<(), StoreError>>),
}

struct Use<F, T> {
    work: Option<F>,
    outcome: Option<Result<T, StoreError>>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl<E, F, T> Waiting<E> for Use<F, T>
where
    F: FnOnce(&Unit<'_, E>) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn run(&mut self, unit: &Unit<'_, E>) -> bool {
        let Some(work) = self.work.take() else { return false };
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| work(unit)));
        let outcome = outcome.unwrap_or_else(|_| Err(StoreError::defect("running a use that panicked")));
        let stays = outcome.is_ok();
        self.outcome = Some(outcome);
        stays
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let outcome = match (committed, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            (Ok(()), None) => Err(StoreError::defect("answering a use that did not run")),
            // Its own error says more than that the group failed.
            (Err(_), Some(Err(own))) => Err(own),
            (Err(error), _) => Err(error),
        };
        // A caller who has gone away does not mind.
        let _ = self.caller.send(outcome);
    }
}

/// What surrounds the uses of a group.
pub(crate) trait Household<E>: Send {
    /// Runs first in each transaction.
    fn before(&mut self, unit: &Unit<'_, E>) -> Result<(), StoreError>;
    /// Runs after the commit, before any caller is answered.
    fn after(&mut self, effects: Vec<E>);
}

/// The writer.
pub(crate) struct Writer<E: 'static> {
    queue: Arc<Queue<Job<E>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<E: Send + 'static> Writer<E> {
    /// Starts the thread.
    pub fn start(raw: rusqlite::Connection, household: Box<dyn Household<E>>) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new(WAITING));
        let taken = queue.clone();
        let thread = std::thread::Builder::new().name("eg-writer".to_owned()).spawn(move || {
            let mut work = Work { raw, household };
            while let Taken::Items(jobs) = taken.take(GROUP, None) {
                work.serve(jobs);
            }
            work.end();
        })?;
        Ok(Writer { queue, thread: Mutex::new(Some(thread)) })
    }

    /// Runs a use in a transaction and answers after its commit.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Unit<'_, E>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (caller, answer) = oneshot::channel();
        self.push(Job::Use(Box::new(Use { work: Some(work), outcome: None, caller })))?;
        answer.await.unwrap_or_else(|_| Err(StoreError::closed()))
    }

    /// Puts the log into the database and empties it, so that nothing of what was erased lies on in it.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        let (caller, answer) = oneshot::channel();
        self.push(Job::Checkpoint(caller))?;
        answer.await.unwrap_or_else(|_| Err(StoreError::closed()))
    }

    fn push(&self, job: Job<E>) -> Result<(), StoreError> {
        self.queue.push(job).map_err(|refused| match refused {
            NotTaken::Closed => StoreError::closed(),
            NotTaken::Full => StoreError::Unavailable { trouble: Trouble::Overloaded, cause: None },
        })
    }
}

impl<E: 'static> Writer<E> {
    /// Lets nothing more in and waits until everything that waited is committed and the file is closed.
    pub fn close(&self) {
        self.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl<E: 'static> Drop for Writer<E> {
    fn drop(&mut self) {
        self.close();
    }
}

struct Work<E> {
    raw: rusqlite::Connection,
    household: Box<dyn Household<E>>,
}

impl<E> Work<E> {
    fn serve(&mut self, jobs: Vec<Job<E>>) {
        let (mut uses, mut checkpoints) = (Vec::new(), Vec::new());
        for job in jobs {
            match job {
                Job::Use(waiting) => uses.push(waiting),
                Job::Checkpoint(caller) => checkpoints.push(caller),
            }
        }
        if !uses.is_empty() {
            self.group(uses);
        }
        if !checkpoints.is_empty() {
            let done = self.raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
            let done = done.map_err(trouble).and_then(|busy| match busy {
                0 => Ok(()),
                _ => Err(StoreError::Unavailable { trouble: Trouble::Locked, cause: None }),
            });
            checkpoints.into_iter().for_each(|caller| drop(caller.send(done.clone())));
        }
    }

    fn group(&mut self, mut group: Vec<Box<dyn Waiting<E>>>) {
        let committed = self.transaction(&mut group);
        if let Err(error) = &committed {
            tracing::error!(%error, uses = group.len(), "a commit of the store failed");
            // Nothing is open any more after most errors; where something is, it must not leak into the next group.
            let _ = self.raw.execute_batch("ROLLBACK");
        }
        for waiting in group {
            waiting.answer(committed.clone());
        }
    }

    fn transaction(&mut self, group: &mut [Box<dyn Waiting<E>>]) -> Result<(), StoreError> {
        self.raw.execute_batch("BEGIN IMMEDIATE").map_err(trouble)?;
        let unit = Unit { sql: Sql { raw: &self.raw }, effects: RefCell::new(Vec::new()) };
        self.household.before(&unit)?;
        for waiting in group {
            in_savepoint(&self.raw, &unit, waiting.as_mut())?;
        }
        let effects = unit.effects.into_inner();
        self.raw.execute_batch("COMMIT").map_err(trouble)?;
        self.household.after(effects);
        Ok(())
    }

    fn end(self) {
        // The write-ahead log is put into the database, so that a copy of one file is a whole backup.
        let _ = self.raw.execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE)");
        if let Err((_, error)) = self.raw.close() {
            tracing::warn!(%error, "the database did not close cleanly; it will be recovered at the next start");
        }
    }
}

fn in_savepoint<E>(
    raw: &rusqlite::Connection,
    unit: &Unit<'_, E>,
    waiting: &mut dyn Waiting<E>,
) -> Result<(), StoreError> {
    let mark = unit.effects.borrow().len();
    raw.prepare_cached("SAVEPOINT one").and_then(|mut begin| begin.execute([])).map_err(trouble)?;
    let stays = waiting.run(unit);
    if raw.is_autocommit() {
        // A full disk or a failing one makes SQLite roll back the whole transaction by itself.
        return Err(StoreError::Unavailable { trouble: Trouble::Io, cause: None });
    }
    if !stays {
        unit.effects.borrow_mut().truncate(mark);
        raw.prepare_cached("ROLLBACK TO one").and_then(|mut back| back.execute([])).map_err(trouble)?;
    }
    raw.prepare_cached("RELEASE one").and_then(|mut end| end.execute([])).map(drop).map_err(trouble)
}
