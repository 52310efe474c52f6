//! API keys and the audit log.

use std::collections::BTreeSet;

use evergrant_core::id::IntegrationName;
use evergrant_core::secret::kind;
use evergrant_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::OnTheWire;
use crate::service::access::Permission;

/// An API key to be made; it can do and see no more than the one that makes it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// A word for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it may do.
    pub permissions: BTreeSet<Permission>,
    /// The integrations that it sees; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub integrations: Option<BTreeSet<IntegrationName>>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

/// A new key: shown once.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NewKeyAnswer {
    /// The key itself; it is not kept and cannot be shown again.
    #[schema(value_type = String)]
    pub key: OnTheWire<kind::ApiKey>,
    /// What is known of it.
    #[serde(flatten)]
    pub view: KeyView,
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// Its id.
    #[schema(example = "key_4f9a0c1b2d3e")]
    pub id: String,
    /// A word for people.
    pub name: Option<String>,
    /// What it may do.
    pub permissions: BTreeSet<Permission>,
    /// The integrations that it sees; null for all.
    #[schema(value_type = Option<Vec<String>>)]
    pub integrations: Option<BTreeSet<IntegrationName>>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
}

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Its place in the chain.
    pub sequence: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who: `key:<id>`, `operator`, `subject`, `service`.
    pub actor: String,
    /// What was done: `token.read`, `key.created`, `connection.disconnected`, …
    pub action: String,
    /// What it was done to, by id.
    pub target: String,
    /// More about it; never a secret.
    pub detail: Map<String, Value>,
    /// Binds this line to all before it.
    pub hash: String,
}

/// A rotation of the master key: from then on only the new one opens the data.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MasterKeyRotated {
    /// Names the key that was in use, without revealing it.
    pub from: String,
    /// Names the key that is in use now.
    pub to: String,
    /// The file where the new key is; null where its source was given.
    pub key_file: Option<String>,
    /// The file where the old key is kept until the operator removes it; null where it was not in a file.
    pub old_key_file: Option<String>,
}
