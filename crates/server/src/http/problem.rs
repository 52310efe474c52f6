//! Errors as RFC 9457 writes them: the one place that says how a refusal looks in HTTP.
//!
//! Handlers return `Result<_, Problem>`. A problem travels to the outermost layer as an extension of the response and is
//! written there, where the request's id is known; that layer also logs the cause, once.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use evergrant_core::telling::Trouble;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::notify::words::{Support, Words};
use crate::service::error::{Conflict, Refusal};

/// Who has to do something about a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The subject must connect again: `reconnect_url` or `connect_url`.
    Reconnect,
    /// Come again after `retry_after` seconds.
    Wait,
    /// The same request may simply be sent again.
    Retry,
    /// The calling code must change.
    FixRequest,
    /// The operator must mend the integration.
    FixIntegration,
    /// Ask whoever runs this service.
    ContactSupport,
}

/// What went wrong, in RFC 9457's form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProblemBody {
    /// The kind of problem, as a URI.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem, in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The kind of problem, to program against.
    pub code: String,
    /// What happened this time, for people.
    pub detail: String,
    /// Who has to do something.
    pub action: Action,
    /// The request's id, for the log.
    pub request_id: String,
    /// In how many seconds it makes sense to come again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// Which of four kinds of trouble it is for a person: `network`, `reconnect`, `rate_limit` or `unknown`; left out where
    /// the calling code has to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "reconnect")]
    pub trouble: Option<Trouble>,
    /// What the person can do, to be shown as it is: try again, reconnect, wait so many minutes, contact support. In the
    /// language that `accept-language` likes best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance: Option<String>,
    /// What the kind of problem has to say besides: `reconnect_url`, `connect_url`, `field`, `connection_ids`, …
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// An error on its way to the caller.
#[derive(Clone, Debug)]
pub struct Problem(Box<Told>);

/// What it says.
#[derive(Clone, Debug)]
struct Told {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    action: Action,
    retry_after: Option<Duration>,
    /// The kind of trouble, where it does not follow from the action.
    trouble: Option<Trouble>,
    /// The provider's name, where it is known.
    provider: Option<String>,
    more: Map<String, Value>,
    /// For the log; never for the caller.
    cause: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, title: &'static str, action: Action, detail: &str) -> Self {
        let detail = detail.to_owned();
        Problem(Box::new(Told {
            status,
            code,
            title,
            detail,
            action,
            retry_after: None,
            trouble: None,
            provider: None,
            more: Map::new(),
            cause: None,
        }))
    }

    fn wait(mut self, retry_after: Duration) -> Self {
        self.0.retry_after = Some(retry_after);
        self
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.more.insert(name.to_owned(), value.into());
        self
    }

    fn trouble(mut self, trouble: Trouble) -> Self {
        self.0.trouble = Some(trouble);
        self
    }

    fn about(mut self, provider: String) -> Self {
        self.0.provider = Some(provider);
        self
    }

    fn because(mut self, cause: String) -> Self {
        self.0.cause = Some(cause);
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// For the log; never for the caller.
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The body is not JSON.
    pub fn not_json(detail: &str) -> Self {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "The request cannot be read",
            Action::FixRequest,
            detail,
        )
    }

    /// The body is over the limit.
    pub fn too_large(limit: usize) -> Self {
        let detail = format!("The body is longer than {limit} bytes. Nothing was done.");
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "The request is too large",
            Action::FixRequest,
            &detail,
        )
    }

    /// The address is over the limit.
    pub fn uri_too_long(limit: usize) -> Self {
        let detail = format!("The address is longer than {limit} bytes.");
        Problem::new(StatusCode::URI_TOO_LONG, "too_large", "The request is too large", Action::FixRequest, &detail)
    }

    /// The headers are over the limit.
    pub fn headers_too_large(limit: usize) -> Self {
        let detail = format!("The headers are longer than {limit} bytes.");
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        Problem::new(status, "too_large", "The request is too large", Action::FixRequest, &detail)
    }

    /// The method does not exist here.
    pub fn method_not_allowed() -> Self {
        let detail = "This address does not know that method; the header `allow` lists those that it knows.";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Problem::new(status, "method_not_allowed", "Not that method", Action::FixRequest, detail)
    }

    /// The address does not exist.
    pub fn no_route() -> Self {
        let detail = "There is nothing at this address. GET /openapi.json lists everything.";
        Problem::new(StatusCode::NOT_FOUND, "not_found", "Not found", Action::FixRequest, detail)
    }

    /// As it goes over the wire, with guidance for a person in this language.
    pub fn body(&self, language: Option<&str>, support: &Support<'_>) -> ProblemBody {
        let told = &*self.0;
        let mut more = told.more.clone();
        let trouble = told.trouble.or(match told.action {
            Action::Reconnect => Some(Trouble::Reconnect),
            Action::Wait | Action::Retry => Some(Trouble::Network),
            Action::FixIntegration | Action::ContactSupport => Some(Trouble::Unknown),
            Action::FixRequest => None,
        });
        if let (Some(Trouble::Unknown), Some(contact)) = (trouble, support.contact) {
            more.insert("support_contact".to_owned(), contact.into());
        }
        let guide =
            |trouble| Words::of(language).guidance(trouble, told.provider.as_deref(), told.retry_after, support);
        ProblemBody {
            kind: format!("https://evergrant.dev/problems/{}", told.code.replace('_', "-")),
            title: told.title.to_owned(),
            status: told.status.as_u16(),
            code: told.code.to_owned(),
            detail: told.detail.clone(),
            action: told.action,
            request_id: support.request.to_owned(),
            retry_after: told.retry_after.map(whole_seconds),
            trouble,
            guidance: trouble.map(guide),
            more,
        }
    }
}

/// At least one, and never earlier than was meant.
pub(in crate::http) fn whole_seconds(span: Duration) -> u64 {
    (span.as_secs() + u64::from(span.subsec_nanos() > 0)).max(1)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        use StatusCode as S;
        let detail = refusal.to_string();
        let make = |status, code, title, action| Problem::new(status, code, title, action, &detail);
        match refusal {
            Refusal::Unauthenticated => {
                make(S::UNAUTHORIZED, "unauthenticated", "No valid API key", Action::FixRequest)
            }
            Refusal::Forbidden { needed } => {
                make(S::FORBIDDEN, "forbidden", "Not allowed", Action::FixRequest).with("permission", needed.as_str())
            }
            Refusal::OtherSubject => make(S::FORBIDDEN, "forbidden", "Another subject's session", Action::Reconnect),
            Refusal::NotFound { .. } => make(S::NOT_FOUND, "not_found", "Not found", Action::FixRequest),
            Refusal::NotConnected { connect_url, provider } => {
                let problem = make(S::NOT_FOUND, "not_connected", "Not connected", Action::Reconnect);
                problem.with("connect_url", connect_url).about(provider)
            }
            Refusal::Ambiguous { connections } => {
                let ids: Vec<&str> = connections.iter().map(|id| id.as_str()).collect();
                make(S::CONFLICT, "ambiguous_connection", "Several connections fit", Action::FixRequest)
                    .with("connection_ids", ids)
            }
            Refusal::Invalid { ref field, .. } => {
                make(S::UNPROCESSABLE_ENTITY, "invalid_request", "The request is not accepted", Action::FixRequest)
                    .with("field", field.clone())
            }
            Refusal::Conflict(conflict) => of_conflict(&conflict),
            Refusal::NeedsReauth { connection, reason, reconnect_url, provider, .. } => {
                make(S::FAILED_DEPENDENCY, "needs_reauth", "The subject must reconnect", Action::Reconnect)
                    .with("needs_reauth", true)
                    .with("reason", reason.as_str())
                    .with("connection_id", connection.as_str())
                    .with("reconnect_url", reconnect_url)
                    .about(provider)
            }
            Refusal::IntegrationMisconfigured { integration, .. } => {
                let title = "The operator must mend the integration";
                make(S::FAILED_DEPENDENCY, "integration_misconfigured", title, Action::FixIntegration)
                    .with("integration", integration.as_str())
            }
            Refusal::IntegrationPaused { integration } => {
                make(S::FAILED_DEPENDENCY, "integration_paused", "The integration is paused", Action::FixIntegration)
                    .with("integration", integration.as_str())
            }
            Refusal::Quarantined => {
                let title = "The operator has to adopt the database";
                make(S::SERVICE_UNAVAILABLE, "quarantined", title, Action::Wait).wait(Duration::from_secs(60))
            }
            Refusal::NoRefreshToken => make(S::CONFLICT, "conflict", "Nothing to refresh with", Action::Reconnect),
            Refusal::RateLimited { retry_after, .. } => {
                let problem = make(S::TOO_MANY_REQUESTS, "rate_limited", "Too many requests", Action::Wait);
                problem.wait(retry_after).trouble(Trouble::RateLimit)
            }
            Refusal::ProviderError { class, retry_after, .. } => {
                let problem =
                    make(S::BAD_GATEWAY, "provider_error", "The provider's answer brought no token", Action::Wait);
                let problem = problem.wait(retry_after.unwrap_or(Duration::from_secs(60)));
                problem.with("outcome", class.as_str()).trouble(Trouble::Unknown)
            }
            Refusal::ProviderUnavailable { class, retry_after, .. } => {
                let title = "The provider cannot be reached just now";
                make(S::SERVICE_UNAVAILABLE, "provider_unavailable", title, Action::Wait)
                    .wait(retry_after)
                    .with("outcome", class.map(|class| class.as_str()))
                    .trouble(class.and_then(Trouble::of).unwrap_or(Trouble::Network))
            }
            Refusal::StorageUnavailable { retry_after, cause } => {
                make(S::SERVICE_UNAVAILABLE, "storage_unavailable", "Storage is away", Action::Wait)
                    .wait(retry_after)
                    .because(cause)
            }
            Refusal::Internal { cause } => {
                make(S::INTERNAL_SERVER_ERROR, "internal", "Something went wrong here", Action::ContactSupport)
                    .because(cause)
            }
        }
    }
}

fn of_conflict(conflict: &Conflict) -> Problem {
    let make = |action| {
        Problem::new(StatusCode::CONFLICT, "conflict", "Something stands in the way", action, &conflict.to_string())
    };
    match conflict {
        Conflict::NameTaken { .. } => make(Action::FixRequest).with("conflict", "name_taken"),
        Conflict::Stale { version } => {
            make(Action::FixRequest).with("conflict", "stale").with("version", json!(version))
        }
        Conflict::IdempotencyReused => make(Action::FixRequest).with("conflict", "idempotency_key_reused"),
        Conflict::IdempotencyUnderWay => make(Action::Retry).with("conflict", "idempotency_key_under_way"),
        Conflict::InUse { .. } => make(Action::FixIntegration).with("conflict", "in_use"),
        Conflict::AccountTaken { .. } => make(Action::FixIntegration).with("conflict", "account_taken"),
        Conflict::OtherAccount { .. } => make(Action::Reconnect).with("conflict", "other_account"),
        Conflict::MasterKeyElsewhere { .. } => make(Action::FixRequest).with("conflict", "master_key_elsewhere"),
        Conflict::MasterKeyNotKept { .. } => make(Action::ContactSupport).with("conflict", "master_key_not_kept"),
        Conflict::WebhookDeclared => make(Action::FixRequest).with("conflict", "declared"),
        Conflict::WebhookDisabled => make(Action::FixRequest).with("conflict", "disabled"),
        Conflict::Declared { .. } => make(Action::FixIntegration).with("conflict", "declared"),
    }
}
