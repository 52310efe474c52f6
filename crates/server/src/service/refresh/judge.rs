//! What is found out about a connection without a call of its own, brought to it under its lease.
//!
//! The mass-verdict brake and the integration's health speak of many connections at once; each of these has its own life,
//! which only the holder of its lease may change.

use evergrant_core::connection::{Life, Status};
use evergrant_core::id::ConnectionId;
use evergrant_core::integration::Integration;
use evergrant_core::lifecycle::{self, Event};
use evergrant_core::notice::NoticeKind;
use evergrant_core::outcome::{Class, Failure};
use evergrant_store::refresh::Claim;
use evergrant_store::{NewEvent, NewNotice, StoreError};

use super::flight::Flight;
use super::{Landing, NotSent, Refresher, Trigger};

/// What was found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// The mass-verdict brake was pulled after its verdict.
    BrakePulled,
    /// The sample of a pulled brake has been tried.
    BrakeReleased {
        /// Whether the verdicts apply.
        apply: bool,
    },
    /// The provider refused our client for this connection and accepts it for another one.
    ClientCleared,
    /// The database is an older one, and its refresh token has been spent since.
    Superseded,
    /// Its token ended long ago, and an open breaker keeps it from being renewed.
    Stalled,
}

/// How many are looked at in one go.
const STALLED_PAGE: usize = 200;

impl Refresher {
    /// Brings a judgement to connections, each in a task of the service's own.
    pub(super) fn judge(&self, connections: Vec<ConnectionId>, judgement: Judgement) {
        for id in connections {
            let refresher = self.clone();
            self.0.tasks.spawn(async move {
                if let Landing::NotSent(NotSent::Storage | NotSent::Elsewhere { .. }) =
                    refresher.fly(&id, Trigger::Judge(judgement)).await
                {
                    tracing::warn!(connection = %id, ?judgement, "a connection could not be told; its own next refresh finds out");
                }
            });
        }
    }

    /// Marks a connection whose refresh token has been spent since the database was copied; false if it could not be done.
    pub(crate) async fn superseded(&self, id: &ConnectionId) -> bool {
        let landed = self.fly(id, Trigger::Judge(Judgement::Superseded)).await;
        matches!(landed, Landing::NotSent(NotSent::NotDue | NotSent::Gone))
    }

    /// Tells of an outage: `trouble`, once, to each connection whose token ended 15 minutes ago while the breaker of its
    /// integration is open. Looks at each of them once in an outage.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    pub(crate) async fn tell_stalled(&self) -> Result<(), StoreError> {
        for (name, gate) in self.0.gates.broken() {
            let Some(integration) = self.0.store.integration(&name) else { continue };
            let long_ago = self.0.clock.now().minus(integration.policy(&self.0.base).backoff_max);
            let found = self.0.store.expired(&name, gate.stalled_told(), long_ago, STALLED_PAGE).await?;
            let first_in_this_outage = gate.stalled_told().1.is_empty();
            if let Some((at, id)) = found.last() {
                gate.set_stalled_told((*at, id.to_string()));
                if first_in_this_outage {
                    self.tell_outage(&integration).await?;
                }
            }
            self.judge(found.into_iter().map(|(_, id)| id).collect(), Judgement::Stalled);
        }
        Ok(())
    }
}

impl Refresher {
    /// One word to the operator for the whole outage, whoever it hits.
    async fn tell_outage(&self, integration: &Integration) -> Result<(), StoreError> {
        let now = self.0.clock.now();
        let what = format!(
            "The provider does not answer, and access tokens have begun to end: {} connections are affected. None is lost and \
             nobody is told by mail; all of them are renewed by themselves when it is back. Look at its status page.",
            self.0.store.status_counts(&integration.name).living()
        );
        tracing::warn!(integration = %integration.name, "{what}");
        let kind = "integration.unavailable";
        let mut notice = NewNotice { matter: kind, ..NewNotice::new(NoticeKind::OperatorAlert, now) };
        notice.detail.insert("what".to_owned(), what.as_str().into());
        let event = NewEvent::new(kind).with("what", what.as_str());
        self.0.store.note_once(&integration.name, notice, event, now).await.map(drop)
    }
}

impl Flight<'_> {
    /// Claims, decides, commits; sends nothing.
    pub(super) async fn judged(&self, judgement: Judgement) -> Result<Landing, StoreError> {
        let now = self.inner.clock.now();
        let leased = match self.inner.store.claim(self.id, now, self.policy.lease).await? {
            Claim::Leased(leased) => *leased,
            Claim::Busy { until, .. } => return Ok(Landing::NotSent(NotSent::Elsewhere { until })),
            Claim::Gone => return Ok(Landing::NotSent(NotSent::Gone)),
        };
        let life = leased.connection.life.clone();
        // A sending that nobody has decided is settled first, by the next refresh.
        let event =
            self.event(judgement, &life).filter(|_| leased.open_intent.is_none() || judgement == Judgement::Superseded);
        let changed = event.map(|event| lifecycle::advance(life.clone(), event, &self.around(&leased, false), now));
        match changed.filter(|transition| transition.life != life) {
            Some(transition) => {
                let record = self.commit_life(&leased, transition, None, class(judgement), now).await;
                Ok(Landing::NotSent(if record.is_some() { NotSent::NotDue } else { NotSent::Changed }))
            }
            None => {
                let next_at = self.next_at(&leased);
                self.inner.store.release(leased, next_at).await?;
                Ok(Landing::NotSent(NotSent::NotDue))
            }
        }
    }

    /// What the judgement is for this life; none where it is overtaken.
    fn event(&self, judgement: Judgement, life: &Life) -> Option<Event> {
        match judgement {
            Judgement::BrakePulled => {
                let judged = matches!(life.status, Status::NeedsReauth { .. }) && self.gate.brake_pulled();
                judged.then_some(Event::BrakePulled)
            }
            Judgement::BrakeReleased { apply } => life.suspect.map(|_| Event::BrakeReleased { apply }),
            Judgement::ClientCleared => {
                let last = life.last_failure.as_ref().filter(|last| last.class == Class::InvalidClient)?;
                let failure = Failure { class: Class::AuthRejected, ..Failure::network(last.detail.clone()) };
                Some(Event::Failed { failure, sent_at: last.at })
            }
            Judgement::Stalled => Some(Event::Stalled),
            Judgement::Superseded => Some(Event::Superseded),
        }
    }
}

const fn class(judgement: Judgement) -> Class {
    match judgement {
        Judgement::BrakePulled | Judgement::BrakeReleased { .. } => Class::InvalidGrant,
        Judgement::ClientCleared => Class::AuthRejected,
        Judgement::Superseded => Class::Ambiguous,
        Judgement::Stalled => Class::Unavailable,
    }
}
