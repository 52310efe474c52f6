//! What a dashboard draws: counted from memory and from covering indexes, never row by row.

use std::collections::BTreeSet;

use evergrant_core::id::IntegrationName;
use evergrant_core::time::Timestamp;

use crate::db::{Sql, values};
use crate::error::StoreError;
use crate::shared::StatusCounts;
use crate::store::Store;

/// One integration in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegrationNumbers {
    /// Its name.
    pub integration: IntegrationName,
    /// Connections by status.
    pub connections: StatusCounts,
    /// How many access tokens end within each of the spans that were asked for.
    pub expiring: Vec<u64>,
    /// Refreshes by hour and class, oldest first.
    pub outcomes: Vec<OutcomeNumber>,
}

/// Refreshes that ended in one way in one hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeNumber {
    /// The hour's beginning.
    pub hour: Timestamp,
    /// The class, in its word.
    pub class: String,
    /// How many.
    pub count: u64,
}

impl Store {
    /// Each integration of `scope` (none: all) in numbers: tokens that end between `now` and each instant of `until`, and
    /// outcomes since `since`.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn numbers(
        &self,
        scope: Option<&BTreeSet<IntegrationName>>,
        until: Vec<Timestamp>,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<IntegrationNumbers>, StoreError> {
        let names = self.integrations().into_iter().map(|one| one.name.clone());
        let names: Vec<IntegrationName> = names.filter(|name| scope.is_none_or(|scope| scope.contains(name))).collect();
        self.read(move |sql, shared| {
            let mut all = Vec::with_capacity(names.len());
            for name in names {
                let expiring = until.iter().map(|until| ending(sql, &name, now, *until)).collect::<Result<_, _>>()?;
                let outcomes = outcomes(sql, &name, since)?;
                let connections = shared.counts().get(&name).copied().unwrap_or_default();
                all.push(IntegrationNumbers { integration: name, connections, expiring, outcomes });
            }
            Ok(all)
        })
        .await
    }
}

fn ending(sql: &Sql<'_>, name: &IntegrationName, now: Timestamp, until: Timestamp) -> Result<u64, StoreError> {
    let text = "SELECT COUNT(*) FROM lives WHERE integration = ?1 AND next_at IS NOT NULL AND expires_at > ?2 \
                AND expires_at <= ?3";
    Ok(sql.one(text, values![name, now, until], |row| row.count(0))?.unwrap_or(0))
}

fn outcomes(sql: &Sql<'_>, name: &IntegrationName, since: Timestamp) -> Result<Vec<OutcomeNumber>, StoreError> {
    let text = "SELECT hour, class, count FROM outcomes WHERE integration = ?1 AND hour >= ?2 ORDER BY hour, class";
    sql.all(text, values![name, since], |row| {
        Ok(OutcomeNumber { hour: row.time(0)?, class: row.text(1)?, count: row.count(2)? })
    })
}
