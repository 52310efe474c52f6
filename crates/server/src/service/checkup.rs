//! What the operator's doctor looks for in what is stored. Nothing unsealed leaves this module.

use evergrant_core::id::ConnectionId;
use evergrant_store::ConnectionFilter;

use super::Service;
use super::error::Refusal;
use super::tokens_like::cannot_be_a_token;

/// A stored value that cannot be what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OddValue {
    /// Of which connection.
    pub connection: ConnectionId,
    /// Which value: `access_token`, `refresh_token`, or `grant` where it does not open at all.
    pub field: &'static str,
    /// What would be right; never the value.
    pub expected: String,
}

impl Service {
    /// Stored values that cannot be tokens: an athlete's id where a token belongs, a masked token, a document. Opens every
    /// grant; for the operator at the machine only.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub async fn values_that_cannot_be_tokens(&self) -> Result<Vec<OddValue>, Refusal> {
        let (mut odd, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.list_connections(ConnectionFilter::default(), |_| true, after, 500).await?;
            for connection in &page.items {
                odd.extend(self.look_at(&connection.id).await?);
            }
            after = page.next;
            if after.is_none() {
                return Ok(odd);
            }
        }
    }

    async fn look_at(&self, id: &ConnectionId) -> Result<Vec<OddValue>, Refusal> {
        let Some(record) = self.store.token_record(id, true).await? else { return Ok(Vec::new()) };
        let odd = |field, expected: String| OddValue { connection: id.clone(), field, expected };
        let grant = match self.store.open_grant(&record) {
            Ok(Some(grant)) => grant,
            Ok(None) => return Ok(Vec::new()),
            Err(error) => return Ok(vec![odd("grant", error.to_string())]),
        };
        let access = grant.access_token.as_ref().map(|token| ("access_token", cannot_be_a_token(token.expose())));
        let refresh = grant.refresh_token.as_ref().map(|token| ("refresh_token", cannot_be_a_token(token.expose())));
        let found = [access, refresh].into_iter().flatten();
        Ok(found.filter_map(|(field, why)| Some(odd(field, why?.to_owned()))).collect())
    }
}
