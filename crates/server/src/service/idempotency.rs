//! Requests that are to be done once, whatever the number of times they arrive.

use std::time::Duration;

use evergrant_store::Idempotent;
use zeroize::Zeroizing;

use super::Service;
use super::error::{Conflict, Refusal};

/// How long an answer is kept for repeated requests.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// What is known of an idempotency key.
#[derive(Debug)]
pub enum Entry {
    /// Nothing: do it, and say so.
    New,
    /// It was done: this was the answer.
    Replay(Zeroizing<Vec<u8>>),
}

impl Service {
    /// Takes a caller's key, or finds what became of its first request.
    ///
    /// # Errors
    /// [`Conflict::IdempotencyReused`], [`Conflict::IdempotencyUnderWay`], [`Refusal::StorageUnavailable`].
    pub async fn idempotency_begin(&self, caller: &str, key: &str, request_hash: [u8; 32]) -> Result<Entry, Refusal> {
        let now = self.now();
        match self.store.begin_idempotent(caller, key, request_hash, now, now.plus(KEPT)).await? {
            Idempotent::New => Ok(Entry::New),
            Idempotent::Replay(answer) => Ok(Entry::Replay(answer)),
            Idempotent::OtherRequest => Err(Conflict::IdempotencyReused.into()),
            Idempotent::UnderWay => Err(Conflict::IdempotencyUnderWay.into()),
        }
    }

    /// Keeps the answer for repeated requests; without one, the key is forgotten so that the request can be repeated.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub async fn idempotency_finish(
        &self,
        caller: &str,
        key: &str,
        answer: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<(), Refusal> {
        match answer {
            Some(answer) => self.store.finish_idempotent(caller, key, answer).await?,
            None => self.store.forget_idempotent(caller, key).await?,
        }
        Ok(())
    }
}
