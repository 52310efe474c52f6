//! What a person, and the application on the person's behalf, should know.

use std::collections::BTreeMap;

use evergrant_core::id::{ConnectionId, IntegrationName, NoticeId, SubjectId};
use evergrant_core::notice::NoticeKind;
use evergrant_core::schedule::Freshness;
use evergrant_core::secret::kind;
use evergrant_core::telling::Trouble;
use evergrant_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{OnTheWire, SeenStatus, SweepEntry};
pub use crate::service::subjects::HealthAction;

/// How a subject's connections are doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SubjectHealth {
    /// Whose.
    #[schema(value_type = String)]
    pub subject: SubjectId,
    /// Whether nobody has to do anything.
    pub healthy: bool,
    /// The language of the sentences: `en`, `de` or `es`.
    pub language: String,
    /// One line for all.
    pub message: String,
    /// Each connection.
    pub items: Vec<HealthEntry>,
}

/// How one connection is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HealthEntry {
    /// The connection; null where the subject never connected.
    #[schema(value_type = Option<String>)]
    pub connection_id: Option<ConnectionId>,
    /// The integration.
    #[schema(value_type = String)]
    pub integration: IntegrationName,
    /// The provider's name.
    pub provider: String,
    /// Whether a token can be had.
    pub connected: bool,
    /// Who must act.
    pub status: SeenStatus,
    /// How fresh the access token is.
    #[schema(value_type = String, example = "valid")]
    pub freshness: Freshness,
    /// What is to be done.
    pub action: HealthAction,
    /// Which of four kinds of trouble it is: `network`, `reconnect`, `rate_limit` or `unknown`; left out where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "reconnect")]
    pub trouble: Option<Trouble>,
    /// In words for the person, in the subject's language.
    pub message: String,
    /// In how many seconds it is tried again, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// Whom to ask, where only somebody else can help and the configuration names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support_contact: Option<String>,
    /// Where to reconnect, if that is what is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub reconnect_url: Option<OnTheWire<kind::Once>>,
}

/// What is to be refreshed when a page opens.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubjectRefresh {
    /// Whose access token ends within so many seconds; the margin when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_within: Option<u64>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SubjectRefreshed {
    /// Each connection.
    pub connections: Vec<SweepEntry>,
    /// How the subject's connections are doing now.
    pub health: SubjectHealth,
}

/// What was erased with a subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Erased {
    /// Connections that were disconnected and erased.
    pub connections: u64,
    /// Those of them whose grant the provider was told to end.
    pub revoked: u64,
    /// Notices that were erased.
    pub notifications: u64,
}

/// A notice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NotificationView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: NoticeId,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What kind.
    #[schema(value_type = String, example = "disconnected")]
    pub kind: NoticeKind,
    /// The connection that it is about.
    #[schema(value_type = Option<String>)]
    pub connection_id: Option<ConnectionId>,
    /// The integration that it is about.
    #[schema(value_type = String)]
    pub integration: IntegrationName,
    /// In words.
    pub message: String,
    /// Where to reconnect, for kinds that ask for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub reconnect_url: Option<OnTheWire<kind::Once>>,
    /// When it was read.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub read_at: Option<Timestamp>,
}

/// Which kinds of notices a subject wants by which channel: kind → channel → on or off; what is left out is as by default.
/// Beside the kinds stands how the subject is reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Preferences {
    /// How the subject is reached; left out in a request, it stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<ContactView>,
    /// Kinds: `warning`, `disconnected`, `rate_limited`, `trouble`, `recovered`, `expiring`, `refreshed`. Channels: `in_app`,
    /// `email`, `webhook`.
    #[serde(flatten)]
    pub kinds: BTreeMap<String, BTreeMap<String, bool>>,
}

/// How a subject is reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactView {
    /// Where mails go. Only an API key can set it, a subject's session cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The language of what is told: `en`, `de` or `es`. Left out: what the browser accepts, else English.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// A time zone of the IANA database, such as `Europe/Berlin`; UTC when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// When no mail is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHoursView>,
}

/// From when until when, by the subject's clock; over midnight where `until` is earlier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuietHoursView {
    /// Such as `22:00`.
    pub from: String,
    /// Such as `07:00`.
    pub until: String,
}

/// A token for a browser on behalf of one subject: good for health, notifications and reconnecting, never for tokens.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SubjectSession {
    /// For `authorization: Bearer …`.
    #[schema(value_type = String)]
    pub token: OnTheWire<kind::Once>,
    /// The page of this subject's connections: send the subject's browser there. `?return_url=` adds a way back to you.
    #[schema(value_type = String)]
    pub url: OnTheWire<kind::Once>,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}
