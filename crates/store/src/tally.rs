//! How often what was done since the start of the process: for metrics, which read it and count nothing themselves.

use std::collections::BTreeMap;

use evergrant_core::notice::NoticeKind;

use crate::error::StoreError;

/// Counts since the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Uses that write, by how they ended: `ok`, `unavailable` (disk, lock), `error`.
    pub writes: BTreeMap<&'static str, u64>,
    /// Notices that were written, by kind.
    pub notices: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(crate) fn wrote<T>(&mut self, ended: &Result<T, StoreError>) {
        let word = match ended {
            Ok(_) => "ok",
            Err(StoreError::Unavailable { .. }) => "unavailable",
            Err(_) => "error",
        };
        *self.writes.entry(word).or_default() += 1;
    }

    pub(crate) fn noticed(&mut self, kind: NoticeKind) {
        *self.notices.entry(kind.as_str()).or_default() += 1;
    }
}
