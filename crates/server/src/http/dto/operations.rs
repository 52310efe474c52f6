//! Bulk refresh, sweeps, events and statistics.

use evergrant_core::id::{ConnectionId, EventId, IntegrationName, JobId, SubjectId};
use evergrant_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use utoipa::ToSchema;

use super::{QuarantineView, SeenStatus};
pub use crate::service::jobs::JobState;

/// Which connections to refresh; all conditions that are given must hold.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkRefresh {
    /// Of this integration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub integration: Option<IntegrationName>,
    /// Of this subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub subject: Option<SubjectId>,
    /// In this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<SeenStatus>,
    /// Whose access token ends within so many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_within: Option<u64>,
    /// These.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub connection_ids: Option<Vec<ConnectionId>>,
    /// Also those that are fresh.
    #[serde(default)]
    pub force: bool,
    /// Only count.
    #[serde(default)]
    pub dry_run: bool,
}

/// A bulk job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: JobId,
    /// How far it is.
    pub state: JobState,
    /// Whether it only counted.
    pub dry_run: bool,
    /// How many connections it is about.
    pub total: u64,
    /// How many are done.
    pub done: u64,
    /// How they ended: a class, or why nothing was sent.
    pub outcomes: BTreeMap<String, u64>,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was done.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
}

/// One pass over what is due.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Sweep {
    /// How many were due.
    pub due: u64,
    /// How they ended.
    pub outcomes: BTreeMap<String, u64>,
    /// Each of them, with `?verbose=true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<Vec<SweepEntry>>,
}

/// What became of one connection in a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SweepEntry {
    /// Which.
    #[schema(value_type = String)]
    pub connection_id: ConnectionId,
    /// A class, or why nothing was sent.
    pub outcome: String,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Its id; later ones sort later.
    #[schema(value_type = String)]
    pub id: EventId,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What: `connection.refreshed`, `connection.needs_reauth`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The integration that it is about.
    #[schema(value_type = Option<String>)]
    pub integration: Option<IntegrationName>,
    /// The connection that it is about.
    #[schema(value_type = Option<String>)]
    pub connection_id: Option<ConnectionId>,
    /// The subject that it is about.
    #[schema(value_type = Option<String>)]
    pub subject: Option<SubjectId>,
    /// More about it; never a secret.
    pub data: Map<String, Value>,
}

/// What a dashboard draws.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// When it was counted.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Each integration that the key sees.
    pub integrations: Vec<IntegrationStats>,
    /// How late the oldest due refresh is, in seconds.
    pub refresh_lag: u64,
    /// Refreshes under way.
    pub in_flight: u64,
    /// Why nothing is refreshed: the database is a restored or copied one that the operator has not adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<QuarantineView>,
}

/// One integration in numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IntegrationStats {
    /// Its name.
    #[schema(value_type = String)]
    pub integration: IntegrationName,
    /// Connections by status.
    pub connections: BTreeMap<String, u64>,
    /// Access tokens that end soon.
    pub expiring: Vec<ExpiringSoon>,
    /// Outcomes of refreshes by hour, the latest 24.
    pub outcomes: Vec<OutcomeCount>,
    /// Whether its breaker is open.
    pub breaker_open: bool,
}

/// Access tokens that end within a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExpiringSoon {
    /// Within so many seconds.
    pub within: u64,
    /// How many.
    pub count: u64,
}

/// Refreshes that ended in one way in one hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OutcomeCount {
    /// The hour's beginning.
    #[schema(value_type = String, format = DateTime)]
    pub hour: Timestamp,
    /// The class.
    pub outcome: String,
    /// How many.
    pub count: u64,
}
