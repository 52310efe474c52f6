//! Why a configuration is refused: what is wrong, where it is set, what would be right.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetBy {
    /// A flag.
    Flag(&'static str),
    /// A variable.
    Variable(String),
    /// A key in the file.
    Key {
        /// The key.
        key: String,
        /// The file.
        file: PathBuf,
    },
    /// Nothing: the default.
    Default(&'static str),
}

impl fmt::Display for SetBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetBy::Flag(flag) => f.write_str(flag),
            SetBy::Variable(name) => f.write_str(name),
            SetBy::Key { key, file } => write!(f, "`{key}` in {}", file.display()),
            SetBy::Default(key) => write!(f, "the default of `{key}`"),
        }
    }
}

/// A configuration that is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{file} cannot be read: {why}. Name another one with --config, or make one with `evergrant init`", file = file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// The file is not TOML, or a value has the wrong type.
    #[error("{file}, line {line}: {what}", file = file.display())]
    BadFile {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is expected there.
        what: String,
    },
    /// A key that nobody knows.
    #[error("{file}, line {line}: `{key}` is not a key here{}", meant(nearest.as_deref()), file = file.display())]
    UnknownKey {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key.
        key: String,
        /// The nearest known one.
        nearest: Option<String>,
    },
    /// A variable that nobody knows.
    #[error("the variable {name} is not one of Evergrant's{}", meant(nearest.as_deref()))]
    UnknownVariable {
        /// The variable.
        name: String,
        /// The nearest known one.
        nearest: Option<String>,
    },
    /// A part that this version does not have.
    #[error(
        "{file}, line {line}: this version of Evergrant has no `{key}` yet, and would not do what it says; remove it. \
         Notices can be read by GET /v1/events and GET /v1/subjects/{{subject}}/notifications", file = file.display()
    )]
    NotBuilt {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key.
        key: &'static str,
    },
    /// A value that cannot be.
    #[error("{set_by}: {expected}")]
    BadValue {
        /// Where it is set.
        set_by: SetBy,
        /// What would be right.
        expected: String,
    },
    /// A secret that is to come from somewhere does not.
    #[error("{set_by}: {why}")]
    NoSecret {
        /// Where it is named.
        set_by: SetBy,
        /// Why it does not come.
        why: String,
    },
    /// Master key trouble.
    #[error(transparent)]
    MasterKey(#[from] super::master_key::MasterKeyError),
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}

/// The known name nearest to `name`, if any is near enough to be what was meant.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}
