//! Why a command did not do what it was asked: what happened, what was kept, what to do next, and the exit code.

use std::path::PathBuf;

use evergrant_core::catalogue::Fault;
use evergrant_store::{BackupError, OpenError};
use serde_json::{Value, json};

use super::client::Unreachable;
use super::exit::Exit;
use super::problem::Problem;
use crate::app::StartError;
use crate::config::{ConfigError, SetBy};
use crate::demo::DemoError;

/// A command that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The service answered with a problem.
    #[error("{0}")]
    Problem(Problem),
    /// The service did not answer.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The configuration is refused.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// No key to show to the service.
    #[error(
        "this needs an API key: put one into the variable EVERGRANT_API_KEY, or into a file named by --api-key-file. \
         `evergrant init` prints the first one, `evergrant keys create` makes more"
    )]
    NoApiKey,
    /// What was typed cannot be.
    #[error("{0}")]
    Usage(String),
    /// A file cannot be read or written.
    #[error("{file}: {why}. Name another one, or mend that", file = file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// Standard input or output does not work.
    #[error("{stream} does not work: {why}")]
    Stream {
        /// Which.
        stream: &'static str,
        /// What the system said.
        why: std::io::Error,
    },
    /// Something is already there.
    #[error("{file} is already there; nothing was changed. {next}", file = file.display())]
    AlreadyThere {
        /// The file.
        file: PathBuf,
        /// What to do.
        next: &'static str,
    },
    /// No such thing.
    #[error("{0}")]
    NotFound(String),
    /// Nothing has been made here yet.
    #[error(
        "there is no installation in {folder} yet. Make one with `evergrant init`, name the right one with --config or \
         --data-dir, or name a running service with --url", folder = folder.display()
    )]
    NoInstallation {
        /// The data folder.
        folder: PathBuf,
    },
    /// A running service holds the data folder.
    #[error(
        "{0}. If it is the service itself, ask it: give its address with --url or EVERGRANT_URL, and an API key in \
         EVERGRANT_API_KEY. Nothing was changed"
    )]
    Held(String),
    /// A running service holds the data folder, and it must not.
    #[error(
        "{0}. A key from another place needs a stop: stop the service, run this again (it takes a moment), and start the \
         service with the new key. Nothing was changed"
    )]
    HeldForKey(String),
    /// A backup was not made or not put back.
    #[error("{0}")]
    Backup(#[from] BackupError),
    /// The installation does not open.
    #[error("{0}")]
    Start(StartError),
    /// The catalogue in this binary is wrong, or a file of it.
    #[error("{0}")]
    Catalogue(#[from] Fault),
    /// The demo did not come about.
    #[error("{0}")]
    Demo(DemoError),
    /// The service, open here, refused or could not do it.
    #[error("{0}")]
    Refused(String),
    /// A refresh ran and brought no token; its document has been shown.
    #[error("{what}")]
    NotRefreshed {
        /// What happened and what to do.
        what: String,
        /// Who has to do it.
        exit: Exit,
    },
    /// Some of what was looked at is wrong; what and why has been told.
    #[error("something is wrong; see above")]
    FoundWrong,
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(error) => CliError::Config(error),
            error => CliError::Start(error),
        }
    }
}

impl From<DemoError> for CliError {
    fn from(error: DemoError) -> Self {
        match error {
            DemoError::Service(error) => error.into(),
            error => CliError::Demo(error),
        }
    }
}

/// What most commands end with.
pub(crate) type Result<T> = std::result::Result<T, CliError>;

impl CliError {
    /// The exit code.
    pub(super) fn exit(&self) -> Exit {
        match self {
            CliError::Problem(problem) => problem.exit(),
            CliError::NotRefreshed { exit, .. } => *exit,
            CliError::Unreachable(_) => Exit::TryLater,
            CliError::Config(ConfigError::BadValue { set_by: SetBy::Flag(_), .. }) => Exit::Usage,
            CliError::Config(_) => Exit::NeedsOperator,
            CliError::NoApiKey | CliError::Usage(_) => Exit::Usage,
            CliError::File { .. } | CliError::Stream { .. } | CliError::AlreadyThere { .. } => Exit::Failed,
            CliError::NotFound(_) | CliError::NoInstallation { .. } => Exit::NotFound,
            CliError::Held(_) | CliError::HeldForKey(_) => Exit::TryLater,
            CliError::Start(error) if error.may_pass() => Exit::TryLater,
            CliError::Backup(BackupError::Open(OpenError::InUse { .. })) => Exit::TryLater,
            CliError::Backup(BackupError::Open(_) | BackupError::Damaged { .. }) => Exit::NeedsOperator,
            CliError::Backup(BackupError::Missing { .. }) => Exit::NotFound,
            CliError::Backup(BackupError::AlreadyThere { .. } | BackupError::File { .. }) => Exit::Failed,
            CliError::Start(_) => Exit::NeedsOperator,
            CliError::Catalogue(_) | CliError::Demo(_) | CliError::Refused(_) | CliError::FoundWrong => Exit::Failed,
        }
    }

    /// The failure as the one document of `--json`: the API's own, or one of the same form.
    pub(super) fn document(&self) -> Value {
        if let CliError::Problem(problem) = self {
            return problem.document().clone();
        }
        let (code, title, action) = match (self, self.exit()) {
            (CliError::AlreadyThere { .. } | CliError::Backup(BackupError::AlreadyThere { .. }), _) => {
                ("conflict", "It is already there", "fix_request")
            }
            (CliError::File { .. } | CliError::Backup(BackupError::File { .. }), _) => {
                ("file", "A file cannot be read or written", "fix_request")
            }
            (_, Exit::Usage) => ("wrong_usage", "This cannot be asked so", "fix_request"),
            (_, Exit::NotFound) => ("not_found", "There is no such thing", "fix_request"),
            (_, Exit::NeedsOperator) => ("refused", "The operator must act", "fix_integration"),
            (_, Exit::TryLater) => ("try_later", "It may work later", "retry"),
            (_, Exit::Done | Exit::Failed | Exit::NeedsSubject) => ("failed", "It failed", "contact_support"),
        };
        json!({ "code": code, "title": title, "detail": self.to_string(), "action": action })
    }

    /// Whether the one document has been printed before this was found out: what was found is the document.
    pub(super) fn is_told(&self) -> bool {
        matches!(self, CliError::FoundWrong | CliError::NotRefreshed { .. })
    }

    /// Whether the reader of standard output has gone: then there is nobody to tell, and nothing is wrong.
    pub(super) fn is_closed_output(&self) -> bool {
        matches!(self, CliError::Stream { why, .. } if why.kind() == std::io::ErrorKind::BrokenPipe)
    }
}
