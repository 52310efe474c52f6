//! Looks at what is kept, in every way in which it can be looked at.

use evergrant_core::id::ConnectionId;
use evergrant_core::secret::{AccessToken, RefreshToken};
use evergrant_store::{ConnectionFilter, EventFilter, NoticeFilter};

use super::super::support::after;
use super::known::{CONNECTED, DISCONNECTED, KnownConnection, NEEDS_REAUTH};
use super::run::{Held, World, integration_name, same, subject_of};

impl World {
    /// Everything that is known is kept, and nothing else.
    pub fn whole(&self) -> Held {
        for one in &self.known.connections {
            self.one(one)?;
            let events = self
                .wait(self.store.events_after(EventFilter { connection: Some(one.id.clone()), ..EventFilter::default() }, 0, 200))
                .map_err(|error| error.to_string())?;
            let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
            same("the events", kinds, one.events.clone())?;
        }
        for integration in 0..3 {
            same("the counts", self.store.status_counts(&integration_name(integration)), self.known.counts(integration))?;
            let found = self.store.integration(&integration_name(integration));
            let found = found.map(|one| (one.version, one.shared_accounts, one.paused));
            let known = self.known.integrations.get(&integration).map(|one| (one.version, one.shared, one.paused));
            same("an integration", found, known)?;
        }
        for (number, valid) in &self.known.api_keys {
            let found = self.store.api_key(&self.api_key_id(*number)).map(|key| key.revoked_at.is_none());
            same("an API key", found, Some(*valid))?;
        }
        for (id, state, done) in &self.known.jobs {
            let job = self.wait(self.store.job(id)).map_err(|error| error.to_string())?;
            let found = job.map(|job| (job.state, job.document["done"].as_u64()));
            same("a job", found, Some((*state, Some(*done))))?;
        }
        for subject in 0..3 {
            let found = self.wait(self.store.preferences(&subject_of(subject))).map_err(|error| error.to_string())?;
            let known = self.known.preferences.get(&subject).map(|value| serde_json::json!(value));
            same("the preferences", found, known)?;
            self.notices_of(subject)?;
        }
        for (subject, integration) in (0..3).flat_map(|subject| (0..3).map(move |integration| (subject, integration))) {
            let (name, owner) = (integration_name(integration), subject_of(subject));
            let found = self.wait(self.store.connections_by_subject(&name, &owner)).map_err(|error| error.to_string())?;
            let mut known: Vec<ConnectionId> = self.ids(|one| one.subject == subject && one.integration == integration);
            known.sort();
            same("a subject's connections", found.to_vec(), known)?;
        }
        self.list(None, None, 0, 3)?;
        self.due()
    }

    fn ids(&self, which: impl Fn(&KnownConnection) -> bool) -> Vec<ConnectionId> {
        let mut ids: Vec<_> = self.known.connections.iter().filter(|one| which(one)).map(|one| one.id.clone()).collect();
        ids.sort();
        ids
    }

    /// A connection by its id, from memory and from the database.
    pub fn look(&self, id: &ConnectionId) -> Held {
        match self.known.connections.iter().find(|one| one.id == *id) {
            Some(one) => self.one(one),
            None => {
                let found = self.wait(self.store.token_record(id, false)).map_err(|error| error.to_string())?;
                same("a connection that is gone", found.is_some(), false)
            }
        }
    }

    fn one(&self, known: &KnownConnection) -> Held {
        for consistent in [false, true] {
            let found = self.wait(self.store.token_record(&known.id, consistent)).map_err(|error| error.to_string())?;
            let Some(record) = found else { return Err(format!("{} is gone (consistent: {consistent})", known.id)) };
            let connection = &record.connection;
            let (name, owner) = (integration_name(known.integration), subject_of(known.subject));
            same("the integration", &connection.integration, &name)?;
            same("the subject", &connection.subject, &owner)?;
            let account = connection.account.as_ref().map(|account| account.id.to_string());
            same("the account", account, known.account.map(|number| format!("a{number}")))?;
            same("the status", connection.life.status.word(), known.status)?;
            same("the version", connection.version, known.version)?;
            same("the label", &connection.label, &known.label)?;
            let generation = connection.life.grant.as_ref().map(|facts| facts.generation);
            same("the generation", generation, known.access.as_ref().map(|_| known.generation))?;
            same("the latest force", connection.life.last_forced_at, known.forced_at)?;
            let grant = self.store.open_grant(&record).map_err(|error| error.to_string())?;
            let access = grant.as_ref().and_then(|grant| grant.access_token.clone());
            let refresh = grant.as_ref().and_then(|grant| grant.refresh_token.clone());
            let known_access = known.access.as_ref().map(|mark| AccessToken::new(format!("access-token-{mark}")));
            let known_refresh = known.refresh.as_ref().map(|mark| RefreshToken::new(format!("refresh-token-{mark}")));
            same("whether it is the right access token", access == known_access, true)?;
            same("whether it is the right refresh token", refresh == known_refresh, true)?;
        }
        Ok(())
    }

    /// A list, part after part.
    pub fn list(&self, subject: Option<u8>, integration: Option<u8>, status: u8, page: u8) -> Held {
        let status = [None, Some(CONNECTED), Some(NEEDS_REAUTH), Some(DISCONNECTED)][usize::from(status % 4)];
        let filter = ConnectionFilter {
            subject: subject.map(subject_of),
            integrations: integration.map(|number| [integration_name(number)].into()),
            status,
            text: None,
        };
        let (mut found, mut place) = (Vec::new(), None);
        loop {
            let part = self.wait(self.store.list_connections(filter.clone(), |_| true, place, usize::from(page)));
            let part = part.map_err(|error| error.to_string())?;
            found.extend(part.items.iter().map(|one| one.id.clone()));
            match part.next {
                Some(next) => place = Some(next),
                None => break,
            }
        }
        let fits = |one: &KnownConnection| {
            subject.is_none_or(|subject| one.subject == subject)
                && integration.is_none_or(|integration| one.integration == integration)
                && status.is_none_or(|status| one.status == status)
        };
        same("the list", found, self.ids(fits))
    }

    /// What is due, and when the next one is.
    pub fn due(&self) -> Held {
        let all = self.wait(self.store.due(self.now, &[], 100)).map_err(|error| error.to_string())?;
        let mut found: Vec<ConnectionId> = all.into_iter().map(|due| due.id).collect();
        found.sort();
        let mut known: Vec<ConnectionId> = self.known.due(self.now, None).iter().map(|one| one.id.clone()).collect();
        known.sort();
        same("what is due", found, known)?;
        let next = self.wait(self.store.next_due(self.now, &[])).map_err(|error| error.to_string())?;
        let free = self.known.connections.iter().filter(|one| !one.is_leased(self.now));
        same("when the next one is due", next, free.filter_map(|one| one.next_at).min())?;
        let oldest = self.wait(self.store.oldest_due(self.now)).map_err(|error| error.to_string())?;
        let running = |one: &&KnownConnection| self.known.integrations.get(&one.integration).is_some_and(|one| !one.paused);
        let waiting = self.known.connections.iter().filter(running).filter_map(|one| one.next_at).min();
        same("since when the oldest is due", oldest, waiting.filter(|at| *at <= self.now))?;
        let next = self.wait(self.store.next_revocation()).map_err(|error| error.to_string())?;
        let known = self.known.revocations.iter().map(|one| one.next_at.max(one.claimed_until)).min();
        same("when the next revocation is due", next, known)
    }

    /// Those whose access token has ended, part after part.
    pub fn overdue(&self, integration: u8) -> Held {
        let (mut found, mut place) = (Vec::new(), (after(0).minus(std::time::Duration::from_secs(1)), String::new()));
        loop {
            let part = self.wait(self.store.expired(&integration_name(integration), place.clone(), self.now, 2));
            let part = part.map_err(|error| error.to_string())?;
            let Some((at, id)) = part.last() else { break };
            place = (*at, id.to_string());
            found.extend(part);
        }
        let ended = self.known.connections.iter().filter(|one| one.integration == integration && one.status == CONNECTED);
        let ended = ended.filter_map(|one| Some((one.expires_at?, one.id.clone())));
        let mut known: Vec<_> = ended.filter(|(at, _)| *at < self.now).collect();
        known.sort();
        same("whose tokens have ended", found, known)
    }

    fn notices_of(&self, subject: u8) -> Held {
        let filter = |unread| NoticeFilter { subject: Some(subject_of(subject)), integrations: None, unread };
        for unread in [false, true] {
            let found = self.wait(self.store.notices(filter(unread), None, 200)).map_err(|error| error.to_string())?;
            let mut found: Vec<_> = found.items.into_iter().map(|one| (one.connection, one.read_at.is_some())).collect();
            let of = self.known.notices.iter().filter(|one| one.subject == subject && !(unread && one.read));
            let mut known: Vec<_> = of.map(|one| (Some(one.connection.clone()), one.read)).collect();
            found.sort();
            known.sort();
            same("the notices", found, known)?;
        }
        Ok(())
    }
}
