//! Says on standard error what happens, as it happens: one short line an event.
//!
//! It asks the API for events like any other program, and knows nothing that the API does not tell.

use std::collections::HashSet;
use std::time::Duration;

use evergrant_testkit::http::Http;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;

/// How often it looks.
const EVERY: Duration = Duration::from_millis(500);

/// Tells until told to stop; what has happened before is not told.
pub(super) async fn tell(api: Http, clock: SharedClock, stop: CancellationToken) {
    let mut told = HashSet::new();
    latest(&api, &mut told).await;
    loop {
        tokio::select! {
            () = clock.sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
        for event in latest(&api, &mut told).await {
            if let Some(line) = line(&event) {
                eprintln!("{line}");
            }
        }
    }
}

/// The events that have not been told yet, oldest first.
async fn latest(api: &Http, told: &mut HashSet<String>) -> Vec<Value> {
    let Ok(reply) = api.get("/v1/events?limit=100").await else { return Vec::new() };
    let mut page = reply.json();
    let Some(Value::Array(mut items)) = page.get_mut("items").map(Value::take) else { return Vec::new() };
    items.reverse();
    let ids: HashSet<String> = items.iter().map(id).collect();
    items.retain(|event| !told.contains(&id(event)));
    // Only what is still listed can come again.
    *told = ids;
    items
}

fn id(event: &Value) -> String {
    event["id"].as_str().unwrap_or_default().to_owned()
}

/// `12:00:41  alice  refreshed`.
fn line(event: &Value) -> Option<String> {
    let at = event["at"].as_str()?.get(11..19)?;
    let kind = event["type"].as_str()?;
    let who = event["subject"].as_str().or(event["integration"].as_str()).unwrap_or("");
    let what = kind.split_once('.').map_or(kind, |(_, what)| what).replace('_', " ");
    let more = ["outcome", "class", "reason", "kind", "message", "detail"];
    let more: Vec<&str> = more.iter().filter_map(|name| event["data"][*name].as_str()).collect();
    let more = if more.is_empty() { String::new() } else { format!("  ({})", more.join("; ")) };
    Some(format!("  {at}  {who:<7} {what}{more}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_one_short_line() {
        let event = json!({"id": "evt_1", "at": "2026-11-20T12:00:41Z", "type": "connection.needs_reauth", "subject": "carol",
                           "integration": "demo", "data": {"reason": "refresh_token_invalid"}});
        assert_eq!(line(&event).unwrap(), "  12:00:41  carol   needs reauth  (refresh_token_invalid)");
    }
}
