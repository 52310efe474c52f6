//! `evergrant sweep`: one pass over what is due. The service does it; here it is waited for and told.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::client::Route;
use super::console::Console;
use super::error::Result;
use super::remote::Remote;
use super::table::{Table, cell, plain};

/// How long a sweep of very many may take.
const LONGEST: Duration = Duration::from_secs(3600);

/// How much is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Sweep {
    /// List what became of each connection
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Sweep {
    /// Sweeps.
    pub(super) async fn run(self, console: &Console) -> Result<()> {
        let client = self.remote.client(console)?;
        let bar = bar(console);
        let route = Route::v1(&["sweep"]).with("verbose", self.verbose.then_some(true)).patient(LONGEST);
        let answer = client.post(route, &json!({})).await;
        bar.finish_and_clear();
        console.show(&answer?, told)
    }
}

/// The service tells how many were due only when it is done: until then the bar shows that it is at work, and how long.
fn bar(console: &Console) -> ProgressBar {
    if !console.is_lively() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} refreshing what is due  {elapsed}");
    let bar = ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
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
    outcomes.or("Nothing was due.") + &each
}
