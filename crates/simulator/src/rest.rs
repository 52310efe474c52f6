//! At rest: nothing befalls anybody any more, and everything must have come right.

use std::time::Duration;

use evergrant_core::connection::Status;
use evergrant_core::lifetime::Expiry;
use evergrant_core::time::Timestamp;

use crate::run::Running;
use crate::world::{World, lock};

impl Running<'_> {
    /// What was due so long ago must have been done; no sending may be open.
    pub(crate) fn look_for_overdue(&mut self, patience: Duration) {
        let mut world = lock(&self.world);
        let now = world.now;
        let text = "SELECT connection_id FROM lives WHERE next_at < ?1 OR (attempt IS NOT NULL AND sending_at < ?1)";
        for id in world.ids(text, &[&now.minus(patience).as_millis()]) {
            world.broken(format_args!("not live: {id} was due, or its sending is open, since {patience:?}"));
        }
        let text = "SELECT connection_id FROM notices WHERE connection_id IS NOT NULL GROUP BY about, kind HAVING COUNT(*) > 1";
        for id in world.ids(text, &[]) {
            world.broken(format_args!("told twice: {id}"));
        }
    }

    /// The verdict for each connection.
    pub(crate) fn rest(&mut self) {
        let Some(node) = self.nodes.iter().flatten().next() else {
            lock(&self.world).broken(format_args!("not live: the process does not stay up"));
            return;
        };
        let connections = lock(&self.world).judge.known.len();
        for at in 0..connections {
            let Some(id) = lock(&self.world).judge.known[at].id.clone() else { continue };
            let store = &node.service.store;
            let Ok(Some(record)) = node.look(store.token_record(&id, true)) else { continue };
            let grant = store.open_grant(&record).ok().flatten().map(evergrant_store::Durable::into_inner);
            let mut world = lock(&self.world);
            world.look_at(at, &record, grant.as_ref());
            let connection = &record.connection;
            world.look_at_metadata(at, connection.metadata.get("n").and_then(serde_json::Value::as_u64));
            let Some(grant) = grant else { continue };
            let Some(refresh) = grant.refresh_token else { continue };
            let (site, now) = (world.judge.known[at].site, world.now);
            let lives = world.sites[site].ledger.lives(refresh.expose(), now);
            match &connection.life.status {
                // By its provider's word, its access token lives for long; nothing has to be found out before its end.
                Status::Connected
                    if grant.access_token.is_some_and(|token| world.sites[site].ledger.has_lied(token.expose())) => {}
                Status::Connected => {
                    let ends = connection.life.grant.as_ref().map(|facts| facts.expiry);
                    if !lives {
                        let token = refresh.expose();
                        world.broken(format_args!("silence: connection {at} reads as connected, and {token} is dead"));
                    }
                    if matches!(ends, Some(Expiry::At { at }) if at < now.minus(Duration::from_secs(120))) {
                        world.broken(format_args!("not live: the access token of connection {at} ended at {ends:?}"));
                    }
                }
                Status::NeedsReauth { since, .. } => {
                    let text = "SELECT connection_id FROM notices WHERE connection_id = ?1 AND kind = 'disconnected' \
                                AND at >= ?2";
                    let told = world.ids(text, &[&id.as_str(), &since.as_millis()]).len();
                    if told != 1 {
                        let all = "SELECT kind || ' ' || about || ' at ' || at FROM notices WHERE connection_id = ?1";
                        let all = world.ids(all, &[&id.as_str()]);
                        world.broken(format_args!(
                            "silence: connection {at} must reconnect since {since}, and that was told {told} times: {all:?}"
                        ));
                    }
                }
                Status::Disconnected { .. } => {}
            }
        }
        let mut world = lock(&self.world);
        for id in world.ids("SELECT id FROM outbox", &[]) {
            world.broken(format_args!("not live: {id} lies in the outbox"));
        }
    }
}

impl World {
    fn ids(&self, text: &str, values: &[&dyn rusqlite::ToSql]) -> Vec<String> {
        let Some(raw) = &self.judge.raw else { return Vec::new() };
        let Ok(mut statement) = raw.prepare_cached(text) else { return Vec::new() };
        let rows = statement.query_map(values, |row| row.get(0));
        rows.map(|rows| rows.flatten().collect()).unwrap_or_default()
    }

    /// When the database says that something is to be done next.
    pub(crate) fn due_at(&self) -> Option<Timestamp> {
        let text = "SELECT MIN(at) FROM (SELECT MIN(CASE WHEN attempt IS NULL THEN next_at ELSE 0 END) AS at FROM lives \
                    UNION ALL SELECT MIN(next_at) FROM outbox)";
        let raw = self.judge.raw.as_ref()?;
        let at: Option<i64> = raw.prepare_cached(text).ok()?.query_row([], |row| row.get(0)).ok()?;
        at.map(Timestamp::from_millis)
    }

    /// What the application wrote and was told to be stored has not been overwritten.
    fn look_at_metadata(&mut self, at: usize, found: Option<u64>) {
        let (told, untold) = &self.judge.known[at].edits;
        let right = found.is_some_and(|found| found == *told || untold.contains(&found));
        if !right {
            let told = *told;
            self.broken(format_args!("overwritten: connection {at} has the number {found:?} and not {told}"));
        }
    }
}
