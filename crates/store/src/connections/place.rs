//! A grant that came by connect or import is put where it belongs: onto the connection that has its key, else onto a
//! new one.
//!
//! One account of one client belongs to one subject, unless the integration shares accounts. Where no account is
//! known, the subject at the integration is the key. What becomes of the life is decided by the caller's function,
//! inside the transaction, on the connection as it is then.

use std::sync::Arc;

use evergrant_core::connection::{Account, Connection, Life, Status};
use evergrant_core::grant::Grant;
use evergrant_core::id::{AttemptId, ConnectionId, IntegrationName, SubjectId};
use evergrant_core::time::Timestamp;
use serde_json::{Map, Value};

use crate::audit::{self, NewAudit};
use crate::db::{Sql, values};
use crate::error::StoreError;
use crate::events::NewEvent;
use crate::grants;
use crate::notices::NewNotice;
use crate::record::{SealedGrant, TokenRecord};
use crate::refresh::{reread, tell, with_generation};
use crate::row::{Guard, account_columns, json};
use crate::shared::{Effect, Shared, Tx};
use crate::store::Store;

/// A grant that came by connect or import.
#[derive(Clone, Debug)]
pub struct NewGrantFor {
    /// The integration.
    pub integration: IntegrationName,
    /// Whose it is.
    pub subject: SubjectId,
    /// Who that is at the provider, where that is known.
    pub account: Option<Account>,
    /// Where it should go.
    pub target: Target,
    /// The tokens.
    pub grant: Grant,
    /// The scopes that were asked for; none: as they were.
    pub requested_scopes: Option<Vec<String>>,
    /// A word of the application for it; none: as it was.
    pub label: Option<String>,
    /// Free data of the application; none: as it was.
    pub metadata: Option<Map<String, Value>>,
    /// What calling the provider needs besides the token; none: as it was.
    pub provider_data: Option<Map<String, Value>>,
    /// Calls that the provider did not answer and that are tried again from then on; none: what was owed before stays.
    pub owed: Option<(Vec<String>, Timestamp)>,
    /// The attempt that brought it, if a code was exchanged.
    pub attempt: Option<AttemptId>,
    /// The line for the audit log; without a target it gets the connection's id.
    pub audit: Option<NewAudit>,
}

/// Where a grant should go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To the connection that has its key, else to a new one.
    Key,
    /// To this connection, and only if the account is its own: a reconnect.
    Connection(ConnectionId),
}

/// What the caller decides in the transaction.
#[derive(Clone, Debug)]
pub struct Decided {
    /// The life from now on; its grant's generation is set by the store.
    pub life: Life,
    /// When the kernel should next look at it; none: never by itself.
    pub next_at: Option<Timestamp>,
    /// Whether the stored refresh token stays, because the new grant brought none. Only where there is one.
    pub keep_refresh_token: bool,
    /// Notices, in order.
    pub notices: Vec<NewNotice>,
    /// Events, in order.
    pub events: Vec<NewEvent>,
}

/// What came of placing a grant.
#[derive(Clone, Debug)]
pub enum Placed {
    /// A new connection has it.
    Created(Arc<TokenRecord>),
    /// A connection that was there has it now, under its old id.
    Replaced(Arc<TokenRecord>),
    /// The account is connected for another subject; nothing was changed.
    AccountTaken {
        /// That subject's connection.
        connection: ConnectionId,
    },
    /// The connection to be reconnected belongs to another account; nothing was changed.
    OtherAccount,
    /// The connection to be reconnected is gone, or is another subject's; nothing was changed.
    Gone,
    /// There is no such integration; nothing was changed.
    NoIntegration,
    /// It is not pending any more: somebody else has promoted or discarded it. Nothing was changed.
    NotPending,
}

impl Store {
    /// Puts a grant onto the connection that has its key, reviving it if it was ended, else onto a new one. A refresh
    /// that is under way loses against it. `decide` gets the connection as it is and the generation that the grant will
    /// have; it runs on the writer's thread and must only compute.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn create_or_replace(
        &self,
        new: NewGrantFor,
        decide: impl FnOnce(Option<&Connection>, u64) -> Decided + Send + 'static,
        now: Timestamp,
    ) -> Result<Placed, StoreError> {
        self.write(move |tx, shared| place(tx, shared, new, decide, now)).await
    }
}

/// Places a grant in a transaction.
pub(crate) fn place(
    tx: &Tx<'_>,
    shared: &Shared,
    new: NewGrantFor,
    decide: impl FnOnce(Option<&Connection>, u64) -> Decided,
    now: Timestamp,
) -> Result<Placed, StoreError> {
    let found = match find_place(tx, shared, &new)? {
        Ok(found) => found,
        Err(refused) => return Ok(refused),
    };
    let owed = new.owed.clone();
    let placed = match found {
        Some(id) => Placed::Replaced(replace(tx, shared, &id, new, decide, now)?),
        None => Placed::Created(create(tx, shared, new, decide, now)?),
    };
    if let (Some(owed), Placed::Replaced(record) | Placed::Created(record)) = (owed, &placed) {
        crate::owed::owe(tx, shared, record, &owed, now)?;
    }
    Ok(placed)
}

/// The connection that a grant goes to, none for a new one; or why it can't go anywhere.
pub(crate) fn find_place(
    tx: &Tx<'_>,
    shared: &Shared,
    new: &NewGrantFor,
) -> Result<Result<Option<ConnectionId>, Placed>, StoreError> {
    let Some(integration) = shared.integration(&new.integration) else { return Ok(Err(Placed::NoIntegration)) };
    let found = match &new.target {
        Target::Connection(id) => match for_reconnect(tx, id, new)? {
            Ok(id) => Some(id),
            Err(refused) => return Ok(Err(refused)),
        },
        Target::Key => by_key(tx, new)?,
    };
    let account = match (&new.account, &found) {
        (None, Some(id)) => account_of_ended(tx, id)?,
        (named, _) => named.clone(),
    };
    if let Some(account) = account.filter(|_| !integration.shared_accounts)
        && let Some(connection) = taken_by(tx, &new.integration, &account, &new.subject)?
    {
        return Ok(Err(Placed::AccountTaken { connection }));
    }
    Ok(Ok(found))
}

/// The account with which an ended connection would come to life again: somebody else may have connected it meanwhile.
fn account_of_ended(tx: &Tx<'_>, id: &ConnectionId) -> Result<Option<Account>, StoreError> {
    let Some(stored) = TokenRecord::load(tx, id)? else { return Ok(None) };
    let has_ended = matches!(stored.connection.life.status, Status::Disconnected { .. });
    Ok(stored.connection.account.clone().filter(|_| has_ended))
}

fn for_reconnect(
    tx: &Tx<'_>,
    id: &ConnectionId,
    new: &NewGrantFor,
) -> Result<Result<ConnectionId, Placed>, StoreError> {
    let Some(record) = TokenRecord::load(tx, id)? else { return Ok(Err(Placed::Gone)) };
    let connection = &record.connection;
    if connection.integration != new.integration || connection.subject != new.subject {
        return Ok(Err(Placed::Gone));
    }
    let same = match (&connection.account, &new.account) {
        (Some(stored), Some(new)) => stored.id == new.id && stored.kind == new.kind,
        (Some(_), None) => false,
        (None, Some(new_account)) => {
            // The subject may have connected this account a second time meanwhile: then that one has the key.
            owned(tx, &new.integration, new_account, &new.subject)?.is_none()
        }
        (None, None) => true,
    };
    Ok(if same { Ok(id.clone()) } else { Err(Placed::OtherAccount) })
}

/// The connection that has the key of a grant.
fn by_key(tx: &Tx<'_>, new: &NewGrantFor) -> Result<Option<ConnectionId>, StoreError> {
    if let Some(account) = &new.account
        && let Some(id) = owned(tx, &new.integration, account, &new.subject)?
    {
        return Ok(Some(id));
    }
    let text = "SELECT id FROM connections WHERE integration = ?1 AND subject = ?2 AND account_id IS NULL";
    let unnamed = tx.one(text, values![new.integration, new.subject], |row| row.parse(0))?;
    if unnamed.is_some() || new.account.is_some() {
        return Ok(unnamed);
    }
    // Whoever brings a grant without an account means the subject's connection, where there is but one.
    let text = "SELECT id FROM connections WHERE subject = ?1 AND integration = ?2 LIMIT 2";
    let all = tx.all(text, values![new.subject, new.integration], |row| row.parse(0))?;
    Ok(<[ConnectionId; 1]>::try_from(all).ok().map(|[only]| only))
}

fn owned(
    sql: &Sql<'_>,
    integration: &IntegrationName,
    account: &Account,
    subject: &SubjectId,
) -> Result<Option<ConnectionId>, StoreError> {
    let (id, kind, _) = account_columns(Some(account));
    let text = "SELECT id FROM connections WHERE integration = ?1 AND account_id = ?2 AND account_kind = ?3 \
                AND subject = ?4";
    sql.one(text, values![integration, id, kind, subject], |row| row.parse(0))
}

/// Another subject's living connection of the same account.
fn taken_by(
    sql: &Sql<'_>,
    integration: &IntegrationName,
    account: &Account,
    subject: &SubjectId,
) -> Result<Option<ConnectionId>, StoreError> {
    let (id, kind, _) = account_columns(Some(account));
    let text = "SELECT c.id FROM connections c JOIN lives l ON l.connection_id = c.id WHERE c.integration = ?1 \
                AND c.account_id = ?2 AND c.account_kind = ?3 AND c.subject <> ?4 AND l.status <> 'disconnected' LIMIT 1";
    sql.one(text, values![integration, id, kind, subject], |row| row.parse(0))
}

fn create(
    tx: &Tx<'_>,
    shared: &Shared,
    new: NewGrantFor,
    decide: impl FnOnce(Option<&Connection>, u64) -> Decided,
    now: Timestamp,
) -> Result<Arc<TokenRecord>, StoreError> {
    let id = ConnectionId::make(now, shared.entropy.id());
    let decided = decide(None, 1);
    let life = with_generation(decided.life, 1);
    let (account_id, kind, account_name) = account_columns(new.account.as_ref());
    let text = "INSERT INTO connections (id, integration, subject, account_id, account_kind, account_name, label, \
                metadata, provider_data, requested_scopes, version, created_at, updated_at) \
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?11, ?11)";
    let (metadata, data) = (json(&new.metadata.unwrap_or_default())?, json(&new.provider_data.unwrap_or_default())?);
    let scopes = json(&new.requested_scopes.unwrap_or_default())?;
    let (integration, subject, label) = (&new.integration, &new.subject, &new.label);
    let all = values![id, integration, subject, account_id, kind, account_name, label, metadata, data, scopes, now];
    tx.run_one("connections", text, all)?;
    let text = "INSERT INTO lives (connection_id, integration, status, life, generation, expires_at, next_at, \
                forced_at, lease_until, fence, version, changed_at) VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, ?7, 0, 0, 1, ?8)";
    let expires_at = life.grant.as_ref().and_then(|facts| facts.expiry.at());
    let (status, document) = (life.status.word(), json(&life)?);
    let all = values![id, integration, status, document, expires_at, decided.next_at, life.last_forced_at, now];
    tx.run_one("lives", text, all)?;
    grants::put(tx, &id, &SealedGrant::seal(&shared.ring, "grants", id.as_str(), 1, &new.grant)?)?;
    tx.after_commit(Effect::Owner(shared.owner(&new.integration, &new.subject)));
    let record = reread(tx, &id)?;
    tell(tx, shared, &record.connection, "", (&decided.notices, &decided.events), now)?;
    audit::write(tx, new.audit.map(|line| line.about(id.as_str())).as_ref(), now)?;
    Ok(record)
}

fn replace(
    tx: &Tx<'_>,
    shared: &Shared,
    id: &ConnectionId,
    mut new: NewGrantFor,
    decide: impl FnOnce(Option<&Connection>, u64) -> Decided,
    now: Timestamp,
) -> Result<Arc<TokenRecord>, StoreError> {
    let missing = || StoreError::NotOneRow { table: "connections", rows: 0 };
    let stored = TokenRecord::load(tx, id)?.ok_or_else(missing)?;
    let guard = Guard::read(tx, id)?.ok_or_else(missing)?;
    let generation = guard.generation + 1;
    let decided = decide(Some(&stored.connection), generation);
    if decided.keep_refresh_token && new.grant.refresh_token.is_none() {
        new.grant.refresh_token = stored.open(&shared.ring)?.and_then(|grant| grant.refresh_token);
    }
    let life = with_generation(decided.life, generation);
    edit(tx, id, &stored.connection, &new, now)?;
    // An open intent is about the old grant, and nobody needs to wait for it; a lease ends by itself.
    let text = "UPDATE lives SET status = ?3, life = ?4, generation = ?5, expires_at = ?6, next_at = ?7, forced_at = ?8, \
                attempt = NULL, sending_at = NULL, version = version + 1, changed_at = ?9 \
                WHERE connection_id = ?1 AND generation = ?2";
    let expires_at = life.grant.as_ref().and_then(|facts| facts.expiry.at());
    let (status, document, forced) = (life.status.word(), json(&life)?, life.last_forced_at);
    let all = values![id, guard.generation, status, document, generation, expires_at, decided.next_at, forced, now];
    tx.run_one("lives", text, all)?;
    grants::put(tx, id, &SealedGrant::seal(&shared.ring, "grants", id.as_str(), generation, &new.grant)?)?;
    // They descend from a grant that is replaced on purpose.
    tx.run("DELETE FROM spares WHERE connection_id = ?1", values![id])?;
    let record = reread(tx, id)?;
    tell(tx, shared, &record.connection, &guard.status, (&decided.notices, &decided.events), now)?;
    audit::write(tx, new.audit.map(|line| line.about(id.as_str())).as_ref(), now)?;
    Ok(record)
}

/// What came along with the grant; the rest stays as it was.
fn edit(
    tx: &Tx<'_>,
    id: &ConnectionId,
    stored: &Connection,
    new: &NewGrantFor,
    now: Timestamp,
) -> Result<(), StoreError> {
    let account = new.account.as_ref().or(stored.account.as_ref());
    let (account_id, kind, name) = account_columns(account);
    let label = new.label.as_ref().or(stored.label.as_ref());
    let metadata = json(new.metadata.as_ref().unwrap_or(&stored.metadata))?;
    let data = json(&provider_data(stored, new))?;
    let scopes = json(new.requested_scopes.as_ref().unwrap_or(&stored.requested_scopes))?;
    let text = "UPDATE connections SET account_id = ?2, account_kind = ?3, account_name = ?4, label = ?5, metadata = ?6, \
                provider_data = ?7, requested_scopes = ?8, updated_at = ?9 WHERE id = ?1";
    tx.run_one("connections", text, values![id, account_id, kind, name, label, metadata, data, scopes, now])
}

/// What is known of the account stays where it is known to be the same one: a new consent may have brought less.
fn provider_data(stored: &Connection, new: &NewGrantFor) -> Map<String, Value> {
    let Some(brought) = &new.provider_data else { return stored.provider_data.clone() };
    let same = |new: &Account| stored.account.as_ref().is_some_and(|stored| stored.id == new.id);
    let mut data = if new.account.as_ref().is_some_and(same) { stored.provider_data.clone() } else { Map::new() };
    data.extend(brought.clone());
    data
}
