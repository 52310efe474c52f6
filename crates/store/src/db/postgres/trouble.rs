//! What an error of the server or of the way to it means.

use std::error::Error as _;
use std::sync::Arc;

use postgres::error::DbError;

use super::server::Refused;
use crate::error::{StoreError, Trouble};

/// What the server said, without its details: they repeat values.
#[derive(Debug, thiserror::Error)]
#[error("{words} (SQLSTATE {code})")]
struct Said {
    words: String,
    code: String,
}

/// What an error of a statement means.
pub(super) fn trouble(error: postgres::Error) -> StoreError {
    let Some(said) = error.as_db_error() else {
        let trouble = match error.is_closed() || error.source().is_some_and(|cause| cause.is::<std::io::Error>()) {
            true => Trouble::Unreachable,
            // What cannot be encoded or read is a defect; it never depends on the weather.
            false => return StoreError::Defect { doing: "speaking with the database", cause: Some(Arc::new(error)) },
        };
        return StoreError::Unavailable { trouble, cause: Some(Arc::new(error)) };
    };
    of_state(said)
}

/// Why no connection came about.
pub(super) fn refused(refused: Refused) -> StoreError {
    match refused {
        Refused::Certificates(why) => {
            StoreError::Unavailable { trouble: Trouble::Unreachable, cause: Some(Arc::new(std::io::Error::other(why))) }
        }
        Refused::Connection(error) => match error.as_db_error() {
            Some(said) => of_state(said),
            None => StoreError::Unavailable { trouble: Trouble::Unreachable, cause: Some(Arc::new(error)) },
        },
    }
}

/// Whether the connection is of no more use.
pub(super) fn is_cut(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable { trouble: Trouble::Unreachable, .. })
}

fn of_state(said: &DbError) -> StoreError {
    let state = said.code();
    let cause = Arc::new(Said { words: said.message().to_owned(), code: state.code().to_owned() });
    let trouble = match state.code() {
        "53100" => Trouble::Full,
        "25006" => Trouble::ReadOnly,
        // A lock that was waited for too long, a deadlock, a conflict, a statement that took too long.
        "55P03" | "40P01" | "40001" | "57014" => Trouble::Locked,
        "53300" | "53200" | "53400" => Trouble::Overloaded,
        "3D000" | "42501" => Trouble::NotAdmitted,
        "58030" | "58000" => Trouble::Io,
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => Trouble::Unreachable,
        code if code.starts_with("28") => Trouble::NotAdmitted,
        code if code.starts_with("08") => Trouble::Unreachable,
        code if code.starts_with("XX") => {
            return StoreError::Damaged { what: "the server found its files damaged".to_owned(), cause: Some(cause) };
        }
        _ => return StoreError::Defect { doing: "running a statement", cause: Some(cause) },
    };
    StoreError::Unavailable { trouble, cause: Some(cause) }
}

/// Whether two processes made the same thing at the same moment.
pub(super) fn is_race(error: &StoreError) -> bool {
    let StoreError::Defect { cause: Some(cause), .. } = error else { return false };
    // Taken already: a key, a table, a type or another name.
    cause.downcast_ref::<Said>().is_some_and(|said| ["23505", "42P07", "42710"].contains(&said.code.as_str()))
}
