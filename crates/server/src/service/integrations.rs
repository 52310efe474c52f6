//! OAuth clients: registered, changed, paused, removed.

use evergrant_core::integration::{Health, Integration};
use serde::{Deserialize, Serialize};

/// How an integration is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntegrationStatus {
    /// Nothing is wrong.
    Ok,
    /// The operator has paused it.
    Paused,
    /// The provider refuses the client: the operator must mend it.
    Misconfigured,
}

impl IntegrationStatus {
    /// How `integration` is doing. That it is paused is the operator's own word, and hides the rest.
    pub fn of(integration: &Integration) -> Self {
        match integration.health {
            _ if integration.paused => IntegrationStatus::Paused,
            Health::Misconfigured { .. } => IntegrationStatus::Misconfigured,
            Health::Ok | Health::Suspected { .. } => IntegrationStatus::Ok,
        }
    }
}
