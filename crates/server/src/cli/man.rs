//! `evergrant man`.

use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};

use super::console::print;
use super::error::{CliError, Result};

/// One page, or all.
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// The page of this command, such as `keys create` [default: that of the whole program]
    command: Vec<String>,
    /// Write the pages of all commands into this folder
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    out: Option<PathBuf>,
}

impl Man {
    /// Prints or writes them.
    pub(super) fn run(&self) -> Result<()> {
        let mut program = super::Cli::command();
        program.build();
        if let Some(folder) = &self.out {
            let failed = |why| CliError::File { file: folder.clone(), why };
            std::fs::create_dir_all(folder).map_err(failed)?;
            return write_all(&program, folder).map_err(failed);
        }
        let mut command = &program;
        for name in &self.command {
            let unknown = || CliError::Usage(format!("there is no command `{}`", self.command.join(" ")));
            command = command.find_subcommand(name).filter(|found| !found.is_hide_set()).ok_or_else(unknown)?;
        }
        let page = page(command).map_err(|why| CliError::Stream { stream: "standard output", why })?;
        print(&String::from_utf8_lossy(&page))
    }
}

fn page(command: &Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}

/// The page of a command and of those below it, as `evergrant-keys-create.1`. `help` has none: what it says is in the others.
fn write_all(command: &Command, folder: &Path) -> std::io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    std::fs::write(folder.join(format!("{name}.1")), page(command)?)?;
    let below = command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help");
    below.into_iter().try_for_each(|below| write_all(below, folder))
}
