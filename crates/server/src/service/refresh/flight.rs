//! One refresh of one connection: the seven steps of `docs/lifecycle.md`, "What must survive".
//!
//! Runs in a task that the service owns: a caller that goes away cancels nothing, and a shutdown waits. Nothing here
//! decides what an outcome means (that is `evergrant_core::lifecycle`) or whether a grant is replaced (that is the store,
//! by generation and fence).

use std::sync::Arc;

use evergrant_core::circuit::Admission;
use evergrant_core::connection::Status;
use evergrant_core::grant::Grant;
use evergrant_core::id::{AttemptId, ConnectionId};
use evergrant_core::integration::{Health, Integration};
use evergrant_core::lifecycle::{self, Circumstances, Event};
use evergrant_core::outcome::{Class, Failure, Outcome};
use evergrant_core::policy::Policy;
use evergrant_core::provider::Renewal;
use evergrant_core::schedule;
use evergrant_core::secret::ClientSecret;
use evergrant_core::time::Timestamp;
use evergrant_core::token_answer::Purpose;
use evergrant_core::token_request::{self, Client, HttpRequest};
use evergrant_store::StoreError;
use evergrant_store::journal::{EntryKind, JournalEntry, JournalSeq, Journalled};
use evergrant_store::refresh::{Claim, Gate as SendingGate, Leased};

use super::gate::{Gate, Urgency};
use super::{Inner, Landing, NotSent, Trigger};
use crate::provider::{Answer, Limits, Line, SendError};

/// What is fixed for one flight.
pub(super) struct Flight<'a> {
    pub(super) inner: &'a Inner,
    pub(super) id: &'a ConnectionId,
    pub(super) trigger: Trigger,
    pub(super) integration: Arc<Integration>,
    pub(super) policy: Policy,
    pub(super) gate: Arc<Gate>,
}

/// How one sending ended, as durable as it can be before the commit.
pub(super) struct Sent {
    pub(super) outcome: Outcome,
    pub(super) attempt: AttemptId,
    pub(super) sent_at: Timestamp,
    pub(super) journalled: Option<JournalSeq>,
    pub(super) whole: bool,
}

/// Flies: from the claim to the commit.
pub(super) async fn fly(inner: &Inner, id: &ConnectionId, trigger: Trigger) -> Landing {
    match try_fly(inner, id, trigger).await {
        Ok(landing) => landing,
        Err(error) => {
            tracing::error!(connection = %id, %error, "a refresh could not be begun; nothing was sent");
            Landing::NotSent(NotSent::Storage)
        }
    }
}

async fn try_fly(inner: &Inner, id: &ConnectionId, trigger: Trigger) -> Result<Landing, StoreError> {
    let Some(record) = inner.store.token_record(id, true).await? else { return Ok(Landing::NotSent(NotSent::Gone)) };
    let Some(integration) = inner.store.integration(&record.connection.integration) else {
        return Ok(Landing::NotSent(NotSent::Gone));
    };
    let policy = integration.policy(&inner.base);
    let gate = inner.gates.of(&integration.name, &policy);
    let flight = Flight { inner, id, trigger, integration, policy, gate };
    if let Some(why) = flight.barred() {
        return Ok(Landing::NotSent(why));
    }
    let urgency = if trigger == Trigger::Background { Urgency::Background } else { Urgency::Waiting };
    let Some(_slot) = flight.gate.slot(urgency).await else { return Ok(Landing::NotSent(NotSent::Storage)) };
    let rate = flight.integration.provider.refresh_rate_per_minute;
    let pause = flight.gate.take_rate(rate, inner.clock.now());
    if !pause.is_zero() {
        inner.clock.sleep(pause).await;
    }
    flight.claimed().await
}

/// Lands an answer that an earlier process journalled and did not commit.
pub(super) async fn land_journalled(
    inner: &Inner,
    id: &ConnectionId,
    generation: u64,
    found: &Journalled,
) -> Result<(), StoreError> {
    let Some(record) = inner.store.token_record(id, true).await? else { return Ok(()) };
    let Some(integration) = inner.store.integration(&record.connection.integration) else { return Ok(()) };
    let policy = integration.policy(&inner.base);
    let gate = inner.gates.of(&integration.name, &policy);
    let flight = Flight { inner, id, trigger: Trigger::Background, integration, policy, gate };
    let leased = match inner.store.claim(id, inner.clock.now(), flight.policy.lease).await? {
        Claim::Leased(leased) if leased.generation == generation => *leased,
        Claim::Leased(leased) => return inner.store.release(*leased, record.connection.life.next_attempt).await,
        Claim::Busy { .. } | Claim::Gone => return Ok(()),
    };
    let entry = &found.entry;
    let body = bytes::Bytes::copy_from_slice(&entry.body);
    let answer = Answer { status: entry.status, headers: entry.headers.clone(), body };
    let outcome = super::classify(&flight.integration.provider, &answer, entry.sent_at, flight.purpose(), &[]);
    let (attempt, sent_at) = (entry.attempt.clone(), entry.sent_at);
    let sent = Sent { outcome, attempt, sent_at, journalled: Some(found.seq), whole: true };
    flight.land(leased, sent).await.map(drop)
}

impl Flight<'_> {
    /// Why nothing may be sent through this integration at all.
    fn barred(&self) -> Option<NotSent> {
        if self.integration.paused {
            return Some(NotSent::Paused);
        }
        match &self.integration.health {
            Health::Misconfigured { next_probe, .. } if next_probe.is_none_or(|at| at > self.inner.clock.now()) => {
                Some(NotSent::Misconfigured)
            }
            Health::Suspected { connection, .. } if connection == self.id && self.has_company() => {
                Some(NotSent::Misconfigured)
            }
            _ if !self.inner.store.journal().healthy() => Some(NotSent::Storage),
            _ => None,
        }
    }

    pub(super) fn has_company(&self) -> bool {
        self.inner.store.status_counts(&self.integration.name).connected > 1
    }

    /// Step 1: the lease. Then everything is looked at again.
    async fn claimed(&self) -> Result<Landing, StoreError> {
        let now = self.inner.clock.now();
        let mut leased = match self.inner.store.claim(self.id, now, self.policy.lease).await? {
            Claim::Leased(leased) => *leased,
            Claim::Busy { until, .. } => return Ok(Landing::NotSent(NotSent::Elsewhere { until })),
            Claim::Gone => return Ok(Landing::NotSent(NotSent::Gone)),
        };
        if let Some(intent) = leased.open_intent.clone() {
            // A process died between sending and writing down what came: nobody can answer it any more.
            let failure = Failure::ambiguous("the service ended while the provider's answer was on its way");
            let sent = Sent {
                outcome: Outcome::Failure(failure),
                attempt: intent.attempt,
                sent_at: intent.sending_at,
                journalled: None,
                whole: false,
            };
            return self.land(leased, sent).await;
        }
        if let Some(landing) = self.not_needed(&mut leased) {
            let next_at = self.next_at(&leased);
            self.inner.store.release(leased, next_at).await?;
            return Ok(landing);
        }
        if self.ended(&leased) {
            return self.mark_ended(leased).await;
        }
        match self.connected().await {
            Ok(line) => self.sent(leased, line).await,
            Err(Unconnected::Barred(why)) => {
                self.inner.store.release(leased, Some(why.until().unwrap_or(now.plus(self.policy.retry_max)))).await?;
                Ok(Landing::NotSent(why))
            }
            Err(Unconnected::Failed(detail)) => {
                let sent = Sent {
                    outcome: Outcome::Failure(Failure::network(&detail)),
                    attempt: self.inner.attempt_id(),
                    sent_at: now,
                    journalled: None,
                    whole: false,
                };
                self.land(leased, sent).await
            }
        }
    }

    fn next_at(&self, leased: &Leased) -> Option<Timestamp> {
        schedule::due_at(&leased.connection.life, &self.integration.provider, &self.policy, self.inner.jitter(self.id))
    }

    /// Whether what this flight was for has been done meanwhile, or may not be done now.
    fn not_needed(&self, leased: &mut Leased) -> Option<Landing> {
        let (life, now) = (&leased.connection.life, self.inner.clock.now());
        let provider = &self.integration.provider;
        let done = || Some(Landing::NotSent(NotSent::NotDue));
        match self.trigger {
            Trigger::Demand(min_ttl) => match schedule::demand(life, provider, &self.policy, min_ttl, now) {
                schedule::Demand::Refresh { .. } | schedule::Demand::NothingRenews => None,
                _ => done(),
            },
            Trigger::Background => {
                let due = schedule::due_at(life, provider, &self.policy, self.inner.jitter(self.id));
                if due.is_some_and(|due| due <= now) { None } else { done() }
            }
            Trigger::Force => {
                let barred = life.not_before.filter(|at| *at > now);
                barred.map(|until| Landing::NotSent(NotSent::NotBefore { until }))
            }
        }
    }

    fn ended(&self, leased: &Leased) -> bool {
        let now = self.inner.clock.now();
        let facts = leased.connection.life.grant.as_ref();
        leased.connection.life.status == Status::Connected
            && facts.is_some_and(|facts| {
                !facts.is_alive(now) && !schedule::is_renewable(facts, &self.integration.provider, now)
            })
    }

    /// The access token has ended and nothing renews it.
    async fn mark_ended(&self, leased: Leased) -> Result<Landing, StoreError> {
        let now = self.inner.clock.now();
        let transition =
            lifecycle::advance(leased.connection.life.clone(), Event::Ended, &self.around(&leased, false), now);
        let record = self.commit_life(&leased, transition, None, Class::InvalidGrant, now).await;
        Ok(record.map_or(Landing::NotSent(NotSent::NotDue), |_| Landing::NotSent(NotSent::NoRefreshToken)))
    }

    pub(super) fn around<'a>(&'a self, leased: &Leased, brake: bool) -> Circumstances<'a> {
        let since = leased.connection.life.episode.as_ref().map_or(self.inner.clock.now(), |episode| episode.since);
        let others_work = !self.has_company() || self.gate.others_succeeded(self.id, since);
        Circumstances {
            provider: &self.integration.provider,
            policy: &self.policy,
            others_work,
            brake,
            jitter: self.inner.jitter(self.id),
        }
    }
}

enum Unconnected {
    Barred(NotSent),
    Failed(String),
}

impl Flight<'_> {
    fn limits(&self) -> Limits {
        Limits { connect: self.policy.connect_timeout, answer: self.policy.answer_timeout, ..Limits::TOKEN_ENDPOINT }
    }

    /// Step 2: a connection, tried again a few times while nothing has been sent.
    async fn connected(&self) -> Result<Line, Unconnected> {
        let url = url::Url::parse(self.integration.provider.refresh_endpoint())
            .map_err(|_| Unconnected::Failed("the token endpoint's address is not a URL".to_owned()))?;
        self.gate.first_try();
        let mut tries = 0;
        loop {
            let now = self.inner.clock.now();
            let probing = match self.gate.admit(&self.policy, now) {
                Ok(Admission::Probe) => true,
                Ok(_) => false,
                Err(closed) => return Err(Unconnected::Barred(NotSent::Closed(closed))),
            };
            let failed = match self.inner.transport.connect(&url, self.limits()).await {
                Ok(line) if !probing => return Ok(line),
                Ok(_) => {
                    self.gate.probed(true);
                    continue;
                }
                Err(unsent) => unsent.to_string(),
            };
            tries += 1;
            let pause = lifecycle::unsent_retry(tries, &self.policy, self.inner.jitter(self.id));
            match pause.filter(|_| !probing && self.gate.take_retry()) {
                Some(pause) => self.inner.clock.sleep(pause).await,
                None => return Err(Unconnected::Failed(failed)),
            }
        }
    }

    /// Steps 3 to 7: with each of the integration's secrets until one is accepted, and with spares before a verdict.
    async fn sent(&self, leased: Leased, line: Line) -> Result<Landing, StoreError> {
        let Some(stored) = leased.grant.as_deref().cloned() else { return Ok(Landing::NotSent(NotSent::Gone)) };
        let mut sent = match self.sent_from(&leased, &stored, Some(line)).await? {
            Ok(sent) => sent,
            Err(why) => return self.unsent(leased, why).await,
        };
        if sent.outcome.class() == Class::InvalidGrant && leased.spares > 0 {
            for spare in self.inner.store.spares(self.id).await? {
                // A spare is tried once: it is dropped before it is sent.
                if !self.inner.store.drop_spare(&spare.id).await? {
                    continue;
                }
                let Ok(tried) = self.sent_from(&leased, &spare.grant, None).await? else { break };
                if tried.outcome.class() == Class::Success {
                    sent = tried;
                    break;
                }
            }
        }
        self.land(leased, sent).await
    }

    async fn unsent(&self, leased: Leased, why: NotSent) -> Result<Landing, StoreError> {
        if !matches!(why, NotSent::Changed) {
            let next_at = self.next_at(&leased);
            self.inner.store.release(leased, next_at).await?;
        }
        Ok(Landing::NotSent(why))
    }

    /// Sends one grant's refresh token: again with the next client secret only where the provider refused the client.
    async fn sent_from(
        &self,
        leased: &Leased,
        grant: &Grant,
        mut line: Option<Line>,
    ) -> Result<Result<Sent, NotSent>, StoreError> {
        let secrets: Vec<Option<ClientSecret>> = match self.integration.client_secrets.as_slice() {
            [] => vec![None],
            all => all.iter().map(|one| Some(one.secret.clone())).collect(),
        };
        let mut last = Err(NotSent::NoRefreshToken);
        for secret in secrets {
            let line = match line.take() {
                Some(line) => line,
                None => match self.connected().await {
                    Ok(line) => line,
                    Err(_) => break,
                },
            };
            let Some(request) = self.request(grant, secret.as_ref()) else { break };
            let attempt = self.inner.attempt_id();
            let sent_at = self.inner.clock.now();
            match self.inner.store.mark_sending(leased, &attempt, sent_at).await? {
                SendingGate::Open => {}
                SendingGate::FenceLost | SendingGate::GrantChanged => return Ok(Err(NotSent::Changed)),
            }
            let known = self.known_secrets(grant, secret.as_ref());
            let sent = self.send(leased, line, request, (attempt, sent_at), &known).await;
            let wrong_client = sent.outcome.class() == Class::InvalidClient;
            last = Ok(sent);
            if !wrong_client {
                break;
            }
        }
        Ok(last)
    }

    fn request(&self, grant: &Grant, secret: Option<&ClientSecret>) -> Option<HttpRequest> {
        let provider = &self.integration.provider;
        let client = Client { id: &self.integration.client_id, secret };
        match provider.renewal {
            Renewal::RefreshToken => {
                grant.refresh_token.as_ref().map(|token| token_request::refresh(provider, &client, token))
            }
            Renewal::AccessToken => {
                grant.access_token.as_ref().map(|token| token_request::renew(provider, &client, token))
            }
            Renewal::None => None,
        }
    }

    fn purpose(&self) -> Purpose {
        match self.integration.provider.renewal {
            Renewal::AccessToken => Purpose::Renewal,
            Renewal::RefreshToken | Renewal::None => Purpose::Refresh,
        }
    }

    fn known_secrets(&self, grant: &Grant, secret: Option<&ClientSecret>) -> Vec<String> {
        let access = grant.access_token.as_ref().map(|token| token.expose().to_owned());
        let refresh = grant.refresh_token.as_ref().map(|token| token.expose().to_owned());
        let client = secret.map(|secret| secret.expose().to_owned());
        [access, refresh, client].into_iter().flatten().collect()
    }

    /// Steps 4 and 5: the wire, then the journal, before anything is parsed. The lease is kept alive meanwhile.
    async fn send(
        &self,
        leased: &Leased,
        line: Line,
        request: HttpRequest,
        (attempt, sent_at): (AttemptId, Timestamp),
        known: &[String],
    ) -> Sent {
        let sending = line.send(request);
        tokio::pin!(sending);
        let answered = loop {
            let renewal = self.inner.clock.sleep(self.policy.lease / 4);
            tokio::select! {
                answered = &mut sending => break answered,
                () = renewal => {
                    if let Err(error) = self.inner.store.renew(leased, self.inner.clock.now(), self.policy.lease).await {
                        tracing::warn!(connection = %self.id, %error, "a lease could not be renewed while the provider works");
                    }
                }
            }
        };
        let (answer, whole, why) = match answered {
            Ok(answer) => (Some(answer), true, String::new()),
            Err(SendError::Unsent) => {
                let outcome =
                    Outcome::Failure(Failure::network("the connection was closed before the request was sent"));
                return Sent { outcome, attempt, sent_at, journalled: None, whole: false };
            }
            Err(SendError::Lost { why, partial }) => (partial, false, why),
        };
        let Some(answer) = answer else {
            return Sent {
                outcome: Outcome::Failure(Failure::ambiguous(&why)),
                attempt,
                sent_at,
                journalled: None,
                whole,
            };
        };
        let journalled = self.journal(leased, &attempt, sent_at, &answer).await;
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let (provider, purpose) = (&self.integration.provider, self.purpose());
        let outcome = if whole {
            super::classify(provider, &answer, sent_at, purpose, &known)
        } else {
            super::classify_cut_off(provider, &answer, &why, sent_at, purpose, &known)
        };
        Sent { outcome, attempt, sent_at, journalled, whole }
    }

    async fn journal(
        &self,
        leased: &Leased,
        attempt: &AttemptId,
        sent_at: Timestamp,
        answer: &Answer,
    ) -> Option<JournalSeq> {
        let entry = JournalEntry {
            attempt: attempt.clone(),
            kind: EntryKind::Refresh { connection: self.id.clone(), generation: leased.generation },
            sent_at,
            received_at: self.inner.clock.now(),
            status: answer.status,
            headers: super::kept_headers(answer),
            body: answer.body.to_vec().into(),
        };
        match self.inner.store.journal().append(&entry).await {
            Ok(seq) => Some(seq),
            Err(error) => {
                tracing::error!(connection = %self.id, %error, "the journal took no answer; it goes to the database alone");
                None
            }
        }
    }
}
