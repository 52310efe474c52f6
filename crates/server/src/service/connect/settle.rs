//! A pending grant comes home: whose is it, where does it go, and what becomes of it if it cannot go anywhere.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::account;
use evergrant_core::connection::Account;
use evergrant_core::grant::Grant;
use evergrant_core::id::SubjectId;
use evergrant_core::integration::Integration;
use evergrant_core::notice::NoticeKind;
use evergrant_core::provider::{CredentialKind, Renewal, USERINFO};
use evergrant_core::schedule;
use evergrant_core::time::Timestamp;
use evergrant_core::token_request;
use evergrant_store::connect::{Further, PendingGrant, SessionState};
use evergrant_store::{Durable, NewAudit, NewEvent, NewNotice, Placed, Report, Target, TokenRecord};
use serde_json::{Map, Value};

use super::after::After;
use super::exchange::Brought;
use super::failure::Failure;
use super::plan::Plan;
use super::progress::Progress;
use super::session::read_plan;
use crate::provider::{Limits, SendError};
use crate::service::Service;
use crate::service::connections::provider_name;
use crate::service::error::Refusal;
use crate::service::place::{Arrival, Origin, placed};

/// What the account look-up may take while a person waits.
const LIMITS: Limits = Limits { connect: Duration::from_secs(10), answer: Duration::from_secs(20), body: 256 * 1024 };
/// How long a pending grant whose account cannot be looked up is kept: by then the person has long begun anew.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

impl Service {
    /// Looks the account up and puts a pending grant where it belongs: the connection, and whether it is new. What cannot
    /// go anywhere is discarded and revoked; what only cannot be looked up just now stays pending.
    pub(super) async fn settle(
        &self,
        pending: &PendingGrant,
        plan: &Plan,
        integration: &Arc<Integration>,
    ) -> Result<(Arc<TokenRecord>, bool), Refusal> {
        let brought: Brought =
            serde_json::from_str(&pending.document).map_err(|_| Refusal::internal(&"an unreadable pending grant"))?;
        let template = integration;
        let integration = &template.at(&brought.provider_data).map_err(|unfilled| Refusal::internal(&unfilled))?;
        let (account, userinfo) = match brought.account.clone() {
            Some(account) => (Some(account), None),
            None => match self.account_of(pending, integration).await {
                Ok(Some((account, facts))) => (Some(account), Some(facts)),
                Ok(None) => (None, None),
                Err(NoAccount::NotNow(refusal)) => return Err(refusal),
                Err(NoAccount::Never(refusal)) => {
                    self.discard(pending, Failure::AccountUnknown, integration).await;
                    return Err(refusal);
                }
            },
        };
        let account = account.map(|account| Account { kind: brought.kind.clone(), ..account });
        let subject = self.subject_for(plan, account.as_ref(), integration).await?;
        let mut wanted = template.provider.after_grant_keys();
        wanted.retain(|key| userinfo.is_none() || key != USERINFO);
        let mut after = match &pending.grant.access_token {
            Some(token) => self.after_grant((template, integration), token, account.as_ref(), &wanted).await,
            None => After::default(),
        };
        after.facts.extend(userinfo.unwrap_or_default());
        let further = arrivals_also(pending, &brought, account.as_ref(), &subject);
        let first = arrival(pending, (*pending.grant).clone(), brought, account, subject);
        let first = Arrival { owed: Some(after.owed_at(self.now())), ..with_facts(first, &after, integration) };
        let arrivals = self.aimed(plan, first, further).await?;
        let placed_at = self.promote(pending, arrivals, integration).await?;
        match placed_at {
            Placed::NotPending => self.settled_by_another(pending).await,
            Placed::Created(ref record) | Placed::Replaced(ref record) => {
                self.refresher.nudge();
                self.lengthen(record, integration);
                self.tell_if_nothing_renews(record, integration).await;
                if let Err(refusal) = self.learn_address(&record.connection.subject, plan.email.as_deref()).await {
                    tracing::warn!(%refusal, "the address of a connect session was not kept");
                }
                placed(placed_at, integration)
            }
            _ => {
                let refusal = placed(placed_at, integration).err().unwrap_or(Refusal::not_found("connection"));
                self.discard(pending, Failure::from(&refusal), integration).await;
                Err(refusal)
            }
        }
    }

    /// A short token is made long at once, also where the background starts nothing: it lives for an hour.
    fn lengthen(&self, record: &TokenRecord, integration: &Integration) {
        let facts = record.connection.life.grant.as_ref();
        if facts.is_some_and(|facts| schedule::is_short(facts, &integration.provider)) {
            let (refresher, id) = (self.refresher.clone(), record.connection.id.clone());
            self.tasks.spawn(async move { refresher.refresh_if_due(&id, None, false).await });
        }
    }

    /// A grant that came without a refresh token ends with its access token: the operator is told which parameter of the
    /// authorization request brings one, once for as long as the integration stays as it is.
    async fn tell_if_nothing_renews(&self, record: &TokenRecord, integration: &Integration) {
        let provider = &integration.provider;
        let ends = record.connection.life.grant.as_ref().is_some_and(|facts| {
            !facts.has_refresh_token && facts.expiry.at().is_some() && provider.renewal == Renewal::RefreshToken
        });
        if !ends {
            return;
        }
        let hint = match provider.offline_hint.as_str() {
            "" => "Look in its documentation for the scope or parameter that brings one".to_owned(),
            hint => format!("What brings one: {hint}"),
        };
        let name = provider_name(integration);
        let what = format!(
            "{name} gave an access token without a refresh token: connections made so must be reconnected when it ends. {hint}."
        );
        tracing::warn!(integration = %integration.name, "{what}");
        let mut alert = NewNotice::new(NoticeKind::OperatorAlert, integration.updated_at);
        alert.detail.insert("what".to_owned(), what.as_str().into());
        let event = NewEvent::new("integration.no_refresh_token").with("what", what.as_str());
        let report = Report { notices: vec![alert], ..Report::default() }.event(event);
        if let Err(error) = self.store.note(Some(&integration.name), report, self.now()).await {
            tracing::error!(integration = %integration.name, %error, "the operator could not be told of a missing refresh token");
        }
    }

    /// A reconnect is meant for the pair of the connection's own kind, which then comes first.
    async fn aimed(&self, plan: &Plan, first: Arrival, further: Vec<Arrival>) -> Result<Vec<Arrival>, Refusal> {
        let mut all: Vec<Arrival> = [first].into_iter().chain(further).collect();
        let Some(id) = &plan.connection else { return Ok(all) };
        let record = self.store.token_record(id, false).await?;
        let kind = |account: Option<&Account>| account.and_then(|account| account.kind.clone());
        let wanted = record.and_then(|record| kind(record.connection.account.as_ref()));
        let at = all.iter().position(|one| kind(one.account.as_ref()) == wanted).unwrap_or(0);
        all.swap(0, at);
        if let Some(first) = all.first_mut() {
            first.target = Target::Connection(id.clone());
        }
        Ok(all)
    }

    async fn promote(
        &self,
        pending: &PendingGrant,
        arrivals: Vec<Arrival>,
        integration: &Arc<Integration>,
    ) -> Result<Placed, Refusal> {
        let now = self.now();
        let mut placing = arrivals.into_iter().map(|arrival| {
            let at = integration.of_kind(arrival.account.as_ref().and_then(|account| account.kind.as_deref()));
            let (new, decide) = self.placing(&at, arrival, now);
            (new, Box::new(decide) as _)
        });
        let first: Further = placing.next().ok_or_else(|| Refusal::internal(&"a grant without a pair"))?;
        let result = |record: &Arc<TokenRecord>| {
            let created = record.connection.life.generation() == 1;
            Progress::Connected { connection: record.connection.id.clone(), created }.text()
        };
        let further = placing.collect();
        Ok(self.store.promote(pending, first, further, result, now).await?)
    }

    /// Somebody else has promoted or discarded it in the meantime: what came of that.
    async fn settled_by_another(&self, pending: &PendingGrant) -> Result<(Arc<TokenRecord>, bool), Refusal> {
        let session = self.store.session(&pending.session).await?.ok_or(Refusal::not_found("connect session"))?;
        match Progress::read(session.result.as_deref()) {
            Some(Progress::Connected { connection, .. }) => {
                let record = self.store.token_record(&connection, true).await?;
                Ok((record.ok_or(Refusal::not_found("connection"))?, false))
            }
            _ => Err(Refusal::not_found("handle; what it brought was discarded. Let the person begin anew")),
        }
    }

    /// Whose connection it becomes: the session's subject, else the account's known one, else a new one.
    async fn subject_for(
        &self,
        plan: &Plan,
        account: Option<&Account>,
        integration: &Integration,
    ) -> Result<SubjectId, Refusal> {
        if let Some(subject) = &plan.subject {
            return Ok(subject.clone());
        }
        let Some(account) = account else {
            return Err(Refusal::internal(&"a sign-in by account without an account"));
        };
        if let Some(known) = self.store.subject_of_account(&integration.name, account).await? {
            return Ok(known);
        }
        let made = evergrant_core::id::ConnectionId::make(self.now(), self.entropy.id());
        let made = made.as_str().replacen("con_", "sub_", 1);
        made.parse().map_err(|_| Refusal::internal(&"a subject that is none"))
    }

    /// Asks the provider whose grant it is, with the token that is durable by now; what else the answer tells is kept.
    async fn account_of(
        &self,
        pending: &PendingGrant,
        integration: &Integration,
    ) -> Result<Option<(Account, Map<String, Value>)>, NoAccount> {
        let provider = &integration.provider;
        if provider.account_id_pointer.is_empty() {
            return Ok(None);
        }
        let never = || NoAccount::Never(unknown(integration));
        let token = pending.grant.access_token.as_ref().ok_or_else(never)?;
        let requests = match provider.kind {
            CredentialKind::Oauth1 => self.signed_userinfo(integration, token),
            _ => token_request::userinfo(provider, &integration.client_id, token).into_iter().collect(),
        };
        for request in requests {
            let answer = match self.transport.call(request, LIMITS).await {
                Ok(answer) => answer,
                Err(SendError::Unsent | SendError::Lost { .. }) => return Err(NoAccount::NotNow(not_now(integration))),
            };
            match answer.status {
                408 | 429 | 500..=599 => return Err(NoAccount::NotNow(not_now(integration))),
                200..=299 => {
                    let hint = account::from_userinfo(provider, &answer.body).ok_or_else(never)?;
                    let facts = provider.facts_from_userinfo(&answer.body, token.expose());
                    return Ok(Some((hint.into(), facts)));
                }
                _ => {}
            }
        }
        Err(never())
    }

    /// Gives a pending grant up; the provider is told, unless that would end other connections of the account.
    async fn discard(&self, pending: &PendingGrant, failure: Failure, integration: &Integration) {
        let provider = &integration.provider;
        let revoke = !provider.revoke_url.is_empty() && !provider.revoke_ends_all;
        let result = Some(Progress::Failed { failure }.text());
        let discarded =
            self.store.discard_pending(&pending.session, &integration.name, revoke, result, self.now()).await;
        match discarded {
            Ok(Some(gone)) => {
                if let Some(outbox) = gone.revocation {
                    let told = self.tell_now(outbox, &gone.grant, integration).await;
                    tracing::info!(session = %pending.session, revocation = told.as_str(), "a grant that fits nowhere was discarded");
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "a pending grant could not be discarded; it is looked at again"),
        }
    }

    /// Goes on with the grants that are still pending: at the start, and now and then. What nobody can look up for a day is
    /// discarded.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub async fn resume_pending(&self, older_than: Duration) -> Result<(), Refusal> {
        let now = self.now();
        for pending in self.store.pending_grants().await? {
            if now.since(pending.at) < older_than {
                continue;
            }
            if let Err(refusal) = self.resume(&pending, now).await {
                tracing::debug!(session = %pending.session, %refusal, "a pending grant stays pending");
            }
        }
        Ok(())
    }

    async fn resume(&self, pending: &PendingGrant, now: Timestamp) -> Result<(), Refusal> {
        let session = self.store.session(&pending.session).await?.ok_or(Refusal::not_found("connect session"))?;
        let Some(Progress::Exchanging(context)) = Progress::read(session.result.as_deref()) else { return Ok(()) };
        let Some(integration) = self.store.integration(&context.integration) else { return Ok(()) };
        if now.since(pending.at) > PATIENCE {
            self.discard(pending, Failure::AccountUnknown, &integration).await;
            return Ok(());
        }
        let plan = read_plan(&session).map_err(|_| Refusal::internal(&"an unreadable connect session"))?;
        debug_assert!(session.state == SessionState::Open, "a spent session has nothing pending");
        self.settle(pending, &plan, &integration).await.map(drop)
    }
}

/// A pending grant as it looks for its connection.
fn arrival(
    pending: &PendingGrant,
    grant: Grant,
    brought: Brought,
    account: Option<Account>,
    subject: SubjectId,
) -> Arrival {
    let audit = NewAudit::new("subject", "connection.connected", "").with("session", pending.session.as_str());
    Arrival {
        origin: Origin::Connect,
        subject,
        account,
        target: Target::Key,
        grant,
        facts: brought.facts,
        requested_scopes: Some(brought.scopes),
        metadata: None,
        provider_data: Some(brought.provider_data).filter(|data| !data.is_empty()),
        owed: None,
        short: Vec::new(),
        attempt: Some(pending.attempt.clone()),
        audit: Some(audit),
    }
}

/// The further pairs of a pending grant: where one does not tell its account, it is the first one's.
fn arrivals_also(
    pending: &PendingGrant,
    brought: &Brought,
    account: Option<&Account>,
    subject: &SubjectId,
) -> Vec<Arrival> {
    let pairs = pending.also.iter().zip(brought.also.clone());
    let one = |(grant, further): (&Durable<Grant>, Brought)| {
        let of_first = || account.map(|account| Account { kind: further.kind.clone(), ..account.clone() });
        let account = further.account.clone().or_else(of_first);
        arrival(pending, Grant::clone(grant), further, account, subject.clone())
    };
    pairs.map(one).collect()
}

/// The same with what was found out after the grant, and what was not.
fn with_facts(arrival: Arrival, after: &After, integration: &Integration) -> Arrival {
    let mut data = arrival.provider_data.unwrap_or_default();
    data.extend(after.facts.clone());
    let short = after.shortfalls(&integration.provider.missing_facts(&data));
    Arrival { provider_data: Some(data).filter(|data| !data.is_empty()), short, ..arrival }
}

/// Why the account is not known.
enum NoAccount {
    /// Ask again later.
    NotNow(Refusal),
    /// The provider will not tell.
    Never(Refusal),
}

fn not_now(integration: &Integration) -> Refusal {
    let provider = provider_name(integration);
    Refusal::ProviderUnavailable {
        class: None,
        detail: format!(
            "{provider} has given a grant, but does not tell just now whose it is. The grant is kept; complete again in a moment."
        ),
        retry_after: Duration::from_secs(10),
    }
}

fn unknown(integration: &Integration) -> Refusal {
    let provider = provider_name(integration);
    Refusal::ProviderError {
        class: evergrant_core::outcome::Class::Malformed,
        detail: format!(
            "{provider} did not say whose grant it is (account_id_pointer, userinfo_url), so it was given back. Nothing was \
             connected."
        ),
        retry_after: None,
    }
}
