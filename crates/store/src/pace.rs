//! Where the work of the store runs: on threads of its own, or where it is asked for.
//!
//! A service uses threads. A simulation runs everything on one thread and brings every moment about itself: it is asked
//! before and after each piece of work, and may make it wait, fail it, or never let it go on, as when the process ends
//! there. What runs in between is the same code.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::error::StoreError;

/// Where the work of the store runs.
#[derive(Clone, Debug, Default)]
pub enum Threads {
    /// On threads of its own.
    #[default]
    Own,
    /// Where it is asked for, one use and one commit at a time.
    Inline(SharedPace),
}

/// A piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A snapshot of the database is read.
    Read,
    /// A transaction of the database.
    Write,
    /// The journal is written.
    Journal,
}

/// What comes of waiting for one's turn: an error stands for the answer of the database or of the disk.
pub type Turn = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// Says when a piece of work goes on.
pub trait Pace: Debug + Send + Sync + 'static {
    /// Before it. An error: it does not happen.
    fn before(&self, step: Step) -> Turn;

    /// After it, and before its caller hears of it. An error: it has happened, and its caller does not know.
    fn after(&self, step: Step) -> Turn;
}

/// A pace that is shared by everything in a process.
pub type SharedPace = Arc<dyn Pace>;

/// Everything at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct AtOnce;

impl Pace for AtOnce {
    fn before(&self, _: Step) -> Turn {
        Box::pin(std::future::ready(Ok(())))
    }

    fn after(&self, _: Step) -> Turn {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Does a piece of work in its turn.
pub(crate) async fn in_turn<T>(pace: &SharedPace, step: Step, work: impl FnOnce() -> T) -> Result<T, StoreError> {
    pace.before(step).await?;
    let done = work();
    pace.after(step).await?;
    Ok(done)
}
