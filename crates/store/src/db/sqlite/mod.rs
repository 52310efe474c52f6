//! SQLite, bundled, in one file.

mod backup;
mod migrate;
mod open;
mod value;

use std::sync::Arc;

use rusqlite::ErrorCode;

use crate::error::{StoreError, Trouble};

pub use backup::{BackupError, RestoredBackup, back_up, restore};
pub(crate) use open::Files;

/// What an error of the database means.
pub(super) fn trouble(error: rusqlite::Error) -> StoreError {
    let code = error.sqlite_error_code();
    let trouble = match code {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Some(Trouble::Locked),
        Some(ErrorCode::DiskFull) => Some(Trouble::Full),
        Some(ErrorCode::ReadOnly) => Some(Trouble::ReadOnly),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => Some(Trouble::CannotOpen),
        Some(ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory | ErrorCode::OperationInterrupted) => {
            Some(Trouble::Io)
        }
        _ => None,
    };
    if let Some(trouble) = trouble {
        return StoreError::Unavailable { trouble, cause: Some(Arc::new(error)) };
    }
    match code {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged { what: "the database file is damaged".to_owned(), cause: Some(Arc::new(error)) }
        }
        _ => StoreError::Defect { doing: "running a statement", cause: Some(Arc::new(error)) },
    }
}
