//! Who calls, and what that one may do and see.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use evergrant_core::api_key;
use evergrant_core::id::{IntegrationName, SubjectId};
use evergrant_core::secret::OneTime;
use evergrant_core::time::Timestamp;
use evergrant_store::{ApiKey, SharedEntropy, Store, StoreError};
use serde::{Deserialize, Serialize};

use super::error::Refusal;
use super::signed::Signer;
use crate::clock::SharedClock;

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Permission {
    /// The token calls.
    #[serde(rename = "tokens:read")]
    TokensRead,
    /// Every other read.
    #[serde(rename = "connections:read")]
    ConnectionsRead,
    /// Import, change, refresh, report, disconnect.
    #[serde(rename = "connections:write")]
    ConnectionsWrite,
    /// Connect sessions, their completion, subject sessions.
    #[serde(rename = "connect")]
    Connect,
    /// Notifications and preferences.
    #[serde(rename = "notifications")]
    Notifications,
    /// Metrics and statistics.
    #[serde(rename = "metrics:read")]
    MetricsRead,
    /// Everything.
    #[serde(rename = "admin")]
    Admin,
}

impl Permission {
    /// All permissions.
    pub const ALL: [Permission; 7] = [
        Permission::TokensRead,
        Permission::ConnectionsRead,
        Permission::ConnectionsWrite,
        Permission::Connect,
        Permission::Notifications,
        Permission::MetricsRead,
        Permission::Admin,
    ];

    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Permission::TokensRead => "tokens:read",
            Permission::ConnectionsRead => "connections:read",
            Permission::ConnectionsWrite => "connections:write",
            Permission::Connect => "connect",
            Permission::Notifications => "notifications",
            Permission::MetricsRead => "metrics:read",
            Permission::Admin => "admin",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Permission {
    type Err = UnknownPermission;
    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        Permission::ALL.into_iter().find(|permission| permission.as_str() == text).ok_or(UnknownPermission)
    }
}

/// The word is not a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected one of tokens:read, connections:read, connections:write, connect, notifications, metrics:read, admin"
)]
pub struct UnknownPermission;

/// Which integrations a caller may see; what lies outside does not exist for him.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All of them, also those to come.
    #[default]
    All,
    /// These.
    Only(BTreeSet<IntegrationName>),
}

impl Scope {
    /// Whether `integration` is visible.
    pub fn sees(&self, integration: &IntegrationName) -> bool {
        match self {
            Scope::All => true,
            Scope::Only(names) => names.contains(integration),
        }
    }

    /// Whether everything that `other` sees is seen from here.
    pub fn covers(&self, other: &Scope) -> bool {
        match (self, other) {
            (Scope::All, _) => true,
            (Scope::Only(_), Scope::All) => false,
            (Scope::Only(mine), Scope::Only(theirs)) => theirs.is_subset(mine),
        }
    }
}

/// Who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Which key or session it is.
    pub who: Who,
    /// What it may do.
    pub permissions: BTreeSet<Permission>,
    /// What it may see.
    pub scope: Scope,
    /// In which request; empty where there is none.
    pub request_id: String,
    /// When the session ends that calls; none: a key, whose end is looked up.
    pub ends_at: Option<Timestamp>,
}

/// Which key or session calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// An API key, by the id that is part of it.
    Key(String),
    /// A browser on behalf of one subject.
    Subject(SubjectId),
    /// The operator, at the machine itself: a command on the data folder, the demo.
    Operator,
}

impl Caller {
    /// The operator at the machine itself.
    pub fn operator() -> Self {
        let permissions = BTreeSet::from([Permission::Admin]);
        Caller { who: Who::Operator, permissions, scope: Scope::All, request_id: String::new(), ends_at: None }
    }

    /// Whether this permission is held; `admin` includes all.
    pub fn has(&self, needed: Permission) -> bool {
        self.permissions.contains(&needed) || self.permissions.contains(&Permission::Admin)
    }

    /// Refuses a caller without the permission.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`].
    pub fn require(&self, needed: Permission) -> Result<(), Refusal> {
        if self.has(needed) { Ok(()) } else { Err(Refusal::Forbidden { needed }) }
    }

    /// A word for the audit log.
    pub fn actor(&self) -> String {
        match &self.who {
            Who::Key(id) => format!("key:key_{id}"),
            Who::Subject(_) => "subject".to_owned(),
            Who::Operator => "operator".to_owned(),
        }
    }
}

/// Finds out who calls: in memory, with one hash and one look-up.
#[derive(Debug)]
pub struct Access {
    store: Store,
    subjects: Signer,
    operators: Signer,
    sign_ins: Mutex<HashMap<[u8; 32], Timestamp>>,
    clock: SharedClock,
    entropy: SharedEntropy,
}

/// What a subject session says.
#[derive(Serialize, Deserialize)]
struct SubjectToken {
    #[serde(rename = "s")]
    subject: SubjectId,
}

impl Access {
    /// How long a browser stays signed in.
    pub const SIGNED_IN: Duration = Duration::from_secs(12 * 3600);
    /// How long a sign-in link is good.
    const SIGN_IN_LINK: Duration = Duration::from_secs(3600);
    /// How long a subject session is good.
    const SUBJECT_SESSION: Duration = Duration::from_secs(3600);

    /// With the keys of the store; sessions are signed by keys of its ring.
    ///
    /// # Errors
    /// Only if the cryptographic library refuses.
    pub fn new(store: Store, clock: SharedClock, entropy: SharedEntropy) -> Result<Self, StoreError> {
        let subjects = Signer::new("egs_", store.derived_key("subject sessions")?.as_ref());
        let operators = Signer::new("ego_", store.derived_key("operator sessions")?.as_ref());
        Ok(Access { store, subjects, operators, sign_ins: Mutex::default(), clock, entropy })
    }

    /// Whose key this is. Unknown, misspelt, revoked and expired keys get the same answer.
    ///
    /// # Errors
    /// [`Refusal::Unauthenticated`]; [`Refusal::StorageUnavailable`] while nothing is heard of other nodes.
    pub fn authenticate(&self, presented: &str) -> Result<Caller, Refusal> {
        let presented = api_key::parse(presented).map_err(|_| Refusal::Unauthenticated)?;
        if !self.store.is_trusted() {
            // A key may have been revoked on another node.
            let cause = "what other nodes have committed has not been heard for too long".to_owned();
            return Err(Refusal::StorageUnavailable { retry_after: Duration::from_secs(5), cause });
        }
        let known = self.store.api_key(presented.id());
        // An unknown key is compared too, so that it takes as long as a wrong one.
        let hash = known.as_ref().map_or([0; 32], |key| key.hash);
        let same = verify_slices_are_equal(&hash, &presented.hash()).is_ok();
        match known {
            Some(key) if same && key.is_valid(self.clock.now()) => Ok(caller(&key)),
            _ => Err(Refusal::Unauthenticated),
        }
    }

    /// Whether a caller that was let in would be let in again: for what goes on for long.
    pub fn is_still_good(&self, caller: &Caller) -> bool {
        match &caller.who {
            Who::Key(id) => self.store.api_key(id).is_some_and(|key| key.is_valid(self.clock.now())),
            Who::Subject(_) => caller.ends_at.is_none_or(|end| self.clock.now() < end),
            Who::Operator => true,
        }
    }

    /// A session for a browser of one subject.
    pub fn subject_session(&self, subject: &SubjectId) -> (OneTime, Timestamp) {
        let end = self.clock.now().plus(Self::SUBJECT_SESSION);
        (self.subjects.sign(SubjectToken { subject: subject.clone() }, end), end)
    }

    /// The caller behind a subject's session, without any permission yet.
    pub fn subject_of(&self, token: &str) -> Option<Caller> {
        let (SubjectToken { subject }, end) = self.subjects.read_with_end(token, self.clock.now())?;
        let (who, permissions) = (Who::Subject(subject), BTreeSet::new());
        Some(Caller { who, permissions, scope: Scope::All, request_id: String::new(), ends_at: Some(end) })
    }

    /// A link's secret that signs a browser in, once, within an hour. Kept in memory only: it is for who starts the service.
    pub fn sign_in_link(&self) -> OneTime {
        let (token, now) = (self.entropy.one_time(), self.clock.now());
        let mut links = self.sign_ins.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|_, end| *end > now);
        links.insert(hash(&token), now.plus(Self::SIGN_IN_LINK));
        token
    }

    /// Uses up a sign-in link; the browser's session.
    pub fn sign_in(&self, token: &OneTime) -> Option<OneTime> {
        let now = self.clock.now();
        let end = self.sign_ins.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash(token))?;
        (now < end).then(|| self.operators.sign((), now.plus(Self::SIGNED_IN)))
    }

    /// Whether a browser's session is one of ours.
    pub fn is_signed_in(&self, session: &str) -> bool {
        self.operators.read::<()>(session, self.clock.now()).is_some()
    }
}

/// The hash under which a one-time value is kept.
pub fn hash(value: &OneTime) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, value.expose().as_bytes());
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

fn caller(key: &ApiKey) -> Caller {
    let who = Who::Key(key.id.clone());
    Caller { who, permissions: permissions(key), scope: scope(key), request_id: String::new(), ends_at: None }
}

/// What a stored key may do. A word that this version does not know gives nothing.
pub fn permissions(key: &ApiKey) -> BTreeSet<Permission> {
    key.permissions.iter().filter_map(|word| word.parse().ok()).collect()
}

/// What a stored key may see.
pub fn scope(key: &ApiKey) -> Scope {
    key.integrations.clone().map_or(Scope::All, Scope::Only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_can_never_see_more_than_the_one_that_makes_it() {
        let only = |names: &[&str]| Scope::Only(names.iter().map(|name| name.parse().expect("a name")).collect());
        assert!(Scope::All.covers(&only(&["a"])));
        assert!(only(&["a", "b"]).covers(&only(&["a"])));
        assert!(!only(&["a"]).covers(&only(&["a", "b"])));
        assert!(!only(&["a"]).covers(&Scope::All));
    }

    #[test]
    fn admin_includes_every_permission() {
        let operator = Caller::operator();
        assert!(Permission::ALL.into_iter().all(|permission| operator.has(permission)));
        for permission in Permission::ALL {
            assert_eq!(permission.as_str().parse(), Ok(permission));
        }
    }
}
