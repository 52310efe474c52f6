//! Ending a connection on purpose: the only thing that erases tokens.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::connection::{Connection, Life, Status};
use evergrant_core::grant::Grant;
use evergrant_core::id::ConnectionId;
use evergrant_core::time::Timestamp;

use crate::audit::{self, NewAudit};
use crate::db::{Sql, values};
use crate::error::StoreError;
use crate::events::NewEvent;
use crate::grants;
use crate::notices::NewNotice;
use crate::outbox::{self, OutboxId, Whose};
use crate::record::{Durable, TokenRecord};
use crate::refresh::{reread, tell};
use crate::row::{Guard, account_columns, json};
use crate::shared::{Shared, Tx};
use crate::store::Store;

/// For so long the outbox leaves a revocation to whoever ended the connection.
const OWN_TRY: Duration = Duration::from_secs(60);

/// What the caller decides in the transaction.
#[derive(Clone, Debug)]
pub struct Ending {
    /// The life from now on, disconnected.
    pub life: Life,
    /// Whether the provider is to be told.
    pub revoke: bool,
    /// Notices, in order.
    pub notices: Vec<NewNotice>,
    /// Events, in order.
    pub events: Vec<NewEvent>,
}

/// What came of ending a connection.
#[derive(Debug)]
pub enum Ended {
    /// It is over.
    Now(Box<EndedNow>),
    /// It was over already; nothing was changed.
    Before(Arc<TokenRecord>),
    /// There is none.
    Gone,
}

/// A connection that was just ended.
#[derive(Debug)]
pub struct EndedNow {
    /// As it is now.
    pub record: Arc<TokenRecord>,
    /// What was erased, for telling the provider at once.
    pub grant: Option<Durable<Grant>>,
    /// The revocation in the outbox, if there is one: it is claimed for a minute, so that the caller can try first, and
    /// waits for `revocation_done` or `revocation_retry`.
    pub revocation: Option<OutboxId>,
}

impl Store {
    /// Ends a connection: erases its grant, and writes the revocation. `decide` gets the connection and how many other
    /// living connections of the same account there are at this integration.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn disconnect(
        &self,
        id: &ConnectionId,
        decide: impl FnOnce(&Connection, u64) -> Ending + Send + 'static,
        audit: Option<NewAudit>,
        now: Timestamp,
    ) -> Result<Ended, StoreError> {
        let id = id.clone();
        self.write(move |tx, shared| {
            let Some(stored) = TokenRecord::load(tx, &id)? else { return Ok(Ended::Gone) };
            let guard = Guard::read(tx, &id)?.ok_or(StoreError::NotOneRow { table: "lives", rows: 0 })?;
            if guard.is_disconnected() {
                return Ok(Ended::Before(Arc::new(stored)));
            }
            let ending = decide(&stored.connection, others(tx, &stored.connection)?);
            if !matches!(ending.life.status, Status::Disconnected { .. }) {
                return Err(StoreError::defect("ending a connection with a life that goes on"));
            }
            let (grant, revocation) = revoke(tx, shared, &stored, ending.revoke, now)?;
            grants::erase(tx, &id)?;
            end_life(tx, &id, &guard, &ending.life, now)?;
            let record = reread(tx, &id)?;
            tell(tx, shared, &record.connection, &guard.status, (&ending.notices, &ending.events), now)?;
            audit::write(tx, audit.map(|line| line.about(id.as_str())).as_ref(), now)?;
            Ok(Ended::Now(Box::new(EndedNow { record, grant: grant.map(Durable::committed), revocation })))
        })
        .await
    }
}

/// Living connections of the same account at the same integration, but for this one.
pub(super) fn others(sql: &Sql<'_>, connection: &Connection) -> Result<u64, StoreError> {
    let (Some(account), _, _) = account_columns(connection.account.as_ref()) else { return Ok(0) };
    let text = "SELECT COUNT(*) FROM connections c JOIN lives l ON l.connection_id = c.id WHERE c.integration = ?1 \
                AND c.account_id = ?2 AND c.id <> ?3 AND l.status <> 'disconnected'";
    let found = sql.one(text, values![connection.integration, account, connection.id], |row| row.count(0))?;
    Ok(found.unwrap_or(0))
}

/// Opens the grant and puts it into the outbox. One that does not open can't be revoked, but it can be erased.
pub(super) fn revoke(
    tx: &Tx<'_>,
    shared: &Shared,
    stored: &TokenRecord,
    wanted: bool,
    now: Timestamp,
) -> Result<(Option<Grant>, Option<OutboxId>), StoreError> {
    let connection = &stored.connection;
    let grant = stored.open(&shared.ring).unwrap_or_else(|error| {
        tracing::error!(%error, "a grant that is to be revoked does not open; it is only erased");
        None
    });
    let Some(grant) = grant.filter(|_| wanted) else { return Ok((None, None)) };
    let whose = Whose { integration: &connection.integration, connection: Some(&connection.id), claimed: OWN_TRY };
    let revocation = outbox::revoke(tx, shared, whose, &grant, now)?;
    Ok((Some(grant), revocation))
}

fn end_life(tx: &Tx<'_>, id: &ConnectionId, guard: &Guard, life: &Life, now: Timestamp) -> Result<(), StoreError> {
    // The generation goes on, so that an answer that is on its way belongs to nothing any more.
    let text = "UPDATE lives SET status = 'disconnected', life = ?3, generation = generation + 1, expires_at = NULL, \
                next_at = NULL, lease_until = 0, lease_owner = NULL, attempt = NULL, sending_at = NULL, \
                version = version + 1, changed_at = ?4 WHERE connection_id = ?1 AND generation = ?2";
    tx.run_one("lives", text, values![id, guard.generation, json(life)?, now])
}
