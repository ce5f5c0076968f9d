//! The files of a folder moved along with its branch, without ever writing over anything.
//!
//! What changes is moved out of the folder, and what takes its place is moved in; no move replaces a file. A journal is
//! there from before the first move until after the last: a landing that was interrupted, or that meets a file which
//! is not as it was recorded, is undone, and one whose branch has moved is finished. So the branch and the files are
//! always of one state, and what a person writes meanwhile stays what they wrote.

use crate::error::GitError;
use crate::git::lock::Lock;
use crate::git::objects::{Old, Swap, sync_folder};
use crate::git::{Durable, GitCmd};
use crate::isolation::scan::show;
use crate::project::folder::{self, BRANCH};
use crate::project::{GitProject, private_dir, put_durably};
use crate::refinery::publish::standing;
use crate::workspaces::agent_git;
use enki_core::id::CommitId;
use enki_core::refinery::Publish;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Moves the folder's files and its branch to the commit, if both are at `expected`. The commit is in the folder's git
/// directory and kept there.
pub(crate) fn land(
    project: &GitProject,
    lock: &Lock,
    expected: CommitId,
    commit: CommitId,
) -> Result<Publish, GitError> {
    settle(project, lock)?;
    let mut landing = Landing::plan(project, expected, commit)?;
    // After the plan looked at the files: one that changes from here on no longer is as the plan saw it.
    let recorded = folder::record(project, lock)?;
    if recorded.commit != expected {
        return Ok(standing(project, BRANCH, expected, commit)?.unwrap_or(Publish::Moved { now: None }));
    }
    if let Some(path) = landing.in_the_way(project) {
        let path = show(path);
        return Ok(blocked(format!("{path} is in the folder, and not a file that Enki follows: move it away")));
    }
    landing.prepare(project)?;
    if let Err(Stopped(reason)) = landing.carry_out(project) {
        landing.undo(project)?;
        // A file that was changed in that moment is part of a new state.
        let recorded = folder::record(project, lock)?;
        let moved = Publish::Moved { now: Some(recorded.commit) };
        return Ok(if recorded.commit == expected { blocked(reason) } else { moved });
    }
    if project.swap(lock, BRANCH, commit, Old::At(expected))? == Swap::Elsewhere {
        landing.undo(project)?;
        return Ok(standing(project, BRANCH, expected, commit)?.unwrap_or(Publish::Moved { now: None }));
    }
    project.sync_ref(BRANCH)?;
    landing.finish(project)?;
    Ok(Publish::Published)
}

/// Finishes or undoes a landing that was interrupted.
pub(crate) fn settle(project: &GitProject, _lock: &Lock) -> Result<(), GitError> {
    let dir = Landing::dir(project);
    let landing = match fs::read(dir.join(JOURNAL)) {
        Ok(bytes) => serde_json::from_slice::<Landing>(&bytes)
            .map_err(|e| GitError::io("understand", &dir.join(JOURNAL), e.into()))?,
        // Nothing was moved yet, if there is anything at all.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return agent_git::remove(&dir),
        Err(e) => return Err(GitError::io("read", &dir.join(JOURNAL), e)),
    };
    if project.is_ancestor(landing.commit, folder::head(project)?)? {
        landing.finish(project)
    } else {
        landing.undo(project)
    }
}

fn blocked(reason: String) -> Publish {
    Publish::Blocked { reason, command: "enki resume".to_owned() }
}

/// Why nothing more is moved.
struct Stopped(String);

/// What moves, as the journal has it.
#[derive(Debug, Deserialize, Serialize)]
struct Landing {
    expected: CommitId,
    commit: CommitId,
    moves: Vec<Move>,
    /// Folders that are made for it, outer ones first.
    made: Vec<Vec<u8>>,
}

/// One path that changes.
#[derive(Debug, Deserialize, Serialize)]
struct Move {
    path: Vec<u8>,
    /// The file that is there, if the path is in the tree before.
    old: Option<Seen>,
    /// The file that comes, if the path is in the tree after.
    new: Option<Seen>,
}

/// What tells whether a file is still the one that was seen. The time of its inode's change is not in it: a move
/// changes that.
#[derive(Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
struct Seen {
    inode: u64,
    mode: u32,
    size: u64,
    modified: (i64, i64),
}

const JOURNAL: &str = "journal.json";

impl Landing {
    fn dir(project: &GitProject) -> PathBuf {
        project.common_dir().join("landing")
    }

    fn plan(project: &GitProject, expected: CommitId, commit: CommitId) -> Result<Self, GitError> {
        let trees = project.trees_of(project.common_dir(), &[expected, commit])?;
        let changed = project.diff(project.common_dir(), trees[0], trees[1])?;
        let mut made = BTreeSet::new();
        let mut moves = Vec::new();
        for change in changed {
            let file = below(project.root(), &change.path);
            let old = (change.old_mode != 0).then(|| look(&file).unwrap_or_default());
            if change.mode != 0 {
                made.extend(parents(&change.path).filter(|dir| look(&below(project.root(), dir)).is_none()));
            }
            moves.push(Move { path: change.path, old, new: (change.mode != 0).then(Seen::default) });
        }
        Ok(Self { expected, commit, moves, made: made.into_iter().collect() })
    }

    /// A file that is not in the tree before, where one of the tree after shall be.
    fn in_the_way(&self, project: &GitProject) -> Option<&[u8]> {
        let there = |one: &&Move| {
            let found = fs::symlink_metadata(below(project.root(), &one.path));
            one.old.is_none() && found.is_ok_and(|meta| !meta.is_dir())
        };
        self.moves.iter().find(there).map(|one| &one.path[..])
    }

    /// Writes what comes beside the folder, and the journal.
    fn prepare(&mut self, project: &GitProject) -> Result<(), GitError> {
        let dir = Self::dir(project);
        agent_git::remove(&dir)?;
        private_dir(&dir.join("in"))?;
        private_dir(&dir.join("out"))?;
        let index = dir.join("index");
        let now = project.common_dir().join("index");
        fs::copy(&now, &index).map_err(|e| GitError::io("copy", &now, e))?;
        let trees = [self.expected.to_string(), self.commit.to_string()];
        at(project, &index).args(["read-tree", "-i", "-m"]).args(trees).long().ok()?;
        let mut input = Vec::new();
        for one in self.moves.iter().filter(|one| one.new.is_some()) {
            input.extend_from_slice(&one.path);
            input.push(0);
        }
        let mut prefix = dir.join("in").into_os_string();
        prefix.push("/");
        let mut option = std::ffi::OsString::from("--prefix=");
        option.push(prefix);
        at(project, &index).args(["checkout-index", "-z", "--stdin"]).arg(option).stdin(input).long().ok()?;
        for one in &mut self.moves {
            let Some(new) = &mut one.new else { continue };
            let file = below(&dir.join("in"), &one.path);
            let io = |e| GitError::io("prepare", &file, e);
            let mut meta = fs::symlink_metadata(&file).map_err(io)?;
            if meta.is_file() {
                if let Some(old) = one.old.as_ref().filter(|old| old.mode & 0o170_000 == 0o100_000) {
                    fs::set_permissions(&file, fs::Permissions::from_mode(like(old.mode, meta.mode()))).map_err(io)?;
                    meta = fs::symlink_metadata(&file).map_err(io)?;
                }
                File::open(&file).and_then(|file| file.sync_all()).map_err(io)?;
            }
            *new = Seen::of(&meta);
        }
        let bytes = serde_json::to_vec(self).map_err(|e| GitError::io("write", &dir.join(JOURNAL), e.into()))?;
        put_durably(&dir.join(JOURNAL), &bytes)?;
        sync_folder(&dir)
    }

    /// Moves. Before anything is said about it, all of it is durable.
    fn carry_out(&self, project: &GitProject) -> Result<(), Stopped> {
        let root = project.root();
        for (n, one) in self.moves.iter().enumerate().filter(|(_, one)| one.new.is_none()) {
            self.move_out(project, n, one)?;
            remove_empty(root, &one.path);
        }
        for (n, one) in self.moves.iter().enumerate() {
            if one.new.is_none() {
                continue;
            }
            if one.old.is_some() {
                self.move_out(project, n, one)?;
            }
            make_parents(root, &one.path)?;
            let to = below(root, &one.path);
            move_to(&below(&Self::dir(project).join("in"), &one.path), &to)
                .map_err(|e| Stopped(format!("{} cannot be put into the folder ({e})", show(&one.path))))?;
        }
        let above: BTreeSet<Vec<u8>> = self.moves.iter().flat_map(|one| parents(&one.path)).collect();
        let folders = above.iter().map(|dir| below(root, dir)).chain([root.to_owned()]);
        let mut there = folders.filter(|dir| fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir()));
        there.try_for_each(|dir| sync_folder(&dir)).map_err(|e| Stopped(e.to_string()))
    }

    fn move_out(&self, project: &GitProject, n: usize, one: &Move) -> Result<(), Stopped> {
        let (from, to) = (below(project.root(), &one.path), self.out(project, n));
        move_to(&from, &to)
            .map_err(|e| Stopped(format!("{} cannot be moved out of the folder ({e})", show(&one.path))))?;
        if look(&to) == one.old {
            Ok(())
        } else {
            Err(Stopped(format!("{} was changed in that moment", show(&one.path))))
        }
    }

    fn out(&self, project: &GitProject, n: usize) -> PathBuf {
        Self::dir(project).join("out").join(n.to_string())
    }

    /// Moves everything back to where it was. What somebody made or changed meanwhile stays.
    fn undo(&self, project: &GitProject) -> Result<(), GitError> {
        let root = project.root();
        for one in self.moves.iter().filter(|one| one.new.is_some()) {
            let file = below(root, &one.path);
            let came_from = below(&Self::dir(project).join("in"), &one.path);
            if look(&came_from).is_none() && look(&file) == one.new {
                move_to(&file, &came_from).map_err(|e| GitError::io("move back", &file, e))?;
            }
        }
        self.remove_made(project);
        for (n, one) in self.moves.iter().enumerate() {
            let (out, file) = (self.out(project, n), below(root, &one.path));
            // If something of somebody's is there now, it stays; the old file is in the recorded state.
            if look(&out).is_some() && make_parents(root, &one.path).is_ok() {
                move_to(&out, &file).ok();
            }
        }
        self.clear(project)
    }

    /// Removes the folders that were made for what came, as far as nobody uses them.
    fn remove_made(&self, project: &GitProject) {
        for dir in self.made.iter().rev() {
            fs::remove_dir(below(project.root(), dir)).ok();
        }
    }

    /// The branch has moved and so have all the files: the index follows.
    fn finish(&self, project: &GitProject) -> Result<(), GitError> {
        let index = Self::dir(project).join("index");
        if index.exists() {
            // What is not as it was put there is said by the exit status, and recorded next time.
            at(project, &index).args(["update-index", "-q", "--refresh"]).long().run()?;
            let now = project.common_dir().join("index");
            project.watch().checks_out();
            fs::rename(&index, &now).map_err(|e| GitError::io("write", &now, e))?;
        }
        self.clear(project)
    }

    /// Removes what is left of the landing, but nothing that is not in the recorded state.
    fn clear(&self, project: &GitProject) -> Result<(), GitError> {
        let dir = Self::dir(project);
        let unknown = |(n, one): (usize, &Move)| look(&self.out(project, n)).is_some_and(|it| Some(it) != one.old);
        if self.moves.iter().enumerate().any(unknown) {
            let kept = project.common_dir().join("kept");
            private_dir(&kept)?;
            let free = (1..).map(|n: u32| kept.join(n.to_string())).find(|place| !place.exists());
            let free = free.unwrap_or_else(|| kept.join("0"));
            tracing::warn!(place = %free.display(), "files that were changed while a landing moved them are kept there");
            return fs::rename(&dir, &free).map_err(|e| GitError::io("keep", &dir, e));
        }
        // First the journal: without it the rest means nothing.
        agent_git::remove(&dir.join(JOURNAL))?;
        agent_git::remove(&dir)
    }
}

impl Seen {
    fn of(meta: &Metadata) -> Self {
        Self { inode: meta.ino(), mode: meta.mode(), size: meta.size(), modified: (meta.mtime(), meta.mtime_nsec()) }
    }
}

fn at(project: &GitProject, index: &Path) -> GitCmd {
    folder::files(project).at(project, Durable::Committed).index(index)
}

fn look(file: &Path) -> Option<Seen> {
    fs::symlink_metadata(file).ok().map(|meta| Seen::of(&meta))
}

fn below(root: &Path, path: &[u8]) -> PathBuf {
    root.join(OsStr::from_bytes(path))
}

/// The folders above a path, outer ones first.
fn parents(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| path[..at].to_vec())
}

/// The rights of the old file, and whether it can be run as the new one says.
fn like(old: u32, new: u32) -> u32 {
    let rights = old & 0o666;
    if new & 0o100 == 0 { rights } else { rights | (rights & 0o444) >> 2 }
}

/// Makes the folders above a path. A link or a file among them is not gone through.
fn make_parents(root: &Path, path: &[u8]) -> Result<(), Stopped> {
    for dir in parents(path) {
        let folder = below(root, &dir);
        let meta = match fs::symlink_metadata(&folder) {
            Ok(meta) => Ok(meta),
            Err(_) => fs::create_dir(&folder).and_then(|()| fs::symlink_metadata(&folder)),
        };
        match meta {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Err(Stopped(format!("{} is not a folder", show(&dir)))),
            Err(e) => return Err(Stopped(format!("the folder {} cannot be made ({e})", show(&dir)))),
        }
    }
    Ok(())
}

/// Removes the folders above a path that are empty now.
fn remove_empty(root: &Path, path: &[u8]) {
    let all: Vec<Vec<u8>> = parents(path).collect();
    for dir in all.iter().rev() {
        if fs::remove_dir(below(root, dir)).is_err() {
            break;
        }
    }
}

/// Moves a file or a link. What is at the new place stays: then it is an error.
fn move_to(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(()),
            // An old system, or a file system that cannot.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            Err(e) => return Err(e.into()),
        }
    }
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}
