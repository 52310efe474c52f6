//! API keys: of the secret only a hash is kept. All of them stay in memory, so that a call is checked without a look
//! into the database, and a revocation counts from the moment it is answered.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use evergrant_core::id::IntegrationName;
use evergrant_core::time::Timestamp;

use crate::audit::{self, NewAudit};
use crate::db::{Row, Sql, values};
use crate::error::StoreError;
use crate::row::json;
use crate::shared::Effect;
use crate::store::Store;

macro_rules! key_columns {
    () => {
        "id, hash, environment, name, permissions, integrations, created_at, expires_at, revoked_at"
    };
}

/// An API key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id, part of the key.
    pub id: String,
    /// SHA-256 of the whole key.
    pub hash: [u8; 32],
    /// The environment, part of the key.
    pub environment: String,
    /// A word for people.
    pub name: Option<String>,
    /// What it may do.
    pub permissions: Vec<String>,
    /// The integrations that it sees; none: all.
    pub integrations: Option<BTreeSet<IntegrationName>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl ApiKey {
    /// Whether it counts at `now`.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// What came of adding a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyAdded {
    /// It is there.
    Added,
    /// There is one with this id.
    IdTaken,
}

impl Store {
    /// A key by its id; from memory.
    pub fn api_key(&self, id: &str) -> Option<Arc<ApiKey>> {
        self.shared.keys.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// All keys by id, also the revoked ones; from memory.
    pub fn api_keys(&self) -> Vec<Arc<ApiKey>> {
        self.shared.keys.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Adds a key.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn add_api_key(&self, key: ApiKey, audit: Option<NewAudit>) -> Result<KeyAdded, StoreError> {
        self.write(move |tx, _| {
            let text = "INSERT INTO api_keys (id, hash, environment, name, permissions, integrations, created_at, \
                        expires_at, revoked_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO NOTHING";
            let (permissions, integrations) =
                (json(&key.permissions)?, key.integrations.as_ref().map(json).transpose()?);
            let (id, made) = (&key.id, key.created_at);
            let all = values![
                id, key.hash, key.environment, key.name, permissions, integrations, made, key.expires_at, key.revoked_at
            ];
            if tx.run(text, all)? == 0 {
                return Ok(KeyAdded::IdTaken);
            }
            audit::write(tx, audit.map(|line| line.about(id)).as_ref(), made)?;
            tx.after_commit(Effect::Key(Arc::new(key)));
            Ok(KeyAdded::Added)
        })
        .await
    }

    /// Revokes a key for good; none if there is no such key. One that is revoked already stays as it is.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn revoke_api_key(
        &self,
        id: &str,
        audit: Option<NewAudit>,
        now: Timestamp,
    ) -> Result<Option<Arc<ApiKey>>, StoreError> {
        let id = id.to_owned();
        self.write(move |tx, _| {
            let text = "UPDATE api_keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
            let revoked = tx.run(text, values![id, now])? == 1;
            let found =
                tx.one(concat!("SELECT ", key_columns!(), " FROM api_keys WHERE id = ?1"), values![id], read)?;
            let found = found.map(Arc::new);
            if let Some(key) = found.as_ref().filter(|_| revoked) {
                audit::write(tx, audit.map(|line| line.about(&id)).as_ref(), now)?;
                tx.after_commit(Effect::Key(key.clone()));
            }
            Ok(found)
        })
        .await
    }
}

/// All keys, at the start.
pub(crate) fn load(sql: &Sql<'_>) -> Result<Vec<Arc<ApiKey>>, StoreError> {
    sql.all(concat!("SELECT ", key_columns!(), " FROM api_keys"), &[], |row| read(row).map(Arc::new))
}

fn read(row: &Row<'_>) -> Result<ApiKey, StoreError> {
    let hash = row.bytes(1)?.try_into().map_err(|_| StoreError::damaged("the hash of an API key"))?;
    Ok(ApiKey {
        id: row.text(0)?,
        hash,
        environment: row.text(2)?,
        name: row.opt_text(3)?,
        permissions: row.json(4)?,
        integrations: row.opt_json(5)?,
        created_at: row.time(6)?,
        expires_at: row.opt_time(7)?,
        revoked_at: row.opt_time(8)?,
    })
}
