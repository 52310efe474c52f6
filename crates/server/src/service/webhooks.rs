//! Endpoints that are told by webhooks: made, changed, removed, and what was delivered to them.

use std::collections::BTreeSet;

use evergrant_core::id::{DeliveryId, IntegrationName, WebhookId};
use evergrant_core::return_url::is_loopback;
use evergrant_core::secret::WebhookSecret;
use evergrant_core::telling::KINDS;
use evergrant_core::time::Timestamp;
use evergrant_store::{Delivery, DeliveryState, OLD_SECRET, Redelivered, Report, SigningSecret, Webhook};
use url::Url;

use super::Service;
use super::access::{Caller, Scope};
use super::audit::line;
use super::error::{Conflict, Refusal};
use super::page::{Page, Window, slice};
use crate::config::DeclaredWebhook;
use crate::notify::signature;
use crate::provider::AddressPolicy;

/// Endpoints that there may be: each is looked at whenever something happens.
const MOST: usize = 100;

/// What is said of an endpoint.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Where messages go.
    pub url: Option<String>,
    /// The kinds of events; none inside: what the preferences say.
    pub events: Option<Option<Vec<String>>>,
    /// A word for people.
    pub description: Option<Option<String>>,
    /// Whether it is told.
    pub enabled: Option<bool>,
}

impl Service {
    /// All endpoints that a caller may see.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub async fn webhooks(&self, caller: &Caller, window: &Window) -> Result<Page<Webhook>, Refusal> {
        let all = self.store.webhooks().await?.into_iter().filter(|one| sees(&caller.scope, one));
        Ok(slice(all, window, |webhook| webhook.id.to_string()))
    }

    /// An endpoint.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::StorageUnavailable`].
    pub async fn webhook(&self, caller: &Caller, id: &WebhookId) -> Result<Webhook, Refusal> {
        let found = self.store.webhook(id).await?.filter(|webhook| sees(&caller.scope, webhook));
        found.ok_or(Refusal::not_found("webhook"))
    }

    /// Makes an endpoint; its secret is the only one in it. A key that sees some integrations makes one that is told of those.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], [`Refusal::StorageUnavailable`].
    pub async fn add_webhook(&self, caller: &Caller, wish: Wish) -> Result<Webhook, Refusal> {
        let url = wish.url.clone().ok_or(Refusal::invalid("url", "it is required"))?;
        self.check(&wish)?;
        if self.store.webhooks().await?.len() >= MOST {
            return Err(Refusal::invalid("url", format!("there are {MOST} endpoints already; remove one first")));
        }
        let now = self.now();
        let webhook = Webhook {
            id: WebhookId::make(now, self.entropy.id()),
            declared: false,
            url,
            description: wish.description.flatten(),
            kinds: wish.events.flatten(),
            integrations: match &caller.scope {
                Scope::All => None,
                Scope::Only(names) => Some(names.clone()),
            },
            secrets: vec![self.new_secret()],
            version: 0,
            failing_since: None,
            disabled_at: None,
            disabled_why: None,
            created_at: now,
            updated_at: now,
        };
        let said = Report::audited(line(caller, "webhook.created", webhook.id.as_str()));
        Ok(self.store.put_webhook(webhook, said, now).await?)
    }

    /// Changes an endpoint. One that is enabled again begins anew: what failed before is sent by hand.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], [`Refusal::NotFound`], [`Refusal::StorageUnavailable`].
    pub async fn change_webhook(&self, caller: &Caller, id: &WebhookId, wish: Wish) -> Result<Webhook, Refusal> {
        let found = self.changeable(caller, id).await?;
        self.check(&wish)?;
        let now = self.now();
        let mut webhook = Webhook {
            url: wish.url.unwrap_or(found.url),
            kinds: wish.events.unwrap_or(found.kinds),
            description: wish.description.unwrap_or(found.description),
            ..found
        };
        match wish.enabled {
            Some(true) => (webhook.disabled_at, webhook.disabled_why, webhook.failing_since) = (None, None, None),
            Some(false) if webhook.disabled_at.is_none() => {
                (webhook.disabled_at, webhook.disabled_why) = (Some(now), Some("disabled by hand".to_owned()));
            }
            _ => {}
        }
        let said = Report::audited(line(caller, "webhook.changed", id.as_str()));
        Ok(self.store.put_webhook(webhook, said, now).await?)
    }

    /// Gives an endpoint another secret. Messages are signed with the one before it too, for a day.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::StorageUnavailable`].
    pub async fn rotate_webhook_secret(&self, caller: &Caller, id: &WebhookId) -> Result<Webhook, Refusal> {
        let mut webhook = self.changeable(caller, id).await?;
        let now = self.now();
        webhook.secrets.retain(|one| one.until.is_none_or(|until| now < until));
        for old in &mut webhook.secrets {
            old.until = Some(old.until.unwrap_or_else(|| now.plus(OLD_SECRET)));
        }
        webhook.secrets.insert(0, self.new_secret());
        let said = Report::audited(line(caller, "webhook.secret_rotated", id.as_str()));
        Ok(self.store.put_webhook(webhook, said, now).await?)
    }

    /// Removes an endpoint, with everything that waits for it.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::StorageUnavailable`].
    pub async fn remove_webhook(&self, caller: &Caller, id: &WebhookId) -> Result<(), Refusal> {
        self.changeable(caller, id).await?;
        let said = Report::audited(line(caller, "webhook.removed", id.as_str()));
        let removed = self.store.remove_webhook(id, said, self.now()).await?;
        if removed { Ok(()) } else { Err(Refusal::not_found("webhook")) }
    }

    /// What was delivered to an endpoint, newest first.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::StorageUnavailable`].
    pub async fn webhook_deliveries(
        &self,
        caller: &Caller,
        id: &WebhookId,
        state: Option<DeliveryState>,
        window: &Window,
    ) -> Result<Page<Delivery>, Refusal> {
        self.webhook(caller, id).await?;
        Ok(self.store.deliveries(id, state, window.after.clone(), window.limit as usize).await?)
    }

    /// Sends one delivery again, or all that have failed; how many.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::Invalid`] when it is disabled, [`Refusal::StorageUnavailable`].
    pub async fn redeliver(&self, caller: &Caller, id: &WebhookId, one: Option<DeliveryId>) -> Result<u64, Refusal> {
        self.webhook(caller, id).await?;
        match self.store.redeliver(id, one, self.now()).await? {
            Redelivered::Some(count) => Ok(count),
            Redelivered::NoSuch => Err(Refusal::not_found("delivery")),
            Redelivered::NotEnabled => Err(Conflict::WebhookDisabled.into()),
        }
    }

    /// Sees to it that declared endpoints are there as the configuration has them, and no others.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], [`Refusal::StorageUnavailable`].
    pub async fn declare_webhooks(&self, declared: &[DeclaredWebhook]) -> Result<(), Refusal> {
        let (now, known) = (self.now(), self.store.webhooks().await?);
        let mut kept = BTreeSet::new();
        for one in declared {
            let wish = Wish { url: Some(one.url.clone()), events: Some(one.events.clone()), ..Wish::default() };
            self.check(&wish)?;
            if !one.secrets.iter().all(signature::is_secret) {
                let expected = "expected `whsec_` and the base64 of 24 to 64 random bytes";
                return Err(Refusal::invalid(format!("webhooks.{}.secret", one.name), expected));
            }
            let id = declared_id(&one.name);
            kept.insert(id.clone());
            let found = known.iter().find(|webhook| webhook.id == id);
            let secret = |secret: &WebhookSecret| SigningSecret { secret: secret.clone(), until: None };
            let secrets: Vec<SigningSecret> = one.secrets.iter().map(secret).collect();
            let same = |found: &&Webhook| found.url == one.url && found.kinds == one.events && found.secrets == secrets;
            if found.filter(same).is_some() {
                continue;
            }
            let webhook = Webhook {
                id: id.clone(),
                declared: true,
                url: one.url.clone(),
                description: Some(one.name.clone()),
                kinds: one.events.clone(),
                integrations: None,
                secrets,
                version: 0,
                failing_since: None,
                disabled_at: None,
                disabled_why: None,
                created_at: found.map_or(now, |found| found.created_at),
                updated_at: now,
            };
            let said = Report::audited(line(&Caller::operator(), "webhook.declared", id.as_str()));
            self.store.put_webhook(webhook, said, now).await?;
        }
        for gone in known.iter().filter(|webhook| webhook.declared && !kept.contains(&webhook.id)) {
            let said = Report::audited(line(&Caller::operator(), "webhook.removed", gone.id.as_str()));
            self.store.remove_webhook(&gone.id, said, now).await?;
        }
        Ok(())
    }

    fn new_secret(&self) -> SigningSecret {
        SigningSecret { secret: signature::make(|bytes| self.entropy.fill(bytes)), until: None }
    }

    async fn changeable(&self, caller: &Caller, id: &WebhookId) -> Result<Webhook, Refusal> {
        let found = self.webhook(caller, id).await?;
        if found.declared {
            return Err(Conflict::WebhookDeclared.into());
        }
        Ok(found)
    }

    fn check(&self, wish: &Wish) -> Result<(), Refusal> {
        if let Some(url) = &wish.url {
            check_url(url, self.allow_private_networks)?;
        }
        if let Some(Some(kinds)) = &wish.events {
            let unknown = kinds.iter().any(|kind| kind != "*" && !KINDS.contains(&kind.as_str()));
            if kinds.is_empty() || kinds.len() > KINDS.len() || unknown {
                let expected =
                    format!("expected some of {}, or * for all; leave it out for the usual ones", KINDS.join(", "));
                return Err(Refusal::invalid("events", expected));
            }
        }
        let bad = |text: &String| text.is_empty() || text.len() > 200 || text.chars().any(char::is_control);
        if wish.description.as_ref().and_then(Option::as_ref).is_some_and(bad) {
            return Err(Refusal::invalid("description", "expected 1 to 200 bytes of text without control characters"));
        }
        Ok(())
    }
}

fn check_url(text: &str, private: bool) -> Result<(), Refusal> {
    let expected = "expected an https address of at most 2000 bytes without a user, a password and a fragment";
    let bad = || Refusal::invalid("url", expected);
    let url = Url::parse(text).map_err(|_| bad())?;
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none() && url.has_host();
    let safe = url.scheme() == "https" || (url.scheme() == "http" && private && is_loopback(&url));
    if !plain || !safe || text.len() > 2000 {
        return Err(bad());
    }
    let literal = match url.host() {
        Some(url::Host::Ipv4(address)) => Some(address.into()),
        Some(url::Host::Ipv6(address)) => Some(address.into()),
        _ => None,
    };
    let policy = if private { AddressPolicy::PrivateAllowed } else { AddressPolicy::PublicOnly };
    // A name is checked where it leads when it is called.
    match literal.map(|address| policy.check(address)) {
        Some(Err(refused)) => Err(Refusal::invalid("url", refused.to_string())),
        _ => Ok(()),
    }
}

fn sees(scope: &Scope, webhook: &Webhook) -> bool {
    match (scope, &webhook.integrations) {
        (Scope::All, _) => true,
        (Scope::Only(_), None) => false,
        (Scope::Only(seen), Some(names)) => names.iter().all(|name: &IntegrationName| seen.contains(name)),
    }
}

/// The same at every start.
fn declared_id(name: &str) -> WebhookId {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    let mut random = [0; 10];
    random.copy_from_slice(&digest.as_ref()[..10]);
    WebhookId::make(Timestamp::from_millis(0), random)
}
