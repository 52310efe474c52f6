//! The sealed tokens of a connection: one row, replaced whole.

use evergrant_core::id::ConnectionId;

use crate::db::values;
use crate::error::StoreError;
use crate::record::SealedGrant;
use crate::shared::Tx;

/// Puts a grant in the place of what is there.
pub(crate) fn put(tx: &Tx<'_>, id: &ConnectionId, sealed: &SealedGrant) -> Result<(), StoreError> {
    let text = "INSERT INTO grants (connection_id, generation, token_type, access_token, refresh_token) \
                VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (connection_id) DO UPDATE SET generation = excluded.generation, \
                token_type = excluded.token_type, access_token = excluded.access_token, \
                refresh_token = excluded.refresh_token";
    let (access, refresh) = (&sealed.access_token, &sealed.refresh_token);
    tx.run_one("grants", text, values![id, sealed.generation, sealed.token_type, access, refresh])
}

/// Erases the grant of a connection that was ended on purpose: the only way in which tokens are ever erased.
pub(crate) fn erase(tx: &Tx<'_>, id: &ConnectionId) -> Result<(), StoreError> {
    tx.run("DELETE FROM grants WHERE connection_id = ?1", values![id])?;
    tx.run("DELETE FROM spares WHERE connection_id = ?1", values![id]).map(drop)
}
