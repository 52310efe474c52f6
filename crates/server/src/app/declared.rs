//! What the configuration declares, brought into being: at the start without asking anybody, and afterwards what had to wait
//! for its issuer.

use std::time::Duration;

use evergrant_core::integration::StoredClientSecret;

use super::StartError;
use super::chores::pause;
use crate::config::{Config, Declared, DeclaredSecret};
use crate::service::Service;
use crate::service::error::Refusal;
use crate::service::integrations::NewClient;

/// When an issuer that was away is asked again, at first; twice as long each time.
const SOON: Duration = Duration::from_secs(5);
/// How long another node is given to be heard of, and how often.
const MOMENT: Duration = Duration::from_millis(200);
const MOMENTS: usize = 25;
/// The longest pause between two questions.
const LATE: Duration = Duration::from_secs(300);

/// Brings declared integrations and the bootstrap key into being; returns those of which somebody has to be asked first.
pub(super) async fn settle(service: &Service, config: &Config) -> Result<Vec<NewClient>, StartError> {
    if let Some(secret) = &config.bootstrap_key {
        let made = service.bootstrap_key(secret).await;
        made.map_err(|refusal| StartError::BootstrapKey { why: refusal.to_string() })?;
    }
    let told = service.declare_webhooks(&config.channels.webhooks).await;
    told.map_err(|refusal| StartError::Other { why: format!("a webhook in the configuration: {refusal}") })?;
    let mut waiting = Vec::new();
    for declared in &config.integrations {
        let client = client(declared);
        let made = declared_once(service, &client).await;
        let is_there =
            made.map_err(|refusal| StartError::Declared { name: declared.name.clone(), why: refusal.to_string() })?;
        if !is_there {
            waiting.push(client);
        }
    }
    Ok(waiting)
}

/// Nodes that start at one moment declare the same: who comes second waits until he hears of what the first one made.
async fn declared_once(service: &Service, client: &NewClient) -> Result<bool, Refusal> {
    let mut made = service.declare(client).await;
    for _ in 0..MOMENTS {
        if service.store.nodes().is_none() || !matches!(made, Err(Refusal::Conflict(_))) {
            break;
        }
        service.clock.sleep(MOMENT).await;
        made = service.declare(client).await;
    }
    made
}

/// Asks for what is missing, again and again until all of it is there. Everything else is served meanwhile.
pub(super) async fn ask(service: Service, mut waiting: Vec<NewClient>) {
    let mut span = SOON;
    while !waiting.is_empty() {
        let mut still = Vec::new();
        for declared in waiting {
            match service.declare_by_asking(&declared).await {
                Ok(()) => tracing::info!(integration = %declared.name, "the declared integration is there"),
                Err(refusal) => {
                    tracing::error!(integration = %declared.name, again_in = span.as_secs(), "a declared integration is not there yet: {refusal}");
                    still.push(declared);
                }
            }
        }
        waiting = still;
        if waiting.is_empty() || !pause(&service, span).await {
            return;
        }
        span = (span * 2).min(LATE);
    }
}

fn client(declared: &Declared) -> NewClient {
    let secret = |one: &DeclaredSecret| StoredClientSecret { secret: one.secret.clone(), expires_at: one.expires_at };
    NewClient {
        name: declared.name.clone(),
        provider: declared.provider.clone(),
        params: declared.params.clone(),
        client_id: declared.client_id.clone(),
        client_secrets: declared.client_secrets.iter().map(secret).collect(),
        scopes: declared.scopes.clone(),
        return_urls: declared.return_urls.clone(),
        policy: declared.policy.clone(),
        paused: declared.paused,
        shared_accounts: declared.shared_accounts,
    }
}
