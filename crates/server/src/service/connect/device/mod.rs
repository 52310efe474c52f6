//! The device flow (RFC 8628): a person types a code in at the provider, on any device, and the service asks until that is done.
//!
//! What comes goes the way of every exchange: journalled before it is read, kept as pending, its account looked up, promoted.
//! The device code is kept sealed with its session, so that a start goes on with every question that was open. Whoever holds
//! the code can agree for the subject, as with a link in a mail; a reconnect accepts only the known account.

mod asking;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use evergrant_core::device::{NotStarted, Started, started};
use evergrant_core::id::ConnectSessionId;
use evergrant_core::integration::Integration;
use evergrant_core::outcome::Class;
use evergrant_core::secret::kind;
use evergrant_core::time::{Timestamp, millis};
use evergrant_core::token_request::{Client, device_authorization};
use evergrant_store::connect::SessionState;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::exchange::secrets;
use super::plan::Plan;
use super::progress::{Context, Progress};
use super::session::read_plan;
use crate::provider::{Limits, SendError};
use crate::service::Service;
use crate::service::access::Caller;
use crate::service::connections::provider_name;
use crate::service::error::Refusal;
use crate::service::exposed::Exposed;

/// What the question for a code may take while a caller waits.
const LIMITS: Limits = Limits { connect: Duration::from_secs(5), answer: Duration::from_secs(10), body: 64 * 1024 };

/// A code for a person.
#[derive(Clone, Debug)]
pub struct NewDevice {
    /// The session's id: its progress is asked by it.
    pub id: ConnectSessionId,
    /// What the person types in.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it.
    pub verification_uri_complete: Option<String>,
    /// When the code ends.
    pub expires_at: Timestamp,
    /// How often the provider is asked: asking for progress more often brings nothing.
    pub interval: Duration,
}

/// What is kept of a code while it waits; sealed.
#[derive(Serialize, Deserialize)]
struct Kept {
    device_code: Exposed<kind::Device>,
    context: Context,
    /// Milliseconds between two questions.
    interval: u64,
    #[serde(with = "millis")]
    until: Timestamp,
}

impl Service {
    /// Asks the provider for a code, and goes on asking whether somebody has agreed.
    pub(super) async fn begin_device(
        &self,
        caller: &Caller,
        plan: Plan,
        integration: &Arc<Integration>,
    ) -> Result<NewDevice, Refusal> {
        let known = self.known(&plan, integration).await?;
        let at = integration.at(&known).map_err(|unfilled| Refusal::internal(&unfilled))?;
        let scopes = plan.scopes.clone().unwrap_or_else(|| integration.requested_scopes().to_vec());
        let code = self.ask_for_code(&at, &scopes).await?;
        let until = self.now().plus(code.lives);
        // No link leads to this session: the hash is that of a value that nobody has.
        let id = self.keep_session(&plan, &self.entropy.one_time(), until, Some(caller)).await?;
        let context = Context { integration: integration.name.clone(), scopes, callback: known, account: None };
        let interval = u64::try_from(code.interval.as_millis()).unwrap_or(u64::MAX);
        let kept = Kept { device_code: Exposed(code.device_code), context, interval, until };
        self.keep_code(&id, &kept).await?;
        // The next start knows by it that an answer in the journal belongs here.
        let mark = Progress::Exchanging(kept.context.clone()).text();
        self.store.finish_session(&id, SessionState::Open, Some(mark), None, self.now()).await?;
        self.go_on_asking(id.clone(), kept, plan);
        Ok(NewDevice {
            id,
            user_code: code.user_code,
            verification_uri: code.verification_uri,
            verification_uri_complete: code.verification_uri_complete,
            expires_at: until,
            interval: code.interval,
        })
    }

    /// Goes on with every code that was waiting when the node ended that asked about it.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub async fn resume_devices(&self) -> Result<(), Refusal> {
        for (parked, found) in self.store.adopt_codes().await? {
            // The others wait for their application.
            if found != self.place_of(&parked.session)? {
                continue;
            }
            let session = self.store.session(&parked.session).await?;
            let plan = session.and_then(|session| read_plan(&session).ok());
            match (serde_json::from_slice::<Kept>(&parked.payload), plan) {
                (Ok(kept), Some(plan)) => self.go_on_asking(parked.session, kept, plan),
                _ => {
                    tracing::error!(session = %parked.session, "a code that was waiting cannot be read; the person has to begin anew");
                }
            }
        }
        Ok(())
    }

    async fn ask_for_code(&self, at: &Integration, scopes: &[String]) -> Result<Started, Refusal> {
        let redirect_uri = self.callback_url(&at.name);
        let mut refused = None;
        for secret in secrets(at, self.now()) {
            let proof = self.proof(at, secret, &at.provider.token_url).map_err(|why| self.unusable(at, &why))?;
            let client = Client { id: &at.client_id, proof: proof.as_ref(), redirect_uri: &redirect_uri };
            let request = device_authorization(&at.provider, &client, scopes)
                .ok_or_else(|| Refusal::invalid("flow", "this provider gives no codes to type in"))?;
            let answer = match self.transport.call(request, LIMITS).await {
                Ok(answer) => answer,
                Err(SendError::Unsent) => return Err(no_code_now(at, "the connection was closed")),
                Err(SendError::Lost { why, .. }) => return Err(no_code_now(at, &why)),
            };
            match started(answer.status, &answer.body) {
                Ok(started) => return Ok(started),
                Err(not @ NotStarted::Client { .. }) => refused = Some(not),
                Err(not @ NotStarted::NotNow { .. }) => return Err(no_code_now(at, &not.to_string())),
                Err(not) => return Err(no_code(at, &not)),
            }
        }
        let detail = refused.map(|not| not.to_string()).unwrap_or_default();
        Err(Refusal::IntegrationMisconfigured { integration: at.name.clone(), since: self.now(), detail })
    }

    /// Where a session's device code lies among the codes that are parked: where no handle of an application can be.
    fn place_of(&self, id: &ConnectSessionId) -> Result<[u8; 32], Refusal> {
        let key = self.store.derived_key("device codes")?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_ref());
        let tag = hmac::sign(&key, id.as_str().as_bytes());
        tag.as_ref().try_into().map_err(|_| Refusal::internal(&"a tag of another length"))
    }

    async fn keep_code(&self, id: &ConnectSessionId, kept: &Kept) -> Result<(), Refusal> {
        let payload = Zeroizing::new(serde_json::to_vec(kept).map_err(|error| Refusal::internal(&error))?);
        self.store.park_code(id, self.place_of(id)?, payload, kept.until).await?;
        Ok(())
    }
}

fn no_code_now(at: &Integration, why: &str) -> Refusal {
    Refusal::ProviderUnavailable {
        class: None,
        detail: format!(
            "{} gave no code to type in: {why}. Nothing was begun; try again in a moment.",
            provider_name(at)
        ),
        retry_after: Duration::from_secs(30),
    }
}

fn no_code(at: &Integration, why: &NotStarted) -> Refusal {
    Refusal::ProviderError {
        class: Class::Unknown,
        detail: format!("{} gave no code to type in: {why}. Nothing was begun.", provider_name(at)),
        retry_after: None,
    }
}
