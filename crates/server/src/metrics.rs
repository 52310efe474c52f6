//! What the service counts: the names are part of the contract (`docs/api.md`, "Metrics").
//!
//! Labels are integrations and closed sets of words, never subjects, connections or what a caller sent: a label that
//! anybody can fill would fill the memory of whoever collects.

mod process;

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use evergrant_core::connection::UseOutcome;
use evergrant_core::id::IntegrationName;
use evergrant_core::outcome::Class;
use evergrant_store::{Nodes, Tally};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

type Labels = Vec<(&'static str, String)>;
type Count = Family<Labels, Counter>;
type Level = Family<Labels, Gauge>;

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    refreshes: Count,
    outcomes_lost: Count,
    refresh_durations: Family<Labels, Histogram, fn() -> Histogram>,
    token_requests: Count,
    connect_flows: Count,
    notices: Count,
    reports: Count,
    store_writes: Count,
    connections: Level,
    expiring: Level,
    breaker_open: Level,
    refresh_lag: Gauge<f64, AtomicU64>,
    nodes: Gauge,
    feed_lag: Gauge<f64, AtomicU64>,
    scrape: Mutex<()>,
}

/// What the latest look at the store and the kernel said; written into the levels before each scrape.
#[derive(Clone, Debug, Default)]
pub struct Levels {
    /// Connections by integration and status.
    pub connections: Vec<(IntegrationName, &'static str, u64)>,
    /// Access tokens that end within so many seconds, by integration.
    pub expiring: Vec<(IntegrationName, u64, u64)>,
    /// Whether the breaker of an integration is open.
    pub breakers: Vec<(IntegrationName, bool)>,
    /// How late the oldest due refresh is.
    pub refresh_lag: Duration,
    /// What the store has done since the start.
    pub tally: Tally,
    /// What is known of the nodes of the database; none where this process works on it alone.
    pub nodes: Option<Nodes>,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let mut whole = Registry::default();
        process::register(&mut whole);
        let registry = whole.sub_registry_with_prefix("evergrant");
        let durations: fn() -> Histogram = || Histogram::new([0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 90.0]);
        let mut metrics = Metrics {
            registry: Registry::default(),
            refreshes: Count::default(),
            outcomes_lost: Count::default(),
            refresh_durations: Family::new_with_constructor(durations),
            token_requests: Count::default(),
            connect_flows: Count::default(),
            notices: Count::default(),
            reports: Count::default(),
            store_writes: Count::default(),
            connections: Level::default(),
            expiring: Level::default(),
            breaker_open: Level::default(),
            refresh_lag: Gauge::default(),
            nodes: Gauge::default(),
            feed_lag: Gauge::default(),
            scrape: Mutex::new(()),
        };
        let m = &metrics;
        registry.register("refresh", "Refreshes that ended, by outcome", m.refreshes.clone());
        let what =
            "Grants that cannot be renewed because a provider's answer was lost on the way, not by a withdrawn consent";
        registry.register("refresh_outcome_lost", what, m.outcomes_lost.clone());
        let what = "From the first byte of a refresh to its outcome";
        registry.register("refresh_duration_seconds", what, m.refresh_durations.clone());
        registry.register("token_requests", "Calls for a token, by what was answered", m.token_requests.clone());
        registry.register("connections", "Connections by status", m.connections.clone());
        registry.register("tokens_expiring", "Access tokens that end within so many seconds", m.expiring.clone());
        registry.register("connect_flows", "Connect flows that ended, by result", m.connect_flows.clone());
        registry.register("notices", "Notices by kind, channel and result", m.notices.clone());
        let what = "How late the oldest due refresh is: the one number to alert on";
        registry.register("refresh_lag_seconds", what, m.refresh_lag.clone());
        registry.register("nodes_living", "Nodes of the database that live, this one among them", m.nodes.clone());
        let what = "How long it is since everything was heard that other nodes committed";
        registry.register("feed_lag_seconds", what, m.feed_lag.clone());
        registry.register("breaker_open", "Whether calls of an integration are held back", m.breaker_open.clone());
        registry.register("reports", "What callers reported of a token's use", m.reports.clone());
        registry.register("store_writes", "Transactions, by result", m.store_writes.clone());
        metrics.registry = whole;
        metrics
    }

    /// A refresh ended.
    pub fn refreshed(&self, integration: &IntegrationName, outcome: Class, took: Duration) {
        let name = integration.to_string();
        self.refreshes.get_or_create(&vec![("integration", name.clone()), ("outcome", outcome.to_string())]).inc();
        self.refresh_durations.get_or_create(&vec![("integration", name)]).observe(took.as_secs_f64());
    }

    /// A grant cannot be renewed any more because an answer never reached us: no consent was withdrawn.
    pub fn outcome_lost(&self, integration: &IntegrationName) {
        self.outcomes_lost.get_or_create(&vec![("integration", integration.to_string())]).inc();
    }

    /// A call for a token was answered: `ok`, or the problem's code.
    pub fn token_requested(&self, integration: &IntegrationName, result: &'static str) {
        let labels = vec![("integration", integration.to_string()), ("result", result.to_owned())];
        self.token_requests.get_or_create(&labels).inc();
    }

    /// A connect flow ended: `connected`, `denied`, `cancelled`, or a problem's code.
    pub fn connect_flow(&self, integration: &IntegrationName, result: &'static str) {
        let labels = vec![("integration", integration.to_string()), ("result", result.to_owned())];
        self.connect_flows.get_or_create(&labels).inc();
    }

    /// A notice or an event was told by a channel, or was not: `delivered`, `retried`, `failed`, `dropped`.
    pub fn told(&self, kind: &str, channel: &'static str, result: &'static str) {
        let kind = kind.strip_prefix("connection.").unwrap_or(kind).to_owned();
        let labels = vec![("kind", kind), ("channel", channel.to_owned()), ("result", result.to_owned())];
        self.notices.get_or_create(&labels).inc();
    }

    /// A caller reported a use.
    pub fn reported(&self, integration: &IntegrationName, outcome: UseOutcome) {
        let outcome = match outcome {
            UseOutcome::Ok => "ok",
            UseOutcome::Unauthorized => "unauthorized",
            UseOutcome::Forbidden => "forbidden",
            UseOutcome::RateLimited => "rate_limited",
            UseOutcome::Error => "error",
        };
        let labels = vec![("integration", integration.to_string()), ("outcome", outcome.to_owned())];
        self.reports.get_or_create(&labels).inc();
    }

    /// Sets the levels and writes everything in the text format of OpenMetrics; of integrations only those that `sees` sees.
    pub fn text(&self, levels: &Levels, sees: impl Fn(&str) -> bool) -> String {
        // Levels of one scrape must not be mixed with those of another.
        let _one_at_a_time = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        self.connections.clear();
        for (integration, status, count) in &levels.connections {
            let labels = vec![("integration", integration.to_string()), ("status", (*status).to_owned())];
            self.connections.get_or_create(&labels).set(i64::try_from(*count).unwrap_or(i64::MAX));
        }
        self.expiring.clear();
        for (integration, within, count) in &levels.expiring {
            let labels = vec![("integration", integration.to_string()), ("within", within.to_string())];
            self.expiring.get_or_create(&labels).set(i64::try_from(*count).unwrap_or(i64::MAX));
        }
        self.breaker_open.clear();
        for (integration, open) in &levels.breakers {
            self.breaker_open.get_or_create(&vec![("integration", integration.to_string())]).set(i64::from(*open));
        }
        self.refresh_lag.set(levels.refresh_lag.as_secs_f64());
        self.nodes.set(levels.nodes.map_or(1, |nodes| i64::from(nodes.living)));
        self.feed_lag.set(levels.nodes.map_or(0.0, |nodes| nodes.silence.as_secs_f64()));
        for (result, count) in &levels.tally.writes {
            raise(&self.store_writes.get_or_create(&vec![("result", (*result).to_owned())]), *count);
        }
        for (kind, count) in &levels.tally.notices {
            let labels = vec![("kind", *kind), ("channel", "in_app"), ("result", "written")];
            let labels = labels.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
            raise(&self.notices.get_or_create(&labels), *count);
        }
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text.split_inclusive('\n').filter(|line| integration_of(line).is_none_or(&sees)).collect()
    }
}

/// Counts on to what somebody else has counted.
fn raise(counter: &Counter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

/// The integration that a sample is about. Names of integrations hold nothing that would be escaped.
fn integration_of(line: &str) -> Option<&str> {
    let labels = line.split_once('{').filter(|_| !line.starts_with('#'))?.1;
    let label = labels.split(',').find_map(|label| label.strip_prefix("integration=\""))?;
    label.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_contract() {
        let metrics = Metrics::new();
        let strava: IntegrationName = "strava".parse().unwrap();
        metrics.refreshed(&strava, Class::Success, Duration::from_millis(120));
        metrics.token_requested(&strava, "ok");
        metrics.connect_flow(&strava, "connected");
        metrics.reported(&strava, UseOutcome::Ok);
        let levels = Levels {
            connections: vec![(strava.clone(), "connected", 3)],
            expiring: vec![(strava.clone(), 600, 1)],
            breakers: vec![(strava, false)],
            refresh_lag: Duration::from_millis(1500),
            tally: Tally { writes: [("ok", 1)].into(), notices: [("disconnected", 1)].into() },
            nodes: Some(Nodes { living: 3, silence: Duration::from_millis(250), trusted: true }),
        };
        assert!(!metrics.text(&levels, |_| false).contains("strava"));
        let text = metrics.text(&levels, |name| name == "strava");
        for line in [
            "evergrant_refresh_total{integration=\"strava\",outcome=\"success\"} 1",
            "evergrant_refresh_duration_seconds_count{integration=\"strava\"} 1",
            "evergrant_token_requests_total{integration=\"strava\",result=\"ok\"} 1",
            "evergrant_connections{integration=\"strava\",status=\"connected\"} 3",
            "evergrant_tokens_expiring{integration=\"strava\",within=\"600\"} 1",
            "evergrant_connect_flows_total{integration=\"strava\",result=\"connected\"} 1",
            "evergrant_notices_total{kind=\"disconnected\",channel=\"in_app\",result=\"written\"} 1",
            "evergrant_refresh_lag_seconds 1.5",
            "evergrant_nodes_living 3",
            "evergrant_feed_lag_seconds 0.25",
            "evergrant_breaker_open{integration=\"strava\"} 0",
            "evergrant_reports_total{integration=\"strava\",outcome=\"ok\"} 1",
            "evergrant_store_writes_total{result=\"ok\"} 1",
            "process_resident_memory_bytes ",
            "process_cpu_seconds_total ",
        ] {
            assert!(text.lines().any(|found| found.starts_with(line)), "{line}\n{text}");
        }
    }
}
