//! Which ref is being moved, for whoever comes after a git that was killed at it (F6).
//!
//! A killed `git update-ref` leaves refs and objects whole, but may leave its lock, and then no git moves that ref any
//! more. Such a lock is removed only if it is provably ours and dead (bad input 59); any other is waited for, then named.

use crate::error::GitError;
use crate::git::lock::{Lock, Patience};
use crate::git::{GitCmd, Output};
use crate::project::GitProject;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

impl GitProject {
    /// Runs a git that moves this one ref, to `new`; an empty one deletes it.
    pub(crate) fn move_ref(&self, lock: &Lock, full_ref: &str, new: &str, git: GitCmd) -> Result<Output, GitError> {
        let note = self.note();
        fs::write(&note, format!("{full_ref}\n{new}\n")).map_err(|e| GitError::io("write", &note, e))?;
        let output = git.holding(lock).let_finish().run()?;
        // One that ended by itself has taken its lock away. The number is the shell's for "killed", less one.
        if output.code.is_some_and(|code| code < 129) {
            forget(&note)?;
        }
        Ok(output)
    }

    /// Removes the lock of a ref if a git of ours was killed while it moved that ref.
    ///
    /// The caller has just got the lock that each of our gits shares while it moves a ref, so that one is dead.
    pub(crate) fn clear_killed_move(&self) -> Result<(), GitError> {
        let note = self.note();
        let Ok(text) = fs::read_to_string(&note) else { return Ok(()) };
        if let Some((full_ref, new)) = text.split_once('\n')
            && is_below_refs(full_ref)
        {
            let new = new.trim_end();
            self.clear(&format!("{full_ref}.lock"), new)?;
            if new.is_empty() && self.clear("packed-refs.lock", "")? {
                // What a deletion writes while it has that lock.
                forget(&self.common_dir().join("packed-refs.new"))?;
            }
        }
        forget(&note)
    }

    /// Removes a lock below the person's git directory if it is a dead one of ours. Says whether it was.
    fn clear(&self, name: &str, new: &str) -> Result<bool, GitError> {
        let file = self.common_dir().join(name);
        let dead = is_dead(&file, new);
        if dead {
            tracing::info!(file = %file.display(), "a git of ours was killed and left its lock: it is removed");
            fs::remove_file(&file).map_err(|e| GitError::io("remove the lock", &file, e))?;
        }
        Ok(dead)
    }

    fn note(&self) -> PathBuf {
        self.enki_dir().join("moving")
    }
}

fn forget(note: &Path) -> Result<(), GitError> {
    match fs::remove_file(note) {
        // A person's `git clean` takes it away too (F17).
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(GitError::io("remove", note, e)),
        _ => Ok(()),
    }
}

fn is_below_refs(full_ref: &str) -> bool {
    let path = Path::new(full_ref);
    path.starts_with("refs") && path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// Whether a lock is what our dead git left: it holds nothing, or what ours wrote; it stays as it is while we wait; and
/// nobody has it open.
fn is_dead(file: &Path, new: &str) -> bool {
    let ours = || fs::read_to_string(file).is_ok_and(|text| text.is_empty() || text.trim_end() == new);
    let look = || fs::symlink_metadata(file).ok().filter(Metadata::is_file);
    let Some(first) = look() else { return false };
    let mut patience = Patience::new();
    // A git that lives has a lock for a few milliseconds.
    (0..2).all(|_| patience.wait())
        && look().is_some_and(|now| (now.ino(), now.ctime_nsec()) == (first.ino(), first.ctime_nsec()))
        && ours()
        && !is_open(&first)
}

/// Whether a process has the file open, as far as we may look. Without `/proc` nobody knows.
fn is_open(file: &Metadata) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else { return true };
    let fds = processes.flatten().filter_map(|process| fs::read_dir(process.path().join("fd")).ok());
    let mut open = fds.flat_map(|fds| fds.flatten()).filter_map(|fd| fs::metadata(fd.path()).ok());
    open.any(|found| (found.dev(), found.ino()) == (file.dev(), file.ino()))
}
