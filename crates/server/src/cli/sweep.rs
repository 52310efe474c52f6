//! `evergrant sweep`: one pass over what is due. The service does it; here it is waited for and told.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::client::{Client, Route};
use super::console::Console;
use super::error::Result;
use super::remote::Remote;
use super::table::{Table, cell, plain};
use crate::clock::{Clock as _, SystemClock};

/// How long a sweep of very many may take.
const LONGEST: Duration = Duration::from_secs(3600);

/// How often the bar moves.
const TICK: Duration = Duration::from_millis(250);

/// How much is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Sweep {
    /// List what became of each connection
    #[arg(long)]
    verbose: bool,
    /// Only say what is due; nothing is sent
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Sweep {
    /// Sweeps.
    pub(super) async fn run(self, console: &Console) -> Result<()> {
        let client = self.remote.client(console)?;
        let route = Route::v1(&["sweep"]).with("verbose", self.verbose.then_some(true)).patient(LONGEST);
        let route = route.with("dry_run", self.dry_run.then_some(true));
        let nothing = json!({});
        let sweep = client.post(route, &nothing);
        let answer = if console.is_lively() && !self.dry_run { watched(&client, sweep).await? } else { sweep.await? };
        console.show(&answer, told)
    }
}

/// Waits for the sweep with a bar: as long as what was due when it began, moved by what the service counts meanwhile.
async fn watched(client: &Client, sweep: impl Future<Output = Result<Value>>) -> Result<Value> {
    let due = client.post(Route::v1(&["sweep"]).with("dry_run", Some(true)), &json!({})).await?;
    let style = ProgressStyle::with_template("{spinner} {bar:40} {pos} of {len}  {elapsed}");
    let bar = ProgressBar::new(due["due"].as_u64().unwrap_or_default());
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let before = refreshes(client).await;
    let mut sweep = std::pin::pin!(sweep);
    let answer = loop {
        tokio::select! {
            answer = &mut sweep => break answer,
            () = SystemClock.sleep(TICK) => {
                let done = refreshes(client).await.saturating_sub(before);
                bar.set_position(done.min(bar.length().unwrap_or(done)));
            }
        }
    };
    bar.finish_and_clear();
    answer
}

/// How many refreshes have ended in the last day, by the service's count.
async fn refreshes(client: &Client) -> u64 {
    // A key that may sweep need not be one that may count: then the bar stands still.
    let stats = client.get(Route::v1(&["stats"])).await.unwrap_or_default();
    let integrations = stats["integrations"].as_array().into_iter().flatten();
    let outcomes = integrations.flat_map(|one| one["outcomes"].as_array().into_iter().flatten());
    outcomes.filter_map(|outcome| outcome["count"].as_u64()).sum()
}

fn told(answer: &Value) -> String {
    let mut outcomes = Table::new(&["outcome", "connections"]);
    for (outcome, count) in answer["outcomes"].as_object().into_iter().flatten() {
        outcomes.row([plain(outcome).into_owned(), cell(count)]);
    }
    let each = match &answer["connections"] {
        Value::Array(items) if !items.is_empty() => {
            let columns = [("connection", "/connection_id"), ("outcome", "/outcome")];
            format!("\n{}", Table::of_items(&json!({ "items": items }), &columns).text())
        }
        _ => String::new(),
    };
    let counted = match answer["due"].as_u64() {
        Some(due @ 1..) => format!("{due} due, and nothing was sent.\n"),
        _ => "Nothing was due.\n".to_owned(),
    };
    (if outcomes.is_empty() { counted } else { outcomes.text() }) + &each
}
