//! Hearing what other nodes have committed, on a thread and a connection of its own.
//!
//! Turns are numbered in the order of commits, so a position says what has been heard. Who fell behind what is still told, or
//! hears what he does not understand, forgets everything and reads it anew.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::changes::Change;
use crate::db::{Listener, Look, fell_behind};
use crate::error::StoreError;
use crate::events;
use crate::memory::Heard;
use crate::shared::Shared;

/// How often is looked where nobody calls: so long a commit elsewhere may be unknown here.
const SELDOM: Duration = Duration::from_millis(500);
/// The same while somebody waits for what another node does.
const OFTEN: Duration = Duration::from_millis(200);

/// The thread.
pub(crate) struct Following {
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Following {
    /// Starts it; where one process works alone there is none.
    pub fn start(listener: Option<Listener>, shared: Arc<Shared>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = match listener {
            None => None,
            Some(listener) => {
                let stop = stop.clone();
                let builder = std::thread::Builder::new().name("eg-follower".to_owned());
                Some(builder.spawn(move || follow(&listener, &shared, &stop))?)
            }
        };
        Ok(Following { stop, thread: Mutex::new(thread) })
    }

    /// Ends it, at the latest when it would have looked again.
    pub fn close(&self) {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.close();
    }
}

fn follow(listener: &Listener, shared: &Shared, stop: &AtomicBool) {
    let mut failing = false;
    while !stop.load(Ordering::Relaxed) {
        match look(listener, shared) {
            Ok(more) => {
                if failing {
                    tracing::info!("what other nodes commit is heard again");
                }
                failing = false;
                if more {
                    continue;
                }
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "what other nodes commit is not heard; what is in memory is trusted for a short time only");
                }
                failing = true;
            }
        }
        listener.listen(if shared.waits() { OFTEN } else { SELDOM });
    }
}

/// Hears what there is; whether there is more.
fn look(listener: &Listener, shared: &Shared) -> Result<bool, StoreError> {
    let (asked, position) = (Instant::now(), shared.position());
    let look = listener.look(position)?;
    let more = look.more;
    hear(listener, shared, &look, position, asked)?;
    Ok(more)
}

fn hear(listener: &Listener, shared: &Shared, look: &Look, position: u64, asked: Instant) -> Result<(), StoreError> {
    let lost = look.seq < position;
    if lost {
        fell_behind(&shared.behind);
    }
    shared.clock_seen(look.clock, asked);
    if look.keys > shared.ring.newest() {
        listener.read(|sql| shared.learn(sql))?;
    }
    let (mut changes, mut happened) = (Vec::new(), false);
    for told in &look.told {
        for change in Change::read(&told.document) {
            happened |= matches!(change, Change::Events);
            // What this node did itself has been done here.
            if told.node != shared.node.as_str() {
                changes.push((told.seq, change));
            }
        }
    }
    let anew = lost || look.behind || changes.iter().any(|(_, change)| matches!(change, Change::Unknown));
    if anew {
        tracing::info!("what is in memory may be old; everything is read anew");
        shared.hear_anew(|| listener.read(|sql| shared.load(sql)))?;
    } else {
        shared.hear(Heard { seq: look.seq, changes }, || listener.read(|sql| shared.load_registry(sql)))?;
    }
    if happened || anew {
        tell_events(listener, shared)?;
    }
    shared.confirmed(asked, look.nodes);
    Ok(())
}

/// Tells those who follow the events what was written behind the last one that they were told, in order.
fn tell_events(listener: &Listener, shared: &Shared) -> Result<(), StoreError> {
    loop {
        let last = shared.last_event();
        let found = listener.read(|sql| events::behind(sql, last))?;
        let Some(newest) = found.last().map(|event| event.seq) else { return Ok(()) };
        // Who hears one finds in memory what it says, also where this node wrote it.
        shared.until_committed();
        shared.told_events(newest);
        // Nobody listening is no error.
        found.into_iter().for_each(|event| drop(shared.events.send(Arc::new(event))));
    }
}
