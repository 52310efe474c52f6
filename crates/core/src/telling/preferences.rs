//! What a person wants to be told by which channel.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::notice::NoticeKind;

/// Channels that a person can switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The list of notices, shown by the application.
    InApp,
    /// A mail to the person.
    Email,
    /// The application's own endpoints.
    Webhook,
}

/// All of them.
pub const CHANNELS: [Channel; 3] = [Channel::InApp, Channel::Email, Channel::Webhook];

impl Channel {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Channel::InApp => "in_app",
            Channel::Email => "email",
            Channel::Webhook => "webhook",
        }
    }
}

/// Kind → channel → on or off; what is left out is as by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Preferences(pub BTreeMap<String, BTreeMap<String, bool>>);

impl Preferences {
    /// What was said of it, if anything.
    pub fn said(&self, kind: NoticeKind, channel: Channel) -> Option<bool> {
        self.0.get(kind.as_str()).and_then(|channels| channels.get(channel.as_str())).copied()
    }

    /// Whether it is wanted.
    pub fn wants(&self, kind: NoticeKind, channel: Channel) -> bool {
        self.said(kind, channel).unwrap_or_else(|| by_default(kind, channel))
    }

    /// These with one switched.
    #[must_use]
    pub fn with(mut self, kind: NoticeKind, channel: Channel, wanted: bool) -> Self {
        self.0.entry(kind.as_str().to_owned()).or_default().insert(channel.as_str().to_owned(), wanted);
        self
    }

    /// Every kind and channel, as it is or by default.
    #[must_use]
    pub fn whole(&self) -> Self {
        let kinds = NoticeKind::ALL.into_iter().filter(|kind| kind.is_for_subject());
        let channels = |kind: NoticeKind| {
            CHANNELS.iter().map(|channel| (channel.as_str().to_owned(), self.wants(kind, *channel))).collect()
        };
        Preferences(kinds.map(|kind| (kind.as_str().to_owned(), channels(kind))).collect())
    }
}

/// First in the application, and by mail only when something has to be done that nobody else can do.
fn by_default(kind: NoticeKind, channel: Channel) -> bool {
    match (kind, channel) {
        (NoticeKind::Refreshed, _) => false,
        (_, Channel::InApp) => true,
        (NoticeKind::Disconnected | NoticeKind::Expiring, _) => true,
        (NoticeKind::Warning | NoticeKind::Recovered, Channel::Webhook) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_said_is_as_the_lifecycle_has_it() {
        let all = Preferences::default().whole();
        let is = |kind: &str, channel: &str| all.0[kind][channel];
        assert!(is("disconnected", "in_app") && is("disconnected", "email") && is("disconnected", "webhook"));
        assert!(is("warning", "in_app") && !is("warning", "email") && is("warning", "webhook"));
        assert!(is("trouble", "in_app") && !is("trouble", "email") && !is("trouble", "webhook"));
        assert!(is("recovered", "webhook") && !is("recovered", "email"));
        assert!(!is("refreshed", "in_app"));
        assert!(!all.0.contains_key("operator_alert"));
    }
}
