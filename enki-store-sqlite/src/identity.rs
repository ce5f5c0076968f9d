//! Whether the files we have open are still the ones at their path.

use crate::connection::beside;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The (device, inode) of a store and of its `-wal` and `-shm`. While a connection is open nobody has a reason to make
/// them anew, so another one there means that our writes go to a file that nobody will ever read.
#[derive(Clone, Debug)]
pub(crate) struct Identity(Vec<(PathBuf, FileId)>);

impl Identity {
    /// Notes what is there now: after the first read of a connection, which makes the files beside.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let files = [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")];
        files.into_iter().map(|path| file_id(&path).map(|id| (path, id))).collect::<Result<_, _>>().map(Self)
    }

    /// Costs three calls of `stat`: opening the files instead would drop SQLite's locks on them.
    pub(crate) fn still_there(&self) -> bool {
        self.0.iter().all(|(path, id)| file_id(path).is_ok_and(|now| now == *id))
    }
}

#[cfg(unix)]
type FileId = (u64, u64);

#[cfg(unix)]
fn file_id(path: &Path) -> io::Result<FileId> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

// Elsewhere an open file cannot be deleted or replaced.
#[cfg(not(unix))]
type FileId = ();

#[cfg(not(unix))]
fn file_id(path: &Path) -> io::Result<FileId> {
    fs::metadata(path).map(|_| ())
}
