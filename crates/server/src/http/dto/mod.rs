//! What goes over the wire, both ways: the server writes these types, the command line reads the same ones.
//!
//! Requests refuse unknown fields. Names and meanings are fixed by `docs/api.md`; the OpenAPI document is made of them.

mod connect;
mod connections;
mod integrations;
mod keys;
mod operations;
mod subjects;

use std::fmt;

use evergrant_core::secret::Secret;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

pub use super::problem::{Action, ProblemBody};
pub use connect::{Binding, Complete, ConnectSession, NewConnectSession};
pub use connections::{
    AccountView, ConnectionChange, ConnectionView, Disconnected, Forced, ImportGrant, LastFailureView, LastUseView,
    Report, Reported, Revocation, Scopes, SeenStatus, TokenAnswer,
};
pub use integrations::{
    ClientSecretView, ClientSecretWritten, IntegrationChange, IntegrationStatus, IntegrationView, NewIntegration,
    ProviderSummary,
};
pub use keys::{AuditEntry, KeyView, NewKey, NewKeyAnswer};
pub use operations::{
    BulkRefresh, EventView, ExpiringSoon, IntegrationStats, JobState, JobView, OutcomeCount, Stats, Sweep, SweepEntry,
};
pub use subjects::{
    Erased, HealthAction, HealthEntry, NotificationView, Preferences, SubjectHealth, SubjectRefresh, SubjectRefreshed,
    SubjectSession,
};

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// What is in this part.
    pub items: Vec<T>,
    /// For `?cursor=`; null at the end.
    pub next_cursor: Option<String>,
}

/// A secret on the wire: the only place where one is written as text, for the one whom it is meant for.
pub struct OnTheWire<K>(pub Secret<K>);

// By hand: a derive would ask for the same of the mark `K`.
impl<K> Clone for OnTheWire<K> {
    fn clone(&self) -> Self {
        OnTheWire(self.0.clone())
    }
}

impl<K> PartialEq for OnTheWire<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<K: evergrant_core::secret::Kind> fmt::Debug for OnTheWire<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<K> Serialize for OnTheWire<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de, K> Deserialize<'de> for OnTheWire<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| OnTheWire(Secret::new(text)))
    }
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
