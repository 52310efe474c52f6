//! Endpoints that are told by webhooks.

use std::collections::BTreeSet;

use evergrant_core::id::{ConnectionId, DeliveryId, IntegrationName, WebhookId};
use evergrant_core::secret::kind;
use evergrant_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{OnTheWire, given};

/// An endpoint to be told.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    /// Where messages go: an https address.
    pub url: String,
    /// The kinds of events, or `*`; when left out, the usual ones and what a person's preferences add.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<String>>,
    /// A word for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What is to be changed of an endpoint.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookChange {
    /// Where messages go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The kinds of events; null: the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    pub events: Option<Option<Vec<String>>>,
    /// A word for people.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub description: Option<Option<String>>,
    /// Whether it is told. What failed while it was not is sent by `redeliver`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WebhookView {
    /// Its id.
    #[schema(value_type = String, example = "whk_01k2")]
    pub id: WebhookId,
    /// Where messages go.
    pub url: String,
    /// The kinds of events; null: the usual ones.
    pub events: Option<Vec<String>>,
    /// A word for people.
    pub description: Option<String>,
    /// The integrations that it is told of; null for all.
    #[schema(value_type = Option<Vec<String>>)]
    pub integrations: Option<BTreeSet<IntegrationName>>,
    /// Whether it is declared in the configuration file: only that changes it.
    pub declared: bool,
    /// Whether it is told.
    pub enabled: bool,
    /// Since when nothing could be delivered.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub failing_since: Option<Timestamp>,
    /// When it was disabled.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub disabled_at: Option<Timestamp>,
    /// Why.
    pub disabled_why: Option<String>,
    /// How many secrets messages are signed with.
    pub secrets: usize,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// An endpoint with a new secret: shown once.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WebhookSecretAnswer {
    /// What messages are signed with, as Standard Webhooks writes it.
    #[schema(value_type = String, example = "whsec_…")]
    pub secret: OnTheWire<kind::Webhook>,
    /// The endpoint.
    #[serde(flatten)]
    pub view: WebhookView,
}

/// How far a delivery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// It will be tried, or tried again.
    Waiting,
    /// It was taken.
    Delivered,
    /// It was tried for the last time, or its endpoint was disabled.
    Failed,
    /// Nobody has to be told any more.
    Dropped,
}

/// One message to one endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryView {
    /// Its id.
    #[schema(value_type = String, example = "dlv_01k2")]
    pub id: DeliveryId,
    /// The message's id: the header `webhook-id`, the same for every try.
    pub message_id: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// The connection that it is about.
    #[schema(value_type = Option<String>)]
    pub connection_id: Option<ConnectionId>,
    /// How far it has come.
    pub status: DeliveryStatus,
    /// Tries so far.
    pub tries: u64,
    /// When it is tried next; null: an earlier message about the same connection is before it, or it is over.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<Timestamp>,
    /// When it was tried last.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_at: Option<Timestamp>,
    /// What the endpoint answered then.
    pub last_status: Option<u64>,
    /// The answer's first kilobyte, or why none came.
    pub last_detail: Option<String>,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// When the delivery was over.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
}

/// What is to be sent again.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Redeliver {
    /// One delivery; all that have failed when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub delivery_id: Option<DeliveryId>,
}

/// What is being sent again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RedeliverAnswer {
    /// How many.
    pub redelivered: u64,
}
