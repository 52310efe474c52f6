//! `evergrant providers`: the catalogue that is built into this program. Needs no service.

mod classify;
mod discover;
mod entries;
mod page;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::console::Console;
use super::error::{CliError, Result};
use super::table::{Table, cell};
use classify::Classify;
use discover::Discover;

/// What to do with the catalogue.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Providers {
    /// List the entries of the catalogue
    List {
        /// Only those in whose id, name or category this text is found
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        #[command(flatten)]
        over: Over,
    },
    /// Show one entry: how to register a client, what is asked for, how long tokens live, and what goes wrong
    Show {
        /// The entry's id
        id: String,
        #[command(flatten)]
        over: Over,
    },
    /// Check the built-in catalogue, or files; ends with 1 if there is something to mend
    Lint {
        /// Files of entries; they may inherit from each other and from built-in ones [default: the built-in catalogue]
        files: Vec<PathBuf>,
        /// Accept plain http on loopback, as a service does that may reach private networks
        #[arg(long)]
        allow_private_networks: bool,
    },
    /// Write an entry from what an authorization server says of itself (RFC 8414, OpenID Connect Discovery)
    Discover(Discover),
    /// Say what the service would make of an answer of a provider's token endpoint, whose body is read from standard input
    Classify(Classify),
}

const COLUMNS: [(&str, &str); 5] =
    [("id", "/id"), ("name", "/name"), ("category", "/category"), ("kind", "/kind"), ("verified", "/verified")];

/// Entries of one's own.
#[derive(Debug, clap::Args)]
pub(crate) struct Over {
    /// A folder of entries that are read over the built-in ones
    #[arg(long, value_name = "FOLDER", env = "EVERGRANT_CATALOG", hide_env_values = true)]
    catalog: Option<PathBuf>,
}

impl Over {
    fn folder(&self) -> Option<&Path> {
        self.catalog.as_deref()
    }
}

impl Providers {
    /// Does it.
    pub(super) async fn run(self, console: &Console) -> Result<()> {
        match self {
            Providers::List { search, over } => {
                let all = entries::all(over.folder())?;
                let items: Vec<Value> =
                    all.iter().map(|entry| json!(**entry)).filter(|entry| fits(entry, &search)).collect();
                let of_items = |list: &Value| Table::of_items(&json!({ "items": list }), &COLUMNS).or("No entry.");
                console.show(&Value::Array(items), of_items)
            }
            Providers::Show { id, over } => {
                let entry = entries::get(&id, over.folder())?;
                console.show(&json!(*entry), |_| page::page(&entry))
            }
            Providers::Lint { files, allow_private_networks } => {
                lint(&entries::lint(&files, allow_private_networks)?, console)
            }
            Providers::Discover(discover) => discover.run(console).await,
            Providers::Classify(classify) => classify.run(console),
        }
    }
}

/// The pages under `docs/providers/`, by their files' names: one for each built-in entry, and a list of them.
pub(super) fn pages() -> Result<BTreeMap<String, String>> {
    let all = entries::all(None)?;
    let mut list = String::from(
        "# Providers\n\nPrinted by `cargo xtask generate` from the files in `catalog/`. `evergrant providers show ID` prints each of them.\n\n\
         | provider | id | category |\n| --- | --- | --- |\n",
    );
    let mut pages = BTreeMap::new();
    for entry in &all {
        let id = entry.id.as_ref().map_or("", |id| id.as_str());
        let _ = writeln!(list, "| [{}]({id}.md) | `{id}` | {} |", entry.name, entry.category);
        pages.insert(format!("{id}.md"), page::page(entry));
    }
    pages.insert("README.md".to_owned(), list);
    Ok(pages)
}

fn fits(entry: &Value, search: &Option<String>) -> bool {
    let Some(search) = search.as_ref().map(|search| search.to_lowercase()) else { return true };
    ["id", "name", "category"].iter().any(|field| cell(&entry[*field]).to_lowercase().contains(&search))
}

fn lint(findings: &[entries::Finding], console: &Console) -> Result<()> {
    let document = json!({ "ok": findings.is_empty(), "items": findings });
    console.show(&document, |document| {
        let line = |finding: &Value| {
            format!("{}:{}: {}\n", cell(&finding["file"]), cell(&finding["line"]), cell(&finding["finding"]))
        };
        let lines: String = document["items"].as_array().into_iter().flatten().map(line).collect();
        if lines.is_empty() { "Nothing to mend.\n".to_owned() } else { lines }
    })?;
    if findings.is_empty() { Ok(()) } else { Err(CliError::FoundWrong) }
}
