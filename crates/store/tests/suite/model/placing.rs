//! Integrations and connections: made, changed, ended.

use std::time::Duration;

use evergrant_core::connection::{Connection, LastUse, Life, UseOutcome};
use evergrant_core::id::ConnectionId;
use evergrant_core::integration::Health;
use evergrant_store::{
    ConnectionPatch, Decided, Ended, IntegrationAdded, IntegrationRemoved, IntegrationReplaced, NewEvent, NewGrantFor,
    Patched, Placed, Report, Target,
};

use super::super::support::*;
use super::known::{CONNECTED, DISCONNECTED, KnownConnection, KnownIntegration, KnownRevocation};
use super::run::{Held, World, integration_name, same, subject_of};

/// How long who ended a connection has to tell the provider himself.
const OWN_TRY: Duration = Duration::from_secs(60);

impl World {
    pub fn add(&mut self, number: u8, shared: bool) -> Held {
        let wanted = integration(&format!("i{number}"));
        let wanted = evergrant_core::integration::Integration { shared_accounts: shared, ..wanted };
        let added = self.wait(self.store.add_integration(wanted, Report::default())).map_err(|e| e.to_string())?;
        let is_new = !self.known.integrations.contains_key(&number);
        same("whether it was added", matches!(added, IntegrationAdded::Added(_)), is_new)?;
        if is_new {
            self.known.integrations.insert(number, KnownIntegration { shared, paused: false, version: 1, healthy: true });
        }
        Ok(())
    }

    pub fn replace(&mut self, number: u8, (shared, paused): (bool, bool), stale: bool) -> Held {
        let known = self.known.integrations.get_mut(&number);
        let version = known.as_ref().map_or(1, |one| one.version) + u64::from(stale);
        let wanted = evergrant_core::integration::Integration {
            shared_accounts: shared,
            paused,
            version,
            ..integration(&format!("i{number}"))
        };
        let expected = match known {
            None => "gone",
            Some(_) if stale => "stale",
            Some(known) => {
                *known = KnownIntegration { shared, paused, version: version + 1, healthy: true };
                "stored"
            }
        };
        let replaced = self.wait(self.store.replace_integration(wanted, Report::default(), self.now));
        let found = match replaced.map_err(|e| e.to_string())? {
            IntegrationReplaced::Stored(_) => "stored",
            IntegrationReplaced::Stale { .. } => "stale",
            IntegrationReplaced::Gone => "gone",
        };
        same("replacing it", found, expected)
    }

    pub fn remove(&mut self, number: u8) -> Held {
        let removed = self.wait(self.store.remove_integration(&integration_name(number), Report::default(), self.now));
        let living = self.known.counts(number).living();
        let expected = match self.known.integrations.contains_key(&number) {
            false => IntegrationRemoved::Gone,
            true if living > 0 => IntegrationRemoved::InUse { connections: living },
            true => IntegrationRemoved::Removed,
        };
        same("removing it", removed.map_err(|e| e.to_string())?, expected)?;
        if living == 0 {
            self.known.integrations.remove(&number);
            self.known.connections.retain(|one| one.integration != number);
            self.known.revocations.retain(|one| one.integration != number);
        }
        Ok(())
    }

    pub fn health(&mut self, number: u8, from_ok: bool) -> Held {
        let wrong = Health::Mending { since: now(), detail: "x".to_owned() };
        let (from, to) = if from_ok { (Health::Ok, wrong) } else { (wrong, Health::Ok) };
        let name = integration_name(number);
        let changed = self.store.change_health(&name, &from, to, Report::default(), self.now);
        let changed = self.wait(changed).map_err(|e| e.to_string())?;
        let known = self.known.integrations.get_mut(&number).filter(|one| one.healthy == from_ok);
        same("changing its health", changed, known.is_some())?;
        if let Some(known) = known {
            known.healthy = !from_ok;
        }
        Ok(())
    }

    fn new_grant(&mut self, number: u8, subject: u8, account: Option<u8>, refresh: bool) -> (String, NewGrantFor) {
        let mark = self.mark();
        let mut grant = grant(&mark);
        if !refresh {
            grant.refresh_token = None;
        }
        let account = account.map(|number| super::super::support::account(&format!("a{number}")));
        let new = new_grant(subject_of(subject).as_str(), &mark);
        (mark, NewGrantFor { integration: integration_name(number), account, grant, ..new })
    }

    pub fn import(&mut self, number: u8, subject: u8, account: Option<u8>, (refresh, keep): (bool, bool)) -> Held {
        let (mark, new) = self.new_grant(number, subject, account, refresh);
        let target = self.known.by_key(number, subject, account);
        self.place(new, target, account, (mark, refresh, keep))
    }

    pub fn reconnect(&mut self, at: u8, account: Option<u8>, other_subject: bool) -> Held {
        let Some(id) = self.connection(at) else { return Ok(()) };
        let Some(known) = self.known.get(&id).cloned() else { return Ok(()) };
        let subject = (known.subject + u8::from(other_subject)) % 3;
        let (mark, new) = self.new_grant(known.integration, subject, account, true);
        let new = NewGrantFor { target: Target::Connection(id.clone()), ..new };
        // The account may belong to another connection of the same subject by now.
        let mine = |one: &&KnownConnection| one.integration == known.integration && one.subject == known.subject;
        let elsewhere = self.known.connections.iter().filter(mine).any(|one| account.is_some() && one.account == account);
        let fits = match known.account {
            Some(_) => known.account == account,
            None => account.is_none() || !elsewhere,
        };
        if !self.known.integrations.contains_key(&known.integration) || other_subject || !fits {
            let placed = self.wait(self.store.create_or_replace(new, fresh, self.now)).map_err(|e| e.to_string())?;
            let refused = match placed {
                Placed::Gone => other_subject,
                Placed::OtherAccount => !fits,
                _ => false,
            };
            same("whether it is refused", refused, true)?;
            return self.look(&id);
        }
        self.place(new, Some(id), account, (mark, true, false))
    }

    /// Puts a grant where it belongs, and looks at it there.
    fn place(
        &mut self,
        new: NewGrantFor,
        target: Option<ConnectionId>,
        account: Option<u8>,
        (mark, refresh, keep): (String, bool, bool),
    ) -> Held {
        let number = (0..3).find(|number| integration_name(*number) == new.integration).unwrap_or_default();
        let subject = (0..3).find(|number| subject_of(*number) == new.subject).unwrap_or_default();
        let old = target.as_ref().and_then(|id| self.known.get(id)).cloned();
        let effective = account.or(old.as_ref().and_then(|one| one.account));
        // A grant that names no account says nothing new of one that is connected; a revival does.
        let asks = account.is_some() || old.as_ref().is_some_and(|one| !one.is_alive());
        let taken = asks && self.known.taken(number, effective, subject);
        let (expires, next) = (self.now.plus(Duration::from_secs(3600)), self.now.plus(Duration::from_secs(3000)));
        let decide = move |stored: Option<&Connection>, generation: u64| {
            let facts = evergrant_core::grant::GrantFacts {
                expiry: evergrant_core::lifetime::Expiry::At { at: expires },
                ..facts()
            };
            let kind = if stored.is_none() { "connection.connected" } else { "connection.reconnected" };
            assert!(generation > 0);
            let keep_refresh_token = keep && stored.is_some();
            let events = vec![NewEvent::new(kind)];
            Decided { life: Life::new(facts), next_at: Some(next), keep_refresh_token, notices: Vec::new(), events }
        };
        let placed = self.wait(self.store.create_or_replace(new, decide, self.now)).map_err(|e| e.to_string())?;
        if !self.known.integrations.contains_key(&number) {
            return same("without an integration", matches!(placed, Placed::NoIntegration), true);
        }
        if taken {
            same("whether the account is another subject's", matches!(placed, Placed::AccountTaken { .. }), true)?;
            return target.map_or(Ok(()), |id| self.look(&id));
        }
        let id = match (&placed, &target) {
            (Placed::Created(record), None) => record.connection.id.clone(),
            (Placed::Replaced(record), Some(target)) if record.connection.id == *target => target.clone(),
            _ => return Err(format!("placing it: the store says {placed:?}, promised is {target:?}")),
        };
        let kept = old.as_ref().filter(|_| keep && !refresh).and_then(|one| one.refresh.clone());
        let fresh = KnownConnection {
            id: id.clone(),
            integration: number,
            subject,
            account: effective,
            status: CONNECTED,
            generation: old.as_ref().map_or(1, |one| one.generation + 1),
            refresh: if refresh { Some(mark.clone()) } else { kept },
            access: Some(mark),
            label: old.as_ref().and_then(|one| one.label.clone()),
            version: old.as_ref().map_or(1, |one| one.version + 1),
            next_at: Some(next),
            expires_at: Some(expires),
            leased_until: old.as_ref().and_then(|one| one.leased_until),
            fence: old.as_ref().map_or(0, |one| one.fence),
            sending: None,
            forced_at: None,
            spares: std::collections::BTreeSet::new(),
            events: old.as_ref().map_or_else(Vec::new, |one| one.events.clone()),
        };
        let kind = if old.is_none() { "connection.connected" } else { "connection.reconnected" };
        self.known.connections.retain(|one| one.id != id);
        self.known.connections.push(fresh);
        self.known.get(&id).into_iter().for_each(|one| one.events.push(kind));
        self.look(&id)
    }

    pub fn disconnect(&mut self, at: u8, revoke: bool) -> Held {
        let Some(id) = self.connection(at) else { return Ok(()) };
        let Some(known) = self.known.get(&id).cloned() else { return Ok(()) };
        let same_account = |one: &&KnownConnection| {
            one.id != id && one.integration == known.integration && one.account == known.account && one.is_alive()
        };
        let others = self.known.connections.iter().filter(same_account).count() as u64;
        let others = if known.account.is_some() { others } else { 0 };
        let (told, mut asked) = tokio::sync::oneshot::channel();
        let decide = move |connection: &Connection, others: u64| {
            let _ = told.send(others);
            ended(revoke)(connection, others)
        };
        let done = self.wait(self.store.disconnect(&id, decide, None, self.now)).map_err(|e| e.to_string())?;
        if !known.is_alive() {
            same("ending it again", matches!(done, Ended::Before(_)), true)?;
            return self.look(&id);
        }
        same("how many others live", asked.try_recv().ok(), Some(others))?;
        let Ended::Now(now) = done else { return Err(format!("ending it: the store says {done:?}")) };
        same("whether it is to be revoked", now.revocation.is_some(), revoke && known.access.is_some())?;
        if let (Some(id), Some(access)) = (now.revocation, known.access.clone()) {
            self.revoke(known.integration, access, Some(id), OWN_TRY);
        }
        let one = self.known.get(&id).expect("it was there");
        one.status = DISCONNECTED;
        one.generation += 1;
        one.version += 1;
        (one.access, one.refresh, one.next_at, one.expires_at) = (None, None, None, None);
        (one.leased_until, one.sending) = (None, None);
        one.spares.clear();
        self.look(&id)
    }

    /// Something is to be revoked from now on.
    pub fn revoke(&mut self, integration: u8, access: String, id: Option<evergrant_store::OutboxId>, own_try: Duration) {
        let claimed_until = self.now.plus(own_try);
        let one = KnownRevocation { access, integration, next_at: self.now, claimed_until, id };
        self.known.revocations.push(one);
    }

    pub fn erase(&mut self, subject: u8, revoke: bool) -> Held {
        let person = subject_of(subject);
        let done = self.store.erase_subject(&person, move |_, _| revoke, None, self.now);
        let done = self.wait(done).map_err(|e| e.to_string())?;
        let (mine, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.known.connections).into_iter().partition(|one| one.subject == subject);
        self.known.connections = rest;
        same("how many are erased", done.connections, mine.len() as u64)?;
        let tokens: Vec<String> = mine.iter().filter(|_| revoke).filter_map(|one| one.access.clone()).collect();
        same("how many are to be revoked", done.revocations.len(), tokens.len())?;
        for revocation in done.revocations {
            let access = revocation.grant.access_token.as_ref().map(|token| token.expose().to_owned()).unwrap_or_default();
            let mark = access.trim_start_matches("access-token-").to_owned();
            let one = mine.iter().find(|one| one.access.as_ref() == Some(&mark));
            let Some(one) = one else { return Err("a token that nobody knows is revoked".to_owned()) };
            self.revoke(one.integration, mark, Some(revocation.id), OWN_TRY);
        }
        self.known.notices.retain(|one| one.subject != subject);
        self.known.preferences.remove(&subject);
        for one in &mine {
            self.look(&one.id)?;
        }
        Ok(())
    }

    pub fn patch(&mut self, at: u8, label: Option<u8>, stale: bool) -> Held {
        let Some(id) = self.connection(at) else { return Ok(()) };
        let now = self.now;
        let known = self.known.get(&id).expect("it is there");
        let label = label.map(|label| format!("l{label}"));
        let patch = ConnectionPatch { label: Some(label.clone()), metadata: None };
        let version = known.version + u64::from(stale);
        if !stale {
            known.label = label;
            known.version += 1;
        }
        let patched = self.wait(self.store.patch_connection(&id, Some(version), patch, Report::default(), now));
        let is_stale = matches!(patched.map_err(|e| e.to_string())?, Patched::Stale { .. });
        same("whether it has changed meanwhile", is_stale, stale)?;
        self.look(&id)
    }

    pub fn record_use(&mut self, at: u8) -> Held {
        let Some(id) = self.connection(at) else { return Ok(()) };
        let last = LastUse { at: self.now, outcome: UseOutcome::Ok };
        same("noting a use", self.wait(self.store.record_use(&id, last)).map_err(|e| e.to_string())?, true)?;
        self.look(&id)
    }
}
