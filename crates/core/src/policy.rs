//! The numbers of the life of a connection: defaults, and overrides by the configuration, a provider and an integration.
//!
//! Names and defaults are fixed by `docs/lifecycle.md`. Spans are written in seconds, fractions allowed, so that tests
//! can scale time; counts are whole.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A span that is written as a number of seconds.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Deserialize)]
#[serde(try_from = "f64")]
pub struct Seconds(f64);

impl Serialize for Seconds {
    /// A whole number wherever it is one, as the API writes spans.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let span = self.duration();
        if span.subsec_nanos() == 0 {
            serializer.serialize_u64(span.as_secs())
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

impl Seconds {
    /// As a `Duration`.
    pub fn duration(self) -> Duration {
        Duration::from_secs_f64(self.0)
    }
}

impl TryFrom<f64> for Seconds {
    type Error = &'static str;
    fn try_from(seconds: f64) -> Result<Self, Self::Error> {
        // Ten years: longer is a mistake of units, and must not overflow an instant.
        if seconds.is_finite() && (0.0..=315_360_000.0).contains(&seconds) {
            Ok(Seconds(seconds))
        } else {
            Err("expected a number of seconds between 0 and 315360000")
        }
    }
}

impl From<Duration> for Seconds {
    fn from(span: Duration) -> Self {
        Seconds(span.as_secs_f64())
    }
}

macro_rules! policy {
    ($($(#[$doc:meta])* $name:ident: $kind:ident = $default:expr;)*) => {
        /// The numbers in force for one integration.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Policy { $($(#[$doc])* pub $name: policy!(@held $kind),)* }

        impl Default for Policy {
            fn default() -> Self { Policy { $($name: policy!(@value $kind, $default),)* } }
        }

        /// What one layer (configuration, provider, integration) says of the numbers; what it leaves out stays as it was.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct PolicyOverrides {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<policy!(@written $kind)>,)*
        }

        impl PolicyOverrides {
            /// The names of the numbers, in the order of the reference page.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];
        }

        impl Policy {
            /// This policy with what `layer` says put over it.
            #[must_use]
            pub fn with(mut self, layer: &PolicyOverrides) -> Self {
                $(if let Some(value) = layer.$name { self.$name = policy!(@taken $kind, value); })*
                self
            }

            /// All numbers, as one full layer.
            pub fn as_overrides(&self) -> PolicyOverrides {
                PolicyOverrides { $($name: Some(policy!(@shown $kind, self.$name)),)* }
            }
        }
    };
    (@held span) => { Duration }; (@held count) => { u32 }; (@held switch) => { bool };
    (@written span) => { Seconds }; (@written count) => { u32 }; (@written switch) => { bool };
    (@value span, $v:expr) => { Duration::from_secs($v) }; (@value $k:ident, $v:expr) => { $v };
    (@taken span, $v:expr) => { $v.duration() }; (@taken $k:ident, $v:expr) => { $v };
    (@shown span, $v:expr) => { Seconds::from($v) }; (@shown $k:ident, $v:expr) => { $v };
}

policy! {
    /// Whether due connections are refreshed by the service itself.
    background: switch = true;
    /// Background refresh begins when less than this remains of the access token's life (at most a third of it).
    margin: span = 600;
    /// What a caller wants at least, when it does not say (at most a third of the lifetime).
    min_ttl: span = 300;
    /// How long a caller waits for a refresh, when it does not say.
    wait: span = 10;
    /// `invalid_grant` in a row until the subject must reconnect.
    invalid_grant_limit: count = 1;
    /// `auth_rejected` and `unknown` in a row until the subject must reconnect.
    auth_failure_limit: count = 3;
    /// The next try after `auth_rejected` or `unknown`.
    auth_retry: span = 300;
    /// Transient failures in a row until `trouble` or `rate_limited` is told.
    trouble_after: count = 5;
    /// The first pause between provably unsent tries of one attempt.
    retry_min: span = 1;
    /// The longest such pause.
    retry_max: span = 30;
    /// The first pause between attempts after a transient failure.
    backoff_min: span = 60;
    /// The longest such pause.
    backoff_max: span = 900;
    /// The pause after a rate limit that does not say how long.
    rate_limit_wait: span = 60;
    /// How long a refresh token whose sending had no answer rests before it is sent again.
    replay_after: span = 60;
    /// Forced refreshes and reports start at most one refresh per connection in this time.
    force_interval: span = 60;
    /// How often a misconfigured integration is probed.
    probe_interval: span = 900;
    /// Limit for connecting and TLS.
    connect_timeout: span = 10;
    /// Limit from the first byte sent to the whole answer.
    answer_timeout: span = 90;
    /// How long a lease on a connection lasts without renewal.
    lease: span = 120;
    /// Refreshes of one integration under way at once.
    concurrency: count = 16;
    /// The mass-verdict brake: this many connections …
    brake_connections: count = 20;
    /// … and this share of them, in percent, …
    brake_share: count = 5;
    /// … within this time suspend the verdicts, …
    brake_window: span = 600;
    /// … and a sample is tried again after this.
    brake_retry: span = 1800;
    /// How long the read cache is trusted when the change feed is cut.
    cache_grace: span = 60;
    /// How long a reconnect link in a notice is good.
    link_ttl: span = 604_800;
}

impl Policy {
    /// For how long after a request was about to leave its answer may still reach somebody: nobody else sends meanwhile.
    /// 150 s, unless the lease or the answer may take longer.
    pub fn answered_within(&self) -> Duration {
        self.lease.max(self.answer_timeout + self.connect_timeout) * 5 / 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_overrides_only_what_it_names() {
        let layer: PolicyOverrides = serde_json::from_str(r#"{"margin": 0.5, "auth_failure_limit": 2}"#).unwrap();
        let policy = Policy::default().with(&layer);
        assert_eq!(policy.margin, Duration::from_millis(500));
        assert_eq!(policy.auth_failure_limit, 2);
        assert_eq!(policy.min_ttl, Duration::from_secs(300));
        assert_eq!(Policy::default().with(&policy.as_overrides()), policy);
    }

    #[test]
    fn an_unknown_name_or_an_impossible_number_is_refused() {
        assert!(serde_json::from_str::<PolicyOverrides>(r#"{"marginn": 1}"#).is_err());
        assert!(serde_json::from_str::<PolicyOverrides>(r#"{"margin": -1}"#).is_err());
        assert!(serde_json::from_str::<PolicyOverrides>(r#"{"margin": 1e12}"#).is_err());
    }
}
