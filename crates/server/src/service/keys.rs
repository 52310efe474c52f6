//! API keys: made, listed, revoked. Shown once; of the secret only a hash is kept.

use std::collections::BTreeSet;
use std::sync::Arc;

use evergrant_core::api_key::ApiKeyText;
use evergrant_core::secret::ApiKeySecret;
use evergrant_core::time::Timestamp;
use evergrant_store::{ApiKey, KeyAdded};

use super::Service;
use super::access::{Caller, Permission, Scope, permissions, scope};
use super::audit::line;
use super::error::Refusal;
use super::page::{Page, Window, slice};

/// A key to be made.
#[derive(Clone, Debug)]
pub struct KeyWish {
    /// A word for people.
    pub name: Option<String>,
    /// What it may do.
    pub permissions: BTreeSet<Permission>,
    /// What it may see.
    pub scope: Scope,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// A key that was made.
#[derive(Debug)]
pub struct MadeKey {
    /// The key itself; nobody can show it again.
    pub secret: ApiKeySecret,
    /// What is kept of it.
    pub key: Arc<ApiKey>,
}

/// The id of a key in the API.
pub fn public_id(key: &ApiKey) -> String {
    format!("key_{}", key.id)
}

impl Service {
    /// All keys that a caller may see: those that see no more than he does.
    pub fn list_keys(&self, caller: &Caller, window: &Window) -> Page<Arc<ApiKey>> {
        let seen = |key: &Arc<ApiKey>| caller.scope.covers(&scope(key));
        slice(self.store.api_keys().into_iter().filter(seen), window, |key| key.id.clone())
    }

    /// Makes a key that can do and see no more than the one that makes it.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], [`Refusal::Forbidden`].
    pub async fn create_key(&self, caller: &Caller, wish: KeyWish) -> Result<MadeKey, Refusal> {
        let now = self.now();
        self.check_key(caller, &wish, now)?;
        loop {
            let made = ApiKeyText::make(&self.key_environment, |bytes| self.entropy.fill(bytes))
                .map_err(|error| Refusal::internal(&error))?;
            let key = stored(&made, &wish, now);
            let audit = created(caller, &key);
            // Two keys of one id are made about never; then another one is.
            if self.store.add_api_key(key.clone(), Some(audit)).await? == KeyAdded::Added {
                return Ok(MadeKey { secret: made.secret().clone(), key: Arc::new(key) });
            }
        }
    }

    /// Revokes a key, at once and for good.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn revoke_key(&self, caller: &Caller, public_id: &str) -> Result<(), Refusal> {
        let not_found = || Refusal::not_found("API key");
        let id = public_id.strip_prefix("key_").ok_or_else(not_found)?;
        let known = self.store.api_key(id).filter(|key| caller.scope.covers(&scope(key))).ok_or_else(not_found)?;
        let audit = line(caller, "key.revoked", public_id);
        self.store.revoke_api_key(&known.id, Some(audit), self.now()).await?.ok_or_else(not_found)?;
        Ok(())
    }

    /// Sees to it that the key of `EVERGRANT_BOOTSTRAP_KEY` exists, as an admin key.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] when it is not in the key format.
    pub async fn bootstrap_key(&self, secret: &ApiKeySecret) -> Result<(), Refusal> {
        let expected = "expected an API key: eg_<environment>_<12 characters>_<43 base62 digits><6 digits of checksum>";
        let parsed = evergrant_core::api_key::parse(secret.expose())
            .map_err(|_| Refusal::invalid("EVERGRANT_BOOTSTRAP_KEY", expected))?;
        let now = self.now();
        let key = ApiKey {
            id: parsed.id().to_owned(),
            hash: parsed.hash(),
            environment: parsed.environment().to_owned(),
            name: Some("bootstrap".to_owned()),
            permissions: vec![Permission::Admin.as_str().to_owned()],
            integrations: None,
            created_at: now,
            expires_at: None,
            revoked_at: None,
        };
        let audit = created(&Caller::operator(), &key);
        match self.store.api_key(&key.id) {
            Some(known) if known.hash == key.hash => Ok(()),
            Some(_) => {
                let expected = "another key with the same id exists; make a new one";
                Err(Refusal::invalid("EVERGRANT_BOOTSTRAP_KEY", expected))
            }
            None => {
                self.store.add_api_key(key, Some(audit)).await?;
                Ok(())
            }
        }
    }

    fn check_key(&self, caller: &Caller, wish: &KeyWish, now: Timestamp) -> Result<(), Refusal> {
        if wish.permissions.is_empty() {
            return Err(Refusal::invalid("permissions", "expected at least one permission"));
        }
        if let Some(missing) = wish.permissions.iter().find(|permission| !caller.has(**permission)) {
            return Err(Refusal::Forbidden { needed: *missing });
        }
        if !caller.scope.covers(&wish.scope) {
            return Err(Refusal::invalid("integrations", "expected only integrations that this key sees itself"));
        }
        if let Scope::Only(names) = &wish.scope {
            if names.is_empty() {
                return Err(Refusal::invalid(
                    "integrations",
                    "expected at least one integration; leave it out for all",
                ));
            }
            if names.iter().any(|name| self.store.integration(name).is_none()) {
                return Err(Refusal::invalid("integrations", "expected the names of integrations that exist"));
            }
        }
        if wish.expires_at.is_some_and(|end| end <= now) {
            return Err(Refusal::invalid("expires_at", "expected a time that is yet to come"));
        }
        let bad = |name: &String| name.is_empty() || name.len() > 200 || name.chars().any(char::is_control);
        if wish.name.as_ref().is_some_and(bad) {
            return Err(Refusal::invalid("name", "expected 1 to 200 bytes of text without control characters"));
        }
        Ok(())
    }
}

fn created(caller: &Caller, key: &ApiKey) -> evergrant_store::NewAudit {
    let words: Vec<&str> = permissions(key).into_iter().map(Permission::as_str).collect();
    line(caller, "key.created", public_id(key)).with("permissions", words)
}

fn stored(made: &ApiKeyText, wish: &KeyWish, now: Timestamp) -> ApiKey {
    ApiKey {
        id: made.id().to_owned(),
        hash: made.hash(),
        environment: made.environment().to_owned(),
        name: wish.name.clone(),
        permissions: wish.permissions.iter().map(|permission| permission.as_str().to_owned()).collect(),
        integrations: match &wish.scope {
            Scope::All => None,
            Scope::Only(names) => Some(names.clone()),
        },
        created_at: now,
        expires_at: wish.expires_at,
        revoked_at: None,
    }
}
