//! What the judge writes down: each use of a refresh token from its first byte to the end of its connection.
//!
//! These are the records themselves, as tests and `GET /control/ledger` see them; the judge fills them in.
//! Tokens appear by fingerprint only, so that a ledger can be printed when a test fails.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;

/// Everything that was spent, counted and found wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Every use of a refresh token, in the order in which the requests were read.
    pub spends: Vec<Spend>,
    /// What no client may do, and did.
    pub violations: Vec<Violation>,
    /// How often each endpoint was called.
    pub calls: Calls,
}

impl Ledger {
    /// The uses of refresh tokens of this account at this client.
    pub fn spends_of<'a>(&'a self, client_id: &'a str, account: &'a str) -> impl Iterator<Item = &'a Spend> {
        self.spends
            .iter()
            .filter(move |spend| spend.client_id == client_id && spend.account.as_deref() == Some(account))
    }

    /// The uses whose answer has not ended yet: those that could still be answered.
    pub fn in_flight(&self) -> impl Iterator<Item = &Spend> {
        self.spends.iter().filter(|spend| spend.end.is_none())
    }

    /// The uses that rotated although their answer never reached the client whole: what a crash test aims at.
    pub fn rotated_unheard(&self) -> impl Iterator<Item = &Spend> {
        self.spends.iter().filter(|spend| {
            matches!(spend.decision, Some(Decision::Rotated { .. }))
                && spend.end.is_some_and(|end| !end.reached_client())
        })
    }
}

/// One use of a refresh token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spend {
    /// Its place in the ledger, from 0.
    pub number: usize,
    /// The client that the request named.
    pub client_id: String,
    /// The account that the token was issued for, if the judge issued it.
    pub account: Option<String>,
    /// The fingerprint of the refresh token sent.
    pub token: String,
    /// When the first byte of the request was there.
    pub began_at: Moment,
    /// When the whole request had been read.
    pub received_at: Moment,
    /// When the judge decided.
    pub decided_at: Option<Moment>,
    /// What it decided.
    pub decision: Option<Decision>,
    /// The status of the answer.
    pub status: Option<u16>,
    /// When the last byte of a whole answer had been handed to the kernel.
    pub written_at: Option<Moment>,
    /// When the connection ended.
    pub closed_at: Option<Moment>,
    /// How it ended; `None` while it is open.
    pub end: Option<End>,
    /// The earlier use of the same token that could still be answered when this one began.
    pub overlaps: Option<usize>,
    /// The faults that were applied.
    pub faults: Vec<String>,
}

impl Spend {
    /// Whether an answer can still come: not wholly written, and the connection is open.
    #[must_use]
    pub fn answerable(&self) -> bool {
        self.written_at.is_none() && self.closed_at.is_none()
    }

    /// The fingerprint of the refresh token that this use brought.
    #[must_use]
    pub fn brought(&self) -> Option<&str> {
        match self.decision.as_ref()? {
            Decision::Rotated { refresh, .. } | Decision::Repeated { refresh, .. } => Some(refresh),
            Decision::Renewed { .. } | Decision::Refused { .. } | Decision::Untouched => None,
        }
    }
}

/// What the judge did with a refresh token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Decision {
    /// A new pair was issued.
    Rotated {
        /// Fingerprint of the new access token.
        access: String,
        /// Fingerprint of the new refresh token.
        refresh: String,
        /// The generation of the new pair, counted from 1 in its family.
        generation: u32,
    },
    /// The pair of an earlier use was given again (idempotent replay).
    Repeated {
        /// Fingerprint of the access token.
        access: String,
        /// Fingerprint of the refresh token.
        refresh: String,
    },
    /// A new access token was issued; the refresh token goes on working.
    Renewed {
        /// Fingerprint of the new access token.
        access: String,
    },
    /// It was refused.
    Refused {
        /// The error code of the answer.
        error: String,
        /// Whether this refusal ended the whole family.
        ended_family: bool,
    },
    /// A fault answered in the judge's place, or the connection ended, before anything was spent.
    Untouched,
}

/// How the connection of a use ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The whole answer was written and the client closed in order: on Linux a socket that is closed (or whose process
    /// is killed) with unread bytes is reset, so the client's process had read every byte.
    Delivered,
    /// The whole answer was written, and the client reset the connection with bytes unread.
    Unread,
    /// The whole answer was written, and the client had not closed when the judge stopped waiting for that.
    Written,
    /// The client left before the whole answer was written.
    Abandoned,
    /// A fault cut the connection before the whole answer was written.
    Cut,
}

impl End {
    /// Whether the whole answer is known to have been read by the client's process.
    #[must_use]
    pub const fn reached_client(self) -> bool {
        matches!(self, Self::Delivered)
    }
}

/// What no client may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Violation {
    /// A refresh token was sent while an earlier sending of it could still be answered.
    Overlap {
        /// The earlier use.
        earlier: usize,
        /// The later use.
        later: usize,
    },
    /// A refresh token was sent by a client that it was not issued to.
    WrongClient {
        /// The use.
        spend: usize,
    },
    /// An authorization code was sent a second time.
    CodeReplayed {
        /// Fingerprint of the code.
        code: String,
    },
}

/// How often the judge was called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// By endpoint: `token`, `authorize`, `revoke`, `introspect`, `userinfo`, `api`, `metadata`.
    pub by_endpoint: BTreeMap<String, u64>,
    /// At the token endpoint, by `grant_type`.
    pub by_grant_type: BTreeMap<String, u64>,
}

impl Calls {
    /// Calls at the token endpoint, whatever became of them.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.endpoint("token")
    }

    /// Calls at one endpoint.
    #[must_use]
    pub fn endpoint(&self, endpoint: &str) -> u64 {
        self.by_endpoint.get(endpoint).copied().unwrap_or(0)
    }

    /// Calls at the token endpoint with this `grant_type`.
    #[must_use]
    pub fn grant_type(&self, grant_type: &str) -> u64 {
        self.by_grant_type.get(grant_type).copied().unwrap_or(0)
    }
}
