//! To the application's endpoints: signed, in the order of each connection, at most four at a time for each endpoint.

use std::time::Duration;

use evergrant_core::id::WebhookId;
use evergrant_core::notice::NoticeKind;
use evergrant_core::telling::{notice_of, permanence};
use evergrant_core::token_answer::retry_after;
use evergrant_core::token_request::HttpRequest;
use evergrant_store::{Delivery, DeliveryOutcome, DeliveryState, WEBHOOK};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::{Failed, LEASE, delivered};
use crate::notify::signature;
use crate::provider::{Answer, Limits, SendError};
use crate::service::Service;
use crate::service::connections::provider_name;
use crate::service::error::Refusal;
use crate::service::links;

/// Messages to one endpoint that are under way at once.
const AT_ONCE: usize = 4;
/// How much of an answer is kept, in bytes.
const ANSWER: usize = 1024;

impl Service {
    /// Starts what is due to each endpoint and has a turn.
    pub(super) async fn tell_endpoints(&self) -> Result<(), Refusal> {
        let due = self.store.due_targets(WEBHOOK, self.now(), 200).await?;
        if due.is_empty() {
            return Ok(());
        }
        for endpoint in self.store.enabled_webhooks().await? {
            let now = self.now();
            if !due.iter().any(|target| target == endpoint.as_str()) {
                continue;
            }
            let mut free = 0;
            while free < AT_ONCE && self.telling.turn(endpoint.as_str(), AT_ONCE) {
                free += 1;
            }
            let claimed = match free {
                0 => Vec::new(),
                _ => self.store.claim_deliveries(WEBHOOK, endpoint.as_str(), now, LEASE, free).await?,
            };
            (0..free).for_each(|_| self.telling.turn_over(endpoint.as_str()));
            for delivery in claimed {
                let endpoint = endpoint.clone();
                self.in_turn(endpoint.to_string(), AT_ONCE, move |service| async move {
                    service.tell_endpoint(&endpoint, &delivery).await
                });
            }
        }
        Ok(())
    }

    async fn tell_endpoint(&self, endpoint: &WebhookId, delivery: &Delivery) -> Result<(), Refusal> {
        let Some(webhook) = self.store.webhook(endpoint).await?.filter(|one| one.disabled_at.is_none()) else {
            return Ok(());
        };
        let now = self.now();
        let body = self.message(delivery).await?.to_string().into_bytes();
        let secrets = webhook.secrets.iter().filter(|one| one.until.is_none_or(|until| now < until));
        let signed = signature::sign(secrets.map(|one| &one.secret), &delivery.message, now.as_seconds(), &body);
        let plain = |text: String| Zeroizing::new(text);
        let headers = vec![
            ("webhook-id".to_owned(), plain(delivery.message.clone())),
            ("webhook-timestamp".to_owned(), plain(now.as_seconds().to_string())),
            ("webhook-signature".to_owned(), signed),
        ];
        let request = HttpRequest::message(&webhook.url, headers, body);
        let limits =
            Limits { connect: Duration::from_secs(10), answer: self.telling.numbers.timeout.duration(), body: ANSWER };
        let outcome = match self.transport.call(request, limits).await {
            Ok(answer) => self.answered(delivery, &answer),
            // The head says whether it was taken; who says more than we keep has said it all the same.
            Err(SendError::Lost { partial: Some(answer), .. }) => self.answered(delivery, &answer),
            Err(error) => self.not_told(delivery.tries, Failed { detail: error.to_string(), ..Failed::default() }),
        };
        let word = match outcome.state {
            Ok(DeliveryState::Delivered) => "delivered",
            Ok(_) => "failed",
            Err(_) => "retried",
        };
        self.metrics.told(&delivery.kind, WEBHOOK, word);
        self.ended(vec![delivery.seq], outcome).await
    }

    fn answered(&self, delivery: &Delivery, answer: &Answer) -> DeliveryOutcome {
        let kept = answer.body.get(..ANSWER).unwrap_or(&answer.body);
        let detail = String::from_utf8_lossy(kept).replace('\0', "\u{fffd}");
        if (200..300).contains(&answer.status) {
            return delivered(Some(answer.status), detail);
        }
        let header = answer.headers.iter().find(|(name, _)| name == "retry-after").map(|(_, value)| value);
        let patience = matches!(answer.status, 429 | 503);
        let asked = header.filter(|_| patience).map(|value| retry_after::read(value, self.now()));
        let gone = answer.status == 410;
        self.not_told(delivery.tries, Failed { status: Some(answer.status), detail, asked, for_good: gone, gone })
    }

    /// What an endpoint is sent. The same at every try, but for a link that is not needed any more.
    async fn message(&self, delivery: &Delivery) -> Result<Value, Refusal> {
        let mut data = match delivery.document.get("data") {
            Some(Value::Object(data)) => data.clone(),
            _ => Map::new(),
        };
        let mut put = |name: &str, value: Value| drop(data.insert(name.to_owned(), value));
        put("id", delivery.message.as_str().into());
        if let Some(sequence) = delivery.document.get("sequence") {
            put("sequence", sequence.clone());
        }
        if let Some(permanence) = permanence(&delivery.kind) {
            put("permanence", permanence.as_str().into());
        }
        put("connection_id", delivery.connection.as_ref().map(|id| id.as_str()).into());
        put("integration", delivery.integration.as_ref().map(|name| name.as_str()).into());
        put("subject", delivery.subject.as_ref().map(|subject| subject.as_str()).into());
        let integration = delivery.integration.as_ref().and_then(|name| self.store.integration(name));
        put("provider", integration.as_ref().map(|one| provider_name(one)).into());
        if notice_of(&delivery.kind).is_some_and(NoticeKind::asks_for_action)
            && let Some(url) = self.link_of(delivery).await?
        {
            put("reconnect_url", url.expose().into());
        }
        Ok(json!({ "type": delivery.kind, "timestamp": delivery.at.to_string(), "data": data }))
    }

    /// Where the person can mend what a delivery tells, while that is still the matter.
    pub(super) async fn link_of(
        &self,
        delivery: &Delivery,
    ) -> Result<Option<evergrant_core::secret::OneTime>, Refusal> {
        let integration = delivery.integration.as_ref().and_then(|name| self.store.integration(name));
        let (Some(integration), Some(id)) = (integration, &delivery.connection) else { return Ok(None) };
        let record = self.store.token_record(id, false).await?;
        let troubled = record.filter(|record| links::mark(&record.connection) != 0);
        let end = delivery.at.plus(integration.policy(&self.base).link_ttl);
        Ok(troubled.and_then(|record| self.links.reconnect(&record.connection, &integration, end)))
    }
}
