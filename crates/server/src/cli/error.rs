//! Why a command did not do what it was asked: what happened, what was kept, what to do next, and the exit code.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::client::Unreachable;
use super::exit::Exit;
use super::problem::Problem;
use crate::config::{ConfigError, SetBy};

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
    #[error("{file}: {why}", file = file.display())]
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
    /// No such thing.
    #[error("{0}")]
    NotFound(String),
}

/// What most commands end with.
pub(crate) type Result<T> = std::result::Result<T, CliError>;

impl CliError {
    /// The exit code.
    pub(super) fn exit(&self) -> Exit {
        match self {
            CliError::Problem(problem) => problem.exit(),
            CliError::Unreachable(_) => Exit::TryLater,
            CliError::Config(ConfigError::BadValue { set_by: SetBy::Flag(_), .. }) => Exit::Usage,
            CliError::Config(_) => Exit::NeedsOperator,
            CliError::NoApiKey | CliError::Usage(_) => Exit::Usage,
            CliError::File { .. } | CliError::Stream { .. } => Exit::Failed,
            CliError::NotFound(_) => Exit::NotFound,
        }
    }

    /// The failure as the one document of `--json`: the API's own, or one of the same form.
    pub(super) fn document(&self) -> Value {
        if let CliError::Problem(problem) = self {
            return problem.document().clone();
        }
        let (code, title, action) = match self.exit() {
            Exit::Usage => ("wrong_usage", "This cannot be asked so", "fix_request"),
            Exit::NotFound => ("not_found", "There is no such thing", "fix_request"),
            Exit::NeedsOperator => ("refused", "The operator must act", "fix_integration"),
            Exit::TryLater => ("try_later", "It may work later", "retry"),
            Exit::Done | Exit::Failed | Exit::NeedsSubject => ("failed", "It failed", "contact_support"),
        };
        json!({ "code": code, "title": title, "detail": self.to_string(), "action": action })
    }

    /// Whether the reader of standard output has gone: then there is nobody to tell, and nothing is wrong.
    pub(super) fn is_closed_output(&self) -> bool {
        matches!(self, CliError::Stream { why, .. } if why.kind() == std::io::ErrorKind::BrokenPipe)
    }
}
