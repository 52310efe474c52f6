//! Running other programs, with errors that name the command as a person would type it.

use std::ffi::OsStr;
use std::iter;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::Error;

/// The command line as text, for messages: the program without its folder.
pub fn text(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words = iter::once(name).chain(command.get_args()).map(OsStr::to_string_lossy);
    words.collect::<Vec<_>>().join(" ")
}

/// Runs it with this terminal's output and waits; anything but success is an error.
pub fn run(command: &mut Command) -> Result<(), Error> {
    let status = command.status().map_err(|source| Error::Start { command: text(command), source })?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Exit { command: text(command), status })
}

/// Runs it and returns its standard output; anything but success is an error.
pub fn output(command: &mut Command) -> Result<Vec<u8>, Error> {
    let output =
        command.stderr(Stdio::inherit()).output().map_err(|source| Error::Start { command: text(command), source })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(Error::Exit { command: text(command), status: output.status })
}

/// The cargo that runs this task, so that a toolchain chosen by `cargo +…` is kept.
pub fn cargo() -> Command {
    #[expect(clippy::disallowed_methods, reason = "cargo names itself to its children this way, and only this way")]
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    Command::new(cargo)
}
