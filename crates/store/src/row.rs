//! How a connection stands in its rows: what seldom changes in `connections`, its life in `lives`.

use evergrant_core::connection::{Account, Connection, Life};
use evergrant_core::id::{AccountId, ConnectionId};
use serde::Serialize;

use crate::db::{Row, Sql, values};
use crate::error::StoreError;

macro_rules! columns {
    () => {
        "SELECT c.id, c.integration, c.subject, c.account_id, c.account_kind, c.account_name, c.label, c.metadata, \
         c.provider_data, c.requested_scopes, c.last_use, c.version, c.created_at, c.updated_at, \
         l.life, l.forced_at, l.version, l.changed_at, g.generation, g.token_type, g.access_token, g.refresh_token \
         FROM connections c JOIN lives l ON l.connection_id = c.id LEFT JOIN grants g ON g.connection_id = c.id "
    };
}
pub(crate) use columns;

/// Where the columns of the grant begin.
pub(crate) const GRANT: usize = 18;
/// One connection with its grant.
pub(crate) const BY_ID: &str = concat!(columns!(), "WHERE c.id = ?1");

/// Reads a connection from the columns of [`columns!`].
pub(crate) fn connection(row: &Row<'_>) -> Result<Connection, StoreError> {
    let mut life: Life = row.json(14)?;
    life.last_forced_at = row.opt_time(15)?;
    Ok(Connection {
        id: row.parse(0)?,
        integration: row.parse(1)?,
        subject: row.parse(2)?,
        account: account(row.opt_parse(3)?, row.text(4)?, row.opt_text(5)?),
        label: row.opt_text(6)?,
        metadata: row.json(7)?,
        provider_data: row.json(8)?,
        requested_scopes: row.json(9)?,
        life,
        last_use: row.opt_json(10)?,
        created_at: row.time(12)?,
        // Two rows change on their own; together they are one thing to those who look at it.
        updated_at: row.time(13)?.max(row.time(17)?),
        version: row.count(11)? + row.count(16)?,
    })
}

fn account(id: Option<AccountId>, kind: String, name: Option<String>) -> Option<Account> {
    Some(Account { id: id?, name, kind: (!kind.is_empty()).then_some(kind) })
}

/// The columns of an account: id, kind, name.
pub(crate) fn account_columns(account: Option<&Account>) -> (Option<&AccountId>, &str, Option<&str>) {
    match account {
        Some(account) => (Some(&account.id), account.kind.as_deref().unwrap_or(""), account.name.as_deref()),
        None => (None, "", None),
    }
}

/// What decides whether a write still fits, read in the same transaction.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    pub status: String,
    pub generation: u64,
    pub fence: u64,
}

impl Guard {
    pub fn read(sql: &Sql<'_>, id: &ConnectionId) -> Result<Option<Self>, StoreError> {
        let text = "SELECT status, generation, fence FROM lives WHERE connection_id = ?1";
        sql.one(text, values![id], |row| {
            Ok(Guard { status: row.text(0)?, generation: row.count(1)?, fence: row.count(2)? })
        })
    }

    pub fn is_disconnected(&self) -> bool {
        self.status == "disconnected"
    }
}

/// A document for a TEXT column.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::defect("writing a document"))
}
