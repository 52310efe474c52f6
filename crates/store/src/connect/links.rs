//! Links that are taken back. A signed link has no row while it is good; from when on those of a connection count is
//! remembered as a session that nobody can use, for as long as one of them could live.

use evergrant_core::id::{ConnectSessionId, ConnectionId, SubjectId};
use evergrant_core::time::Timestamp;

use super::{Hash, place};
use crate::audit::{self, NewAudit};
use crate::db::values;
use crate::error::StoreError;
use crate::store::Store;

/// That the links of a connection which were made until now count no more.
#[derive(Clone, Debug)]
pub struct LinksBar {
    /// A new id for it.
    pub id: ConnectSessionId,
    /// What it is found by: the same for each bar of a connection.
    pub hash: Hash,
    /// The connection.
    pub connection: ConnectionId,
    /// Whose it is.
    pub subject: SubjectId,
    /// Until when it must be remembered.
    pub until: Timestamp,
}

impl Store {
    /// Takes back one session's link, with what is parked in it; false where it is not open, or its grant has come already.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn revoke_session(
        &self,
        id: &ConnectSessionId,
        audit: Option<NewAudit>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write(move |tx, _| {
            let text = "UPDATE connect_sessions SET state = 'revoked', code = NULL \
                        WHERE id = ?1 AND state = 'open' AND pending IS NULL";
            let found = tx.run(text, values![id])? == 1;
            if found {
                audit::write(tx, audit.map(|line| line.about(id.as_str())).as_ref(), now)?;
            }
            Ok(found)
        })
        .await
    }

    /// Takes back every link of a connection: the sessions that were made for it, and by the bar those that have no row.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn revoke_links(&self, bar: LinksBar, audit: Option<NewAudit>, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx, shared| {
            let text = "UPDATE connect_sessions SET state = 'revoked', code = NULL \
                        WHERE subject = ?1 AND connection_id = ?2 AND state = 'open' AND pending IS NULL";
            tx.run(text, values![bar.subject, bar.connection])?;
            let nothing = shared.ring.seal(place(&bar.id, "payload"), &[])?;
            let text = "INSERT INTO connect_sessions (id, link_hash, payload, subject, connection_id, state, created_at, \
                        expires_at) VALUES (?1, ?2, ?3, ?4, ?5, 'revoked', ?6, ?7) \
                        ON CONFLICT (link_hash) DO UPDATE SET created_at = excluded.created_at, expires_at = excluded.expires_at";
            let all = values![bar.id, bar.hash, nothing, bar.subject, bar.connection, now, bar.until];
            tx.run_one("connect_sessions", text, all)?;
            audit::write(tx, audit.map(|line| line.about(bar.connection.as_str())).as_ref(), now)
        })
        .await
    }
}
