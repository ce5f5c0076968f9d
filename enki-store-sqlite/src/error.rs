//! What SQLite says, in the words of the store's contract.

use enki_core::store::{StoreError, StoreErrorKind};
use rusqlite::{Error, ErrorCode, ffi};
use std::io;

/// Why a request did not succeed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The contract forbids it; the database is well.
    Refused(StoreErrorKind),
    /// SQLite or the system below failed.
    Failed(Error),
}

impl Fault {
    pub(crate) fn into_error(self, attempted: impl Into<String>) -> StoreError {
        match self {
            Self::Refused(kind) => StoreError::new(attempted, kind),
            Self::Failed(error) => StoreError::new(attempted, kind_of(&error)).with_source(error),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreErrorKind> for Fault {
    fn from(kind: StoreErrorKind) -> Self {
        Self::Refused(kind)
    }
}

/// The kind that a caller acts on.
pub(crate) fn kind_of(error: &Error) -> StoreErrorKind {
    let text = || error.to_string();
    let failure = match error {
        Error::SqliteFailure(failure, _) => failure,
        Error::SqlInputError { error, .. } => error,
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::Utf8Error(..)
        | Error::QueryReturnedNoRows => return StoreErrorKind::Corrupt(text()),
        _ => return StoreErrorKind::Io(text()),
    };
    if failure.extended_code == ffi::SQLITE_READONLY_DBMOVED {
        return StoreErrorKind::Replaced;
    }
    match failure.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            StoreErrorKind::Busy
        }
        ErrorCode::DiskFull => StoreErrorKind::Full,
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => StoreErrorKind::ReadOnly,
        // All SQL is ours and all values were checked: tables or rows that do not fit it were changed by others.
        ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase
        | ErrorCode::Unknown
        | ErrorCode::SchemaChanged
        | ErrorCode::TypeMismatch
        | ErrorCode::ConstraintViolation => StoreErrorKind::Corrupt(text()),
        ErrorCode::TooBig => StoreErrorKind::Invalid("an event of more than 1 GB".to_owned()),
        _ => StoreErrorKind::Io(text()),
    }
}

/// An error of the file system in the same words.
pub(crate) fn io_error(attempted: impl Into<String>, error: io::Error) -> StoreError {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreErrorKind::Full,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => StoreErrorKind::ReadOnly,
        _ => StoreErrorKind::Io(error.to_string()),
    };
    StoreError::new(attempted, kind).with_source(error)
}
