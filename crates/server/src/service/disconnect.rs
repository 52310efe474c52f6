//! Ending a connection on purpose.

use serde::{Deserialize, Serialize};

/// Whether the provider was told that a grant ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Revocation {
    /// It was told, and said yes.
    Revoked,
    /// It could not be told just now; that is tried again by itself.
    Pending,
    /// It was told and said no; the tokens end by themselves.
    Refused,
    /// It has no way to be told.
    Unsupported,
    /// Telling it would end other connections of the same account; the last of them tells it.
    Kept,
    /// There was no grant.
    Nothing,
}

impl Revocation {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Revocation::Revoked => "revoked",
            Revocation::Pending => "pending",
            Revocation::Refused => "refused",
            Revocation::Unsupported => "unsupported",
            Revocation::Kept => "kept",
            Revocation::Nothing => "nothing",
        }
    }
}
