//! Asking whether the person has agreed, until that is known or the code has ended.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::device::{Person, SLOWER, person};
use evergrant_core::id::{AttemptId, ConnectSessionId};
use evergrant_core::integration::Integration;
use evergrant_core::outcome::{Class, Failure as Failed, Outcome};
use evergrant_core::secret::{AuthorizationCode, ClientProof, ClientSecret, CodeVerifier};
use evergrant_core::token_answer::Purpose;
use evergrant_core::token_request::{Client, exchange_device_code};
use evergrant_store::connect::{PendingGrant, SessionState};

use super::super::exchange::{Exchange, refused, secrets};
use super::super::failure::Failure;
use super::super::plan::Plan;
use super::super::progress::Progress;
use super::Kept;
use crate::service::Service;
use crate::service::error::Refusal;
use crate::service::refresh::classify;

/// The longest pause after questions that met passing trouble.
const LONGEST: Duration = Duration::from_secs(60);

/// What a question came to.
enum Heard {
    /// Nothing yet.
    Nothing,
    /// Nothing yet, and it was asked too often.
    TooOften,
    /// Passing trouble.
    Trouble,
    /// It is over, and what came of it is written down.
    Over,
}

impl Service {
    /// On a task of the service's own: what the provider gives must not be lost with whoever asked for it.
    pub(super) fn go_on_asking(&self, id: ConnectSessionId, mut kept: Kept, plan: Plan) {
        let service = self.clone();
        self.tasks.spawn(async move {
            let mut pause = Duration::from_millis(kept.interval);
            loop {
                tokio::select! {
                    () = service.clock.sleep(pause) => {}
                    () = service.stop.cancelled() => return,
                }
                pause = match service.question(&id, &kept, &plan).await {
                    Ok(Heard::Over) => return,
                    Ok(Heard::Nothing) => Duration::from_millis(kept.interval),
                    Ok(Heard::TooOften) => {
                        let slower = Duration::from_millis(kept.interval) + SLOWER;
                        kept.interval = u64::try_from(slower.as_millis()).unwrap_or(u64::MAX);
                        if let Err(refusal) = service.keep_code(&id, &kept).await {
                            tracing::warn!(session = %id, %refusal, "how often a provider wants to be asked could not be written down");
                        }
                        slower
                    }
                    // RFC 8628 §3.5: back off where the server does not answer.
                    Ok(Heard::Trouble) => (pause * 2).min(LONGEST).max(pause),
                    Err(refusal) => {
                        tracing::warn!(session = %id, %refusal, "a question whether a code was typed in could not be asked");
                        (pause * 2).min(LONGEST).max(pause)
                    }
                };
            }
        });
    }

    /// Asks once whether the person has agreed.
    async fn question(&self, id: &ConnectSessionId, kept: &Kept, plan: &Plan) -> Result<Heard, Refusal> {
        let open = self.store.session(id).await?.is_some_and(|session| session.state == SessionState::Open);
        let Some(integration) = self.store.integration(&kept.context.integration).filter(|_| open) else {
            return Ok(Heard::Over);
        };
        if self.now() >= kept.until {
            return self.over(id, Progress::Failed { failure: Failure::CodeExpired }, &integration).await;
        }
        // Nothing is asked for while there is no place to land.
        if integration.paused || !self.store.journal().healthy() {
            return Ok(Heard::Nothing);
        }
        let at = integration.at(&kept.context.callback).map_err(|unfilled| Refusal::internal(&unfilled))?;
        let mut refused_client = None;
        for secret in secrets(&at, self.now()) {
            match self.ask_with(id, kept, plan, &at, secret).await? {
                Ok(heard) => return Ok(heard),
                Err(failed) => refused_client = Some(failed),
            }
        }
        let failure = refused_client.map(|failed| Failure::from(&refused(&failed, &at, self.now())));
        let failure = failure.unwrap_or(Failure::IntegrationMisconfigured);
        self.over(id, Progress::Failed { failure }, &integration).await
    }

    /// One question with one of the client's secrets; the inner error is a client that was refused.
    async fn ask_with(
        &self,
        id: &ConnectSessionId,
        kept: &Kept,
        plan: &Plan,
        at: &Arc<Integration>,
        secret: Option<&ClientSecret>,
    ) -> Result<Result<Heard, Failed>, Refusal> {
        let redirect_uri = self.callback_url(&at.name);
        let proof = match self.proof(at, secret, &at.provider.token_url) {
            Ok(proof) => proof,
            Err(why) => return Ok(Err(Failed::unusable_client(why.to_string()))),
        };
        let client = Client { id: &at.client_id, proof: proof.as_ref(), redirect_uri: &redirect_uri };
        let request = exchange_device_code(&at.provider, &client, &kept.device_code.0);
        let Ok(line) = self.reach(&request, &at.policy(&self.base)).await else { return Ok(Ok(Heard::Trouble)) };
        let attempt = AttemptId::make(self.now(), self.entropy.id());
        let sent_at = self.now();
        let sent = line.send(request).await;
        let (answer, seq) = self.journal_answer(id, &attempt, sent_at, &sent).await;
        let Some(answer) = answer.filter(|_| sent.is_ok()) else { return Ok(Ok(Heard::Trouble)) };
        let heard = match person(&answer.body) {
            Person::Undecided => Heard::Nothing,
            Person::AskedTooOften => Heard::TooOften,
            Person::Denied => self.over(id, Progress::Denied, at).await?,
            Person::TooLate => self.over(id, Progress::Failed { failure: Failure::CodeExpired }, at).await?,
            Person::Decided => {
                let known = [kept.device_code.0.expose()];
                let known: Vec<&str> = known.into_iter().chain(proof.as_ref().map(ClientProof::expose)).collect();
                match classify(&at.provider, answer, sent_at, Purpose::CodeExchange, &known) {
                    Outcome::Success(tokens) => {
                        let (code, verifier) = (AuthorizationCode::new(""), CodeVerifier::new(""));
                        let (session, plan_of, context) = (id.clone(), plan.clone(), kept.context.clone());
                        let exchange = Exchange { session, plan: plan_of, context, code, verifier, parked: None };
                        let pending = self.keep(&exchange, &attempt, *tokens, sent_at).await?;
                        self.landed(seq);
                        return self.brought_home(id, &pending, plan, at).await.map(Ok);
                    }
                    Outcome::Failure(failed) if failed.class == Class::InvalidClient => {
                        self.landed(seq);
                        return Ok(Err(failed));
                    }
                    Outcome::Failure(failed) => self.failed(id, &failed, at).await?,
                }
            }
        };
        self.landed(seq);
        Ok(Ok(heard))
    }

    /// A failure that says nothing of the code is asked about again: asking costs nothing, and ends with the code.
    async fn failed(&self, id: &ConnectSessionId, failed: &Failed, at: &Integration) -> Result<Heard, Refusal> {
        match failed.class {
            Class::RateLimited | Class::Unavailable | Class::Network | Class::Ambiguous | Class::Malformed => {
                Ok(Heard::Trouble)
            }
            _ => {
                let failure = Failure::from(&refused(failed, at, self.now()));
                self.over(id, Progress::Failed { failure }, at).await
            }
        }
    }

    /// The grant is pending now; what cannot be settled at once is settled by the service later.
    async fn brought_home(
        &self,
        id: &ConnectSessionId,
        pending: &PendingGrant,
        plan: &Plan,
        at: &Arc<Integration>,
    ) -> Result<Heard, Refusal> {
        let integration = self.store.integration(&at.name).ok_or(Refusal::not_found("integration"))?;
        let settled = self.settle(pending, plan, &integration).await;
        let code = settled.as_ref().map_or_else(|refusal| Failure::from(refusal).code(), |_| "connected");
        self.metrics.connect_flow(&at.name, code);
        tracing::info!(session = %id, integration = %at.name, result = code, "a device flow ended");
        Ok(Heard::Over)
    }

    /// Writes down what came of it; the device code is erased.
    async fn over(&self, id: &ConnectSessionId, result: Progress, at: &Integration) -> Result<Heard, Refusal> {
        let code = match &result {
            Progress::Failed { failure } => failure.code(),
            _ => "denied",
        };
        self.metrics.connect_flow(&at.name, code);
        tracing::info!(session = %id, integration = %at.name, result = code, "a device flow ended");
        self.store.finish_session(id, SessionState::Revoked, Some(result.text()), None, self.now()).await?;
        Ok(Heard::Over)
    }
}
