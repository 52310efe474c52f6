//! Endpoints that are told by webhooks: few, changed seldom, read in the transaction that tells them.
//!
//! Their secrets are sealed. Whether one is disabled, and since when it fails, changes with what came of each try.

use std::collections::BTreeSet;
use std::time::Duration;

use evergrant_core::id::{IntegrationName, WebhookId};
use evergrant_core::secret::WebhookSecret;
use evergrant_core::time::{Timestamp, opt_millis};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::db::{Row, values};
use crate::error::StoreError;
use crate::report::{self, Report};
use crate::row::json;
use crate::seal::{Place, SealedBytes, Wiped};
use crate::shared::{Effect, Shared, Tx};
use crate::store::Store;

macro_rules! webhook_columns {
    () => {
        "SELECT id, declared, url, description, kinds, integrations, secrets, version, failing_since, disabled_at, \
         disabled_why, created_at, updated_at FROM webhooks "
    };
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Whether the configuration declares it: only that changes it.
    pub declared: bool,
    /// Where messages go.
    pub url: String,
    /// A word for people.
    pub description: Option<String>,
    /// The kinds of events that it wants; none: what the preferences say.
    pub kinds: Option<Vec<String>>,
    /// The integrations that it is told of; none: all.
    pub integrations: Option<BTreeSet<IntegrationName>>,
    /// What messages are signed with, the newest first.
    pub secrets: Vec<SigningSecret>,
    /// Grows by one with each change.
    pub version: u64,
    /// Since when nothing could be delivered.
    pub failing_since: Option<Timestamp>,
    /// When it was disabled.
    pub disabled_at: Option<Timestamp>,
    /// Why.
    pub disabled_why: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A secret of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningSecret {
    /// As Standard Webhooks writes it: `whsec_…`.
    pub secret: WebhookSecret,
    /// Until when messages are signed with it too, where another one has taken its place.
    pub until: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct SecretText {
    secret: Wiped,
    #[serde(with = "opt_millis")]
    until: Option<Timestamp>,
}

/// Who wants what.
pub(crate) struct Listening {
    pub id: WebhookId,
    pub kinds: Option<Vec<String>>,
    pub integrations: Option<BTreeSet<IntegrationName>>,
}

struct Stored {
    webhook: Webhook,
    sealed: SealedBytes,
}

impl Store {
    /// All endpoints by id.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn webhooks(&self) -> Result<Vec<Webhook>, StoreError> {
        self.read(|sql, shared| {
            let found = sql.all(concat!(webhook_columns!(), "ORDER BY id"), &[], read)?;
            found.into_iter().map(|stored| opened(shared, stored)).collect()
        })
        .await
    }

    /// An endpoint.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn webhook(&self, id: &WebhookId) -> Result<Option<Webhook>, StoreError> {
        let id = id.clone();
        self.read(move |sql, shared| {
            let found = sql.one(concat!(webhook_columns!(), "WHERE id = ?1"), values![id], read)?;
            found.map(|stored| opened(shared, stored)).transpose()
        })
        .await
    }

    /// Adds an endpoint, or puts it in the place of the one with its id.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn put_webhook(&self, webhook: Webhook, said: Report, now: Timestamp) -> Result<Webhook, StoreError> {
        self.write(move |tx, shared| {
            let text = "SELECT version FROM webhooks WHERE id = ?1";
            let version = tx.one(text, values![webhook.id], |row| row.count(0))?.unwrap_or_default() + 1;
            let webhook = Webhook { version, updated_at: now, ..webhook };
            let text = "INSERT INTO webhooks (id, declared, url, description, kinds, integrations, secrets, version, \
                        failing_since, disabled_at, disabled_why, created_at, updated_at) \
                        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
                        ON CONFLICT (id) DO UPDATE SET declared = excluded.declared, url = excluded.url, \
                        description = excluded.description, kinds = excluded.kinds, integrations = excluded.integrations, \
                        secrets = excluded.secrets, version = excluded.version, failing_since = excluded.failing_since, \
                        disabled_at = excluded.disabled_at, disabled_why = excluded.disabled_why, \
                        updated_at = excluded.updated_at";
            let w = &webhook;
            let (kinds, names) =
                (w.kinds.as_ref().map(json).transpose()?, w.integrations.as_ref().map(json).transpose()?);
            let sealed = sealed(shared, w)?;
            let all = values![
                w.id,
                w.declared,
                w.url,
                w.description,
                kinds,
                names,
                sealed,
                w.version,
                w.failing_since,
                w.disabled_at,
                w.disabled_why,
                w.created_at,
                now
            ];
            tx.run_one("webhooks", text, all)?;
            report::write_on_its_own(tx, shared, &said, w.id.as_str(), now)?;
            tx.after_commit(Effect::Told);
            Ok(webhook)
        })
        .await
    }

    /// Removes an endpoint and everything that waited for it. False if there was none.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn remove_webhook(&self, id: &WebhookId, said: Report, now: Timestamp) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write(move |tx, shared| {
            tx.run("DELETE FROM deliveries WHERE target = ?1", values![id])?;
            let removed = tx.run("DELETE FROM webhooks WHERE id = ?1", values![id])? == 1;
            if removed {
                report::write_on_its_own(tx, shared, &said, id.as_str(), now)?;
            }
            Ok(removed)
        })
        .await
    }

    /// The endpoints that are told at all, with how long each has failed.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn enabled_webhooks(&self) -> Result<Vec<WebhookId>, StoreError> {
        let text = "SELECT id FROM webhooks WHERE disabled_at IS NULL ORDER BY id";
        self.read(move |sql, _| sql.all(text, &[], |row| row.parse(0))).await
    }
}

/// Who listens, in a transaction.
pub(crate) fn listening(tx: &Tx<'_>) -> Result<Vec<Listening>, StoreError> {
    let text = "SELECT id, kinds, integrations FROM webhooks WHERE disabled_at IS NULL ORDER BY id";
    tx.all(text, &[], |row| {
        Ok(Listening { id: row.parse(0)?, kinds: row.opt_json(1)?, integrations: row.opt_json(2)? })
    })
}

/// Since when an endpoint that is told fails; none: there is no such one.
pub(crate) fn failing_since(tx: &Tx<'_>, id: &WebhookId) -> Result<Option<Option<Timestamp>>, StoreError> {
    let text = "SELECT failing_since FROM webhooks WHERE id = ?1 AND disabled_at IS NULL";
    tx.one(text, values![id], |row| row.opt_time(0))
}

pub(crate) fn works_again(tx: &Tx<'_>, id: &WebhookId) -> Result<(), StoreError> {
    tx.run_one("webhooks", "UPDATE webhooks SET failing_since = NULL WHERE id = ?1", values![id])
}

pub(crate) fn fails_since(tx: &Tx<'_>, id: &WebhookId, since: Timestamp) -> Result<(), StoreError> {
    tx.run_one("webhooks", "UPDATE webhooks SET failing_since = ?2 WHERE id = ?1", values![id, since])
}

pub(crate) fn disable(tx: &Tx<'_>, id: &WebhookId, why: &str, now: Timestamp) -> Result<(), StoreError> {
    let text = "UPDATE webhooks SET disabled_at = ?2, disabled_why = ?3, updated_at = ?2 WHERE id = ?1";
    tx.run_one("webhooks", text, values![id, now, why])
}

/// How long an old secret signs beside its successor.
pub const OLD_SECRET: Duration = Duration::from_secs(24 * 3600);

// The version is no part of the place: trying changes rows without sealing their secrets again.
fn place(id: &str) -> Place<'_> {
    Place { table: "webhooks", row: id, column: "secrets", generation: 0 }
}

fn sealed(shared: &Shared, webhook: &Webhook) -> Result<SealedBytes, StoreError> {
    let text = |one: &SigningSecret| SecretText { secret: Wiped::new(one.secret.expose()), until: one.until };
    let all: Vec<SecretText> = webhook.secrets.iter().map(text).collect();
    shared.ring.seal(place(webhook.id.as_str()), Zeroizing::new(json(&all)?).as_bytes())
}

fn opened(shared: &Shared, stored: Stored) -> Result<Webhook, StoreError> {
    let Stored { webhook, sealed } = stored;
    let text = shared.ring.open_text(place(webhook.id.as_str()), &sealed)?;
    let all: Vec<SecretText> =
        serde_json::from_str(&text).map_err(|_| StoreError::damaged("the secrets of a webhook"))?;
    let secret = |one: SecretText| SigningSecret { secret: WebhookSecret::new(one.secret.expose()), until: one.until };
    Ok(Webhook { secrets: all.into_iter().map(secret).collect(), ..webhook })
}

fn read(row: &Row<'_>) -> Result<Stored, StoreError> {
    let webhook = Webhook {
        id: row.parse(0)?,
        declared: row.flag(1)?,
        url: row.text(2)?,
        description: row.opt_text(3)?,
        kinds: row.opt_json(4)?,
        integrations: row.opt_json(5)?,
        secrets: Vec::new(),
        version: row.count(7)?,
        failing_since: row.opt_time(8)?,
        disabled_at: row.opt_time(9)?,
        disabled_why: row.opt_text(10)?,
        created_at: row.time(11)?,
        updated_at: row.time(12)?,
    };
    Ok(Stored { webhook, sealed: row.sealed(6)? })
}
