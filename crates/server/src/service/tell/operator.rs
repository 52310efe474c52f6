//! To the operator by mail, and the words of alerts.

use evergrant_store::{Delivery, DeliveryOutcome, OPERATOR};

use super::{Failed, LEASE, OPERATOR_EMAIL, delivered};
use crate::service::Service;
use crate::service::connections::provider_name;
use crate::service::error::Refusal;

/// Alerts that go into one message.
pub(super) const IN_ONE: usize = 200;

impl Service {
    pub(super) async fn mail_operator(&self) -> Result<(), Refusal> {
        let Some(mailer) = &self.telling.mailer else { return Ok(()) };
        let now = self.now();
        let claimed = self.store.claim_batch(OPERATOR_EMAIL, OPERATOR, now, LEASE, IN_ONE).await?;
        let Some(claimed) = claimed else { return Ok(()) };
        let lines: Vec<String> = claimed.deliveries.iter().map(|delivery| self.alert_in_words(delivery)).collect();
        let tries = claimed.deliveries.iter().map(|delivery| delivery.tries).max().unwrap_or_default();
        let sent = mailer.send_to_operator(&claimed.batch, &lines, now).await;
        let outcome: DeliveryOutcome = match sent {
            Ok(()) => delivered(None, String::new()),
            Err(not) => {
                self.channel_fails(OPERATOR_EMAIL, &format!("The mail server does not take alerts: {}", not.said))
                    .await;
                let for_good = !not.passes;
                self.not_told(tries, Failed { status: not.status, detail: not.said, for_good, ..Failed::default() })
            }
        };
        self.metrics.told(
            "operator_alert",
            OPERATOR_EMAIL,
            if outcome.state.is_ok() { "delivered" } else { "retried" },
        );
        self.ended(claimed.deliveries.iter().map(|delivery| delivery.seq).collect(), outcome).await
    }

    /// One line: which integration, what is wrong, how to mend it.
    pub(super) fn alert_in_words(&self, delivery: &Delivery) -> String {
        let said = delivery.document.get("data").and_then(|data| data["what"].as_str()).unwrap_or_default();
        let integration = delivery.integration.as_ref();
        let name = integration.map(|name| format!("{name}: ")).unwrap_or_default();
        if !said.is_empty() {
            return format!("{name}{said}");
        }
        let found = integration.and_then(|name| self.store.integration(name));
        let provider = found.as_ref().map_or("the provider", |one| provider_name(one)).to_owned();
        let which = delivery.connection.as_ref().map(|id| format!(" ({id})")).unwrap_or_default();
        if delivery.kind == "disconnected" {
            return format!("{name}a connection to {provider} has ended and its person must reconnect{which}.");
        }
        format!(
            "{name}{provider} keeps refusing a connection without saying why, and others do not work either{which}."
        )
    }

    /// A channel does not work: said by all the others, once a day.
    pub(super) async fn channel_fails(&self, channel: &'static str, what: &str) {
        tracing::error!(channel, "{what}");
        if let Err(error) = self.store.alert_of_channel(channel, what, self.now()).await {
            tracing::error!(channel, %error, "the operator could not be told of it");
        }
    }
}
