//! Kernel file locks, and the wait for locks of git.

use crate::error::GitError;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A kernel lock on a file of ours. The kernel frees it when the last process that shares it is gone, so it is never
/// stale. The file stays empty.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Waits for the lock. Blocks.
    pub(crate) fn acquire(path: &Path) -> Result<Self, GitError> {
        loop {
            let file = open(path)?;
            file.lock().map_err(|e| GitError::io("lock", path, e))?;
            // Whoever had it may have removed the file meanwhile: then the lock is on one that nobody else finds.
            if is_at(&file, path).map_err(|e| GitError::io("lock", path, e))? {
                return Ok(Self(file));
            }
        }
    }

    /// Removes the file of the lock, which this has: nobody needs it any more, or whoever does makes another one. Only for
    /// locks that are waited for.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), GitError> {
        let result = is_at(&self.0, path).and_then(|ours| if ours { fs::remove_file(path) } else { Ok(()) });
        result.map_err(|e| GitError::io("remove the lock", path, e))
    }

    /// Takes the lock if nobody has it.
    pub(crate) fn try_acquire(path: &Path) -> Result<Option<Self>, GitError> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(e)) => Err(GitError::io("lock", path, e)),
        }
    }

    /// A second handle of the same lock, for another place of the same task.
    pub(crate) fn again(&self) -> std::io::Result<Self> {
        self.share().map(Self)
    }

    /// A second handle of the same lock, for a child that shall hold it too.
    pub(crate) fn share(&self) -> std::io::Result<File> {
        self.0.try_clone()
    }
}

fn open(path: &Path) -> Result<File, GitError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|e| GitError::io("open the lock", path, e))
}

/// Whether that is the file at the path.
fn is_at(file: &File, path: &Path) -> std::io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Waits for a lock that another git holds: 50 ms, doubling, 2 s in all.
#[derive(Debug)]
pub(crate) struct Patience {
    next: Duration,
    waited: Duration,
}

impl Patience {
    const LIMIT: Duration = Duration::from_secs(2);

    pub(crate) fn new() -> Self {
        Self { next: Duration::from_millis(50), waited: Duration::ZERO }
    }

    /// Sleeps once, or says that it is enough.
    #[expect(clippy::disallowed_methods, reason = "a lock of git cannot be waited for in another way")]
    pub(crate) fn wait(&mut self) -> bool {
        if self.waited >= Self::LIMIT {
            return false;
        }
        let step = self.next.min(Self::LIMIT - self.waited);
        std::thread::sleep(step);
        self.waited += step;
        self.next *= 2;
        true
    }
}

/// The error that names a lock which is still there.
pub(crate) fn stays(file: PathBuf) -> GitError {
    let age = file.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
    GitError::Locked { file, age: age.unwrap_or_default() }
}

/// The lock file that git says it could not make because it exists.
pub(crate) fn lock_named_in(stderr: &str) -> Option<PathBuf> {
    let after = stderr.split_once("Unable to create '")?.1;
    let (file, rest) = after.split_once("': ")?;
    (file.ends_with(".lock") && rest.starts_with("File exists")).then(|| PathBuf::from(file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn one_has_the_lock_also_when_its_file_goes_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let (path, inside, done) = (dir.path().join("lock"), AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let lock = Lock::acquire(&path).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two have it");
                        inside.fetch_sub(1, Ordering::SeqCst);
                        lock.remove(&path).unwrap();
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!((done.into_inner(), path.exists()), (2000, false));
    }

    #[test]
    fn the_lock_is_read_from_the_words_of_git() {
        let said = "fatal: update_ref failed for ref 'refs/heads/x': cannot lock ref 'refs/heads/x': Unable to create \
                    '/p/.git/refs/heads/x.lock': File exists.\n\nAnother git process seems to be running";
        assert_eq!(lock_named_in(said), Some(PathBuf::from("/p/.git/refs/heads/x.lock")));
        assert_eq!(lock_named_in("fatal: Unable to create '/p/x.lock': Permission denied"), None);
    }
}
