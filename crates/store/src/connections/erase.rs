//! Forgetting a person: every row of every table, the cache, the journal and the log of the database.
//!
//! What stays: the audit log, which holds only keyed hashes of persons; revocations that the provider has not been told
//! yet, sealed and without the person's name; backups, which are the operator's.

use std::collections::BTreeSet;

use evergrant_core::connection::Connection;
use evergrant_core::id::{ConnectionId, SubjectId};
use evergrant_core::time::Timestamp;

use super::end;
use crate::audit::{self, NewAudit};
use crate::db::values;
use crate::deliveries;
use crate::error::StoreError;
use crate::outbox::Revocation;
use crate::record::{Durable, TokenRecord};
use crate::row;
use crate::shared::{Effect, Shared, Tx};
use crate::store::Store;

/// What was erased.
#[derive(Debug, Default)]
pub struct Erased {
    /// Connections.
    pub connections: u64,
    /// Notices.
    pub notices: u64,
    /// Grants that the provider is to be told about. They are in the outbox, claimed for a minute, so that the caller can
    /// try first.
    pub revocations: Vec<Revocation>,
}

impl Store {
    /// Erases a subject. `revoke` says of each living connection, given how many others of its account live on, whether
    /// the provider is to be told.
    ///
    /// # Errors
    /// Those of every write. Repeat it until it succeeds: the rows may be gone while the journal is not rewritten yet.
    pub async fn erase_subject(
        &self,
        subject: &SubjectId,
        revoke: impl Fn(&Connection, u64) -> bool + Send + 'static,
        audit: Option<NewAudit>,
        now: Timestamp,
    ) -> Result<Erased, StoreError> {
        let subject = subject.clone();
        let (erased, ids) = self
            .write(move |tx, shared| {
                let mut erased = Erased::default();
                let text = concat!(row::columns!(), "WHERE c.subject = ?1 ORDER BY c.id");
                let found = tx.all(text, values![subject], TokenRecord::read)?;
                for record in &found {
                    erase_one(tx, shared, record, &revoke, &mut erased, now)?;
                }
                erased.notices = tx.run("DELETE FROM notices WHERE subject = ?1", values![subject])? as u64;
                tx.run("DELETE FROM events WHERE subject = ?1", values![subject])?;
                deliveries::erase(tx, &subject)?;
                tx.run("DELETE FROM preferences WHERE subject = ?1", values![subject])?;
                tx.run("DELETE FROM connect_sessions WHERE subject = ?1", values![subject])?;
                audit::write(tx, audit.as_ref(), now)?;
                let ids: BTreeSet<ConnectionId> = found.iter().map(|record| record.connection.id.clone()).collect();
                Ok((erased, ids))
            })
            .await?;
        self.erase_journal(ids).await?;
        self.checkpoint().await?;
        Ok(erased)
    }

    /// Erases from this node's journal what other nodes have erased since the last call.
    ///
    /// # Errors
    /// Those of the journal; then it is done by the next call.
    pub async fn erase_what_others_erased(&self) -> Result<(), StoreError> {
        let ids = self.shared.heard_erased();
        if ids.is_empty() {
            return Ok(());
        }
        let erased = self.erase_journal(ids.clone()).await;
        erased.inspect_err(|_| self.shared.hear_erased(ids))
    }

    async fn erase_journal(&self, ids: BTreeSet<ConnectionId>) -> Result<(), StoreError> {
        let store = self.clone();
        let entries = self.blocking(move || store.journal().entries_of(&ids)).await;
        let entries = entries.unwrap_or_else(|| Err(StoreError::defect("reading the journal")))?;
        self.journal().erase(entries).await
    }
}

fn erase_one(
    tx: &Tx<'_>,
    shared: &Shared,
    record: &TokenRecord,
    revoke: &dyn Fn(&Connection, u64) -> bool,
    erased: &mut Erased,
    now: Timestamp,
) -> Result<(), StoreError> {
    let connection = &record.connection;
    let wanted = record.sealed.is_some() && revoke(connection, end::others(tx, connection)?);
    if let (Some(grant), Some(id)) = end::revoke(tx, shared, record, wanted, now)? {
        erased.revocations.push(Revocation {
            id,
            integration: connection.integration.clone(),
            connection: Some(connection.id.clone()),
            grant: Durable::committed(grant),
            tries: 0,
            created_at: now,
        });
    }
    tx.run("DELETE FROM notices WHERE connection_id = ?1", values![connection.id])?;
    tx.run("DELETE FROM events WHERE connection_id = ?1", values![connection.id])?;
    deliveries::erase_connection(tx, &connection.id)?;
    // Life, grant and spares go with it.
    tx.run_one("connections", "DELETE FROM connections WHERE id = ?1", values![connection.id])?;
    erased.connections += 1;
    let (integration, from) = (connection.integration.clone(), Some(connection.life.status.word().to_owned()));
    tx.after_commit(Effect::Counted { integration, from, to: None });
    tx.after_commit(Effect::Forget(connection.id.clone()));
    tx.after_commit(Effect::Erased(connection.id.clone()));
    tx.after_commit(Effect::Owner(shared.owner(&connection.integration, &connection.subject)));
    Ok(())
}
