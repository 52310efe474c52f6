//! The token call's reads: from memory, else from the database.

use std::sync::Arc;

use evergrant_core::grant::Grant;
use evergrant_core::id::{ConnectionId, IntegrationName, SubjectId};
use evergrant_core::secret::AccessToken;

use crate::db::values;
use crate::error::StoreError;
use crate::record::{Durable, TokenRecord};
use crate::store::Store;

impl Store {
    /// A connection with its sealed grant. From memory, unless it is `consistent`: then from the database.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn token_record(
        &self,
        id: &ConnectionId,
        consistent: bool,
    ) -> Result<Option<Arc<TokenRecord>>, StoreError> {
        let cache = &self.shared.cache;
        if !consistent
            && self.shared.is_trusted()
            && let Some(record) = cache.record(id)
        {
            return Ok(Some(record));
        }
        let ticket = cache.loading_record(id);
        let wanted = id.clone();
        let record = self.read(move |sql, _| TokenRecord::load(sql, &wanted)).await?.map(Arc::new);
        if let Some(record) = &record {
            cache.loaded_record(ticket, id, record);
        }
        Ok(record)
    }

    /// The connections of a subject at an integration, also the disconnected ones, oldest first. From memory, else from
    /// the database.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn connections_by_subject(
        &self,
        integration: &IntegrationName,
        subject: &SubjectId,
    ) -> Result<Arc<[ConnectionId]>, StoreError> {
        let cache = &self.shared.cache;
        let owner = self.shared.owner(integration, subject);
        if self.shared.is_trusted()
            && let Some(ids) = cache.owned(&owner)
        {
            return Ok(ids);
        }
        let ticket = cache.loading_owned(&owner);
        let wanted = (integration.clone(), subject.clone());
        let ids: Arc<[ConnectionId]> = self
            .read(move |sql, _| {
                let text = "SELECT id FROM connections WHERE subject = ?1 AND integration = ?2 ORDER BY id";
                sql.all(text, values![wanted.1, wanted.0], |row| row.parse(0))
            })
            .await?
            .into();
        cache.loaded_owned(ticket, &owner, &ids);
        Ok(ids)
    }

    /// Opens a grant; none where there is none.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it does not open.
    pub fn open_grant(&self, record: &TokenRecord) -> Result<Option<Durable<Grant>>, StoreError> {
        Ok(record.open(&self.shared.ring)?.map(Durable::committed))
    }

    /// Opens the access token alone, as the token call does.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it does not open.
    pub fn open_access_token(&self, record: &TokenRecord) -> Result<Option<Durable<AccessToken>>, StoreError> {
        let Some(sealed) = &record.sealed else { return Ok(None) };
        let opened = sealed.access(&self.shared.ring, "grants", record.connection.id.as_str())?;
        Ok(opened.map(Durable::committed))
    }
}
