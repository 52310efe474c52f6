//! `evergrant completions`.

use clap::CommandFactory as _;

use super::console::print;
use super::error::Result;

/// For which shell.
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

impl Completions {
    /// Prints them.
    pub(super) fn run(&self) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Cli::command(), "evergrant", &mut script);
        print(&String::from_utf8_lossy(&script))
    }
}
