//! The threads that read: each takes what waits and answers it from one snapshot.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::base::Reader;
use super::sql::Sql;
use crate::error::{StoreError, Trouble};
use crate::pace::{SharedPace, Step, Threads, in_turn};
use crate::queue::{NotTaken, Queue, Taken};

/// At most so many reads share a snapshot.
const GROUP: usize = 64;
/// At most so many reads wait.
const WAITING: usize = 65_536;

/// Learns data keys that another node has made, from the snapshot in which they first may be needed.
pub(crate) type Learn = Arc<dyn Fn(&Sql<'_>, u32) -> Result<(), StoreError> + Send + Sync>;

/// A read that waits.
pub(crate) type Read = Box<dyn FnOnce(Result<&Sql<'_>, StoreError>) + Send>;

/// The readers.
pub(crate) enum Readers {
    /// On threads of their own.
    Threads { queue: Arc<Queue<Read>>, threads: Mutex<Vec<JoinHandle<()>>> },
    /// Where they are asked, one read at a time.
    Inline { reader: Mutex<Option<Reader>>, learn: Learn, pace: SharedPace },
}

impl Readers {
    /// Starts a thread for each connection, where there are threads.
    pub fn start(connections: Vec<Reader>, learn: &Learn, threads: &Threads) -> std::io::Result<Self> {
        if let Threads::Inline(pace) = threads {
            let reader = Mutex::new(connections.into_iter().next());
            return Ok(Readers::Inline { reader, learn: learn.clone(), pace: pace.clone() });
        }
        let queue = Arc::new(Queue::new(WAITING));
        let mut threads = Vec::new();
        for reader in connections {
            let (queue, learn) = (queue.clone(), learn.clone());
            let builder = std::thread::Builder::new().name("eg-reader".to_owned());
            let thread = builder.spawn(move || {
                while let Taken::Items(group) = queue.take(GROUP, None) {
                    snapshot(&reader, &learn, group);
                }
            })?;
            threads.push(thread);
        }
        Ok(Readers::Threads { queue, threads: Mutex::new(threads) })
    }

    /// Runs a read that sees every commit that was answered before this call.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Sql<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (caller, answer) = oneshot::channel();
        let read: Read = Box::new(move |sql| {
            let outcome = sql.and_then(|sql| {
                let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| work(sql)));
                outcome.unwrap_or_else(|_| Err(StoreError::defect("running a read that panicked")))
            });
            let _ = caller.send(outcome);
        });
        self.push(read).await?;
        answer.await.unwrap_or_else(|_| Err(StoreError::closed()))
    }

    async fn push(&self, read: Read) -> Result<(), StoreError> {
        match self {
            Readers::Threads { queue, .. } => queue.push(read).map_err(|refused| match refused {
                NotTaken::Closed => StoreError::closed(),
                NotTaken::Full => StoreError::Unavailable { trouble: Trouble::Overloaded, cause: None },
            }),
            Readers::Inline { reader, learn, pace } => {
                let look = || {
                    let reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
                    reader.as_ref().ok_or(StoreError::closed()).map(|reader| snapshot(reader, learn, vec![read]))
                };
                in_turn(pace, Step::Read, look).await?
            }
        }
    }

    /// Lets nothing more in and waits for what was under way.
    pub fn close(&self) {
        match self {
            Readers::Threads { queue, threads } => {
                queue.close();
                let threads = std::mem::take(&mut *threads.lock().unwrap_or_else(PoisonError::into_inner));
                for thread in threads {
                    let _ = thread.join();
                }
            }
            Readers::Inline { reader, .. } => {
                drop(reader.lock().unwrap_or_else(PoisonError::into_inner).take());
            }
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.close();
    }
}

fn snapshot(reader: &Reader, learn: &Learn, group: Vec<Read>) {
    let sql = reader.sql();
    let newest = reader.begin();
    let is_open = newest.is_ok();
    let mut begun = newest.and_then(|newest| newest.map_or(Ok(()), |newest| learn(&sql, newest)));
    for read in group {
        read(begun.as_ref().map(|()| &sql).map_err(Clone::clone));
        begun = begun.and_then(|()| reader.mend());
    }
    if is_open {
        reader.end();
    }
}
