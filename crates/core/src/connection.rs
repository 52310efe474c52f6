//! A subject's grant through an integration to an account, and the life that it leads.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::grant::GrantFacts;
use crate::id::{AccountId, ConnectionId, IntegrationName, SubjectId};
use crate::lifetime::AccountHint;
use crate::notice::NoticeKind;
use crate::outcome::Class;
use crate::time::{Timestamp, millis, opt_millis};

/// A connection, without its tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// Its id; stays the same through every reconnect.
    pub id: ConnectionId,
    /// The integration that it goes through.
    pub integration: IntegrationName,
    /// Whose it is, in the application's words.
    pub subject: SubjectId,
    /// Who that is at the provider, where the provider tells.
    pub account: Option<Account>,
    /// A word of the application for it.
    pub label: Option<String>,
    /// Free data of the application.
    pub metadata: Map<String, Value>,
    /// What calling the provider needs besides the token.
    pub provider_data: Map<String, Value>,
    /// The scopes that were asked for.
    pub requested_scopes: Vec<String>,
    /// Its life: what `lifecycle::advance` reads and writes.
    pub life: Life,
    /// What the application last reported.
    pub last_use: Option<LastUse>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When anything of it last changed.
    pub updated_at: Timestamp,
    /// Grows by one with each change; for `if-match`.
    pub version: u64,
}

/// The person's identity at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The provider's id.
    pub id: AccountId,
    /// A name for people.
    pub name: Option<String>,
    /// Which of several token pairs of one grant this is (Slack's `bot` and `user`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

impl From<AccountHint> for Account {
    fn from(hint: AccountHint) -> Self {
        Account { id: hint.id, name: hint.name, kind: None }
    }
}

/// What the application or the proxy last reported of a use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUse {
    /// When.
    #[serde(with = "millis")]
    pub at: Timestamp,
    /// What came of it.
    pub outcome: UseOutcome,
}

/// What the provider's API said to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UseOutcome {
    /// It worked.
    Ok,
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 429.
    RateLimited,
    /// Anything else.
    Error,
}

/// Who must act, the counters, the episode and the schedule of a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Life {
    /// Who must act.
    pub status: Status,
    /// The grant's facts; none before the first grant and after a disconnect.
    pub grant: Option<GrantFacts>,
    /// Consecutive `invalid_grant`, `auth_rejected` and `unknown`.
    pub auth_failures: u32,
    /// Consecutive transient failures.
    pub transient_failures: u32,
    /// The time from the first failure after a success to the next success.
    pub episode: Option<Episode>,
    /// The latest failure, also after it was mended.
    pub last_failure: Option<LastFailure>,
    /// The latest successful refresh.
    #[serde(with = "opt_millis")]
    pub last_refreshed_at: Option<Timestamp>,
    /// Successful refreshes since the connection was made.
    pub refresh_count: u64,
    /// A sending of the stored refresh token whose outcome nobody knows.
    pub uncertain: Option<Uncertain>,
    /// Nothing is sent before this instant because of a failure; none: by the grant's own schedule.
    #[serde(with = "opt_millis")]
    pub next_attempt: Option<Timestamp>,
    /// Not even a forced refresh is sent before this instant: the provider's word, or an undecided sending.
    #[serde(with = "opt_millis")]
    pub not_before: Option<Timestamp>,
    /// The latest forced refresh or report that started one.
    #[serde(with = "opt_millis")]
    pub last_forced_at: Option<Timestamp>,
    /// The end of the access token that its subject has been reminded of, so that each end is told once.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "opt_millis")]
    pub end_told: Option<Timestamp>,
    /// When the person agreed at the provider to what the grant comes from; none for grants that were brought along.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "opt_millis")]
    pub granted_at: Option<Timestamp>,
    /// A verdict that the mass-verdict brake holds back; the connection reads as `connected`.
    pub suspect: Option<Suspect>,
}

/// Who must act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum Status {
    /// Nobody.
    Connected,
    /// The subject must reconnect.
    NeedsReauth {
        /// Why.
        reason: ReauthReason,
        /// Since when.
        #[serde(with = "millis")]
        since: Timestamp,
    },
    /// Nobody: ended on purpose.
    Disconnected {
        /// By whom.
        reason: DisconnectReason,
        /// Since when.
        #[serde(with = "millis")]
        since: Timestamp,
    },
}

impl Status {
    /// The stored word: `connected`, `needs_reauth`, `disconnected`.
    pub const fn word(&self) -> &'static str {
        match self {
            Status::Connected => "connected",
            Status::NeedsReauth { .. } => "needs_reauth",
            Status::Disconnected { .. } => "disconnected",
        }
    }

    /// Why the subject must reconnect, if that is so.
    pub const fn reason(&self) -> Option<ReauthReason> {
        match self {
            Status::NeedsReauth { reason, .. } => Some(*reason),
            Status::Connected | Status::Disconnected { .. } => None,
        }
    }
}

/// Why a subject must reconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReauthReason {
    /// The provider said that the refresh token is dead.
    RefreshTokenInvalid,
    /// The provider may have rotated and its answer never reached us.
    RefreshOutcomeLost,
    /// The provider kept refusing without saying why.
    AuthRejected,
    /// The access token ended and nothing can renew it.
    NoRefreshToken,
}

impl ReauthReason {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            ReauthReason::RefreshTokenInvalid => "refresh_token_invalid",
            ReauthReason::RefreshOutcomeLost => "refresh_outcome_lost",
            ReauthReason::AuthRejected => "auth_rejected",
            ReauthReason::NoRefreshToken => "no_refresh_token",
        }
    }

    /// Whether the access token is handed out while it lives: not after the subject may have withdrawn consent.
    pub const fn hands_out_live_token(self) -> bool {
        matches!(self, ReauthReason::RefreshOutcomeLost | ReauthReason::AuthRejected)
    }
}

impl fmt::Display for ReauthReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who ended a connection on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisconnectReason {
    /// The application, by API.
    Application,
    /// The subject.
    Subject,
    /// The operator.
    Operator,
}

impl DisconnectReason {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            DisconnectReason::Application => "application",
            DisconnectReason::Subject => "subject",
            DisconnectReason::Operator => "operator",
        }
    }
}

/// The time from the first failure after a success to the next success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    /// When it began; with the connection's id it names the episode.
    #[serde(with = "millis")]
    pub since: Timestamp,
    /// What has been told in it, each kind once.
    pub told: Vec<NoticeKind>,
}

/// The latest failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    /// When.
    #[serde(with = "millis")]
    pub at: Timestamp,
    /// Its class.
    pub class: Class,
    /// What the provider said, scrubbed, or what happened on the way.
    pub detail: String,
}

/// A sending of the stored refresh token without a decided outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uncertain {
    /// When the first undecided sending began.
    #[serde(with = "millis")]
    pub since: Timestamp,
    /// How many sendings had no decided outcome.
    pub sendings: u32,
}

/// A verdict held back by the mass-verdict brake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// Since when.
    #[serde(with = "millis")]
    pub since: Timestamp,
    /// What the verdict would be.
    pub reason: ReauthReason,
}

impl Life {
    /// The life of a connection that has just got `grant`.
    pub fn new(grant: GrantFacts) -> Self {
        Life {
            status: Status::Connected,
            grant: Some(grant),
            auth_failures: 0,
            transient_failures: 0,
            episode: None,
            last_failure: None,
            last_refreshed_at: None,
            refresh_count: 0,
            uncertain: None,
            next_attempt: None,
            not_before: None,
            last_forced_at: None,
            end_told: None,
            granted_at: None,
            suspect: None,
        }
    }

    /// The grant's generation; 0 where there has been none.
    pub fn generation(&self) -> u64 {
        self.grant.as_ref().map_or(0, |grant| grant.generation)
    }
}
