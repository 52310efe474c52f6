//! What others than the person are told of: the kinds of events that can go to webhooks.

use crate::notice::NoticeKind;

/// What can be sent, in the order of the documentation.
pub const KINDS: [&str; 26] = [
    "connection.connected",
    "connection.reconnected",
    "connection.imported",
    "connection.created",
    "connection.grant_replaced",
    "connection.refreshed",
    "connection.warning",
    "connection.disconnected",
    "connection.recovered",
    "connection.trouble",
    "connection.rate_limited",
    "connection.scopes_changed",
    "connection.expiring",
    "connection.operator_alert",
    "integration.misconfigured",
    "integration.mended",
    "integration.unavailable",
    "integration.secret_expiring",
    "integration.verdicts_suspended",
    "integration.no_refresh_token",
    "integration.short_lived_grants",
    "integration.grant_limit",
    "integration.idle_limit",
    "integration.notices_held",
    "channel.failed",
    "webhook.disabled",
];

/// What is sent to an endpoint that names no kinds, besides what a person's preferences add.
pub const DEFAULT_KINDS: [&str; 18] = [
    "connection.connected",
    "connection.warning",
    "connection.disconnected",
    "connection.recovered",
    "connection.scopes_changed",
    "connection.expiring",
    "connection.operator_alert",
    "integration.misconfigured",
    "integration.mended",
    "integration.unavailable",
    "integration.secret_expiring",
    "integration.verdicts_suspended",
    "integration.no_refresh_token",
    "integration.short_lived_grants",
    "integration.grant_limit",
    "integration.idle_limit",
    "integration.notices_held",
    "webhook.disabled",
];

/// Whether a kind is sent to endpoints that name none.
pub fn is_for_everybody(kind: &str) -> bool {
    DEFAULT_KINDS.contains(&kind)
}

/// The notice that a kind of event belongs to: a person's preferences speak of that.
pub fn notice_of(kind: &str) -> Option<NoticeKind> {
    let word = kind.strip_prefix("connection.")?;
    NoticeKind::ALL.into_iter().find(|kind| kind.is_for_subject() && kind.as_str() == word)
}

/// Whether it passes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permanence {
    /// It passes.
    Transient,
    /// Somebody has to act.
    Permanent,
}

impl Permanence {
    /// The word in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Permanence::Transient => "transient",
            Permanence::Permanent => "permanent",
        }
    }
}

/// Of trouble, whether it passes by itself; none of what is no trouble.
pub fn permanence(kind: &str) -> Option<Permanence> {
    match kind {
        "connection.disconnected" | "integration.misconfigured" | "webhook.disabled" => Some(Permanence::Permanent),
        "connection.warning" | "connection.trouble" | "connection.rate_limited" => Some(Permanence::Transient),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telling::{Channel, Preferences};

    #[test]
    fn what_goes_to_everybody_is_what_the_preferences_say_by_default() {
        for kind in DEFAULT_KINDS {
            assert!(KINDS.contains(&kind), "{kind}");
        }
        for kind in KINDS {
            if let Some(notice) = notice_of(kind) {
                let wanted = Preferences::default().wants(notice, Channel::Webhook);
                assert_eq!(is_for_everybody(kind), wanted, "{kind}");
            }
        }
    }
}
