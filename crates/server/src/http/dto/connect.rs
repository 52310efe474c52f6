//! Connect sessions.

use std::collections::BTreeMap;

use evergrant_core::id::{ConnectSessionId, ConnectionId, IntegrationName, SubjectId};
use evergrant_core::secret::kind;
use evergrant_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::OnTheWire;
pub use crate::service::connect::{Binding, Flow, StatusWord};

/// A wish to connect an account.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConnectSession {
    /// The integration; needed unless `integrations` or `connection_id` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub integration: Option<IntegrationName>,
    /// Several integrations among which the page lets choose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub integrations: Vec<IntegrationName>,
    /// Whose connection it will be, in the application's words. Without it the session signs a person in by account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub subject: Option<SubjectId>,
    /// What the page calls that person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_label: Option<String>,
    /// Where the browser goes afterwards; must match one of the integration's `return_urls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_url: Option<String>,
    /// Who says who it is: the application (the default with a `return_url`) or the link itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
    /// How the person gets to the provider: by a link (the default), or by a code that is typed in on any device (RFC 8628).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<Flow>,
    /// The scopes to ask for, among the integration's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// A connection to reconnect: it keeps its id, and only its own account is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub connection_id: Option<ConnectionId>,
    /// Passed to the provider as `login_hint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Further parameters of the authorization request; none of the protocol's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
}

/// A connect session that was made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConnectSession {
    /// Its id, for `complete` and for its progress.
    #[schema(value_type = String)]
    pub id: ConnectSessionId,
    /// Where to send the browser; whoever has it can use it. Not in the device flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub url: Option<OnTheWire<kind::Once>>,
    /// In the device flow: what the person types in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_code: Option<String>,
    /// In the device flow: where the person types it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_uri: Option<String>,
    /// In the device flow: the same with the code in it, for a link or a QR code, where the provider gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_uri_complete: Option<String>,
    /// When the link or the code ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// In the device flow: how many seconds lie between two questions to the provider, at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<u64>,
}

/// How far a connect session is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConnectSessionProgress {
    /// Its id.
    #[schema(value_type = String)]
    pub id: ConnectSessionId,
    /// In one word.
    pub status: StatusWord,
    /// The connection, once there is one.
    #[schema(value_type = Option<String>)]
    pub connection_id: Option<ConnectionId>,
    /// Why it failed, as in `return_url`.
    pub code: Option<String>,
    /// The same as a sentence.
    pub message: Option<String>,
    /// When its link or its code ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// The application's word on who is signed in in that browser.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Complete {
    /// What came with `return_url?status=pending&handle=…`.
    #[schema(value_type = String)]
    pub handle: OnTheWire<kind::Once>,
    /// Who is signed in; left out only by sessions without a subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub subject: Option<SubjectId>,
}
