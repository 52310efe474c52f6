//! Bugs of the kernel that need more than a condition: see `evergrant_core::planted`. Not in any ordinary build.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use evergrant_core::id::ConnectionId;
use evergrant_core::outcome::Failure;
use evergrant_core::planted::{self, Bug};
use evergrant_core::token_request;
use evergrant_store::refresh::{Leased, SuccessCommit};
use tokio::task::AbortHandle;

use super::flight::Flight;
use super::land::Of;
use super::{Landing, Refresher};
use crate::provider::Limits;

impl Flight<'_> {
    /// What is done with a new grant that nobody has saved yet; a landing where that is the end of it.
    pub(super) async fn planted_before_commit(
        &self,
        leased: &Leased,
        commit: &SuccessCommit,
        of: &Of,
    ) -> Option<Landing> {
        if planted::is(Bug::HandOutBeforeCommit) {
            let shown = self.inner.store.show_uncommitted(leased, commit);
            drop(shown.inspect_err(|error| tracing::error!(%error, "a planted bug failed")));
        }
        if planted::is(Bug::UseBeforeCommit) {
            let token = commit.grant.access_token.as_ref()?;
            let (provider, client) = (&self.integration.provider, &self.integration.client_id);
            let request = token_request::userinfo(provider, client, token)?;
            drop(self.inner.transport.call(request, Limits::TOKEN_ENDPOINT).await);
        }
        if planted::is(Bug::CommitErrorSpendsAgain) {
            let (source, now) = (leased.source(), self.inner.clock.now());
            if let Err(error) = self.inner.store.commit_success(&source, commit.clone(), now).await {
                let failure = Failure::ambiguous(format!("the commit failed: {error}"));
                return Some(self.refuse(leased, failure, of).await);
            }
        }
        None
    }
}

static FLIGHTS: Mutex<Option<HashMap<ConnectionId, AbortHandle>>> = Mutex::new(None);

fn flights() -> MutexGuard<'static, Option<HashMap<ConnectionId, AbortHandle>>> {
    FLIGHTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A flight has begun.
pub(super) fn begun(id: &ConnectionId, flight: AbortHandle) {
    flights().get_or_insert_default().insert(id.clone(), flight);
}

/// Takes the flight with it when it is dropped.
pub(super) struct GoesWithCaller(pub(super) Refresher, pub(super) ConnectionId);

impl Drop for GoesWithCaller {
    fn drop(&mut self) {
        if !planted::is(Bug::CallerCancels) {
            return;
        }
        if let Some(flight) = flights().get_or_insert_default().remove(&self.1).filter(|flight| !flight.is_finished()) {
            flight.abort();
            self.0.0.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
        }
    }
}
