//! What goes over the wire, both ways: the server writes these types, the command line reads the same ones.
//!
//! Requests refuse unknown fields. Names and meanings are fixed by `docs/api.md`; the OpenAPI document is made of them.

mod connect;
mod connections;
mod integrations;
mod keys;
mod operations;
mod quarantine;
mod subjects;
mod webhooks;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

pub use super::problem::{Action, ProblemBody};
pub use crate::service::exposed::Exposed as OnTheWire;
pub use connect::{Binding, Complete, ConnectSession, ConnectSessionProgress, NewConnectSession};
pub use connections::{
    AccountView, ConnectionChange, ConnectionView, Disconnected, Forced, ImportGrant, LastFailureView, LastUseView,
    Report, Reported, Revocation, Scopes, SeenStatus, TokenAnswer,
};
pub use integrations::{
    ClientSecretView, ClientSecretWritten, IntegrationChange, IntegrationStatus, IntegrationView, NewIntegration,
    ProviderSummary,
};
pub use keys::{AuditEntry, KeyView, MasterKeyRotated, NewKey, NewKeyAnswer};
pub use operations::{
    BulkRefresh, EventView, ExpiringSoon, IntegrationStats, JobState, JobView, OutcomeCount, Stats, Sweep, SweepEntry,
};
pub use quarantine::{Adopt, Adopted, QuarantineView, Standing};
pub use subjects::{
    ContactView, Erased, HealthAction, HealthEntry, NotificationView, Preferences, QuietHoursView, SubjectHealth,
    SubjectRefresh, SubjectRefreshed, SubjectSession,
};
pub use webhooks::{
    DeliveryStatus, DeliveryView, NewWebhook, Redeliver, RedeliverAnswer, WebhookChange, WebhookSecretAnswer,
    WebhookView,
};

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// What is in this part.
    pub items: Vec<T>,
    /// For `?cursor=`; null at the end.
    pub next_cursor: Option<String>,
}

/// A field that can be left out, set to null, or given: for changes.
///
/// # Errors
/// Those of the value.
pub(super) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}
