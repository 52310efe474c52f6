//! What can stop a task before it has a verdict. A check that finds something is not an error: it is a
//! [`Finding`](crate::check::Finding).

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why a task could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program could not be started at all.
    #[error("`{command}` could not be started: {source}")]
    Start {
        /// The command line as a person would type it.
        command: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A program ran and said that it failed.
    #[error("`{command}` failed ({status}); what it said stands above")]
    Exit {
        /// The command line as a person would type it.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// A file or folder could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The output of a child process broke off.
    #[error("the output of `{command}` could not be read: {source}")]
    Output {
        /// The command line as a person would type it.
        command: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// `cargo metadata` answered something else than expected.
    #[error("the answer of `cargo metadata` is not understood: {0}")]
    Metadata(#[from] serde_json::Error),
    /// The workspace's `Cargo.toml` is not TOML.
    #[error("Cargo.toml: {0}")]
    Manifest(#[from] toml::de::Error),
    /// The program printed an empty page about itself.
    #[error("`{command}` printed nothing")]
    Empty {
        /// The command line as a person would type it.
        command: String,
    },
    /// What it printed is no object of files and texts.
    #[error("`evergrant generate providers` printed no object of files and texts")]
    NoPages,
    /// The compiler did not say for which machine it builds.
    #[error("`rustc -vV` names no host")]
    NoHost,
    /// There is no such fuzz target.
    #[error("there is no fuzz target `{name}`; `cargo xtask fuzz --list` names them")]
    NoTarget {
        /// What was asked for.
        name: String,
    },
    /// Something the tests need is missing, and cannot be installed from here.
    #[error("the tests need what this machine lacks:\n{0}")]
    Missing(crate::needs::Lacking),
}
