//! Grants that were obtained elsewhere, taken over.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evergrant_core::connection::Account;
use evergrant_core::grant::{Grant, GrantFacts};
use evergrant_core::id::{AccountId, IntegrationName, SubjectId};
use evergrant_core::integration::Integration;
use evergrant_core::lifetime::Expiry;
use evergrant_core::oauth1;
use evergrant_core::provider::{CredentialKind, Provider};
use evergrant_core::secret::{AccessToken, RefreshToken};
use evergrant_core::time::Timestamp;
use evergrant_store::Target;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

use super::Service;
use super::access::Caller;
use super::audit::line;
use super::connections::Seen;
use super::error::Refusal;
use super::known::{unfit_param, values};
use super::place::{Arrival, Origin, placed};
use super::tokens_like::cannot_be_a_token;

/// The longest metadata of a connection, in bytes of JSON.
pub const METADATA_LIMIT: usize = 16 * 1024;

/// A grant to take over.
#[derive(Clone, Debug)]
pub struct Import {
    /// The integration.
    pub integration: IntegrationName,
    /// Whose it is.
    pub subject: SubjectId,
    /// The person's identity at the provider.
    pub account_id: Option<AccountId>,
    /// The access token; none where the client gets it by itself, or where `login` stands in its place.
    pub access_token: Option<AccessToken>,
    /// The token's own secret, with OAuth 1.0a.
    pub token_secret: Option<AccessToken>,
    /// User name and password, in place of an access token.
    pub login: Option<Login>,
    /// The refresh token.
    pub refresh_token: Option<RefreshToken>,
    /// When the access token ends.
    pub expires_at: Option<Timestamp>,
    /// The scopes that were granted; none: those of the integration.
    pub scopes: Option<Vec<String>>,
    /// Free data.
    pub metadata: Map<String, Value>,
    /// Values of the provider's variables for this account.
    pub params: BTreeMap<String, String>,
}

/// User name and password: one static credential.
#[derive(Clone, Debug)]
pub struct Login {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: AccessToken,
}

impl Login {
    /// What stands behind `Authorization: Basic` (RFC 7617 §2).
    fn credential(&self) -> Result<AccessToken, Refusal> {
        let odd = |text: &str| text.len() > 1024 || text.chars().any(char::is_control);
        if self.username.is_empty() || self.username.contains(':') || odd(&self.username) {
            let expected = "expected 1 to 1024 bytes of text without a colon and control characters";
            return Err(Refusal::invalid("username", expected));
        }
        if odd(self.password.expose()) {
            return Err(Refusal::invalid("password", "expected at most 1024 bytes of text without control characters"));
        }
        let joined = Zeroizing::new(format!("{}:{}", self.username, self.password.expose()));
        Ok(AccessToken::new(STANDARD.encode(joined.as_bytes())))
    }
}

impl Service {
    /// Takes over a grant, or makes the connection of a client that gets its tokens by itself: onto the connection of its account (or subject, where the provider has no account id), else
    /// onto a new one. Says whether it is new.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, `AccountTaken`, [`Refusal::NotFound`].
    pub async fn import(&self, caller: &Caller, import: Import) -> Result<(Seen, bool), Refusal> {
        let integration = self.seen_integration(&caller.scope, &import.integration)?;
        metadata(&import.metadata)?;
        check_secret(&import, &integration)?;
        let known = values(&integration.provider, &import.params, &Map::new())?;
        integration.at(&known).map_err(|unfilled| unfit_param(&unfilled))?;
        if integration.provider.kind.is_issued() {
            return self.issue(caller, import, known, integration).await;
        }
        let (access_token, token_type) = credential(&import, &integration.provider)?;
        check(&import, &access_token)?;
        let now = self.now();
        let (access_token, token_type) = match &import.token_secret {
            Some(secret) => (oauth1::joined(access_token.expose(), secret.expose()), oauth1::TOKEN_TYPE.to_owned()),
            None => (access_token, token_type),
        };
        let facts = self.facts(&import, &access_token, &integration, now);
        let Import { subject, account_id, refresh_token, metadata, .. } = import;
        let arrival = Arrival {
            origin: Origin::Import,
            subject,
            // What the application brings along is the first pair, where a grant has several.
            account: account_id.map(|id| Account { id, name: None, kind: integration.provider.first_kind() }),
            target: Target::Key,
            grant: Grant { access_token: Some(access_token), refresh_token, token_type },
            facts,
            requested_scopes: Some(integration.requested_scopes().to_vec()),
            metadata: Some(metadata).filter(|metadata| !metadata.is_empty()),
            provider_data: Some(known).filter(|known| !known.is_empty()),
            owed: None,
            short: Vec::new(),
            attempt: None,
            audit: Some(line(caller, "connection.imported", "").with("integration", integration.name.as_str())),
        };
        let (new, decide) = self.placing(&integration, arrival, now);
        let (record, created) = placed(self.store.create_or_replace(new, decide, now).await?, &integration)?;
        self.refresher.nudge();
        Ok((self.see(record.connection.clone(), integration), created))
    }

    fn facts(
        &self,
        import: &Import,
        access_token: &AccessToken,
        integration: &Integration,
        now: Timestamp,
    ) -> GrantFacts {
        let provider = &integration.provider;
        let endless = provider.kind == CredentialKind::Static || provider.access_never_expires;
        let expiry = match import.expires_at {
            Some(at) => Expiry::At { at },
            None if endless => Expiry::Never,
            None => Expiry::Unknown,
        };
        GrantFacts {
            generation: 0,
            issued_at: now,
            expiry,
            // It is known when it ends, not when it began.
            lifetime_millis: None,
            token_id: self.store.fingerprint(access_token.expose()),
            has_access_token: true,
            has_refresh_token: import.refresh_token.is_some(),
            refresh_expires_at: None,
            scopes: import.scopes.clone().unwrap_or_else(|| integration.requested_scopes().to_vec()),
            oddities: Vec::new(),
            short: false,
        }
    }
}

/// The credential of a grant that is taken over, and the word that stands before it.
fn credential(import: &Import, provider: &Provider) -> Result<(AccessToken, String), Refusal> {
    let word = if provider.token_type.is_empty() { "Bearer" } else { &provider.token_type };
    match (&import.access_token, &import.login) {
        (Some(token), None) => Ok((token.clone(), word.to_owned())),
        (None, Some(login)) if provider.kind == CredentialKind::Static => Ok((login.credential()?, "Basic".to_owned())),
        (_, Some(_)) => {
            let expected = "expected nothing beside an access token, and only for a static credential";
            Err(Refusal::invalid("username", expected))
        }
        (None, None) => Err(Refusal::invalid("access_token", "it is required")),
    }
}

fn check(import: &Import, access_token: &AccessToken) -> Result<(), Refusal> {
    let given = import.access_token.as_ref().map(|token| token.expose());
    if let Some(expected) = given.and_then(cannot_be_a_token) {
        return Err(Refusal::invalid("access_token", expected));
    }
    let refresh_token = import.refresh_token.as_ref();
    if let Some(expected) = refresh_token.and_then(|token| cannot_be_a_token(token.expose())) {
        return Err(Refusal::invalid("refresh_token", expected));
    }
    if refresh_token.is_some_and(|token| token.expose() == access_token.expose()) {
        return Err(Refusal::invalid("refresh_token", "expected another text than the access token"));
    }
    if import.account_id.as_ref().is_some_and(|id| id.as_str() == access_token.expose()) {
        return Err(Refusal::invalid("access_token", "expected a token; this is the account's id"));
    }
    if import.scopes.as_ref().is_some_and(|scopes| scopes.len() > 512 || scopes.iter().any(|scope| scope.len() > 512)) {
        return Err(Refusal::invalid("scopes", "expected at most 512 scopes of at most 512 bytes"));
    }
    Ok(())
}

/// OAuth 1.0a has tokens with a secret of their own, nothing else has.
fn check_secret(import: &Import, integration: &Integration) -> Result<(), Refusal> {
    let expected = match (integration.provider.kind, &import.token_secret) {
        (CredentialKind::Oauth1, None) => "it is required: requests are signed with it (OAuth 1.0a)",
        (CredentialKind::Oauth1, Some(secret)) => match cannot_be_a_token(secret.expose()) {
            Some(expected) => expected,
            None => return Ok(()),
        },
        (_, Some(_)) => "expected none: only tokens of OAuth 1.0a have a secret of their own",
        (_, None) => return Ok(()),
    };
    Err(Refusal::invalid("token_secret", expected))
}

/// Refuses free data that is more than a little.
///
/// # Errors
/// [`Refusal::Invalid`].
pub fn metadata(metadata: &Map<String, Value>) -> Result<(), Refusal> {
    let length = serde_json::to_string(metadata).map_or(usize::MAX, |text| text.len());
    if length > METADATA_LIMIT {
        return Err(Refusal::invalid("metadata", format!("expected at most {METADATA_LIMIT} bytes of JSON")));
    }
    Ok(())
}
