//! What is told, to whom, in which words; decided by `lifecycle::advance`, written in the same transaction as what it reports.

use serde::{Deserialize, Serialize};

/// Kinds of notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// We have trouble connecting; please check.
    Warning,
    /// Disconnected; what depends on it is paused.
    Disconnected,
    /// The provider limits requests; we retry.
    RateLimited,
    /// The provider does not answer; we retry.
    Trouble,
    /// It works again.
    Recovered,
    /// A credential that nothing renews ends soon; bring another.
    Expiring,
    /// It was renewed (only for those who asked to be told).
    Refreshed,
    /// The operator must mend something.
    OperatorAlert,
}

impl NoticeKind {
    /// All kinds.
    pub const ALL: [NoticeKind; 8] = [
        NoticeKind::Warning,
        NoticeKind::Disconnected,
        NoticeKind::RateLimited,
        NoticeKind::Trouble,
        NoticeKind::Recovered,
        NoticeKind::Expiring,
        NoticeKind::Refreshed,
        NoticeKind::OperatorAlert,
    ];

    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            NoticeKind::Warning => "warning",
            NoticeKind::Disconnected => "disconnected",
            NoticeKind::RateLimited => "rate_limited",
            NoticeKind::Trouble => "trouble",
            NoticeKind::Recovered => "recovered",
            NoticeKind::Expiring => "expiring",
            NoticeKind::Refreshed => "refreshed",
            NoticeKind::OperatorAlert => "operator_alert",
        }
    }

    /// Whether it is for the subject; the rest is for the operator.
    pub const fn is_for_subject(self) -> bool {
        !matches!(self, NoticeKind::OperatorAlert)
    }

    /// Whether it asks the subject for an action, and so carries a reconnect link.
    pub const fn asks_for_action(self) -> bool {
        matches!(self, NoticeKind::Warning | NoticeKind::Disconnected | NoticeKind::Expiring)
    }

    /// The sentence for the subject, with the provider's name put in.
    pub fn message(self, provider: &str) -> String {
        match self {
            NoticeKind::Warning => format!("We have trouble connecting to {provider}; please check the connection."),
            NoticeKind::Disconnected => {
                format!("{provider} is disconnected and what depends on it is paused; reconnect now.")
            }
            NoticeKind::RateLimited => format!("{provider} is limiting requests; we retry by ourselves."),
            NoticeKind::Trouble => format!("{provider} does not answer; we retry by ourselves."),
            NoticeKind::Recovered => format!("{provider} works again."),
            NoticeKind::Expiring => {
                format!("The access to {provider} ends soon and nothing renews it; bring a new one.")
            }
            NoticeKind::Refreshed => format!("{provider} was renewed."),
            NoticeKind::OperatorAlert => format!("{provider} needs the operator's attention."),
        }
    }
}
