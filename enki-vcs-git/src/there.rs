//! What is there. That something is not there is an answer; that it cannot be looked at, for want of a descriptor or because
//! of the disk, is none: whoever took it for "not there" would forget work, or accuse an agent of what it did not do.

use crate::error::GitError;
use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::path::Path;

/// The contents of a file; `None` if there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, GitError> {
    answered(fs::read(path)).map_err(|e| GitError::io("read", path, e))
}

/// The same of a file that Enki wrote. What an agent put in its stead, a folder or a link in a circle, or made unreadable is
/// none.
pub(crate) fn ours(path: &Path) -> Result<Option<Vec<u8>>, GitError> {
    match read(path) {
        Err(GitError::Io { source, .. }) if tells_what_it_is(&source) => Ok(None),
        found => found,
    }
}

/// The same as text, without what is none.
pub(crate) fn text(path: &Path) -> Result<Option<String>, GitError> {
    Ok(read(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// What is in a folder; nothing if there is none.
pub(crate) fn entries(folder: &Path) -> Result<Vec<DirEntry>, GitError> {
    let all = || fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>();
    Ok(answered(all()).map_err(|e| GitError::io("list", folder, e))?.unwrap_or_default())
}

/// Whether something is in a folder; one that may not be listed is taken to hold something.
pub(crate) fn may_hold_something(folder: &Path) -> Result<bool, GitError> {
    match entries(folder) {
        Err(GitError::Io { source, .. }) if tells_what_it_is(&source) => Ok(true),
        found => Ok(!found?.is_empty()),
    }
}

/// What was found, or that there is nothing to find.
fn answered<T>(looked: io::Result<T>) -> io::Result<Option<T>> {
    match looked {
        Ok(found) => Ok(Some(found)),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether an error of looking says what stands there, as one who opens a link in a circle, a socket, what of a process that
/// ended, or what they may not read is told; and not merely that nobody can look now.
pub(crate) fn tells_what_it_is(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    // No number: it was found to be no regular file, or too large.
    errno.is_none_or(|errno| {
        matches!(
            errno,
            Errno::NOENT
                | Errno::NOTDIR
                | Errno::ISDIR
                | Errno::LOOP
                | Errno::MLINK
                | Errno::ACCESS
                | Errno::PERM
                | Errno::SRCH
                | Errno::NXIO
                | Errno::NODEV
                | Errno::NAMETOOLONG
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_there_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "here").unwrap();
        assert_eq!(text(&file).unwrap().as_deref(), Some("here"));
        assert_eq!(entries(dir.path()).unwrap().len(), 1);
        for nothing in [dir.path().join("none"), file.join("below a file")] {
            assert!(read(&nothing).unwrap().is_none(), "{nothing:?}");
            assert!(entries(&nothing).unwrap().is_empty(), "{nothing:?}");
        }
    }

    #[test]
    fn what_stands_in_the_stead_of_a_file_of_ours_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let circle = dir.path().join("circle");
        std::os::unix::fs::symlink("circle", &circle).unwrap();
        for instead in [dir.path(), &circle] {
            assert!(read(instead).is_err(), "{instead:?}");
            assert!(ours(instead).unwrap().is_none(), "{instead:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_nobody_can_read_is_not_nothing() {
        // The memory of a process at its first page.
        let memory = Path::new("/proc/self/mem");
        let error = read(memory).unwrap_err().to_string();
        assert!(error.starts_with("read /proc/self/mem: "), "{error}");
        assert!(!tells_what_it_is(&fs::read(memory).unwrap_err()));
        assert!(ours(memory).is_err());
    }
}
