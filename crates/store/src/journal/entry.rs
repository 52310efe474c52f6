//! What is journalled: a provider's raw answer, before anybody parses it.

use std::fmt;

use evergrant_core::id::{AttemptId, ConnectSessionId, ConnectionId};
use evergrant_core::time::{Timestamp, millis};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::StoreError;

/// A provider's raw answer and what it answers.
#[derive(Clone)]
pub struct JournalEntry {
    /// The attempt that was answered.
    pub attempt: AttemptId,
    /// What was sent.
    pub kind: EntryKind,
    /// When the request began to leave.
    pub sent_at: Timestamp,
    /// When the whole answer was here.
    pub received_at: Timestamp,
    /// The HTTP status.
    pub status: u16,
    /// The few headers that decide what an answer means (`content-type`, `retry-after`, `date`).
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub body: Zeroizing<Vec<u8>>,
}

/// What was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// The refresh token of one generation.
    Refresh {
        /// Whose.
        connection: ConnectionId,
        /// Which generation of the grant it was sent from.
        generation: u64,
    },
    /// An authorization code.
    Exchange {
        /// Of this connect session.
        session: ConnectSessionId,
    },
}

impl fmt::Debug for JournalEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalEntry")
            .field("attempt", &self.attempt)
            .field("kind", &self.kind)
            .field("sent_at", &self.sent_at)
            .field("status", &self.status)
            .field("body", &format_args!("<{} bytes>", self.body.len()))
            .finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct Head {
    attempt: AttemptId,
    kind: EntryKind,
    #[serde(with = "millis")]
    sent_at: Timestamp,
    #[serde(with = "millis")]
    received_at: Timestamp,
    status: u16,
    headers: Vec<(String, String)>,
}

impl JournalEntry {
    /// Length of the head, the head as JSON, the body as it is.
    pub(super) fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let head = Head {
            attempt: self.attempt.clone(),
            kind: self.kind.clone(),
            sent_at: self.sent_at,
            received_at: self.received_at,
            status: self.status,
            headers: self.headers.clone(),
        };
        let head =
            Zeroizing::new(serde_json::to_vec(&head).map_err(|_| StoreError::defect("writing a journal entry"))?);
        let length = u32::try_from(head.len()).map_err(|_| StoreError::defect("writing a journal entry"))?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(4 + head.len() + self.body.len()));
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(&self.body);
        Ok(bytes)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (head, body) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let head: Head = serde_json::from_slice(head).ok()?;
        Some(JournalEntry {
            attempt: head.attempt,
            kind: head.kind,
            sent_at: head.sent_at,
            received_at: head.received_at,
            status: head.status,
            headers: head.headers,
            body: Zeroizing::new(body.to_vec()),
        })
    }
}
