//! Another master key, while everything goes on.

use std::time::Duration;

use evergrant_store::{MasterKey, Resealed};

use super::Service;
use super::access::{Caller, Scope};
use super::audit::line;
use super::error::{Conflict, Refusal};
use crate::config::KeyExchange;

/// How often the database is asked, every half second, whether a rotation of unknown outcome has held.
const ASKED: u32 = 60;

/// What came of a rotation.
#[derive(Clone, Debug)]
pub struct Rotated {
    /// Names the key that was in use, without revealing it.
    pub from: String,
    /// Names the key that is in use now.
    pub to: String,
    /// The file where the new key is; none where its source was given.
    pub key: Option<String>,
    /// The file where the old key is kept; none where it was not in a file.
    pub old_key: Option<String>,
}

impl Service {
    /// Makes a new master key in the place of the old one.
    ///
    /// # Errors
    /// [`Conflict::MasterKeyElsewhere`], [`Conflict::MasterKeyNotKept`]; [`Refusal::StorageUnavailable`].
    pub async fn rotate_master_key(&self, caller: &Caller) -> Result<Rotated, Refusal> {
        if caller.scope != Scope::All {
            return Err(Refusal::not_found("master key for this key: it sees some integrations only"));
        }
        let exchange = KeyExchange::of(&self.master_key)
            .ok_or_else(|| Conflict::MasterKeyElsewhere { place: self.master_key.place() })?;
        let (service, caller) = (self.clone(), caller.clone());
        // On a task of the service's own: a caller that goes away must not leave it half-way.
        let work = self.tasks.spawn(async move { service.exchanged(&caller, &exchange).await });
        work.await.map_err(|error| Refusal::internal(&error))?
    }

    async fn exchanged(&self, caller: &Caller, exchange: &KeyExchange) -> Result<Rotated, Refusal> {
        let _one_at_a_time = self.rotating.lock().await;
        let not_kept = |error: &dyn std::error::Error| Conflict::MasterKeyNotKept { why: error.to_string() };
        let from = self.store.master_key_fingerprint();
        let new = exchange.prepare(&from, self.entropy.as_ref(), self.now()).map_err(|error| not_kept(&error))?;
        let to = new.fingerprint();
        self.wrap_anew(caller, new, &from).await?;
        let kept = exchange.finish(self.now()).map_err(|error| {
            let cause = format!(
                "{error}; the new key is in the file beside it that ends in .next, and the next start takes it"
            );
            Refusal::Internal { cause }
        })?;
        let (key, old_key) = (Some(self.master_key.place()), Some(kept.display().to_string()));
        Ok(Rotated { from, to, key, old_key })
    }

    /// Takes over a master key that somebody else keeps: for a command of the operator's. The next start must find it.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] when it is the key in use; [`Refusal::StorageUnavailable`].
    pub async fn take_master_key(&self, caller: &Caller, new: MasterKey) -> Result<Rotated, Refusal> {
        let _one_at_a_time = self.rotating.lock().await;
        let (from, to) = (self.store.master_key_fingerprint(), new.fingerprint());
        if from == to {
            return Err(Refusal::invalid("master key", "expected another one than the one in use"));
        }
        self.wrap_anew(caller, new, &from).await?;
        Ok(Rotated { from, to, key: None, old_key: None })
    }

    async fn wrap_anew(&self, caller: &Caller, new: MasterKey, from: &str) -> Result<(), Refusal> {
        let audit = line(caller, "master_key.rotated", new.fingerprint()).with("from", from);
        let to = new.fingerprint();
        if let Err(error) = self.store.rotate_master_key(new, Some(audit), self.now()).await {
            self.has_held(&to, error).await?;
        }
        tracing::info!(from, to = self.store.master_key_fingerprint(), "the master key was rotated");
        self.reseal_what_is_old();
        Ok(())
    }

    /// After a commit whose outcome is not known: whether the database is under the new key all the same. Asked for a while.
    async fn has_held(&self, to: &str, error: evergrant_store::StoreError) -> Result<(), Refusal> {
        if !error.is_passing() {
            return Err(error.into());
        }
        for _ in 0..ASKED {
            match self.store.stored_master_key_fingerprint().await {
                Ok(Some(stored)) if stored == to => return Ok(()),
                Ok(_) => return Err(error.into()),
                Err(_) => self.clock.sleep(Duration::from_millis(500)).await,
            }
        }
        Err(error.into())
    }

    /// Seals what is under older data keys again, in the background; goes on after a restart.
    pub fn reseal_what_is_old(&self) {
        let service = self.clone();
        self.tasks.spawn(async move {
            if let Err(error) = service.reseal().await {
                tracing::warn!(%error, "sealing old rows again was broken off; the next start or rotation goes on");
            }
        });
    }

    async fn reseal(&self) -> Result<(), evergrant_store::StoreError> {
        if !self.store.has_old_seals().await? {
            return Ok(());
        }
        let mut part = Resealed::default();
        while !self.stop.is_cancelled() {
            let rows = part.rows;
            match self.store.reseal_part(part).await? {
                Some(next) => part = next,
                None => {
                    tracing::info!(rows, "everything that lives long is sealed under the newest data key");
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
