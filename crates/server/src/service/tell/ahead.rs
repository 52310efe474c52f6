//! What will go wrong, told to the operator before it does: client secrets that end, refresh tokens that die of idleness, too
//! many grants of one account, grants that die young again and again. Of refresh tokens with a fixed end the lifecycle itself tells the person.

use std::time::Duration;

use evergrant_core::connection::Connection;
use evergrant_core::integration::{Health, Integration};
use evergrant_core::schedule;
use evergrant_core::time::Timestamp;
use evergrant_store::Event;
use tokio::sync::broadcast::error::RecvError;

use crate::service::Service;
use crate::service::error::Refusal;

/// So many grants that died at the same young age are no accident.
const PATTERN: usize = 3;
/// Of so many connections that have been due for longest it is looked when they end.
const FIRST: usize = 50;
/// They are counted over this time.
const PATTERN_SPAN: Duration = Duration::from_secs(30 * 24 * 3600);

/// Looks again and again until the service stops, and at once at what has just happened.
pub async fn run(service: Service) {
    let mut events = service.store.follow_events();
    let mut look_at = Timestamp::from_millis(0);
    loop {
        let now = service.now();
        if look_at <= now {
            look_at = now.plus(service.telling.numbers.look_ahead_every.duration());
            service.look_at_ends().await;
        }
        tokio::select! {
            () = service.stop.cancelled() => return,
            () = service.clock.sleep(look_at.until_from(now).min(super::NAP)) => {}
            heard = events.recv() => match heard {
                Ok(event) => service.heard(&event).await,
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
        }
    }
}

impl Service {
    async fn look_at_ends(&self) {
        for integration in self.store.integrations() {
            if let Err(refusal) = self.tell_secret_end(&integration).await {
                tracing::warn!(%refusal, "the end of a client secret could not be told; it is tried again");
            }
            if let Err(refusal) = self.tell_idle_end(&integration).await {
                tracing::warn!(%refusal, "the end of idle refresh tokens could not be told; it is tried again");
            }
        }
    }

    /// What has just happened to one connection may be the sign of something larger.
    async fn heard(&self, event: &Event) {
        let done = match event.kind.as_str() {
            "connection.disconnected" => self.look_at_age(event).await,
            "connection.connected" | "connection.reconnected" => self.look_at_number(event).await,
            _ => return,
        };
        if let Err(refusal) = done {
            tracing::warn!(%refusal, "what an event is the sign of could not be looked at");
        }
    }

    /// Grants that die at the age that the entry names.
    async fn look_at_age(&self, event: &Event) -> Result<(), Refusal> {
        let integration = event.integration.as_ref().and_then(|name| self.store.integration(name));
        let Some(integration) = integration else { return Ok(()) };
        let Some(after) = integration.provider.short_grants_after.map(|after| after.duration()) else { return Ok(()) };
        let Some(id) = &event.connection else { return Ok(()) };
        let Some(record) = self.store.token_record(id, false).await? else { return Ok(()) };
        let since = event.at.minus(PATTERN_SPAN);
        let died_young = |connection: &Connection| {
            let age = connection.life.granted_at.zip(connection.life.last_failure.as_ref());
            age.is_some_and(|(from, failure)| {
                (after.mul_f64(0.95)..after.mul_f64(1.25)).contains(&failure.at.since(from))
            })
        };
        if !died_young(&record.connection) {
            return Ok(());
        }
        let ended = self.store.ended_connections(&integration.name, since, PATTERN * 20).await?;
        if ended.iter().filter(|connection| died_young(connection)).count() < PATTERN {
            return Ok(());
        }
        let remedy = match integration.provider.short_grants_remedy.as_str() {
            "" => "Look at the settings of the OAuth client there",
            remedy => remedy,
        };
        let what = format!(
            "Grants die {} days after the consent, one after the other. That is no one person's doing. {remedy}.",
            after.as_secs() / 86_400
        );
        self.alert_about(&integration.name, integration.updated_at, "integration.short_lived_grants", &what)
            .await
            .map(drop)
    }

    /// More living grants of one account than the provider lets live: the oldest has ended without a word.
    async fn look_at_number(&self, event: &Event) -> Result<(), Refusal> {
        let Some(id) = &event.connection else { return Ok(()) };
        let Some(record) = self.store.token_record(id, false).await? else { return Ok(()) };
        let connection = &record.connection;
        let Some(integration) = self.store.integration(&connection.integration) else { return Ok(()) };
        let most = integration.provider.grants_per_account;
        let (Some(most), Some(account)) = (most, &connection.account) else { return Ok(()) };
        let count = self.store.account_connections(&integration.name, &account.id).await?;
        if count <= u64::from(most) {
            return Ok(());
        }
        let what = format!(
            "{count} connections belong to one account ({id} is the latest), and the provider lets only {most} grants of \
             one account live at one client: each further one ends the oldest without a word. Let them share a connection."
        );
        self.alert_about(&integration.name, integration.updated_at, "integration.grant_limit", &what).await.map(drop)
    }

    /// Refresh tokens that die of idleness, because for half of the time in which they should have been renewed nothing could be.
    async fn tell_idle_end(&self, integration: &Integration) -> Result<(), Refusal> {
        let Some(limit) = integration.provider.idle_limit() else { return Ok(()) };
        let Some((why, since)) = self.standstill(integration) else { return Ok(()) };
        let now = self.now();
        let longest_due = self.store.longest_due(&integration.name, now, FIRST).await?;
        let facts = longest_due.iter().filter_map(|connection| connection.life.grant.as_ref());
        let ends = facts.filter_map(|facts| schedule::idle_end(facts, &integration.provider));
        let Some(first) = ends.filter(|end| now < *end).min() else { return Ok(()) };
        if now < first.minus(schedule::idle_reserve(limit) / 2) {
            return Ok(());
        }
        let what = format!(
            "{why}, and the provider ends refresh tokens that are not used for {} days: the first of them on {first}, unless it is \
             renewed before. Their people would have to reconnect.",
            limit.as_secs() / 86_400
        );
        // Told once for each standstill, as long as it lasts.
        self.alert_about(&integration.name, since, "integration.idle_limit", &what).await.map(drop)
    }

    /// Why nothing at all is renewed, as the beginning of a sentence, and what tells this time from others; none where
    /// something is.
    fn standstill(&self, integration: &Integration) -> Option<(&'static str, Timestamp)> {
        if integration.paused {
            return Some(("This integration is paused", integration.updated_at));
        }
        if let Health::Misconfigured { since, .. } = &integration.health {
            return Some(("The provider refuses the OAuth client", *since));
        }
        // Since when a breaker is open is known to each node for itself: told once for each change of the integration.
        let silent = self.refresher.breaker_open(&integration.name);
        silent.then_some(("The provider does not answer", integration.updated_at))
    }

    /// The operator hears of the end of the last secret a month before, and again when only a quarter of that is left.
    async fn tell_secret_end(&self, integration: &Integration) -> Result<(), Refusal> {
        let Some(end) = last_end(integration) else { return Ok(()) };
        let (now, ahead) = (self.now(), self.telling.numbers.secret_ahead.duration());
        let moments = [end, end.minus(ahead / 4), end.minus(ahead)];
        let Some(moment) = moments.into_iter().find(|moment| *moment <= now) else { return Ok(()) };
        let words = if end <= now { "has ended by its own date" } else { "ends" };
        let what = format!(
            "The last client secret {words} ({end}). Make another one at the provider and add it beside the old one \
             (PATCH /v1/integrations/{}): both are tried, so nothing stops meanwhile.",
            integration.name
        );
        // Each moment is told once for each secret's end, whoever looks and however often.
        self.alert_about(&integration.name, moment, "integration.secret_expiring", &what).await.map(drop)
    }
}

/// When the last of the secrets ends; none where one has no end, or there is none at all.
fn last_end(integration: &Integration) -> Option<Timestamp> {
    let ends: Option<Vec<Timestamp>> = integration.client_secrets.iter().map(|secret| secret.expires_at).collect();
    ends?.into_iter().max()
}
