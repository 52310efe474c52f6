//! What an entry wants to be asked or told once a new grant is durable: facts for those who call the API, registrations.
//!
//! Made while the grant is pending, so that its connection is whole when it is first seen; tried again later where the
//! provider does not answer, because neither a fact nor a registration is worth a grant.

use std::time::Duration;

use evergrant_core::connection::{Account, Status};
use evergrant_core::integration::Integration;
use evergrant_core::provider::{AfterGrant, USERINFO};
use evergrant_core::secret::AccessToken;
use evergrant_core::time::Timestamp;
use evergrant_core::token_request::{self, HttpRequest};
use evergrant_store::{NewEvent, Owed, Settled};
use serde_json::{Map, Value};

use crate::provider::{Answer, Limits, SendError};
use crate::service::Service;
use crate::service::error::Refusal;
use crate::service::refresh::TokenAsk;

/// What one call may take while a person waits.
const LIMITS: Limits = Limits { connect: Duration::from_secs(5), answer: Duration::from_secs(10), body: 256 * 1024 };
/// The first pause before what is owed is tried again, doubling.
const PAUSE: Duration = Duration::from_secs(60);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);
/// How long it is tried: then the provider does not mean to answer.
const PATIENCE: Duration = Duration::from_secs(3 * 24 * 3600);

/// What the calls after a grant came to.
#[derive(Default)]
pub(super) struct After {
    /// What they brought.
    pub facts: Map<String, Value>,
    /// The calls that must be made again, by their keys.
    pub owed: Vec<String>,
    /// Why, in words without a secret.
    pub why: Vec<String>,
}

impl After {
    /// What is owed, and when it is tried again; in the place of what was owed by an earlier grant.
    pub fn owed_at(&self, now: Timestamp) -> (Vec<String>, Timestamp) {
        (self.owed.clone(), now.plus(PAUSE))
    }

    /// What the event of the connection tells of it, besides what the grant lacks.
    pub fn shortfalls(&self, missing: &[&str]) -> Vec<(&'static str, Value)> {
        let missing = (!missing.is_empty()).then(|| ("missing_facts", missing.into()));
        let why = (!self.why.is_empty()).then(|| ("after_grant", self.why.clone().into()));
        missing.into_iter().chain(why).collect()
    }
}

impl Service {
    /// Makes the calls that `wanted` names, one after the other. `template` is the entry before its variables were filled
    /// in, which names the calls; `at` is where they go.
    pub(super) async fn after_grant(
        &self,
        (template, at): (&Integration, &Integration),
        token: &AccessToken,
        account: Option<&Account>,
        wanted: &[String],
    ) -> After {
        let mut after = After::default();
        if wanted.iter().any(|key| key == USERINFO) {
            let request = token_request::userinfo(&at.provider, &at.client_id, token);
            match self.asked(request, |status| (200..300).contains(&status)).await {
                Ok(answer) => after.facts.extend(at.provider.facts_from_userinfo(&answer.body, token.expose())),
                Err(why) => after.owes(USERINFO.to_owned(), &at.provider.userinfo_url, &why),
            }
        }
        let calls = template.provider.after_grant.iter().map(AfterGrant::key).zip(&at.provider.after_grant);
        for (key, call) in calls.filter(|(key, _)| wanted.contains(key)) {
            let account = account.map(|account| &account.id);
            let request = token_request::after_grant(call, &at.client_id, account, token);
            match self.asked(request, |status| call.accepts(status)).await {
                Ok(answer) => after.facts.extend(call.facts(&answer.body, token.expose())),
                Err(why) => after.owes(key, &call.url, &why),
            }
        }
        for why in &after.why {
            tracing::warn!(integration = %at.name, "{why}; it is tried again in {} s", PAUSE.as_secs());
        }
        after
    }

    /// Calls, and wants such a status.
    async fn asked(&self, request: Option<HttpRequest>, accepts: impl Fn(u16) -> bool) -> Result<Answer, String> {
        let request = request.ok_or("it needs the account, which is not known")?;
        match self.transport.call(request, LIMITS).await {
            Ok(answer) if accepts(answer.status) => Ok(answer),
            Ok(answer) => Err(format!("HTTP {}", answer.status)),
            Err(SendError::Unsent) => Err("the connection was closed".to_owned()),
            Err(SendError::Lost { why, .. }) => Err(why),
        }
    }

    /// Tries again what providers have not answered after a grant.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub async fn ask_what_is_owed(&self) -> Result<(), Refusal> {
        loop {
            let due = self.store.claim_owed(self.now(), Duration::from_secs(300), 8).await?;
            if due.is_empty() {
                return Ok(());
            }
            for owed in due {
                let settled = self.ask_again(&owed).await;
                self.store.owed_settled(&owed, settled, self.now()).await?;
            }
        }
    }

    async fn ask_again(&self, owed: &Owed) -> Settled {
        let now = self.now();
        let pause = PAUSE.saturating_mul(2 << owed.tries.min(16)).min(LONGEST_PAUSE);
        let later = |calls: &[String]| Some((calls.to_vec(), now.plus(pause)));
        let record = match self.store.token_record(&owed.connection, true).await {
            Ok(Some(record)) => record,
            Ok(None) => return Settled::default(),
            Err(_) => return Settled { again: later(&owed.calls), ..Settled::default() },
        };
        let connection = &record.connection;
        let gone = matches!(connection.life.status, Status::Disconnected { .. });
        let Some(template) = self.store.integration(&connection.integration).filter(|_| !gone) else {
            return Settled::default();
        };
        let known = template.provider.after_grant_keys();
        let calls: Vec<String> = owed.calls.iter().filter(|call| known.contains(call)).cloned().collect();
        let Ok(at) = template.at(&connection.provider_data) else { return Settled::default() };
        let after = match self.refresher.token(&owed.connection, TokenAsk::default()).await {
            Ok(token) => {
                self.after_grant((&template, &at), &token.access_token, connection.account.as_ref(), &calls).await
            }
            // Who must act then knows it from elsewhere.
            Err(_) => After { owed: calls, ..After::default() },
        };
        let over = now.since(owed.created_at) > PATIENCE;
        if after.owed.is_empty() || over {
            let kind = if over { "connection.after_grant_failed" } else { "connection.after_grant" };
            let names: Vec<&str> = after.facts.keys().map(String::as_str).collect();
            let event = NewEvent::new(kind).with("facts", names);
            let event = if after.why.is_empty() { event } else { event.with("after_grant", after.why.clone()) };
            return Settled { facts: after.facts, again: None, events: vec![event] };
        }
        Settled { facts: after.facts, again: later(&after.owed), events: Vec::new() }
    }
}

impl After {
    fn owes(&mut self, key: String, url: &str, why: &str) {
        let host = url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        let what = if key == USERINFO { "GET" } else { key.split(' ').next().unwrap_or_default() };
        self.why.push(format!("{what} at {host} after the grant was not answered well: {why}"));
        self.owed.push(key);
    }
}
