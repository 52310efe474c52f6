//! Names of things: opaque prefixed ids that sort by time, and the names that operators and applications choose.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

const CROCKFORD: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// 26 characters that sort by time: 48 bits of milliseconds and 80 random bits, as ULIDs are made.
fn sortable(at: Timestamp, random: [u8; 10]) -> String {
    let millis = at.as_millis().max(0).unsigned_abs() & 0xffff_ffff_ffff;
    let mut value = u128::from(millis) << 80;
    for (index, byte) in random.iter().enumerate() {
        value |= u128::from(*byte) << (72 - 8 * index);
    }
    (0..26).rev().map(|digit| char::from(CROCKFORD[(value >> (5 * digit) & 31) as usize])).collect()
}

/// The text is not an id or name of the kind that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{expected}")]
pub struct BadName {
    /// What would be right, as a sentence.
    pub expected: &'static str,
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $check:expr, $expected:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok($name(text.into())) } else { Err(BadName { expected: $expected }) }
            }
        }
        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> { text.parse() }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String { name.0.as_ref().to_owned() }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Debug::fmt(&self.0, f) }
        }
    };
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        text_type!($(#[$doc])* $name, |text| is_id(text, $prefix), concat!("expected an id that begins with ", $prefix));
        impl $name {
            /// The prefix of these ids.
            pub const PREFIX: &'static str = $prefix;
            /// Makes an id from an instant and random bytes; ids of later instants sort later.
            pub fn make(at: Timestamp, random: [u8; 10]) -> Self {
                $name(format!("{}{}", $prefix, sortable(at, random)).into())
            }
        }
    };
}

fn is_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| rest.len() == 26 && rest.bytes().all(|byte| CROCKFORD.contains(&byte)))
}

fn is_slug(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    (1..=64).contains(&text.len())
        && text.bytes().all(inner)
        && text.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
}

/// Opaque texts of other systems: printable, bounded, kept byte for byte.
fn is_opaque(text: &str) -> bool {
    (1..=255).contains(&text.len()) && !text.chars().any(char::is_control)
}

id_type!(
    /// A connection: `con_…`.
    ConnectionId, "con_"
);
id_type!(
    /// A connect session: `cs_…`.
    ConnectSessionId, "cs_"
);
id_type!(
    /// A notice: `ntf_…`.
    NoticeId, "ntf_"
);
id_type!(
    /// An endpoint for webhooks: `whk_…`.
    WebhookId, "whk_"
);
id_type!(
    /// One telling of one thing to one receiver: `dlv_…`.
    DeliveryId, "dlv_"
);
id_type!(
    /// An event: `evt_…`.
    EventId, "evt_"
);
id_type!(
    /// An attempt to refresh (or to exchange a code): `att_…`.
    AttemptId, "att_"
);
id_type!(
    /// A bulk job: `job_…`.
    JobId, "job_"
);
id_type!(
    /// A running process of the service: `nod_…`.
    NodeId, "nod_"
);
id_type!(
    /// An installation: `ins_…`, part of what each ciphertext is bound to.
    InstallationId, "ins_"
);
id_type!(
    /// A deployment: `dep_…`, one data folder that serves an installation's database.
    DeploymentId, "dep_"
);
text_type!(
    /// The name of an integration, chosen by the operator: lower-case letters, digits, `-`, `_`, `.`; at most 64.
    IntegrationName, is_slug, "expected a name of 1 to 64 lower-case letters, digits, '-', '_' or '.', beginning with a letter or digit"
);
text_type!(
    /// The id of a catalogue entry.
    ProviderId, is_slug, "expected a provider id of 1 to 64 lower-case letters, digits, '-', '_' or '.'"
);
text_type!(
    /// The application's own id of a person: an opaque text of at most 255 bytes.
    SubjectId, is_opaque, "expected 1 to 255 bytes of text without control characters"
);
text_type!(
    /// The person's identity at the provider: an opaque text of at most 255 bytes.
    AccountId, is_opaque, "expected 1 to 255 bytes of text without control characters"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_read_back() {
        let early = ConnectionId::make(Timestamp::from_millis(1_700_000_000_000), [255; 10]);
        let late = ConnectionId::make(Timestamp::from_millis(1_700_000_000_001), [0; 10]);
        assert!(early < late);
        assert_eq!(late.as_str().parse(), Ok(late.clone()));
        assert!("cs_01".parse::<ConnectionId>().is_err());
        assert!(late.as_str().replace("con_", "cs_").parse::<ConnectionId>().is_err());
    }

    #[test]
    fn names_that_could_break_a_path_are_refused() {
        for bad in ["", "Strava", "a/b", "-a", "a b", "..", "é"] {
            assert!(bad.parse::<IntegrationName>().is_err(), "{bad:?}");
        }
        assert!("google-prod".parse::<IntegrationName>().is_ok());
        assert!("user\n2".parse::<SubjectId>().is_err());
        assert!("auth0|60-日本".parse::<SubjectId>().is_ok());
    }
}
