//! One refresh of one connection: the seven steps of `docs/lifecycle.md`, "What must survive".
//!
//! Runs in a task that the service owns: a caller that goes away cancels nothing, and a shutdown waits. Nothing here
//! decides what an outcome means (that is `evergrant_core::lifecycle`) or whether a grant is replaced (that is the store,
//! by generation and fence).

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::circuit::Trial;
use evergrant_core::connection::Status;
use evergrant_core::id::ConnectionId;
use evergrant_core::integration::{Health, Integration};
use evergrant_core::lifecycle::{self, Circumstances, Event};
use evergrant_core::outcome::{Class, Failure};
use evergrant_core::planted::{self, Bug};
use evergrant_core::policy::Policy;
use evergrant_core::provider::Unfilled;
use evergrant_core::schedule::{self, MinTtl};
use evergrant_core::time::Timestamp;
use evergrant_store::refresh::{Claim, Leased};
use evergrant_store::{StoreError, Watch};

use super::gate::{Gate, Probe, Slot, Urgency};
use super::judge::Judgement;
use super::send::{Sent, Unconnected};
use super::{Inner, Landing, NotSent, Refresher, Trigger, by_schedule};

/// What is fixed for one flight.
pub(super) struct Flight<'a> {
    pub(super) refresher: &'a Refresher,
    pub(super) inner: &'a Inner,
    pub(super) id: &'a ConnectionId,
    pub(super) trigger: Trigger,
    /// With the addresses of this connection.
    pub(super) integration: Arc<Integration>,
    /// Why there are none.
    pub(super) unfilled: Option<Unfilled>,
    pub(super) policy: Policy,
    pub(super) gate: Arc<Gate>,
    /// The generation of the grant when it began.
    generation: Option<u64>,
}

/// Flies: from the claim to the commit.
pub(super) async fn fly(refresher: &Refresher, id: &ConnectionId, trigger: Trigger, slot: Option<Slot>) -> Landing {
    match try_fly(refresher, id, trigger, slot).await {
        Ok(landing) => landing,
        Err(error @ StoreError::Corrupt { .. }) => {
            tracing::error!(connection = %id, %error, "a grant does not open; nothing was sent");
            Landing::NotSent(NotSent::Unreadable)
        }
        Err(error) => {
            tracing::error!(connection = %id, %error, "a refresh could not be begun; nothing was sent");
            Landing::NotSent(NotSent::Storage)
        }
    }
}

async fn try_fly(
    refresher: &Refresher,
    id: &ConnectionId,
    trigger: Trigger,
    slot: Option<Slot>,
) -> Result<Landing, StoreError> {
    let mut slot = slot;
    // Before anything is read: what another node commits from now on is told.
    let watch = refresher.0.store.watch(id);
    loop {
        let Some(flight) = Flight::of(refresher, id, trigger).await? else {
            return Ok(Landing::NotSent(NotSent::Gone));
        };
        let landing = flight.tried_once(slot.take()).await?;
        // Nobody waits for a flight in the background, and its place is wanted by others.
        let Landing::NotSent(NotSent::Elsewhere { until }) = landing else { return Ok(landing) };
        if trigger == Trigger::Background {
            return Ok(landing);
        }
        if let Some(landing) = flight.ended_elsewhere(&watch, until).await? {
            return Ok(landing);
        }
    }
}

impl<'a> Flight<'a> {
    /// One try; ends at once where another node has the lease.
    async fn tried_once(&self, slot: Option<Slot>) -> Result<Landing, StoreError> {
        let (flight, inner, trigger) = (self, self.inner, self.trigger);
        if let Trigger::Judge(judgement) = trigger {
            return flight.judged(judgement).await;
        }
        if inner.store.quarantine().is_some() {
            return Ok(Landing::NotSent(NotSent::Quarantined));
        }
        let _probe = match flight.barred() {
            Ok(probe) => probe,
            Err(why) => return Ok(Landing::NotSent(why)),
        };
        let urgency = if trigger == Trigger::Background { Urgency::Background } else { Urgency::Waiting };
        let _slot = match slot {
            Some(slot) => Some(slot),
            None => flight.gate.slot(urgency).await,
        };
        let rate = flight.integration.provider.refresh_rate_per_minute.map(|rate| super::share(rate, inner.nodes()));
        let pause = flight.gate.take_rate(rate, inner.clock.now());
        if !pause.is_zero() {
            inner.clock.sleep(pause).await;
        }
        let landed = flight.claimed().await;
        flight.tried(landed.as_ref().ok());
        landed
    }

    /// Waits until another node has ended its refresh, or may not be at it any more. What it brought is the outcome of this
    /// flight too; none: it is to be looked at again.
    async fn ended_elsewhere(&self, watch: &Watch, until: Timestamp) -> Result<Option<Landing>, StoreError> {
        let rest = until.until_from(self.inner.clock.now()).max(Duration::from_millis(20));
        tokio::select! {
            () = watch.changed() => {}
            () = self.inner.clock.sleep(rest) => {}
            () = self.inner.stop.cancelled() => return Ok(Some(Landing::NotSent(NotSent::Elsewhere { until }))),
        }
        let Some(record) = self.inner.store.token_record(self.id, true).await? else {
            return Ok(Some(Landing::NotSent(NotSent::Gone)));
        };
        let life = &record.connection.life;
        if life.grant.as_ref().map(|facts| facts.generation) != self.generation {
            return Ok(Some(Landing::Refreshed(record)));
        }
        let min_ttl = match self.trigger {
            Trigger::Demand(min_ttl) => min_ttl,
            _ => MinTtl::Default,
        };
        let now = self.inner.clock.now();
        let wanted = schedule::demand(life, &self.integration.provider, &self.policy, min_ttl, now);
        let over = !matches!(wanted, schedule::Demand::Refresh { .. });
        Ok(over.then_some(Landing::NotSent(NotSent::Changed)))
    }

    /// What is fixed for a flight of this connection; none if it or its integration is gone.
    pub(super) async fn of(
        refresher: &'a Refresher,
        id: &'a ConnectionId,
        trigger: Trigger,
    ) -> Result<Option<Self>, StoreError> {
        let inner = refresher.0.as_ref();
        let Some(record) = inner.store.token_record(id, true).await? else { return Ok(None) };
        let Some(integration) = inner.store.integration(&record.connection.integration) else { return Ok(None) };
        let (integration, unfilled) = match integration.at(&record.connection.provider_data) {
            Ok(at) => (at, None),
            Err(unfilled) => (integration, Some(unfilled)),
        };
        let kind = record.connection.account.as_ref().and_then(|account| account.kind.as_deref());
        let integration = integration.of_kind(kind);
        let policy = integration.policy(&inner.base);
        let gate = inner.gate(&integration.name, &policy);
        let generation = record.connection.life.grant.as_ref().map(|facts| facts.generation);
        Ok(Some(Flight { refresher, inner, id, trigger, integration, unfilled, policy, gate, generation }))
    }

    /// Why nothing may be sent through this integration at all; else, where it is misconfigured, the one probe.
    fn barred(&self) -> Result<Option<Probe>, NotSent> {
        if self.integration.paused {
            return Err(NotSent::Paused);
        }
        if !self.inner.store.journal().healthy() {
            return Err(NotSent::Storage);
        }
        match &self.integration.health {
            Health::Misconfigured { next_probe, .. } if next_probe.is_none_or(|at| at > self.inner.clock.now()) => {
                Err(NotSent::Misconfigured)
            }
            Health::Misconfigured { .. } => self.gate.probe().map(Some).ok_or(NotSent::Misconfigured),
            Health::Suspected { connection, .. } if connection == self.id && self.has_company() => {
                Err(NotSent::Misconfigured)
            }
            Health::Ok | Health::Suspected { .. } | Health::Mending { .. } => Ok(None),
        }
    }

    /// What a flight of one of the brake's sample came to; decides about the others where it was the last.
    fn tried(&self, landed: Option<&Landing>) {
        let refused = match landed {
            Some(Landing::Refreshed(_) | Landing::Overtaken(_)) => Some(false),
            Some(Landing::Ended { failure, .. }) => match failure.class {
                Class::InvalidGrant | Class::AuthRejected | Class::Unknown => Some(true),
                Class::InvalidClient => Some(false),
                _ => None,
            },
            Some(Landing::NotSent(_)) | None => None,
        };
        if let Some(decision) = self.gate.tried(self.id, refused, self.inner.clock.now()) {
            let apply = decision.apply;
            tracing::warn!(integration = %self.integration.name, apply, "a sample of suspected connections was tried again");
            self.refresher.judge(decision.suspects, Judgement::BrakeReleased { apply });
        }
    }

    pub(super) fn has_company(&self) -> bool {
        self.inner.store.status_counts(&self.integration.name).connected > 1
    }

    /// Step 1: the lease. Then everything is looked at again.
    async fn claimed(&self) -> Result<Landing, StoreError> {
        let now = self.inner.clock.now();
        let lease = if planted::is(Bug::ShortLease) { self.policy.lease / 20 } else { self.policy.lease };
        let leased = match self.inner.store.claim(self.id, now, lease).await? {
            Claim::Leased(leased) => *leased,
            Claim::Busy { until, .. } => return Ok(Landing::NotSent(NotSent::Elsewhere { until })),
            Claim::Gone => return Ok(Landing::NotSent(NotSent::Gone)),
        };
        if let Some(intent) = leased.open_intent.clone() {
            // A process died between sending and writing down what came: nobody can answer it any more.
            return self.land(leased, Sent::orphaned(intent.attempt, intent.sending_at)).await;
        }
        if let Some(suspect) = leased.connection.life.suspect.filter(|_| self.trigger != Trigger::Force) {
            match self.gate.trial(self.id, suspect.since, &self.policy, now) {
                Trial::Try => {}
                Trial::Wait(until) => {
                    self.inner.store.release(leased, Some(until)).await?;
                    return Ok(Landing::NotSent(NotSent::NotBefore { until }));
                }
                Trial::Decided { apply } => {
                    let event = Event::BrakeReleased { apply };
                    let life = leased.connection.life.clone();
                    let transition = lifecycle::advance(life, event, &self.around(&leased, false), now);
                    self.commit_life(&leased, transition, None, Class::InvalidGrant, now).await;
                    return Ok(Landing::NotSent(NotSent::Changed));
                }
            }
        }
        if let Some(landing) = self.not_needed(&leased) {
            let next_at = self.next_at(&leased);
            self.inner.store.release(leased, next_at).await?;
            return Ok(landing);
        }
        if self.ended(&leased) {
            return self.mark_ended(leased).await;
        }
        if self.ends_soon(&leased) {
            return self.tell_end(leased).await;
        }
        self.gate.first_try();
        match self.connected(&leased).await {
            Ok(way) => self.sent(leased, way).await,
            Err(Unconnected::Barred(why)) => {
                self.inner.store.release(leased, Some(why.until().unwrap_or(now.plus(self.policy.retry_max)))).await?;
                Ok(Landing::NotSent(why))
            }
            Err(Unconnected::Failed(detail)) => {
                let sent = Sent::failed(Failure::network(&detail), self.inner.attempt_id(), now);
                self.land(leased, sent).await
            }
        }
    }

    pub(super) fn next_at(&self, leased: &Leased) -> Option<Timestamp> {
        schedule::due_at(&leased.connection.life, &self.integration.provider, &self.policy, self.inner.jitter(self.id))
    }

    /// Whether what this flight was for has been done meanwhile, or may not be done now.
    fn not_needed(&self, leased: &Leased) -> Option<Landing> {
        let (life, now) = (&leased.connection.life, self.inner.clock.now());
        let provider = &self.integration.provider;
        let done = || Some(Landing::NotSent(NotSent::NotDue));
        match self.trigger {
            Trigger::Demand(min_ttl) => match schedule::demand(life, provider, &self.policy, min_ttl, now) {
                schedule::Demand::Refresh { .. } | schedule::Demand::NothingRenews => None,
                _ => done(),
            },
            Trigger::Background => {
                let due = schedule::due_at(life, provider, &by_schedule(&self.policy), self.inner.jitter(self.id));
                if due.is_some_and(|due| due <= now) { None } else { done() }
            }
            Trigger::Force => {
                let earliest = life.grant.as_ref().and_then(|facts| schedule::earliest_refresh(facts, provider));
                let barred = [life.not_before, earliest].into_iter().flatten().max().filter(|at| *at > now);
                barred.map(|until| Landing::NotSent(NotSent::NotBefore { until }))
            }
            Trigger::Judge(_) => done(),
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

    pub(super) fn around(&self, leased: &Leased, brake: bool) -> Circumstances<'_> {
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
