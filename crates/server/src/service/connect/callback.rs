//! Back from the provider.
//!
//! The state is taken once, by the browser that began and at the callback of its integration. A second arrival (reload,
//! prefetch, double click) waits for the first and shows the same; it never exchanges again.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evergrant_core::account;
use evergrant_core::authorize::{
    Callback, CallbackAnswer, ErrorKind, check_issuer, parse_callback, parse_signed_callback, query_of_post,
};
use evergrant_core::connection::Account;
use evergrant_core::id::{ConnectSessionId, IntegrationName};
use evergrant_core::integration::Integration;
use evergrant_core::provider::CredentialKind;
use evergrant_core::secret::{AuthorizationCode, CodeVerifier, OneTime, kind};
use evergrant_core::time::{Timestamp, millis};
use evergrant_store::connect::{Session, SessionState, TakenNow, TakenState};
use serde::{Deserialize, Serialize};

use zeroize::Zeroizing;

use super::begin::Waiting;
use super::exchange::Exchange;
use super::failure::Failure;
use super::plan::Plan;
use super::progress::{Context, Progress, StateResult};
use super::session::{account_name, read_plan, stopped};
use super::told::{Again, Ended, Outcome, Stopped};
use super::{Binding, STATE_LIFE, return_url};
use crate::service::Service;
use crate::service::access::hash;
use crate::service::connections::provider_name;
use crate::service::error::Refusal;
use crate::service::exposed::Exposed;

/// How long a second arrival waits for the first one's result.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);

/// A code that waits for the application's word; sealed.
#[derive(Serialize, Deserialize)]
pub(super) struct Parked {
    pub code: Exposed<kind::Code>,
    pub verifier: Exposed<kind::Verifier>,
    pub context: Context,
    #[serde(with = "millis")]
    pub until: Timestamp,
}

/// A callback whose state was good.
struct Arrival<'a> {
    taken: TakenNow,
    callback: Callback,
    state: &'a OneTime,
    plan: Plan,
    session: &'a Session,
}

impl Service {
    /// What becomes of a browser that comes back.
    ///
    /// # Errors
    /// [`Stopped`] where nothing is known of the one who began.
    pub async fn callback(&self, integration: &str, query: &str, browser: Option<OneTime>) -> Result<Ended, Stopped> {
        let name: IntegrationName = integration.parse().map_err(|_| Failure::StateGone)?;
        let integration = self.store.integration(&name).ok_or(Failure::StateGone)?;
        let provider = &integration.provider;
        let callback = match provider.kind {
            CredentialKind::Oauth1 => parse_signed_callback(query),
            _ => parse_callback(query, &provider.callback_code_param),
        };
        let callback = callback.map_err(|_| Failure::StateGone)?;
        let (Some(state), Some(browser)) = (callback.state.clone(), browser) else {
            return Err(Failure::StateGone.into());
        };
        let taken = self.take(&state, &browser, &name).await?;
        match taken {
            TakenState::Foreign | TakenState::Unknown => Err(Failure::StateGone.into()),
            TakenState::Before { session, result } => {
                let session = self.store.session(&session).await.map_err(stopped)?.ok_or(Failure::StateGone)?;
                let result = result.and_then(|text| serde_json::from_str(&text).ok()).ok_or(Failure::StateGone)?;
                let outcome = self.shown_again(result, &state).map_err(stopped)?;
                Ok(self.come_to(outcome, &integration, &read_plan(&session)?, &session).await)
            }
            TakenState::Now(taken) => self.arrived(taken, callback, state, integration).await,
        }
    }

    /// Where a browser goes on that came back with a form post: to the same callback by GET. The post comes from another
    /// site, so it brings no cookie (`SameSite=Lax`); nothing is believed and nothing is taken before that GET, which does.
    ///
    /// # Errors
    /// [`Stopped`] where there is no such integration.
    pub fn callback_posted(&self, integration: &str, form: &[u8]) -> Result<OneTime, Stopped> {
        let name: IntegrationName = integration.parse().map_err(|_| Failure::StateGone)?;
        let integration = self.store.integration(&name).ok_or(Failure::StateGone)?;
        let query = query_of_post(&integration.provider, form);
        Ok(OneTime::new(format!("{}?{}", self.callback_url(&name), query.expose())))
    }

    /// Takes the state; a second arrival waits until the first has come to something.
    async fn take(&self, state: &OneTime, browser: &OneTime, name: &IntegrationName) -> Result<TakenState, Stopped> {
        let (state, browser) = (hash(state), hash(browser));
        let deadline = self.now().plus(PATIENCE);
        loop {
            let taken = self.store.take_state(&state, &browser, name, self.now()).await.map_err(stopped)?;
            let undecided = matches!(taken, TakenState::Before { result: None, .. });
            if !undecided || self.now() >= deadline {
                return Ok(taken);
            }
            self.clock.sleep(LOOK).await;
        }
    }

    async fn arrived(
        &self,
        taken: TakenNow,
        callback: Callback,
        state: OneTime,
        integration: Arc<Integration>,
    ) -> Result<Ended, Stopped> {
        let session = self.store.session(&taken.session).await.map_err(stopped)?.ok_or(Failure::StateGone)?;
        let plan = read_plan(&session)?;
        // On a task of the service's own: a browser that goes away must not lose what the provider gave.
        let (service, at, plan_of, state_of) = (self.clone(), integration.clone(), plan.clone(), state.clone());
        let session_of = session.clone();
        let work = self.tasks.spawn(async move {
            let arrival = Arrival { taken, callback, state: &state_of, plan: plan_of, session: &session_of };
            let result = service.decide(arrival, &at).await;
            let text = serde_json::to_string(&result).unwrap_or_default();
            if let Err(error) = service.store.set_state_result(&hash(&state_of), text).await {
                tracing::warn!(%error, "what a callback came to could not be written down");
            }
            result
        });
        let result = work.await.map_err(|error| stopped(Refusal::internal(&error)))?;
        let outcome = self.shown_again(result, &state).map_err(stopped)?;
        Ok(self.come_to(outcome, &integration, &plan, &session).await)
    }

    async fn decide(&self, arrival: Arrival<'_>, integration: &Arc<Integration>) -> StateResult {
        let Arrival { taken, callback, state, plan, session } = arrival;
        let failed = |failure: Failure| {
            self.metrics.connect_flow(&integration.name, failure.code());
            StateResult::Failed { failure }
        };
        if session.state == SessionState::Revoked {
            // Taken back while the person was at the provider; its code is left to end there.
            return failed(Failure::LinkGone);
        }
        let Ok(waiting) = serde_json::from_slice::<Waiting>(&taken.payload) else {
            return failed(Failure::Internal);
        };
        let mut facts = waiting.known;
        facts.extend(callback.kept(&integration.provider));
        let at = match integration.at(&facts) {
            Ok(at) => at,
            Err(unfilled) => {
                tracing::warn!(integration = %integration.name, %unfilled, "a callback brought what does not fit the entry");
                return failed(Failure::RequestRefused);
            }
        };
        if check_issuer(&at.provider, callback.iss.as_deref()).is_err() {
            tracing::warn!(integration = %integration.name, "a callback came from another issuer than the one that was asked");
            return failed(Failure::WrongIssuer);
        }
        let code = match &callback.answer {
            CallbackAnswer::Code(code) => code.clone(),
            CallbackAnswer::Error { kind: ErrorKind::Denied, .. } => {
                self.metrics.connect_flow(&integration.name, "denied");
                return StateResult::Denied;
            }
            CallbackAnswer::Error { kind: ErrorKind::Unavailable, .. } => return failed(Failure::ProviderUnavailable),
            CallbackAnswer::Error { kind: ErrorKind::Refused, code } => {
                tracing::warn!(integration = %integration.name, code, "the provider refused an authorization request");
                return failed(Failure::RequestRefused);
            }
            CallbackAnswer::Nothing => return failed(Failure::NoCode),
        };
        let account = account::from_callback(&at.provider, |name| callback.param(name)).map(Account::from);
        let context =
            Context { integration: integration.name.clone(), scopes: waiting.scopes, callback: facts, account };
        match plan.binding {
            Binding::App => match self.park(session, code, waiting.verifier.0, context, state).await {
                Ok(true) => StateResult::Pending,
                Ok(false) => failed(Failure::LinkGone),
                Err(refusal) => failed(stopped(refusal).failure),
            },
            Binding::Link => {
                let verifier = waiting.verifier.0;
                let id = session.id.clone();
                let exchange = Exchange { session: id.clone(), plan, context, code, verifier, parked: None };
                match self.exchange(exchange, integration).await {
                    Ok((record, _)) => StateResult::Connected { connection: record.connection.id.clone() },
                    Err(refusal) => StateResult::Failed { failure: self.why(&id, refusal).await },
                }
            }
        }
    }

    /// Why an exchange brought nothing. What came and could not be told whose it is was written down as that; to its caller it
    /// is the provider's error like others.
    async fn why(&self, session: &ConnectSessionId, refusal: Refusal) -> Failure {
        let failure = stopped(refusal).failure;
        if failure != Failure::CodeRefused {
            return failure;
        }
        let stored = self.store.session(session).await.ok().flatten();
        match Progress::read(stored.and_then(|session| session.result).as_deref()) {
            Some(Progress::Failed { failure: Failure::AccountUnknown }) => Failure::AccountUnknown,
            _ => failure,
        }
    }

    /// Keeps the code until the application says who is signed in; false if the session is over.
    async fn park(
        &self,
        session: &Session,
        code: AuthorizationCode,
        verifier: CodeVerifier,
        context: Context,
        state: &OneTime,
    ) -> Result<bool, Refusal> {
        let until = self.now().plus(STATE_LIFE);
        let parked = Parked { code: Exposed(code), verifier: Exposed(verifier), context, until };
        let payload = serde_json::to_vec(&parked).map_err(|error| Refusal::internal(&error))?;
        let handle = hash(&self.handle(state)?);
        Ok(self.store.park_code(&session.id, handle, Zeroizing::new(payload), until).await?)
    }

    /// The handle follows from the state, so that a second arrival shows the same one though nobody has kept it.
    fn handle(&self, state: &OneTime) -> Result<OneTime, Refusal> {
        let key = self.store.derived_key("connect handles")?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_ref());
        Ok(OneTime::new(URL_SAFE_NO_PAD.encode(hmac::sign(&key, state.expose().as_bytes()))))
    }

    async fn come_to(&self, outcome: Outcome, integration: &Integration, plan: &Plan, session: &Session) -> Ended {
        // A wrong issuer is somebody's attack: the browser stays here instead of carrying it on.
        let stays = matches!(outcome, Outcome::Failed(Failure::WrongIssuer));
        let return_url = plan.return_url.as_deref().filter(|_| !stays).and_then(return_url::parse);
        let can_try = match &outcome {
            Outcome::Denied => true,
            Outcome::Failed(failure) => failure.can_try_again(),
            Outcome::Pending { .. } | Outcome::Connected { .. } => false,
        };
        let again = match &return_url {
            None if can_try => self.again(plan, session, integration).await,
            _ => None,
        };
        let language = self.language_of(plan).await;
        Ended { outcome, provider: provider_name(integration).to_owned(), return_url, again, language }
    }

    /// Another try in the same session. Its link is signed, so that it can be shown again with a page that is loaded again.
    async fn again(&self, plan: &Plan, session: &Session, integration: &Integration) -> Option<Again> {
        let record = match &plan.connection {
            Some(id) => self.store.token_record(id, false).await.ok().flatten(),
            None => None,
        };
        let account = record.as_ref().and_then(|record| record.connection.account.as_ref());
        Some(Again {
            link: self.links.again(&session.id, session.expires_at),
            integration: integration.name.clone(),
            account: account.map(account_name),
            asks_account: !integration.provider.choose_account_params.is_empty(),
        })
        .filter(|_| session.expires_at > self.now())
    }

    fn shown_again(&self, result: StateResult, state: &OneTime) -> Result<Outcome, Refusal> {
        Ok(match result {
            StateResult::Pending => Outcome::Pending { handle: self.handle(state)? },
            StateResult::Connected { connection } => Outcome::Connected { connection },
            StateResult::Denied => Outcome::Denied,
            StateResult::Failed { failure } => Outcome::Failed(failure),
        })
    }
}
