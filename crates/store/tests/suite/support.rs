//! What to put into a store.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::connection::{Account, Connection, DisconnectReason, Life, Status};
use evergrant_core::grant::{Grant, GrantFacts};
use evergrant_core::id::{AttemptId, ConnectionId, IntegrationName, NodeId};
use evergrant_core::integration::{Health, Integration, ProviderSource, StoredClientSecret};
use evergrant_core::lifetime::Expiry;
use evergrant_core::outcome::Class;
use evergrant_core::policy::PolicyOverrides;
use evergrant_core::provider::Provider;
use evergrant_core::secret::{AccessToken, ClientSecret, RefreshToken};
use evergrant_core::time::Timestamp;
use evergrant_store::journal::{EntryKind, JournalEntry};
use evergrant_store::refresh::{Claim, Leased, SuccessCommit};
use evergrant_store::{
    Decided, Ending, Entropy, NewEvent, NewGrantFor, Placed, SharedEntropy, Store, SystemEntropy, Target, TokenRecord,
};

pub const MASTER: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
pub const LEASE: Duration = Duration::from_secs(120);

pub fn entropy() -> SharedEntropy {
    Arc::new(SystemEntropy)
}

pub fn random() -> [u8; 10] {
    let entropy: &dyn Entropy = &SystemEntropy;
    entropy.id()
}

pub fn node() -> NodeId {
    NodeId::make(now(), random())
}

pub fn attempt() -> AttemptId {
    AttemptId::make(now(), random())
}

/// A provider's answer to a refresh, as the journal keeps it.
pub fn answer(connection: &ConnectionId, generation: u64, body: &str) -> JournalEntry {
    JournalEntry {
        attempt: attempt(),
        kind: EntryKind::Refresh { connection: connection.clone(), generation },
        sent_at: now(),
        received_at: after(1),
        status: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.as_bytes().to_vec().into(),
    }
}

pub fn now() -> Timestamp {
    Timestamp::from_seconds(1_795_000_000)
}

pub fn after(seconds: u64) -> Timestamp {
    now().plus(Duration::from_secs(seconds))
}

pub fn name(text: &str) -> IntegrationName {
    text.parse().expect("a name")
}

pub fn integration(text: &str) -> Integration {
    let provider = Provider { name: "Strava".to_owned(), ..Provider::default() };
    Integration {
        params: std::collections::BTreeMap::new(),
        name: name(text),
        source: ProviderSource::Inline(Box::new(provider.clone())),
        provider: Arc::new(provider),
        client_id: "12345".to_owned(),
        client_secrets: vec![StoredClientSecret {
            secret: ClientSecret::new("client-secret-mark"),
            expires_at: Some(after(1_000_000)),
        }],
        scopes: vec!["read".to_owned()],
        return_urls: vec!["https://app.example/".to_owned()],
        policy: PolicyOverrides::default(),
        paused: false,
        shared_accounts: false,
        health: Health::Ok,
        version: 0,
        created_at: now(),
        updated_at: now(),
    }
}

pub fn grant(mark: &str) -> Grant {
    Grant {
        access_token: Some(AccessToken::new(format!("access-token-{mark}"))),
        refresh_token: Some(RefreshToken::new(format!("refresh-token-{mark}"))),
        token_type: "Bearer".to_owned(),
    }
}

/// Facts of a token that was issued at `now()` and lives an hour.
pub fn facts() -> GrantFacts {
    GrantFacts {
        generation: 0,
        issued_at: now(),
        expiry: Expiry::At { at: after(3600) },
        lifetime_millis: Some(3_600_000),
        token_id: "0a1b2c3d".to_owned(),
        has_access_token: true,
        has_refresh_token: true,
        refresh_expires_at: None,
        scopes: vec!["read".to_owned()],
        oddities: Vec::new(),
        short: false,
    }
}

pub fn account(id: &str) -> Account {
    Account { id: id.parse().expect("an account id"), name: Some("Ann".to_owned()), kind: None }
}

pub fn new_grant(subject: &str, mark: &str) -> NewGrantFor {
    NewGrantFor {
        integration: name("strava"),
        subject: subject.parse().expect("a subject"),
        account: None,
        target: Target::Key,
        grant: grant(mark),
        requested_scopes: None,
        label: None,
        metadata: None,
        provider_data: None,
        owed: None,
        attempt: None,
        audit: None,
    }
}

/// A new life that is due after 50 minutes.
pub fn fresh(_: Option<&Connection>, _: u64) -> Decided {
    due_at(after(3000))
}

pub fn due_at(at: Timestamp) -> Decided {
    Decided {
        life: Life::new(facts()),
        next_at: Some(at),
        keep_refresh_token: false,
        notices: Vec::new(),
        events: vec![NewEvent::new("connection.connected")],
    }
}

/// Puts a grant into the store and says where it is.
pub async fn import(store: &Store, subject: &str, mark: &str) -> ConnectionId {
    match store.create_or_replace(new_grant(subject, mark), fresh, now()).await.expect("it is stored") {
        Placed::Created(record) | Placed::Replaced(record) => record.connection.id.clone(),
        refused => unreachable!("refused: {refused:?}"),
    }
}

pub async fn claim(store: &Store, id: &ConnectionId, at: Timestamp) -> Leased {
    match store.claim(id, at, LEASE).await.expect("a claim") {
        Claim::Leased(leased) => *leased,
        other => unreachable!("not leased: {other:?}"),
    }
}

pub fn success(attempt: &AttemptId, mark: &str) -> SuccessCommit {
    SuccessCommit {
        attempt: attempt.clone(),
        class: Class::Success,
        grant: grant(mark),
        life: Life::new(facts()),
        next_at: Some(after(6000)),
        provider_data: None,
        account: None,
        notices: Vec::new(),
        events: vec![NewEvent::new("connection.refreshed")],
    }
}

pub async fn record(store: &Store, id: &ConnectionId) -> Arc<TokenRecord> {
    store.token_record(id, false).await.expect("a read").expect("it is there")
}

pub fn access(store: &Store, record: &Arc<TokenRecord>) -> String {
    let token = store.open_access_token(record).expect("it opens").expect("there is one");
    token.expose().to_owned()
}

pub fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}

/// Ends a connection at the application's wish.
pub fn ended(revoke: bool) -> impl Fn(&Connection, u64) -> Ending + Copy + Send + 'static {
    move |connection, _| {
        let status = Status::Disconnected { reason: DisconnectReason::Application, since: now() };
        let life = Life { status, grant: None, ..connection.life.clone() };
        Ending { life, revoke, notices: Vec::new(), events: Vec::new() }
    }
}
