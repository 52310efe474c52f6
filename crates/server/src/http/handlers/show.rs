//! From the words of the use cases to those of the wire, and back.

use evergrant_core::connection::{Connection, Status};
use evergrant_core::integration::{Health, Integration, ProviderSource, StoredClientSecret};
use evergrant_core::oauth1;
use evergrant_core::provider::Provider;
use evergrant_core::secret::AccessToken;
use evergrant_core::telling::{self, Contact};
use evergrant_core::time::Timestamp;
use evergrant_store::{ApiKey, AuditLine, Event};
use serde_json::{Value, json};

use crate::http::dto::{
    AccountView, AuditEntry, BulkRefresh, ClientSecretView, ClientSecretWritten, ConnectSession,
    ConnectSessionProgress, ConnectionView, ContactView, EventView, ExpiringSoon, HealthEntry, ImportGrant,
    IntegrationChange, IntegrationStats, IntegrationView, JobView, KeyView, LastFailureView, LastUseView,
    MasterKeyRotated, NewConnectSession, NewIntegration, NewKey, NotificationView, OnTheWire, OutcomeCount,
    Preferences, ProviderSummary, QuietHoursView, Scopes, Stats, SubjectHealth, Sweep, SweepEntry, TokenAnswer,
};
use crate::http::problem::whole_seconds;
use crate::service::Service;
use crate::service::access::{Scope, permissions};
use crate::service::connect::{Made, Order as ConnectOrder, Status as SessionStatus, Wish};
use crate::service::connections::{self, Seen};
use crate::service::import::{Import, Login};
use crate::service::integrations::{Change, IntegrationStatus, NewClient};
use crate::service::jobs::{Job, Order};
use crate::service::keys::{KeyWish, public_id};
use crate::service::notices::Notice;
use crate::service::preferences::Wishes;
use crate::service::stats::Figures;
use crate::service::subjects::PersonHealth;
use crate::service::sweep::{Pass, Swept};
use crate::service::tokens::Given;

/// A catalogue entry in a list.
pub fn provider(provider: &Provider) -> ProviderSummary {
    ProviderSummary {
        id: provider.id.as_ref().map(ToString::to_string).unwrap_or_default(),
        name: provider.name.clone(),
        category: provider.category.clone(),
        kind: provider.kind.as_str().to_owned(),
        verified: provider.verified,
        docs_url: provider.docs_url.clone(),
    }
}

/// A whole catalogue entry, with the fields of its file.
pub fn whole_provider(provider: &Provider) -> Value {
    serde_json::to_value(provider).unwrap_or_default()
}

/// An integration.
pub fn integration(integration: &Integration, service: &Service) -> IntegrationView {
    let detail = match &integration.health {
        Health::Ok => None,
        Health::Suspected { detail, .. } | Health::Mending { detail, .. } | Health::Misconfigured { detail, .. } => {
            Some(detail.clone())
        }
    };
    let secret = |secret: &StoredClientSecret| ClientSecretView { expires_at: secret.expires_at };
    IntegrationView {
        name: integration.name.clone(),
        provider: match &integration.source {
            ProviderSource::Catalogue(id) => json!(id),
            ProviderSource::Inline(entry) => whole_provider(entry),
        },
        provider_name: connections::provider_name(integration).to_owned(),
        params: integration.params.clone(),
        client_id: integration.client_id.clone(),
        client_secrets: integration.client_secrets.iter().map(secret).collect(),
        scopes: integration.requested_scopes().to_vec(),
        return_urls: integration.return_urls.clone(),
        policy: integration.policy.clone(),
        paused: integration.paused,
        shared_accounts: integration.shared_accounts,
        status: IntegrationStatus::of(integration),
        status_detail: detail,
        callback_url: service.callback_url(&integration.name),
        created_at: integration.created_at,
        updated_at: integration.updated_at,
        version: integration.version,
    }
}

fn stored(secret: ClientSecretWritten) -> StoredClientSecret {
    StoredClientSecret { secret: secret.secret.0, expires_at: secret.expires_at }
}

/// An OAuth client to be registered.
pub fn new_integration(new: NewIntegration) -> NewClient {
    NewClient {
        name: new.name,
        provider: new.provider,
        params: new.params,
        client_id: new.client_id,
        client_secrets: new.client_secrets.into_iter().map(stored).collect(),
        scopes: new.scopes,
        return_urls: new.return_urls,
        policy: new.policy,
        paused: new.paused,
        shared_accounts: new.shared_accounts,
    }
}

/// A change of an integration.
pub fn integration_change(change: IntegrationChange) -> Change {
    Change {
        provider: change.provider,
        params: change.params,
        client_id: change.client_id,
        client_secrets: change.client_secrets.map(|secrets| secrets.into_iter().map(stored).collect()),
        scopes: change.scopes,
        return_urls: change.return_urls,
        policy: change.policy,
        paused: change.paused,
        shared_accounts: change.shared_accounts,
    }
}

/// A connection.
pub fn connection(seen: &Seen) -> ConnectionView {
    let Connection { life, .. } = &*seen.connection;
    let connection = &*seen.connection;
    let facts = life.grant.as_ref();
    let granted = facts.map(|facts| facts.scopes.clone()).unwrap_or_default();
    let requested = connection.requested_scopes.clone();
    let missing = requested.iter().filter(|scope| facts.is_some() && !granted.contains(scope)).cloned().collect();
    ConnectionView {
        id: connection.id.clone(),
        integration: connection.integration.clone(),
        provider: seen.integration.provider.id.as_ref().map(ToString::to_string),
        subject: connection.subject.clone(),
        account: connection.account.clone().map(|account| AccountView {
            id: account.id,
            name: account.name,
            kind: account.kind,
        }),
        label: connection.label.clone(),
        status: seen.status,
        freshness: seen.freshness,
        scopes: Scopes { granted, requested, missing },
        provider_data: connection.provider_data.clone(),
        expires_at: facts.and_then(|facts| facts.expiry.at()),
        next_refresh_at: seen.next_refresh_at,
        last_refreshed_at: life.last_refreshed_at,
        refresh_count: life.refresh_count,
        auth_failures: life.auth_failures,
        transient_failures: life.transient_failures,
        last_failure: life.last_failure.clone().map(|last| LastFailureView {
            at: last.at,
            class: last.class,
            detail: last.detail,
        }),
        disconnect_reason: match &life.status {
            Status::Connected => None,
            Status::NeedsReauth { reason, .. } => Some(reason.as_str().to_owned()),
            Status::Disconnected { reason, .. } => Some(reason.as_str().to_owned()),
        },
        last_use: connection.last_use.clone().map(|last| LastUseView { at: last.at, outcome: last.outcome }),
        has_refresh_token: facts.is_some_and(|facts| facts.has_refresh_token),
        refresh_token_expires_at: facts.and_then(|facts| facts.refresh_expires_at),
        metadata: connection.metadata.clone(),
        created_at: connection.created_at,
        updated_at: connection.updated_at,
        version: connection.version,
    }
}

/// The main call's answer.
pub fn token(given: Given, now: Timestamp) -> TokenAnswer {
    let connection = &given.connection;
    let pair = (given.token_type == oauth1::TOKEN_TYPE).then(|| oauth1::parted(&given.access_token)).flatten();
    let (access_token, token_secret) = match pair {
        Some((token, secret)) => (AccessToken::new(token.as_str()), Some(AccessToken::new(secret.as_str()))),
        None => (given.access_token, None),
    };
    TokenAnswer {
        connection_id: connection.id.clone(),
        integration: connection.integration.clone(),
        subject: connection.subject.clone(),
        access_token: OnTheWire(access_token),
        token_secret: token_secret.map(OnTheWire),
        token_id: given.token_id,
        token_type: given.token_type,
        expires_at: given.expires_at,
        expires_in: given.expires_at.map(|at| at.until_from(now).as_secs()),
        freshness: given.freshness,
        scopes: connection.life.grant.as_ref().map(|facts| facts.scopes.clone()).unwrap_or_default(),
        refreshed: given.refreshed,
        needs_reauth: given.needs_reauth,
        provider_data: connection.provider_data.clone(),
    }
}

/// A grant to take over.
pub fn import(grant: ImportGrant) -> Import {
    Import {
        integration: grant.integration,
        subject: grant.subject,
        account_id: grant.account_id,
        access_token: grant.access_token.map(|token| token.0),
        token_secret: grant.token_secret.map(|secret| secret.0),
        login: (grant.username.is_some() || grant.password.is_some()).then(|| Login {
            username: grant.username.unwrap_or_default(),
            password: grant.password.map_or_else(|| AccessToken::new(""), |password| password.0),
        }),
        refresh_token: grant.refresh_token.map(|token| token.0),
        expires_at: grant.expires_at,
        scopes: grant.scopes,
        metadata: grant.metadata,
        params: grant.params,
    }
}

/// A wish to connect.
pub fn wish(new: NewConnectSession) -> ConnectOrder {
    ConnectOrder {
        integration: new.integration,
        integrations: new.integrations,
        connection: new.connection_id,
        wish: Wish {
            subject: new.subject,
            subject_label: new.subject_label,
            return_url: new.return_url,
            binding: new.binding,
            scopes: new.scopes,
            email: new.email,
            params: new.params,
            flow: new.flow.unwrap_or_default(),
        },
    }
}

/// A session that was made.
pub fn session(made: Made) -> ConnectSession {
    match made {
        Made::Link(link) => ConnectSession {
            id: link.id,
            url: Some(OnTheWire(link.url)),
            user_code: None,
            verification_uri: None,
            verification_uri_complete: None,
            expires_at: link.expires_at,
            interval: None,
        },
        Made::Device(device) => ConnectSession {
            id: device.id,
            url: None,
            user_code: Some(device.user_code),
            verification_uri: Some(device.verification_uri),
            verification_uri_complete: device.verification_uri_complete,
            expires_at: device.expires_at,
            interval: Some(device.interval.as_secs().max(1)),
        },
    }
}

/// How far a session is.
pub fn progress(status: SessionStatus) -> ConnectSessionProgress {
    let (code, message) = status.failure.map(|(code, message)| (code.to_owned(), message)).unzip();
    ConnectSessionProgress {
        id: status.id,
        status: status.word,
        connection_id: status.connection,
        code,
        message,
        expires_at: status.expires_at,
    }
}

/// Which connections to refresh.
pub fn order(order: BulkRefresh) -> Order {
    Order {
        integration: order.integration,
        subject: order.subject,
        status: order.status,
        due_within: order.due_within.map(std::time::Duration::from_secs),
        connections: order.connection_ids,
        force: order.force,
        dry_run: order.dry_run,
    }
}

/// A job.
pub fn job(job: &Job) -> JobView {
    JobView {
        id: job.id.clone(),
        state: job.state,
        dry_run: job.dry_run,
        total: job.total,
        done: job.done,
        outcomes: job.outcomes.clone(),
        created_at: job.created_at,
        finished_at: job.finished_at,
    }
}

/// What a pass came to.
pub fn passes(passes: Vec<Pass>) -> Vec<SweepEntry> {
    passes.into_iter().map(|pass| SweepEntry { connection_id: pass.connection, outcome: pass.outcome }).collect()
}

/// A sweep.
pub fn sweep(swept: Swept, verbose: bool) -> Sweep {
    Sweep { due: swept.due, outcomes: swept.outcomes, connections: verbose.then(|| passes(swept.each)) }
}

/// What is known of a key.
pub fn key(key: &ApiKey) -> KeyView {
    KeyView {
        id: public_id(key),
        name: key.name.clone(),
        permissions: permissions(key),
        integrations: key.integrations.clone(),
        created_at: key.created_at,
        expires_at: key.expires_at,
        revoked_at: key.revoked_at,
    }
}

/// A key to be made.
pub fn new_key(new: NewKey) -> KeyWish {
    KeyWish {
        name: new.name,
        permissions: new.permissions,
        scope: new.integrations.map_or(Scope::All, Scope::Only),
        expires_at: new.expires_at,
    }
}

/// A line of the audit log.
pub fn audit(line: AuditLine) -> AuditEntry {
    AuditEntry {
        sequence: line.sequence,
        at: line.at,
        actor: line.actor,
        action: line.action,
        target: line.target,
        detail: line.detail,
        hash: line.hash,
    }
}

/// What came of a rotation.
pub fn rotated(done: crate::service::rotation::Rotated) -> MasterKeyRotated {
    MasterKeyRotated { from: done.from, to: done.to, key_file: done.key, old_key_file: done.old_key }
}

/// Something that happened.
pub fn event(event: Event) -> EventView {
    EventView {
        id: event.id,
        at: event.at,
        kind: event.kind,
        integration: event.integration,
        connection_id: event.connection,
        subject: event.subject,
        data: event.data,
    }
}

/// A notice.
pub fn notification(notice: Notice) -> NotificationView {
    NotificationView {
        id: notice.id,
        at: notice.at,
        kind: notice.kind,
        connection_id: notice.connection,
        integration: notice.integration,
        message: notice.message,
        reconnect_url: notice.reconnect_url.map(OnTheWire),
        read_at: notice.read_at,
    }
}

/// How a subject's connections are doing.
pub fn health(health: PersonHealth) -> SubjectHealth {
    let entry = |one: crate::service::subjects::ConnectionHealth| HealthEntry {
        connection_id: one.connection,
        integration: one.integration,
        provider: one.provider,
        connected: one.connected,
        status: one.status,
        freshness: one.freshness,
        action: one.action,
        trouble: one.trouble,
        message: one.message,
        retry_after: one.retry_after.map(whole_seconds),
        support_contact: one.support_contact,
        reconnect_url: one.reconnect_url.map(OnTheWire),
    };
    SubjectHealth {
        subject: health.subject,
        healthy: health.healthy,
        language: health.language.to_owned(),
        message: health.message,
        items: health.connections.into_iter().map(entry).collect(),
    }
}

/// What a dashboard draws.
pub fn stats(figures: Figures) -> Stats {
    let one = |one: crate::service::stats::IntegrationFigures| IntegrationStats {
        integration: one.integration,
        connections: one.connections.into_iter().map(|(status, count)| (status.as_str().to_owned(), count)).collect(),
        expiring: one.expiring.into_iter().map(|(within, count)| ExpiringSoon { within, count }).collect(),
        outcomes: one
            .outcomes
            .into_iter()
            .map(|(hour, outcome, count)| OutcomeCount { hour, outcome: outcome.to_string(), count })
            .collect(),
        breaker_open: one.breaker_open,
    };
    Stats {
        at: figures.at,
        integrations: figures.integrations.into_iter().map(one).collect(),
        refresh_lag: figures.refresh_lag.as_secs(),
        in_flight: figures.in_flight,
        quarantine: figures.quarantine.map(super::quarantine::view),
    }
}

/// What a subject wants to be told.
pub fn wishes(wishes: Wishes) -> Preferences {
    let Contact { email, language, time_zone, quiet_hours } = wishes.contact;
    let quiet_hours = quiet_hours.map(|hours| QuietHoursView { from: hours.from, until: hours.until });
    let contact = ContactView { email, language, time_zone, quiet_hours };
    Preferences { contact: Some(contact), kinds: wishes.preferences.0 }
}

/// What a subject wants to be told, as it was sent.
pub fn wanted(sent: Preferences) -> (telling::Preferences, Option<Contact>) {
    let contact = sent.contact.map(|contact| {
        let ContactView { email, language, time_zone, quiet_hours } = contact;
        let quiet_hours = quiet_hours.map(|hours| telling::QuietHours { from: hours.from, until: hours.until });
        Contact { email, language, time_zone, quiet_hours }
    });
    (telling::Preferences(sent.kinds), contact)
}
