//! Pending grants: what a code exchange brought, durable before anybody asks the provider whose it is.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::connection::{Account, Connection};
use evergrant_core::grant::Grant;
use evergrant_core::id::{AttemptId, ConnectSessionId, IntegrationName, SubjectId};
use evergrant_core::secret::{AccessToken, RefreshToken};
use evergrant_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{SessionState, place};
use crate::connections::{Decided, NewGrantFor, Placed};
use crate::connections::{find_place, place as place_grant};
use crate::db::{Sql, values};
use crate::error::StoreError;
use crate::outbox::{self, OutboxId, Whose};
use crate::record::{Durable, TokenRecord};
use crate::row::json;
use crate::seal::{KeyRing, SealedBytes, Wiped};
use crate::store::Store;

/// For so long the outbox leaves a revocation to whoever discarded the grant.
const OWN_TRY: Duration = Duration::from_secs(60);

/// What a code exchange brought.
#[derive(Clone, Debug)]
pub struct PendingGrant {
    /// The session.
    pub session: ConnectSessionId,
    /// The attempt that brought it.
    pub attempt: AttemptId,
    /// The tokens: durable, so the provider may be asked with them whose they are.
    pub grant: Durable<Grant>,
    /// Further pairs of the same answer, each for a connection of its own.
    pub also: Vec<Durable<Grant>>,
    /// What the caller keeps with it, such as its facts; sealed with the tokens.
    pub document: String,
    /// When it was kept.
    pub at: Timestamp,
}

/// A pending grant that was discarded.
#[derive(Clone, Debug)]
pub struct Discarded {
    /// The tokens, for telling the provider at once.
    pub grant: Durable<Grant>,
    /// The revocation of the first pair in the outbox: claimed for a minute, then it waits for `revocation_done` or `revocation_retry`.
    pub revocation: Option<OutboxId>,
}

#[derive(Serialize, Deserialize)]
struct Document {
    attempt: AttemptId,
    #[serde(flatten)]
    first: Pair,
    #[serde(default)]
    also: Vec<Pair>,
    document: Wiped,
    #[serde(with = "evergrant_core::time::millis")]
    at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Pair {
    access_token: Option<Wiped>,
    refresh_token: Option<Wiped>,
    token_type: String,
}

impl Pair {
    fn of(grant: &Grant) -> Self {
        Pair {
            access_token: grant.access_token.as_ref().map(|token| Wiped::new(token.expose())),
            refresh_token: grant.refresh_token.as_ref().map(|token| Wiped::new(token.expose())),
            token_type: grant.token_type.clone(),
        }
    }

    fn grant(self) -> Grant {
        Grant {
            access_token: self.access_token.map(|token| AccessToken::new(token.expose())),
            refresh_token: self.refresh_token.map(|token| RefreshToken::new(token.expose())),
            token_type: self.token_type,
        }
    }
}

/// A further pair on its way to its connection, and what the caller decides about it.
pub type Further = (NewGrantFor, Box<dyn FnOnce(Option<&Connection>, u64) -> Decided + Send>);

impl Store {
    /// Keeps what a code exchange brought, until it is promoted or discarded; none if the session is gone. Repeating it is
    /// safe. What another attempt of the same session left pending gives way; it is still in the journal, where an entry
    /// is to be marked as committed only after it has been promoted or discarded.
    ///
    /// # Errors
    /// Those of every write: repeat it until it holds.
    pub async fn put_pending(
        &self,
        session: &ConnectSessionId,
        attempt: &AttemptId,
        (grant, also): (Grant, Vec<Grant>),
        document: String,
        now: Timestamp,
    ) -> Result<Option<PendingGrant>, StoreError> {
        let (id, attempt) = (session.clone(), attempt.clone());
        self.write(move |tx, shared| {
            let sealed = Document {
                attempt: attempt.clone(),
                first: Pair::of(&grant),
                also: also.iter().map(Pair::of).collect(),
                document: Wiped::new(&document),
                at: now,
            };
            let sealed = shared.ring.seal(place(&id, "pending"), Zeroizing::new(json(&sealed)?).as_bytes())?;
            let text = "UPDATE connect_sessions SET pending = ?2, code = NULL WHERE id = ?1";
            if tx.run(text, values![id, sealed])? == 0 {
                return Ok(None);
            }
            let (grant, also) = (Durable::committed(grant), also.into_iter().map(Durable::committed).collect());
            Ok(Some(PendingGrant { session: id, attempt, grant, also, document, at: now }))
        })
        .await
    }

    /// All pending grants: at the start, each is promoted or discarded. One that does not open is logged and left out.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn pending_grants(&self) -> Result<Vec<PendingGrant>, StoreError> {
        let text = "SELECT id, pending FROM connect_sessions WHERE pending IS NOT NULL ORDER BY id";
        let rows = self.read(move |sql, _| sql.all(text, &[], |row| Ok((row.parse(0)?, row.sealed(1)?)))).await?;
        let open = |(session, sealed): (ConnectSessionId, SealedBytes)| {
            let opened = open(&self.shared.ring, &session, &sealed);
            opened.inspect_err(|error| tracing::error!(%error, "a pending grant does not open")).ok()
        };
        Ok(rows.into_iter().filter_map(open).collect())
    }

    /// The pending grant of a session; none if nothing is pending there.
    ///
    /// # Errors
    /// Those of every read; [`StoreError::Corrupt`].
    pub async fn pending_grant(&self, session: &ConnectSessionId) -> Result<Option<PendingGrant>, StoreError> {
        let id = session.clone();
        self.read(move |sql, shared| pending_of(sql, &shared.ring, &id)).await
    }

    /// Whose connection an account at an integration is: the oldest one's subject, also where it was ended.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn subject_of_account(
        &self,
        integration: &IntegrationName,
        account: &Account,
    ) -> Result<Option<SubjectId>, StoreError> {
        let (name, id, kind) = (integration.clone(), account.id.clone(), account.kind.clone().unwrap_or_default());
        let text = "SELECT subject FROM connections WHERE integration = ?1 AND account_id = ?2 AND account_kind = ?3 \
                    ORDER BY id LIMIT 1";
        self.read(move |sql, _| sql.one(text, values![name, id, kind], |row| row.parse(0))).await
    }

    /// Puts a pending grant where it belongs, each of its pairs, and spends its session, in one transaction. Where one of
    /// them can't go, nothing is changed: all of it stays pending. The answer is that of the first pair.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn promote(
        &self,
        pending: &PendingGrant,
        (new, decide): (NewGrantFor, impl FnOnce(Option<&Connection>, u64) -> Decided + Send + 'static),
        further: Vec<Further>,
        result: impl FnOnce(&Arc<TokenRecord>) -> String + Send + 'static,
        now: Timestamp,
    ) -> Result<Placed, StoreError> {
        let (id, attempt) = (pending.session.clone(), pending.attempt.clone());
        self.write(move |tx, shared| {
            // A second promotion, after a refresh has rotated what the first one placed, would put the old grant back.
            if pending_of(tx, &shared.ring, &id)?.is_none_or(|pending| pending.attempt != attempt) {
                return Ok(Placed::NotPending);
            }
            for (one, _) in &further {
                if let Some(refused) = find_place(tx, shared, one)?.err() {
                    return Ok(refused);
                }
            }
            let placed = place_grant(tx, shared, new, decide, now)?;
            if matches!(placed, Placed::Created(_) | Placed::Replaced(_)) {
                for (one, decide) in further {
                    let (Placed::Created(_) | Placed::Replaced(_)) = place_grant(tx, shared, one, decide, now)? else {
                        return Err(StoreError::defect("two pairs of one grant that want the same place"));
                    };
                }
            }
            if let Placed::Created(record) | Placed::Replaced(record) = &placed {
                let text =
                    "UPDATE connect_sessions SET pending = NULL, code = NULL, state = ?2, result = ?3 WHERE id = ?1";
                let state = SessionState::Spent.as_str();
                tx.run_one("connect_sessions", text, values![id, state, result(record)])?;
            }
            Ok(placed)
        })
        .await
    }

    /// Gives up a pending grant: writes what became of the session, and the revocation. None if nothing was pending.
    ///
    /// # Errors
    /// Those of every write; [`StoreError::Corrupt`].
    pub async fn discard_pending(
        &self,
        session: &ConnectSessionId,
        integration: &IntegrationName,
        revoke: bool,
        result: Option<String>,
        now: Timestamp,
    ) -> Result<Option<Discarded>, StoreError> {
        let (id, integration) = (session.clone(), integration.clone());
        self.write(move |tx, shared| {
            let Some(pending) = pending_of(tx, &shared.ring, &id)? else { return Ok(None) };
            let text = "UPDATE connect_sessions SET pending = NULL, result = ?2 WHERE id = ?1";
            tx.run_one("connect_sessions", text, values![id, result])?;
            let whose = Whose { integration: &integration, connection: None, claimed: OWN_TRY };
            let revocation = if revoke { outbox::revoke(tx, shared, whose, &pending.grant, now)? } else { None };
            for further in pending.also.iter().filter(|_| revoke) {
                outbox::revoke(tx, shared, Whose { claimed: Duration::ZERO, ..whose }, further, now)?;
            }
            Ok(Some(Discarded { grant: pending.grant, revocation }))
        })
        .await
    }
}

fn pending_of(sql: &Sql<'_>, ring: &KeyRing, id: &ConnectSessionId) -> Result<Option<PendingGrant>, StoreError> {
    let text = "SELECT pending FROM connect_sessions WHERE id = ?1";
    let sealed = sql.one(text, values![id], |row| row.opt_sealed(0))?.flatten();
    sealed.map(|sealed| open(ring, id, &sealed)).transpose()
}

fn open(ring: &KeyRing, session: &ConnectSessionId, sealed: &SealedBytes) -> Result<PendingGrant, StoreError> {
    let text = ring.open_text(place(session, "pending"), sealed)?;
    let found: Document = serde_json::from_str(&text).map_err(|_| StoreError::damaged("a pending grant"))?;
    let grant = Durable::committed(found.first.grant());
    let also = found.also.into_iter().map(|pair| Durable::committed(pair.grant())).collect();
    let document = found.document.expose().to_owned();
    Ok(PendingGrant { session: session.clone(), attempt: found.attempt, grant, also, document, at: found.at })
}
