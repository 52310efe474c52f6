//! Pages that follow how one subject's connections are doing, and are told when that has changed.
//!
//! What an onlooker hears is no record of what happened but how things are now, looked up anew: whoever missed something
//! has missed nothing. One task listens to what is committed, on this node and on others, and wakes those whom it concerns,
//! so that a refresh of one person costs nobody else anything.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evergrant_core::id::SubjectId;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::Service;
use super::access::Caller;
use super::error::Refusal;
use super::subjects::PersonHealth;
use crate::notify::words::Support;

/// Onlookers at once; each holds a connection and a task.
const MOST: usize = 2048;
/// Onlookers of one subject at once: windows on a few devices.
const MOST_OF_ONE: usize = 8;
/// A look without anything that woke it: the end of an access token is no event.
const LOOK_ANYWAY: Duration = Duration::from_secs(60);

/// Those who look on, by subject. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Onlookers(Arc<Mutex<HashMap<SubjectId, Watched>>>);

#[derive(Debug, Default)]
struct Watched {
    changed: watch::Sender<()>,
    onlookers: usize,
}

impl Onlookers {
    fn add(&self, subject: &SubjectId) -> Option<Place> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.values().map(|one| one.onlookers).sum::<usize>() >= MOST {
            return None;
        }
        let watched = all.entry(subject.clone()).or_default();
        if watched.onlookers >= MOST_OF_ONE {
            return None;
        }
        watched.onlookers += 1;
        let changed = watched.changed.subscribe();
        Some(Place { onlookers: self.clone(), subject: subject.clone(), changed })
    }

    fn remove(&self, subject: &SubjectId) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(watched) = all.get_mut(subject) else { return };
        watched.onlookers -= 1;
        if watched.onlookers == 0 {
            all.remove(subject);
        }
    }

    /// How many look on.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().map(|one| one.onlookers).sum()
    }

    /// Wakes the onlookers of a subject, or all of them.
    fn wake(&self, subject: Option<&SubjectId>) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match subject {
            Some(subject) => all.get(subject).into_iter().for_each(|watched| watched.changed.send_replace(())),
            None => all.values().for_each(|watched| watched.changed.send_replace(())),
        }
    }
}

/// A place among the onlookers; given back when it is dropped.
#[derive(Debug)]
struct Place {
    onlookers: Onlookers,
    subject: SubjectId,
    changed: watch::Receiver<()>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.onlookers.remove(&self.subject);
    }
}

/// Wakes onlookers when something has happened that concerns them, until the service stops.
pub async fn run(service: Service) {
    let mut events = service.store.follow_events();
    loop {
        let heard = tokio::select! {
            () = service.stop.cancelled() => return,
            heard = events.recv() => heard,
        };
        match heard {
            Ok(event) => match &event.subject {
                Some(subject) => service.onlookers.wake(Some(subject)),
                // What becomes of an integration shows in all its connections.
                None if event.integration.is_some() => service.onlookers.wake(None),
                None => {}
            },
            Err(RecvError::Lagged(_)) => service.onlookers.wake(None),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Somebody who looks on.
pub struct Onlooker {
    service: Service,
    caller: Caller,
    place: Place,
    /// What the browser likes best.
    language: Option<&'static str>,
    /// Whom the person can ask, and what about.
    support: (Option<String>, String),
    told: Option<PersonHealth>,
}

impl Service {
    /// Follows how a subject's connections are doing.
    ///
    /// # Errors
    /// [`Refusal::RateLimited`] when too many do.
    pub fn look_on(
        &self,
        caller: &Caller,
        subject: &SubjectId,
        language: Option<&'static str>,
        support: Support<'_>,
    ) -> Result<Onlooker, Refusal> {
        let why = "Too many pages follow this subject, or the service as a whole; ask from time to time instead.";
        let full = Refusal::RateLimited { why, retry_after: Duration::from_secs(30) };
        let place = self.onlookers.add(subject).ok_or(full)?;
        let support = (support.contact.map(str::to_owned), support.request.to_owned());
        Ok(Onlooker { service: self.clone(), caller: caller.clone(), place, language, support, told: None })
    }
}

impl Onlooker {
    /// How they are doing: now, and then whenever that has changed. None when it is over: the session has ended, the key does
    /// not count any more, the service stops, or the storage is away.
    pub async fn next(&mut self) -> Option<PersonHealth> {
        loop {
            if self.told.is_some() && !self.woken().await {
                return None;
            }
            if !self.service.access.is_still_good(&self.caller) {
                return None;
            }
            let support = Support { contact: self.support.0.as_deref(), request: &self.support.1 };
            let looked = self.service.health(&self.caller, &self.place.subject, self.language, support).await;
            let health = looked.ok()?;
            if self.told.as_ref().is_none_or(|told| !told.reads_like(&health)) {
                self.told = Some(health.clone());
                return Some(health);
            }
        }
    }

    /// Waits for a reason to look again; false when there will be none.
    async fn woken(&mut self) -> bool {
        let service = &self.service;
        let left = self.caller.ends_at.map_or(LOOK_ANYWAY, |end| end.since(service.now()));
        tokio::select! {
            () = service.stop.cancelled() => false,
            changed = self.place.changed.changed() => changed.is_ok(),
            () = service.clock.sleep(left.min(LOOK_ANYWAY)) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back_and_one_subject_cannot_take_them_all() {
        let (onlookers, anna, bob) = (Onlookers::default(), "anna".parse().unwrap(), "bob".parse().unwrap());
        let annas: Vec<Place> = (0..MOST_OF_ONE).map(|_| onlookers.add(&anna).unwrap()).collect();
        assert!(onlookers.add(&anna).is_none());
        let mut bobs = onlookers.add(&bob).unwrap();
        onlookers.wake(Some(&anna));
        assert!(annas.iter().all(|place| place.changed.has_changed().unwrap()));
        assert!(!bobs.changed.has_changed().unwrap());
        onlookers.wake(None);
        assert!(bobs.changed.has_changed().unwrap());
        bobs.changed.mark_unchanged();
        drop((annas, bobs));
        assert!(onlookers.0.lock().unwrap().is_empty());
    }
}
