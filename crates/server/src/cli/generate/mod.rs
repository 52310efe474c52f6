//! `evergrant generate`, hidden: prints the pages that the program writes about itself, as they are checked in under `docs/`.

mod commands;

use clap::CommandFactory as _;

use super::console::print;
use super::error::Result;

/// Which page.
#[derive(Clone, Copy, Debug, clap::Subcommand)]
pub(crate) enum Generate {
    /// docs/openapi.json
    Openapi,
    /// docs/configuration.md
    Configuration,
    /// docs/cli.md
    Cli,
    /// docs/providers/, as an object of files and texts
    Providers,
}

impl Generate {
    /// Prints it.
    pub(super) fn run(self) -> Result<()> {
        match self {
            Generate::Openapi => print(&format!("{:#}\n", serde_json::json!(crate::http::document()))),
            Generate::Configuration => print(&crate::config::reference()),
            Generate::Cli => print(&commands::page(super::Cli::command())),
            Generate::Providers => print(&serde_json::json!(super::providers::pages()?).to_string()),
        }
    }
}
