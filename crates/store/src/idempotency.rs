//! Answers to requests that carried an `Idempotency-Key`, so that a repeated request is answered and not done again.

use evergrant_core::time::Timestamp;
use zeroize::Zeroizing;

use crate::db::{Sql, values};
use crate::error::StoreError;
use crate::nodes::Living;
use crate::row::json;
use crate::seal::Place;
use crate::store::Store;

/// What is known of a request with this key.
#[derive(Clone, PartialEq, Eq)]
pub enum Idempotent {
    /// Nothing: do it, then `finish_idempotent` or `forget_idempotent`.
    New,
    /// It was done; this was the answer.
    Replay(Zeroizing<Vec<u8>>),
    /// The key came with another request.
    OtherRequest,
    /// It is being done.
    UnderWay,
}

impl std::fmt::Debug for Idempotent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Idempotent::New => "New",
            Idempotent::Replay(_) => "Replay(<sealed>)",
            Idempotent::OtherRequest => "OtherRequest",
            Idempotent::UnderWay => "UnderWay",
        })
    }
}

impl Store {
    /// Looks up a caller's key, and takes it if it is new; it is remembered until `expires_at`.
    ///
    /// # Errors
    /// Those of every write; [`StoreError::Corrupt`].
    pub async fn begin_idempotent(
        &self,
        caller: &str,
        name: &str,
        request_hash: [u8; 32],
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Idempotent, StoreError> {
        let (caller, name) = (caller.to_owned(), name.to_owned());
        self.write(move |tx, shared| {
            let ended = "DELETE FROM idempotency WHERE caller = ?1 AND name = ?2 AND expires_at <= ?3";
            tx.run(ended, values![caller, name, now])?;
            let text = "SELECT request_hash, answer FROM idempotency WHERE caller = ?1 AND name = ?2";
            let found = tx.one(text, values![caller, name], |row| Ok((row.bytes(0)?, row.opt_sealed(1)?)))?;
            match found {
                Some((hash, _)) if hash != request_hash => Ok(Idempotent::OtherRequest),
                Some((_, None)) => Ok(Idempotent::UnderWay),
                Some((_, Some(sealed))) => {
                    let row = row_of(&caller, &name)?;
                    shared.ring.open_at(place(&row), &sealed).map(Idempotent::Replay)
                }
                None => {
                    let text = "INSERT INTO idempotency (caller, name, request_hash, created_at, expires_at, node) \
                                VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
                    let all = values![caller, name, request_hash, now, expires_at, shared.node];
                    tx.run_one("idempotency", text, all)?;
                    Ok(Idempotent::New)
                }
            }
        })
        .await
    }

    /// Keeps the answer, sealed.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn finish_idempotent(
        &self,
        caller: &str,
        name: &str,
        answer: Zeroizing<Vec<u8>>,
    ) -> Result<(), StoreError> {
        let (caller, name) = (caller.to_owned(), name.to_owned());
        self.write(move |tx, shared| {
            let row = row_of(&caller, &name)?;
            let sealed = shared.ring.seal(place(&row), &answer)?;
            let text = "UPDATE idempotency SET answer = ?3 WHERE caller = ?1 AND name = ?2";
            tx.run_one("idempotency", text, values![caller, name, sealed])
        })
        .await
    }

    /// Forgets a key whose request failed, so that it can be repeated.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn forget_idempotent(&self, caller: &str, name: &str) -> Result<(), StoreError> {
        let (caller, name) = (caller.to_owned(), name.to_owned());
        let text = "DELETE FROM idempotency WHERE caller = ?1 AND name = ?2 AND answer IS NULL";
        self.write(move |tx, _| tx.run(text, values![caller, name]).map(drop)).await
    }
}

fn row_of(caller: &str, name: &str) -> Result<String, StoreError> {
    json(&(caller, name))
}

fn place(row: &str) -> Place<'_> {
    Place { table: "idempotency", row, column: "answer", generation: 0 }
}

/// The nodes that were doing something and do not live any more; an older version left no name.
pub(crate) fn left_behind(sql: &Sql<'_>, living: &Living) -> Result<Vec<String>, StoreError> {
    let text = "SELECT DISTINCT COALESCE(node, '') FROM idempotency WHERE answer IS NULL";
    let mut nodes: Vec<String> = sql.all(text, &[], |row| row.text(0))?;
    nodes.retain(|node| !living.has(Some(node)));
    Ok(nodes)
}

/// Whoever was doing them is gone.
pub(crate) fn interrupt(sql: &Sql<'_>, living: &Living) -> Result<(), StoreError> {
    for node in left_behind(sql, living)? {
        sql.run("DELETE FROM idempotency WHERE answer IS NULL AND COALESCE(node, '') = ?1", values![node])?;
    }
    Ok(())
}
