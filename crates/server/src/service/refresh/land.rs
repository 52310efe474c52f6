//! Steps 6 and 7 of a refresh: what the outcome means is decided, committed in one transaction, and only then told.

use std::time::Duration;

use evergrant_core::connection::{Life, ReauthReason, Status, Uncertain};
use evergrant_core::grant::{Grant, GrantFacts};
use evergrant_core::id::{AttemptId, ConnectionId};
use evergrant_core::lifecycle::{self, Event, Transition};
use evergrant_core::lifetime::{Expiry, TokenSet};
use evergrant_core::notice::NoticeKind;
use evergrant_core::outcome::{Class, Failure, Outcome};
use evergrant_core::planted::{self, Bug};
use evergrant_core::provider::ReplayKind;
use evergrant_core::schedule;
use evergrant_core::secret::RefreshToken;
use evergrant_core::time::Timestamp;
use evergrant_store::journal::Journalled;
use evergrant_store::refresh::{
    AttemptOutcome, Committed, Leased, RefreshedFrom, SuccessCommit, VerdictCommit, VerdictCommitted,
};
use evergrant_store::{NewEvent, NewNotice, Report, StoreError, TokenRecord};
use std::sync::Arc;

use super::flight::Flight;
use super::judge::Judgement;
use super::send::Sent;
use super::{CUT_OFF, Landing, NotSent, Refresher, Trigger};
use crate::provider::Answer;

/// The pause between tries of a commit that must hold.
pub(super) const COMMIT_RETRY: Duration = Duration::from_millis(250);

/// Which sending an outcome is of.
pub(super) struct Of {
    attempt: AttemptId,
    sent_at: Timestamp,
}

/// Lands an answer that an earlier process journalled and the database does not know.
///
/// # Errors
/// [`StoreError`]: then the entry stays, and is tried at the next start.
pub(super) async fn land_journalled(
    refresher: &Refresher,
    id: &ConnectionId,
    generation: u64,
    (found, judged): (&Journalled, bool),
) -> Result<(), StoreError> {
    let Some(flight) = Flight::of(refresher, id, Trigger::Background).await? else { return Ok(()) };
    let entry = &found.entry;
    let cut_off = entry.headers.iter().find(|(name, _)| name == CUT_OFF).map(|(_, why)| why.as_str());
    let body = bytes::Bytes::copy_from_slice(&entry.body);
    let answer = Answer { status: entry.status, headers: entry.headers.clone(), body };
    let (provider, purpose) = (&flight.integration.provider, flight.purpose());
    let stored = stored_tokens(refresher, id).await?;
    let known: Vec<&str> = stored.iter().map(String::as_str).collect();
    let outcome = match cut_off {
        None => super::classify(provider, &answer, entry.sent_at, purpose, &known),
        Some(why) => super::classify_cut_off(provider, &answer, why, entry.sent_at, purpose, &known),
    };
    // What was committed once and changed no grant is nothing to be told again, nor what somebody else has judged.
    if (found.committed || judged) && !outcome.brings_tokens() {
        return Ok(());
    }
    tracing::info!(connection = %id, "an answer that had reached the journal is brought into the database");
    let of = Of { attempt: entry.attempt.clone(), sent_at: entry.sent_at };
    // Whoever of this process holds it commits by generation.
    match refresher.0.store.claim_again(id, refresher.0.clock.now(), flight.policy.lease).await? {
        // An answer to a later generation than the stored one is newer all the more: the database lost some.
        Some(mut leased) if leased.generation <= generation => {
            leased.generation = generation;
            let sent = Sent::found(outcome, of.attempt, of.sent_at, cut_off.is_none());
            flight.land(*leased, sent).await.map(drop)
        }
        // It was the stored grant once, and has been spent.
        Some(leased) if found.committed => {
            let next_at = flight.next_at(&leased);
            refresher.0.store.release(*leased, next_at).await
        }
        Some(leased) => {
            flight.spare(&leased, outcome, &of, generation).await;
            let next_at = flight.next_at(&leased);
            refresher.0.store.release(*leased, next_at).await
        }
        None => {
            flight.orphan(outcome, &of, generation).await;
            Ok(())
        }
    }
}

/// What the stored grant holds: an answer that only repeats it is none.
async fn stored_tokens(refresher: &Refresher, id: &ConnectionId) -> Result<Vec<String>, StoreError> {
    let store = &refresher.0.store;
    let Some(record) = store.token_record(id, true).await? else { return Ok(Vec::new()) };
    let Some(grant) = store.open_grant(&record)? else { return Ok(Vec::new()) };
    let access = grant.access_token.as_ref().map(|token| token.expose().to_owned());
    let refresh = grant.refresh_token.as_ref().map(|token| token.expose().to_owned());
    Ok(access.into_iter().chain(refresh).collect())
}

impl Flight<'_> {
    /// An answer that the stored grant has overtaken is kept as a spare.
    async fn spare(&self, leased: &Leased, outcome: Outcome, of: &Of, generation: u64) {
        let Outcome::Success(tokens) = outcome else { return };
        let facts = self.facts(leased, &tokens, of.sent_at);
        let commit = self.bare(*tokens, facts, of);
        self.stored(&RefreshedFrom::journalled(self.id.clone(), generation), &commit).await;
    }

    /// Tokens of a connection that was ended: the provider is told that they end too.
    async fn orphan(&self, outcome: Outcome, of: &Of, generation: u64) {
        let Outcome::Success(tokens) = outcome else { return };
        let facts = GrantFacts {
            generation: generation + 1,
            issued_at: of.sent_at,
            expiry: tokens.expiry,
            lifetime_millis: None,
            token_id: self.inner.store.fingerprint(tokens.access_token.expose()),
            has_access_token: true,
            has_refresh_token: tokens.refresh_token.is_some(),
            refresh_expires_at: tokens.refresh_expires_at,
            scopes: Vec::new(),
            oddities: Vec::new(),
            short: false,
        };
        let commit = self.bare(*tokens, facts, of);
        self.stored(&RefreshedFrom::journalled(self.id.clone(), generation), &commit).await;
    }

    fn bare(&self, tokens: TokenSet, facts: GrantFacts, of: &Of) -> SuccessCommit {
        SuccessCommit {
            attempt: of.attempt.clone(),
            class: Class::Success,
            grant: Grant {
                access_token: Some(tokens.access_token),
                refresh_token: tokens.refresh_token,
                token_type: tokens.token_type,
            },
            life: Life::new(facts),
            next_at: None,
            provider_data: None,
            account: None,
            notices: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Takes an outcome to the database and says what became of the flight.
    pub(super) async fn land(&self, leased: Leased, mut sent: Sent) -> Result<Landing, StoreError> {
        let now = self.inner.clock.now();
        let (class, retry_after) = match &sent.outcome {
            Outcome::Success(_) => (Class::Success, None),
            Outcome::Failure(failure) => (failure.class, failure.retry_after),
        };
        if sent.of_provider {
            self.gate.ended(self.id, (class, retry_after), sent.admitted.take(), &self.policy, now);
        }
        self.inner.metrics.refreshed(&self.integration.name, class, now.since(sent.sent_at));
        let of = Of { attempt: sent.attempt, sent_at: sent.sent_at };
        let landing = match sent.outcome {
            Outcome::Success(tokens) => self.keep(&leased, *tokens, &of, sent.from.as_deref(), sent.whole).await,
            Outcome::Failure(failure) => self.refuse(&leased, failure, &of).await,
        };
        if let Some(seq) = sent.journalled {
            self.inner.store.journal().mark_committed(seq);
        }
        Ok(landing)
    }

    /// A grant came: it is stored by generation, again and again until it is.
    async fn keep(&self, leased: &Leased, tokens: TokenSet, of: &Of, from: Option<&Grant>, whole: bool) -> Landing {
        let now = self.inner.clock.now();
        let before = &leased.connection.life;
        let sent_from = from.or(leased.grant.as_deref());
        let rotated = tokens.refresh_token.is_some();
        let facts = self.facts(leased, &tokens, of.sent_at);
        let facts = if whole { facts } else { facts.with_lifetime_of(before.grant.as_ref()) };
        let repeats = self.integration.provider.replay == ReplayKind::Idempotent;
        let facts = match before.uncertain {
            Some(uncertain) if repeats => facts.begun_at(uncertain.since),
            _ => facts,
        };
        let kept = sent_from.and_then(|grant| grant.refresh_token.clone());
        let grant = Grant {
            access_token: Some(tokens.access_token),
            refresh_token: tokens.refresh_token.or(kept.filter(|_| !planted::is(Bug::EmptyRefreshTokenErases))),
            token_type: tokens.token_type,
        };
        let around = self.around(leased, false);
        let mut transition = lifecycle::advance(before.clone(), Event::Refreshed { grant: facts }, &around, now);
        if !whole && !rotated && self.integration.provider.replay != ReplayKind::None {
            // The answer broke off after the access token: a new refresh token may have stood behind it.
            transition.life.uncertain = Some(Uncertain { since: of.sent_at, sendings: 1 });
        }
        let known = &leased.connection.provider_data;
        let news = tokens.provider_data.iter().any(|(name, value)| known.get(name) != Some(value));
        let commit = SuccessCommit {
            attempt: of.attempt.clone(),
            class: Class::Success,
            grant,
            next_at: self.due(&transition),
            notices: self.notices(leased, &transition, now),
            events: self.events(&transition, Class::Success),
            provider_data: news.then_some(tokens.provider_data),
            account: None,
            life: transition.life,
        };
        #[cfg(feature = "planted")]
        if let Some(landing) = self.planted_before_commit(leased, &commit, of).await {
            return landing;
        }
        let landing = match self.stored(&leased.source(), &commit).await {
            Committed::Stored { record, .. } => Landing::Refreshed(record),
            Committed::Superseded { record } => {
                tracing::warn!(connection = %self.id, "an answer came too late: a newer grant is stored. It changes nothing, and is kept as a spare");
                Landing::Overtaken(record)
            }
            Committed::Disconnected => Landing::NotSent(NotSent::Gone),
        };
        self.mended().await;
        landing
    }

    /// Commits what an answer brought, again and again until it holds: it is the only copy but the journal's.
    async fn stored(&self, source: &RefreshedFrom, commit: &SuccessCommit) -> Committed {
        loop {
            match self.inner.store.commit_success(source, commit.clone(), self.inner.clock.now()).await {
                Ok(committed) => return committed,
                Err(error) => {
                    tracing::error!(connection = %self.id, %error, "a new grant is not stored yet; it is kept in the journal and tried again");
                    self.inner.clock.sleep(COMMIT_RETRY).await;
                }
            }
        }
    }

    fn facts(&self, leased: &Leased, tokens: &TokenSet, sent_at: Timestamp) -> GrantFacts {
        let before = leased.connection.life.grant.as_ref();
        let lost = leased.connection.life.uncertain.map(|lost| lost.since);
        let issued_at = schedule::counted_from(lost, &self.integration.provider, sent_at);
        let as_first = |at: Timestamp| at.minus(sent_at.since(issued_at));
        let (expiry, lifetime) = match tokens.expiry {
            Expiry::At { at } => (Expiry::At { at: as_first(at) }, u64::try_from(at.since(sent_at).as_millis()).ok()),
            other @ (Expiry::Unknown | Expiry::Never) => (other, None),
        };
        let sliding = self.integration.provider.idle_limit().map(|limit| issued_at.plus(limit));
        let kept_end = before.and_then(|facts| facts.refresh_expires_at);
        GrantFacts {
            generation: leased.generation + 1,
            issued_at,
            expiry,
            lifetime_millis: lifetime,
            token_id: self.inner.store.fingerprint(tokens.access_token.expose()),
            has_access_token: true,
            has_refresh_token: tokens.refresh_token.is_some() || before.is_some_and(|facts| facts.has_refresh_token),
            refresh_expires_at: tokens.refresh_expires_at.map(as_first).or(sliding).or(kept_end),
            scopes: tokens.scopes.clone().or_else(|| before.map(|facts| facts.scopes.clone())).unwrap_or_default(),
            oddities: tokens.oddities.clone(),
            short: false,
        }
    }

    /// No grant came: what follows is stored by fence, if the refresh token that was sent is still the stored one.
    pub(super) async fn refuse(&self, leased: &Leased, failure: Failure, of: &Of) -> Landing {
        let now = self.inner.clock.now();
        let class = failure.class;
        let pulled_with = self.counted(class, now);
        let around = self.around(leased, self.gate.brake_pulled());
        let event = Event::Failed { failure: failure.clone(), sent_at: of.sent_at };
        let transition = lifecycle::advance(leased.connection.life.clone(), event, &around, now);
        let client_refused = transition.client_refused;
        let record = match failure.salvaged_refresh_token.clone() {
            Some(token) => self.salvage(leased, transition, token, class, of).await,
            None => {
                let outcome = AttemptOutcome { attempt: of.attempt.clone(), class, detail: failure.detail.clone() };
                self.commit_life(leased, transition, Some(outcome), class, now).await
            }
        };
        if client_refused {
            self.client_refused(&failure).await;
        }
        if let Some(others) = pulled_with {
            self.brake_pulled(others, now).await;
        }
        match record {
            Some(record) => {
                self.count_lost(leased, &record);
                Landing::Ended { record, failure: Box::new(failure) }
            }
            None => Landing::NotSent(NotSent::Changed),
        }
    }

    /// An answer without a usable access token brought a whole refresh token: the old one is spent, so this one is kept.
    async fn salvage(
        &self,
        leased: &Leased,
        transition: Transition,
        token: RefreshToken,
        class: Class,
        of: &Of,
    ) -> Option<Arc<TokenRecord>> {
        let now = self.inner.clock.now();
        let stored = leased.grant.as_deref();
        let mut life = transition.life.clone();
        // The new token has never been sent.
        life.uncertain = None;
        if let Some(facts) = life.grant.as_mut() {
            facts.has_refresh_token = true;
            let sliding = self.integration.provider.idle_limit().map(|limit| of.sent_at.plus(limit));
            facts.refresh_expires_at = sliding.or(facts.refresh_expires_at);
        }
        let commit = SuccessCommit {
            attempt: of.attempt.clone(),
            class,
            grant: Grant {
                access_token: stored.and_then(|grant| grant.access_token.clone()),
                refresh_token: Some(token),
                token_type: stored.map(|grant| grant.token_type.clone()).unwrap_or_default(),
            },
            next_at: self.due(&transition),
            notices: self.notices(leased, &transition, now),
            events: self.events(&transition, class),
            provider_data: None,
            account: None,
            life,
        };
        match self.stored(&leased.source(), &commit).await {
            Committed::Stored { record, .. } | Committed::Superseded { record } => Some(record),
            Committed::Disconnected => None,
        }
    }

    /// Counts a refusal for the mass-verdict brake; when it pulls it, those that were refused shortly before.
    fn counted(&self, class: Class, now: Timestamp) -> Option<Vec<ConnectionId>> {
        if !matches!(class, Class::InvalidGrant | Class::AuthRejected | Class::Unknown) {
            return None;
        }
        let connections = self.inner.store.status_counts(&self.integration.name).living();
        self.gate.refused(self.id, connections, &self.policy, now)
    }

    /// So many refusals at once are hardly their people's fault: the operator is told, and verdicts are taken back.
    async fn brake_pulled(&self, others: Vec<ConnectionId>, now: Timestamp) {
        let what = format!(
            "{} connections were refused by the provider within {} minutes. That is hardly their people's doing: a wrong \
             client, a moved address or trouble at the provider looks like this. Nobody was told, every token was kept; \
             three of them are tried again in {} minutes. Look at the integration and at the provider's status page.",
            others.len() + 1,
            self.policy.brake_window.as_secs().div_ceil(60),
            self.policy.brake_retry.as_secs().div_ceil(60),
        );
        tracing::warn!(integration = %self.integration.name, "{what}");
        let mut alert = NewNotice::new(NoticeKind::OperatorAlert, now);
        alert.detail.insert("what".to_owned(), what.as_str().into());
        let event = NewEvent::new("integration.verdicts_suspended").with("what", what.as_str());
        let report = Report { notices: vec![alert], ..Report::default() }.event(event);
        if let Err(error) = self.inner.store.note(Some(&self.integration.name), report, now).await {
            tracing::error!(integration = %self.integration.name, %error, "the operator could not be told of suspended verdicts");
        }
        self.refresher.judge(others, Judgement::BrakePulled);
    }

    /// A grant whose answer was lost on the way is told apart from one that was revoked.
    fn count_lost(&self, leased: &Leased, record: &TokenRecord) {
        let is_lost =
            |status: &Status| matches!(status, Status::NeedsReauth { reason: ReauthReason::RefreshOutcomeLost, .. });
        if is_lost(&record.connection.life.status) && !is_lost(&leased.connection.life.status) {
            self.inner.metrics.outcome_lost(&self.integration.name);
        }
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
        let events = self.events(&transition, class);
        self.commit_told(leased, transition, outcome, events, now).await
    }

    /// The same with events of one's own.
    pub(super) async fn commit_told(
        &self,
        leased: &Leased,
        transition: Transition,
        outcome: Option<AttemptOutcome>,
        events: Vec<NewEvent>,
        now: Timestamp,
    ) -> Option<Arc<TokenRecord>> {
        let commit = VerdictCommit {
            outcome,
            next_at: self.due(&transition),
            notices: self.notices(leased, &transition, now),
            events,
            life: transition.life,
        };
        loop {
            match self.inner.store.commit_verdict(leased, commit.clone(), self.inner.clock.now()).await {
                Ok(VerdictCommitted::Stored(record)) => return Some(record),
                Ok(VerdictCommitted::FenceLost | VerdictCommitted::GrantChanged) => {
                    tracing::warn!(connection = %self.id, "the outcome of a refresh came too late: another lease or a newer grant holds. It changes nothing");
                    return None;
                }
                Err(error) => {
                    tracing::error!(connection = %self.id, %error, "the outcome of a refresh is not stored yet; it is tried again");
                    self.inner.clock.sleep(COMMIT_RETRY).await;
                }
            }
        }
    }

    fn due(&self, transition: &Transition) -> Option<Timestamp> {
        let jitter = self.inner.jitter(self.id);
        schedule::due_at(&transition.life, &self.integration.provider, &self.policy, jitter)
    }

    fn notices(&self, leased: &Leased, transition: &Transition, now: Timestamp) -> Vec<NewNotice> {
        let episode = |life: &Life| life.episode.as_ref().map(|episode| episode.since);
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
            NoticeKind::OperatorAlert => Some("connection.operator_alert"),
            // Each is told otherwise.
            NoticeKind::Refreshed | NoticeKind::Expiring => None,
        });
        let reason = transition.life.status.reason().map(ReauthReason::as_str);
        let told = told.map(|kind| {
            let event = NewEvent::new(kind).with("class", class.as_str());
            reason.into_iter().fold(event, |event, reason| event.with("reason", reason))
        });
        refreshed.into_iter().chain(told).collect()
    }
}
