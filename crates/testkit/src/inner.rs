//! What the judge's handles and connections share, and the loop that takes connections.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, Moment, pause};
use crate::serve::converse;
use crate::state::State;

/// What the connections share.
pub(crate) struct Inner {
    state: Mutex<State>,
    clock: Clock,
    changed: watch::Sender<u64>,
}

impl Inner {
    pub(crate) fn new(state: State) -> Self {
        Self { state: Mutex::new(state), clock: Clock::start(), changed: watch::Sender::new(0) }
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Tells of every change from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Changes the state, atomically, and wakes whoever waits for a change.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State, Moment) -> T) -> T {
        let result = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.clock.now();
            change(&mut state, now)
        };
        self.changed.send_modify(|count| *count += 1);
        result
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notices every client that has left; the moment up to which that was asked.
    pub(crate) fn sweep(&self) -> Moment {
        self.change(|state, _| {
            let now = self.clock.now();
            state.sweep(now);
            now
        })
    }

    pub(crate) fn releases(&self) -> watch::Receiver<u64> {
        self.look(|state| state.releases.subscribe())
    }
}

/// Takes connections until the judge stops.
pub(crate) async fn accept(inner: Arc<Inner>, listener: TcpListener, stop: CancellationToken, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (inner, stop) = (Arc::clone(&inner), stop.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = converse(inner, stream) => {}
                    }
                });
            }
            // Out of descriptors: a little later some connection has ended.
            Err(_) => pause(Duration::from_millis(20)).await,
        }
    }
}
