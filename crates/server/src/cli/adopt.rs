//! `evergrant adopt`: the operator's word that a restored or copied database counts.

use evergrant_core::time::Timestamp;
use serde_json::{Value, json};

use super::client::Route;
use super::console::Console;
use super::error::Result;
use super::place::Place;
use super::table::{Table, cell, plain};

/// How the database is adopted.
#[derive(Debug, clap::Args)]
pub(crate) struct Adopt {
    /// Only say what it would do
    #[arg(long)]
    dry_run: bool,
    /// When another service last worked with these grants, such as 2026-12-31T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_rfc3339)]
    last_ran: Option<Timestamp>,
    #[command(flatten)]
    place: Place,
}

impl Adopt {
    /// Adopts.
    pub(super) async fn run(self, console: &Console) -> Result<()> {
        let client = self.place.open(console).await?;
        let mut order = json!({ "dry_run": self.dry_run });
        if let Some(last_ran) = self.last_ran {
            order["last_ran"] = json!(last_ran);
        }
        let answer = client.post(Route::v1(&["quarantine", "adopt"]), &order).await;
        client.close().await;
        console.show(&answer?, told)
    }
}

fn told(answer: &Value) -> String {
    if answer["quarantine"].is_null() {
        return "Nothing is to be adopted: the database is the latest of this deployment.\n".to_owned();
    }
    let columns = [
        ("connection", "/connection_id"),
        ("integration", "/integration"),
        ("subject", "/subject"),
        ("standing", "/standing"),
    ];
    let mut text = Table::of_items(&json!({ "items": answer["connections"] }), &columns).text();
    for (standing, count) in answer["counts"].as_object().into_iter().flatten() {
        text += &format!("{}: {}\n", plain(standing), cell(count));
    }
    let unknown = answer["unknown_connections"].as_array().map_or(0, Vec::len);
    if unknown > 0 || answer["lost_connects"].as_u64() > Some(0) {
        text += &format!(
            "made since and not in this database: {unknown} connections, {} connects\n",
            cell(&answer["lost_connects"])
        );
    }
    text += match answer["quarantined"].as_bool() {
        Some(true) => "Nothing was adopted yet. Live tokens are served; nothing is refreshed.\n",
        _ => "Adopted: refreshes go on.\n",
    };
    text
}
