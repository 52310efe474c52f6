//! The one thread that writes.
//!
//! It takes everything that waits, runs each use in a savepoint of one transaction, commits once, and only then answers
//! each caller. A use that fails is rolled back alone. A commit that fails fails everybody who was in it. A caller who
//! goes away changes nothing: his use still runs.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::base::{Base, Commit};
use super::turn::Turn;
use super::unit::{Household, Unit};
use crate::error::{StoreError, Trouble};
use crate::pace::{SharedPace, Step, Threads, in_turn};
use crate::queue::{NotTaken, Queue, Taken};

/// At most so many uses share a commit: bounds how long the first of them waits.
const GROUP: usize = 256;
/// At most so many uses wait.
const WAITING: usize = 65_536;
/// So long is asked whether a commit held that was not answered. Callers wait meanwhile.
const ASKED: Duration = Duration::from_secs(5);

/// A use that waits.
pub(crate) trait Waiting<E>: Send {
    /// Runs it; says whether what it did should stay.
    fn run(&mut self, unit: &Unit<'_, E>) -> bool;
    /// Answers its caller, after the commit or instead of it.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

pub(crate) enum Job<E> {
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

/// The writer.
pub(crate) enum Writer<E: 'static> {
    /// On a thread of its own.
    Thread { queue: Arc<Queue<Job<E>>>, thread: Mutex<Option<JoinHandle<()>>> },
    /// Where it is asked, one use at a time.
    Inline { work: Mutex<Option<Work<E>>>, pace: SharedPace },
}

impl<E: Send + 'static> Writer<E> {
    /// Starts the thread, where there is one.
    pub fn start(base: Base, household: Box<dyn Household<E>>, threads: &Threads) -> std::io::Result<Self> {
        if let Threads::Inline(pace) = threads {
            let work = Work { base, household, unknown: None };
            return Ok(Writer::Inline { work: Mutex::new(Some(work)), pace: pace.clone() });
        }
        let queue = Arc::new(Queue::new(WAITING));
        let taken = queue.clone();
        let thread = std::thread::Builder::new().name("eg-writer".to_owned()).spawn(move || {
            let rhythm = base.rhythm();
            let mut work = Work { base, household, unknown: None };
            loop {
                match taken.take(GROUP, rhythm) {
                    Taken::Items(jobs) => work.serve(jobs),
                    Taken::Nothing => work.beat(),
                    Taken::Closed => break,
                }
            }
            work.leave();
            work.base.end();
        })?;
        Ok(Writer::Thread { queue, thread: Mutex::new(Some(thread)) })
    }

    /// Runs a use in a transaction and answers after its commit.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Unit<'_, E>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (caller, answer) = oneshot::channel();
        self.push(Job::Use(Box::new(Use { work: Some(work), outcome: None, caller }))).await?;
        answer.await.unwrap_or_else(|_| Err(StoreError::closed()))
    }

    /// Puts the log into the database and empties it, so that nothing of what was erased lies on in it.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        let (caller, answer) = oneshot::channel();
        self.push(Job::Checkpoint(caller)).await?;
        answer.await.unwrap_or_else(|_| Err(StoreError::closed()))
    }

    async fn push(&self, job: Job<E>) -> Result<(), StoreError> {
        match self {
            Writer::Thread { queue, .. } => queue.push(job).map_err(|refused| match refused {
                NotTaken::Closed => StoreError::closed(),
                NotTaken::Full => StoreError::Unavailable { trouble: Trouble::Overloaded, cause: None },
            }),
            Writer::Inline { work, pace } => {
                let serve = || {
                    let mut work = work.lock().unwrap_or_else(PoisonError::into_inner);
                    work.as_mut().ok_or(StoreError::closed()).map(|work| work.serve(vec![job]))
                };
                in_turn(pace, Step::Write, serve).await?
            }
        }
    }
}

impl<E: 'static> Writer<E> {
    /// Lets nothing more in and waits until everything that waited is committed and the file is closed.
    pub fn close(&self) {
        match self {
            Writer::Thread { queue, thread } => {
                queue.close();
                let thread = thread.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(thread) = thread {
                    let _ = thread.join();
                }
            }
            Writer::Inline { work, .. } => {
                let work = work.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(work) = work {
                    work.base.end();
                }
            }
        }
    }
}

impl<E: 'static> Drop for Writer<E> {
    fn drop(&mut self) {
        self.close();
    }
}

/// What writes.
pub(crate) struct Work<E> {
    base: Base,
    household: Box<dyn Household<E>>,
    /// What the last group asked to be done after its commit, while it is not known whether that held.
    unknown: Option<Group<E>>,
}

/// What follows from a group that has been committed.
struct Group<E> {
    effects: Vec<E>,
    turn: Option<Turn>,
    told: bool,
}

/// A group that did not commit, or of which that is not known.
struct Failed<E> {
    error: StoreError,
    unknown: Option<Group<E>>,
}

impl<E> From<StoreError> for Failed<E> {
    fn from(error: StoreError) -> Self {
        Failed { error, unknown: None }
    }
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
            let done = self.base.checkpoint();
            checkpoints.into_iter().for_each(|caller| drop(caller.send(done.clone())));
        }
    }

    fn group(&mut self, mut group: Vec<Box<dyn Waiting<E>>>) {
        let committed = match self.settle() {
            Ok(()) => self.commit(&mut group),
            Err(error) => Err(error),
        };
        if let Err(error) = &committed {
            tracing::error!(%error, uses = group.len(), "a commit of the store failed");
        }
        for waiting in group {
            waiting.answer(committed.clone());
        }
    }

    fn commit(&mut self, group: &mut [Box<dyn Waiting<E>>]) -> Result<(), StoreError> {
        let Err(failed) = self.transaction(group) else { return Ok(()) };
        self.base.roll_back();
        if failed.unknown.is_none() {
            return Err(failed.error);
        }
        self.unknown = failed.unknown;
        self.find_out()
    }

    fn transaction(&mut self, group: &mut [Box<dyn Waiting<E>>]) -> Result<(), Failed<E>> {
        let turn = self.base.begin()?;
        let unit = Unit::new(&self.base, turn);
        self.household.before(&unit)?;
        for waiting in group {
            in_savepoint(&self.base, &unit, waiting.as_mut())?;
        }
        self.household.last(&unit)?;
        let group = Group { turn, told: unit.told.get(), effects: unit.effects.into_inner() };
        match self.base.commit() {
            Commit::Held => self.held(group),
            Commit::Failed(error) => return Err(error.into()),
            Commit::Unknown => return Err(Failed { error: unanswered(), unknown: Some(group) }),
        }
        Ok(())
    }

    fn held(&mut self, group: Group<E>) {
        self.household.after(group.effects, group.turn);
        if group.told {
            self.base.call();
        }
    }

    /// The last group: what this process held is let go of, so that nobody need wait for its end.
    fn leave(&mut self) {
        if self.base.rhythm().is_none() {
            return;
        }
        let left = self.settle().and_then(|()| {
            let turn = self.base.begin()?;
            let unit = Unit::new(&self.base, turn);
            self.household.leave(&unit)?;
            self.household.last(&unit)?;
            match self.base.commit() {
                Commit::Held => Ok(()),
                Commit::Failed(error) => Err(error),
                Commit::Unknown => Err(unanswered()),
            }
        });
        match left {
            Ok(()) => self.base.call(),
            Err(error) => {
                self.base.roll_back();
                tracing::warn!(%error, "what this process held could not be let go of; it ends by itself");
            }
        }
    }

    /// Asks for a while whether the last commit held; beyond it its callers hear that it is not known.
    fn find_out(&mut self) -> Result<(), StoreError> {
        let end = Instant::now() + ASKED;
        loop {
            match self.base.has_committed() {
                Ok(true) => {
                    self.unknown.take().into_iter().for_each(|group| self.held(group));
                    return Ok(());
                }
                Ok(false) => {
                    self.unknown = None;
                    return Err(StoreError::Unavailable { trouble: Trouble::Unreachable, cause: None });
                }
                Err(_) if Instant::now() < end => {
                    std::thread::park_timeout(self.base.pause().unwrap_or(ASKED / 100));
                }
                Err(_) => return Err(unanswered()),
            }
        }
    }

    /// Nothing is written, and nothing in memory is trusted to be current, before the last commit is known.
    fn settle(&mut self) -> Result<(), StoreError> {
        let Some(group) = self.unknown.take() else { return Ok(()) };
        match self.base.has_committed() {
            Ok(true) => self.held(group),
            Ok(false) => {}
            Err(error) => {
                self.unknown = Some(group);
                return Err(error);
            }
        }
        Ok(())
    }

    fn beat(&mut self) {
        if let Err(error) = self.settle().and_then(|()| self.base.beat()) {
            tracing::warn!(%error, "the database was not told that this process is alive");
        }
    }
}

fn unanswered() -> StoreError {
    StoreError::Unavailable { trouble: Trouble::Unanswered, cause: None }
}

fn in_savepoint<E>(base: &Base, unit: &Unit<'_, E>, waiting: &mut dyn Waiting<E>) -> Result<(), StoreError> {
    let mark = unit.effects.borrow().len();
    base.mark("SAVEPOINT one")?;
    let stays = waiting.run(unit);
    if let Some(error) = base.lost_group(stays) {
        return Err(error);
    }
    if !stays {
        unit.effects.borrow_mut().truncate(mark);
        base.mark("ROLLBACK TO one")?;
    }
    base.mark("RELEASE one")
}
