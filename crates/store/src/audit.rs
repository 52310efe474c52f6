//! Who changed what: lines that are chained by their hashes, written in the transaction of the change.
//!
//! A line can be neither changed nor left out without breaking every line after it; that the end was cut off is seen
//! against a head that was noted elsewhere.

use std::borrow::Cow;

use aws_lc_rs::digest;
use evergrant_core::time::Timestamp;
use serde_json::{Map, Value};

use crate::db::{Select, Sql, values};
use crate::error::StoreError;
use crate::page::{Cursor, Page};
use crate::row::json;
use crate::seal::hex;
use crate::shared::Tx;
use crate::store::Store;

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

/// A line as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditLine {
    /// Its place in the chain.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// What it was done to.
    pub target: String,
    /// More about it.
    pub detail: Map<String, Value>,
    /// Binds this line to all before it: 64 hexadecimal digits.
    pub hash: String,
}

/// What came of checking the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditCheck {
    /// Every line fits the one before it.
    Whole {
        /// How many lines there are.
        lines: u64,
        /// The last line's hash, to be compared with one that was noted elsewhere.
        head: String,
    },
    /// A line was changed, or one before it left out.
    Broken {
        /// The first line that does not fit.
        sequence: u64,
    },
}

impl Store {
    /// A page of the audit log, newest first.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn audit(&self, after: Option<Cursor>, limit: usize) -> Result<Page<AuditLine>, StoreError> {
        let before: Option<u64> = match after.map(|cursor| cursor.key()) {
            Some(None) => return Ok(Page::last(Vec::new())),
            Some(sequence) => sequence,
            None => None,
        };
        self.read(move |sql, _| {
            let mut select = Select::from("SELECT sequence, at, actor, action, target, detail, hash FROM audit");
            if let Some(sequence) = &before {
                select.and("sequence < #", sequence);
            }
            let items = select.run(sql, "ORDER BY sequence DESC", limit + 1, |row| {
                let detail: Map<String, Value> = row.json(5)?;
                let (sequence, at, hash) = (row.count(0)?, row.time(1)?, hex(&row.bytes(6)?));
                let (actor, action, target) = (row.text(2)?, row.text(3)?, row.text(4)?);
                Ok(AuditLine { sequence, at, actor, action, target, detail, hash })
            })?;
            Ok(Page::cut(items, limit, |line| line.sequence.to_string()))
        })
        .await
    }

    /// Checks the whole chain, line by line.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn check_audit(&self) -> Result<AuditCheck, StoreError> {
        let (mut lines, mut before) = (0, vec![0; 32]);
        loop {
            let (from, chain) = (lines, before.clone());
            let (checked, hash, broken) = self.read(move |sql, _| check_part(sql, from, chain)).await?;
            if let Some(sequence) = broken {
                return Ok(AuditCheck::Broken { sequence });
            }
            if checked == lines {
                return Ok(AuditCheck::Whole { lines, head: hex(&before) });
            }
            (lines, before) = (checked, hash);
        }
    }
}

/// Checks the lines after `from`; says how far it came, with which hash, and which line does not fit.
fn check_part(sql: &Sql<'_>, from: u64, chain: Vec<u8>) -> Result<(u64, Vec<u8>, Option<u64>), StoreError> {
    let text = "SELECT sequence, at, actor, action, target, detail, hash FROM audit WHERE sequence > ?1 \
                ORDER BY sequence LIMIT 1000";
    let (mut last, mut chain, mut broken) = (from, chain, None);
    sql.all(text, values![from], |row| {
        let (sequence, at, hash) = (row.count(0)?, row.time(1)?, row.bytes(6)?);
        let fields = [row.text(2)?, row.text(3)?, row.text(4)?, row.text(5)?];
        let right = link(&chain, sequence, at, fields.each_ref().map(String::as_str));
        if broken.is_none() && (sequence != last + 1 || right != hash) {
            broken = Some(sequence);
        }
        (last, chain) = (sequence, hash);
        Ok(())
    })?;
    Ok((last, chain, broken))
}
