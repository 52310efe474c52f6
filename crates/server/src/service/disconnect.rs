//! Ending a connection on purpose: the tokens are erased here first, and the provider is told through the outbox, so that
//! neither a crash nor a provider that is away leaves a grant that nobody can end.

use std::time::Duration;

use evergrant_core::connection::{Connection, Life};
use evergrant_core::grant::Grant;
use evergrant_core::id::ConnectionId;
use evergrant_core::integration::Integration;
use evergrant_core::lifecycle::{self, Circumstances, Event};
use evergrant_core::token_request::{Client, revoke};
use evergrant_store::{Ended, Ending, NewEvent, OutboxId, Revocation as InOutbox};
use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::Service;
use super::access::Caller;
use super::audit::line;
use super::connect::secrets;
use super::connections::Seen;
use super::error::{Conflict, Refusal};
use super::place::ended_by;
use crate::provider::{Limits, SendError};

/// How long a revocation is tried before it is given up: by then the tokens have mostly ended by themselves.
const PATIENCE: Duration = Duration::from_secs(3 * 24 * 3600);
/// The first pause after a failed try, doubling.
const PAUSE: Duration = Duration::from_secs(60);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);
/// What a revocation may take while a caller waits.
const LIMITS: Limits = Limits { connect: Duration::from_secs(5), answer: Duration::from_secs(10), body: 64 * 1024 };

/// Whether the provider was told that a grant ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Revocation {
    /// It was told, and said yes.
    Revoked,
    /// It could not be told just now; that is tried again by itself.
    Pending,
    /// It was told and said no; the tokens end by themselves.
    Refused,
    /// It has no way to be told.
    Unsupported,
    /// Telling it would end other connections of the same account; the last of them tells it.
    Kept,
    /// There was no grant.
    Nothing,
}

impl Revocation {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Revocation::Revoked => "revoked",
            Revocation::Pending => "pending",
            Revocation::Refused => "refused",
            Revocation::Unsupported => "unsupported",
            Revocation::Kept => "kept",
            Revocation::Nothing => "nothing",
        }
    }
}

impl Service {
    /// Ends a connection. One that was ended before stays as it is.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Conflict::Stale`], [`Refusal::StorageUnavailable`].
    pub async fn disconnect(
        &self,
        caller: &Caller,
        id: &ConnectionId,
        if_match: Option<u64>,
    ) -> Result<(Seen, Revocation), Refusal> {
        let seen = self.connection(caller, id).await?;
        let version = seen.connection.version;
        if if_match.is_some_and(|asked| asked != version) {
            return Err(Conflict::Stale { version }.into());
        }
        let integration = seen.integration.clone();
        let (reason, base, at) = (ended_by(&caller.who), self.base.clone(), integration.clone());
        let now = self.now();
        let decide = move |connection: &Connection, others: u64| {
            let policy = at.policy(&base);
            let provider = &at.provider;
            let around = Circumstances { provider, policy: &policy, others_work: true, brake: false, jitter: 0.0 };
            let life = connection.life.clone();
            let Life { status, .. } = &life;
            let event =
                NewEvent::new("connection.disconnected").with("was", status.word()).with("reason", reason.as_str());
            let transition = lifecycle::advance(life, Event::Disconnected { reason }, &around, now);
            let revoke = may_revoke(&at, others);
            Ending { life: transition.life, revoke, notices: Vec::new(), events: vec![event] }
        };
        let audit = line(caller, "connection.disconnected", id.as_str());
        match self.store.disconnect(id, decide, Some(audit), now).await? {
            Ended::Gone => Err(Refusal::not_found("connection")),
            Ended::Before(record) => Ok((self.see(record.connection.clone(), integration), Revocation::Nothing)),
            Ended::Now(ended) => {
                let had_grant = seen.connection.life.grant.is_some();
                let told = match (&ended.grant, &ended.revocation) {
                    (Some(grant), Some(outbox)) => {
                        let at = integration.at(&seen.connection.provider_data).unwrap_or_else(|_| integration.clone());
                        self.tell_now(outbox.clone(), grant, &at).await
                    }
                    _ if !had_grant => Revocation::Nothing,
                    _ if integration.provider.revoke_url.is_empty() => Revocation::Unsupported,
                    _ => Revocation::Kept,
                };
                Ok((self.see(ended.record.connection.clone(), integration), told))
            }
        }
    }

    /// Tells the provider while the caller waits; what cannot be told now stays in the outbox.
    pub(super) async fn tell_now(&self, outbox: OutboxId, grant: &Grant, integration: &Integration) -> Revocation {
        // On a task of the service's own: a caller that goes away must not leave it half told.
        let (service, grant, integration) = (self.clone(), grant.clone(), integration.clone());
        let work = self.tasks.spawn(async move { service.tell(&outbox, &grant, &integration, 0).await });
        work.await.unwrap_or(Revocation::Pending)
    }

    /// Tells the provider what is due in the outbox; says when to look again.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub async fn revoke_what_is_due(&self) -> Result<(), Refusal> {
        loop {
            let due = self.store.claim_revocations(self.now(), Duration::from_secs(120), 8).await?;
            if due.is_empty() {
                return Ok(());
            }
            for one in due {
                self.revoke_one(one).await;
            }
        }
    }

    async fn revoke_one(&self, one: InOutbox) {
        let too_old = self.now().since(one.created_at) > PATIENCE;
        let Some(integration) = self.store.integration(&one.integration).filter(|_| !too_old) else {
            tracing::warn!(integration = %one.integration, "a grant could not be revoked at its provider; its tokens end by themselves");
            let _ = self.store.revocation_done(&one.id).await;
            return;
        };
        // What belonged to the connection alone is erased with it; without it nobody knows where to ask.
        match integration.at(&Map::new()) {
            Ok(at) => drop(self.tell(&one.id, &one.grant, &at, one.tries).await),
            Err(unfilled) => {
                tracing::warn!(integration = %one.integration, %unfilled, "a grant could not be revoked at its provider");
                let _ = self.store.revocation_done(&one.id).await;
            }
        }
    }

    async fn tell(&self, outbox: &OutboxId, grant: &Grant, integration: &Integration, tries: u64) -> Revocation {
        let told = self.ask_provider(grant, integration).await;
        let noted = match told {
            Revocation::Pending => {
                let pause = PAUSE.saturating_mul(1 << tries.min(16)).min(LONGEST_PAUSE);
                self.store.revocation_retry(outbox, self.now().plus(pause)).await
            }
            _ => self.store.revocation_done(outbox).await,
        };
        if let Err(error) = noted {
            tracing::warn!(%error, "what became of a revocation could not be written down; it is told once more");
        }
        told
    }

    /// RFC 7009: the refresh token where there is one, because that ends the whole grant.
    async fn ask_provider(&self, grant: &Grant, integration: &Integration) -> Revocation {
        let now = self.now();
        let mut refused = Revocation::Unsupported;
        for secret in secrets(integration, now) {
            let redirect_uri = self.callback_url(&integration.name);
            // The operator may mend it while the revocation waits.
            let Ok(proof) = self.proof(integration, secret, &integration.provider.token_url) else {
                return Revocation::Pending;
            };
            let client = Client { id: &integration.client_id, proof: proof.as_ref(), redirect_uri: &redirect_uri };
            let request =
                revoke(&integration.provider, &client, grant.refresh_token.as_ref(), grant.access_token.as_ref());
            let Some(request) = request else { return Revocation::Unsupported };
            match self.transport.call(request, LIMITS).await {
                // RFC 7009 §2.2: 200, also for a token that was not valid any more.
                Ok(answer) if (200..300).contains(&answer.status) => return Revocation::Revoked,
                Ok(answer) if answer.status == 429 || answer.status >= 500 => return Revocation::Pending,
                Ok(_) => refused = Revocation::Refused,
                Err(SendError::Unsent | SendError::Lost { .. }) => return Revocation::Pending,
            }
        }
        refused
    }
}

/// Whether the provider is to be told: where that would end all of the account's connections at this client, only with
/// the last of them.
pub(super) fn may_revoke(integration: &Integration, others: u64) -> bool {
    let provider = &integration.provider;
    let ends_others = provider.revoke_ends_all && others > 0;
    !provider.revoke_url.is_empty() && !ends_others
}
