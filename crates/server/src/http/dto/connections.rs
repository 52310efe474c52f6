//! Connections and the main call's answer.

use std::collections::BTreeMap;

use evergrant_core::connection::UseOutcome;
use evergrant_core::id::{AccountId, ConnectionId, IntegrationName, SubjectId};
use evergrant_core::outcome::Class;
use evergrant_core::schedule::Freshness;
use evergrant_core::secret::kind;
use evergrant_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{OnTheWire, given};
pub use crate::service::connections::SeenStatus;
pub use crate::service::disconnect::Revocation;

/// A valid access token and what is needed to use it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenAnswer {
    /// The connection.
    #[schema(value_type = String)]
    pub connection_id: ConnectionId,
    /// Its integration.
    #[schema(value_type = String)]
    pub integration: IntegrationName,
    /// Its subject.
    #[schema(value_type = String)]
    pub subject: SubjectId,
    /// The access token.
    #[schema(value_type = String)]
    pub access_token: OnTheWire<kind::Access>,
    /// The token's own secret, which requests are signed with: only with OAuth 1.0a.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub token_secret: Option<OnTheWire<kind::Access>>,
    /// Names this access token without revealing it, for `report`.
    pub token_id: String,
    /// Mostly `Bearer`.
    pub token_type: String,
    /// When it ends; null when nobody knows.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// In how many seconds that is; 0 when it has passed.
    pub expires_in: Option<u64>,
    /// Whether it is as fresh as was asked.
    #[schema(value_type = String, example = "valid")]
    pub freshness: Freshness,
    /// The scopes that were granted.
    pub scopes: Vec<String>,
    /// Whether this call brought a new token.
    pub refreshed: bool,
    /// Whether the subject must reconnect before this token ends.
    pub needs_reauth: bool,
    /// What calling the provider needs besides the token.
    pub provider_data: Map<String, Value>,
}

/// A connection; no token in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConnectionView {
    /// Its id; stays the same through every reconnect.
    #[schema(value_type = String)]
    pub id: ConnectionId,
    /// The integration that it goes through.
    #[schema(value_type = String)]
    pub integration: IntegrationName,
    /// The catalogue entry's id; null for an inline entry without one.
    pub provider: Option<String>,
    /// Whose it is.
    #[schema(value_type = String)]
    pub subject: SubjectId,
    /// Who that is at the provider, where the provider tells.
    pub account: Option<AccountView>,
    /// A word of the application for it.
    pub label: Option<String>,
    /// Who must act.
    pub status: SeenStatus,
    /// How fresh its access token is.
    #[schema(value_type = String, example = "valid")]
    pub freshness: Freshness,
    /// Its scopes.
    pub scopes: Scopes,
    /// What calling the provider needs besides the token.
    pub provider_data: Map<String, Value>,
    /// When the access token ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When the service will next refresh it by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_refresh_at: Option<Timestamp>,
    /// The latest successful refresh.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_refreshed_at: Option<Timestamp>,
    /// Successful refreshes since it was made.
    pub refresh_count: u64,
    /// Consecutive refusals.
    pub auth_failures: u32,
    /// Consecutive passing failures.
    pub transient_failures: u32,
    /// The latest failure, also after it was mended.
    pub last_failure: Option<LastFailureView>,
    /// Why it is `needs_reauth` or `disconnected`.
    pub disconnect_reason: Option<String>,
    /// What the application last reported.
    pub last_use: Option<LastUseView>,
    /// Whether a refresh token is stored.
    pub has_refresh_token: bool,
    /// When that ends, where it is known.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub refresh_token_expires_at: Option<Timestamp>,
    /// Free data of the application.
    pub metadata: Map<String, Value>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When anything of it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// For `if-match`.
    pub version: u64,
}

/// The person at the provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AccountView {
    /// The provider's id.
    #[schema(value_type = String)]
    pub id: AccountId,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which of several token pairs of one grant this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// What was asked for and what was given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Scopes {
    /// Given.
    pub granted: Vec<String>,
    /// Asked for.
    pub requested: Vec<String>,
    /// Asked for and not given.
    pub missing: Vec<String>,
}

/// The latest failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LastFailureView {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Its class.
    #[schema(value_type = String, example = "unavailable")]
    pub class: Class,
    /// What the provider said, without any secret.
    pub detail: String,
}

/// What the application last reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LastUseView {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What the provider's API said.
    #[schema(value_type = String, example = "ok")]
    pub outcome: UseOutcome,
}

/// A grant to take over from elsewhere.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportGrant {
    /// The integration.
    #[schema(value_type = String)]
    pub integration: IntegrationName,
    /// Whose it is.
    #[schema(value_type = String)]
    pub subject: SubjectId,
    /// The person's identity at the provider, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub account_id: Option<AccountId>,
    /// The access token. Left out where the client gets its tokens by itself (`client_credentials`, `jwt_bearer`), and where
    /// `username` stands in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub access_token: Option<OnTheWire<kind::Access>>,
    /// The token's own secret: only with OAuth 1.0a.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub token_secret: Option<OnTheWire<kind::Access>>,
    /// A user name, in place of an access token: handed out with `password` as the token of type `Basic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password of `username`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub password: Option<OnTheWire<kind::Access>>,
    /// The refresh token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub refresh_token: Option<OnTheWire<kind::Refresh>>,
    /// When the access token ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// The scopes that were granted; those of the integration when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// Free data.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// Values of the provider's variables for this account, such as a shop; kept in `provider_data`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
}

/// A change of a connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectionChange {
    /// Replaces all free data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// A word for it; null takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub label: Option<Option<String>>,
}

/// What became of a connection that was ended.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Disconnected {
    /// The connection as it is now.
    pub connection: ConnectionView,
    /// Whether the provider was told.
    pub revocation: Revocation,
    /// The same as one word: whether the grant was revoked at the provider.
    pub revoked: bool,
}

/// A forced refresh that ran.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Forced {
    /// How it ended.
    #[schema(value_type = String, example = "success")]
    pub outcome: Class,
    /// The connection after it.
    pub connection: ConnectionView,
}

/// What the provider's API said to a token.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Which token, from the token call.
    pub token_id: String,
    /// What it said.
    #[schema(value_type = String, example = "unauthorized")]
    pub outcome: UseOutcome,
    /// In the API's own words, without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// How long it asks to wait, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

/// What came of a report.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Reported {
    /// Whether it was about the current access token.
    pub current: bool,
    /// Whether it started a refresh, or joined one.
    pub refreshing: bool,
    /// The connection after it.
    pub connection: ConnectionView,
}
