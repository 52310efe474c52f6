//! The simulator, at full speed: the release build, which the README's first command needs too.

use std::process::ExitCode;

use crate::command;
use crate::error::Error;
use crate::metadata::Workspace;

/// Builds it and hands everything on to it.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode, Error> {
    let mut cargo = command::cargo();
    cargo.args(["run", "--quiet", "--locked", "--release", "-p", "evergrant-simulator", "--"]).args(arguments);
    cargo.current_dir(&workspace.root);
    command::run(&mut cargo)?;
    Ok(ExitCode::SUCCESS)
}
