//! Who changed what: lines that are chained by their hashes, written in the transaction of the change.
//!
//! A line can be neither changed nor left out without breaking every line after it; that the end was cut off is seen
//! against a head that was noted elsewhere.

use std::borrow::Cow;

use aws_lc_rs::digest;
use evergrant_core::time::Timestamp;
use serde_json::{Map, Value};

use crate::db::{Sql, values};
use crate::error::StoreError;
use crate::row::json;
use crate::shared::Tx;

/// A line to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct NewAudit {
    /// Who: `key:<id>`, `operator`, `subject`, `service`.
    pub actor: String,
    /// What was done: `key.created`, `connection.disconnected`, …
    pub action: Cow<'static, str>,
    /// What it was done to, by id; empty where the store makes the id.
    pub target: String,
    /// More about it; never a secret, and of persons only a keyed hash.
    pub detail: Map<String, Value>,
}

impl NewAudit {
    /// Without more about it.
    pub fn new(actor: impl Into<String>, action: impl Into<Cow<'static, str>>, target: impl Into<String>) -> Self {
        NewAudit { actor: actor.into(), action: action.into(), target: target.into(), detail: Map::new() }
    }

    /// With one more fact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }

    /// For a target that was not known before, such as an id that the store made.
    pub(crate) fn about(mut self, target: &str) -> Self {
        if self.target.is_empty() {
            target.clone_into(&mut self.target);
        }
        self
    }
}

/// Writes a line in a transaction.
pub(crate) fn write(tx: &Tx<'_>, line: Option<&NewAudit>, at: Timestamp) -> Result<(), StoreError> {
    let Some(line) = line else { return Ok(()) };
    let (last, chain) = head(tx)?;
    let (sequence, detail) = (last + 1, json(&line.detail)?);
    let hash = link(&chain, sequence, at, [&line.actor, &line.action, &line.target, &detail]);
    let text =
        "INSERT INTO audit (sequence, at, actor, action, target, detail, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let action: &str = &line.action;
    tx.run_one("audit", text, values![sequence, at, line.actor, action, line.target, detail, hash])
}

/// The last line's number and hash; zeros before the first.
pub(crate) fn head(sql: &Sql<'_>) -> Result<(u64, Vec<u8>), StoreError> {
    let text = "SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1";
    let last = sql.one(text, &[], |row| Ok((row.count(0)?, row.bytes(1)?)))?;
    Ok(last.unwrap_or_else(|| (0, vec![0; 32])))
}

/// The hash of a line: over the hash before it and all its fields, each with its length.
pub(crate) fn link(before: &[u8], sequence: u64, at: Timestamp, fields: [&str; 4]) -> Vec<u8> {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(before);
    hash.update(&sequence.to_be_bytes());
    hash.update(&at.as_millis().to_be_bytes());
    for field in fields {
        hash.update(&(field.len() as u64).to_be_bytes());
        hash.update(field.as_bytes());
    }
    hash.finish().as_ref().to_vec()
}
