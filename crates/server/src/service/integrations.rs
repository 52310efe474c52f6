//! OAuth clients: registered, changed, paused, removed.

use std::collections::BTreeMap;
use std::sync::Arc;

use evergrant_core::id::IntegrationName;
use evergrant_core::integration::{Health, Integration, ProviderSource, StoredClientSecret};
use evergrant_core::policy::PolicyOverrides;
use evergrant_core::provider::{ClientAuth, Provider};
use evergrant_core::time::Timestamp;
use evergrant_store::{IntegrationAdded, IntegrationRemoved, IntegrationReplaced, NewEvent, Report};
use serde::{Deserialize, Serialize};

use super::Service;
use super::access::Caller;
use super::audit::line;
use super::client;
use super::connect::return_url;
use super::error::{Conflict, Refusal};
use super::known::unfit_param;
use super::page::{Page, Window, slice};
use crate::written::WrittenProvider;

/// Secrets of one client at once: the one in use, the next, and some that are being retired.
const MOST_SECRETS: usize = 8;

/// How an integration is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntegrationStatus {
    /// Nothing is wrong.
    Ok,
    /// The operator has paused it.
    Paused,
    /// The provider refuses the client: the operator must mend it.
    Misconfigured,
}

impl IntegrationStatus {
    /// How `integration` is doing. That it is paused is the operator's own word, and hides the rest.
    pub fn of(integration: &Integration) -> Self {
        match integration.health {
            _ if integration.paused => IntegrationStatus::Paused,
            Health::Misconfigured { .. } => IntegrationStatus::Misconfigured,
            Health::Ok | Health::Suspected { .. } | Health::Mending { .. } => IntegrationStatus::Ok,
        }
    }
}

/// An OAuth client to be registered.
#[derive(Clone, Debug)]
pub struct NewClient {
    /// Its name.
    pub name: IntegrationName,
    /// A catalogue id or an inline entry.
    pub provider: WrittenProvider,
    /// Values of the entry's variables that hold for every connection.
    pub params: BTreeMap<String, String>,
    /// The client id; none where the provider is to be asked for a client of our own.
    pub client_id: Option<String>,
    /// Its secrets.
    pub client_secrets: Vec<StoredClientSecret>,
    /// The scopes to ask for.
    pub scopes: Vec<String>,
    /// Where applications may be returned to.
    pub return_urls: Vec<String>,
    /// The numbers that are different here.
    pub policy: PolicyOverrides,
    /// Whether nothing is refreshed or connected.
    pub paused: bool,
    /// Whether one account may belong to several subjects.
    pub shared_accounts: bool,
}

/// A change of an integration; what is left out stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Another catalogue entry.
    pub provider: Option<WrittenProvider>,
    /// Replaces the values of the entry's variables.
    pub params: Option<BTreeMap<String, String>>,
    /// Another client id.
    pub client_id: Option<String>,
    /// Replaces all secrets.
    pub client_secrets: Option<Vec<StoredClientSecret>>,
    /// Replaces the scopes.
    pub scopes: Option<Vec<String>>,
    /// Replaces the return URLs.
    pub return_urls: Option<Vec<String>>,
    /// Replaces the numbers.
    pub policy: Option<PolicyOverrides>,
    /// Pauses or resumes.
    pub paused: Option<bool>,
    /// Whether one account may belong to several subjects.
    pub shared_accounts: Option<bool>,
}

impl Service {
    /// Those that a caller may see, by name.
    pub fn list_integrations(&self, caller: &Caller, window: &Window) -> Page<Arc<Integration>> {
        let seen = self.store.integrations().into_iter().filter(|one| caller.scope.sees(&one.name));
        slice(seen, window, |one| one.name.to_string())
    }

    /// One of them.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub fn integration(&self, caller: &Caller, name: &IntegrationName) -> Result<Arc<Integration>, Refusal> {
        self.seen_integration(&caller.scope, name)
    }

    /// Registers one. A key that is limited to named integrations may make one of these names only. An entry by its issuer
    /// alone is completed by what the issuer says; without a client id the provider is asked for a client.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, [`Conflict::NameTaken`], [`Refusal::ProviderUnavailable`] where a client cannot
    /// be registered just now. Nothing is stored then.
    pub async fn add_integration(&self, caller: &Caller, new: NewClient) -> Result<Arc<Integration>, Refusal> {
        if !caller.scope.sees(&new.name) {
            return Err(Refusal::invalid("name", "expected one of the integrations that this key sees"));
        }
        if self.store.integration(&new.name).is_some() {
            return Err(name_taken(&new.name));
        }
        let source = self.settled(&new.provider).await?;
        self.add_settled(caller, new, source).await
    }

    pub(super) async fn add_settled(
        &self,
        caller: &Caller,
        new: NewClient,
        source: ProviderSource,
    ) -> Result<Arc<Integration>, Refusal> {
        let now = self.now();
        let has_client = new.client_id.is_some();
        let integration = Integration {
            provider: self.resolve(&source)?,
            name: new.name,
            source,
            params: new.params,
            client_id: new.client_id.unwrap_or_default(),
            client_secrets: new.client_secrets,
            scopes: new.scopes,
            return_urls: new.return_urls,
            policy: new.policy,
            paused: new.paused,
            shared_accounts: new.shared_accounts,
            health: Health::Ok,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        if has_client {
            return self.keep_new(caller, integration).await;
        }
        // On a task of the service's own: a client that was registered is kept though its caller goes away.
        let (service, caller) = (self.clone(), caller.clone());
        let work = self.tasks.spawn(async move {
            let integration = service.registered(integration).await?;
            service.keep_new(&caller, integration).await
        });
        work.await.map_err(|error| Refusal::internal(&error))?
    }

    async fn keep_new(&self, caller: &Caller, integration: Integration) -> Result<Arc<Integration>, Refusal> {
        check(&integration, self.now())?;
        let name = integration.name.clone();
        let audit = line(caller, "integration.created", name.as_str());
        match self.store.add_integration(integration, report(audit, "integration.created")).await? {
            IntegrationAdded::Added(integration) => Ok(integration),
            IntegrationAdded::NameTaken => Err(name_taken(&name)),
        }
    }

    /// Changes one. New credentials are tried at once where the provider had refused the old ones.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::Invalid`], [`Conflict::Stale`], [`Conflict::Declared`].
    pub async fn change_integration(
        &self,
        caller: &Caller,
        name: &IntegrationName,
        change: Change,
        if_match: Option<u64>,
    ) -> Result<Arc<Integration>, Refusal> {
        self.seen_integration(&caller.scope, name)?;
        self.not_declared(name)?;
        let source = match &change.provider {
            Some(written) => Some(self.settled(written).await?),
            None => None,
        };
        loop {
            let present = self.seen_integration(&caller.scope, name)?;
            self.not_declared(name)?;
            if let Some(version) = if_match.filter(|version| *version != present.version) {
                tracing::debug!(%name, asked = version, "a change came for an older version");
                return Err(Conflict::Stale { version: present.version }.into());
            }
            let next = self.changed(&present, change.clone(), source.clone())?;
            check(&next, self.now())?;
            let audit = line(caller, "integration.changed", name.as_str()).with("fields", fields(&change));
            match self.store.replace_integration(next, report(audit, "integration.changed"), self.now()).await? {
                IntegrationReplaced::Stored(integration) => {
                    self.refresher.nudge();
                    return Ok(integration);
                }
                IntegrationReplaced::Stale { version } if if_match.is_some() => {
                    return Err(Conflict::Stale { version }.into());
                }
                IntegrationReplaced::Stale { .. } => {}
                IntegrationReplaced::Gone => return Err(Refusal::not_found("integration")),
            }
        }
    }

    /// Removes one that has no connections any more.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Conflict::Stale`], [`Conflict::InUse`], [`Conflict::Declared`].
    pub async fn remove_integration(
        &self,
        caller: &Caller,
        name: &IntegrationName,
        if_match: Option<u64>,
    ) -> Result<(), Refusal> {
        let present = self.seen_integration(&caller.scope, name)?;
        self.not_declared(name)?;
        if if_match.is_some_and(|version| version != present.version) {
            return Err(Conflict::Stale { version: present.version }.into());
        }
        let report = report(line(caller, "integration.removed", name.as_str()), "integration.removed");
        match self.store.remove_integration(name, report, self.now()).await? {
            IntegrationRemoved::Removed => Ok(()),
            IntegrationRemoved::InUse { connections } => {
                Err(Conflict::InUse { integration: name.clone(), connections }.into())
            }
            IntegrationRemoved::Gone => Err(Refusal::not_found("integration")),
        }
    }

    /// `present` with a change; `source` is what the provider of the change is settled to. Not checked yet.
    pub(super) fn changed(
        &self,
        present: &Integration,
        change: Change,
        source: Option<ProviderSource>,
    ) -> Result<Integration, Refusal> {
        let new_client = change.client_id.is_some()
            || change.client_secrets.is_some()
            || source.is_some()
            || change.params.is_some();
        let source = source.unwrap_or_else(|| present.source.clone());
        Ok(Integration {
            provider: self.resolve(&source)?,
            source,
            params: change.params.unwrap_or_else(|| present.params.clone()),
            client_id: change.client_id.unwrap_or_else(|| present.client_id.clone()),
            client_secrets: change.client_secrets.unwrap_or_else(|| present.client_secrets.clone()),
            scopes: change.scopes.unwrap_or_else(|| present.scopes.clone()),
            return_urls: change.return_urls.unwrap_or_else(|| present.return_urls.clone()),
            policy: change.policy.unwrap_or_else(|| present.policy.clone()),
            paused: change.paused.unwrap_or(present.paused),
            shared_accounts: change.shared_accounts.unwrap_or(present.shared_accounts),
            health: if new_client { edited(&present.health) } else { present.health.clone() },
            ..present.clone()
        })
    }

    fn not_declared(&self, name: &IntegrationName) -> Result<(), Refusal> {
        if self.declared.contains(name) { Err(Conflict::Declared { integration: name.clone() }.into()) } else { Ok(()) }
    }

    /// The entry that a source stands for, whole and checked.
    pub(super) fn resolve(&self, source: &ProviderSource) -> Result<Arc<Provider>, Refusal> {
        self.catalogue.current().resolve(source, self.allow_private_networks).map_err(|fault| {
            let field =
                if fault.field.is_empty() { "provider".to_owned() } else { format!("provider.{}", fault.field) };
            Refusal::invalid(field, fault.expected)
        })
    }
}

/// How an integration is doing whose client was changed: mended, as far as anybody can know; the next call tells.
fn edited(health: &Health) -> Health {
    match health {
        Health::Ok | Health::Suspected { .. } => Health::Ok,
        Health::Misconfigured { since, detail, .. } | Health::Mending { since, detail } => {
            Health::Mending { since: *since, detail: detail.clone() }
        }
    }
}

fn name_taken(name: &IntegrationName) -> Refusal {
    Conflict::NameTaken { what: "an integration", name: name.to_string() }.into()
}

pub(super) fn report(audit: evergrant_store::NewAudit, event: &'static str) -> Report {
    Report { audit: Some(audit), events: vec![NewEvent::new(event)], notices: Vec::new() }
}

pub(super) fn check(integration: &Integration, now: Timestamp) -> Result<(), Refusal> {
    text("client_id", &integration.client_id, 512)?;
    check_but_client(integration)?;
    if integration.client_secrets.len() > MOST_SECRETS {
        return Err(Refusal::invalid("client_secrets", format!("expected at most {MOST_SECRETS}")));
    }
    let provider = &integration.provider;
    let wants_secret = provider.client_auth == ClientAuth::Basic || provider.signs_with_key();
    if integration.client_secrets.is_empty() && wants_secret {
        let expected = "expected at least one: this provider wants clients to authenticate with a secret";
        return Err(Refusal::invalid("client_secrets", expected));
    }
    for (at, secret) in integration.client_secrets.iter().enumerate() {
        client::check_key(integration, at, &secret.secret)?;
        if !provider.signs_with_key() {
            text(&format!("client_secrets[{at}].secret"), secret.secret.expose(), 4096)?;
        }
    }
    let ended = |secret: &StoredClientSecret| secret.expires_at.is_some_and(|end| end <= now);
    if !integration.client_secrets.is_empty() && integration.client_secrets.iter().all(ended) {
        return Err(Refusal::invalid("client_secrets", "expected at least one that has not ended"));
    }
    Ok(())
}

fn text(field: &str, text: &str, longest: usize) -> Result<(), Refusal> {
    if text.is_empty() || text.len() > longest || text.chars().any(char::is_control) {
        let expected = format!("expected 1 to {longest} bytes of text without control characters");
        return Err(Refusal::invalid(field, expected));
    }
    Ok(())
}

/// What can be said of an integration before it has a client.
pub(super) fn check_but_client(integration: &Integration) -> Result<(), Refusal> {
    params(integration)?;
    // RFC 6749 §3.3: visible ASCII but the quotation mark and the backslash.
    let scope = |scope: &String| {
        (1..=512).contains(&scope.len())
            && scope.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
    };
    if integration.scopes.len() > 256 || !integration.scopes.iter().all(scope) {
        return Err(Refusal::invalid("scopes", "expected scopes, each on its own, of visible ASCII without quotes"));
    }
    for (at, address) in integration.return_urls.iter().enumerate() {
        if return_url::parse(address).is_none_or(|url| url.query().is_some()) {
            let expected = format!("{}, and without a query", return_url::EXPECTED);
            return Err(Refusal::invalid(format!("return_urls[{at}]"), expected));
        }
    }
    Ok(())
}

/// The operator's values fit, and none is missing that nobody else may give.
fn params(integration: &Integration) -> Result<(), Refusal> {
    let (provider, params) = (&integration.provider, &integration.params);
    provider.check_values(params).map_err(|unfit| unfit_param(&unfit))?;
    match provider.open_variables(params).find(|(_, variable)| !variable.may_come_from_anywhere()) {
        Some((name, variable)) => {
            Err(Refusal::invalid(format!("params.{name}"), format!("it is required: {}", variable.title)))
        }
        None => Ok(()),
    }
}

/// The names of what is changed, for the audit log.
fn fields(change: &Change) -> Vec<&'static str> {
    let named = [
        ("provider", change.provider.is_some()),
        ("params", change.params.is_some()),
        ("client_id", change.client_id.is_some()),
        ("client_secrets", change.client_secrets.is_some()),
        ("scopes", change.scopes.is_some()),
        ("return_urls", change.return_urls.is_some()),
        ("policy", change.policy.is_some()),
        ("paused", change.paused.is_some()),
        ("shared_accounts", change.shared_accounts.is_some()),
    ];
    named.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect()
}
