//! Steps 2 to 5 of a refresh: a connection, the `sending` mark, the wire, the journal.
//!
//! One sending at a time, and never a second one for the same token before the first has ended: with a whole answer, or
//! with its connection closed. What an answer means is told in [`super::land`].

use std::convert::Infallible;
use std::time::{Duration, Instant};

use evergrant_core::circuit::Admission;
use evergrant_core::grant::Grant;
use evergrant_core::id::AttemptId;
use evergrant_core::lifecycle;
use evergrant_core::outcome::{Class, Failure, Outcome};
use evergrant_core::planted::{self, Bug};
use evergrant_core::provider::Renewal;
use evergrant_core::schedule;
use evergrant_core::secret::ClientSecret;
use evergrant_core::time::Timestamp;
use evergrant_core::token_answer::Purpose;
use evergrant_core::token_request::HttpRequest;
use evergrant_store::StoreError;
use evergrant_store::journal::{EntryKind, JournalEntry, JournalSeq};
use evergrant_store::refresh::{Gate as SendingGate, Leased};

use super::flight::Flight;
use super::gate::Admitted;
use super::{Landing, NotSent};
use crate::provider::{Answer, Limits, Line, SendError};

/// How often a sending is written down that is held up each time.
const MARKS: usize = 5;

/// How one sending ended, as durable as it can be before the commit.
pub(super) struct Sent {
    pub(super) outcome: Outcome,
    pub(super) attempt: AttemptId,
    pub(super) sent_at: Timestamp,
    pub(super) journalled: Option<JournalSeq>,
    pub(super) whole: bool,
    /// What was sent, where it was not the stored grant: what an answer leaves out is taken from there.
    pub(super) from: Option<Box<Grant>>,
    pub(super) admitted: Option<Admitted>,
    /// Whether it says something of the provider: a sending that a process of our own did not survive does not.
    pub(super) of_provider: bool,
}

impl Sent {
    /// Found in the journal at the start.
    pub(super) fn found(outcome: Outcome, attempt: AttemptId, sent_at: Timestamp, whole: bool) -> Self {
        Sent { outcome, attempt, sent_at, journalled: None, whole, from: None, admitted: None, of_provider: true }
    }

    /// Its process ended before an answer came.
    pub(super) fn orphaned(attempt: AttemptId, sent_at: Timestamp) -> Self {
        let failure = Failure::ambiguous("the service ended while the provider's answer was on its way");
        Sent { of_provider: false, ..Sent::failed(failure, attempt, sent_at) }
    }

    /// Nothing came of it that is in the journal.
    pub(super) fn failed(failure: Failure, attempt: AttemptId, sent_at: Timestamp) -> Self {
        let outcome = Outcome::Failure(failure);
        Sent {
            outcome,
            attempt,
            sent_at,
            journalled: None,
            whole: false,
            from: None,
            admitted: None,
            of_provider: true,
        }
    }
}

/// A connection, and the leave to send over it.
pub(super) struct Way {
    line: Line,
    admitted: Admitted,
}

/// Why there is no connection.
pub(super) enum Unconnected {
    /// Nothing may be sent now.
    Barred(NotSent),
    /// It was tried, and what happened.
    Failed(String),
}

impl Flight<'_> {
    fn limits(&self) -> Limits {
        Limits { connect: self.policy.connect_timeout, answer: self.policy.answer_timeout, ..Limits::TOKEN_ENDPOINT }
    }

    /// Step 2: a connection, tried again a few times while nothing has been sent.
    pub(super) async fn connected(&self, leased: &Leased) -> Result<Way, Unconnected> {
        if let Some(unfilled) = &self.unfilled {
            return Err(Unconnected::Failed(format!("nothing was sent: {unfilled}")));
        }
        let url = url::Url::parse(self.endpoint(leased))
            .map_err(|_| Unconnected::Failed("the token endpoint's address is not a URL".to_owned()))?;
        let mut tries = 0;
        loop {
            let now = self.inner.clock.now();
            let (admission, admitted) = match self.gate.admit(&self.policy, now) {
                Ok(admitted) => admitted,
                Err(closed) => return Err(Unconnected::Barred(NotSent::Closed(closed))),
            };
            let probing = admission == Admission::Probe;
            let failed = match self.inner.transport.connect(&url, self.limits()).await {
                Ok(line) if !probing => return Ok(Way { line, admitted }),
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
    pub(super) async fn sent(&self, leased: Leased, way: Way) -> Result<Landing, StoreError> {
        let Some(stored) = leased.grant.as_deref().cloned() else { return Ok(Landing::NotSent(NotSent::Gone)) };
        let mut sent = match self.sent_from(&leased, &stored, Some(way)).await? {
            Ok(sent) => sent,
            Err(why) => return self.unsent(leased, why).await,
        };
        let mut tries = 0;
        while let Some(pause) = self.pause_before_repeating(&sent, tries + 1) {
            tries += 1;
            self.inner.clock.sleep(pause).await;
            let kept = self.inner.store.renew(&leased, self.inner.clock.now(), self.policy.lease).await;
            if !kept.is_ok_and(|kept| kept) {
                break;
            }
            let Ok(again) = self.sent_from(&leased, &stored, None).await? else { break };
            self.settled(&sent);
            sent = again;
        }
        let spends = self.integration.provider.renewal != Renewal::Reissue;
        if sent.outcome.class() == Class::InvalidGrant && leased.spares > 0 && spends {
            for spare in self.inner.store.spares(self.id).await? {
                // A spare is tried once: it is dropped before it is sent.
                if !self.inner.store.drop_spare(&spare.id).await? {
                    continue;
                }
                let Ok(tried) = self.sent_from(&leased, &spare.grant, None).await? else { break };
                if tried.outcome.brings_tokens() {
                    self.settled(&sent);
                    sent = Sent { from: Some(Box::new(Grant::clone(&spare.grant))), ..tried };
                    break;
                }
                // What it said is told of the spare, not of the stored grant.
                self.settled(&tried);
            }
        }
        self.land(leased, sent).await
    }

    /// How long until the same is sent again within this attempt; none: it is not.
    fn pause_before_repeating(&self, sent: &Sent, tries: u32) -> Option<Duration> {
        let Outcome::Failure(failure) = &sent.outcome else { return None };
        if self.inner.stop.is_cancelled() || !lifecycle::is_repeated_at_once(failure, &self.integration.provider) {
            return None;
        }
        let pause = lifecycle::unsent_retry(tries, &self.policy, self.inner.jitter(self.id))?;
        self.gate.take_retry().then_some(pause)
    }

    async fn unsent(&self, leased: Leased, why: NotSent) -> Result<Landing, StoreError> {
        if !matches!(why, NotSent::Changed) {
            // Never at once again: what stood in the way is still there.
            let soon = self.inner.clock.now().plus(self.policy.retry_max);
            let next_at = self.next_at(&leased).map(|at| at.max(soon));
            self.inner.store.release(leased, next_at).await?;
        }
        Ok(Landing::NotSent(why))
    }

    /// Sends one grant's refresh token: again with the next client secret only where the provider refused the client.
    async fn sent_from(
        &self,
        leased: &Leased,
        grant: &Grant,
        mut way: Option<Way>,
    ) -> Result<Result<Sent, NotSent>, StoreError> {
        let secrets: Vec<Option<ClientSecret>> =
            match self.integration.secrets_to_try(self.inner.clock.now()).as_slice() {
                [] => vec![None],
                all => all.iter().map(|one| Some(ClientSecret::clone(one))).collect(),
            };
        let mut last: Result<Sent, NotSent> = Err(NotSent::NoRefreshToken);
        for secret in secrets {
            let way = match way.take() {
                Some(way) => way,
                None => match self.connected(leased).await {
                    Ok(way) => way,
                    Err(_) => break,
                },
            };
            let asked = match self.asked(leased, grant, secret.as_ref()) {
                Ok(Some(asked)) => asked,
                Ok(None) => break,
                Err(unusable) => {
                    let failure = Failure::unusable_client(unusable.to_string());
                    let failed = Sent::failed(failure, self.inner.attempt_id(), self.inner.clock.now());
                    last = Ok(Sent { admitted: Some(way.admitted), ..failed });
                    continue;
                }
            };
            let attempt = self.inner.attempt_id();
            let sent_at = match self.let_out(leased, &attempt).await {
                Ok(Ok(sent_at)) => sent_at,
                Ok(Err(why)) => return Ok(Err(why)),
                Err(error) => {
                    // Perhaps it is written down all the same: then it says something that is not so.
                    self.inner.unsent(self.id, attempt);
                    return Err(error);
                }
            };
            if let Ok(refused) = &last {
                self.settled(refused);
            }
            let sent = self.send(leased, way.line, asked.request, (attempt, sent_at), &asked.known).await;
            let wrong_client = self.asked_by_wrong_client(sent.outcome.class());
            last = Ok(Sent { admitted: Some(way.admitted), ..sent });
            if !wrong_client {
                break;
            }
        }
        Ok(last)
    }

    /// Step 3: the sending is written down, and when. A process that was held up between this and the wire writes it down
    /// again: its time, in which nobody else sends, must not be used up before the request leaves.
    async fn let_out(&self, leased: &Leased, attempt: &AttemptId) -> Result<Result<Timestamp, NotSent>, StoreError> {
        let answered = self.policy.answered_within();
        for _ in 0..MARKS {
            let (at, asked) = (self.inner.clock.now(), Instant::now());
            match self.inner.store.mark_sending(leased, attempt, at, answered).await? {
                SendingGate::FenceLost | SendingGate::GrantChanged => return Ok(Err(NotSent::Changed)),
                SendingGate::Open if asked.elapsed() < answered / 10 => return Ok(Ok(at)),
                SendingGate::Open => {
                    tracing::warn!(connection = %self.id, "a sending was held up after it was written down; it is written down again");
                }
            }
        }
        Ok(Err(NotSent::Storage))
    }

    /// An answer that another sending has overtaken needs no redo.
    fn settled(&self, sent: &Sent) {
        if let Some(seq) = sent.journalled {
            self.inner.store.journal().mark_committed(seq);
        }
    }

    /// Whether a short token is to be made long.
    pub(super) fn is_short(&self, leased: &Leased) -> bool {
        let facts = leased.connection.life.grant.as_ref();
        facts.is_some_and(|facts| schedule::is_short(facts, &self.integration.provider))
    }

    /// Where this grant is renewed.
    pub(super) fn endpoint(&self, leased: &Leased) -> &str {
        let provider = &self.integration.provider;
        match &provider.second_exchange {
            Some(second) if self.is_short(leased) => &second.url,
            _ => provider.refresh_endpoint(),
        }
    }

    pub(super) fn purpose(&self) -> Purpose {
        match self.integration.provider.renewal {
            Renewal::AccessToken => Purpose::Renewal,
            Renewal::RefreshToken | Renewal::Reissue | Renewal::None => Purpose::Refresh,
        }
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
        // Side by side: a database that hangs must not keep the answer from being read.
        let answered = tokio::select! {
            biased;
            answered = line.send(request) => answered,
            never = self.keep_lease(leased) => match never {},
        };
        let (answer, whole, why) = match answered {
            Ok(answer) => (Some(answer), true, String::new()),
            Err(SendError::Unsent) => {
                let failure = Failure::network("the connection was closed before the request was sent");
                return Sent::failed(failure, attempt, sent_at);
            }
            Err(SendError::Lost { why, partial }) => (partial, false, why),
        };
        let Some(answer) = answer else { return Sent::failed(Failure::ambiguous(&why), attempt, sent_at) };
        let cut_off = (!whole).then_some(why.as_str());
        let first = !planted::is(Bug::JournalAfterParsing);
        let journalled = if first { self.journal(leased, (&attempt, sent_at), &answer, cut_off).await } else { None };
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let (provider, purpose) = (&self.integration.provider, self.purpose());
        let outcome = if whole {
            super::classify(provider, &answer, sent_at, purpose, &known)
        } else {
            super::classify_cut_off(provider, &answer, &why, sent_at, purpose, &known)
        };
        let late = !first && outcome.class() == Class::Success;
        let journalled =
            if late { self.journal(leased, (&attempt, sent_at), &answer, cut_off).await } else { journalled };
        Sent { outcome, attempt, sent_at, journalled, whole, from: None, admitted: None, of_provider: true }
    }

    async fn keep_lease(&self, leased: &Leased) -> Infallible {
        loop {
            self.inner.clock.sleep(self.policy.lease / 4).await;
            if planted::is(Bug::ShortLease) {
                continue;
            }
            if let Err(error) = self.inner.store.renew(leased, self.inner.clock.now(), self.policy.lease).await {
                tracing::warn!(connection = %self.id, %error, "a lease could not be renewed while the provider works");
            }
        }
    }

    async fn journal(
        &self,
        leased: &Leased,
        (attempt, sent_at): (&AttemptId, Timestamp),
        answer: &Answer,
        cut_off: Option<&str>,
    ) -> Option<JournalSeq> {
        let entry = JournalEntry {
            attempt: attempt.clone(),
            kind: EntryKind::Refresh { connection: self.id.clone(), generation: leased.generation },
            sent_at,
            received_at: self.inner.clock.now(),
            status: answer.status,
            headers: super::kept_headers(answer, cut_off),
            body: answer.body.to_vec().into(),
        };
        match self.inner.store.journal().append(&entry).await {
            Ok(seq) => {
                if planted::is(Bug::JournalForgetsEarly) {
                    self.inner.store.journal().mark_committed(seq);
                }
                Some(seq)
            }
            Err(error) => {
                tracing::error!(connection = %self.id, %error, "the journal took no answer; it goes to the database alone");
                None
            }
        }
    }
}
