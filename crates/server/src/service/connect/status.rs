//! How far a connect session is, for whoever made it.

use evergrant_core::id::{ConnectSessionId, ConnectionId};
use evergrant_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::progress::Progress;
use super::session::read_plan;
use crate::notify::words::Words;
use crate::service::Service;
use crate::service::access::Caller;
use crate::service::connections::provider_name;
use crate::service::error::Refusal;

/// How far it is, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StatusWord {
    /// The person has not finished.
    Pending,
    /// There is a connection.
    Connected,
    /// The person said no.
    Denied,
    /// It failed; a link can be used again, a code cannot.
    Failed,
    /// It ended without anything having come of it.
    Expired,
}

/// How far a session is.
#[derive(Clone, Debug)]
pub struct Status {
    /// The session.
    pub id: ConnectSessionId,
    /// In one word.
    pub word: StatusWord,
    /// The connection, once there is one.
    pub connection: Option<ConnectionId>,
    /// Why it failed.
    pub failure: Option<(&'static str, String)>,
    /// When its link or its code ends.
    pub expires_at: Timestamp,
}

impl Service {
    /// How far a session is.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], also for one of another integration.
    pub async fn session_status(&self, caller: &Caller, id: &ConnectSessionId) -> Result<Status, Refusal> {
        let not_found = || Refusal::not_found("connect session");
        let session = self.store.session(id).await?.ok_or_else(not_found)?;
        let plan = read_plan(&session).map_err(|_| Refusal::internal(&"an unreadable connect session"))?;
        if !plan.integrations.iter().all(|name| caller.scope.sees(name)) {
            return Err(not_found());
        }
        let first = plan.integrations.first().and_then(|name| self.store.integration(name));
        let provider = first.as_deref().map_or("the provider", provider_name);
        let failed = |failure: Failure| {
            (StatusWord::Failed, None, Some((failure.code(), failure.message(Words::of(None), provider))))
        };
        let (word, connection, failure) = match Progress::read(session.result.as_deref()) {
            Some(Progress::Connected { connection, .. }) => (StatusWord::Connected, Some(connection), None),
            Some(Progress::Denied) => (StatusWord::Denied, None, None),
            Some(Progress::Failed { failure }) => failed(failure),
            Some(Progress::OtherSubject) => {
                let message = "Another subject was signed in, so nothing was connected.".to_owned();
                (StatusWord::Failed, None, Some(("other_subject", message)))
            }
            Some(Progress::Exchanging(_)) | None if session.expires_at > self.now() => {
                (StatusWord::Pending, None, None)
            }
            Some(Progress::Exchanging(_)) if self.store.pending_grant(id).await?.is_some() => {
                (StatusWord::Pending, None, None)
            }
            Some(Progress::Exchanging(_)) | None => (StatusWord::Expired, None, None),
        };
        Ok(Status { id: session.id, word, connection, failure, expires_at: session.expires_at })
    }
}
