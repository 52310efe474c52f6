//! A restored or copied database, and the operator's word that it counts.

use std::collections::BTreeMap;

use evergrant_core::id::{ConnectionId, IntegrationName, SubjectId};
use evergrant_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An adoption.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Adopt {
    /// Only say what it would do.
    #[serde(default)]
    pub dry_run: bool,
    /// When another service last worked with these grants; now, if it is left out. What was due after it is not taken for
    /// spent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_ran: Option<Timestamp>,
}

/// What an adoption did, or would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Adopted {
    /// Whether nothing may be spent from the database now.
    pub quarantined: bool,
    /// Why there is something to adopt, or was; null where there is nothing.
    pub quarantine: Option<QuarantineView>,
    /// How many connections stand how: `put_right`, `spent`, `tried`, `unaffected`.
    pub counts: BTreeMap<String, u64>,
    /// Each connection that is not `unaffected`.
    pub connections: Vec<Standing>,
    /// Connections that the journal knows and the database does not: they were made since, and must be made again.
    #[schema(value_type = Vec<String>)]
    pub unknown_connections: Vec<ConnectionId>,
    /// How many connects and reconnects since the journal knows of; their grants are not in the database.
    pub lost_connects: u64,
}

/// Why nothing is spent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QuarantineView {
    /// `restored_backup`, `older_database` or `copied_database`.
    pub cause: String,
    /// As of when the database is, as far as it says.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub taken_at: Option<Timestamp>,
    /// Whether the journal beside it holds every answer since then.
    pub journal_is_whole: bool,
}

/// How one connection stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Standing {
    /// Which.
    #[schema(value_type = String)]
    pub connection_id: ConnectionId,
    /// Through which integration.
    #[schema(value_type = String)]
    pub integration: IntegrationName,
    /// Whose.
    #[schema(value_type = String)]
    pub subject: SubjectId,
    /// `put_right`, `spent` or `tried`.
    pub standing: String,
}
