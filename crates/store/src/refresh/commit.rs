//! Commits: success by generation, verdict by fence and generation.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::connection::{Account, Connection, Life};
use evergrant_core::grant::Grant;
use evergrant_core::id::ConnectionId;
use evergrant_core::notice::NoticeKind;
use evergrant_core::outcome::Class;
use evergrant_core::planted::{self, Bug};
use evergrant_core::time::Timestamp;

use super::attempts::{self, AttemptResult, End};
use super::{Committed, Leased, RefreshedFrom, SuccessCommit, VerdictCommit, VerdictCommitted, spares};
use crate::db::values;
use crate::deliveries;
use crate::error::StoreError;
use crate::events::{self, About, NewEvent};
use crate::grants;
use crate::notices::{self, NewNotice};
use crate::outbox;
use crate::record::{Durable, SealedGrant, TokenRecord};
use crate::row::{Guard, account_columns, json};
use crate::shared::{Effect, Shared, Tx};
use crate::store::Store;

impl Store {
    /// Stores what a refresh brought: if the stored grant is still the one that it was sent from, in its place, whoever
    /// holds the lease; else as a spare. The lease ends, if it is still the caller's.
    ///
    /// # Errors
    /// Those of every write: then it is not known whether it was stored. Repeat it; a commit that had happened is found
    /// by its attempt and answered as such.
    pub async fn commit_success(
        &self,
        from: &RefreshedFrom,
        commit: SuccessCommit,
        now: Timestamp,
    ) -> Result<Committed, StoreError> {
        let from = from.clone();
        self.write(move |tx, shared| success(tx, shared, &from, commit, now)).await
    }

    /// Stores a life without a new grant, if the lease is still the caller's and the grant the same.
    ///
    /// # Errors
    /// Those of every write: then it is not known whether it was stored. Repeat it, or read the attempt back.
    pub async fn commit_verdict(
        &self,
        leased: &Leased,
        mut commit: VerdictCommit,
        now: Timestamp,
    ) -> Result<VerdictCommitted, StoreError> {
        let (from, fence) = (leased.source(), leased.fence);
        let mut late = Vec::new();
        if planted::is(Bug::NoticeOutsideTransaction) {
            late = std::mem::take(&mut commit.notices);
        }
        let done = self.write(move |tx, shared| verdict(tx, shared, &from, fence, &commit, now)).await?;
        if let (VerdictCommitted::Stored(record), false) = (&done, late.is_empty()) {
            let record = record.clone();
            self.write(move |tx, shared| notices::write(tx, shared, About::connection(&record.connection), &late, now))
                .await?;
        }
        Ok(done)
    }
}

#[cfg(feature = "planted")]
impl Store {
    /// Puts a grant that nobody has saved where callers look first: a bug that is planted on purpose.
    ///
    /// # Errors
    /// When it cannot be sealed.
    pub fn show_uncommitted(&self, leased: &Leased, commit: &SuccessCommit) -> Result<(), StoreError> {
        let (ring, id) = (&self.shared.ring, &leased.connection.id);
        let sealed = SealedGrant::seal(ring, "grants", id.as_str(), leased.generation + 1, &commit.grant)?;
        let life = with_generation(commit.life.clone(), leased.generation + 1);
        let connection = Arc::new(Connection { life, ..leased.connection.clone() });
        self.shared.cache.put_record(Arc::new(TokenRecord { connection, sealed: Some(sealed) }));
        Ok(())
    }
}

fn success(
    tx: &Tx<'_>,
    shared: &Shared,
    from: &RefreshedFrom,
    commit: SuccessCommit,
    now: Timestamp,
) -> Result<Committed, StoreError> {
    if let Some(done) = done_before(tx, shared, from, &commit)? {
        return Ok(done);
    }
    let id = &from.connection;
    let class = commit.class;
    let end = |result| End { class, detail: "", result };
    let Some(guard) = Guard::read(tx, id)?.filter(|guard| !guard.is_disconnected()) else {
        // Erased or ended on purpose while the answer was on its way: nobody may use these tokens any more.
        attempts::end(tx, &commit.attempt, from, &shared.node, &end(AttemptResult::Disconnected), now)?;
        revoke_orphan(tx, shared, from, &commit, now)?;
        return Ok(Committed::Disconnected);
    };
    let rebased = RefreshedFrom { generation: guard.generation, ..from.clone() };
    let from = if planted::is(Bug::NoGenerationCheck) { &rebased } else { from };
    if guard.generation > from.generation {
        attempts::end(tx, &commit.attempt, from, &shared.node, &end(AttemptResult::Superseded), now)?;
        spares::keep(tx, shared, from, &commit, now)?;
        end_lease(tx, from)?;
        let record = TokenRecord::load(tx, id)?.ok_or(StoreError::NotOneRow { table: "connections", rows: 0 })?;
        return Ok(Committed::Superseded { record: Arc::new(record) });
    }
    // An older one is stored only where the database has lost commits: an answer to a later one is newer all the more.
    store_grant(tx, shared, (from, guard.generation), &commit, now)?;
    attempts::end(tx, &commit.attempt, from, &shared.node, &end(AttemptResult::Stored), now)?;
    let record = reread(tx, id)?;
    tell(tx, shared, &record.connection, &guard.status, (&commit.notices, &commit.events), now)?;
    // Who hears that it works again has heard that it was renewed.
    let is_new = class == Class::Success && commit.notices.is_empty();
    if is_new && deliveries::is_wanted(tx, &record.connection.subject, NoticeKind::Refreshed)? {
        let renewed = [NewNotice::new(NoticeKind::Refreshed, now)];
        notices::write(tx, shared, About::connection(&record.connection), &renewed, now)?;
    }
    attempts::count(tx, &record.connection.integration, class, now)?;
    Ok(Committed::Stored { grant: Durable::committed(commit.grant), record })
}

/// A commit whose outcome was unknown to its caller, and that had happened.
fn done_before(
    tx: &Tx<'_>,
    shared: &Shared,
    from: &RefreshedFrom,
    commit: &SuccessCommit,
) -> Result<Option<Committed>, StoreError> {
    let Some(result) = attempts::result(tx, &commit.attempt)? else { return Ok(None) };
    let record = TokenRecord::load(tx, &from.connection)?.map(Arc::new);
    Ok(match (result, record) {
        (AttemptResult::Verdict, _) => None,
        (AttemptResult::Disconnected, _) | (_, None) => Some(Committed::Disconnected),
        (AttemptResult::Superseded, Some(record)) => Some(Committed::Superseded { record }),
        (AttemptResult::Stored, Some(record)) => match stored_grant(shared, from, &record)? {
            Some(grant) => Some(Committed::Stored { grant: Durable::committed(grant), record }),
            None => Some(Committed::Superseded { record }),
        },
    })
}

fn stored_grant(shared: &Shared, from: &RefreshedFrom, record: &TokenRecord) -> Result<Option<Grant>, StoreError> {
    let is_the_one = record.sealed.as_ref().is_some_and(|sealed| sealed.generation == from.generation + 1);
    if is_the_one { record.open(&shared.ring) } else { Ok(None) }
}

fn store_grant(
    tx: &Tx<'_>,
    shared: &Shared,
    (from, stored): (&RefreshedFrom, u64),
    commit: &SuccessCommit,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (id, generation) = (&from.connection, from.generation + 1);
    let life = with_generation(commit.life.clone(), generation);
    let expires_at = life.grant.as_ref().and_then(|facts| facts.expiry.at());
    // A sending that is open is of the grant that is replaced: nobody may take it for one of the new grant.
    let text = "UPDATE lives SET status = ?3, life = ?4, generation = ?5, expires_at = ?6, next_at = ?7, \
                lease_until = CASE WHEN fence = ?8 THEN 0 ELSE lease_until END, \
                lease_owner = CASE WHEN fence = ?8 THEN NULL ELSE lease_owner END, \
                attempt = NULL, sending_at = NULL, version = version + 1, changed_at = ?9 \
                WHERE connection_id = ?1 AND generation = ?2 AND status <> 'disconnected'";
    let (status, document) = (life.status.word(), json(&life)?);
    // No fence is -1: a journalled answer ends nobody's lease.
    let fence = from.fence.map_or(-1, |fence| i64::try_from(fence).unwrap_or(i64::MAX));
    let all = values![id, stored, status, document, generation, expires_at, commit.next_at, fence, now];
    tx.run_one("lives", text, all)?;
    grants::put(tx, id, &SealedGrant::seal(&shared.ring, "grants", id.as_str(), generation, &commit.grant)?)?;
    if let Some(facts) = &commit.provider_data {
        crate::owed::learn(tx, id, facts, now)?;
    }
    if let Some(account) = &commit.account {
        learn_account(tx, shared, id, account)?;
    }
    Ok(())
}

/// Keeps what an answer tells of the account, where nothing is known and nobody else has it.
fn learn_account(tx: &Tx<'_>, shared: &Shared, id: &ConnectionId, account: &Account) -> Result<(), StoreError> {
    let text = "SELECT integration FROM connections WHERE id = ?1";
    let integration = tx.one(text, values![id], |row| row.parse(0))?;
    let Some(integration) = integration else { return Ok(()) };
    let shared_accounts = shared.integration(&integration).is_some_and(|one| one.shared_accounts);
    let (account_id, kind, name) = account_columns(Some(account));
    let text = "UPDATE connections SET account_id = ?2, account_kind = ?3, account_name = ?4 \
                WHERE id = ?1 AND account_id IS NULL AND NOT EXISTS (SELECT 1 FROM connections other \
                WHERE other.integration = connections.integration AND other.account_id = ?2 AND other.account_kind = ?3 \
                AND (?5 = 0 OR other.subject = connections.subject))";
    tx.run(text, values![id, account_id, kind, name, shared_accounts]).map(drop)
}

fn verdict(
    tx: &Tx<'_>,
    shared: &Shared,
    from: &RefreshedFrom,
    fence: u64,
    commit: &VerdictCommit,
    now: Timestamp,
) -> Result<VerdictCommitted, StoreError> {
    let id = &from.connection;
    let Some(guard) = Guard::read(tx, id)? else { return Ok(VerdictCommitted::GrantChanged) };
    let unfenced = planted::is(Bug::NoVerdictFence) || planted::is(Bug::FenceRemoved);
    let rebased = RefreshedFrom { generation: guard.generation, ..from.clone() };
    let (from, fence) = if unfenced { (&rebased, guard.fence) } else { (from, fence) };
    if guard.fence != fence {
        return Ok(VerdictCommitted::FenceLost);
    }
    if planted::is(Bug::DeleteOnFailure) {
        grants::erase(tx, id)?;
    }
    if verdict_done_before(tx, commit)? {
        return reread(tx, id).map(VerdictCommitted::Stored);
    }
    if guard.generation != from.generation || guard.is_disconnected() {
        end_lease(tx, from)?;
        end_attempt(tx, shared, from, commit, now)?;
        return Ok(VerdictCommitted::GrantChanged);
    }
    let life = with_generation(commit.life.clone(), from.generation);
    let text = "UPDATE lives SET status = ?4, life = ?5, next_at = ?6, lease_until = 0, lease_owner = NULL, \
                attempt = NULL, sending_at = NULL, version = version + 1, changed_at = ?7 \
                WHERE connection_id = ?1 AND fence = ?2 AND generation = ?3";
    let (status, document) = (life.status.word(), json(&life)?);
    tx.run_one("lives", text, values![id, fence, from.generation, status, document, commit.next_at, now])?;
    end_attempt(tx, shared, from, commit, now)?;
    let record = reread(tx, id)?;
    if let Some(outcome) = &commit.outcome {
        attempts::count(tx, &record.connection.integration, outcome.class, now)?;
    }
    tell(tx, shared, &record.connection, &guard.status, (&commit.notices, &commit.events), now)?;
    Ok(VerdictCommitted::Stored(record))
}

/// Tokens that came for a connection that is ended: the provider is told that they end too.
fn revoke_orphan(
    tx: &Tx<'_>,
    shared: &Shared,
    from: &RefreshedFrom,
    commit: &SuccessCommit,
    now: Timestamp,
) -> Result<(), StoreError> {
    let text = "SELECT integration FROM connections WHERE id = ?1";
    let of_connection = tx.one(text, values![from.connection], |row| row.parse(0))?;
    let integration = match of_connection {
        Some(integration) => Some(integration),
        None => attempts::integration(tx, &commit.attempt)?,
    };
    let Some(integration) = integration else {
        tracing::warn!(connection = %from.connection, "tokens came for a connection that is gone; they end by themselves");
        return Ok(());
    };
    let of = outbox::Whose { integration: &integration, connection: Some(&from.connection), claimed: Duration::ZERO };
    outbox::revoke(tx, shared, of, &commit.grant, now).map(drop)
}

/// A commit whose outcome was unknown to its caller, and that had happened.
fn verdict_done_before(tx: &Tx<'_>, commit: &VerdictCommit) -> Result<bool, StoreError> {
    match &commit.outcome {
        Some(outcome) => Ok(attempts::result(tx, &outcome.attempt)? == Some(AttemptResult::Verdict)),
        None => Ok(false),
    }
}

fn end_attempt(
    tx: &Tx<'_>,
    shared: &Shared,
    from: &RefreshedFrom,
    commit: &VerdictCommit,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(outcome) = &commit.outcome else { return Ok(()) };
    let end = End { class: outcome.class, detail: &outcome.detail, result: AttemptResult::Verdict };
    attempts::end(tx, &outcome.attempt, from, &shared.node, &end, now)
}

fn end_lease(tx: &Tx<'_>, from: &RefreshedFrom) -> Result<(), StoreError> {
    match from.fence {
        Some(fence) => super::claim::end(tx, &from.connection, fence, None),
        None => Ok(()),
    }
}

/// The store counts generations; a life that was thought of before must not say another one.
pub(crate) fn with_generation(mut life: Life, generation: u64) -> Life {
    if let Some(facts) = life.grant.as_mut() {
        facts.generation = generation;
    }
    life
}

/// The connection as it is after a change, for whoever asks next.
pub(crate) fn reread(tx: &Tx<'_>, id: &ConnectionId) -> Result<Arc<TokenRecord>, StoreError> {
    let record = TokenRecord::load(tx, id)?.ok_or(StoreError::NotOneRow { table: "connections", rows: 0 })?;
    let record = Arc::new(record);
    tx.after_commit(Effect::Record(record.clone()));
    Ok(record)
}

/// Writes what follows from a change of a connection.
pub(crate) fn tell(
    tx: &Tx<'_>,
    shared: &Shared,
    connection: &Connection,
    status_before: &str,
    (notices, events): (&[NewNotice], &[NewEvent]),
    now: Timestamp,
) -> Result<(), StoreError> {
    let status = connection.life.status.word();
    if status != status_before {
        tx.after_commit(Effect::Counted {
            integration: connection.integration.clone(),
            from: (!status_before.is_empty()).then(|| status_before.to_owned()),
            to: Some(status.to_owned()),
        });
    }
    let about = About::connection(connection);
    notices::write(tx, shared, about, notices, now)?;
    events::write(tx, shared, about, events, now)
}
