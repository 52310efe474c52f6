//! Tells others what was written down to be told: endpoints, mailboxes, chats.
//!
//! Nothing is told that is not committed, because only what is committed is found. What was told and not written down as
//! such (the process died in between) is told again under the same id. A receiver that is slow or away keeps nobody else
//! waiting: each has its own turns.

mod ahead;
mod chats;
mod mails;
mod operator;
mod webhooks;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use evergrant_core::id::{IntegrationName, SubjectId};
use evergrant_core::secret::{OneTime, Password};
use evergrant_core::telling::retry_at;
use evergrant_core::time::Timestamp;
use evergrant_store::{Channels, DeliveryOutcome, DeliveryState, EMAIL};
use serde::{Deserialize, Serialize};

use super::Service;
use super::error::Refusal;
use super::signed::Signer;
use crate::config::{ChannelsConfig, NoticeNumbers};
use crate::notify::chat::Chat;
use crate::notify::mail::Mailer;

pub use ahead::run as look_ahead;

/// For so long nobody else gets what is being told: longer than any try takes.
const LEASE: Duration = Duration::from_secs(90);
/// Sleeps are in parts of at most this: clocks jump, and machines are suspended.
const NAP: Duration = Duration::from_secs(30);
/// How long a link that ends mails is good.
const UNSUBSCRIBE_LINK: Duration = Duration::from_secs(365 * 24 * 3600);
/// The channel of alerts by mail.
const OPERATOR_EMAIL: &str = "operator_email";
/// Persons who are told by mail at once.
const MAILS_AT_ONCE: usize = 8;

/// What telling needs.
pub struct Telling {
    /// The numbers.
    pub numbers: NoticeNumbers,
    mailer: Option<Mailer>,
    slack: Option<Password>,
    discord: Option<Password>,
    unsubscribing: Signer,
    /// Under way, by receiver.
    busy: Mutex<HashMap<String, usize>>,
    /// Integrations whose mails are held back, since when.
    held: Mutex<HashMap<IntegrationName, Timestamp>>,
}

/// What a link ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsubscribing {
    /// Whose mails.
    #[serde(rename = "s")]
    pub subject: SubjectId,
    /// Of which kinds.
    #[serde(rename = "k")]
    pub kinds: Vec<evergrant_core::notice::NoticeKind>,
}

impl Telling {
    /// As the configuration has it; `key` signs the links that end mails.
    ///
    /// # Errors
    /// In words, when mails cannot be set up.
    pub fn new(config: &ChannelsConfig, public_url: &str, key: &[u8]) -> Result<Self, String> {
        let host = url::Url::parse(public_url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let host = host.unwrap_or_else(|| "localhost".to_owned());
        Ok(Telling {
            numbers: config.numbers.clone(),
            mailer: config.email.as_ref().map(|email| Mailer::new(email, &host)).transpose()?,
            slack: config.slack.clone(),
            discord: config.discord.clone(),
            unsubscribing: Signer::new("egu_", key),
            busy: Mutex::default(),
            held: Mutex::default(),
        })
    }

    /// What the store has to know: what can be told where.
    pub fn channels(config: &ChannelsConfig) -> Channels {
        let chats = [(Chat::Slack, &config.slack), (Chat::Discord, &config.discord)];
        let chats = chats.into_iter().filter(|(_, url)| url.is_some()).map(|(chat, _)| chat.channel());
        let mail = config.email.as_ref().is_some_and(|email| email.operator.is_some()).then_some(OPERATOR_EMAIL);
        Channels {
            email: config.email.is_some(),
            email_delay: config.numbers.mail_delay.duration(),
            alerts: mail.into_iter().chain(chats.clone()).collect(),
            disconnections: chats.collect(),
        }
    }

    /// Takes one of `most` turns of a receiver; none: they are all taken.
    fn turn(&self, receiver: &str, most: usize) -> bool {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = busy.entry(receiver.to_owned()).or_default();
        if *taken >= most {
            return false;
        }
        *taken += 1;
        true
    }

    fn turn_over(&self, receiver: &str) {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = busy.get_mut(receiver) {
            *taken -= 1;
            if *taken == 0 {
                busy.remove(receiver);
            }
        }
    }

    /// What a link that ends mails is for.
    pub fn unsubscribing(&self, token: &OneTime, now: Timestamp) -> Option<Unsubscribing> {
        self.unsubscribing.read(token.expose(), now)
    }
}

/// Runs until the service stops.
pub async fn run(service: Service) {
    loop {
        // Taken before the look: what becomes due while it is looked for is still to come by this.
        let now = service.now();
        if let Err(refusal) = service.tell_what_is_due().await {
            tracing::warn!(%refusal, "what is to be told could not be read; it is tried again");
        }
        let next = service.store.next_delivery(now).await.ok().flatten();
        let nap = next.map_or(NAP, |next| next.until_from(service.now()).min(NAP));
        tokio::select! {
            () = service.stop.cancelled() => return,
            () = service.store.told() => {}
            () = service.clock.sleep(nap.max(Duration::from_millis(20))) => {}
        }
    }
}

impl Service {
    async fn tell_what_is_due(&self) -> Result<(), Refusal> {
        self.tell_endpoints().await?;
        let now = self.now();
        if self.telling.mailer.is_some() {
            for subject in self.store.due_targets(EMAIL, now, MAILS_AT_ONCE).await? {
                self.in_turn(format!("email {subject}"), 1, move |service| async move { service.mail(&subject).await });
            }
        }
        for channel in [OPERATOR_EMAIL, Chat::Slack.channel(), Chat::Discord.channel()] {
            if self.store.due_targets(channel, now, 1).await?.is_empty() {
                continue;
            }
            self.in_turn(channel.to_owned(), 1, move |service| async move {
                match Chat::ALL.into_iter().find(|chat| chat.channel() == channel) {
                    Some(chat) => service.chat(chat).await,
                    None => service.mail_operator().await,
                }
            });
        }
        Ok(())
    }

    /// Does something for a receiver in a task of its own, unless all its turns are taken. Given up when the service stops:
    /// what was not written down is told again.
    fn in_turn<F, W>(&self, receiver: String, most: usize, work: W)
    where
        W: FnOnce(Service) -> F + Send + 'static,
        F: Future<Output = Result<(), Refusal>> + Send,
    {
        if !self.telling.turn(&receiver, most) {
            return;
        }
        let service = self.clone();
        self.tasks.spawn(async move {
            let done = tokio::select! {
                () = service.stop.cancelled() => Ok(()),
                done = work(service.clone()) => done,
            };
            service.telling.turn_over(&receiver);
            match done {
                // Who waited for this turn may have it.
                Ok(()) => service.store.tell_on(),
                Err(refusal) => {
                    tracing::warn!(%refusal, "what came of telling could not be written down; it is told again");
                }
            }
        });
    }

    /// What becomes of a try that did not bring it there.
    fn not_told(&self, tries: u64, failed: Failed) -> DeliveryOutcome {
        let Failed { status, detail, asked, for_good, gone } = failed;
        let retry = self.telling.numbers.retry();
        let again = retry_at(&retry, tries + 1, asked, self.entropy.fraction(), self.now());
        let state = again.filter(|_| !for_good).map_or(Ok(DeliveryState::Failed), Err);
        DeliveryOutcome { state, tried: true, status, detail, gone }
    }

    async fn ended(&self, seqs: Vec<u64>, outcome: DeliveryOutcome) -> Result<(), Refusal> {
        let patience = self.telling.numbers.disable_after.duration();
        Ok(self.store.delivery_ended(seqs, outcome, patience, self.now()).await?)
    }

    /// A link that ends mails of these kinds.
    fn unsubscribe_link(&self, ending: Unsubscribing, told_at: Timestamp) -> OneTime {
        let token = self.telling.unsubscribing.sign(ending, told_at.plus(UNSUBSCRIBE_LINK));
        OneTime::new(format!("{}/unsubscribe/{}", self.public_url, token.expose()))
    }
}

/// Why a try did not bring it there.
#[derive(Debug, Default)]
struct Failed {
    status: Option<u16>,
    detail: String,
    /// How long the receiver asked to wait.
    asked: Option<Duration>,
    /// Whether another try is no use.
    for_good: bool,
    /// The receiver wants nothing any more.
    gone: bool,
}

fn delivered(status: Option<u16>, detail: String) -> DeliveryOutcome {
    DeliveryOutcome { state: Ok(DeliveryState::Delivered), tried: true, status, detail, gone: false }
}
