//! What a person can do about trouble: each way of failing is one of four kinds, and each kind has one way forward.

use serde::{Deserialize, Serialize};

use crate::outcome::Class;

/// The four kinds of trouble that a person can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// Something cannot be reached: try again.
    Network,
    /// The permission is missing or has ended: reconnect.
    Reconnect,
    /// Too much was asked: wait.
    RateLimit,
    /// Nothing that the person could mend: contact support.
    Unknown,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Trouble; 4] = [Trouble::Network, Trouble::Reconnect, Trouble::RateLimit, Trouble::Unknown];

    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Trouble::Network => "network",
            Trouble::Reconnect => "reconnect",
            Trouble::RateLimit => "rate_limit",
            Trouble::Unknown => "unknown",
        }
    }

    /// What a refresh that ended so is for a person; none of a success.
    pub const fn of(class: Class) -> Option<Trouble> {
        match class {
            Class::Success => None,
            Class::InvalidGrant => Some(Trouble::Reconnect),
            Class::RateLimited => Some(Trouble::RateLimit),
            Class::Unavailable | Class::Network | Class::Ambiguous => Some(Trouble::Network),
            Class::AuthRejected | Class::InvalidClient | Class::Malformed | Class::Unknown => Some(Trouble::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_failing_has_one_way_forward() {
        let table = [
            (Class::Success, None),
            (Class::InvalidGrant, Some("reconnect")),
            (Class::AuthRejected, Some("unknown")),
            (Class::InvalidClient, Some("unknown")),
            (Class::RateLimited, Some("rate_limit")),
            (Class::Unavailable, Some("network")),
            (Class::Network, Some("network")),
            (Class::Ambiguous, Some("network")),
            (Class::Malformed, Some("unknown")),
            (Class::Unknown, Some("unknown")),
        ];
        for (class, kind) in table {
            assert_eq!(Trouble::of(class).map(Trouble::as_str), kind, "{class:?}");
        }
    }
}
