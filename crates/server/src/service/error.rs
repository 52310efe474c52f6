//! Why a use case does not do what it was asked: values with everything that the answer needs to show a way forward.
//!
//! Sentences say what happened, what was kept and what to do next. How a refusal looks in HTTP is decided in one place,
//! `http::problem`.

use std::time::Duration;

use evergrant_core::connection::ReauthReason;
use evergrant_core::id::{ConnectionId, IntegrationName};
use evergrant_core::outcome::Class;
use evergrant_core::time::Timestamp;

use super::access::Permission;

/// What a use case refuses.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No key, or none that counts.
    #[error("This call needs a valid API key: send `Authorization: Bearer eg_…`.")]
    Unauthenticated,
    /// The key lacks the permission.
    #[error("This API key does not have the permission `{needed}`, which this call needs.")]
    Forbidden {
        /// What is missing.
        needed: Permission,
    },
    /// The subject that `complete` names is not the session's.
    #[error(
        "This connect session belongs to another subject. Nothing was connected, and the authorization code was discarded."
    )]
    OtherSubject,
    /// Nothing that this caller may see.
    #[error("There is no such {what}.")]
    NotFound {
        /// What was looked for.
        what: &'static str,
    },
    /// The subject never connected, or disconnected.
    #[error("The subject is not connected to {provider}.")]
    NotConnected {
        /// The provider's name.
        provider: String,
        /// Where the subject can connect.
        connect_url: Option<String>,
    },
    /// More than one connection fits.
    #[error("The subject has {} accounts on this integration. Name the connection by its id.", connections.len())]
    Ambiguous {
        /// The connections.
        connections: Vec<ConnectionId>,
    },
    /// A field of the request is wrong.
    #[error("The field `{field}` is not accepted: {expected}.")]
    Invalid {
        /// The field, as a path.
        field: String,
        /// What would be right; never the value.
        expected: String,
    },
    /// Something stands in the way.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The connection waits for its subject.
    #[error("{sentence}")]
    NeedsReauth {
        /// The connection.
        connection: ConnectionId,
        /// Why.
        reason: ReauthReason,
        /// The provider's name.
        provider: String,
        /// What is to be told.
        sentence: String,
        /// Where the subject can reconnect.
        reconnect_url: Option<String>,
    },
    /// The provider refuses our client.
    #[error(
        "The provider has refused the OAuth client of `{integration}` since {since}: {detail}. Connections and tokens are \
         kept; they work again as soon as its credentials are mended."
    )]
    IntegrationMisconfigured {
        /// The integration.
        integration: IntegrationName,
        /// Since when.
        since: Timestamp,
        /// What the provider said, scrubbed.
        detail: String,
    },
    /// The operator has paused it.
    #[error("The integration `{integration}` is paused. Connections and tokens are kept.")]
    IntegrationPaused {
        /// The integration.
        integration: IntegrationName,
    },
    /// The database may be an older or a copied one, and the operator has not adopted it.
    #[error(
        "This service runs on a restored or copied database, and nothing is sent to providers until the operator has adopted \
         it (`evergrant adopt`). Live access tokens are handed out meanwhile; nothing was changed."
    )]
    Quarantined,
    /// There is nothing to refresh with.
    #[error(
        "This connection has no refresh token, so it cannot be refreshed; its access token is handed out until it ends."
    )]
    NoRefreshToken,
    /// Too much was asked of this API.
    #[error("{why}")]
    RateLimited {
        /// What is limited.
        why: &'static str,
        /// When to come again.
        retry_after: Duration,
    },
    /// The provider refused without a reason, or made no sense.
    #[error("{detail}")]
    ProviderError {
        /// The class of the last outcome.
        class: Class,
        /// What is to be told.
        detail: String,
        /// When the next try is.
        retry_after: Option<Duration>,
    },
    /// The provider cannot be had just now.
    #[error("{detail}")]
    ProviderUnavailable {
        /// The class of the last outcome, if there was one.
        class: Option<Class>,
        /// What is to be told.
        detail: String,
        /// When the next try is.
        retry_after: Duration,
    },
    /// The database is away.
    #[error("The service cannot reach its storage just now. Nothing was lost, and nothing was sent to the provider.")]
    StorageUnavailable {
        /// When to come again.
        retry_after: Duration,
        /// For the log.
        cause: String,
    },
    /// Something that should not be.
    #[error("The service met something that should not be, and stopped before doing harm.")]
    Internal {
        /// For the log.
        cause: String,
    },
}

/// What stands in the way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// A unique name is taken.
    #[error("There is already {what} named `{name}`. Nothing was changed.")]
    NameTaken {
        /// What, with its article.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// `if-match` names an older version.
    #[error(
        "It has changed meanwhile: it is now at version {version}. Read it again and repeat the change. Nothing was changed."
    )]
    Stale {
        /// The version that it has.
        version: u64,
    },
    /// An idempotency key came with another request.
    #[error("This Idempotency-Key was used for another request. Use a new key for each new request. Nothing was done.")]
    IdempotencyReused,
    /// An idempotency key whose first request is still under way.
    #[error("A request with this Idempotency-Key is still under way. Repeat it in a moment.")]
    IdempotencyUnderWay,
    /// An integration that still has connections.
    #[error(
        "The integration `{integration}` still has {connections} connections. Disconnect them first, or pause it instead."
    )]
    InUse {
        /// The integration.
        integration: IntegrationName,
        /// How many.
        connections: u64,
    },
    /// The account belongs to another subject.
    #[error(
        "This account at {provider} is already connected for another subject. Nothing was changed. Let the integration say \
         `shared_accounts` if several subjects may share one account."
    )]
    AccountTaken {
        /// The provider's name.
        provider: String,
    },
    /// A reconnect with another account than the connection's.
    #[error(
        "Another account at {provider} was chosen than the one that this connection belongs to. The connection is as it was."
    )]
    OtherAccount {
        /// The provider's name.
        provider: String,
    },
    /// A declared integration is changed in its file.
    #[error(
        "The integration `{integration}` is declared in the configuration file. Change it there and start the service again."
    )]
    Declared {
        /// The integration.
        integration: IntegrationName,
    },
    /// A declared endpoint is changed in its file.
    #[error("This webhook is declared in the configuration file. Change it there and start the service again.")]
    WebhookDeclared,
    /// An endpoint that is not told gets nothing again.
    #[error("This webhook is disabled. Enable it first (PATCH with `enabled: true`). Nothing was sent.")]
    WebhookDisabled,
    /// The master key is not in a file of the service's.
    #[error(
        "The master key comes from {place}, which the service can't change. Stop it, say where the new key is (`evergrant \
         master-key rotate --to-file`, `--to-env` or `--to-command`), and start it with that. Nothing was changed."
    )]
    MasterKeyElsewhere {
        /// Where it comes from.
        place: String,
    },
    /// The new master key could not be put on the disk.
    #[error("A new master key can't be kept: {why}. Nothing was changed.")]
    MasterKeyNotKept {
        /// What is wrong.
        why: String,
    },
}

impl Refusal {
    /// A wrong field.
    pub fn invalid(field: impl Into<String>, expected: impl Into<String>) -> Self {
        Refusal::Invalid { field: field.into(), expected: expected.into() }
    }

    /// Nothing there that this caller may see.
    pub const fn not_found(what: &'static str) -> Self {
        Refusal::NotFound { what }
    }

    /// Something that should not be.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        Refusal::Internal { cause: cause.to_string() }
    }
}
