//! What is wrong with a catalogue file: where, and what would be right.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryError {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The field, as a path (`rules[1].class`); empty where it is the file as a whole.
    pub field: String,
    /// What.
    pub wrong: Wrong,
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// The file's name is no provider id.
    #[error("expected a name of lower-case letters, digits, '-', '_' or '.' that ends in .toml")]
    FileName,
    /// Two files have the same name.
    #[error("there are two files of this name")]
    Twice,
    /// It is not TOML.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// A field that no entry has.
    #[error("no entry has this field{}", did_you_mean(*nearest))]
    UnknownField {
        /// The nearest field that there is.
        nearest: Option<&'static str>,
    },
    /// A value of another type, or a field that is missing.
    #[error("{0}")]
    Type(String),
    /// A value that cannot be right.
    #[error("{expected}")]
    Value {
        /// What would be right.
        expected: String,
    },
    /// `extends` names an entry that is not there.
    #[error("expected the id of another entry")]
    UnknownParent,
    /// `extends` leads back to the entry itself.
    #[error("an entry can't inherit from itself")]
    Circle,
}

fn did_you_mean(nearest: Option<&'static str>) -> String {
    nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}: ", self.file, self.line)?;
        if !self.field.is_empty() {
            write!(f, "`{}`: ", self.field)?;
        }
        write!(f, "{}", self.wrong)
    }
}

/// Everything that is wrong with a set of files; at least one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryErrors(pub Vec<EntryError>);

impl fmt::Display for EntryErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for EntryErrors {}
