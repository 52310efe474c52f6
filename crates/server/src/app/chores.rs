//! What a service does beside serving: it comes back to what could not be done at once, and throws away what is old.

use std::time::Duration;

use evergrant_store::Retention;

use crate::service::Service;
use crate::service::error::Refusal;

/// How often old rows are looked for.
const CLEAN_UP_EVERY: Duration = Duration::from_secs(600);
/// How often the folder of catalogue entries is looked at.
const CATALOGUE_EVERY: Duration = Duration::from_secs(5);
/// A database that could not be put right is tried again after this.
const BEHIND_RETRY: Duration = Duration::from_millis(500);
/// How often revocations and pending grants are looked at.
const CHORES_EVERY: Duration = Duration::from_secs(20);
/// A pending grant is somebody's who waits for it; after this the service goes on with it by itself.
const PENDING_AGE: Duration = Duration::from_secs(60);

/// Until the service stops: revocations that could not be told at once, grants whose account could not be looked up at once, what providers did not
/// answer after a grant, and what nodes were doing that have died.
pub async fn chores(service: Service) {
    loop {
        // Nothing of this may be sent before the operator has adopted a restored or copied database.
        if service.store.quarantine().is_some() {
            // Another node may have adopted it.
            report(service.look_again().await);
            if !pause(&service, CHORES_EVERY).await {
                return;
            }
            continue;
        }
        report(service.revoke_what_is_due().await);
        report(service.resume_pending(PENDING_AGE).await);
        report(service.ask_what_is_owed().await);
        report(service.go_on_for_the_dead().await);
        if !pause(&service, CHORES_EVERY).await {
            return;
        }
    }
}

/// A database server that has lost what it had answered is put right before anything else is sent.
pub(super) async fn put_right(service: Service) {
    loop {
        tokio::select! {
            () = service.stop.cancelled() => return,
            () = service.store.falls_behind() => {}
        }
        report(service.put_right().await);
        if service.store.is_behind() && !pause(&service, BEHIND_RETRY).await {
            return;
        }
    }
}

/// New and changed entries count within seconds.
pub(super) async fn watch_catalogue(service: Service) {
    let mut stale = false;
    loop {
        report(service.look_at_catalogue(&mut stale).await);
        if !pause(&service, CATALOGUE_EVERY).await {
            return;
        }
    }
}

/// Until the service stops: throws away what nobody needs any more.
pub async fn clean_up(service: Service) {
    loop {
        let mut rows = 1;
        while rows > 0 && !service.stop.is_cancelled() {
            rows = match service.store.clean_up(Retention::default(), service.now()).await {
                Ok(rows) => rows,
                Err(error) => {
                    report(Err(error.into()));
                    0
                }
            };
        }
        if !pause(&service, CLEAN_UP_EVERY).await {
            return;
        }
        // So that a copy that was made a while ago is told from this database.
        report(service.look_again().await);
    }
}

pub(super) fn report(done: Result<(), Refusal>) {
    if let Err(refusal) = done {
        tracing::warn!(%refusal, "a chore could not be done; it is tried again");
    }
}

/// Waits; false when the service stops. In parts of at most 30 s, because machines are suspended.
pub(super) async fn pause(service: &Service, span: Duration) -> bool {
    let end = service.now().plus(span);
    while service.now() < end {
        let part = end.until_from(service.now()).min(Duration::from_secs(30));
        tokio::select! {
            () = service.stop.cancelled() => return false,
            () = service.clock.sleep(part) => {}
        }
    }
    !service.stop.is_cancelled()
}
