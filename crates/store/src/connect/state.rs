//! The one-time state of an authorization request.

use std::time::Duration;

use evergrant_core::id::{ConnectSessionId, IntegrationName};
use evergrant_core::time::Timestamp;
use zeroize::Zeroizing;

use super::Hash;
use crate::db::values;
use crate::error::StoreError;
use crate::seal::{Place, SealedBytes, hex};
use crate::store::Store;

/// For so long a state that was taken is remembered, so that a second callback finds what became of the first.
const REMEMBERED: Duration = Duration::from_secs(600);

/// An authorization request that is about to begin.
#[derive(Clone)]
pub struct NewAuthorization {
    /// The hash of its state.
    pub state_hash: Hash,
    /// The session that it belongs to.
    pub session: ConnectSessionId,
    /// The integration whose callback it must come back to.
    pub integration: IntegrationName,
    /// The hash of the cookie of the browser that it must come back in.
    pub cookie_hash: Hash,
    /// The PKCE verifier and what else the caller keeps with it; sealed.
    pub payload: Zeroizing<Vec<u8>>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Whether an authorization request may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It may.
    Begun,
    /// Its session is spent, revoked, ended or gone.
    SessionOver,
}

/// A state that is yours.
#[derive(Clone)]
pub struct TakenNow {
    /// The session that it belongs to.
    pub session: ConnectSessionId,
    /// What was kept with it.
    pub payload: Zeroizing<Vec<u8>>,
}

/// What came of taking a state.
#[derive(Clone)]
pub enum TakenState {
    /// It is yours; nobody gets it again.
    Now(TakenNow),
    /// It was taken before.
    Before {
        /// The session that it belongs to.
        session: ConnectSessionId,
        /// What became of it, if that is known already, as the caller wrote it.
        result: Option<String>,
    },
    /// It belongs to another browser or another integration's callback; it is left as it was.
    Foreign,
    /// There is none, or it has ended.
    Unknown,
}

impl std::fmt::Debug for TakenState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TakenState::Now(taken) => write!(f, "Now({})", taken.session),
            TakenState::Before { session, result } => write!(f, "Before({session}, {result:?})"),
            TakenState::Foreign => f.write_str("Foreign"),
            TakenState::Unknown => f.write_str("Unknown"),
        }
    }
}

impl Store {
    /// Begins an authorization request, if its session is still open.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn begin_authorization(&self, new: NewAuthorization, now: Timestamp) -> Result<Begun, StoreError> {
        self.write(move |tx, shared| {
            let text = "SELECT 1 FROM connect_sessions WHERE id = ?1 AND state = 'open' AND expires_at > ?2";
            if !tx.any(text, values![new.session, now])? {
                return Ok(Begun::SessionOver);
            }
            let row = hex(&new.state_hash);
            let payload = shared.ring.seal(place(&row), &new.payload)?;
            let text = "INSERT INTO oauth_states (hash, session_id, integration, cookie_hash, payload, created_at, \
                        expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let (hash, cookie) = (new.state_hash, new.cookie_hash);
            let all = values![hash, new.session, new.integration, cookie, payload, now, new.expires_at];
            tx.run_one("oauth_states", text, all)?;
            Ok(Begun::Begun)
        })
        .await
    }

    /// Takes a state once, for the browser and the callback that it was made for.
    ///
    /// # Errors
    /// Those of every write; [`StoreError::Corrupt`].
    pub async fn take_state(
        &self,
        state_hash: &Hash,
        cookie_hash: &Hash,
        integration: &IntegrationName,
        now: Timestamp,
    ) -> Result<TakenState, StoreError> {
        let (hash, cookie, name) = (*state_hash, *cookie_hash, integration.clone());
        let taken = self
            .write(move |tx, _| {
                let text = "DELETE FROM oauth_states WHERE hash = ?1 AND cookie_hash = ?2 AND integration = ?3 \
                            AND taken_at IS NULL AND expires_at > ?4 RETURNING session_id, payload";
                let taken = tx.one(text, values![hash, cookie, name, now], |row| {
                    Ok((row.parse::<ConnectSessionId>(0)?, row.sealed(1)?))
                })?;
                let Some((session, payload)) = taken else { return not_taken(tx, &hash, &cookie, &name, now).map(Err) };
                // What is left behind holds no secret: whose it was, and later what became of it.
                let text = "INSERT INTO oauth_states (hash, session_id, integration, cookie_hash, payload, taken_at, \
                            created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7)";
                let none: &[u8] = &[];
                let end = now.plus(REMEMBERED);
                tx.run_one("oauth_states", text, values![hash, session, name, cookie, none, now, end])?;
                Ok(Ok((session, payload)))
            })
            .await?;
        match taken {
            Err(taken) => Ok(taken),
            Ok((session, payload)) => {
                Ok(TakenState::Now(TakenNow { session, payload: self.open_state(&hash, &payload)? }))
            }
        }
    }

    /// Writes down what became of a state that was taken, for a second callback; false if it is not remembered any more.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn set_state_result(&self, state_hash: &Hash, result: String) -> Result<bool, StoreError> {
        let hash = *state_hash;
        let text = "UPDATE oauth_states SET result = ?2 WHERE hash = ?1 AND taken_at IS NOT NULL";
        self.write(move |tx, _| Ok(tx.run(text, values![hash, result])? == 1)).await
    }

    fn open_state(&self, hash: &Hash, payload: &SealedBytes) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        self.shared.ring.open_at(place(&hex(hash)), payload)
    }
}

fn not_taken(
    tx: &crate::shared::Tx<'_>,
    hash: &Hash,
    cookie: &Hash,
    name: &IntegrationName,
    now: Timestamp,
) -> Result<TakenState, StoreError> {
    let text = "SELECT session_id, result, taken_at, CASE WHEN cookie_hash = ?2 AND integration = ?3 THEN 1 ELSE 0 END FROM oauth_states \
                WHERE hash = ?1 AND expires_at > ?4";
    let found = tx.one(text, values![hash, cookie, name, now], |row| {
        Ok((row.parse(0)?, row.opt_text(1)?, row.opt_time(2)?, row.flag(3)?))
    })?;
    Ok(match found {
        None => TakenState::Unknown,
        Some((_, _, _, false)) | Some((_, _, None, _)) => TakenState::Foreign,
        Some((session, result, Some(_), true)) => TakenState::Before { session, result },
    })
}

fn place(row: &str) -> Place<'_> {
    Place { table: "oauth_states", row, column: "payload", generation: 0 }
}
