//! To the operator's chats, with as many alerts in one message as there are: a chat that limits us is obeyed.

use std::time::Duration;

use evergrant_core::telling::retry_at;
use evergrant_core::token_request::HttpRequest;
use evergrant_store::OPERATOR;

use super::operator::IN_ONE;
use super::{Failed, LEASE, delivered};
use crate::notify::chat::{Chat, asked_to_wait};
use crate::provider::{Limits, SendError};
use crate::service::Service;
use crate::service::error::Refusal;

impl Service {
    pub(super) async fn chat(&self, chat: Chat) -> Result<(), Refusal> {
        let url = match chat {
            Chat::Slack => &self.telling.slack,
            Chat::Discord => &self.telling.discord,
        };
        let Some(url) = url else { return Ok(()) };
        let claimed = self.store.claim_batch(chat.channel(), OPERATOR, self.now(), LEASE, IN_ONE).await?;
        let Some(claimed) = claimed else { return Ok(()) };
        let lines: Vec<String> = claimed.deliveries.iter().map(|delivery| self.alert_in_words(delivery)).collect();
        let tries = claimed.deliveries.iter().map(|delivery| delivery.tries).max().unwrap_or_default();
        let request = HttpRequest::message(url.expose(), Vec::new(), chat.message(&lines));
        let answer = self.telling.numbers.timeout.duration();
        let limits = Limits { connect: Duration::from_secs(10), answer, body: 4096 };
        let outcome = match self.transport.call(request, limits).await {
            Ok(answer) if (200..300).contains(&answer.status) => delivered(Some(answer.status), String::new()),
            Ok(answer) => {
                let header = answer.headers.iter().find(|(name, _)| name == "retry-after");
                let asked = asked_to_wait(header.map(|(_, value)| value.as_str()), &answer.body);
                let limited = answer.status == 429;
                // Its address is not good any more: no try will help, and somebody has to mend it.
                let for_good = (400..500).contains(&answer.status) && !limited && answer.status != 408;
                let detail = format!("the chat answered {}", answer.status);
                let failed = Failed { status: Some(answer.status), detail, asked, for_good, gone: false };
                self.not_told_by_chat(chat, tries, failed, limited).await
            }
            Err(SendError::Lost { why, .. }) => {
                let failed = Failed { detail: why, ..Failed::default() };
                self.not_told_by_chat(chat, tries, failed, false).await
            }
            Err(error) => {
                let failed = Failed { detail: error.to_string(), ..Failed::default() };
                self.not_told_by_chat(chat, tries, failed, false).await
            }
        };
        self.metrics.told(
            "operator_alert",
            chat.channel(),
            if outcome.state.is_ok() { "delivered" } else { "retried" },
        );
        self.ended(claimed.deliveries.iter().map(|delivery| delivery.seq).collect(), outcome).await
    }

    async fn not_told_by_chat(
        &self,
        chat: Chat,
        tries: u64,
        failed: Failed,
        limited: bool,
    ) -> evergrant_store::DeliveryOutcome {
        if limited {
            // A limit is no failure: it does not use up the tries.
            let retry = self.telling.numbers.retry();
            let asked = failed.asked.or(Some(Duration::from_secs(1)));
            let at = asked.map(|asked| self.now().plus(asked.min(retry.longest)));
            if let Some(at) = at.or_else(|| retry_at(&retry, 1, None, 0.0, self.now())) {
                let put_off = evergrant_store::DeliveryOutcome::put_off(at);
                return evergrant_store::DeliveryOutcome { status: failed.status, detail: failed.detail, ..put_off };
            }
        }
        let name = chat.channel();
        if failed.for_good || tries >= 3 {
            self.channel_fails(name, &format!("The incoming webhook of [{name}] does not work: {}", failed.detail))
                .await;
        }
        self.not_told(tries, failed)
    }
}
