//! Who calls, and what that one may do and see.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use evergrant_core::id::{IntegrationName, SubjectId};
use serde::{Deserialize, Serialize};

use super::error::Refusal;

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
}

/// Which key or session calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// An API key, by its id.
    Key(String),
    /// A browser on behalf of one subject.
    Subject(SubjectId),
    /// The operator, at the machine itself: a command on the data folder, the demo.
    Operator,
}

impl Caller {
    /// The operator at the machine itself.
    pub fn operator() -> Self {
        Caller { who: Who::Operator, permissions: BTreeSet::from([Permission::Admin]), scope: Scope::All }
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
            Who::Key(id) => format!("key:{id}"),
            Who::Subject(_) => "subject".to_owned(),
            Who::Operator => "operator".to_owned(),
        }
    }
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
