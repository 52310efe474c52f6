//! The application's word on who is signed in in that browser. Only now the code is exchanged.

use std::time::Duration;

use evergrant_core::id::{ConnectSessionId, SubjectId};
use evergrant_core::secret::OneTime;
use evergrant_store::connect::{ParkedCode, Session, SessionState, TakenCode};

use super::callback::Parked;
use super::exchange::Exchange;
use super::plan::Plan;
use super::progress::Progress;
use super::session::read_plan;
use super::{Binding, Failure};
use crate::service::Service;
use crate::service::access::{Caller, hash};
use crate::service::audit::line;
use crate::service::connections::{Seen, provider_name};
use crate::service::error::Refusal;

/// How long a repeated call waits for the first one.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);

impl Service {
    /// Completes a session: the connection, and whether it is new. Repeated with the same handle and subject it gives the
    /// same connection.
    ///
    /// # Errors
    /// [`Refusal::OtherSubject`], [`Refusal::NotFound`] for what is unknown or too late, and what an exchange can end in.
    pub async fn complete(
        &self,
        caller: &Caller,
        id: &ConnectSessionId,
        handle: &OneTime,
        subject: Option<&SubjectId>,
    ) -> Result<(Seen, bool), Refusal> {
        let not_found = || Refusal::not_found("connect session");
        let session = self.store.session(id).await?.ok_or_else(not_found)?;
        let plan = read_plan(&session).map_err(|_| Refusal::internal(&"an unreadable connect session"))?;
        if !plan.integrations.iter().all(|name| caller.scope.sees(name)) || plan.binding != Binding::App {
            return Err(not_found());
        }
        match (&plan.subject, subject) {
            (Some(_), None) => {
                return Err(Refusal::invalid("subject", "it is required: who is signed in in that browser"));
            }
            (None, Some(_)) => {
                let expected = "this session signs a person in by account and has no subject; leave it out";
                return Err(Refusal::invalid("subject", expected));
            }
            (Some(planned), Some(said)) if planned != said => {
                return self.other_subject(caller, &session, handle).await;
            }
            _ => {}
        }
        let late = || {
            Refusal::not_found(
                "handle; it was used, dropped, or left for more than ten minutes. Let the person begin anew",
            )
        };
        match self.store.take_code(&hash(handle), self.now()).await? {
            TakenCode::Now(parked) if parked.session == *id => self.exchange_parked(plan, parked, handle).await,
            TakenCode::Now(parked) => {
                self.put_back(&parked, handle).await?;
                Err(not_found())
            }
            TakenCode::Before { session } if session == *id => self.done_before(plan, id).await,
            TakenCode::Before { .. } | TakenCode::Late | TakenCode::Unknown => Err(late()),
        }
    }

    /// Somebody else is signed in there: the code is dropped, and the audit log says so.
    async fn other_subject<T>(&self, caller: &Caller, session: &Session, handle: &OneTime) -> Result<T, Refusal> {
        let taken = self.store.take_code(&hash(handle), self.now()).await?;
        match taken {
            TakenCode::Now(parked) if parked.session == session.id => {
                let audit = line(caller, "connect.other_subject", session.id.as_str());
                let result = Some(Progress::OtherSubject.text());
                self.store.finish_session(&session.id, session.state, result, Some(audit), self.now()).await?;
                tracing::warn!(session = %session.id, "a connect session was completed for another subject; its code was dropped");
                Err(Refusal::OtherSubject)
            }
            TakenCode::Now(parked) => {
                self.put_back(&parked, handle).await?;
                Err(Refusal::not_found("connect session"))
            }
            TakenCode::Before { session: of } if of == session.id => Err(Refusal::OtherSubject),
            TakenCode::Before { .. } | TakenCode::Late | TakenCode::Unknown => Err(Refusal::not_found("handle")),
        }
    }

    async fn put_back(&self, parked: &ParkedCode, handle: &OneTime) -> Result<(), Refusal> {
        let until = read_parked(parked)?.until;
        self.store.park_code(&parked.session, hash(handle), parked.payload.clone(), until).await?;
        Ok(())
    }

    async fn exchange_parked(&self, plan: Plan, parked: ParkedCode, handle: &OneTime) -> Result<(Seen, bool), Refusal> {
        let Parked { code, verifier, context, .. } = read_parked(&parked)?;
        let integration = self.store.integration(&context.integration);
        let integration = integration.ok_or(Refusal::not_found("integration"))?;
        let exchange = Exchange {
            session: parked.session.clone(),
            plan,
            context,
            code: code.0,
            verifier: verifier.0,
            parked: Some((handle.clone(), parked)),
        };
        // On a task of the service's own: a caller that goes away must not lose what the provider gave.
        let (service, at) = (self.clone(), integration.clone());
        let work = self.tasks.spawn(async move { service.exchange(exchange, &at).await });
        let (record, created) = work.await.map_err(|error| Refusal::internal(&error))??;
        Ok((self.see(record.connection.clone(), integration), created))
    }

    /// What became of a code that was taken before.
    async fn done_before(&self, plan: Plan, id: &ConnectSessionId) -> Result<(Seen, bool), Refusal> {
        let deadline = self.now().plus(PATIENCE);
        loop {
            let session = self.store.session(id).await?.ok_or(Refusal::not_found("connect session"))?;
            match Progress::read(session.result.as_deref()) {
                Some(Progress::Connected { connection, .. }) if session.state == SessionState::Spent => {
                    let record = self.store.token_record(&connection, false).await?;
                    let record = record.ok_or(Refusal::not_found("connection"))?;
                    let integration = self.store.integration(&record.connection.integration);
                    let integration = integration.ok_or(Refusal::not_found("integration"))?;
                    return Ok((self.see(record.connection.clone(), integration), false));
                }
                Some(Progress::Exchanging(context)) => {
                    if let Some(pending) = self.store.pending_grant(id).await? {
                        let integration = self.store.integration(&context.integration);
                        let integration = integration.ok_or(Refusal::not_found("integration"))?;
                        let (service, at) = (self.clone(), integration.clone());
                        let work = self.tasks.spawn(async move { service.settle(&pending, &plan, &at).await });
                        let (record, created) = work.await.map_err(|error| Refusal::internal(&error))??;
                        return Ok((self.see(record.connection.clone(), integration), created));
                    }
                    if self.now() >= deadline {
                        return Err(still_under_way(&provider_name_of(self, &context.integration)));
                    }
                }
                Some(Progress::Failed { failure }) => return Err(failed_before(failure)),
                Some(Progress::Connected { .. } | Progress::Denied | Progress::OtherSubject) => {
                    return Err(Refusal::not_found("handle; it was used or dropped"));
                }
                // Taken a moment ago, and nothing is written yet.
                None if self.now() >= deadline => return Err(still_under_way("the provider")),
                None => {}
            }
            self.clock.sleep(LOOK).await;
        }
    }
}

fn provider_name_of(service: &Service, name: &evergrant_core::id::IntegrationName) -> String {
    service.store.integration(name).map_or_else(|| name.to_string(), |one| provider_name(&one).to_owned())
}

fn still_under_way(provider: &str) -> Refusal {
    Refusal::ProviderUnavailable {
        class: None,
        detail: format!("The exchange at {provider} is still under way; ask again in a moment."),
        retry_after: Duration::from_secs(5),
    }
}

/// A code can be exchanged once: after a failure the person has to begin anew.
fn failed_before(failure: Failure) -> Refusal {
    Refusal::NotFound {
        what: match failure {
            Failure::AccountTaken => {
                "handle any more: the account belongs to another subject. Let the person begin anew"
            }
            Failure::OtherAccount => "handle any more: another account was chosen. Let the person begin anew",
            _ => "handle any more: its code did not bring a connection. Let the person begin anew",
        },
    }
}

fn read_parked(parked: &ParkedCode) -> Result<Parked, Refusal> {
    serde_json::from_slice(&parked.payload).map_err(|_| Refusal::internal(&"an unreadable parked code"))
}
