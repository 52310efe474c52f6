//! What ends soon, told before it does: client secrets whose end the operator wrote down.

use evergrant_core::integration::Integration;
use evergrant_core::time::Timestamp;

use crate::service::Service;
use crate::service::error::Refusal;

/// Looks again and again until the service stops.
pub async fn run(service: Service) {
    loop {
        for integration in service.store.integrations() {
            if let Err(refusal) = service.tell_secret_end(&integration).await {
                tracing::warn!(%refusal, "the end of a client secret could not be told; it is tried again");
            }
        }
        let pause = service.telling.numbers.look_ahead_every.duration();
        tokio::select! {
            () = service.stop.cancelled() => return,
            () = service.clock.sleep(pause) => {}
        }
    }
}

impl Service {
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
