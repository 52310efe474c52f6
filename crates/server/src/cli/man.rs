//! `evergrant man`.

use std::path::PathBuf;

use clap::CommandFactory as _;

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
            return clap_mangen::generate_to(program, folder).map_err(failed);
        }
        let mut command = &program;
        for name in &self.command {
            let unknown = || CliError::Usage(format!("there is no command `{}`", self.command.join(" ")));
            command = command.find_subcommand(name).filter(|found| !found.is_hide_set()).ok_or_else(unknown)?;
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(command.clone())
            .render(&mut page)
            .map_err(|why| CliError::Stream { stream: "standard output", why })?;
        print(&String::from_utf8_lossy(&page))
    }
}
