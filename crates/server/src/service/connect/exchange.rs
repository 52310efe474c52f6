//! The code exchange: connect, mark, send, journal, classify, keep as pending. The same order as a refresh, for the same
//! reason: what the provider gave must not be lost, and must not be used before it is durable.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::connection::Account;
use evergrant_core::grant::{Grant, GrantFacts};
use evergrant_core::id::{AttemptId, ConnectSessionId};
use evergrant_core::integration::Integration;
use evergrant_core::lifecycle::unsent_retry;
use evergrant_core::lifetime::TokenSet;
use evergrant_core::outcome::{Class, Failure as Failed, Outcome};
use evergrant_core::policy::Policy;
use evergrant_core::provider::{CredentialKind, Pkce};
use evergrant_core::secret::{AuthorizationCode, ClientSecret, CodeVerifier, OneTime};
use evergrant_core::time::Timestamp;
use evergrant_core::token_answer::Purpose;
use evergrant_core::token_request::{Client, HttpRequest, exchange_code};
use evergrant_store::TokenRecord;
use evergrant_store::connect::{ParkedCode, PendingGrant, SessionState};
use evergrant_store::journal::{EntryKind, JournalEntry, JournalSeq, Journalled};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;
use zeroize::Zeroizing;

use super::Flow;
use super::failure::Failure;
use super::plan::Plan;
use super::progress::{Context, Progress};
use super::session::read_plan;
use crate::provider::{Answer, Limits, Line, SendError};
use crate::service::Service;
use crate::service::access::hash;
use crate::service::connections::provider_name;
use crate::service::error::Refusal;
use crate::service::place::grant_of;
use crate::service::refresh::classify;

/// A code on its way to the provider.
pub(super) struct Exchange {
    pub session: ConnectSessionId,
    pub plan: Plan,
    pub context: Context,
    pub code: AuthorizationCode,
    pub verifier: CodeVerifier,
    /// Where the code lay until the application said who is signed in: it goes back there if it provably was not sent.
    pub parked: Option<(OneTime, ParkedCode)>,
}

/// What is kept with a pending grant; sealed with its tokens.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Brought {
    pub facts: GrantFacts,
    pub account: Option<Account>,
    pub scopes: Vec<String>,
    pub provider_data: Map<String, Value>,
    /// Which of several pairs of the answer this is.
    #[serde(default)]
    pub kind: Option<String>,
    /// The further pairs, in the order in which they are kept with the grant.
    #[serde(default)]
    pub also: Vec<Brought>,
}

/// An answer that is in the journal, or could not be written there.
struct Answered {
    outcome: Outcome,
    sent_at: Timestamp,
    seq: Option<JournalSeq>,
}

impl Service {
    /// Exchanges a code and brings its grant home: the connection, and whether it is new.
    pub(super) async fn exchange(
        &self,
        exchange: Exchange,
        integration: &Arc<Integration>,
    ) -> Result<(Arc<TokenRecord>, bool), Refusal> {
        let (session, plan) = (exchange.session.clone(), exchange.plan.clone());
        let at = integration.at(&exchange.context.callback);
        let brought = match at {
            Ok(at) => self.bring(exchange, &at).await,
            Err(unfilled) => Err(Refusal::internal(&unfilled)),
        };
        let result = match brought {
            Ok(pending) => self.settle(&pending, &plan, integration).await,
            Err(refusal) => Err(refusal),
        };
        let code = match &result {
            Ok(_) => "connected",
            Err(refusal) => Failure::from(refusal).code(),
        };
        self.metrics.connect_flow(&integration.name, code);
        tracing::info!(%session, integration = %integration.name, result = code, "a connect flow ended");
        result
    }

    async fn bring(&self, exchange: Exchange, integration: &Integration) -> Result<PendingGrant, Refusal> {
        if integration.paused {
            self.put_parked_back(&exchange).await;
            return Err(Refusal::IntegrationPaused { integration: integration.name.clone() });
        }
        if !self.store.journal().healthy() {
            // Nothing is spent while there is no place to land.
            self.put_parked_back(&exchange).await;
            let cause = "the journal cannot be written".to_owned();
            return Err(Refusal::StorageUnavailable { retry_after: Duration::from_secs(5), cause });
        }
        let attempt = AttemptId::make(self.now(), self.entropy.id());
        let mut refused = None;
        for secret in secrets(integration, self.now()) {
            let answered = self.ask(&exchange, integration, secret, &attempt).await?;
            match answered.outcome {
                Outcome::Success(tokens) => {
                    let pending = self.keep(&exchange, &attempt, *tokens, answered.sent_at).await?;
                    self.landed(answered.seq);
                    return Ok(pending);
                }
                // RFC 6749 §5.2: the client comes first, so its code is not spent; another secret may fit.
                Outcome::Failure(failed) if speaks_of_client(&failed, integration) => {
                    self.landed(answered.seq);
                    refused = Some(failed);
                }
                Outcome::Failure(failed) => {
                    self.landed(answered.seq);
                    return Err(self.give_up(&exchange.session, &failed, integration).await);
                }
            }
        }
        match refused {
            Some(failed) => Err(self.give_up(&exchange.session, &failed, integration).await),
            None => Err(Refusal::internal(&"an integration without any way to authenticate")),
        }
    }

    /// One request: connected first, marked, then sent; its answer journalled before it is read.
    async fn ask(
        &self,
        exchange: &Exchange,
        integration: &Integration,
        secret: Option<&ClientSecret>,
        attempt: &AttemptId,
    ) -> Result<Answered, Refusal> {
        let redirect_uri = self.callback_url(&integration.name);
        let (code, verifier) = (&exchange.code, &exchange.verifier);
        let proof = match self.proof(integration, secret, &integration.provider.token_url) {
            Ok(proof) => proof,
            Err(why) => {
                self.put_parked_back(exchange).await;
                return Err(self.unusable(integration, &why));
            }
        };
        let client = Client { id: &integration.client_id, proof: proof.as_ref(), redirect_uri: &redirect_uri };
        let announced = (integration.provider.pkce != Pkce::Refused).then_some(verifier);
        let request = match integration.provider.kind {
            CredentialKind::Oauth1 => self.signed_exchange(integration, secret, (code, verifier)),
            _ => Some(exchange_code(&integration.provider, &client, code, announced)),
        };
        let request = request.ok_or_else(|| Refusal::internal(&"temporary credentials that are none"))?;
        let policy = integration.policy(&self.base);
        let line = match self.reach(&request, &policy).await {
            Ok(line) => line,
            Err(why) => {
                self.put_parked_back(exchange).await;
                return Err(unreachable(integration, &why));
            }
        };
        // From here on the next start knows that an answer in the journal belongs here.
        let mark = Progress::Exchanging(exchange.context.clone()).text();
        self.store.finish_session(&exchange.session, SessionState::Open, Some(mark), None, self.now()).await?;
        let sent_at = self.now();
        let sent = line.send(request).await;
        let (answer, seq) = self.journal_answer(&exchange.session, attempt, sent_at, &sent).await;
        let outcome = match (&sent, answer) {
            (Ok(_), Some(answer)) => {
                let secrets: Vec<&str> =
                    [code.expose(), verifier.expose()].into_iter().chain(proof.as_ref().map(|p| p.expose())).collect();
                classify(&integration.provider, answer, sent_at, Purpose::CodeExchange, &secrets)
            }
            (Err(SendError::Unsent), _) => {
                self.put_parked_back(exchange).await;
                return Err(unreachable(integration, "the connection was closed"));
            }
            (Err(SendError::Lost { why, .. }), _) => Outcome::Failure(lost(why)),
            (Ok(_), None) => Outcome::Failure(lost("the answer was not whole")),
        };
        Ok(Answered { outcome, sent_at, seq })
    }

    /// TCP and TLS, tried again a few times: nothing has been sent yet.
    pub(super) async fn reach(&self, request: &HttpRequest, policy: &Policy) -> Result<Line, String> {
        let url = Url::parse(&request.url).map_err(|_| "its token endpoint is not an address".to_owned())?;
        let limits = Limits { connect: policy.connect_timeout, answer: policy.answer_timeout, body: 256 * 1024 };
        let mut tries = 0;
        loop {
            tries += 1;
            match self.transport.connect(&url, limits).await {
                Ok(line) => return Ok(line),
                Err(why) => match unsent_retry(tries, policy, self.entropy.fraction()) {
                    Some(pause) => self.clock.sleep(pause).await,
                    None => return Err(why.to_string()),
                },
            }
        }
    }

    /// Seals and writes down what came, before anybody reads it.
    pub(super) async fn journal_answer<'a>(
        &self,
        session: &ConnectSessionId,
        attempt: &AttemptId,
        sent_at: Timestamp,
        sent: &'a Result<Answer, SendError>,
    ) -> (Option<&'a Answer>, Option<JournalSeq>) {
        let answer = match sent {
            Ok(answer) => Some(answer),
            Err(SendError::Lost { partial, .. }) => partial.as_ref(),
            Err(SendError::Unsent) => None,
        };
        let Some(found) = answer else { return (None, None) };
        let entry = JournalEntry {
            attempt: attempt.clone(),
            kind: EntryKind::Exchange { session: session.clone() },
            sent_at,
            received_at: self.now(),
            status: found.status,
            headers: found.headers.clone(),
            body: Zeroizing::new(found.body.to_vec()),
        };
        let seq = self.store.journal().append(&entry).await;
        let seq = seq
            .inspect_err(|error| tracing::error!(%error, "an answer could not be journalled; it is kept in memory"))
            .ok();
        (answer, seq)
    }

    pub(super) fn landed(&self, seq: Option<JournalSeq>) {
        if let Some(seq) = seq {
            self.store.journal().mark_committed(seq);
        }
    }

    /// Commits the grant as pending; tried again until it holds, because the tokens are nowhere else but in the journal.
    pub(super) async fn keep(
        &self,
        exchange: &Exchange,
        attempt: &AttemptId,
        tokens: TokenSet,
        sent_at: Timestamp,
    ) -> Result<PendingGrant, Refusal> {
        let known = &exchange.context.callback;
        let (grant, mut brought) = self.brought(tokens, &exchange.context.scopes, known, sent_at);
        brought.0.account = brought.0.account.or_else(|| exchange.context.account.clone());
        let mut also = Vec::new();
        for further in std::mem::take(&mut brought.1) {
            // The scopes of a further pair are asked for in a way of their own: what was given is what was asked for.
            let asked = further.scopes.clone().unwrap_or_default();
            let (grant, (further, _)) = self.brought(further, &asked, known, sent_at);
            also.push(grant);
            brought.0.also.push(further);
        }
        let grants = (grant, also);
        let document = serde_json::to_string(&brought.0);
        let document = document.map_err(|error| Refusal::internal(&error))?;
        let mut pause = Duration::from_millis(50);
        loop {
            let kept =
                self.store.put_pending(&exchange.session, attempt, grants.clone(), document.clone(), self.now()).await;
            match kept {
                Ok(Some(pending)) => return Ok(pending),
                Ok(None) => return Err(Refusal::not_found("connect session")),
                Err(error) if error.is_passing() && !self.stop.is_cancelled() => {
                    tracing::error!(%error, "a grant cannot be stored yet; it is tried again until it can");
                    self.clock.sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The tokens of one pair, what is kept with them, and the pairs that came with it.
    fn brought(
        &self,
        mut tokens: TokenSet,
        scopes: &[String],
        known: &Map<String, Value>,
        sent_at: Timestamp,
    ) -> (Grant, (Brought, Vec<TokenSet>)) {
        let (kind, further) = (tokens.kind.take(), std::mem::take(&mut tokens.also));
        let account = tokens.account.clone().map(|hint| Account { kind: kind.clone(), ..hint.into() });
        let mut provider_data = known.clone();
        provider_data.extend(tokens.provider_data.clone());
        let (grant, facts) = grant_of(tokens, scopes, sent_at, &self.store);
        let scopes = scopes.to_vec();
        (grant, (Brought { facts, account, scopes, provider_data, kind, also: Vec::new() }, further))
    }

    /// The code brought nothing: writes down why.
    pub(super) async fn give_up(
        &self,
        session: &ConnectSessionId,
        failed: &Failed,
        integration: &Integration,
    ) -> Refusal {
        let refusal = refused(failed, integration, self.now());
        let result = Progress::Failed { failure: Failure::from(&refusal) }.text();
        let written = self.store.finish_session(session, SessionState::Open, Some(result), None, self.now()).await;
        if let Err(error) = written {
            tracing::warn!(%error, "what became of a connect session could not be written down");
        }
        refusal
    }

    /// The code provably was not sent: the application may complete once more.
    async fn put_parked_back(&self, exchange: &Exchange) {
        let Some((handle, parked)) = &exchange.parked else { return };
        let until = self.now().plus(super::STATE_LIFE);
        let back = self.store.park_code(&parked.session, hash(handle), parked.payload.clone(), until).await;
        if let Err(error) = back {
            tracing::warn!(%error, "a code that was not sent could not be put back; the person has to begin anew");
        }
    }

    /// Finishes an exchange whose answer is in the journal and whose grant is not in the database: called at the start.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`]: then the entry stays and is tried at the next start.
    pub async fn recover_exchange(&self, found: &Journalled) -> Result<(), Refusal> {
        if let EntryKind::Exchange { session } = &found.entry.kind {
            self.recover(session, &found.entry).await?;
            self.store.journal().mark_committed(found.seq);
        }
        Ok(())
    }

    async fn recover(&self, session: &ConnectSessionId, entry: &JournalEntry) -> Result<(), Refusal> {
        // What came to an end, or was erased with its subject, needs no finishing.
        let Some(stored) = self.store.session(session).await? else { return Ok(()) };
        let Some(Progress::Exchanging(context)) = Progress::read(stored.result.as_deref()) else { return Ok(()) };
        let Some(integration) = self.store.integration(&context.integration) else { return Ok(()) };
        let Ok(plan) = read_plan(&stored) else { return Ok(()) };
        let by_code = plan.flow == Flow::Device;
        let body = bytes::Bytes::copy_from_slice(&entry.body);
        let answer = Answer { status: entry.status, headers: entry.headers.clone(), body };
        match classify(&integration.provider, &answer, entry.sent_at, Purpose::CodeExchange, &[]) {
            Outcome::Success(tokens) => {
                let (code, verifier) = (AuthorizationCode::new(""), CodeVerifier::new(""));
                let exchange = Exchange { session: session.clone(), plan, context, code, verifier, parked: None };
                self.keep(&exchange, &entry.attempt, *tokens, entry.sent_at).await?;
                tracing::info!(%session, "a grant that had reached the journal was brought into the database");
            }
            // In the device flow a question that brought nothing is asked again, by whoever goes on with it.
            Outcome::Failure(_) if by_code => {}
            Outcome::Failure(failed) => drop(self.give_up(session, &failed, &integration).await),
        }
        Ok(())
    }
}

/// The secrets to try, in order; a public client has none to show.
pub(in crate::service) fn secrets(integration: &Integration, now: Timestamp) -> Vec<Option<&ClientSecret>> {
    let secrets: Vec<_> = integration.secrets_to_try(now).into_iter().map(Some).collect();
    if secrets.is_empty() { vec![None] } else { secrets }
}

/// Whether another secret may fit. With OAuth 1.0a a signature by a wrong one is refused without saying why (RFC 5849 §3.2).
fn speaks_of_client(failed: &Failed, integration: &Integration) -> bool {
    let signed = integration.provider.kind == CredentialKind::Oauth1;
    failed.class == Class::InvalidClient || (signed && failed.class == Class::AuthRejected)
}

/// What a failed exchange is to its caller.
pub(super) fn refused(failed: &Failed, integration: &Integration, now: Timestamp) -> Refusal {
    let provider = provider_name(integration);
    let said = |what: &str| match failed.detail.trim_end_matches('.') {
        "" => format!("{provider} {what}."),
        detail => format!("{provider} {what}: {detail}."),
    };
    match failed.class {
        Class::InvalidClient => Refusal::IntegrationMisconfigured {
            integration: integration.name.clone(),
            since: now,
            detail: failed.detail.clone(),
        },
        Class::RateLimited | Class::Unavailable | Class::Network | Class::Ambiguous => Refusal::ProviderUnavailable {
            class: Some(failed.class),
            detail: format!(
                "{} Nothing was connected; the person has to begin anew.",
                said("did not exchange the code")
            ),
            retry_after: failed.retry_after.unwrap_or(Duration::from_secs(60)),
        },
        Class::Success | Class::InvalidGrant | Class::AuthRejected | Class::Malformed | Class::Unknown => {
            Refusal::ProviderError {
                class: failed.class,
                detail: format!("{} Nothing was connected; the person has to begin anew.", said("refused the code")),
                retry_after: None,
            }
        }
    }
}

fn unreachable(integration: &Integration, why: &str) -> Refusal {
    let provider = provider_name(integration);
    Refusal::ProviderUnavailable {
        class: Some(Class::Network),
        detail: format!(
            "{provider} cannot be reached: {why}. The code was not sent and is kept; complete again in a moment."
        ),
        retry_after: Duration::from_secs(5),
    }
}

fn lost(why: &str) -> Failed {
    Failed {
        class: Class::Ambiguous,
        detail: why.to_owned(),
        code: None,
        retry_after: None,
        spent: evergrant_core::outcome::Spent::Unknown,
        salvaged_refresh_token: None,
    }
}
