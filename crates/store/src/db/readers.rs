//! The threads that read: each takes what waits and answers it from one snapshot.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::base::Reader;
use super::sql::Sql;
use crate::error::{StoreError, Trouble};
use crate::queue::{NotTaken, Queue, Taken};

/// At most so many reads share a snapshot.
const GROUP: usize = 64;
/// At most so many reads wait.
const WAITING: usize = 65_536;

/// Learns data keys that another node has made, from the snapshot in which they first may be needed.
pub(crate) type Learn = Arc<dyn Fn(&Sql<'_>, u32) -> Result<(), StoreError> + Send + Sync>;

type Read = Box<dyn FnOnce(Result<&Sql<'_>, StoreError>) + Send>;

/// The readers.
pub(crate) struct Readers {
    queue: Arc<Queue<Read>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Readers {
    /// Starts a thread for each connection.
    pub fn start(connections: Vec<Reader>, learn: &Learn) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new(WAITING));
        let readers = Readers { queue: queue.clone(), threads: Mutex::default() };
        for reader in connections {
            let (queue, learn) = (queue.clone(), learn.clone());
            let builder = std::thread::Builder::new().name("eg-reader".to_owned());
            let thread = builder.spawn(move || {
                while let Taken::Items(group) = queue.take(GROUP, None) {
                    snapshot(&reader, &learn, group);
                }
            })?;
            readers.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(readers)
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
        match self.queue.push(read) {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(StoreError::closed())),
            Err(NotTaken::Closed) => Err(StoreError::closed()),
            Err(NotTaken::Full) => Err(StoreError::Unavailable { trouble: Trouble::Overloaded, cause: None }),
        }
    }

    /// Lets nothing more in and waits for what was under way.
    pub fn close(&self) {
        self.queue.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
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
