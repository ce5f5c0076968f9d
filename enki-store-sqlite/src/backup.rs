//! Copies of a store that is in use.

use crate::connection::{Access, open_reader};
use crate::error::{Fault, io_error};
use enki_core::store::{StoreError, StoreErrorKind};
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The newest backup beside a store: of the files named `<file>.backup-<what>`, the one modified last.
#[must_use]
pub fn newest_backup(path: &Path) -> Option<PathBuf> {
    let mut prefix = path.file_name()?.to_owned();
    prefix.push(".backup-");
    let files = fs::read_dir(folder(path)).ok()?.flatten();
    let backups = files.filter(|f| f.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()));
    let dated = backups.filter_map(|f| Some((f.metadata().ok()?.modified().ok()?, f.path())));
    dated.max().map(|(_, path)| path)
}

/// Copies a store by its own connection, so that it is as of one moment and takes no part in anybody's locks.
pub(crate) fn copy(from: &Path, to: &Path, busy_timeout: Duration) -> Result<(), StoreError> {
    let attempted = format!("back up {} to {}", from.display(), to.display());
    let db = open_reader(from, Access::Read, busy_timeout).map_err(|e| Fault::from(e).into_error(&attempted))?;
    copy_to(&db, to, &attempted)
}

/// The same by a connection that is there. The copy appears under its name when it is whole and durable.
pub(crate) fn copy_to(from: &Connection, to: &Path, attempted: &str) -> Result<(), StoreError> {
    place(to, attempted, |temp| {
        let mut copy = Connection::open(temp)?;
        let backup = Backup::new(from, &mut copy)?;
        // All pages in one step: they are of one moment, and a writer is not kept out by a reader.
        while backup.step(-1)? != StepResult::Done {}
        Ok(())
    })
}

/// Makes a file of mode 0600 that is whole and durable before it has its name. An existing one stays as it is.
pub(crate) fn place(
    to: &Path,
    attempted: &str,
    fill: impl FnOnce(&Path) -> Result<(), Fault>,
) -> Result<(), StoreError> {
    let io = |error| io_error(attempted, error);
    let temp = tempfile::Builder::new().prefix(".enki-new-").tempfile_in(folder(to)).map_err(io)?.into_temp_path();
    fill(&temp).map_err(|fault| fault.into_error(attempted))?;
    File::open(&temp).and_then(|file| file.sync_all()).map_err(io)?;
    temp.persist_noclobber(to).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => {
            StoreError::new(attempted, StoreErrorKind::Invalid(format!("{} exists", to.display())))
        }
        _ => io(error.error),
    })?;
    File::open(folder(to)).and_then(|folder| folder.sync_all()).map_err(io)
}

/// The folder a file is in.
pub(crate) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    }
}
