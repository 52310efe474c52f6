//! What a service does beside serving: it comes back to what could not be done at once, and throws away what is old.

use std::time::Duration;

use evergrant_store::Retention;

use crate::service::Service;
use crate::service::error::Refusal;

/// How often revocations and pending grants are looked at.
const CHORES_EVERY: Duration = Duration::from_secs(20);
/// How often the folder of catalogue entries is looked at.
const CATALOGUE_EVERY: Duration = Duration::from_secs(5);
/// How often old rows are looked for.
const CLEAN_UP_EVERY: Duration = Duration::from_secs(600);
/// A pending grant is somebody's who waits for it; after this the service goes on with it by itself.
const PENDING_AGE: Duration = Duration::from_secs(60);

/// Until the service stops: revocations that could not be told at once, grants whose account could not be looked up at once, and what providers did
/// not answer after a grant.
pub async fn chores(service: Service) {
    loop {
        report(service.revoke_what_is_due().await);
        report(service.resume_pending(PENDING_AGE).await);
        report(service.ask_what_is_owed().await);
        if !pause(&service, CHORES_EVERY).await {
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
    }
}

fn report(done: Result<(), Refusal>) {
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
            biased;
            () = service.stop.cancelled() => return false,
            () = service.clock.sleep(part) => {}
        }
    }
    !service.stop.is_cancelled()
}
