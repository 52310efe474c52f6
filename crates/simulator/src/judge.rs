//! Checks the promises against the books of the simulated providers, which the service never sees.

use evergrant_core::connection::{ReauthReason, Status};
use evergrant_core::grant::Grant;
use evergrant_core::id::ConnectionId;
use evergrant_core::schedule::Freshness;
use evergrant_core::time::Timestamp;
use evergrant_store::TokenRecord;
use serde_json::Value;

use crate::world::World;

/// Names of tokens that are remembered of a connection.
const REMEMBERED: usize = 64;

/// What the judge knows of a connection.
#[derive(Debug, Default)]
pub struct Known {
    /// At which provider.
    pub site: usize,
    /// Its id, once it is there.
    pub id: Option<ConnectionId>,
    /// The consent that it holds by the service's word.
    pub holds: Option<usize>,
    /// Consents that were given to the service, which has not said that it took them.
    pub offered: Vec<usize>,
    /// Names of access tokens that were seen committed.
    committed: Vec<String>,
    /// Whether the lifetime of what it holds is known.
    lifetime: bool,
    generation: i64,
    fence: i64,
    /// When the service said that it is ended, if it did.
    pub ended: Option<Timestamp>,
    /// Something that changes it is under way, at this process.
    pub busy: Option<usize>,
    /// A person will agree again.
    pub reconnecting: bool,
    /// The number in its metadata by the service's word, and numbers of which it has said nothing.
    pub edits: (u64, Vec<u64>),
}

/// The judge.
#[derive(Debug, Default)]
pub struct Judge {
    /// What is broken.
    pub broken: Vec<String>,
    /// Something has been written since the last look.
    pub wrote: bool,
    /// The connections.
    pub known: Vec<Known>,
    /// The database, read from outside.
    pub raw: Option<rusqlite::Connection>,
    /// How many tokens were handed out.
    pub handed: u64,
    /// Grants that ended with an answer that never came.
    pub lost_on_the_way: u64,
}

impl Known {
    /// Nothing is known yet.
    pub fn at(site: usize) -> Self {
        Known { site, ..Known::default() }
    }
}

impl Judge {
    /// Which connection this is.
    pub fn which(&self, id: &ConnectionId) -> Option<usize> {
        self.known.iter().position(|known| known.id.as_ref() == Some(id))
    }
}

/// The account in a token of the simulated providers.
pub fn account(token: &str) -> Option<(usize, usize)> {
    let mut parts = token.split('.').skip(1);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// A token that was handed out.
#[derive(Debug)]
pub struct Handed {
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// It.
    pub token: String,
    /// Its name.
    pub token_id: String,
    /// How fresh it is by the service's word.
    pub freshness: Freshness,
}

impl World {
    /// A token is handed out.
    pub fn handed(&mut self, at: usize, handed: &Handed) {
        self.judge.handed += 1;
        let site = self.judge.known[at].site;
        if account(&handed.token) != Some((site, at)) {
            self.broken(format_args!("crossed: connection {at} was handed {}", handed.token));
        }
        let ended = self.judge.known[at].ended;
        if ended.is_some_and(|ended| ended < handed.asked_at) {
            self.broken(format_args!("connection {at} was ended, and a token of it was handed out"));
        }
        let fresh = matches!(handed.freshness, Freshness::Valid | Freshness::ExpiringSoon);
        let access = self.sites[site].ledger.access(&handed.token);
        let over = access.is_some_and(|access| access.ends <= self.now && !access.lied);
        if fresh && over {
            self.broken(format_args!(
                "connection {at} was handed {}, which has ended, as {:?}",
                handed.token, handed.freshness
            ));
        }
        let known = self.judge.known[at].committed.contains(&handed.token_id);
        if !known && self.stored_token(at).as_deref() != Some(handed.token_id.as_str()) {
            self.broken(format_args!("connection {at} was handed {} before it was stored", handed.token));
        }
    }

    /// An answer broke off before the lifetime: where none was known before, nobody knows when the token ends.
    pub fn lifetime_is_cut_off(&mut self, site: usize, access: &str) {
        let known = account(access).and_then(|(_, at)| self.judge.known.get(at));
        if known.is_some_and(|known| !known.lifetime) {
            self.sites[site].ledger.lied(access);
        }
    }

    /// The name of the stored access token, read from outside.
    fn stored_token(&self, at: usize) -> Option<String> {
        let (raw, id) = (self.judge.raw.as_ref()?, self.judge.known[at].id.as_ref()?);
        let mut statement = raw.prepare_cached("SELECT life FROM lives WHERE connection_id = ?1").ok()?;
        let life: String = statement.query_row([id.as_str()], |row| row.get(0)).ok()?;
        let life: Value = serde_json::from_str(&life).ok()?;
        life.get("grant")?.get("token_id")?.as_str().map(str::to_owned)
    }

    /// Generations and fences only grow.
    pub fn look_at_numbers(&mut self) {
        let mut found = Vec::new();
        if let Some(raw) = &self.judge.raw
            && let Ok(mut statement) = raw.prepare_cached("SELECT connection_id, generation, fence FROM lives")
            && let Ok(mut rows) = statement.query([])
        {
            while let Ok(Some(row)) = rows.next() {
                let (Ok(id), Ok(generation), Ok(fence)) = (row.get::<_, String>(0), row.get(1), row.get(2)) else {
                    continue;
                };
                found.push((id, generation, fence));
            }
        }
        for (id, generation, fence) in found {
            let at =
                self.judge.known.iter().position(|known| known.id.as_ref().is_some_and(|known| known.as_str() == id));
            let Some(at) = at else { continue };
            let known = &mut self.judge.known[at];
            let back =
                (generation < known.generation || fence < known.fence).then_some((known.generation, known.fence));
            (known.generation, known.fence) = (generation, fence);
            if let Some(before) = back {
                self.broken(format_args!(
                    "connection {at}: generation and fence went from {before:?} to {:?}",
                    (generation, fence)
                ));
            }
        }
    }

    /// A connection has changed: what is stored of it now.
    pub fn look_at(&mut self, at: usize, record: &TokenRecord, grant: Option<&Grant>) {
        let life = &record.connection.life;
        let Some(facts) = &life.grant else { return };
        let known = &mut self.judge.known[at];
        if !known.committed.contains(&facts.token_id) {
            known.committed.push(facts.token_id.clone());
            if known.committed.len() > REMEMBERED {
                known.committed.remove(0);
            }
        }
        let site = known.site;
        let refresh = grant.and_then(|grant| grant.refresh_token.as_ref()).map(|token| token.expose().to_owned());
        let access = grant.and_then(|grant| grant.access_token.as_ref()).map(|token| token.expose().to_owned());
        let lied = access.as_ref().is_some_and(|access| self.sites[site].ledger.has_lied(access));
        self.judge.known[at].lifetime = facts.lifetime_millis.is_some() && !lied;
        for token in [&refresh, &access].into_iter().flatten() {
            if account(token) != Some((site, at)) {
                self.broken(format_args!("crossed: connection {at} holds {token}"));
            }
        }
        let Some(refresh) = refresh else {
            self.broken(format_args!("lost: connection {at} holds no refresh token any more"));
            return;
        };
        self.look_at_family(at, &refresh);
        if let Status::NeedsReauth { reason, .. } = life.status {
            self.look_at_verdict(at, &refresh, reason);
        }
    }

    /// What is held is what was given last: nothing older has come back.
    fn look_at_family(&mut self, at: usize, refresh: &str) {
        let site = self.judge.known[at].site;
        let Some(family) = refresh.split('.').nth(3).and_then(|family| family.parse::<usize>().ok()) else { return };
        let known = &mut self.judge.known[at];
        if known.holds == Some(family) {
            return;
        }
        match known.offered.iter().position(|offered| *offered == family) {
            Some(place) => {
                known.offered.drain(..=place);
                known.holds = Some(family);
            }
            // What lost a race against that consent is tried once, as a spare, before a verdict.
            None if known.holds.is_some_and(|holds| self.sites[site].ledger.has_called_dead(holds)) => {
                known.holds = Some(family);
            }
            None => {
                let holds = known.holds;
                self.broken(format_args!(
                    "connection {at} at site {site} holds {refresh}, of an older consent than {holds:?}"
                ));
            }
        }
    }

    /// A subject is told to reconnect: the grant must be dead, and the reason the right one.
    fn look_at_verdict(&mut self, at: usize, refresh: &str, reason: ReauthReason) {
        let site = self.judge.known[at].site;
        let ledger = &self.sites[site].ledger;
        let lives = ledger.lives(refresh, self.now);
        let Some(known) = ledger.refresh(refresh) else { return };
        let (unanswered, called_dead, refused) = (known.unanswered, known.called_dead, known.refused);
        let doubted = known.doubted;
        let many = self.nodes.len() > 1;
        // With several processes one may have been overtaken while it was stopped: then nobody could know.
        let spent = ledger.spent(refresh).filter(|_| !many);
        let wrong = match reason {
            ReauthReason::RefreshTokenInvalid => called_dead == 0 || lives,
            ReauthReason::RefreshOutcomeLost => called_dead == 0 || lives || (unanswered == 0 && !doubted && !many),
            ReauthReason::AuthRejected => refused < 3,
            ReauthReason::NoRefreshToken => true,
        };
        if wrong {
            self.broken(format_args!(
                "false alarm: connection {at} must reconnect ({reason}); lives {lives}, unanswered {unanswered}, \
                 called dead {called_dead}, refused {refused}: {refresh}"
            ));
        }
        if spent == Some(true) {
            self.broken(format_args!(
                "lost: connection {at} must reconnect, and what came for {refresh} had been kept"
            ));
        }
        if spent == Some(false) && reason == ReauthReason::RefreshTokenInvalid && called_dead > 0 {
            self.broken(format_args!("wrong words: {refresh} was spent without an answer and is called {reason}"));
        }
        if reason == ReauthReason::RefreshOutcomeLost {
            self.judge.lost_on_the_way += 1;
        }
    }
}
