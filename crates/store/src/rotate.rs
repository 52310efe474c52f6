//! Another master key: what it wraps is wrapped anew in one transaction, what is sealed follows row by row.
//!
//! The data keys themselves stay, so that everything sealed before (rows, and the entries of the journal) opens as it did;
//! a new one seals from then on. The rows that live long are sealed again under it, a part at a time, beside all other
//! work: a part is one transaction, what is done already is passed over, and a part that was not finished is simply done
//! again. States of the browser flow and kept answers are left alone: they end within a day.

use evergrant_core::time::Timestamp;

use crate::audit::{self, NewAudit};
use crate::db::values;
use crate::error::{StoreError, Trouble};
use crate::seal::{MasterKey, Place, SealedBytes};
use crate::shared::{Effect, Tx};
use crate::store::{Store, canary, data_keys, meta, put_meta};

/// Rows of a table that one transaction seals again: nobody waits long behind it.
const PART: usize = 64;
/// In `meta` while rows are being sealed again.
const UNFINISHED: &str = "resealing";

/// A table with sealed columns that live long: its name in places, the columns, what reads a part of it (row, generation and
/// three columns, the last of them again where there are fewer, by the row after which it goes on) and what writes one row.
struct Sealed {
    table: &'static str,
    columns: &'static [&'static str],
    select: &'static str,
    update: &'static str,
}

const TABLES: [Sealed; 6] = [
    Sealed {
        table: "grants",
        columns: &["access_token", "refresh_token"],
        select: "SELECT connection_id, generation, access_token, refresh_token, refresh_token FROM grants \
                 WHERE connection_id > ?1 ORDER BY connection_id LIMIT ?2",
        update: "UPDATE grants SET access_token = ?2, refresh_token = ?3 WHERE connection_id = ?1",
    },
    Sealed {
        table: "spares",
        columns: &["access_token", "refresh_token"],
        select: "SELECT id, generation, access_token, refresh_token, refresh_token FROM spares \
                 WHERE id > ?1 ORDER BY id LIMIT ?2",
        update: "UPDATE spares SET access_token = ?2, refresh_token = ?3 WHERE id = ?1",
    },
    Sealed {
        table: "integrations",
        columns: &["client_secrets"],
        select: "SELECT name, version, client_secrets, client_secrets, client_secrets FROM integrations \
                 WHERE name > ?1 ORDER BY name LIMIT ?2",
        update: "UPDATE integrations SET client_secrets = ?2 WHERE name = ?1",
    },
    Sealed {
        table: "outbox",
        columns: &["payload"],
        select: "SELECT id, CAST(0 AS BIGINT), payload, payload, payload FROM outbox WHERE id > ?1 ORDER BY id LIMIT ?2",
        update: "UPDATE outbox SET payload = ?2 WHERE id = ?1",
    },
    Sealed {
        table: "webhooks",
        columns: &["secrets"],
        select: "SELECT id, CAST(0 AS BIGINT), secrets, secrets, secrets FROM webhooks WHERE id > ?1 ORDER BY id LIMIT ?2",
        update: "UPDATE webhooks SET secrets = ?2 WHERE id = ?1",
    },
    Sealed {
        table: "connect_sessions",
        columns: &["payload", "code", "pending"],
        select: "SELECT id, CAST(0 AS BIGINT), payload, code, pending FROM connect_sessions WHERE id > ?1 ORDER BY id LIMIT ?2",
        update: "UPDATE connect_sessions SET payload = ?2, code = ?3, pending = ?4 WHERE id = ?1",
    },
];

/// How far the sealing of old rows has come; made by [`Default`], handed back for the next part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    table: usize,
    after: String,
    /// Rows that were sealed again so far.
    pub rows: usize,
}

/// A row of a part.
struct Found {
    row: String,
    generation: u64,
    columns: [Option<SealedBytes>; 3],
}

impl Store {
    /// Wraps the data keys by another master key, adds one that seals from then on, and notes that old rows are to be sealed
    /// again. All of it or nothing; the key in use before opens nothing afterwards.
    ///
    /// The caller sees to it that the new key is kept before this is called.
    ///
    /// # Errors
    /// Those of every write; [`StoreError::Damaged`] when a stored data key does not open.
    pub async fn rotate_master_key(
        &self,
        new: MasterKey,
        line: Option<NewAudit>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(move |tx, shared| {
            if meta(tx, "master_key_fingerprint")?.as_deref() != Some(shared.ring.master().fingerprint().as_bytes()) {
                return Err(StoreError::Unavailable { trouble: Trouble::KeyChanged, cause: None });
            }
            let handed = tx.living()?.is_some_and(|nodes| nodes.len() > 1);
            let wrapped = shared.ring.wrapped_anew(&data_keys(tx)?, &new, handed)?;
            let Some((newest, known)) = wrapped.split_last() else { return Err(StoreError::defect("wrapping")) };
            for one in known {
                let text = "UPDATE data_keys SET wrapped = ?2 WHERE id = ?1";
                tx.run_one("data_keys", text, values![one.id, one.wrapped])?;
            }
            let text = "INSERT INTO data_keys (id, wrapped, sealings, created_at, handed) VALUES (?1, ?2, ?3, ?4, ?5)";
            tx.run_one("data_keys", text, values![newest.id, newest.wrapped, newest.sealings, now, newest.handed])?;
            tx.newest_key(newest.id)?;
            put_meta(tx, "master_key_fingerprint", new.fingerprint().as_bytes())?;
            put_meta(tx, UNFINISHED, newest.id.to_string().as_bytes())?;
            audit::write(tx, line.as_ref(), now)?;
            tx.after_commit(Effect::Rotated(new.clone(), newest.clone()));
            Ok(())
        })
        .await
    }

    /// Names the master key that the database is under: after a rotation of which it is not known whether it held.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn stored_master_key_fingerprint(&self) -> Result<Option<String>, StoreError> {
        let found = self.read(|sql, _| meta(sql, "master_key_fingerprint")).await?;
        Ok(found.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    /// Whether rows are still to be sealed again after a rotation.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn has_old_seals(&self) -> Result<bool, StoreError> {
        self.read(|sql, _| Ok(meta(sql, UNFINISHED)?.is_some())).await
    }

    /// Seals a part of the old rows again; where the next part begins, or none when all is done. A row that does not open is
    /// left as it is and logged: it did not open before either.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn reseal_part(&self, from: Resealed) -> Result<Option<Resealed>, StoreError> {
        self.write(move |tx, shared| {
            let Some(table) = TABLES.get(from.table) else {
                reseal_canary(tx, shared)?;
                tx.run("DELETE FROM meta WHERE name = ?1", values![UNFINISHED])?;
                return Ok(None);
            };
            let found = tx.all(table.select, values![from.after, PART], |row| {
                let columns = [row.opt_sealed(2)?, row.opt_sealed(3)?, row.opt_sealed(4)?];
                Ok(Found { row: row.text(0)?, generation: row.count(1)?, columns })
            })?;
            let Some(last) = found.last().map(|one| one.row.clone()) else {
                return Ok(Some(Resealed { table: from.table + 1, after: String::new(), rows: from.rows }));
            };
            let mut rows = from.rows;
            for one in found {
                rows += usize::from(reseal_row(tx, shared, table, one)?);
            }
            Ok(Some(Resealed { table: from.table, after: last, rows }))
        })
        .await
    }
}

fn reseal_canary(tx: &Tx<'_>, shared: &crate::shared::Shared) -> Result<(), StoreError> {
    let sealed = meta(tx, "canary")?.map(SealedBytes::stored).ok_or_else(|| StoreError::damaged("no canary"))?;
    match shared.ring.resealed(canary(), &sealed)? {
        Some(sealed) => put_meta(tx, "canary", sealed.as_bytes()),
        None => Ok(()),
    }
}

/// Whether it was written.
fn reseal_row(
    tx: &Tx<'_>,
    shared: &crate::shared::Shared,
    table: &Sealed,
    mut found: Found,
) -> Result<bool, StoreError> {
    let mut changed = false;
    for (column, sealed) in table.columns.iter().zip(&mut found.columns) {
        let place = Place { table: table.table, row: &found.row, column, generation: found.generation };
        let Some(old) = sealed.as_ref() else { continue };
        match shared.ring.resealed(place, old) {
            Ok(Some(new)) => {
                (*sealed, changed) = (Some(new), true);
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "what does not open is not sealed again; it is left as it is"),
        }
    }
    if changed {
        let [one, two, three] = &found.columns;
        let all = values![found.row, one, two, three];
        tx.run_one(table.table, table.update, all.get(..=table.columns.len()).unwrap_or(all))?;
    }
    Ok(changed)
}
