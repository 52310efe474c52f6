//! Refreshing many connections at once, on order.

use serde::{Deserialize, Serialize};

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Under way.
    Running,
    /// Done.
    Finished,
    /// The service stopped before it was done; what was refreshed stays refreshed.
    Interrupted,
}
