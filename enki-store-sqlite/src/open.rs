//! Opens a store: looks before it touches, makes a new one whole or not at all, and brings an older one up to date.

use crate::backup::{self, folder, newest_backup};
use crate::connection::{Access, beside, open_reader, open_writer};
use crate::error::{Fault, io_error};
use crate::file_system;
use crate::options::{FileSystems, OpenOptions};
use crate::schema;
use crate::upgrade::upgrade;
use enki_core::store::{StoreError, StoreErrorKind};
use rusqlite::{Connection, TransactionBehavior};
use std::fs::{self, DirBuilder};
use std::io;
use std::path::{Path, PathBuf};

/// The first SQLite without the WAL-reset bug, by which two connections could corrupt a file.
const OLDEST_SQLITE: i32 = 3_051_003;

/// Up to this size the whole file is checked when it is opened for writing (a few milliseconds); above, only the
/// tables that are never read as a whole otherwise. Events are checked by their chain whenever they are loaded.
const CHECKED_BYTES: u64 = 16 << 20;

/// The writing connection and the path that all others use: absolute, links resolved, as SQLite does for its `-wal`.
pub(crate) fn for_writing(
    path: &Path,
    options: &OpenOptions,
    migrations: &[&str],
) -> Result<(PathBuf, Connection), StoreError> {
    let attempted = format!("open the store {}", path.display());
    check_library(rusqlite::version_number()).map_err(|kind| StoreError::new(&attempted, kind))?;
    let io = |error| io_error(&attempted, error);
    let path = std::path::absolute(path).map_err(io)?;
    make_folder(folder(&path)).map_err(io)?;
    if options.file_systems == FileSystems::Safe
        && let Some(name) = file_system::refused(folder(&path)).map_err(io)?
    {
        let why = format!(
            "{} is on {name}, which can lose or damage a database; move it to a local disk",
            folder(&path).display()
        );
        return Err(StoreError::new(&attempted, StoreErrorKind::Unsupported(why)));
    }
    if !path.try_exists().map_err(io)? {
        create(&path, options, migrations, &attempted)?;
    }
    let path = fs::canonicalize(&path).map_err(io)?;
    let attempted = describe(&path);
    inspect(&path, migrations, Depth::Contents)?;
    let fault = |fault: Fault| fault.into_error(&attempted);
    let mut db = open_writer(&path, options).map_err(|e| unwritable(&path, e.into())).map_err(fault)?;
    if db.is_readonly("main").map_err(Fault::from).map_err(fault)? {
        return Err(StoreError::new(&attempted, StoreErrorKind::ReadOnly));
    }
    use_wal(&db).map_err(|e| unwritable(&path, e)).map_err(fault)?;
    if schema::number(&db).map_err(Fault::from).map_err(fault)? < schema::known(migrations) {
        upgrade(&mut db, &path, options, migrations)?;
    }
    if let Some(bytes) = options.max_bytes {
        limit(&db, bytes).map_err(Fault::from).map_err(fault)?;
    }
    Ok((path, db))
}

/// The path of a store that may be read.
pub(crate) fn for_reading(path: &Path, migrations: &[&str]) -> Result<PathBuf, StoreError> {
    let path = fs::canonicalize(path).map_err(|e| io_error(format!("open the store {}", path.display()), e))?;
    inspect(&path, migrations, Depth::Header)?;
    Ok(path)
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Depth {
    Header,
    Contents,
}

/// Refuses what is not a store of ours, without changing a byte of it.
fn inspect(path: &Path, migrations: &[&str], depth: Depth) -> Result<(), StoreError> {
    let attempted = describe(path);
    let meta = fs::metadata(path).map_err(|e| io_error(&attempted, e))?;
    let wal = beside(path, "-wal").try_exists().map_err(|e| io_error(&attempted, e))?;
    let refuse = |kind| Err(StoreError::new(&attempted, kind));
    if !meta.is_file() {
        return refuse(StoreErrorKind::Corrupt("it is not a regular file".to_owned()));
    }
    if meta.len() == 0 {
        // SQLite would take it for a new database and delete a `-wal` beside it. Ours are never empty: see `create`.
        return refuse(StoreErrorKind::Corrupt("the file has 0 bytes".to_owned()));
    }
    let look = || {
        let access = if wal { Access::Read } else { Access::Snapshot };
        let db = open_reader(path, access, OpenOptions::new().busy_timeout)?;
        let (application, found) = (schema::application_id(&db)?, schema::number(&db)?);
        let known = schema::known(migrations);
        if application != schema::APPLICATION_ID {
            let why = format!("it is a database of another program (application id {application:#x})");
            return Err(Fault::Refused(StoreErrorKind::Corrupt(why)));
        }
        if found > known {
            return Err(StoreErrorKind::Newer { found, known }.into());
        }
        match depth {
            Depth::Header => Ok(()),
            Depth::Contents => check(&db, meta.len()),
        }
    };
    look().map_err(|fault| fault.into_error(&attempted))
}

/// What SQLite finds wrong in the file, within a time that does not grow with it.
fn check(db: &Connection, bytes: u64) -> Result<(), Fault> {
    if bytes <= CHECKED_BYTES {
        return quick_check(db, "PRAGMA quick_check(1)");
    }
    ["logs", "executions", "leases"]
        .iter()
        .try_for_each(|table| quick_check(db, &format!("PRAGMA quick_check({table})")))
}

/// All of what SQLite can find wrong without reading every index.
pub(crate) fn quick_check(db: &Connection, pragma: &str) -> Result<(), Fault> {
    let found: String = db.query_row(pragma, [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(StoreErrorKind::Corrupt(found).into()) }
}

/// A new store appears under its name when it is whole, so an empty or half-made file there is never ours.
fn create(path: &Path, options: &OpenOptions, migrations: &[&str], attempted: &str) -> Result<(), StoreError> {
    if beside(path, "-wal").try_exists().map_err(|e| io_error(attempted, e))? {
        // A new database would take up the old one's log.
        let why = "the file is gone, but its -wal is still there".to_owned();
        return Err(StoreError::new(describe(path), StoreErrorKind::Corrupt(why)));
    }
    let made = backup::place(path, attempted, |temp| {
        let mut db = open_writer(temp, options)?;
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        schema::migrate(&tx, migrations)?;
        tx.commit()?;
        use_wal(&db)
    });
    match made {
        // Somebody else made it at the same time: theirs is the store.
        Err(_) if path.try_exists().unwrap_or(false) => Ok(()),
        other => other,
    }
}

fn use_wal(db: &Connection) -> Result<(), Fault> {
    let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode == "wal" {
        Ok(())
    } else {
        Err(StoreErrorKind::Unsupported("the file system has no shared memory, which WAL mode needs".to_owned()).into())
    }
}

fn limit(db: &Connection, bytes: u64) -> rusqlite::Result<()> {
    let page: i64 = db.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let pages = i64::try_from(bytes.div_ceil(page.unsigned_abs())).unwrap_or(i64::MAX);
    db.pragma_update_and_check(None, "max_page_count", pages.min(i64::from(u32::MAX - 1)), |_| Ok(()))
}

fn check_library(found: i32) -> Result<(), StoreErrorKind> {
    if found >= OLDEST_SQLITE {
        return Ok(());
    }
    let why = format!("SQLite {found} is older than {OLDEST_SQLITE} and can corrupt a database; link a newer one");
    Err(StoreErrorKind::Unsupported(why))
}

/// What is attempted, and where to go back to if it fails.
fn describe(path: &Path) -> String {
    match newest_backup(path) {
        Some(backup) => format!("open the store {} (newest backup: {})", path.display(), backup.display()),
        None => format!("open the store {}", path.display()),
    }
}

/// SQLite says only that it cannot open something if the folder does not let it make a `-wal` there.
fn unwritable(path: &Path, fault: Fault) -> Fault {
    let cannot_open =
        matches!(&fault, Fault::Failed(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen));
    #[cfg(unix)]
    if cannot_open && rustix::fs::access(folder(path), rustix::fs::Access::WRITE_OK).is_err() {
        return StoreErrorKind::ReadOnly.into();
    }
    let _ = (path, cannot_open);
    fault
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlite_that_can_corrupt_a_file_is_refused() {
        assert_eq!(check_library(rusqlite::version_number()), Ok(()));
        assert!(matches!(check_library(3_051_002), Err(StoreErrorKind::Unsupported(_))));
    }
}
