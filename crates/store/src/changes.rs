//! What the nodes of one database tell each other: what a committed group changes in memory elsewhere.
//!
//! A group tells it in one document, in its own transaction. It names what changed and brings nothing that is secret; who
//! hears it forgets what was in memory and reads again when it is needed.

use evergrant_core::id::{ConnectionId, IntegrationName};
use serde::{Deserialize, Serialize};

use crate::shared::Effect;

/// Something that another node must know.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub(crate) enum Change {
    /// A connection has changed or is gone.
    Connection { id: ConnectionId },
    /// A lease on a connection has ended and nothing else.
    Freed { id: ConnectionId },
    /// A connection was erased with its person: nothing of it may stay in any journal.
    Erased { id: ConnectionId },
    /// A subject's connections have changed.
    Owner { tag: String },
    /// Connections of an integration have changed their status.
    Counted { integration: IntegrationName, from: Option<String>, to: Option<String> },
    /// Integrations or API keys have changed.
    Registry,
    /// An integration is gone.
    Removed { integration: IntegrationName },
    /// Another master key wraps the data keys.
    Rotated { fingerprint: String },
    /// Something happened, and stands among the events.
    Events,
    /// Something that this version does not know: all that is in memory may be old.
    #[serde(other)]
    Unknown,
}

impl Change {
    /// What an effect on this node's memory is to the others; none: nothing.
    pub fn of(effect: &Effect) -> Option<Change> {
        Some(match effect {
            Effect::Record(record) => Change::Connection { id: record.connection.id.clone() },
            Effect::Forget(id) => Change::Connection { id: id.clone() },
            Effect::Freed(id) => Change::Freed { id: id.clone() },
            Effect::Erased(id) => Change::Erased { id: id.clone() },
            Effect::Owner(owner) => Change::Owner { tag: format!("{owner:032x}") },
            Effect::Counted { integration, from, to } => {
                Change::Counted { integration: integration.clone(), from: from.clone(), to: to.clone() }
            }
            Effect::Integration(_) | Effect::Key(_) => Change::Registry,
            Effect::NoIntegration(name) => Change::Removed { integration: name.clone() },
            Effect::Rotated(master, _) => Change::Rotated { fingerprint: master.fingerprint() },
            Effect::Event(_) => Change::Events,
            Effect::Noticed(_) | Effect::Told => return None,
        })
    }

    /// Reads what a group told. What cannot be read came from a later version.
    pub fn read(document: &str) -> Vec<Change> {
        serde_json::from_str(document).unwrap_or_else(|_| vec![Change::Unknown])
    }
}
