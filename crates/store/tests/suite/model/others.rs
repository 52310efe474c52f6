//! Revocations, notices, preferences, idempotent answers, jobs, API keys, and what is thrown away.

use std::time::Duration;

use evergrant_core::id::JobId;
use evergrant_store::{ApiKey, Idempotent, JobState, KeyAdded, NoticeFilter, Report, Retention};
use serde_json::json;
use zeroize::Zeroizing;

use super::super::support::*;
use super::known::KnownKey;
use super::run::{Held, World, same, subject_of};

const CLAIM: Duration = Duration::from_secs(60);

impl World {
    pub fn claim_revocations(&mut self, limit: usize) -> Held {
        let taken = self.wait(self.store.claim_revocations(self.now, CLAIM, limit)).map_err(|e| e.to_string())?;
        let now = self.now;
        let mut due = self.known.revocations.iter().filter(|one| one.next_at <= now && one.claimed_until <= now).count();
        due = due.min(limit);
        same("how many revocations are due", taken.len(), due)?;
        for revocation in taken {
            let access = revocation.grant.access_token.as_ref().map(|token| token.expose().to_owned()).unwrap_or_default();
            let mark = access.trim_start_matches("access-token-");
            let known = self.known.revocations.iter_mut().find(|one| one.access == mark);
            let Some(known) = known else { return Err(format!("{mark} was not to be revoked")) };
            same("whether it was due", known.next_at <= now && known.claimed_until <= now, true)?;
            known.claimed_until = now.plus(CLAIM);
            known.id = Some(revocation.id);
        }
        Ok(())
    }

    fn revocation(&self, at: u8) -> Option<usize> {
        let handed_out: Vec<usize> =
            (0..self.known.revocations.len()).filter(|at| self.known.revocations[*at].id.is_some()).collect();
        handed_out.get(usize::from(at) % handed_out.len().max(1)).copied()
    }

    pub fn revocation_done(&mut self, at: u8) -> Held {
        let Some(at) = self.revocation(at) else { return Ok(()) };
        let Some(id) = self.known.revocations.remove(at).id else { return Ok(()) };
        same("a revocation is told", self.wait(self.store.revocation_done(&id)).map_err(|e| e.to_string())?, true)?;
        same("and again", self.wait(self.store.revocation_done(&id)).map_err(|e| e.to_string())?, false)
    }

    pub fn revocation_retry(&mut self, at: u8, later: u64) -> Held {
        let Some(at) = self.revocation(at) else { return Ok(()) };
        let next = self.now.plus(Duration::from_secs(later));
        let known = &mut self.known.revocations[at];
        (known.next_at, known.claimed_until) = (next, evergrant_core::time::Timestamp::default());
        let Some(id) = known.id.clone() else { return Ok(()) };
        same("it is tried again", self.wait(self.store.revocation_retry(&id, next)).map_err(|e| e.to_string())?, true)
    }

    pub fn read_notice(&mut self, subject: u8, at: u8, foreign: bool) -> Held {
        let filter = NoticeFilter { subject: Some(subject_of(subject)), integrations: None, unread: false };
        let all = self.wait(self.store.notices(filter, None, 100)).map_err(|e| e.to_string())?.items;
        let Some(notice) = all.get(usize::from(at) % all.len().max(1)) else { return Ok(()) };
        let reader = subject_of((subject + u8::from(foreign)) % 3);
        let read = self.wait(self.store.mark_notice_read(Some(&reader), &notice.id, self.now)).map_err(|e| e.to_string())?;
        same("whether it is for him", read.is_some(), !foreign)?;
        for known in self.known.notices.iter_mut().filter(|one| Some(&one.connection) == notice.connection.as_ref()) {
            known.read |= !foreign;
        }
        Ok(())
    }

    pub fn prefer(&mut self, subject: u8, value: u8) -> Held {
        self.known.preferences.insert(subject, value);
        self.wait(self.store.put_preferences(&subject_of(subject), json!(value), self.now)).map_err(|e| e.to_string())
    }

    fn caller(&self) -> String {
        format!("caller-{}", self.round)
    }

    pub fn begin(&mut self, key: u8, hash: u8) -> Held {
        let expires_at = self.now.plus(Duration::from_secs(3600));
        let (caller, name) = (self.caller(), format!("k{key}"));
        let began = self.store.begin_idempotent(&caller, &name, [hash; 32], self.now, expires_at);
        let began = self.wait(began).map_err(|e| e.to_string())?;
        let now = self.now;
        let known = self.known.keys.get(&key).filter(|known| known.expires_at > now);
        let expected = match known {
            None => Idempotent::New,
            Some(known) if known.hash != hash => Idempotent::OtherRequest,
            Some(KnownKey { answer: Some(answer), .. }) => Idempotent::Replay(Zeroizing::new(answer.clone())),
            Some(_) => Idempotent::UnderWay,
        };
        same("whether the answers are the same", began == expected, true)?;
        if began == Idempotent::New {
            self.known.keys.insert(key, KnownKey { hash, answer: None, expires_at });
        }
        Ok(())
    }

    pub fn finish(&mut self, key: u8) -> Held {
        let mark = self.mark().into_bytes();
        let (caller, now) = (self.caller(), self.now);
        let known = self.known.keys.get_mut(&key).filter(|known| known.answer.is_none() && known.expires_at > now);
        let Some(known) = known else { return Ok(()) };
        known.answer = Some(mark.clone());
        let done = self.wait(self.store.finish_idempotent(&caller, &format!("k{key}"), Zeroizing::new(mark)));
        done.map_err(|e| e.to_string())
    }

    pub fn forget_key(&mut self, key: u8) -> Held {
        if self.known.keys.get(&key).is_some_and(|known| known.answer.is_none()) {
            self.known.keys.remove(&key);
        }
        let done = self.wait(self.store.forget_idempotent(&self.caller(), &format!("k{key}")));
        done.map_err(|e| e.to_string())
    }

    pub fn create_job(&mut self) -> Held {
        let id = JobId::make(self.now, random());
        let made = self.store.create_job(id.clone(), json!({ "done": 0 }), Report::default(), self.now);
        same("the job", self.wait(made).map_err(|e| e.to_string())?.state, JobState::Running)?;
        self.known.jobs.push((id, JobState::Running, 0));
        Ok(())
    }

    pub fn update_job(&mut self, at: u8, done: bool) -> Held {
        let count = self.known.jobs.len().max(1);
        let Some((id, state, progress)) = self.known.jobs.get_mut(usize::from(at) % count) else { return Ok(()) };
        let runs = *state == JobState::Running;
        let (id, next) = (id.clone(), *progress + 1);
        if runs {
            *progress = next;
            *state = if done { JobState::Finished } else { JobState::Running };
        }
        let finished = done.then_some(self.now);
        let updated = self.wait(self.store.update_job(&id, json!({ "done": next }), finished));
        same("whether the job runs", updated.map_err(|e| e.to_string())?, runs)
    }

    pub fn api_key_id(&self, number: u8) -> String {
        format!("k{}x{number}", self.round)
    }

    pub fn add_api_key(&mut self, number: u8) -> Held {
        let key = ApiKey {
            id: self.api_key_id(number),
            hash: [number; 32],
            environment: "live".to_owned(),
            name: None,
            permissions: vec!["admin".to_owned()],
            integrations: None,
            created_at: self.now,
            expires_at: None,
            revoked_at: None,
        };
        let added = self.wait(self.store.add_api_key(key, None)).map_err(|e| e.to_string())?;
        let is_new = !self.known.api_keys.contains_key(&number);
        same("adding a key", added, if is_new { KeyAdded::Added } else { KeyAdded::IdTaken })?;
        self.known.api_keys.entry(number).or_insert(true);
        Ok(())
    }

    pub fn revoke_api_key(&mut self, number: u8) -> Held {
        let id = self.api_key_id(number);
        let revoked = self.wait(self.store.revoke_api_key(&id, None, self.now)).map_err(|e| e.to_string())?;
        let known = self.known.api_keys.get_mut(&number);
        same("whether there is such a key", revoked.is_some(), known.is_some())?;
        known.into_iter().for_each(|valid| *valid = false);
        let found = self.store.api_key(&id).map(|key| key.revoked_at.is_some());
        same("whether it is revoked in memory", found.unwrap_or(true), true)
    }

    /// Throws away what is old, and nothing of what is known here.
    pub fn clean_up(&mut self) -> Held {
        self.wait(self.store.clean_up(Retention::default(), self.now)).map_err(|e| e.to_string())?;
        let now = self.now;
        self.known.keys.retain(|_, key| key.expires_at > now);
        self.whole()
    }
}
