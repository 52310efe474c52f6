//! A queue between async callers and a thread that takes everything that waits at once.
//!
//! Taking all at once is what makes group commit: while one group is on its way to the disk, the next one gathers.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The queue.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    most: usize,
}

struct State<T> {
    items: VecDeque<T>,
    closed: bool,
}

/// What came of waiting.
pub(crate) enum Taken<T> {
    /// These waited.
    Items(Vec<T>),
    /// Nothing came within the given time.
    Nothing,
    /// The queue is closed and empty.
    Closed,
}

/// Why an item was not taken in.
pub(crate) enum NotTaken {
    /// It is closed.
    Closed,
    /// Too many wait.
    Full,
}

impl<T> Queue<T> {
    /// A queue in which at most `most` items wait.
    pub fn new(most: usize) -> Self {
        Queue { state: Mutex::new(State { items: VecDeque::new(), closed: false }), filled: Condvar::new(), most }
    }

    pub fn push(&self, item: T) -> Result<(), NotTaken> {
        let mut state = self.lock();
        if state.closed {
            return Err(NotTaken::Closed);
        }
        if state.items.len() >= self.most {
            return Err(NotTaken::Full);
        }
        state.items.push_back(item);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits until something is there, at most for `patience`, and takes up to `most` of it.
    pub fn take(&self, most: usize, patience: Option<Duration>) -> Taken<T> {
        let mut state = self.lock();
        while state.items.is_empty() {
            if state.closed {
                return Taken::Closed;
            }
            state = match patience {
                None => self.filled.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let (state, waited) =
                        self.filled.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
                    if waited.timed_out() && state.items.is_empty() && !state.closed {
                        return Taken::Nothing;
                    }
                    state
                }
            };
        }
        let count = state.items.len().min(most);
        Taken::Items(state.items.drain(..count).collect())
    }

    /// Lets nothing more in; what waits is still taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // The queue is whole after each statement: a panic elsewhere cannot leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
