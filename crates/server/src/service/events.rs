//! What happened, as far as a caller may see it.

use evergrant_core::id::EventId;
use evergrant_store::{Event, EventFilter};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::Service;
use super::access::Caller;
use super::connections::visible;
use super::error::Refusal;
use super::page::{Page, Window};

/// Events that are read at once while catching up.
const BATCH: usize = 200;

impl Service {
    /// Events, newest first.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub async fn events(&self, caller: &Caller, window: &Window) -> Result<Page<Event>, Refusal> {
        Ok(self.store.events(seen_by(caller), window.after.clone(), window.limit as usize).await?)
    }

    /// Follows events live, from after `last` if that is given.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] when there is no such event (any more); [`Refusal::StorageUnavailable`].
    pub async fn follow(&self, caller: &Caller, last: Option<&EventId>) -> Result<Following, Refusal> {
        // Subscribed before looking: what is committed in between comes twice, and is told apart by its number.
        let live = self.store.follow_events();
        let from = match last {
            Some(id) => {
                let gone = || Refusal::invalid("last-event-id", "expected the id of an event that is still kept");
                Some(self.store.event_seq(id).await?.ok_or_else(gone)?)
            }
            None => None,
        };
        let (service, caller) = (self.clone(), caller.clone());
        Ok(Following { service, filter: seen_by(&caller), caller, live, last: from, behind: from.is_some() })
    }
}

fn seen_by(caller: &Caller) -> EventFilter {
    EventFilter { integrations: visible(&caller.scope, None), ..EventFilter::default() }
}

/// Somebody who follows.
pub struct Following {
    service: Service,
    caller: Caller,
    filter: EventFilter,
    live: Receiver<std::sync::Arc<Event>>,
    last: Option<u64>,
    behind: bool,
}

impl Following {
    /// What happens next; none when it is over: the service stops, or the key does not count any more.
    pub async fn next(&mut self) -> Option<Vec<Event>> {
        let events = self.heard().await?;
        // A key that was revoked while nothing happened must not hear what happens now.
        self.service.access.is_still_good(&self.caller).then_some(events)
    }

    async fn heard(&mut self) -> Option<Vec<Event>> {
        loop {
            if self.behind {
                match self.catch_up().await {
                    Some(missed) if missed.is_empty() => self.behind = false,
                    caught_up => return caught_up,
                }
            }
            let heard = tokio::select! {
                () = self.service.stop.cancelled() => return None,
                heard = self.live.recv() => heard,
            };
            match heard {
                Ok(event) if self.last.is_some_and(|last| event.seq <= last) => {}
                Ok(event) => {
                    self.last = Some(event.seq);
                    if self.filter.fits(&event) {
                        return Some(vec![(*event).clone()]);
                    }
                }
                Err(RecvError::Lagged(_)) => self.behind = self.last.is_some(),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    async fn catch_up(&mut self) -> Option<Vec<Event>> {
        let last = self.last.unwrap_or(0);
        let missed = self.service.store.events_after(self.filter.clone(), last, BATCH).await.ok()?;
        self.last = missed.last().map_or(self.last, |event| Some(event.seq));
        Some(missed)
    }
}
