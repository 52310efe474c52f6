//! Sealing: AES-256-GCM under a ring of data keys that the master key wraps.
//!
//! A ciphertext is bound to where it stands (installation, table, row, column, generation): whoever can write the
//! database can neither move one nor put back an older one. Each place has a key of its own, derived from the data key,
//! so that nonces of different rows can never meet. Losing the master key loses everything; that is its purpose.

mod cipher;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod master;
mod ring;
mod wiped;

pub(crate) use cipher::hex;
pub use master::{MasterKey, NotAMasterKey};
pub(crate) use ring::{KeyRing, WrappedKey};
pub(crate) use wiped::Wiped;

use std::fmt;

/// Where a ciphertext stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// The table, or another kind of place such as the journal.
    pub table: &'static str,
    /// The row's key.
    pub row: &'a str,
    /// The column.
    pub column: &'static str,
    /// The generation, where the row has generations; else 0.
    pub generation: u64,
}

/// A ciphertext, with everything that is needed to open it but the key.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedBytes(Vec<u8>);

impl SealedBytes {
    /// Takes over what was stored.
    pub(crate) fn stored(bytes: Vec<u8>) -> Self {
        SealedBytes(bytes)
    }

    /// The ciphertext.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Length of the ciphertext in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is there at all; then it opens nowhere.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for SealedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} sealed bytes>", self.0.len())
    }
}
