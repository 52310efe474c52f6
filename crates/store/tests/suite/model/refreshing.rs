//! Leases, sendings, answers and verdicts.

use std::time::Duration;

use evergrant_core::connection::{Life, ReauthReason, Status};
use evergrant_core::id::{AttemptId, ConnectionId};
use evergrant_core::lifetime::Expiry;
use evergrant_core::notice::NoticeKind;
use evergrant_core::outcome::Class;
use evergrant_store::NewNotice;
use evergrant_store::refresh::{
    AttemptOutcome, AttemptResult, Claim, Committed, Forced, Gate, Leased, RefreshedFrom, SuccessCommit, VerdictCommit,
    VerdictCommitted,
};

use super::super::support::*;
use super::known::{CONNECTED, KnownLease, KnownNotice, NEEDS_REAUTH};
use super::run::{Held, World, integration_name, same};

const INTERVAL: Duration = Duration::from_secs(60);

impl World {
    pub fn claim(&mut self, at: u8) -> Held {
        let Some(id) = self.connection(at) else { return Ok(()) };
        let claim = self.wait(self.store.claim(&id, self.now, LEASE)).map_err(|e| e.to_string())?;
        let (now, known) = (self.now, self.known.get(&id).expect("it is there"));
        match claim {
            Claim::Gone => same("claiming it", known.is_alive(), false),
            Claim::Busy { until, .. } => same("claiming it", Some(until), known.leased_until.filter(|until| *until > now)),
            Claim::Leased(leased) => {
                same("claiming it", (known.is_alive(), known.is_leased(now)), (true, false))?;
                self.leased(*leased)
            }
        }
    }

    /// A lease was taken: it is as it should be, and kept.
    fn leased(&mut self, leased: Leased) -> Held {
        let now = self.now;
        let known = self.known.get(&leased.connection.id).ok_or("a lease of nothing")?;
        known.fence += 1;
        known.leased_until = Some(now.plus(LEASE));
        same("the fence", leased.fence, known.fence)?;
        same("the generation", leased.generation, known.generation)?;
        same("the end of the lease", leased.until, now.plus(LEASE))?;
        same("the spares", leased.spares, known.spares.len() as u64)?;
        let intent = leased.open_intent.as_ref().map(|intent| intent.attempt.clone());
        same("the open intent", intent, known.sending.clone())?;
        let refresh = leased.grant.as_ref().and_then(|grant| grant.refresh_token.as_ref());
        let refresh = refresh.map(|token| token.expose().to_owned());
        same("the refresh token", refresh, known.refresh.as_ref().map(|mark| format!("refresh-token-{mark}")))?;
        self.known.leases.push(KnownLease { leased, attempt: None });
        Ok(())
    }

    pub fn claim_due(&mut self, limit: usize, skip: u8) -> Held {
        let names: Vec<_> = (skip < 3).then(|| integration_name(skip)).into_iter().collect();
        let taken = self.wait(self.store.claim_due(self.now, LEASE, limit, &names)).map_err(|e| e.to_string())?;
        let due = self.known.due(self.now, Some(skip)).len();
        same("how many are claimed", taken.len(), due.min(limit))?;
        for leased in taken {
            let due = self.known.due(self.now, Some(skip));
            same("whether it was due", due.iter().any(|one| one.id == leased.connection.id), true)?;
            self.leased(leased)?;
        }
        Ok(())
    }

    fn lease(&self, at: u8) -> Option<usize> {
        // The latest are the likeliest to be alive.
        let count = self.known.leases.len();
        (count > 0).then(|| count - 1 - usize::from(at) % count)
    }

    pub fn renew(&mut self, at: u8) -> Held {
        let Some(at) = self.lease(at) else { return Ok(()) };
        let leased = &self.known.leases[at].leased;
        let renewed = self.wait(self.store.renew(leased, self.now, LEASE)).map_err(|e| e.to_string())?;
        let (id, fence, until) = (leased.connection.id.clone(), leased.fence, self.now.plus(LEASE));
        let known = self.known.get(&id).filter(|one| one.fence == fence && one.leased_until.is_some());
        same("renewing it", renewed, known.is_some())?;
        known.into_iter().for_each(|one| one.leased_until = Some(until));
        Ok(())
    }

    pub fn release(&mut self, at: u8, next: bool) -> Held {
        let Some(at) = self.lease(at) else { return Ok(()) };
        let leased = self.known.leases.remove(at).leased;
        let next = next.then(|| self.now.plus(Duration::from_secs(30)));
        let (id, fence, generation) = (leased.connection.id.clone(), leased.fence, leased.generation);
        self.wait(self.store.release(leased, next)).map_err(|e| e.to_string())?;
        if let Some(known) = self.known.get(&id).filter(|one| one.fence == fence) {
            known.leased_until = None;
            if known.generation == generation {
                known.next_at = next;
            }
        }
        self.look(&id)?;
        self.due()
    }

    pub fn sending(&mut self, at: u8, again: bool) -> Held {
        let Some(at) = self.lease(at) else { return Ok(()) };
        let lease = &self.known.leases[at];
        let attempt = lease.attempt.clone().filter(|_| again).unwrap_or_else(attempt);
        let (id, fence, generation) = (lease.leased.connection.id.clone(), lease.leased.fence, lease.leased.generation);
        let gate = self.wait(self.store.mark_sending(&lease.leased, &attempt, self.now, LEASE)).map_err(|e| e.to_string())?;
        let (now, known) = (self.now, self.known.get(&id));
        let expected = match &known {
            Some(one) if one.is_alive() && one.generation == generation => {
                if one.fence == fence && one.is_leased(now) { Gate::Open } else { Gate::FenceLost }
            }
            _ => Gate::GrantChanged,
        };
        same("marking a sending", gate, expected)?;
        if let Some(known) = known.filter(|_| gate == Gate::Open) {
            known.sending = Some(attempt.clone());
            known.leased_until = known.leased_until.max(Some(now.plus(LEASE)));
            let integration = known.integration;
            self.known.begun.insert(attempt.clone(), integration);
            self.known.leases[at].attempt = Some(attempt);
        }
        Ok(())
    }

    fn commit(&mut self, attempt: &AttemptId, account: Option<u8>) -> SuccessCommit {
        let mark = self.mark();
        let expiry = Expiry::At { at: self.now.plus(Duration::from_secs(3600)) };
        SuccessCommit {
            life: Life::new(evergrant_core::grant::GrantFacts { expiry, ..facts() }),
            next_at: Some(self.now.plus(Duration::from_secs(3000))),
            account: account.map(|number| super::super::support::account(&format!("a{number}"))),
            ..success(attempt, &mark)
        }
    }

    pub fn success(&mut self, at: u8, account: Option<u8>, forget: bool) -> Held {
        let Some(at) = self.lease(at) else { return Ok(()) };
        let lease = &self.known.leases[at];
        let (from, fence) = (lease.leased.source(), lease.leased.fence);
        let attempt = self.unanswered(lease.attempt.as_ref());
        if forget {
            self.known.leases.remove(at);
        }
        let commit = self.commit(&attempt, account);
        self.bring(from, Some(fence), commit)
    }

    /// An attempt has one answer: one that has it is told again by [`World::repeat`] alone.
    fn unanswered(&self, known: Option<&AttemptId>) -> AttemptId {
        let answered = |attempt: &&AttemptId| self.known.attempts.get(attempt).is_some_and(|done| *done != AttemptResult::Verdict);
        known.filter(|attempt| !answered(attempt)).cloned().unwrap_or_else(attempt)
    }

    /// An answer from the journal, maybe of an earlier generation; maybe of the attempt that is under way.
    pub fn journalled(&mut self, at: u8, back: u8, known: bool) -> Held {
        let Some(id) = self.connection(at) else { return Ok(()) };
        let one = self.known.get(&id).expect("it is there");
        let generation = one.generation.saturating_sub(u64::from(back)).max(1);
        let sending = one.sending.clone().filter(|_| known);
        let commit = self.commit(&self.unanswered(sending.as_ref()), None);
        self.bring(RefreshedFrom::journalled(id, generation), None, commit)
    }

    /// A commit whose outcome its caller did not hear.
    pub fn repeat(&mut self, at: u8) -> Held {
        let count = self.known.commits.len();
        let Some((from, fence, commit)) = self.known.commits.get(usize::from(at) % count.max(1)).cloned() else {
            return Ok(());
        };
        self.bring(from, fence, commit)
    }

    fn bring(&mut self, from: RefreshedFrom, fence: Option<u64>, commit: SuccessCommit) -> Held {
        let committed = self.wait(self.store.commit_success(&from, commit.clone(), self.now)).map_err(|e| e.to_string())?;
        let id = from.connection.clone();
        let token = commit.grant.access_token.as_ref().map(|token| token.expose().to_owned()).unwrap_or_default();
        let mark = token.trim_start_matches("access-token-").to_owned();
        let found = match &committed {
            Committed::Stored { grant, .. } => {
                let stored = grant.access_token.as_ref().map(|token| token.expose().to_owned());
                same("the token that may be shown", stored, Some(token))?;
                AttemptResult::Stored
            }
            Committed::Superseded { .. } => AttemptResult::Superseded,
            Committed::Disconnected => AttemptResult::Disconnected,
        };
        let before = self.known.attempts.get(&commit.attempt).copied().filter(|done| *done != AttemptResult::Verdict);
        let known = self.known.connections.iter().find(|one| one.id == id);
        if let Some(before) = before {
            let expected = match (before, known) {
                (AttemptResult::Disconnected, _) | (_, None) => AttemptResult::Disconnected,
                // It was stored, and is still what is stored; or something newer is.
                (AttemptResult::Stored, Some(one)) if one.access.as_ref() == Some(&mark) => AttemptResult::Stored,
                _ => AttemptResult::Superseded,
            };
            same("repeating a commit", found, expected)?;
            return self.look(&id);
        }
        let expected = match known {
            Some(one) if one.is_alive() && one.generation == from.generation => AttemptResult::Stored,
            Some(one) if one.is_alive() => AttemptResult::Superseded,
            _ => AttemptResult::Disconnected,
        };
        same("committing it", found, expected)?;
        self.known.attempts.insert(commit.attempt.clone(), expected);
        self.known.commits.push((from, fence, commit.clone()));
        match expected {
            AttemptResult::Disconnected => {
                let integration = known.map(|one| one.integration);
                let integration = integration.or_else(|| self.known.begun.get(&commit.attempt).copied());
                if let Some(integration) = integration {
                    self.revoke(integration, mark, None, Duration::ZERO);
                }
            }
            AttemptResult::Superseded => {
                let known = self.known.get(&id).expect("it is there");
                known.spares.insert(commit.attempt);
                known.end_lease(fence);
            }
            _ => self.stored(&id, fence, &commit, mark),
        }
        self.look(&id)
    }

    fn stored(&mut self, id: &ConnectionId, fence: Option<u64>, commit: &SuccessCommit, mark: String) {
        let learnt = self.learnt(id, commit);
        let known = self.known.get(id).expect("it is there");
        known.generation += 1;
        known.version += 1;
        known.status = CONNECTED;
        known.refresh = Some(mark.clone());
        known.access = Some(mark);
        known.next_at = commit.next_at;
        known.expires_at = commit.life.grant.as_ref().and_then(|facts| facts.expiry.at());
        known.sending = None;
        known.end_lease(fence);
        known.account = known.account.or(learnt);
        known.events.push("connection.refreshed");
    }

    /// The account that an answer tells, where nobody has it yet.
    fn learnt(&self, id: &ConnectionId, commit: &SuccessCommit) -> Option<u8> {
        let told = commit.account.as_ref()?.id.as_str().trim_start_matches('a').parse().ok()?;
        let one = self.known.connections.iter().find(|one| one.id == *id)?;
        let shared = self.known.integrations.get(&one.integration).is_some_and(|one| one.shared);
        let has = |other: &&super::known::KnownConnection| {
            other.id != *id
                && other.integration == one.integration
                && other.account == Some(told)
                && (!shared || other.subject == one.subject)
        };
        self.known.connections.iter().find(has).is_none().then_some(told)
    }

    pub fn verdict(&mut self, at: u8, dead: bool, sent: bool) -> Held {
        let Some(at) = self.lease(at) else { return Ok(()) };
        let lease = &self.known.leases[at];
        let (id, fence, generation) = (lease.leased.connection.id.clone(), lease.leased.fence, lease.leased.generation);
        let attempt = lease.attempt.clone().filter(|_| sent);
        let mut life = lease.leased.connection.life.clone();
        let episode = now();
        if dead {
            life.status = Status::NeedsReauth { reason: ReauthReason::RefreshTokenInvalid, since: self.now };
        }
        let next_at = (!dead).then(|| self.now.plus(Duration::from_secs(300)));
        let outcome = attempt.clone().map(|attempt| AttemptOutcome {
            attempt,
            class: if dead { Class::InvalidGrant } else { Class::Unavailable },
            detail: "said".to_owned(),
        });
        let notices = if dead { vec![NewNotice::new(NoticeKind::Disconnected, episode)] } else { Vec::new() };
        let commit = VerdictCommit { outcome, life: life.clone(), next_at, notices, events: Vec::new() };
        let said = self.wait(self.store.commit_verdict(&lease.leased, commit, self.now)).map_err(|e| e.to_string())?;
        let found = match said {
            VerdictCommitted::Stored(_) => "stored",
            VerdictCommitted::FenceLost => "fence lost",
            VerdictCommitted::GrantChanged => "grant changed",
        };
        let before = attempt.as_ref().and_then(|attempt| self.known.attempts.get(attempt)).copied();
        let Some(known) = self.known.get(&id) else { return same("a verdict on nothing", found, "grant changed") };
        if known.fence != fence {
            same("a verdict without the lease", found, "fence lost")?;
            return self.look(&id);
        }
        if before == Some(AttemptResult::Verdict) {
            same("a verdict again", found, "stored")?;
            return self.look(&id);
        }
        if !known.is_alive() || known.generation != generation {
            known.leased_until = None;
            same("a verdict on another grant", found, "grant changed")?;
        } else {
            same("a verdict", found, "stored")?;
            known.status = if matches!(life.status, Status::NeedsReauth { .. }) { NEEDS_REAUTH } else { CONNECTED };
            known.version += 1;
            known.next_at = next_at;
            known.expires_at = life.grant.as_ref().and_then(|facts| facts.expiry.at());
            (known.leased_until, known.sending) = (None, None);
            let subject = known.subject;
            let told = self.known.notices.iter().any(|one| one.connection == id && one.episode == episode);
            if dead && !told {
                self.known.notices.push(KnownNotice { connection: id.clone(), subject, episode, read: false });
            }
        }
        if let Some(attempt) = attempt {
            self.known.attempts.insert(attempt, AttemptResult::Verdict);
        }
        self.look(&id)
    }

    pub fn force(&mut self, at: u8) -> Held {
        let Some(id) = self.connection(at) else { return Ok(()) };
        let forced = self.wait(self.store.force(&id, self.now, INTERVAL)).map_err(|e| e.to_string())?;
        let (now, known) = (self.now, self.known.get(&id).expect("it is there"));
        let expected = match known.forced_at {
            Some(at) if at.plus(INTERVAL) > now && at <= now => Forced::NotBefore(at.plus(INTERVAL)),
            _ => Forced::Yes,
        };
        if expected == Forced::Yes {
            known.forced_at = Some(now);
        }
        same("forcing it", forced, expected)?;
        self.look(&id)
    }

    pub fn drop_spare(&mut self, at: u8) -> Held {
        let Some(id) = self.connection(at) else { return Ok(()) };
        let spares = self.wait(self.store.spares(&id)).map_err(|e| e.to_string())?;
        let known = self.known.get(&id).expect("it is there");
        let found: std::collections::BTreeSet<_> = spares.iter().map(|spare| spare.id.clone()).collect();
        same("the spares", &found, &known.spares)?;
        let Some(spare) = spares.first() else { return Ok(()) };
        known.spares.remove(&spare.id);
        let dropped = self.wait(self.store.drop_spare(&spare.id)).map_err(|e| e.to_string())?;
        same("dropping a spare", dropped, true)
    }
}
