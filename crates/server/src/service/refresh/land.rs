//! Steps 6 and 7 of a refresh: what the outcome means is decided, committed in one transaction, and only then told.

use std::time::Duration;

use evergrant_core::connection::Uncertain;
use evergrant_core::grant::{Grant, GrantFacts};
use evergrant_core::integration::Health;
use evergrant_core::lifecycle::{self, Event, Transition};
use evergrant_core::lifetime::{Expiry, TokenSet};
use evergrant_core::notice::NoticeKind;
use evergrant_core::outcome::{Class, Failure, Outcome};
use evergrant_core::provider::ReplayKind;
use evergrant_core::time::Timestamp;
use evergrant_store::refresh::{AttemptOutcome, Committed, Leased, SuccessCommit, VerdictCommit, VerdictCommitted};
use evergrant_store::{NewEvent, NewNotice, Report, StoreError, TokenRecord};
use std::sync::Arc;

use super::flight::{Flight, Sent};
use super::{Landing, NotSent};

/// The pause between tries of a commit that must hold.
const COMMIT_RETRY: Duration = Duration::from_millis(250);

impl Flight<'_> {
    /// Takes an outcome to the database and says what became of the flight.
    pub(super) async fn land(&self, leased: Leased, sent: Sent) -> Result<Landing, StoreError> {
        let now = self.inner.clock.now();
        let (class, retry_after) = match &sent.outcome {
            Outcome::Success(_) => (Class::Success, None),
            Outcome::Failure(failure) => (failure.class, failure.retry_after),
        };
        self.gate.ended(self.id, class, retry_after, &self.policy, now);
        self.inner.metrics.refreshed(&self.integration.name, class, now.since(sent.sent_at));
        let journalled = sent.journalled;
        let landing = match sent.outcome {
            Outcome::Success(tokens) => self.keep(&leased, *tokens, &sent.attempt, sent.sent_at, sent.whole).await,
            Outcome::Failure(failure) => self.refuse(&leased, failure, &sent.attempt, sent.sent_at).await,
        };
        if let Some(seq) = journalled {
            self.inner.store.journal().mark_committed(seq);
        }
        Ok(landing)
    }

    /// A grant came: it is stored by generation, again and again until it is.
    async fn keep(
        &self,
        leased: &Leased,
        tokens: TokenSet,
        attempt: &evergrant_core::id::AttemptId,
        sent_at: Timestamp,
        whole: bool,
    ) -> Landing {
        let now = self.inner.clock.now();
        let before = &leased.connection.life;
        let stored = leased.grant.as_deref();
        let rotated = tokens.refresh_token.is_some();
        let facts = self.facts(leased, &tokens, sent_at);
        let grant = Grant {
            access_token: Some(tokens.access_token),
            refresh_token: tokens.refresh_token.or_else(|| stored.and_then(|grant| grant.refresh_token.clone())),
            token_type: tokens.token_type,
        };
        let around = self.around(leased, false);
        let mut transition = lifecycle::advance(before.clone(), Event::Refreshed { grant: facts }, &around, now);
        if !whole && !rotated && self.integration.provider.replay != ReplayKind::None {
            // The answer broke off after the access token: a new refresh token may have stood behind it.
            transition.life.uncertain = Some(Uncertain { since: sent_at, sendings: 1 });
        }
        let mut provider_data = leased.connection.provider_data.clone();
        provider_data.extend(tokens.provider_data);
        let commit = SuccessCommit {
            attempt: attempt.clone(),
            grant,
            next_at: self.due(&transition),
            notices: self.notices(leased, &transition, now),
            events: self.events(&transition, Class::Success),
            provider_data: (provider_data != leased.connection.provider_data).then_some(provider_data),
            account: None,
            life: transition.life,
        };
        let landing = loop {
            match self.inner.store.commit_success(&leased.source(), commit.clone(), self.inner.clock.now()).await {
                Ok(Committed::Stored { record, .. }) => break Landing::Refreshed(record),
                Ok(Committed::Superseded { record }) => break Landing::Overtaken(record),
                Ok(Committed::Disconnected) => break Landing::NotSent(NotSent::Gone),
                Err(error) => {
                    tracing::error!(connection = %self.id, %error, "a new grant is not stored yet; it is kept in the journal and tried again");
                    self.inner.clock.sleep(COMMIT_RETRY).await;
                }
            }
        };
        self.mended().await;
        landing
    }

    fn facts(&self, leased: &Leased, tokens: &TokenSet, sent_at: Timestamp) -> GrantFacts {
        let before = leased.connection.life.grant.as_ref();
        let lifetime = match tokens.expiry {
            Expiry::At { at } => u64::try_from(at.since(sent_at).as_millis()).ok(),
            Expiry::Unknown | Expiry::Never => None,
        };
        let sliding = self.integration.provider.idle_limit().map(|limit| sent_at.plus(limit));
        let kept_end = before.and_then(|facts| facts.refresh_expires_at);
        GrantFacts {
            generation: leased.generation + 1,
            issued_at: sent_at,
            expiry: tokens.expiry,
            lifetime_millis: lifetime,
            token_id: self.inner.store.fingerprint(tokens.access_token.expose()),
            has_access_token: true,
            has_refresh_token: tokens.refresh_token.is_some() || before.is_some_and(|facts| facts.has_refresh_token),
            refresh_expires_at: tokens.refresh_expires_at.or(sliding).or(kept_end),
            scopes: tokens.scopes.clone().or_else(|| before.map(|facts| facts.scopes.clone())).unwrap_or_default(),
            oddities: tokens.oddities.clone(),
        }
    }

    /// No grant came: what follows is stored by fence, if the refresh token that was sent is still the stored one.
    async fn refuse(
        &self,
        leased: &Leased,
        failure: Failure,
        attempt: &evergrant_core::id::AttemptId,
        sent_at: Timestamp,
    ) -> Landing {
        let now = self.inner.clock.now();
        let class = failure.class;
        let brake = self.brake(class, now);
        let around = self.around(leased, brake);
        let event = Event::Failed { failure: failure.clone(), sent_at };
        let transition = lifecycle::advance(leased.connection.life.clone(), event, &around, now);
        let client_refused = transition.client_refused;
        let outcome = AttemptOutcome { attempt: attempt.clone(), class, detail: failure.detail.clone() };
        let record = self.commit_life(leased, transition, Some(outcome), class, now).await;
        if client_refused {
            self.client_refused(&failure).await;
        }
        match record {
            Some(record) => Landing::Ended { record, failure: Box::new(failure) },
            None => Landing::NotSent(NotSent::Changed),
        }
    }

    fn brake(&self, class: Class, now: Timestamp) -> bool {
        if self.gate.brake_pulled_at().is_some_and(|at| now.since(at) > self.policy.brake_retry) {
            // What is refused after the rest is counted anew.
            self.gate.release_brake();
        }
        if matches!(class, Class::InvalidGrant | Class::AuthRejected | Class::Unknown) {
            let connections = self.inner.store.status_counts(&self.integration.name).connected;
            self.gate.refused(self.id, connections, &self.policy, now);
        }
        self.gate.brake_pulled_at().is_some()
    }

    /// Stores a life without a new grant; none: somebody else's newer word holds.
    pub(super) async fn commit_life(
        &self,
        leased: &Leased,
        transition: Transition,
        outcome: Option<AttemptOutcome>,
        class: Class,
        now: Timestamp,
    ) -> Option<Arc<TokenRecord>> {
        let commit = VerdictCommit {
            outcome,
            next_at: self.due(&transition),
            notices: self.notices(leased, &transition, now),
            events: self.events(&transition, class),
            life: transition.life,
        };
        loop {
            match self.inner.store.commit_verdict(leased, commit.clone(), self.inner.clock.now()).await {
                Ok(VerdictCommitted::Stored(record)) => return Some(record),
                Ok(VerdictCommitted::FenceLost | VerdictCommitted::GrantChanged) => return None,
                Err(error) => {
                    tracing::error!(connection = %self.id, %error, "the outcome of a refresh is not stored yet; it is tried again");
                    self.inner.clock.sleep(COMMIT_RETRY).await;
                }
            }
        }
    }

    fn due(&self, transition: &Transition) -> Option<Timestamp> {
        let jitter = self.inner.jitter(self.id);
        evergrant_core::schedule::due_at(&transition.life, &self.integration.provider, &self.policy, jitter)
    }

    fn notices(&self, leased: &Leased, transition: &Transition, now: Timestamp) -> Vec<NewNotice> {
        let episode = |life: &evergrant_core::connection::Life| life.episode.as_ref().map(|episode| episode.since);
        let since = episode(&transition.life).or_else(|| episode(&leased.connection.life)).unwrap_or(now);
        transition.notices.iter().map(|kind| NewNotice::new(*kind, since)).collect()
    }

    fn events(&self, transition: &Transition, class: Class) -> Vec<NewEvent> {
        let generation = transition.life.generation();
        let refreshed =
            (class == Class::Success).then(|| NewEvent::new("connection.refreshed").with("generation", generation));
        let told = transition.notices.iter().filter_map(|kind| match kind {
            NoticeKind::Warning => Some("connection.warning"),
            NoticeKind::Disconnected => Some("connection.disconnected"),
            NoticeKind::RateLimited => Some("connection.rate_limited"),
            NoticeKind::Trouble => Some("connection.trouble"),
            NoticeKind::Recovered => Some("connection.recovered"),
            NoticeKind::Refreshed | NoticeKind::OperatorAlert => None,
        });
        let told = told.map(|kind| NewEvent::new(kind).with("class", class.as_str()));
        refreshed.into_iter().chain(told).collect()
    }

    /// The provider refused our client: the first time a second connection is asked, then the integration is stopped.
    async fn client_refused(&self, failure: &Failure) {
        let now = self.inner.clock.now();
        let health = &self.integration.health;
        let next_probe = Some(now.plus(self.policy.probe_interval));
        let (since, alone) = match health {
            Health::Ok => (now, !self.has_company()),
            Health::Suspected { since, connection, .. } => (*since, connection != self.id),
            Health::Misconfigured { since, .. } => (*since, true),
        };
        let detail = failure.detail.clone();
        let to = if alone {
            Health::Misconfigured { since, detail, next_probe }
        } else {
            Health::Suspected { since, detail, connection: self.id.clone() }
        };
        let news = to.is_misconfigured() && !health.is_misconfigured();
        let mut report = Report::default();
        if news {
            report.notices.push(NewNotice::new(NoticeKind::OperatorAlert, since));
            report.events.push(NewEvent::new("integration.misconfigured"));
        }
        if let Err(error) = self.inner.store.change_health(&self.integration.name, health, to, report, now).await {
            tracing::error!(integration = %self.integration.name, %error, "the integration's health could not be stored");
        }
    }

    /// A success mends an integration that was thought to be misconfigured.
    async fn mended(&self) {
        let health = &self.integration.health;
        if *health == Health::Ok {
            return;
        }
        let mut report = Report::default();
        if health.is_misconfigured() {
            report.events.push(NewEvent::new("integration.mended"));
        }
        let now = self.inner.clock.now();
        match self.inner.store.change_health(&self.integration.name, health, Health::Ok, report, now).await {
            Ok(_) => self.inner.nudge.notify_one(),
            Err(error) => {
                tracing::error!(integration = %self.integration.name, %error, "the integration's health could not be stored");
            }
        }
    }
}
