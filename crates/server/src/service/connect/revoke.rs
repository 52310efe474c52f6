//! Links that are taken back before their time: one session's, or all of a connection.

use evergrant_core::id::{ConnectSessionId, ConnectionId};
use evergrant_core::secret::OneTime;
use evergrant_core::time::Timestamp;
use evergrant_store::connect::{Hash, LinksBar};

use super::session::read_plan;
use crate::service::Service;
use crate::service::access::{Caller, hash};
use crate::service::audit::line;
use crate::service::error::Refusal;

impl Service {
    /// Takes back a session's link; what has led to a connection, or is just coming home, stays.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], also for one of another integration; [`Refusal::StorageUnavailable`].
    pub async fn revoke_session(&self, caller: &Caller, id: &ConnectSessionId) -> Result<(), Refusal> {
        let not_found = || Refusal::not_found("connect session");
        let session = self.store.session(id).await?.ok_or_else(not_found)?;
        // What is kept of links that were taken back plans nothing, and is nobody's session.
        let plan = read_plan(&session).map_err(|_| not_found())?;
        if !plan.integrations.iter().all(|name| caller.scope.sees(name)) {
            return Err(not_found());
        }
        self.store.revoke_session(id, Some(line(caller, "connect.session_revoked", id.as_str())), self.now()).await?;
        Ok(())
    }

    /// Takes back every link to reconnect a connection that was made until now, wherever it went: mails, webhooks, answers.
    /// Links that are made later are good.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::StorageUnavailable`].
    pub async fn revoke_links(&self, caller: &Caller, id: &ConnectionId) -> Result<(), Refusal> {
        let seen = self.connection(caller, id).await?;
        let now = self.now();
        let bar = LinksBar {
            id: ConnectSessionId::make(now, self.entropy.id()),
            hash: bar(id),
            connection: id.clone(),
            subject: seen.connection.subject.clone(),
            until: self.link_end(&seen.integration),
        };
        Ok(self.store.revoke_links(bar, Some(line(caller, "connection.links_revoked", id.as_str())), now).await?)
    }

    /// Whether a link of a connection that was made then has been taken back since.
    pub(super) async fn is_taken_back(&self, id: &ConnectionId, made: Timestamp) -> Result<bool, Refusal> {
        let barred = self.store.session_by_link(&bar(id)).await?;
        Ok(barred.is_some_and(|bar| made <= bar.created_at))
    }
}

/// What the bar of a connection is found by: it stands where the hash of a link stands, and is that of none.
fn bar(id: &ConnectionId) -> Hash {
    hash(&OneTime::new(format!("links of {id}")))
}
