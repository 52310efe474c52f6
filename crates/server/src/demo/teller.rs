//! Says on standard error what happens, as it happens: one short line each.
//!
//! It asks the API like any other program, and knows nothing that the API does not tell: events for what came to pass,
//! connections for what went wrong and was nobody's business yet.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::time::Duration;

use evergrant_testkit::http::Http;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;

/// How often it looks.
const EVERY: Duration = Duration::from_millis(500);

/// Tells until told to stop; what has happened before is not told.
pub(super) async fn tell(mut teller: Teller, clock: SharedClock, stop: CancellationToken) {
    teller.look().await;
    loop {
        tokio::select! {
            () = clock.sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
        for line in teller.look().await {
            // Nobody may be listening; life goes on.
            let _ = writeln!(std::io::stderr().lock(), "  {line}");
        }
    }
}

/// Somebody who looks on, and remembers what has been told.
pub(super) struct Teller {
    api: Http,
    /// The events that were listed last.
    told: HashSet<String>,
    /// The last failure of each connection: when it was.
    failures: HashMap<String, String>,
}

impl Teller {
    /// Who has told nothing yet.
    pub(super) fn new(api: Http) -> Self {
        Teller { api, told: HashSet::new(), failures: HashMap::new() }
    }

    /// What is new, as lines.
    async fn look(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for connection in self.items("/v1/connections?limit=100").await {
            lines.extend(self.failed(&connection));
        }
        for event in self.events().await {
            let link = if event["type"] == "connection.disconnected" { self.link(&event).await } else { None };
            lines.extend(line(&event, link.as_deref()));
        }
        lines
    }

    async fn items(&self, path: &str) -> Vec<Value> {
        let Ok(reply) = self.api.get(path).await else { return Vec::new() };
        match reply.json().get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        }
    }

    /// A failure that has not been told yet.
    fn failed(&mut self, connection: &Value) -> Option<String> {
        let at = connection.pointer("/last_failure/at")?.as_str()?;
        let before = self.failures.insert(connection["id"].as_str()?.to_owned(), at.to_owned());
        if before.as_deref() == Some(at) { None } else { failure(connection) }
    }

    /// The events that have not been told yet, oldest first.
    async fn events(&mut self) -> Vec<Value> {
        let mut items = self.items("/v1/events?limit=100").await;
        if items.is_empty() {
            return items;
        }
        items.reverse();
        let ids = items.iter().filter_map(|event| event["id"].as_str()).map(str::to_owned).collect();
        // Only what is still listed can come again.
        let told = std::mem::replace(&mut self.told, ids);
        items.retain(|event| event["id"].as_str().is_some_and(|id| !told.contains(id)));
        items
    }

    /// Where the subject of this event can reconnect, by the notice that tells him so.
    async fn link(&self, event: &Value) -> Option<String> {
        let path = format!("/v1/subjects/{}/notifications?unread=true", event["subject"].as_str()?);
        let notices = self.items(&path).await;
        let about_it = |notice: &&Value| notice["connection_id"] == event["connection_id"];
        notices.iter().filter(about_it).find_map(|notice| notice["reconnect_url"].as_str()).map(str::to_owned)
    }
}

/// `12:00:41  bob    `: the beginning of a line.
fn start(at: &Value, of: &Value) -> Option<String> {
    let at = at.as_str()?.get(11..19)?;
    let who = of["subject"].as_str().or(of["integration"].as_str()).unwrap_or_default();
    Some(format!("{at}  {who:<7}"))
}

/// What a failed refresh means to the person: nothing, most of the time.
fn failure(connection: &Value) -> Option<String> {
    let (failure, next) = (&connection["last_failure"], &connection["next_refresh_at"]);
    let start = start(&failure["at"], connection)?;
    let class = failure["class"].as_str()?.replace('_', " ");
    let detail = failure["detail"].as_str().map(|detail| format!(" ({detail})")).unwrap_or_default();
    let then = match next.as_str().and_then(|next| next.get(11..19)) {
        Some(next) => format!("nobody is bothered, next try at {next}"),
        None => "no further try by itself".to_owned(),
    };
    Some(format!("{start} not renewed: {class}{detail}; {then}"))
}

/// An event in words; `link` is where the subject can reconnect.
fn line(event: &Value, link: Option<&str>) -> Option<String> {
    let start = start(&event["at"], event)?;
    let kind = event["type"].as_str()?;
    let what = match (kind, link) {
        ("connection.refreshed", _) => format!("renewed, generation {}", event["data"]["generation"]),
        ("connection.disconnected", Some(link)) => format!("must reconnect: {link}"),
        ("connection.reconnected", _) => "connected again, under the same id".to_owned(),
        (kind, _) => kind.split_once('.').map_or(kind, |(_, what)| what).replace('_', " "),
    };
    Some(format!("{start} {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_one_short_line() {
        let event = |kind: &str| {
            json!({"id": "evt_1", "at": "2026-11-20T12:00:41Z", "type": kind, "subject": "carol",
                   "integration": "demo", "data": {"generation": 3}})
        };
        assert_eq!(line(&event("connection.refreshed"), None).unwrap(), "12:00:41  carol   renewed, generation 3");
        assert_eq!(
            line(&event("connection.disconnected"), Some("http://x/connect/y")).unwrap(),
            "12:00:41  carol   must reconnect: http://x/connect/y"
        );
        assert_eq!(line(&event("connection.rate_limited"), None).unwrap(), "12:00:41  carol   rate limited");
    }

    #[test]
    fn a_failure_says_when_the_next_try_is() {
        let connection = json!({"subject": "bob", "next_refresh_at": "2026-11-20T12:00:46Z",
                                "last_failure": {"at": "2026-11-20T12:00:41Z", "class": "rate_limited", "detail": "HTTP 429"}});
        assert_eq!(
            failure(&connection).unwrap(),
            "12:00:41  bob     not renewed: rate limited (HTTP 429); nobody is bothered, next try at 12:00:46"
        );
    }
}
