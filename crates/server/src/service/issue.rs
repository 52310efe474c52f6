//! Connections without a person: the client alone gets their tokens, by client credentials or by an assertion that it signs.
//!
//! Made without a token. The first one comes as every other does, through the refresh kernel; until then the connection
//! has none, and a token call waits for it like for any refresh.

use std::sync::Arc;

use evergrant_core::connection::{Account, Connection, Status};
use evergrant_core::grant::{Grant, GrantFacts};
use evergrant_core::id::ConnectionId;
use evergrant_core::integration::Integration;
use evergrant_core::lifetime::Expiry;
use evergrant_core::time::Timestamp;
use evergrant_store::Target;
use serde_json::{Map, Value};

use super::Service;
use super::access::Caller;
use super::audit::line;
use super::connections::Seen;
use super::error::Refusal;
use super::import::Import;
use super::place::{Arrival, Origin, placed};

impl Service {
    /// Makes the connection, or finds the one that asks for the same, and waits a little for its token. Says whether it is
    /// new. That no token came is told by the connection, not by an error: it is there, and tried again by itself.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, `AccountTaken`, [`Refusal::StorageUnavailable`].
    pub(super) async fn issue(
        &self,
        caller: &Caller,
        import: Import,
        known: Map<String, Value>,
        integration: Arc<Integration>,
    ) -> Result<(Seen, bool), Refusal> {
        check(&import, &integration)?;
        let scopes = import.scopes.clone().unwrap_or_else(|| integration.requested_scopes().to_vec());
        let (id, created) = match self.same(&import, &scopes, &known, &integration).await? {
            Some(present) => {
                let metadata = Some(import.metadata).filter(|metadata| !metadata.is_empty());
                if metadata.as_ref().is_some_and(|metadata| *metadata != present.metadata) {
                    self.change_connection(caller, &present.id, metadata, None, None).await?;
                }
                (present.id.clone(), false)
            }
            None => self.make(caller, import, scopes, known, &integration).await?,
        };
        self.refresher.first_token(&id).await;
        Ok((self.connection(caller, &id).await?, created))
    }

    /// The living connection of this subject that asks for the same as this one would: it keeps its token.
    async fn same(
        &self,
        import: &Import,
        scopes: &[String],
        known: &Map<String, Value>,
        integration: &Integration,
    ) -> Result<Option<Arc<Connection>>, Refusal> {
        for id in self.store.connections_by_subject(&integration.name, &import.subject).await?.iter() {
            let Some(record) = self.store.token_record(id, true).await? else { continue };
            let present = &record.connection;
            let living = !matches!(present.life.status, Status::Disconnected { .. });
            let account = present.account.as_ref().map(|account| &account.id) == import.account_id.as_ref();
            let mut names = integration.provider.variables.keys();
            let params = names.all(|name| present.provider_data.get(name) == known.get(name));
            if living && account && params && present.requested_scopes == scopes {
                return Ok(Some(present.clone()));
            }
        }
        Ok(None)
    }

    async fn make(
        &self,
        caller: &Caller,
        import: Import,
        scopes: Vec<String>,
        known: Map<String, Value>,
        integration: &Arc<Integration>,
    ) -> Result<(ConnectionId, bool), Refusal> {
        let now = self.now();
        let arrival = Arrival {
            origin: Origin::Issue,
            subject: import.subject,
            account: import.account_id.map(|id| Account { id, name: None, kind: None }),
            target: Target::Key,
            grant: Grant { access_token: None, refresh_token: None, token_type: "Bearer".to_owned() },
            facts: without_token(scopes.clone(), now),
            requested_scopes: Some(scopes),
            metadata: Some(import.metadata).filter(|metadata| !metadata.is_empty()),
            provider_data: Some(known),
            owed: None,
            short: Vec::new(),
            attempt: None,
            audit: Some(line(caller, "connection.created", "").with("integration", integration.name.as_str())),
        };
        let (new, decide) = self.placing(integration, arrival, now);
        let (record, created) = placed(self.store.create_or_replace(new, decide, now).await?, integration)?;
        Ok((record.connection.id.clone(), created))
    }
}

/// What is known of a grant whose first token has still to come.
fn without_token(scopes: Vec<String>, now: Timestamp) -> GrantFacts {
    GrantFacts {
        generation: 0,
        issued_at: now,
        expiry: Expiry::Unknown,
        lifetime_millis: None,
        token_id: String::new(),
        has_access_token: false,
        has_refresh_token: false,
        refresh_expires_at: None,
        scopes,
        oddities: Vec::new(),
        short: false,
    }
}

fn check(import: &Import, integration: &Integration) -> Result<(), Refusal> {
    let nothing = "expected nothing: the client gets the tokens of this provider by itself";
    let given = [
        ("access_token", import.access_token.is_some()),
        ("refresh_token", import.refresh_token.is_some()),
        ("expires_at", import.expires_at.is_some()),
        ("username", import.login.is_some()),
    ];
    if let Some((field, _)) = given.into_iter().find(|(_, given)| *given) {
        return Err(Refusal::invalid(field, nothing));
    }
    // RFC 6749 §3.3: visible ASCII but the quotation mark and the backslash.
    let odd = |scope: &String| {
        scope.is_empty() || scope.len() > 512 || !scope.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
    };
    if import.scopes.as_ref().is_some_and(|scopes| scopes.len() > 256 || scopes.iter().any(odd)) {
        return Err(Refusal::invalid("scopes", "expected scopes, each on its own, of visible ASCII without quotes"));
    }
    let ceiling = integration.requested_scopes();
    let beyond = |scopes: &Vec<String>| !ceiling.is_empty() && scopes.iter().any(|scope| !ceiling.contains(scope));
    if import.scopes.as_ref().is_some_and(beyond) {
        let expected = format!("each must be one of the scopes of the integration `{}`", integration.name);
        return Err(Refusal::invalid("scopes", expected));
    }
    Ok(())
}
