//! OAuth clients: few, read at every call, so all of them are kept in memory; their secrets are sealed at rest.

use std::sync::{Arc, PoisonError};

use evergrant_core::id::{IntegrationName, SubjectId};
use evergrant_core::integration::{Health, Integration, ProviderSource, StoredClientSecret};
use evergrant_core::provider::Provider;
use evergrant_core::secret::ClientSecret;
use evergrant_core::time::{Timestamp, opt_millis};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::db::{Row, Sql, values};
use crate::error::StoreError;
use crate::events::About;
use crate::options::ProviderResolver;
use crate::report::{self, Report};
use crate::row::json;
use crate::seal::{KeyRing, Place, SealedBytes, Wiped};
use crate::shared::{Effect, Shared, StatusCounts, Tx};
use crate::store::Store;

/// What came of adding an integration.
#[derive(Clone, Debug)]
pub enum IntegrationAdded {
    /// It is there.
    Added(Arc<Integration>),
    /// There is one of this name.
    NameTaken,
}

/// What came of replacing an integration.
#[derive(Clone, Debug)]
pub enum IntegrationReplaced {
    /// It is now this.
    Stored(Arc<Integration>),
    /// It has changed meanwhile.
    Stale {
        /// Its present version.
        version: u64,
    },
    /// There is none.
    Gone,
}

/// What came of removing an integration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegrationRemoved {
    /// It is gone, with its disconnected connections.
    Removed,
    /// It still has connections that are not disconnected.
    InUse {
        /// How many.
        connections: u64,
    },
    /// There was none.
    Gone,
}

#[derive(Serialize, Deserialize)]
struct SecretText {
    secret: Wiped,
    #[serde(with = "opt_millis")]
    expires_at: Option<Timestamp>,
}

impl Store {
    /// An integration by its name; from memory.
    pub fn integration(&self, name: &IntegrationName) -> Option<Arc<Integration>> {
        self.shared.integration(name)
    }

    /// All integrations by name; from memory.
    pub fn integrations(&self) -> Vec<Arc<Integration>> {
        self.shared.integrations.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// How many connections an integration has in each status; from memory.
    pub fn status_counts(&self, name: &IntegrationName) -> StatusCounts {
        self.shared.counts().get(name).copied().unwrap_or_default()
    }

    /// Adds an integration, at version 1.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn add_integration(
        &self,
        integration: Integration,
        said: Report,
    ) -> Result<IntegrationAdded, StoreError> {
        self.write(move |tx, shared| {
            let integration = Integration { version: 1, ..integration };
            let name = &integration.name;
            if tx.any("SELECT 1 FROM integrations WHERE name = ?1", values![name])? {
                return Ok(IntegrationAdded::NameTaken);
            }
            let text = "INSERT INTO integrations (name, source, provider, client_id, client_secrets, scopes, \
                        return_urls, policy, paused, shared_accounts, health, version, created_at, updated_at, params) \
                        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13, ?14)";
            put(tx, shared, text, &integration, integration.created_at)?;
            tell(tx, shared, name, &said, integration.created_at)?;
            let integration = Arc::new(integration);
            tx.after_commit(Effect::Integration(integration.clone()));
            Ok(IntegrationAdded::Added(integration))
        })
        .await
    }

    /// Replaces an integration that is still at `integration.version`; it goes to the next one.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn replace_integration(
        &self,
        integration: Integration,
        said: Report,
        now: Timestamp,
    ) -> Result<IntegrationReplaced, StoreError> {
        self.write(move |tx, shared| {
            let name = &integration.name;
            let text = "SELECT version, created_at FROM integrations WHERE name = ?1";
            let found = tx.one(text, values![name], |row| Ok((row.count(0)?, row.time(1)?)))?;
            let Some((version, created_at)) = found else { return Ok(IntegrationReplaced::Gone) };
            if version != integration.version {
                return Ok(IntegrationReplaced::Stale { version });
            }
            let integration = Integration { version: version + 1, created_at, updated_at: now, ..integration.clone() };
            let text = "UPDATE integrations SET source = ?2, provider = ?3, client_id = ?4, client_secrets = ?5, \
                        scopes = ?6, return_urls = ?7, policy = ?8, paused = ?9, shared_accounts = ?10, health = ?11, \
                        version = ?12, updated_at = ?13, params = ?14 WHERE name = ?1";
            put(tx, shared, text, &integration, now)?;
            tell(tx, shared, name, &said, now)?;
            let integration = Arc::new(integration);
            tx.after_commit(Effect::Integration(integration.clone()));
            Ok(IntegrationReplaced::Stored(integration))
        })
        .await
    }

    /// Looks the provider of each integration up again, because the catalogue has changed.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn look_providers_up(&self) -> Result<(), StoreError> {
        self.write(|tx, shared| {
            for integration in load(tx, &shared.ring, shared.resolver.as_ref())? {
                tx.after_commit(Effect::Integration(integration));
            }
            Ok(())
        })
        .await
    }

    /// Removes an integration that has no connections but disconnected ones; these go with it.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn remove_integration(
        &self,
        name: &IntegrationName,
        said: Report,
        now: Timestamp,
    ) -> Result<IntegrationRemoved, StoreError> {
        let name = name.clone();
        self.write(move |tx, shared| {
            let text = "SELECT COUNT(*) FROM lives WHERE integration = ?1 AND status <> 'disconnected'";
            let connections = tx.one(text, values![name], |row| row.count(0))?.unwrap_or(0);
            if connections > 0 {
                return Ok(IntegrationRemoved::InUse { connections });
            }
            let text = "SELECT id, subject FROM connections WHERE integration = ?1";
            for (id, subject) in tx.all(text, values![name], |row| Ok((row.parse(0)?, row.parse::<SubjectId>(1)?)))? {
                tx.after_commit(Effect::Forget(id));
                tx.after_commit(Effect::Owner(shared.owner(&name, &subject)));
            }
            let told = "DELETE FROM told WHERE connection_id IN (SELECT id FROM connections WHERE integration = ?1)";
            tx.run(told, values![name])?;
            tx.run("DELETE FROM connections WHERE integration = ?1", values![name])?;
            tx.run("DELETE FROM oauth_states WHERE integration = ?1", values![name])?;
            // Nothing is left to revoke with.
            tx.run("DELETE FROM outbox WHERE integration = ?1", values![name])?;
            if tx.run("DELETE FROM integrations WHERE name = ?1", values![name])? == 0 {
                return Ok(IntegrationRemoved::Gone);
            }
            tell(tx, shared, &name, &said, now)?;
            tx.after_commit(Effect::NoIntegration(name));
            Ok(IntegrationRemoved::Removed)
        })
        .await
    }

    /// Changes an integration's health from what the caller saw; false if somebody else changed it first, and then
    /// nothing of `said` is written.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn change_health(
        &self,
        name: &IntegrationName,
        from: &Health,
        to: Health,
        said: Report,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (name, from) = (name.clone(), json(from)?);
        self.write(move |tx, shared| {
            let text = "UPDATE integrations SET health = ?3 WHERE name = ?1 AND health = ?2";
            if tx.run(text, values![name, from, json(&to)?])? == 0 {
                return Ok(false);
            }
            tell(tx, shared, &name, &said, now)?;
            if let Some(integration) = read_one(tx, shared, &name)? {
                tx.after_commit(Effect::Integration(Arc::new(integration)));
            }
            Ok(true)
        })
        .await
    }
}

fn tell(tx: &Tx<'_>, shared: &Shared, name: &IntegrationName, said: &Report, now: Timestamp) -> Result<(), StoreError> {
    report::write(tx, shared, About::integration(name), said, name.as_str(), now)
}

fn put(tx: &Tx<'_>, shared: &Shared, text: &'static str, one: &Integration, now: Timestamp) -> Result<(), StoreError> {
    let secrets = one
        .client_secrets
        .iter()
        .map(|stored| SecretText { secret: Wiped::new(stored.secret.expose()), expires_at: stored.expires_at });
    let secrets = Zeroizing::new(json(&secrets.collect::<Vec<_>>())?);
    let sealed = shared.ring.seal(place(one.name.as_str(), one.version), secrets.as_bytes())?;
    let (source, provider) = (json(&one.source)?, json(one.provider.as_ref())?);
    let (scopes, urls, policy) = (json(&one.scopes)?, json(&one.return_urls)?, json(&one.policy)?);
    let (health, params) = (json(&one.health)?, json(&one.params)?);
    let all = values![
        one.name,
        source,
        provider,
        one.client_id,
        sealed,
        scopes,
        urls,
        policy,
        one.paused,
        one.shared_accounts,
        health,
        one.version,
        now,
        params
    ];
    tx.run_one("integrations", text, all)
}

fn place(name: &str, version: u64) -> Place<'_> {
    Place { table: "integrations", row: name, column: "client_secrets", generation: version }
}

macro_rules! integration_columns {
    () => {
        "SELECT name, source, provider, client_id, client_secrets, scopes, return_urls, policy, paused, \
         shared_accounts, health, version, created_at, updated_at, params FROM integrations "
    };
}

/// All integrations, at the start.
pub(crate) fn load(
    sql: &Sql<'_>,
    ring: &KeyRing,
    resolver: Option<&ProviderResolver>,
) -> Result<Vec<Arc<Integration>>, StoreError> {
    sql.all(integration_columns!(), &[], |row| read(row, ring, resolver).map(Arc::new))
}

fn read_one(sql: &Sql<'_>, shared: &Shared, name: &IntegrationName) -> Result<Option<Integration>, StoreError> {
    let text = concat!(integration_columns!(), "WHERE name = ?1");
    sql.one(text, values![name], |row| read(row, &shared.ring, shared.resolver.as_ref()))
}

fn read(row: &Row<'_>, ring: &KeyRing, resolver: Option<&ProviderResolver>) -> Result<Integration, StoreError> {
    let (name, version): (IntegrationName, u64) = (row.parse(0)?, row.count(11)?);
    let source: ProviderSource = row.json(1)?;
    let stored = || row.json::<Provider>(2).map(Arc::new);
    let provider = match resolver.and_then(|resolver| resolver.resolve(&source)) {
        Some(provider) => provider,
        None => stored()?,
    };
    let client_secrets = match secrets(ring, name.as_str(), version, &row.sealed(4)?) {
        Ok(secrets) => secrets,
        Err(error) => {
            // One client's damage must not keep the others from being served; its provider will refuse it by name.
            tracing::error!(%error, integration = %name, "the client secrets do not open; set them again");
            Vec::new()
        }
    };
    Ok(Integration {
        name,
        source,
        provider,
        client_id: row.text(3)?,
        client_secrets,
        scopes: row.json(5)?,
        return_urls: row.json(6)?,
        policy: row.json(7)?,
        paused: row.flag(8)?,
        shared_accounts: row.flag(9)?,
        health: row.json(10)?,
        version,
        created_at: row.time(12)?,
        updated_at: row.time(13)?,
        params: row.json(14)?,
    })
}

fn secrets(
    ring: &KeyRing,
    name: &str,
    version: u64,
    sealed: &SealedBytes,
) -> Result<Vec<StoredClientSecret>, StoreError> {
    let text = ring.open_text(place(name, version), sealed)?;
    let secrets: Vec<SecretText> =
        serde_json::from_str(&text).map_err(|_| StoreError::damaged("the client secrets of an integration"))?;
    let secret = |one: SecretText| StoredClientSecret {
        secret: ClientSecret::new(one.secret.expose()),
        expires_at: one.expires_at,
    };
    Ok(secrets.into_iter().map(secret).collect())
}

/// How many connections each integration has in each status, at the start.
pub(crate) fn count(sql: &Sql<'_>) -> Result<Vec<(IntegrationName, String, u64)>, StoreError> {
    let text = "SELECT integration, status, COUNT(*) FROM lives GROUP BY integration, status";
    sql.all(text, &[], |row| Ok((row.parse(0)?, row.text(1)?, row.count(2)?)))
}
