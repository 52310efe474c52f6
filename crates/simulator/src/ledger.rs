//! What a simulated provider knows: accounts, families of grants, each token with its state. The only truth about what
//! lives, kept apart from everything that the service believes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use evergrant_core::provider::ReplayKind;
use evergrant_core::time::Timestamp;

use crate::plan::SitePlan;
use crate::rng::Rng;

/// Tokens of a family that are remembered after they have ended.
const REMEMBERED: usize = 8;

/// One consent of one account, with all that came of it.
#[derive(Debug)]
struct Family {
    account: u32,
    dead: bool,
    refreshes: VecDeque<String>,
    accesses: VecDeque<String>,
}

/// A refresh token.
#[derive(Debug)]
pub struct Refresh {
    /// Of which consent.
    pub family: usize,
    state: State,
    used_at: Timestamp,
    /// Sendings of it of which no answer is in the journal.
    pub unanswered: u32,
    /// Whether a process was killed while it was good: perhaps just before a sending that was written down already.
    pub doubted: bool,
    /// How often the provider called it dead.
    pub called_dead: u32,
    /// How often the provider refused without saying why.
    pub refused: u32,
}

#[derive(Debug)]
enum State {
    Live,
    Rotated { at: Timestamp, next: String, access: String, answered: Option<(usize, Timestamp)> },
}

/// An access token.
#[derive(Debug)]
pub struct Access {
    /// Of which consent.
    pub family: usize,
    /// When it ends.
    pub ends: Timestamp,
    /// Whether its provider told another end.
    pub lied: bool,
    revoked: bool,
    used: bool,
}

/// A pair.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The access token.
    pub access: String,
    /// The refresh token; none where the old one stays and the answer leaves it out.
    pub refresh: Option<String>,
}

/// What comes of presenting a refresh token.
#[derive(Debug)]
pub enum Presented {
    /// These.
    Pair(Pair),
    /// It is dead.
    Dead,
}

/// The books of one provider.
#[derive(Debug)]
pub struct Ledger {
    site: usize,
    kind: ReplayKind,
    window: Duration,
    life: Duration,
    idle: Option<Duration>,
    rng: Rng,
    families: Vec<Family>,
    refreshes: BTreeMap<String, Refresh>,
    accesses: BTreeMap<String, Access>,
    made: u64,
}

impl Ledger {
    /// Empty books.
    pub fn new(site: usize, plan: &SitePlan, rng: Rng) -> Self {
        Ledger {
            site,
            kind: plan.replay,
            window: plan.window,
            life: plan.life,
            idle: plan.idle,
            rng,
            families: Vec::new(),
            refreshes: BTreeMap::new(),
            accesses: BTreeMap::new(),
            made: 0,
        }
    }

    /// A person consents: a new family.
    pub fn consent(&mut self, account: u32, now: Timestamp) -> (usize, Pair) {
        let family = self.families.len();
        let (refreshes, accesses) = (VecDeque::new(), VecDeque::new());
        self.families.push(Family { account, dead: false, refreshes, accesses });
        let refresh = self.mint_refresh(family, now);
        let access = self.mint_access(family, now);
        (family, Pair { access, refresh: Some(refresh) })
    }

    /// A person takes consent back: nothing of the account lives any more.
    pub fn withdraw(&mut self, account: u32) {
        let families: Vec<usize> =
            (0..self.families.len()).filter(|family| self.families[*family].account == account).collect();
        families.into_iter().for_each(|family| self.kill(family));
    }

    /// A token is revoked: its family ends (RFC 7009 §2.1). True if it was known.
    pub fn revoke(&mut self, token: &str) -> bool {
        let family = self.refreshes.get(token).map(|one| one.family);
        let family = family.or_else(|| self.accesses.get(token).map(|one| one.family));
        if let Some(family) = family {
            self.kill(family);
        }
        family.is_some()
    }

    /// A refresh token comes in.
    pub fn present(&mut self, token: &str, now: Timestamp) -> Presented {
        let Some(refresh) = self.refreshes.get(token) else { return Presented::Dead };
        let family = refresh.family;
        if !self.lives(token, now) {
            if self.kind == ReplayKind::Family && matches!(refresh.state, State::Rotated { .. }) {
                self.kill(family);
            }
            return Presented::Dead;
        }
        match &refresh.state {
            State::Rotated { next, access, .. } if self.kind == ReplayKind::Idempotent => {
                Presented::Pair(Pair { access: access.clone(), refresh: Some(next.clone()) })
            }
            State::Rotated { next, access, .. } if self.kind == ReplayKind::Confirm => {
                // The unused pair gives way to another one.
                let (next, access) = (next.clone(), access.clone());
                self.refreshes.remove(&next);
                self.families[family].refreshes.retain(|one| *one != next);
                if let Some(access) = self.accesses.get_mut(&access) {
                    access.revoked = true;
                }
                Presented::Pair(self.rotate(token, now))
            }
            _ if self.kind == ReplayKind::None => {
                let access = self.mint_access(family, now);
                self.touch(token, now);
                let refresh = self.rng.chance(0.3).then(|| token.to_owned());
                Presented::Pair(Pair { access, refresh })
            }
            _ => Presented::Pair(self.rotate(token, now)),
        }
    }

    fn rotate(&mut self, token: &str, now: Timestamp) -> Pair {
        let family = self.refreshes[token].family;
        // The pair before has been used: whoever has this one has had an answer.
        let next = self.mint_refresh(family, now);
        let access = self.mint_access(family, now);
        if let Some(old) = self.refreshes.get_mut(token) {
            let at = match old.state {
                State::Rotated { at, .. } => at,
                State::Live => now,
            };
            old.state = State::Rotated { at, next: next.clone(), access: access.clone(), answered: None };
        }
        self.forget(family, now);
        Pair { access, refresh: Some(next) }
    }

    /// Whether a refresh token would be taken now.
    pub fn lives(&self, token: &str, now: Timestamp) -> bool {
        let Some(refresh) = self.refreshes.get(token) else { return false };
        let idle = self.idle.is_some_and(|idle| now.since(refresh.used_at) > idle);
        if self.families[refresh.family].dead || idle {
            return false;
        }
        match &refresh.state {
            State::Live => true,
            State::Rotated { at, next, access, .. } => match self.kind {
                ReplayKind::None => true,
                ReplayKind::Idempotent | ReplayKind::Overlap => now.since(*at) <= self.window,
                ReplayKind::Confirm => {
                    let unused = self.accesses.get(access).is_none_or(|access| !access.used);
                    let live = |next: &Refresh| matches!(next.state, State::Live);
                    unused && self.refreshes.get(next).is_some_and(live)
                }
                _ => false,
            },
        }
    }

    /// A process has what came of presenting `token`: the refresh token `next`.
    pub fn answered(&mut self, token: &str, given: &str, node: usize, now: Timestamp) {
        if let Some(Refresh { state: State::Rotated { next, answered, .. }, .. }) = self.refreshes.get_mut(token)
            && next == given
        {
            *answered = Some((node, now));
        }
    }

    /// Who has what came of a refresh token, and since when.
    pub fn kept(&self, token: &str) -> Option<(usize, Timestamp)> {
        match &self.refreshes.get(token)?.state {
            State::Rotated { answered, .. } => *answered,
            State::Live => None,
        }
    }

    /// Whether the refresh token was spent, and if so, whether a process has what came of it.
    pub fn spent(&self, token: &str) -> Option<bool> {
        match &self.refreshes.get(token)?.state {
            State::Rotated { answered, .. } => Some(answered.is_some()),
            State::Live => None,
        }
    }

    /// Whether nobody told the end of an access token, or another one.
    pub fn has_lied(&self, token: &str) -> bool {
        self.accesses.get(token).is_some_and(|access| access.lied)
    }

    /// Whether a refresh token of this consent was called dead.
    pub fn has_called_dead(&self, family: usize) -> bool {
        let mut all = self.families[family].refreshes.iter().filter_map(|token| self.refreshes.get(token));
        all.any(|refresh| refresh.called_dead > 0)
    }

    /// The application uses an access token: whether it is taken.
    pub fn used(&mut self, token: &str, now: Timestamp) -> bool {
        let Some(access) = self.accesses.get_mut(token) else { return false };
        let good = !access.revoked && access.ends > now && !self.families[access.family].dead;
        access.used |= good;
        good
    }

    /// What is known of a refresh token.
    pub fn refresh(&self, token: &str) -> Option<&Refresh> {
        self.refreshes.get(token)
    }

    /// The same, to be changed.
    pub fn refresh_mut(&mut self, token: &str) -> Option<&mut Refresh> {
        self.refreshes.get_mut(token)
    }

    /// What is known of an access token.
    pub fn access(&self, token: &str) -> Option<&Access> {
        self.accesses.get(token)
    }

    /// Nobody tells its end, or another one.
    pub fn lied(&mut self, token: &str) {
        if let Some(access) = self.accesses.get_mut(token) {
            access.lied = true;
        }
    }

    /// A process is killed: of no good token it is certain any more that it was not about to be sent.
    pub fn doubt(&mut self) {
        let good = self.refreshes.values_mut().filter(|refresh| matches!(refresh.state, State::Live));
        good.for_each(|refresh| refresh.doubted = true);
    }

    fn kill(&mut self, family: usize) {
        self.families[family].dead = true;
    }

    fn touch(&mut self, token: &str, now: Timestamp) {
        if let Some(refresh) = self.refreshes.get_mut(token) {
            refresh.used_at = now;
        }
    }

    fn mint_refresh(&mut self, family: usize, now: Timestamp) -> String {
        self.made += 1;
        let token = format!("rt.{}.{}.{}.{}", self.site, self.families[family].account, family, self.made);
        let refresh = Refresh {
            family,
            state: State::Live,
            used_at: now,
            unanswered: 0,
            doubted: false,
            called_dead: 0,
            refused: 0,
        };
        self.refreshes.insert(token.clone(), refresh);
        self.families[family].refreshes.push_back(token.clone());
        token
    }

    fn mint_access(&mut self, family: usize, now: Timestamp) -> String {
        self.made += 1;
        let token = format!("at.{}.{}.{}.{}", self.site, self.families[family].account, family, self.made);
        let access = Access { family, ends: now.plus(self.life), lied: false, revoked: false, used: false };
        self.accesses.insert(token.clone(), access);
        self.families[family].accesses.push_back(token.clone());
        if self.families[family].accesses.len() > 4 * REMEMBERED
            && let Some(old) = self.families[family].accesses.pop_front()
        {
            self.accesses.remove(&old);
        }
        token
    }

    fn forget(&mut self, family: usize, now: Timestamp) {
        while self.families[family].refreshes.len() > REMEMBERED {
            let Some(oldest) = self.families[family].refreshes.front().cloned() else { return };
            let done =
                matches!(&self.refreshes[&oldest].state, State::Rotated { at, .. } if now.since(*at) > 2 * self.window);
            if !done {
                return;
            }
            self.refreshes.remove(&oldest);
            self.families[family].refreshes.pop_front();
        }
    }
}
