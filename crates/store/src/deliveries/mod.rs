//! What is told to others (endpoints, mailboxes, chats): one row for each thing and receiver, written in the transaction of
//! what it tells, and so never before it is true and never lost after.
//!
//! At least once, under an id that stays the same: who gets one twice knows it by that. What is about one connection goes
//! to one endpoint in its order: only the first of those that wait has a time, and its end gives one to the next.

mod claim;
mod end;
mod list;
mod write;

use std::time::Duration;

use evergrant_core::id::{ConnectionId, DeliveryId, IntegrationName, SubjectId};
use evergrant_core::time::Timestamp;
use serde_json::{Map, Value};

use crate::db::Row;
use crate::error::StoreError;

pub use claim::Claimed;
pub use end::Outcome;
pub use list::Redelivered;
pub(crate) use list::{clean, erase, erase_connection};
pub(crate) use write::{is_wanted, of_event, of_notice};

/// The channel of endpoints that get signed messages; the target is the endpoint.
pub const WEBHOOK: &str = "webhook";
/// Mails to persons; the target is the subject.
pub const EMAIL: &str = "email";
/// The target of what goes to the operator.
pub const OPERATOR: &str = "operator";

/// What can be told where; what cannot is not written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Channels {
    /// Whether persons get mails.
    pub email: bool,
    /// How long a mail to a person waits for others that go with it, or for its reason to pass.
    pub email_delay: Duration,
    /// The operator's channels for alerts.
    pub alerts: Vec<&'static str>,
    /// Those of them that are also told of each person who must reconnect.
    pub disconnections: Vec<&'static str>,
}

/// How far a delivery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It will be tried, or tried again.
    Waiting,
    /// It was taken.
    Delivered,
    /// It was tried for the last time, or its endpoint was disabled.
    Failed,
    /// Nobody has to be told any more.
    Dropped,
}

impl DeliveryState {
    /// All of them.
    pub const ALL: [DeliveryState; 4] =
        [DeliveryState::Waiting, DeliveryState::Delivered, DeliveryState::Failed, DeliveryState::Dropped];

    /// The stored word, which is also the API's.
    pub const fn as_str(self) -> &'static str {
        match self {
            DeliveryState::Waiting => "waiting",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Failed => "failed",
            DeliveryState::Dropped => "dropped",
        }
    }
}

/// One telling of one thing to one receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Its place in the order of commits.
    pub seq: u64,
    /// Its id.
    pub id: DeliveryId,
    /// `webhook`, `email`, or one of the operator's channels.
    pub channel: String,
    /// To whom: an endpoint, a subject, or [`OPERATOR`].
    pub target: String,
    /// What is told, by the id of its event or notice: the same for everybody and every try.
    pub message: String,
    /// What kind of event or notice it is.
    pub kind: String,
    /// The integration that it is about.
    pub integration: Option<IntegrationName>,
    /// The connection that it is about.
    pub connection: Option<ConnectionId>,
    /// The subject that it is about.
    pub subject: Option<SubjectId>,
    /// More about it; never a secret.
    pub document: Map<String, Value>,
    /// Those that are told in one go, by a name of their own.
    pub batch: Option<String>,
    /// How far it has come.
    pub state: DeliveryState,
    /// Tries that ended without success.
    pub tries: u64,
    /// When it is tried; none: another one is before it, or it is over.
    pub next_at: Option<Timestamp>,
    /// When it was tried last.
    pub last_at: Option<Timestamp>,
    /// What the receiver answered then, as a number.
    pub last_status: Option<u64>,
    /// What the receiver answered then, cut short, or why nothing came.
    pub last_detail: Option<String>,
    /// When what it tells happened.
    pub at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
}

macro_rules! delivery_columns {
    () => {
        "SELECT seq, id, channel, target, message, kind, integration, connection_id, subject, document, batch, state, \
         tries, next_at, last_at, last_status, last_detail, at, ended_at FROM deliveries "
    };
}
pub(crate) use delivery_columns;

fn read(row: &Row<'_>) -> Result<Delivery, StoreError> {
    let word = row.text(11)?;
    let state = DeliveryState::ALL.into_iter().find(|state| state.as_str() == word);
    Ok(Delivery {
        seq: row.count(0)?,
        id: row.parse(1)?,
        channel: row.text(2)?,
        target: row.text(3)?,
        message: row.text(4)?,
        kind: row.text(5)?,
        integration: row.opt_parse(6)?,
        connection: row.opt_parse(7)?,
        subject: row.opt_parse(8)?,
        document: row.json(9)?,
        batch: row.opt_text(10)?,
        state: state.ok_or_else(|| StoreError::damaged("the state of a delivery"))?,
        tries: row.count(12)?,
        next_at: row.opt_time(13)?,
        last_at: row.opt_time(14)?,
        last_status: row.opt_time(15)?.and_then(|status| u64::try_from(status.as_millis()).ok()),
        last_detail: row.opt_text(16)?,
        at: row.time(17)?,
        ended_at: row.opt_time(18)?,
    })
}
