//! Integrations that the configuration file declares.
//!
//! What is stored already serves without anybody being asked: an issuer that is away must not keep the service from starting,
//! nor change what works. So an issuer is asked, and a client registered, once: when the declaration is new, or names another.

use evergrant_core::discovery::{lay_over, needs_discovery};
use evergrant_core::integration::{Integration, ProviderSource, StoredClientSecret};

use super::Service;
use super::access::Caller;
use super::audit::line;
use super::error::Refusal;
use super::integrations::{Change, NewClient, check, report};
use super::registration::BY_HAND;

/// What a declaration comes to without asking anybody.
struct Known {
    source: ProviderSource,
    client: (String, Vec<StoredClientSecret>),
}

impl Service {
    /// Makes a declared integration, or brings it up to date with its declaration; asks nobody. False where an issuer or a
    /// provider has to be asked first: [`Service::declare_by_asking`].
    ///
    /// # Errors
    /// As [`Service::add_integration`].
    pub async fn declare(&self, declared: &NewClient) -> Result<bool, Refusal> {
        let present = self.store.integration(&declared.name);
        let Some(known) = self.known_of(declared, present.as_deref())? else { return Ok(false) };
        match present {
            Some(present) => self.bring_up_to_date(&present, declared, known).await?,
            None => drop(self.add_settled(&Caller::operator(), declared.clone(), known.source).await?),
        }
        Ok(true)
    }

    /// The same, asking whoever must be asked.
    ///
    /// # Errors
    /// As [`Service::add_integration`]; what is stored stays as it is.
    pub async fn declare_by_asking(&self, declared: &NewClient) -> Result<(), Refusal> {
        let source = self.settled(&declared.provider).await?;
        let Some(present) = self.store.integration(&declared.name) else {
            return self.add_settled(&Caller::operator(), declared.clone(), source).await.map(drop);
        };
        let client = match &declared.client_id {
            Some(id) => (id.clone(), declared.client_secrets.clone()),
            None => {
                let next = self.changed(&present, change(declared, String::new()), Some(source.clone()))?;
                let next = self.registered(next).await?;
                // The server may have decided how the client authenticates.
                let known = Known { source: next.source, client: (next.client_id, next.client_secrets) };
                return self.bring_up_to_date(&present, declared, known).await;
            }
        };
        self.bring_up_to_date(&present, declared, Known { source, client }).await
    }

    async fn bring_up_to_date(&self, present: &Integration, declared: &NewClient, known: Known) -> Result<(), Refusal> {
        let (client_id, client_secrets) = known.client;
        let change = Change { client_secrets: Some(client_secrets), ..change(declared, client_id) };
        let next = self.changed(present, change, Some(known.source))?;
        check(&next, self.now())?;
        if same(present, &next) {
            return Ok(());
        }
        let audit = line(&Caller::operator(), "integration.declared", declared.name.as_str());
        self.store.replace_integration(next, report(audit, "integration.changed"), self.now()).await?;
        Ok(())
    }

    /// What the declaration comes to with what is stored; none where somebody must be asked.
    fn known_of(&self, declared: &NewClient, present: Option<&Integration>) -> Result<Option<Known>, Refusal> {
        let source = match (&declared.provider.source, present.map(|present| &present.source)) {
            (ProviderSource::Inline(written), stored) if needs_discovery(written) => match stored {
                Some(ProviderSource::Inline(stored)) if stored.issuer == written.issuer => {
                    let whole = lay_over(stored, written, &declared.provider.given);
                    let whole = whole.map_err(|fault| Refusal::invalid("provider.issuer", fault.expected))?;
                    ProviderSource::Inline(Box::new(whole))
                }
                _ => return Ok(None),
            },
            (source, _) => source.clone(),
        };
        if let Some(id) = &declared.client_id {
            return Ok(Some(Known { source, client: (id.clone(), declared.client_secrets.clone()) }));
        }
        let registration_url = self.resolve(&source)?.registration_url.clone();
        if registration_url.is_empty() {
            // No asking would help.
            return Err(Refusal::invalid("client_id", BY_HAND));
        }
        let present = present.filter(|present| present.provider.registration_url == registration_url);
        let client = present.map(|present| (present.client_id.clone(), present.client_secrets.clone()));
        Ok(client.map(|client| Known { source, client }))
    }
}

fn change(declared: &NewClient, client_id: String) -> Change {
    let declared = declared.clone();
    Change {
        provider: None,
        params: Some(declared.params),
        client_id: Some(client_id),
        client_secrets: Some(declared.client_secrets),
        scopes: Some(declared.scopes),
        return_urls: Some(declared.return_urls),
        policy: Some(declared.policy),
        paused: Some(declared.paused),
        shared_accounts: Some(declared.shared_accounts),
    }
}

/// Whether a declaration says what is stored already.
fn same(left: &Integration, right: &Integration) -> bool {
    let secrets =
        |one: &Integration| one.client_secrets.iter().map(|s| (s.secret.clone(), s.expires_at)).collect::<Vec<_>>();
    left.source == right.source
        && left.params == right.params
        && left.client_id == right.client_id
        && secrets(left) == secrets(right)
        && left.scopes == right.scopes
        && left.return_urls == right.return_urls
        && left.policy == right.policy
        && left.paused == right.paused
        && left.shared_accounts == right.shared_accounts
}
