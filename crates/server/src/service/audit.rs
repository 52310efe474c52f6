//! Who read, changed or ended what.

use evergrant_store::{AuditLine, NewAudit, TokenRead};

use super::Service;
use super::access::{Caller, Scope};
use super::error::Refusal;
use super::page::{Page, Window};
use super::refresh::HandOut;

/// A line for the audit log. Of persons it may hold keyed hashes only, of secrets nothing.
pub fn line(caller: &Caller, action: &'static str, target: impl Into<String>) -> NewAudit {
    let line = NewAudit::new(caller.actor(), action, target);
    if caller.request_id.is_empty() { line } else { line.with("request_id", caller.request_id.as_str()) }
}

impl Service {
    /// The audit log, newest first. It speaks of everything, so a key that sees some integrations only does not see it.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::StorageUnavailable`].
    pub async fn audit(&self, caller: &Caller, window: &Window) -> Result<Page<AuditLine>, Refusal> {
        if caller.scope != Scope::All {
            return Err(Refusal::not_found("audit log for this key: it sees some integrations only"));
        }
        Ok(self.store.audit(window.after.clone(), window.limit as usize).await?)
    }

    /// Writes down who is about to get a token. If that cannot be done, no token leaves.
    pub(super) async fn audited(&self, caller: &Caller, given: HandOut) -> Result<HandOut, Refusal> {
        let read = TokenRead {
            at: self.now(),
            actor: caller.actor(),
            connection: given.connection.id.clone(),
            token_id: given.token_id.clone(),
            request_id: caller.request_id.clone(),
        };
        self.store.log_read(&read).await?;
        Ok(given)
    }
}
