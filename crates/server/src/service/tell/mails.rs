//! To persons by mail: seldom, at a time that suits them, all that there is in one mail, and never what has passed by itself.

use std::sync::PoisonError;

use evergrant_core::id::{IntegrationName, SubjectId};
use evergrant_core::notice::NoticeKind;
use evergrant_core::telling::Channel;
use evergrant_core::time::Timestamp;
use evergrant_store::{Delivery, DeliveryOutcome, DeliveryState, EMAIL, NewEvent, NewNotice, Reach};

use super::{Failed, LEASE, Unsubscribing, delivered};
use crate::notify::mail::{Item, Link, Mail, NotTaken};
use crate::notify::words::Words;
use crate::service::Service;
use crate::service::connections::provider_name;
use crate::service::error::Refusal;
use crate::service::links;

/// Notices that go into one mail.
const IN_ONE: usize = 20;

/// What becomes of a notice that is due by mail.
enum Fate {
    Ready(NoticeKind),
    PutOff(Timestamp),
    Dropped(&'static str),
}

impl Service {
    /// Tells a person what is due by mail.
    pub(super) async fn mail(&self, target: &str) -> Result<(), Refusal> {
        let now = self.now();
        let Some(claimed) = self.store.claim_batch(EMAIL, target, now, LEASE, IN_ONE).await? else { return Ok(()) };
        let Ok(subject) = target.parse::<SubjectId>() else { return Ok(()) };
        let reach = self.store.reach(&subject).await?;
        let mut ready = Vec::new();
        for delivery in claimed.deliveries {
            match self.fate(&subject, &reach, &delivery, now).await? {
                Fate::Ready(kind) => ready.push((delivery, kind)),
                Fate::PutOff(until) => self.ended(vec![delivery.seq], DeliveryOutcome::put_off(until)).await?,
                Fate::Dropped(why) => {
                    self.metrics.told(&delivery.kind, EMAIL, "dropped");
                    self.ended(vec![delivery.seq], DeliveryOutcome::dropped(why)).await?;
                }
            }
        }
        let (Some(address), Some(mailer), Some(first)) = (&reach.contact.email, &self.telling.mailer, ready.first())
        else {
            return Ok(());
        };
        let told_at = first.0.at;
        let mail = self.written(&subject, &reach, &ready, told_at).await?;
        let sent = mailer.send(address, &claimed.batch, &mail, now).await;
        let tries = ready.iter().map(|(delivery, _)| delivery.tries).max().unwrap_or_default();
        let outcome = match sent {
            Ok(()) => {
                self.store.mailed(&subject, now).await?;
                delivered(None, String::new())
            }
            Err(not) => self.not_mailed(tries, not).await,
        };
        let word = match outcome.state {
            Ok(DeliveryState::Delivered) => "delivered",
            Ok(_) => "failed",
            Err(_) => "retried",
        };
        ready.iter().for_each(|(_, kind)| self.metrics.told(kind.as_str(), EMAIL, word));
        self.ended(ready.into_iter().map(|(delivery, _)| delivery.seq).collect(), outcome).await
    }

    async fn not_mailed(&self, tries: u64, not: NotTaken) -> DeliveryOutcome {
        if not.about_us {
            let server = not.status.map_or("cannot be reached", |_| "does not accept us");
            self.channel_fails(EMAIL, &format!("The mail server {server}: {}. Mails wait.", not.said)).await;
        } else if !not.passes {
            let status = not.status.map_or_else(String::new, |status| format!(" with {status}"));
            self.channel_fails(EMAIL, &format!("The mail server refuses mails to persons{status}; see its log.")).await;
        }
        let for_good = !not.passes;
        self.not_told(tries, Failed { status: not.status, detail: not.said, for_good, ..Failed::default() })
    }

    async fn fate(
        &self,
        subject: &SubjectId,
        reach: &Reach,
        delivery: &Delivery,
        now: Timestamp,
    ) -> Result<Fate, Refusal> {
        let kind = NoticeKind::ALL.into_iter().find(|kind| kind.as_str() == delivery.kind);
        let Some(kind) = kind.filter(|_| reach.contact.email.is_some()) else {
            return Ok(Fate::Dropped("no address is known"));
        };
        if !self.wanted_by(subject).await?.wants(kind, Channel::Email) {
            return Ok(Fate::Dropped("it is not wanted any more"));
        }
        if kind.asks_for_action() && !self.is_still_so(delivery).await? {
            return Ok(Fate::Dropped("it was mended meanwhile"));
        }
        if let Some(name) = &delivery.integration
            && let Some(until) = self.held_back(name, now).await?
        {
            return Ok(Fate::PutOff(until));
        }
        let numbers = &self.telling.numbers;
        let too_soon = reach.mail_not_before(numbers.mail_interval.duration(), numbers.mails_per_day.into(), now);
        Ok(reach.contact.quiet_until(now).max(too_soon).map_or(Fate::Ready(kind), Fate::PutOff))
    }

    async fn is_still_so(&self, delivery: &Delivery) -> Result<bool, Refusal> {
        let Some(id) = &delivery.connection else { return Ok(true) };
        let record = self.store.token_record(id, false).await?;
        Ok(record.is_some_and(|record| links::mark(&record.connection) != 0))
    }

    /// Until when mails about an integration are held back: so many at once are hardly each person's own affair.
    async fn held_back(&self, name: &IntegrationName, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
        let numbers = &self.telling.numbers;
        let (window, hold) = (numbers.brake_window.duration(), numbers.brake_hold.duration());
        let most = u64::from(numbers.brake_mails);
        let count = self.store.mails_since(name, now.minus(window), numbers.brake_mails as usize + 1).await?;
        let since = {
            let mut held = self.telling.held.lock().unwrap_or_else(PoisonError::into_inner);
            if count <= most {
                held.remove(name);
                return Ok(None);
            }
            *held.entry(name.clone()).or_insert(now)
        };
        if since == now {
            let what = format!(
                "More than {most} mails about this integration were to be sent within {} minutes. They wait until it has \
                 become quieter, at most {} minutes; those whose connection works again by then get none.",
                window.as_secs().div_ceil(60),
                hold.as_secs().div_ceil(60)
            );
            self.alert_about(name, since, "integration.notices_held", &what).await?;
        }
        let end = since.plus(hold);
        Ok((now < end).then(|| end.min(now.plus(window))))
    }

    /// Tells the operator something about an integration, once for each `episode`.
    pub(super) async fn alert_about(
        &self,
        name: &IntegrationName,
        episode: Timestamp,
        kind: &'static str,
        what: &str,
    ) -> Result<bool, Refusal> {
        // What is told of an integration is told once for each reason, also where two begin at the same moment.
        let mut notice = NewNotice { matter: kind, ..NewNotice::new(NoticeKind::OperatorAlert, episode) };
        notice.detail.insert("what".to_owned(), what.into());
        let is_new = self.store.note_once(name, notice, NewEvent::new(kind).with("what", what), self.now()).await?;
        if is_new {
            tracing::warn!(integration = %name, "{what}");
        }
        Ok(is_new)
    }

    async fn written(
        &self,
        subject: &SubjectId,
        reach: &Reach,
        ready: &[(Delivery, NoticeKind)],
        told_at: Timestamp,
    ) -> Result<Mail, Refusal> {
        let language = crate::notify::words::LANGUAGES
            .into_iter()
            .find(|known| reach.contact.language.as_deref() == Some(known))
            .unwrap_or("en");
        let words = Words::of(Some(language));
        let (mut items, mut title) = (Vec::new(), words.several());
        for (delivery, kind) in ready {
            let integration = delivery.integration.as_ref().and_then(|name| self.store.integration(name));
            let provider = integration.as_ref().map_or_else(String::new, |one| provider_name(one).to_owned());
            let url = if kind.asks_for_action() { self.link_of(delivery).await? } else { None };
            let link = url.map(|url| Link::new(&url, words.mail("reconnect", &provider)));
            if ready.len() == 1 {
                title = words.title(*kind, &provider);
            }
            items.push(Item { message: words.message(*kind, &provider), link });
        }
        let mut kinds: Vec<NoticeKind> = ready.iter().map(|(_, kind)| *kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let unsubscribe = self.unsubscribe_link(Unsubscribing { subject: subject.clone(), kinds }, told_at);
        Ok(Mail {
            language,
            title,
            has_links: items.iter().any(|item| item.link.is_some()),
            items,
            link_note: words.mail("link_note", ""),
            why: words.mail("why", ""),
            unsubscribe: Some(unsubscribe.expose().to_owned()),
            unsubscribe_label: words.mail("unsubscribe", ""),
        })
    }
}
