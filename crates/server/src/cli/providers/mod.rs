//! `evergrant providers`: the catalogue that is built into this program. Needs no service.

mod classify;
mod entries;

use std::path::PathBuf;

use serde_json::{Value, json};

use super::console::Console;
use super::error::{CliError, Result};
use super::table::{Table, cell, fields};
use classify::Classify;

/// What to do with the catalogue.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Providers {
    /// List the entries of the catalogue
    List {
        /// Only those in whose id, name or category this text is found
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
    },
    /// Show one entry, with all that it inherits
    Show {
        /// The entry's id
        id: String,
    },
    /// Check the built-in catalogue, or files; ends with 1 if there is something to mend
    Lint {
        /// Files of entries; they may inherit from each other and from built-in ones [default: the built-in catalogue]
        files: Vec<PathBuf>,
    },
    /// Say what the service would make of an answer of a provider's token endpoint, whose body is read from standard input
    Classify(Classify),
}

const COLUMNS: [(&str, &str); 5] =
    [("id", "/id"), ("name", "/name"), ("category", "/category"), ("kind", "/kind"), ("verified", "/verified")];
const FIRST: [&str; 8] = ["id", "name", "kind", "category", "notes", "authorize_url", "token_url", "userinfo_url"];

impl Providers {
    /// Does it.
    pub(super) fn run(self, console: &Console) -> Result<()> {
        match self {
            Providers::List { search } => {
                let items = entries::all()?.into_iter().map(|entry| json!(*entry)).filter(|entry| fits(entry, &search));
                let list = json!({ "items": items.collect::<Vec<Value>>(), "next_cursor": null });
                console.show(&list, |list| Table::of_items(list, &COLUMNS).or("No entry."))
            }
            Providers::Show { id } => {
                let entry = json!(*entries::get(&id)?);
                console.show(&entry, |entry| fields(entry, &FIRST))
            }
            Providers::Lint { files } => lint(&files, console),
            Providers::Classify(classify) => classify.run(console),
        }
    }
}

fn fits(entry: &Value, search: &Option<String>) -> bool {
    let Some(search) = search.as_ref().map(|search| search.to_lowercase()) else { return true };
    ["id", "name", "category"].iter().any(|field| cell(&entry[*field]).to_lowercase().contains(&search))
}

fn lint(files: &[PathBuf], console: &Console) -> Result<()> {
    let findings = entries::lint(files)?;
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
