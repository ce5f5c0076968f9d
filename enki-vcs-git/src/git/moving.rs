//! Which ref is being moved, for whoever comes after a git that was killed at it (F6).
//!
//! A killed `git update-ref` leaves refs and objects whole, but may leave its lock, and then no git moves that ref any
//! more. Such a lock is removed only if it is provably ours and dead (bad input 59); any other is waited for, then named.

use crate::error::GitError;
use crate::git::lock::{Lock, Patience, lock_named_in, stays};
use crate::git::{GitCmd, Output};
use crate::project::GitProject;
use crate::there::{self, tells_what_it_is};
use std::fs::{self, File, Metadata};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// The lock of all refs, where they are in tables.
const TABLES_LOCK: &str = "reftable/tables.list.lock";

impl GitProject {
    /// Runs a git that moves this one ref, to `new`; an empty one deletes it. A lock of another git is waited for.
    pub(crate) fn move_ref(
        &self,
        lock: &Lock,
        full_ref: &str,
        new: &str,
        git: impl Fn() -> GitCmd,
    ) -> Result<Output, GitError> {
        self.noted(full_ref, new, || git().holding(lock).let_finish().run())
    }

    /// Runs a git that moves several refs. Their locks as files stay if it is killed: it does not share our lock, so that
    /// nobody could say that it is dead. That of the tables it has open as long as it lives.
    pub(crate) fn move_refs(&self, git: impl Fn() -> GitCmd) -> Result<Output, GitError> {
        let run = || git().let_finish().long().run();
        if self.has_tables() { self.noted("refs", "", run) } else { self.insist(run) }
    }

    fn noted(&self, full_ref: &str, new: &str, run: impl Fn() -> Result<Output, GitError>) -> Result<Output, GitError> {
        let note = self.note();
        self.write_note(&note, &format!("{full_ref}\n{new}\n")).map_err(|e| GitError::io("write", &note, e))?;
        let result = self.insist(run);
        // One that ended by itself has taken its lock away. The number is the shell's for "killed", less one.
        let ended = match &result {
            Ok(output) => output.code.is_some_and(|code| code < 129),
            Err(error) => matches!(error, GitError::Locked { .. }),
        };
        if ended {
            forget(&note)?;
        }
        result
    }

    /// Durable: after a loss of power that left the lock and not the note, nothing would ever move that ref again, or any
    /// where all have one lock.
    fn write_note(&self, note: &Path, text: &str) -> std::io::Result<()> {
        let mut file = File::create(note)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        File::open(self.enki_dir())?.sync_all()
    }

    /// Runs it again as long as another git has the lock, for a while.
    fn insist(&self, run: impl Fn() -> Result<Output, GitError>) -> Result<Output, GitError> {
        let mut patience = Patience::new();
        loop {
            let output = run()?;
            let Some(file) = self.lock_in_the_way(&output) else { return Ok(output) };
            if !patience.wait() {
                return Err(stays(file));
            }
        }
    }

    /// The lock that a git could not get. Of that of the tables it does not say the name.
    fn lock_in_the_way(&self, output: &Output) -> Option<PathBuf> {
        if output.code == Some(0) {
            return None;
        }
        let says = |words: &&str| output.stderr.contains(*words);
        let tables = self.has_tables() && ["cannot lock references", "data is locked"].iter().any(says);
        lock_named_in(&output.stderr).or_else(|| tables.then(|| self.common_dir().join(TABLES_LOCK)))
    }

    fn has_tables(&self) -> bool {
        self.facts().ref_format == "reftable"
    }

    /// Removes the lock of a ref if a git of ours was killed while it moved that ref.
    ///
    /// The caller has just got the lock that each of our gits shares while it moves a ref, so that one is dead.
    pub(crate) fn clear_killed_move(&self) -> Result<(), GitError> {
        let note = self.note();
        let Some(text) = there::text(&note)? else { return Ok(()) };
        if self.has_tables() {
            self.clear(TABLES_LOCK, is_list_of_tables)?;
            self.clear_joining()?;
        } else if let Some((full_ref, new)) = text.split_once('\n')
            && is_below_refs(full_ref)
        {
            let new = new.trim_end();
            self.clear(&format!("{full_ref}.lock"), |text| is_of_move(text, new))?;
            if new.is_empty() && self.clear("packed-refs.lock", |_| false)? {
                // What a deletion writes while it has that lock.
                forget(&self.common_dir().join("packed-refs.new"))?;
            }
        }
        forget(&note)
    }

    /// Removes a lock below the person's git directory if it is a dead one of ours. Says whether it was.
    fn clear(&self, name: &str, ours: impl Fn(&str) -> bool) -> Result<bool, GitError> {
        let file = self.common_dir().join(name);
        let dead = is_dead(&file, ours);
        if dead {
            tracing::info!(file = %file.display(), "a git of ours was killed and left its lock: it is removed");
            fs::remove_file(&file).map_err(|e| GitError::io("remove the lock", &file, e))?;
        }
        Ok(dead)
    }

    /// Removes what a git left that was killed while it joined tables: their locks, which no git may join them with. It has
    /// none of them open, but the list.
    fn clear_joining(&self) -> Result<(), GitError> {
        let folder = self.common_dir().join("reftable");
        let entries = there::entries(&folder)?.into_iter();
        let is_lock = |path: &PathBuf| path.to_str().is_some_and(|path| path.ends_with(".ref.lock"));
        let look = |file: &Path| fs::symlink_metadata(file).ok().filter(|meta| meta.is_file() && meta.len() == 0);
        let found = entries.map(|entry| entry.path()).filter(is_lock);
        let found: Vec<(PathBuf, Metadata)> = found.filter_map(|file| Some((file.clone(), look(&file)?))).collect();
        let mut patience = Patience::new();
        if found.is_empty() || !(0..2).all(|_| patience.wait()) || is_used(&folder) {
            return Ok(());
        }
        for (file, first) in found {
            if look(&file).is_some_and(|now| is_same(&now, &first)) {
                tracing::info!(file = %file.display(), "a git of ours was killed and left its lock: it is removed");
                fs::remove_file(&file).map_err(|e| GitError::io("remove the lock", &file, e))?;
            }
        }
        Ok(())
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

/// What a git writes into the lock of a ref. A loss of power leaves a part of it, or zeros in its stead.
fn is_of_move(text: &str, new: &str) -> bool {
    let text = text.trim_end_matches('\0').trim_end();
    text.is_empty() || text == new
}

/// What a git writes into the lock of the tables: their names. A loss of power leaves zeros in their stead.
fn is_list_of_tables(text: &str) -> bool {
    let names = text.trim_matches('\0').lines();
    names.into_iter().all(|name| name.starts_with("0x") && name.ends_with(".ref"))
}

/// Whether a lock is what our dead git left: it holds nothing, or what ours wrote; it stays as it is while we wait; and
/// nobody has it open.
fn is_dead(file: &Path, ours: impl Fn(&str) -> bool) -> bool {
    let ours = || fs::read_to_string(file).is_ok_and(|text| text.is_empty() || ours(&text));
    let look = || fs::symlink_metadata(file).ok().filter(Metadata::is_file);
    let Some(first) = look() else { return false };
    let mut patience = Patience::new();
    // A git that lives has a lock for a few milliseconds.
    (0..2).all(|_| patience.wait()) && look().is_some_and(|now| is_same(&now, &first)) && ours() && !is_open(&first)
}

fn is_same(now: &Metadata, first: &Metadata) -> bool {
    (now.ino(), now.ctime_nsec()) == (first.ino(), first.ctime_nsec())
}

/// Whether a process has the file open, as far as we may look. Without `/proc` nobody knows.
fn is_open(file: &Metadata) -> bool {
    let is = |fd: &Path| fs::metadata(fd).is_ok_and(|found| (found.dev(), found.ino()) == (file.dev(), file.ino()));
    any_open(is)
}

/// Whether a process has something in that folder open, be it removed.
fn is_used(folder: &Path) -> bool {
    let Ok(folder) = folder.canonicalize() else { return true };
    any_open(|fd| fs::read_link(fd).is_ok_and(|path| path.starts_with(&folder)))
}

fn any_open(is: impl Fn(&Path) -> bool) -> bool {
    let Ok(processes) = there::entries(Path::new("/proc")) else { return true };
    processes.iter().any(|process| match there::entries(&process.path().join("fd")) {
        Ok(fds) => fds.iter().any(|fd| is(&fd.path())),
        // It ended, or is somebody else's. Of any other nobody knows.
        Err(GitError::Io { source, .. }) => !tells_what_it_is(&source),
        Err(_) => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_of_a_move_if_it_has_what_that_writes_or_what_a_loss_of_power_left_of_it() {
        let (new, other) = ("a".repeat(40), "b".repeat(40));
        for text in [String::new(), format!("{new}\n"), "\0".repeat(41), format!("{new}\n\0\0")] {
            assert!(is_of_move(&text, &new), "{text:?}");
        }
        for text in [format!("{other}\n"), format!("{new}{new}"), "\0a".to_owned()] {
            assert!(!is_of_move(&text, &new), "{text:?}");
        }
    }
}
