//! What should be known: the model's state, in the words of the promises.

use std::collections::{BTreeMap, BTreeSet};

use evergrant_core::id::{AttemptId, ConnectionId, JobId};
use evergrant_core::time::Timestamp;
use evergrant_store::refresh::{AttemptResult, Leased, RefreshedFrom, SuccessCommit};
use evergrant_store::{JobState, OutboxId, StatusCounts};

/// The status words.
pub const CONNECTED: &str = "connected";
pub const NEEDS_REAUTH: &str = "needs_reauth";
pub const DISCONNECTED: &str = "disconnected";

#[derive(Clone, Debug)]
pub struct KnownIntegration {
    pub shared: bool,
    pub paused: bool,
    pub version: u64,
    pub healthy: bool,
}

/// A connection as it should be.
#[derive(Clone, Debug)]
pub struct KnownConnection {
    pub id: ConnectionId,
    pub integration: u8,
    pub subject: u8,
    pub account: Option<u8>,
    pub status: &'static str,
    pub generation: u64,
    /// The marks of access and refresh token.
    pub access: Option<String>,
    pub refresh: Option<String>,
    pub label: Option<String>,
    pub version: u64,
    pub next_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub leased_until: Option<Timestamp>,
    pub fence: u64,
    pub sending: Option<AttemptId>,
    pub forced_at: Option<Timestamp>,
    pub spares: BTreeSet<AttemptId>,
    pub events: Vec<&'static str>,
}

impl KnownConnection {
    pub fn is_alive(&self) -> bool {
        self.status != DISCONNECTED
    }

    pub fn is_leased(&self, now: Timestamp) -> bool {
        self.leased_until.is_some_and(|until| until > now)
    }

    pub fn end_lease(&mut self, fence: Option<u64>) {
        if fence == Some(self.fence) {
            self.leased_until = None;
        }
    }
}

/// A revocation that waits.
#[derive(Clone, Debug)]
pub struct KnownRevocation {
    pub access: String,
    pub integration: u8,
    pub next_at: Timestamp,
    pub claimed_until: Timestamp,
    /// Known once it was handed out.
    pub id: Option<OutboxId>,
}

#[derive(Clone, Debug)]
pub struct KnownKey {
    pub hash: u8,
    pub answer: Option<Vec<u8>>,
    pub expires_at: Timestamp,
}

#[derive(Clone, Debug)]
pub struct KnownNotice {
    pub connection: ConnectionId,
    pub subject: u8,
    pub episode: Timestamp,
    pub read: bool,
}

/// A lease that somebody holds or thinks that he holds.
#[derive(Debug)]
pub struct KnownLease {
    pub leased: Leased,
    pub attempt: Option<AttemptId>,
}

/// Everything.
#[derive(Debug, Default)]
pub struct Known {
    pub integrations: BTreeMap<u8, KnownIntegration>,
    pub connections: Vec<KnownConnection>,
    pub attempts: BTreeMap<AttemptId, AttemptResult>,
    /// Attempts of which it was written down through which integration they went.
    pub begun: BTreeMap<AttemptId, u8>,
    pub leases: Vec<KnownLease>,
    pub commits: Vec<(RefreshedFrom, Option<u64>, SuccessCommit)>,
    pub revocations: Vec<KnownRevocation>,
    pub notices: Vec<KnownNotice>,
    pub preferences: BTreeMap<u8, u8>,
    pub keys: BTreeMap<u8, KnownKey>,
    pub jobs: Vec<(JobId, JobState, u64)>,
    pub api_keys: BTreeMap<u8, bool>,
}

impl Known {
    pub fn get(&mut self, id: &ConnectionId) -> Option<&mut KnownConnection> {
        self.connections.iter_mut().find(|one| one.id == *id)
    }

    /// One of the connections, by place.
    pub fn at(&self, at: u8) -> Option<ConnectionId> {
        let length = self.connections.len().max(1);
        self.connections.get(usize::from(at) % length).map(|one| one.id.clone())
    }

    pub fn counts(&self, integration: u8) -> StatusCounts {
        let of = |status| {
            self.connections.iter().filter(|one| one.integration == integration && one.status == status).count() as u64
        };
        StatusCounts { connected: of(CONNECTED), needs_reauth: of(NEEDS_REAUTH), disconnected: of(DISCONNECTED) }
    }

    /// Another subject's living connection of an account, where accounts are not shared.
    pub fn taken(&self, integration: u8, account: Option<u8>, subject: u8) -> bool {
        let shared = self.integrations.get(&integration).is_some_and(|one| one.shared);
        let same = |one: &&KnownConnection| {
            one.integration == integration && one.account == account && one.subject != subject && one.is_alive()
        };
        account.is_some() && !shared && self.connections.iter().any(|one| same(&one))
    }

    /// Where a grant of this key belongs.
    pub fn by_key(&self, integration: u8, subject: u8, account: Option<u8>) -> Option<ConnectionId> {
        let mine = || self.connections.iter().filter(|one| one.integration == integration && one.subject == subject);
        let named = mine().find(|one| account.is_some() && one.account == account);
        let unnamed = mine().find(|one| one.account.is_none());
        let only = if account.is_none() && mine().count() == 1 { mine().next() } else { None };
        named.or(unnamed).or(only).map(|one| one.id.clone())
    }

    pub fn due(&self, now: Timestamp, skip: Option<u8>) -> Vec<&KnownConnection> {
        let due = |one: &&KnownConnection| {
            Some(one.integration) != skip && one.next_at.is_some_and(|at| at <= now) && !one.is_leased(now)
        };
        self.connections.iter().filter(due).collect()
    }
}
