//! Integrations and the catalogue.

use std::collections::BTreeMap;

use evergrant_core::id::IntegrationName;
use evergrant_core::policy::PolicyOverrides;
use evergrant_core::secret::kind;
use evergrant_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::OnTheWire;
pub use crate::service::integrations::IntegrationStatus;
use crate::written::WrittenProvider;

/// An OAuth client to be registered here.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewIntegration {
    /// Its name: 1 to 64 lower-case letters, digits, `-`, `_`, `.`.
    #[schema(value_type = String, example = "strava")]
    pub name: IntegrationName,
    /// A catalogue id, or an object with the fields of a catalogue entry. One that names an `issuer` and no endpoints is
    /// completed by what the issuer says of itself (RFC 8414, OpenID Connect Discovery).
    #[schema(value_type = Object)]
    pub provider: WrittenProvider,
    /// Values of the entry's variables that hold for every connection, such as a tenant.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// The client id that the provider gave. Without one the provider is asked for a client (RFC 7591), where its entry has a
    /// `registration_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The client's secrets, tried in order; none for public clients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client_secrets: Vec<ClientSecretWritten>,
    /// The scopes to ask for; the catalogue's defaults when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Where applications may be returned to: origin and path prefix.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub return_urls: Vec<String>,
    /// The numbers that are different here.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub policy: PolicyOverrides,
    /// Whether nothing is refreshed or connected.
    #[serde(default)]
    pub paused: bool,
    /// Whether one account may belong to several subjects.
    #[serde(default)]
    pub shared_accounts: bool,
}

/// One of an integration's secrets, on its way in.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientSecretWritten {
    /// The secret.
    #[schema(value_type = String)]
    pub secret: OnTheWire<kind::Client>,
    /// When it ends, if the provider says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

/// A change of an integration; what is left out stays as it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IntegrationChange {
    /// Another catalogue entry, or an object with the fields of one; an issuer alone is asked anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub provider: Option<WrittenProvider>,
    /// Replaces the values of the entry's variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<BTreeMap<String, String>>,
    /// Another client id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Replaces all secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secrets: Option<Vec<ClientSecretWritten>>,
    /// Replaces the scopes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// Replaces the return URLs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_urls: Option<Vec<String>>,
    /// Replaces the numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub policy: Option<PolicyOverrides>,
    /// Pauses or resumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Whether one account may belong to several subjects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_accounts: Option<bool>,
}

/// An integration; its secrets are not in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IntegrationView {
    /// Its name.
    #[schema(value_type = String)]
    pub name: IntegrationName,
    /// A catalogue id, or the inline entry.
    #[schema(value_type = Object)]
    pub provider: Value,
    /// The name that people know.
    pub provider_name: String,
    /// Values of the entry's variables that hold for every connection.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// The client id.
    pub client_id: String,
    /// How many secrets there are, and when they end.
    pub client_secrets: Vec<ClientSecretView>,
    /// The scopes that connections are asked for.
    pub scopes: Vec<String>,
    /// Where applications may be returned to.
    pub return_urls: Vec<String>,
    /// The numbers that are different here.
    #[schema(value_type = Object)]
    pub policy: PolicyOverrides,
    /// Whether nothing is refreshed or connected.
    pub paused: bool,
    /// Whether one account may belong to several subjects.
    pub shared_accounts: bool,
    /// How it is doing.
    pub status: IntegrationStatus,
    /// What the provider said, where something is wrong.
    pub status_detail: Option<String>,
    /// The redirect URI to register at the provider.
    pub callback_url: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When an operator last changed it.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// For `if-match`.
    pub version: u64,
}

/// One of an integration's secrets, without the secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClientSecretView {
    /// When it ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

/// A catalogue entry in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProviderSummary {
    /// Its id.
    pub id: String,
    /// The name that people know.
    pub name: String,
    /// A word to group entries by.
    pub category: String,
    /// `oauth2` or `static`.
    pub kind: String,
    /// Whether every fact has been checked against the provider's own words.
    pub verified: bool,
    /// The provider's documentation.
    pub docs_url: String,
}
