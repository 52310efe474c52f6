//! Everything about one person: how the connections are doing, what to do, and being forgotten.

use serde::{Deserialize, Serialize};

/// What is to be done about a connection, in a person's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthAction {
    /// Nothing.
    None,
    /// The person must reconnect.
    Reconnect,
    /// It mends itself.
    Wait,
    /// The operator must mend it.
    FixIntegration,
}
