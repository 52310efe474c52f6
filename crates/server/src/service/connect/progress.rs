//! How far a connect session is: written beside it, without any secret, so that a repeated call, a second callback and the
//! next start find what became of it.

use evergrant_core::connection::Account;
use evergrant_core::id::{ConnectionId, IntegrationName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::failure::Failure;

/// How far a session is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "progress")]
pub enum Progress {
    /// A code is on its way to the provider, or a pending grant waits for its account.
    Exchanging(Context),
    /// Done.
    Connected {
        /// The connection.
        connection: ConnectionId,
        /// Whether it was new.
        created: bool,
    },
    /// The person said no.
    Denied,
    /// It failed; the link can be used again.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// Another subject was signed in; the code was dropped.
    OtherSubject,
}

/// What is needed to go on from an answer that was journalled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// Through which integration.
    pub integration: IntegrationName,
    /// The scopes that were asked for.
    pub scopes: Vec<String>,
    /// What the callback told that calling the provider needs.
    pub callback: Map<String, Value>,
    /// The account that the callback named, where the provider tells it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
}

impl Progress {
    /// As it is stored.
    pub fn text(&self) -> String {
        // An enum of texts and maps: writing it cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// As it was stored; none where nothing was, or nothing that this version knows.
    pub fn read(text: Option<&str>) -> Option<Self> {
        text.and_then(|text| serde_json::from_str(text).ok())
    }
}

/// What a callback came to, for a second arrival of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "result")]
pub enum StateResult {
    /// The application has to say who it is; the handle follows from the state.
    Pending,
    /// Done.
    Connected {
        /// The connection.
        connection: ConnectionId,
    },
    /// The person said no.
    Denied,
    /// It failed.
    Failed {
        /// Why.
        failure: Failure,
    },
}
