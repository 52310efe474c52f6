//! What callers get: a token at once where one is good enough, else the outcome of the one flight, up to their deadline.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::connection::{Connection, LastFailure, ReauthReason, Status};
use evergrant_core::id::ConnectionId;
use evergrant_core::integration::{Health, Integration};
use evergrant_core::outcome::Class;
use evergrant_core::policy::Policy;
use evergrant_core::schedule::{self, Demand, Freshness, MinTtl};
use evergrant_core::secret::AccessToken;
use evergrant_core::time::Timestamp;
use evergrant_store::{StoreError, TokenRecord};

use super::{Landing, NotSent, Refresher, Trigger};

/// What a caller asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenAsk {
    /// At least this much life; the policy's default otherwise.
    pub min_ttl: Option<Duration>,
    /// How long to wait for a refresh; the policy's default otherwise.
    pub wait: Option<Duration>,
    /// Whether the database is asked even where memory knows.
    pub consistent: bool,
}

/// A token that may leave.
#[derive(Clone, Debug)]
pub struct HandOut {
    /// Whose.
    pub connection: Arc<Connection>,
    /// It.
    pub access_token: AccessToken,
    /// `Bearer` mostly.
    pub token_type: String,
    /// Names it without revealing it.
    pub token_id: String,
    /// When it ends, where that is known.
    pub expires_at: Option<Timestamp>,
    /// How fresh it is, for what was asked.
    pub freshness: Freshness,
    /// Whether this call waited for a refresh that brought it.
    pub refreshed: bool,
    /// Whether the subject must reconnect although this token still lives.
    pub needs_reauth: bool,
}

/// Why no token leaves.
#[derive(Clone, Debug)]
pub enum TokenRefusal {
    /// There is no such connection.
    NotFound,
    /// It was ended on purpose.
    NotConnected {
        /// It.
        connection: Arc<Connection>,
    },
    /// The subject must reconnect.
    NeedsReauth {
        /// The connection.
        connection: Arc<Connection>,
        /// Why.
        reason: ReauthReason,
        /// What the provider said, scrubbed.
        detail: String,
        /// Since when.
        since: Timestamp,
    },
    /// The operator must mend the integration.
    IntegrationMisconfigured {
        /// Which.
        integration: evergrant_core::id::IntegrationName,
        /// Since when.
        since: Timestamp,
        /// What the provider said, scrubbed.
        detail: String,
    },
    /// The operator has paused the integration.
    IntegrationPaused,
    /// The database waits for the operator to adopt it.
    Quarantined,
    /// No live token, and the provider refused without saying why.
    ProviderError {
        /// The last outcome.
        class: Class,
        /// What it said, scrubbed.
        detail: String,
        /// When the next try is.
        retry_after: Option<Duration>,
    },
    /// No live token, and the last outcome says nothing of the grant.
    ProviderUnavailable {
        /// The last outcome, if there was one.
        class: Option<Class>,
        /// What happened.
        detail: String,
        /// When to ask again.
        retry_after: Duration,
    },
    /// The database is away.
    StorageUnavailable {
        /// When to ask again.
        retry_after: Duration,
    },
    /// No access token is stored, and nothing renews the grant.
    NoToken,
}

/// What a caller is told to wait when the database is away.
const STORAGE_RETRY: Duration = Duration::from_secs(5);

impl From<StoreError> for TokenRefusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store could not be read");
        TokenRefusal::StorageUnavailable { retry_after: STORAGE_RETRY }
    }
}

/// One caller's question.
struct Question<'a> {
    refresher: &'a Refresher,
    integration: Arc<Integration>,
    policy: Policy,
    min_ttl: MinTtl,
}

impl Refresher {
    /// A token of a connection: at once where one is good enough, else after one refresh.
    ///
    /// # Errors
    /// A [`TokenRefusal`], which says who has to do what.
    pub async fn token(&self, id: &ConnectionId, ask: TokenAsk) -> Result<HandOut, TokenRefusal> {
        let record = self.0.store.token_record(id, ask.consistent).await?.ok_or(TokenRefusal::NotFound)?;
        let integration = self.0.store.integration(&record.connection.integration).ok_or(TokenRefusal::NotFound)?;
        let policy = integration.policy(&self.0.base);
        let wait = ask.wait.unwrap_or(policy.wait);
        let min_ttl = ask.min_ttl.map_or(MinTtl::Default, MinTtl::Explicit);
        let question = Question { refresher: self, integration, policy, min_ttl };
        match question.demand(&record) {
            Demand::Refresh { live } => question.refreshed(&record, live, wait).await,
            demand => question.answer(&record, &demand, false),
        }
    }
}

impl Question<'_> {
    fn now(&self) -> Timestamp {
        self.refresher.0.clock.now()
    }

    fn demand(&self, record: &TokenRecord) -> Demand {
        let life = &record.connection.life;
        schedule::demand(life, &self.integration.provider, &self.policy, self.min_ttl, self.now())
    }

    /// Waits for the one flight, up to the deadline; the flight goes on without its callers.
    async fn refreshed(&self, record: &TokenRecord, live: bool, wait: Duration) -> Result<HandOut, TokenRefusal> {
        if let Some(barred) = self.barred() {
            return if live { self.hand_out(record, false) } else { Err(barred) };
        }
        let id = &record.connection.id;
        #[cfg(feature = "planted")]
        let _caller = super::planted::GoesWithCaller(self.refresher.clone(), id.clone());
        let flight = self.refresher.fly(id, Trigger::Demand(self.min_ttl));
        let landed = tokio::select! {
            biased;
            landing = flight => Some(landing),
            () = self.refresher.0.clock.sleep(wait) => None,
        };
        let Some(landing) = landed else {
            return if live { self.hand_out(record, false) } else { Err(self.under_way()) };
        };
        let refreshed = matches!(landing, Landing::Refreshed(_));
        let latest = match &landing {
            Landing::Refreshed(record) | Landing::Overtaken(record) | Landing::Ended { record, .. } => record.clone(),
            Landing::NotSent(_) => {
                self.refresher.0.store.token_record(id, true).await?.ok_or(TokenRefusal::NotFound)?
            }
        };
        if refreshed {
            return self.hand_out(&latest, true);
        }
        match (self.demand(&latest), landing) {
            (Demand::Refresh { live: true }, _) => self.hand_out(&latest, false),
            (Demand::Refresh { live: false }, Landing::NotSent(why)) => Err(self.not_sent(why)),
            (Demand::Refresh { live: false }, _) => Err(self.last_outcome(&latest, self.now())),
            (demand, _) => self.answer(&latest, &demand, false),
        }
    }

    fn answer(&self, record: &TokenRecord, demand: &Demand, refreshed: bool) -> Result<HandOut, TokenRefusal> {
        match demand {
            Demand::HandOut | Demand::Wait { live: true, .. } | Demand::NeedsReauth { live: true, .. } => {
                self.hand_out(record, refreshed)
            }
            Demand::Wait { until, .. } if self.shows_expired(record) => {
                self.hand_out(record, refreshed).map_err(|_| self.last_outcome(record, *until))
            }
            Demand::Wait { until, .. } => Err(self.last_outcome(record, *until)),
            Demand::NeedsReauth { reason, .. } => Err(self.needs_reauth(record, *reason)),
            Demand::NothingRenews => Err(self.needs_reauth(record, ReauthReason::NoRefreshToken)),
            Demand::NotConnected => Err(TokenRefusal::NotConnected { connection: record.connection.clone() }),
            Demand::Refresh { live: true } => self.hand_out(record, refreshed),
            Demand::Refresh { live: false } => Err(self.last_outcome(record, self.now())),
        }
    }

    fn shows_expired(&self, record: &TokenRecord) -> bool {
        let facts = record.connection.life.grant.as_ref();
        facts.is_some_and(|facts| schedule::is_shown_though_expired(facts, &self.policy, self.now()))
    }

    fn hand_out(&self, record: &TokenRecord, refreshed: bool) -> Result<HandOut, TokenRefusal> {
        let connection = record.connection.clone();
        let life = &connection.life;
        let facts = life.grant.as_ref().ok_or(TokenRefusal::NoToken)?;
        let opened = self.refresher.0.store.open_access_token(record)?;
        let access_token = opened.ok_or(TokenRefusal::NoToken)?.into_inner();
        let provider = &self.integration.provider;
        Ok(HandOut {
            access_token,
            token_type: record.token_type().to_owned(),
            token_id: facts.token_id.clone(),
            expires_at: facts.expiry.at(),
            freshness: schedule::freshness(life, provider, &self.policy, Some(self.min_ttl), self.now()),
            refreshed,
            needs_reauth: matches!(life.status, Status::NeedsReauth { .. }),
            connection,
        })
    }

    fn barred(&self) -> Option<TokenRefusal> {
        if self.refresher.0.store.quarantine().is_some() {
            return Some(TokenRefusal::Quarantined);
        }
        if self.integration.paused {
            return Some(TokenRefusal::IntegrationPaused);
        }
        match &self.integration.health {
            Health::Misconfigured { since, detail, next_probe } if next_probe.is_none_or(|at| at > self.now()) => {
                let integration = self.integration.name.clone();
                Some(TokenRefusal::IntegrationMisconfigured { integration, since: *since, detail: detail.clone() })
            }
            _ => None,
        }
    }

    fn under_way(&self) -> TokenRefusal {
        let detail = "the refresh is still under way; it goes on by itself".to_owned();
        TokenRefusal::ProviderUnavailable { class: None, detail, retry_after: Duration::from_secs(1) }
    }

    fn not_sent(&self, why: NotSent) -> TokenRefusal {
        let now = self.now();
        let retry_after = why.until().map_or(Duration::from_secs(1), |until| at_least_a_second(until, now));
        match why {
            NotSent::Gone => TokenRefusal::NotFound,
            NotSent::Paused => TokenRefusal::IntegrationPaused,
            NotSent::Quarantined => TokenRefusal::Quarantined,
            NotSent::Misconfigured => self.barred().unwrap_or_else(|| self.under_way()),
            NotSent::Storage | NotSent::Unreadable => TokenRefusal::StorageUnavailable { retry_after: STORAGE_RETRY },
            NotSent::NoRefreshToken => TokenRefusal::NoToken,
            NotSent::Closed(_) => TokenRefusal::ProviderUnavailable {
                class: None,
                detail: "its calls are paused for a while after several failures or a rate limit".to_owned(),
                retry_after,
            },
            NotSent::NotDue | NotSent::NotBefore { .. } | NotSent::Elsewhere { .. } | NotSent::Changed => {
                TokenRefusal::ProviderUnavailable {
                    class: None,
                    detail: "the grant is being renewed elsewhere".to_owned(),
                    retry_after,
                }
            }
        }
    }

    fn last_outcome(&self, record: &TokenRecord, until: Timestamp) -> TokenRefusal {
        let life = &record.connection.life;
        let until = life.next_attempt.unwrap_or(until);
        let retry_after = at_least_a_second(until, self.now());
        let Some(LastFailure { class, detail, .. }) = life.last_failure.clone() else { return self.under_way() };
        match class {
            Class::AuthRejected | Class::Unknown if life.uncertain.is_none() => {
                TokenRefusal::ProviderError { class, detail, retry_after: Some(retry_after) }
            }
            // Nobody can reconnect: the refusal is all there is to tell.
            Class::InvalidGrant if self.integration.provider.kind.is_issued() => {
                TokenRefusal::ProviderError { class, detail, retry_after: Some(retry_after) }
            }
            Class::Malformed => TokenRefusal::ProviderError { class, detail, retry_after: Some(retry_after) },
            Class::InvalidClient => self.barred().unwrap_or_else(|| self.under_way()),
            class => TokenRefusal::ProviderUnavailable { class: Some(class), detail, retry_after },
        }
    }

    fn needs_reauth(&self, record: &TokenRecord, reason: ReauthReason) -> TokenRefusal {
        let connection = record.connection.clone();
        let since = match connection.life.status {
            Status::NeedsReauth { since, .. } => since,
            _ => self.now(),
        };
        let detail = connection.life.last_failure.as_ref().map(|last| last.detail.clone()).unwrap_or_default();
        TokenRefusal::NeedsReauth { connection, reason, detail, since }
    }
}

fn at_least_a_second(until: Timestamp, now: Timestamp) -> Duration {
    until.since(now).max(Duration::from_secs(1))
}
