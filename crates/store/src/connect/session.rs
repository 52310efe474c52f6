//! Connect sessions and the codes that wait in them for the application's word.

use evergrant_core::id::{ConnectSessionId, ConnectionId, NodeId, SubjectId};
use evergrant_core::time::Timestamp;
use zeroize::Zeroizing;

use super::{Hash, place};
use crate::audit::{self, NewAudit};
use crate::db::{Row, Sql, values};
use crate::error::StoreError;
use crate::nodes::Living;
use crate::seal::{KeyRing, SealedBytes};
use crate::store::Store;

/// A session to be made.
#[derive(Clone)]
pub struct NewSession {
    /// Its id.
    pub id: ConnectSessionId,
    /// The hash of its link.
    pub link_hash: Hash,
    /// What the caller keeps with it; sealed.
    pub payload: Zeroizing<Vec<u8>>,
    /// Whose connection it will be, so that it can be erased with the subject.
    pub subject: Option<SubjectId>,
    /// The connection that it reconnects.
    pub connection: Option<ConnectionId>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A session as it is stored.
#[derive(Clone)]
pub struct Session {
    /// Its id.
    pub id: ConnectSessionId,
    /// What the caller keeps with it.
    pub payload: Zeroizing<Vec<u8>>,
    /// Whose connection it will be.
    pub subject: Option<SubjectId>,
    /// The connection that it reconnects.
    pub connection: Option<ConnectionId>,
    /// Whether its link can still be used.
    pub state: SessionState,
    /// What became of it so far, as the caller wrote it.
    pub result: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Whether a session's link can still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// It can.
    Open,
    /// It has led to a connection.
    Spent,
    /// It was taken back.
    Revoked,
}

impl SessionState {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            SessionState::Open => "open",
            SessionState::Spent => "spent",
            SessionState::Revoked => "revoked",
        }
    }

    fn read(word: &str) -> Result<Self, StoreError> {
        let all = [SessionState::Open, SessionState::Spent, SessionState::Revoked];
        let found = all.into_iter().find(|state| state.as_str() == word);
        found.ok_or_else(|| StoreError::damaged("the state of a connect session"))
    }
}

/// A code that was parked until the application says who is signed in.
#[derive(Clone)]
pub struct ParkedCode {
    /// In which session.
    pub session: ConnectSessionId,
    /// What was parked.
    pub payload: Zeroizing<Vec<u8>>,
}

/// What came of taking a parked code.
#[derive(Clone)]
pub enum TakenCode {
    /// It is yours; nobody gets it again.
    Now(ParkedCode),
    /// It was taken before, or it was dropped.
    Before {
        /// The session that it was parked in; its result says what became of it.
        session: ConnectSessionId,
    },
    /// It has ended, and is erased now.
    Late,
    /// There is none.
    Unknown,
}

impl std::fmt::Debug for TakenCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TakenCode::Now(parked) => write!(f, "Now({})", parked.session),
            TakenCode::Before { session } => write!(f, "Before({session})"),
            TakenCode::Late => f.write_str("Late"),
            TakenCode::Unknown => f.write_str("Unknown"),
        }
    }
}

macro_rules! session_columns {
    () => {
        "SELECT id, payload, subject, connection_id, state, result, created_at, expires_at FROM connect_sessions "
    };
}

struct SealedSession {
    session: Session,
    payload: SealedBytes,
}

fn read(row: &Row<'_>) -> Result<SealedSession, StoreError> {
    let session = Session {
        id: row.parse(0)?,
        payload: Zeroizing::default(),
        subject: row.opt_parse(2)?,
        connection: row.opt_parse(3)?,
        state: SessionState::read(&row.text(4)?)?,
        result: row.opt_text(5)?,
        created_at: row.time(6)?,
        expires_at: row.time(7)?,
    };
    Ok(SealedSession { session, payload: row.sealed(1)? })
}

fn open(found: Option<SealedSession>, ring: &KeyRing) -> Result<Option<Session>, StoreError> {
    let Some(SealedSession { mut session, payload }) = found else { return Ok(None) };
    session.payload = ring.open_at(place(&session.id, "payload"), &payload)?;
    Ok(Some(session))
}

impl Store {
    /// Makes a session.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn create_session(
        &self,
        new: NewSession,
        audit: Option<NewAudit>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(move |tx, shared| {
            let payload = shared.ring.seal(place(&new.id, "payload"), &new.payload)?;
            let text = "INSERT INTO connect_sessions (id, link_hash, payload, subject, connection_id, state, created_at, \
                        expires_at) VALUES (?1, ?2, ?3, ?4, ?5, 'open', ?6, ?7)";
            let all = values![new.id, new.link_hash, payload, new.subject, new.connection, now, new.expires_at];
            tx.run_one("connect_sessions", text, all)?;
            audit::write(tx, audit.map(|line| line.about(new.id.as_str())).as_ref(), now)
        })
        .await
    }

    /// A session by its id, also one that has ended.
    ///
    /// # Errors
    /// Those of every read; [`StoreError::Corrupt`].
    pub async fn session(&self, id: &ConnectSessionId) -> Result<Option<Session>, StoreError> {
        let id = id.clone();
        let text = concat!(session_columns!(), "WHERE id = ?1");
        open(self.read(move |sql, _| sql.one(text, values![id], read)).await?, &self.shared.ring)
    }

    /// A session by the hash of its link, also one that has ended.
    ///
    /// # Errors
    /// Those of every read; [`StoreError::Corrupt`].
    pub async fn session_by_link(&self, link_hash: &Hash) -> Result<Option<Session>, StoreError> {
        let hash = *link_hash;
        let text = concat!(session_columns!(), "WHERE link_hash = ?1");
        open(self.read(move |sql, _| sql.one(text, values![hash], read)).await?, &self.shared.ring)
    }

    /// Writes down what became of a session; false if it is gone. What is parked in one that is not open any more is
    /// erased.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn finish_session(
        &self,
        id: &ConnectSessionId,
        state: SessionState,
        result: Option<String>,
        audit: Option<NewAudit>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write(move |tx, _| {
            let text = "UPDATE connect_sessions SET state = ?2, result = ?3, \
                        code = CASE WHEN ?2 = 'open' THEN code ELSE NULL END WHERE id = ?1";
            let found = tx.run(text, values![id, state.as_str(), result])? == 1;
            if found {
                audit::write(tx, audit.map(|line| line.about(id.as_str())).as_ref(), now)?;
            }
            Ok(found)
        })
        .await
    }

    /// Parks a code in an open session until the application says who is signed in; a code that is parked there already
    /// gives way. False if the session is not open any more.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn park_code(
        &self,
        session: &ConnectSessionId,
        handle_hash: Hash,
        payload: Zeroizing<Vec<u8>>,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let id = session.clone();
        self.write(move |tx, shared| {
            let code = shared.ring.seal(place(&id, "code"), &payload)?;
            let text = "UPDATE connect_sessions SET handle_hash = ?2, handle_until = ?3, code = ?4, node = ?5 \
                        WHERE id = ?1 AND state = 'open'";
            Ok(tx.run(text, values![id, handle_hash, until, code, shared.node])? == 1)
        })
        .await
    }

    /// Takes over every code in an open session that was parked by a node that does not live any more, with the hash of its
    /// handle; spends none.
    ///
    /// # Errors
    /// Those of every read and write. One that does not open is logged and left out.
    pub async fn adopt_codes(&self) -> Result<Vec<(ParkedCode, Vec<u8>)>, StoreError> {
        let orphans = |sql: &Sql<'_>, me: &NodeId| {
            let text =
                "SELECT id, code, handle_hash, node FROM connect_sessions WHERE code IS NOT NULL AND state = 'open'";
            let living = Living::look(sql, me)?;
            let mut rows = sql.all(text, &[], |row| {
                let code: (ConnectSessionId, SealedBytes, Vec<u8>) = (row.parse(0)?, row.sealed(1)?, row.bytes(2)?);
                Ok((code, row.opt_text(3)?))
            })?;
            rows.retain(|(_, node)| !living.has(node.as_deref()));
            Ok::<_, StoreError>(rows.into_iter().map(|(code, _)| code).collect::<Vec<_>>())
        };
        if self.read(move |sql, shared| orphans(sql, &shared.node)).await?.is_empty() {
            return Ok(Vec::new());
        }
        let adopted = self.write(move |tx, shared| {
            let rows = orphans(tx, &shared.node)?;
            for (id, _, _) in &rows {
                let text = "UPDATE connect_sessions SET node = ?2 WHERE id = ?1";
                tx.run_one("connect_sessions", text, values![id, shared.node])?;
            }
            Ok(rows)
        });
        let open = |(session, code, hash): (ConnectSessionId, SealedBytes, Vec<u8>)| {
            let opened = self.shared.ring.open_at(place(&session, "code"), &code);
            let opened = opened.inspect_err(|error| tracing::error!(%error, "a parked code does not open"));
            Some((ParkedCode { session, payload: opened.ok()? }, hash))
        };
        Ok(adopted.await?.into_iter().filter_map(open).collect())
    }

    /// Takes a parked code by the hash of its handle, once.
    ///
    /// # Errors
    /// Those of every write; [`StoreError::Corrupt`].
    pub async fn take_code(&self, handle_hash: &Hash, now: Timestamp) -> Result<TakenCode, StoreError> {
        let hash = *handle_hash;
        let taken = self
            .write(move |tx, _| {
                let text = "SELECT id, code, handle_until FROM connect_sessions WHERE handle_hash = ?1";
                let found = tx.one(text, values![hash], |row| {
                    Ok((row.parse::<ConnectSessionId>(0)?, row.opt_sealed(1)?, row.opt_time(2)?))
                })?;
                let Some((session, code, until)) = found else { return Ok(Err(TakenCode::Unknown)) };
                let Some(code) = code else { return Ok(Err(TakenCode::Before { session })) };
                let text = "UPDATE connect_sessions SET code = NULL WHERE id = ?1";
                tx.run_one("connect_sessions", text, values![session])?;
                if until.is_none_or(|until| until <= now) {
                    return Ok(Err(TakenCode::Late));
                }
                Ok(Ok((session, code)))
            })
            .await?;
        match taken {
            Err(taken) => Ok(taken),
            Ok((session, code)) => {
                let payload = self.shared.ring.open_at(place(&session, "code"), &code)?;
                Ok(TakenCode::Now(ParkedCode { session, payload }))
            }
        }
    }
}
