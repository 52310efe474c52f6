//! The processes that work on one database: what one that has ended left behind, and what is known of the others.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use evergrant_core::id::{ConnectionId, NodeId};
use evergrant_core::time::Timestamp;
use tokio::sync::Notify;

use crate::db::{Former, Sql, values};
use crate::error::StoreError;
use crate::shared::{Effect, Shared, Tx};
use crate::store::Store;
use crate::{idempotency, jobs};

/// What this process knows of the nodes of its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nodes {
    /// How many live, this one among them.
    pub living: u32,
    /// How long it is since it was certain that everything that others committed had been heard.
    pub silence: Duration,
    /// Whether what is in memory may still be trusted.
    pub trusted: bool,
}

/// Which nodes live.
pub(crate) struct Living(BTreeSet<String>);

impl Living {
    pub fn look(sql: &Sql<'_>, me: &NodeId) -> Result<Self, StoreError> {
        let mut living: BTreeSet<String> = sql.living()?.unwrap_or_default().into_iter().collect();
        living.insert(me.to_string());
        Ok(Living(living))
    }

    /// Whether what belongs to this node is left alone.
    pub fn has(&self, node: Option<&str>) -> bool {
        node.is_some_and(|node| self.0.contains(node))
    }
}

impl Store {
    /// What is known of the nodes of the database; none where this process works on it alone.
    pub fn nodes(&self) -> Option<Nodes> {
        let silence = self.shared.silence()?;
        Some(Nodes { living: self.shared.nodes(), silence, trusted: self.shared.is_trusted() })
    }

    /// Ends what nodes were doing that have given no sign of life for long.
    ///
    /// # Errors
    /// Those of every read and write.
    pub async fn clear_up_behind_the_dead(&self, now: Timestamp) -> Result<(), StoreError> {
        let left = |sql: &Sql<'_>, shared: &Shared| {
            let living = Living::look(sql, &shared.node)?;
            Ok(jobs::left_behind(sql, &living)?.len() + idempotency::left_behind(sql, &living)?.len())
        };
        if self.shared.silence().is_none() || self.read(left).await? == 0 {
            return Ok(());
        }
        self.write(move |tx, shared| {
            let living = Living::look(tx, &shared.node)?;
            jobs::interrupt(tx, &living, now)?;
            idempotency::interrupt(tx, &living)
        })
        .await
    }

    /// Frees what earlier processes of this data folder had leased, and forgets them: called when the answers in the journal
    /// are in the database. Their open intents stay.
    ///
    /// # Errors
    /// Those of every write; it can be called again.
    pub async fn clear_up_behind_the_former(&self) -> Result<(), StoreError> {
        if self.shared.former.is_empty() {
            return Ok(());
        }
        self.write(move |tx, shared| shared.former.iter().try_for_each(|node| forget(tx, node))).await
    }

    /// To be told when a connection changes elsewhere: ask for it before looking at the connection.
    pub fn watch(&self, id: &ConnectionId) -> Watch {
        Watch { told: self.shared.wait_for(id), shared: self.shared.clone(), id: id.clone() }
    }
}

/// Waits for a change of one connection. One of a process at a time.
pub struct Watch {
    told: Arc<Notify>,
    shared: Arc<Shared>,
    id: ConnectionId,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<watch of {}>", self.id)
    }
}

impl Watch {
    /// Returns when it has changed since the last time, or since the watch began.
    pub async fn changed(&self) {
        self.told.notified().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.wait_no_more(&self.id);
    }
}

/// What is cleared up at once, and the nodes whose leases stay until [`Store::clear_up_behind_the_former`]: others would take
/// them over, and send again what the journal has an answer for.
pub(crate) fn begin(sql: &Sql<'_>, former: Former, me: &NodeId, now: Timestamp) -> Result<Vec<String>, StoreError> {
    let former = match former {
        Former::All => {
            end_leases(sql, me)?;
            Vec::new()
        }
        Former::These(nodes) => nodes,
    };
    interrupt(sql, me, &former, now)?;
    Ok(former)
}

/// Ends what those were doing besides refreshes that have certainly ended, or have been silent for long.
fn interrupt(sql: &Sql<'_>, me: &NodeId, former: &[String], now: Timestamp) -> Result<(), StoreError> {
    let mut living = Living::look(sql, me)?;
    living.0.retain(|node| !former.contains(node));
    jobs::interrupt(sql, &living, now)?;
    idempotency::interrupt(sql, &living)
}

/// No lease of another process is alive. Open intents stay: they say that a token may have been spent.
fn end_leases(sql: &Sql<'_>, me: &NodeId) -> Result<(), StoreError> {
    let text = "UPDATE lives SET lease_until = 0, lease_owner = CASE WHEN attempt IS NULL THEN NULL ELSE lease_owner END \
                WHERE lease_owner IS NOT NULL AND lease_owner <> ?1";
    sql.run(text, values![me])?;
    // What an earlier process was telling is told again, under the same ids.
    let text =
        "UPDATE deliveries SET claimed_until = 0, claimed_by = NULL WHERE claimed_by IS NOT NULL AND claimed_by <> ?1";
    sql.run(text, values![me]).map(drop)
}

fn end_leases_of(sql: &Sql<'_>, node: &str) -> Result<(), StoreError> {
    let text = "UPDATE lives SET lease_until = 0, lease_owner = CASE WHEN attempt IS NULL THEN NULL ELSE lease_owner END \
                WHERE lease_owner = ?1";
    sql.run(text, values![node])?;
    sql.run("UPDATE deliveries SET claimed_until = 0, claimed_by = NULL WHERE claimed_by = ?1", values![node]).map(drop)
}

/// A node says good-bye: what it leased is free at once.
pub(crate) fn leave(tx: &Tx<'_>, me: &NodeId) -> Result<(), StoreError> {
    forget(tx, me.as_str())
}

/// What a node leased is free, and it is there no more.
fn forget(tx: &Tx<'_>, node: &str) -> Result<(), StoreError> {
    let text = "SELECT connection_id FROM lives WHERE lease_owner = ?1 AND lease_until > 0";
    let held: Vec<ConnectionId> = tx.all(text, values![node], |row| row.parse(0))?;
    end_leases_of(tx, node)?;
    held.into_iter().for_each(|id| tx.after_commit(Effect::Freed(id)));
    tx.run("DELETE FROM nodes WHERE id = ?1", values![node]).map(drop)
}
