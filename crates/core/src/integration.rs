//! One OAuth client registered at a provider, and how it is doing.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::{ConnectionId, IntegrationName, ProviderId};
use crate::policy::{Policy, PolicyOverrides};
use crate::provider::{Provider, Unfilled};
use crate::secret::ClientSecret;
use crate::time::{Timestamp, millis, opt_millis};

/// An integration.
#[derive(Clone, Debug)]
pub struct Integration {
    /// The operator's name for it.
    pub name: IntegrationName,
    /// What was asked for: a catalogue id, or an inline entry.
    pub source: ProviderSource,
    /// What it resolves to; immutable.
    pub provider: Arc<Provider>,
    /// Values of the entry's variables that hold for every connection.
    pub params: BTreeMap<String, String>,
    /// The client id.
    pub client_id: String,
    /// The client secrets, tried in order; none for public clients.
    pub client_secrets: Vec<StoredClientSecret>,
    /// The scopes that are asked for; the catalogue's defaults when empty. Also the ceiling for connect sessions.
    pub scopes: Vec<String>,
    /// Where applications may be returned to: origin and path prefix.
    pub return_urls: Vec<String>,
    /// What this integration changes in the policy.
    pub policy: PolicyOverrides,
    /// Whether the operator has paused it: nothing is refreshed or connected.
    pub paused: bool,
    /// Whether one account may belong to several subjects.
    pub shared_accounts: bool,
    /// How it is doing.
    pub health: Health,
    /// Grows by one with each change by an operator; for `if-match`.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When an operator last changed it.
    pub updated_at: Timestamp,
}

impl Integration {
    /// The numbers in force: `base` (defaults and configuration), the provider's, the integration's.
    pub fn policy(&self, base: &Policy) -> Policy {
        base.clone().with(&self.provider.policy).with(&self.policy)
    }

    /// The client secrets in the order in which they are tried at `now`: as the operator listed them, those that have ended
    /// by his word last.
    pub fn secrets_to_try(&self, now: Timestamp) -> Vec<&ClientSecret> {
        let mut secrets: Vec<&StoredClientSecret> = self.client_secrets.iter().collect();
        secrets.sort_by_key(|stored| stored.expires_at.is_some_and(|end| end <= now));
        secrets.into_iter().map(|stored| &stored.secret).collect()
    }

    /// This integration with the addresses of one connection: `known` is what the connection keeps for calling its
    /// provider (`provider_data`).
    ///
    /// # Errors
    /// [`Unfilled`] where a value is missing or does not fit.
    pub fn at(self: &Arc<Self>, known: &Map<String, Value>) -> Result<Arc<Self>, Unfilled> {
        if self.provider.variables.is_empty() {
            return Ok(self.clone());
        }
        let text = |name: &str| known.get(name).and_then(Value::as_str).map(str::to_owned);
        let provider = self.provider.filled(&self.params, text)?;
        Ok(Arc::new(Integration { provider, ..Integration::clone(self) }))
    }

    /// This integration as it is for a connection of one kind (`account.kind`).
    #[must_use]
    pub fn of_kind(self: &Arc<Self>, kind: Option<&str>) -> Arc<Self> {
        let provider = self.provider.of_kind(kind);
        if Arc::ptr_eq(&provider, &self.provider) {
            return self.clone();
        }
        Arc::new(Integration { provider, ..Integration::clone(self) })
    }

    /// The scopes that a connection is asked for.
    pub fn requested_scopes(&self) -> &[String] {
        if self.scopes.is_empty() { &self.provider.default_scopes } else { &self.scopes }
    }
}

/// Where an integration's provider comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ProviderSource {
    /// A catalogue entry.
    Catalogue(ProviderId),
    /// An entry given with the integration.
    Inline(Box<Provider>),
}

/// One of an integration's secrets.
#[derive(Clone, Debug)]
pub struct StoredClientSecret {
    /// The secret.
    pub secret: ClientSecret,
    /// When it ends, if the operator said so.
    pub expires_at: Option<Timestamp>,
}

/// What an integration's recent calls say of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Health {
    /// Nothing is wrong.
    #[default]
    Ok,
    /// One connection's call was refused as coming from a wrong client; a second connection will tell whose fault it is.
    Suspected {
        /// Since when.
        #[serde(with = "millis")]
        since: Timestamp,
        /// What the provider said, scrubbed.
        detail: String,
        /// The connection that was refused.
        connection: ConnectionId,
    },
    /// The operator has edited an integration that was misconfigured: the next call tells whether that mended it.
    Mending {
        /// Since when it was misconfigured.
        #[serde(with = "millis")]
        since: Timestamp,
        /// What the provider had said, scrubbed.
        detail: String,
    },
    /// The provider refuses our client; its connections read as `error`.
    Misconfigured {
        /// Since when.
        #[serde(with = "millis")]
        since: Timestamp,
        /// What the provider said, scrubbed.
        detail: String,
        /// When one connection probes it again.
        #[serde(with = "opt_millis")]
        next_probe: Option<Timestamp>,
    },
}

impl Health {
    /// Whether the operator must mend it.
    pub fn is_misconfigured(&self) -> bool {
        matches!(self, Health::Misconfigured { .. })
    }
}
