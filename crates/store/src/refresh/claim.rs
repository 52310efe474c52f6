//! Leases: who may send, in what order, and since when somebody may be sending.

use std::time::Duration;

use evergrant_core::id::{AttemptId, ConnectionId, IntegrationName};
use evergrant_core::planted::{self, Bug};
use evergrant_core::time::Timestamp;

use super::{Claim, Forced, Gate, Leased, OpenIntent};
use crate::db::{Row, Sql, values};
use crate::error::{StoreError, Trouble};
use crate::record::{Durable, TokenRecord};
use crate::row::Guard;
use crate::shared::{Effect, Tx};
use crate::store::Store;

/// How long a connection whose grant does not open is left alone.
const UNREADABLE_PAUSE: Duration = Duration::from_secs(3600);

/// What was read under a new lease, still sealed.
struct Claimed {
    record: TokenRecord,
    generation: u64,
    fence: u64,
    until: Timestamp,
    open_intent: Option<OpenIntent>,
    spares: u64,
}

/// The clock that leases go by, and that of whoever asks: what is stored is of the one, what is answered of the other.
#[derive(Clone, Copy)]
struct Clocks {
    lease: Timestamp,
    caller: Timestamp,
}

impl Clocks {
    fn of(tx: &Tx<'_>, now: Timestamp) -> Self {
        Clocks { lease: tx.lease_time(now), caller: now }
    }

    /// What the caller's clock shows when that of the leases shows `at`.
    fn told(self, at: Timestamp) -> Timestamp {
        let behind = self.lease.as_millis().saturating_sub(self.caller.as_millis());
        Timestamp::from_millis(at.as_millis().saturating_sub(behind))
    }
}

impl Store {
    /// Takes the lease of one connection, if nobody has it.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the grant does not open; the lease has ended then. Else those of every write.
    pub async fn claim(&self, id: &ConnectionId, now: Timestamp, lease: Duration) -> Result<Claim, StoreError> {
        self.claimed(id, now, lease, false).await
    }

    /// For an answer that is in the journal: the lease also from another flight of this process and from earlier processes of
    /// its data folder. Nothing of that flight is lost: what it brings is committed by its generation. Where another node has
    /// the lease, what comes back has none: a grant is committed under it by its generation, and a verdict never. None where
    /// the connection is gone.
    ///
    /// # Errors
    /// Those of [`Store::claim`].
    pub async fn claim_again(
        &self,
        id: &ConnectionId,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Option<Box<Leased>>, StoreError> {
        match self.claimed(id, now, lease, true).await? {
            Claim::Leased(leased) => Ok(Some(leased)),
            Claim::Gone => Ok(None),
            // It is looked at without a lease instead: what is busy must not be taken for what is gone.
            Claim::Busy { .. } => Err(StoreError::defect("claiming for the journal")),
        }
    }

    async fn claimed(
        &self,
        id: &ConnectionId,
        now: Timestamp,
        lease: Duration,
        own: bool,
    ) -> Result<Claim, StoreError> {
        let wanted = id.clone();
        let claimed = self
            .write(move |tx, shared| {
                let text = "SELECT status, lease_until, lease_owner, sending_at FROM lives WHERE connection_id = ?1";
                let found = tx.one(text, values![wanted], |row| {
                    Ok((row.text(0)?, row.time(1)?, row.opt_parse(2)?, row.opt_time(3)?))
                })?;
                let Some((status, until, owner, sending_since)) = found else { return Ok(Err(Claim::Gone)) };
                if status == "disconnected" {
                    return Ok(Err(Claim::Gone));
                }
                let clocks = Clocks::of(tx, now);
                let others = until > clocks.lease && !owner.as_ref().is_some_and(|owner| own && shared.is_own(owner));
                if others && own {
                    return look(tx, &wanted, clocks).map(Ok);
                }
                if others {
                    let (until, sending_since) = (clocks.told(until), sending_since.map(|at| clocks.told(at)));
                    return Ok(Err(Claim::Busy { until, owner, sending_since }));
                }
                take(tx, &wanted, shared.node.as_str(), clocks, lease).map(Ok)
            })
            .await?;
        match claimed {
            Err(claim) => Ok(claim),
            Ok(claimed) => match self.unseal(claimed) {
                Ok(leased) => Ok(Claim::Leased(Box::new(leased))),
                Err((_, fence, error)) => {
                    self.put_aside(id.clone(), fence, now).await?;
                    Err(error)
                }
            },
        }
    }

    /// Takes the leases of at most `limit` connections that are due, those that end first before others, none of the
    /// integrations in `skip`. One whose grant does not open is logged and left alone for an hour.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn claim_due(
        &self,
        now: Timestamp,
        lease: Duration,
        limit: usize,
        skip: &[IntegrationName],
    ) -> Result<Vec<Leased>, StoreError> {
        let names = self.names_but(skip);
        if names.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let claimed = self
            .write(move |tx, shared| {
                let (mut due, clocks) = (Vec::new(), Clocks::of(tx, now));
                for name in &names {
                    due.extend(due_of(tx, name, now, clocks.lease, limit)?);
                }
                // An unknown end is not urgent: it was due by its own schedule only.
                due.sort_by_key(|due| (due.expires_at.is_none(), due.expires_at, due.next_at));
                due.truncate(limit);
                let node = shared.node.as_str();
                due.iter().map(|due| take(tx, &due.id, node, clocks, lease)).collect::<Result<Vec<_>, _>>()
            })
            .await?;
        let mut leased = Vec::with_capacity(claimed.len());
        for one in claimed {
            match self.unseal(one) {
                Ok(one) => leased.push(one),
                Err((id, fence, error)) => {
                    tracing::error!(%error, connection = %id, "a grant does not open; it is left alone for an hour");
                    self.put_aside(id, fence, now).await?;
                }
            }
        }
        Ok(leased)
    }

    /// At most `limit` connections that are due and that nobody holds, those that end first before others, none of the
    /// integrations in `skip`; takes nothing.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn due(&self, now: Timestamp, skip: &[IntegrationName], limit: usize) -> Result<Vec<Due>, StoreError> {
        let names = self.names_but(skip);
        self.read(move |sql, shared| {
            let (mut due, free_at) = (Vec::new(), shared.lease_time(now));
            for name in &names {
                due.extend(due_of(sql, name, now, free_at, limit)?);
            }
            due.sort_by_key(|due| (due.expires_at.is_none(), due.expires_at, due.next_at));
            due.truncate(limit);
            Ok(due)
        })
        .await
    }

    /// A connection of an integration other than `but`, the one that is due next before others; none if there is none.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn another_connection(
        &self,
        name: &IntegrationName,
        but: &ConnectionId,
    ) -> Result<Option<ConnectionId>, StoreError> {
        let (name, but) = (name.clone(), but.clone());
        self.read(move |sql, _| {
            let text = "SELECT connection_id FROM lives WHERE integration = ?1 AND connection_id <> ?2 \
                        AND status = 'connected' ORDER BY next_at IS NULL, next_at LIMIT 1";
            sql.one(text, values![name, but], |row| row.parse(0))
        })
        .await
    }

    /// At most `limit` connections of an integration whose access token ended before `until`, in the order of its end,
    /// behind `after`. Those who must reconnect are left out.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn expired(
        &self,
        name: &IntegrationName,
        after: (Timestamp, String),
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, ConnectionId)>, StoreError> {
        let (name, (at, id)) = (name.clone(), after);
        self.read(move |sql, _| {
            let text = "SELECT expires_at, connection_id FROM lives WHERE integration = ?1 AND status = 'connected' \
                        AND expires_at < ?4 AND (expires_at > ?2 OR (expires_at = ?2 AND connection_id > ?3)) \
                        ORDER BY expires_at, connection_id LIMIT ?5";
            sql.all(text, values![name, at, id, until, limit], |row| Ok((row.time(0)?, row.parse(1)?)))
        })
        .await
    }

    /// When the next connection that nobody holds is due, of the integrations that are not in `skip`, or when the first lease
    /// of another node ends. May have passed.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn next_due(&self, now: Timestamp, skip: &[IntegrationName]) -> Result<Option<Timestamp>, StoreError> {
        let clocks = Clocks { lease: self.shared.lease_time(now), caller: now };
        let due = self.first_due(clocks.lease, self.names_but(skip)).await?;
        if self.shared.silence().is_none() {
            return Ok(due);
        }
        let freed = self.read(move |sql, shared| {
            let text = "SELECT MIN(lease_until) FROM lives WHERE lease_owner IS NOT NULL AND lease_owner <> ?1 \
                        AND next_at IS NOT NULL AND lease_until > ?2";
            sql.one(text, values![shared.node, clocks.lease], |row| row.opt_time(0))
        });
        let freed = freed.await?.flatten().map(|at| clocks.told(at));
        Ok([due, freed].into_iter().flatten().min())
    }

    /// Since when the oldest due connection has been waiting, also one whose refresh is under way; none if nothing is
    /// due. Paused integrations are left out.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn oldest_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let running = self.integrations().into_iter().filter(|one| !one.paused).map(|one| one.name.clone()).collect();
        Ok(self.first_due(Timestamp::MAX, running).await?.filter(|due| *due <= now))
    }

    async fn first_due(
        &self,
        free_at: Timestamp,
        names: Vec<IntegrationName>,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.read(move |sql, _| {
            let mut first: Option<Timestamp> = None;
            for name in &names {
                first = [first, first_due(sql, name, free_at)?].into_iter().flatten().min();
            }
            Ok(first)
        })
        .await
    }

    /// Writes down that a request is about to leave: the last step before the wire. Also for a second sending within
    /// one attempt. The lease lasts at least for `answered`, in which the request may still be answered: whoever takes it over
    /// after that finds a sending that nobody can answer any more.
    ///
    /// # Errors
    /// Those of every write; then nothing may be sent.
    pub async fn mark_sending(
        &self,
        leased: &Leased,
        attempt: &AttemptId,
        now: Timestamp,
        answered: Duration,
    ) -> Result<Gate, StoreError> {
        let (source, attempt, fence) = (leased.source(), attempt.clone(), leased.fence);
        let integration = leased.connection.integration.clone();
        self.write(move |tx, shared| {
            if *shared.behind.borrow() {
                return Err(StoreError::Unavailable { trouble: Trouble::Behind, cause: None });
            }
            let text = "UPDATE lives SET attempt = ?4, sending_at = ?5, \
                        lease_until = CASE WHEN lease_until > ?6 THEN lease_until ELSE ?6 END WHERE connection_id = ?1 \
                        AND fence = ?2 AND generation = ?3 AND lease_until > ?5 AND status <> 'disconnected'";
            let (id, generation, at) = (&source.connection, source.generation, tx.lease_time(now));
            if planted::is(Bug::IntentWithoutFence) || planted::is(Bug::FenceRemoved) {
                let text = "UPDATE lives SET attempt = ?2, sending_at = ?3 WHERE connection_id = ?1";
                tx.run(text, values![id, attempt, at])?;
                super::attempts::begin(tx, &attempt, &source, &integration, &shared.node, now)?;
                return Ok(Gate::Open);
            }
            let answered = if planted::is(Bug::ShortLease) { Duration::ZERO } else { answered };
            if tx.run(text, values![id, fence, generation, attempt, at, at.plus(answered)])? == 1 {
                if planted::is(Bug::IntentClosedEarly) {
                    let text = "UPDATE lives SET attempt = NULL, sending_at = NULL WHERE connection_id = ?1";
                    tx.run(text, values![id])?;
                }
                super::attempts::begin(tx, &attempt, &source, &integration, &shared.node, now)?;
                return Ok(Gate::Open);
            }
            let stored = Guard::read(tx, id)?;
            let same_grant = stored.is_some_and(|guard| guard.generation == generation && !guard.is_disconnected());
            Ok(if same_grant { Gate::FenceLost } else { Gate::GrantChanged })
        })
        .await
    }

    /// Makes a lease last longer; false if it is lost.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn renew(&self, leased: &Leased, now: Timestamp, lease: Duration) -> Result<bool, StoreError> {
        let (id, fence) = (leased.connection.id.clone(), leased.fence);
        self.write(move |tx, _| {
            let text = "UPDATE lives SET lease_until = CASE WHEN lease_until > ?3 THEN lease_until ELSE ?3 END \
                        WHERE connection_id = ?1 AND fence = ?2 AND lease_until > 0";
            Ok(tx.run(text, values![id, fence, tx.lease_time(now).plus(lease)])? == 1)
        })
        .await
    }

    /// Ends a lease without a verdict. `next_at` is when the kernel should next look at the connection; it is left as it
    /// is if the grant changed meanwhile. A lease that is lost already is no error.
    ///
    /// # Errors
    /// Those of every write; the lease then ends by itself.
    pub async fn release(&self, leased: Leased, next_at: Option<Timestamp>) -> Result<(), StoreError> {
        self.write(move |tx, _| end(tx, &leased.connection.id, leased.fence, Some((leased.generation, next_at)))).await
    }

    /// Sendings of other processes than this one that were written down, and whose outcome was not: only those whose lease has
    /// ended `by` an instant, or all. At the start, after the journal has been read, each is decided or uncertain.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn open_intents(&self, by: Option<Timestamp>) -> Result<Vec<OpenIntent>, StoreError> {
        self.read(move |sql, shared| {
            let text = "SELECT connection_id, attempt, sending_at, lease_owner FROM lives \
                        WHERE lease_owner IS NOT NULL AND lease_owner <> ?1 AND attempt IS NOT NULL AND lease_until <= ?2";
            sql.all(text, values![shared.node, by.map_or(Timestamp::MAX, |by| shared.lease_time(by))], |row| {
                let (connection, attempt) = (row.parse(0)?, row.parse(1)?);
                Ok(OpenIntent { connection, attempt, sending_at: row.time(2)?, node: row.opt_parse(3)? })
            })
        })
        .await
    }

    /// Ends a lease of this process, for a flight that ended without knowing whether it had one: the storage failed under
    /// it. An open intent stays, unless it is `unsent`: one that may have been written down and was not followed.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn let_go(&self, id: &ConnectionId, unsent: Option<&AttemptId>) -> Result<(), StoreError> {
        let (id, unsent) = (id.clone(), unsent.cloned());
        self.write(move |tx, shared| {
            if let Some(attempt) = unsent {
                let text = "UPDATE lives SET attempt = NULL, sending_at = NULL WHERE connection_id = ?1 AND attempt = ?2";
                tx.run(text, values![id, attempt])?;
                tx.run("DELETE FROM attempts WHERE id = ?1 AND ended_at IS NULL", values![attempt])?;
            }
            let text = "UPDATE lives SET lease_until = 0, lease_owner = CASE WHEN attempt IS NULL THEN NULL ELSE lease_owner END \
                        WHERE connection_id = ?1 AND lease_owner = ?2";
            if tx.run(text, values![id, shared.node])? > 0 {
                tx.after_commit(Effect::Freed(id));
            }
            Ok(())
        })
        .await
    }

    /// Notes that a caller forces a refresh, or that a report starts one: at most once within `interval`.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn force(&self, id: &ConnectionId, now: Timestamp, interval: Duration) -> Result<Forced, StoreError> {
        let id = id.clone();
        self.write(move |tx, _| {
            let text = "UPDATE lives SET forced_at = ?2, changed_at = ?2 WHERE connection_id = ?1 \
                        AND (forced_at IS NULL OR forced_at <= ?3 OR forced_at > ?2)";
            // One that lies ahead was made by a clock that has been set back since.
            if tx.run(text, values![id, now, now.minus(interval)])? == 1 {
                super::reread(tx, &id)?;
                return Ok(Forced::Yes);
            }
            let text = "SELECT forced_at FROM lives WHERE connection_id = ?1";
            let forced = tx.one(text, values![id], |row| row.opt_time(0))?.flatten();
            Ok(forced.map_or(Forced::Gone, |at| Forced::NotBefore(at.plus(interval))))
        })
        .await
    }

    fn names_but(&self, skip: &[IntegrationName]) -> Vec<IntegrationName> {
        let all = self.integrations();
        all.iter().map(|one| one.name.clone()).filter(|name| !skip.contains(name)).collect()
    }

    fn unseal(&self, claimed: Claimed) -> Result<Leased, (ConnectionId, u64, StoreError)> {
        let Claimed { record, generation, fence, until, open_intent, spares } = claimed;
        let opened = record.open(&self.shared.ring);
        let grant = opened.map_err(|error| (record.connection.id.clone(), fence, error))?.map(Durable::committed);
        let connection = std::sync::Arc::unwrap_or_clone(record.connection);
        Ok(Leased { connection, grant, generation, fence, until, open_intent, spares })
    }

    async fn put_aside(&self, id: ConnectionId, fence: u64, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx, _| {
            let text = "UPDATE lives SET next_at = ?3 WHERE connection_id = ?1 AND fence = ?2 AND next_at IS NOT NULL";
            tx.run(text, values![id, fence, now.plus(UNREADABLE_PAUSE)])?;
            end(tx, &id, fence, None)
        })
        .await
    }
}

/// A connection that is due.
#[derive(Clone, Debug)]
pub struct Due {
    /// Which.
    pub id: ConnectionId,
    /// Through which integration.
    pub integration: IntegrationName,
    next_at: Timestamp,
    expires_at: Option<Timestamp>,
}

fn due_of(
    sql: &Sql<'_>,
    name: &IntegrationName,
    now: Timestamp,
    free_at: Timestamp,
    limit: usize,
) -> Result<Vec<Due>, StoreError> {
    let text = "SELECT connection_id, next_at, expires_at FROM lives WHERE integration = ?1 AND next_at <= ?2 \
                AND lease_until <= ?4 ORDER BY next_at, expires_at LIMIT ?3";
    sql.all(text, values![name, now, limit, free_at], |row| {
        let (id, integration) = (row.parse(0)?, name.clone());
        Ok(Due { id, integration, next_at: row.time(1)?, expires_at: row.opt_time(2)? })
    })
}

fn first_due(sql: &Sql<'_>, name: &IntegrationName, free_at: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let text = "SELECT next_at FROM lives WHERE integration = ?1 AND next_at IS NOT NULL AND lease_until <= ?2 \
                ORDER BY next_at LIMIT 1";
    sql.one(text, values![name, free_at], |row| row.time(0))
}

/// Reads the connection without a lease: the fencing number is nobody's.
fn look(tx: &Tx<'_>, id: &ConnectionId, clocks: Clocks) -> Result<Claimed, StoreError> {
    let text = "SELECT generation FROM lives WHERE connection_id = ?1";
    let generation = tx.one(text, values![id], |row| row.count(0))?;
    let generation = generation.ok_or(StoreError::NotOneRow { table: "lives", rows: 0 })?;
    let record = TokenRecord::load(tx, id)?.ok_or(StoreError::NotOneRow { table: "connections", rows: 0 })?;
    Ok(Claimed { record, generation, fence: 0, until: clocks.told(clocks.lease), open_intent: None, spares: 0 })
}

/// Takes a lease that is free, and reads the connection under it.
fn take(tx: &Tx<'_>, id: &ConnectionId, node: &str, clocks: Clocks, lease: Duration) -> Result<Claimed, StoreError> {
    // An intent of an earlier holder is told to the new one with that holder's name, so it is read first.
    let text = "SELECT attempt, sending_at, lease_owner FROM lives WHERE connection_id = ?1";
    let mut open_intent = tx.one(text, values![id], |row| intent(row, id))?.flatten();
    if let Some(intent) = &mut open_intent {
        intent.sending_at = clocks.told(intent.sending_at);
    }
    let until = clocks.lease.plus(lease);
    let text = "UPDATE lives SET lease_until = ?2, lease_owner = ?3, fence = fence + 1 WHERE connection_id = ?1 \
                RETURNING fence, generation";
    let leased = tx.one(text, values![id, until, node], |row| Ok((row.count(0)?, row.count(1)?)))?;
    let (fence, generation) = leased.ok_or(StoreError::NotOneRow { table: "lives", rows: 0 })?;
    let record = TokenRecord::load(tx, id)?.ok_or(StoreError::NotOneRow { table: "connections", rows: 0 })?;
    let spares = super::spares::count(tx, id)?;
    Ok(Claimed { record, generation, fence, until: clocks.told(until), open_intent, spares })
}

fn intent(row: &Row<'_>, id: &ConnectionId) -> Result<Option<OpenIntent>, StoreError> {
    let Some(attempt) = row.opt_parse(0)? else { return Ok(None) };
    Ok(Some(OpenIntent { connection: id.clone(), attempt, sending_at: row.time(1)?, node: row.opt_parse(2)? }))
}

/// Ends a lease. The owner's name stays where an intent is open, so that the next start finds it.
pub(super) fn end(
    tx: &Tx<'_>,
    id: &ConnectionId,
    fence: u64,
    next: Option<(u64, Option<Timestamp>)>,
) -> Result<(), StoreError> {
    let text = "UPDATE lives SET lease_until = 0, lease_owner = CASE WHEN attempt IS NULL THEN NULL ELSE lease_owner END \
                WHERE connection_id = ?1 AND fence = ?2";
    if tx.run(text, values![id, fence])? > 0 {
        tx.after_commit(Effect::Freed(id.clone()));
    }
    if let Some((generation, next_at)) = next {
        let text = "UPDATE lives SET next_at = ?4 WHERE connection_id = ?1 AND fence = ?2 AND generation = ?3";
        tx.run(text, values![id, fence, generation, next_at])?;
    }
    Ok(())
}
