//! The prepared trees below overlays: made once, checked before each hand-out, brought to another commit by the
//! difference as long as no workspace is mounted over them, a few at most.

use crate::error::GitError;
use crate::project::GitProject;
use crate::workspaces::overlay::Over;
use crate::workspaces::place::State;
use crate::workspaces::pool::{Entry, Ready};
use enki_core::id::{CommitId, TreeId};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Most of them. With all in use, a workspace is mounted over one of another commit, and gets the difference above it.
const MOST: u32 = 4;
pub(crate) const FOLDER: &str = "lower";

/// A prepared tree that nobody else brings elsewhere as long as this lives.
#[derive(Debug)]
pub(crate) struct Picked {
    entry: Entry,
    ready: Ready,
}

impl Picked {
    pub(crate) const fn tree(&self) -> TreeId {
        self.ready.tree
    }

    pub(super) fn over(&self) -> Result<Over, GitError> {
        let work = self.entry.work();
        let meta = fs::symlink_metadata(&work).map_err(|e| GitError::io("look at", &work, e))?;
        Ok(Over { lower: self.entry.n, inode: meta.ino(), tree: self.ready.tree })
    }

    /// Gives a workspace the index that knows these files. With its time: git looks again at files of that very moment.
    pub(super) fn copy_index(&self, capture: &Path) -> Result<(), GitError> {
        let (from, to) = (self.entry.git().join("index"), capture.join("index"));
        let copy = || -> std::io::Result<()> {
            fs::copy(&from, &to)?;
            let time = fs::metadata(&from)?.modified()?;
            fs::File::options().write(true).open(&to)?.set_modified(time)
        };
        copy().map_err(|e| GitError::io("copy", &from, e))
    }
}

/// The files of one.
pub(super) fn folder(project: &GitProject, n: u32) -> PathBuf {
    root(project).join(n.to_string()).join("work")
}

fn root(project: &GitProject) -> PathBuf {
    project.enki_dir().join(FOLDER)
}

/// Keeps a tree as it is for the moment of a mount, if it is the one that is meant.
///
/// # Errors
///
/// [`GitError::Gone`] if it is not; any other if that could not be found out.
pub(super) fn hold(project: &GitProject, over: &Over) -> Result<Entry, GitError> {
    let entry = Entry::wait(&root(project), over.lower)?;
    let same = fs::symlink_metadata(entry.work()).is_ok_and(|meta| meta.ino() == over.inode);
    match entry.looked_for_ready()? {
        Some(ready) if same && ready.tree == over.tree => Ok(entry),
        _ => Err(GitError::Gone(format!(
            "the files that it lay over, {}, are not there any more",
            folder(project, over.lower).display()
        ))),
    }
}

/// The best tree for files that shall be `tree`: exactly it; one that nobody uses, brought there; one that is in use,
/// for a difference; a new one.
pub(super) fn pick(project: &GitProject, base: CommitId, tree: TreeId) -> Result<Picked, GitError> {
    let root = root(project);
    let exact = |entry: Entry| match entry.ready(project) {
        Some(ready) if ready.tree == tree && entry.untouched().is_some() => Some(Picked { entry, ready }),
        _ => None,
    };
    let mut missed = Vec::new();
    for n in 1..=MOST {
        match Entry::lock(&root, n)? {
            Some(entry) => {
                if let Some(found) = exact(entry) {
                    return Ok(found);
                }
            }
            None => missed.push(n),
        }
    }
    // Somebody mounts over it just now, or prepares it: one at a time is waited for, and none is held meanwhile.
    for n in missed {
        if let Some(found) = exact(Entry::wait(&root, n)?) {
            return Ok(found);
        }
    }
    let (mut others, mut vacant) = (Vec::new(), None);
    for n in 1..=MOST {
        let entry = Entry::wait(&root, n)?;
        match (entry.ready(project), used(project)?.contains(&n)) {
            (Some(_), false) => return brought(project, entry, base, tree),
            (Some(_), true) => others.push(n),
            (None, false) => vacant = vacant.or(Some(n)),
            (None, true) => {}
        }
    }
    for n in others {
        let entry = Entry::wait(&root, n)?;
        if let Some(ready) = entry.ready(project)
            && entry.untouched().is_some()
        {
            return Ok(Picked { entry, ready });
        }
    }
    let none = || GitError::Gone(format!("every tree in {} is used, and not as it was made", root.display()));
    brought(project, Entry::wait(&root, vacant.ok_or_else(none)?)?, base, tree)
}

/// Brings a tree that nobody uses to a commit, by the difference if it is as it was noted.
fn brought(project: &GitProject, entry: Entry, base: CommitId, tree: TreeId) -> Result<Picked, GitError> {
    if used(project)?.contains(&entry.n) {
        return Err(GitError::Raced(format!("{} came into use meanwhile", entry.dir.display())));
    }
    let noted = entry.ready(project).and_then(|_| entry.untouched());
    if noted.is_none() {
        entry.wipe()?;
    }
    if let Err(error) = entry.bring_to(project, base, tree, noted).and_then(|()| entry.note_set_up(project)) {
        entry.wipe()?;
        return Err(error);
    }
    let gone = || GitError::Gone(format!("{} disappeared meanwhile", entry.dir.display()));
    let ready = entry.ready(project).ok_or_else(gone)?;
    Ok(Picked { entry, ready })
}

/// Sees to it that there is a tree of that commit, and that no other is there for nothing.
pub(crate) fn ahead(project: &GitProject, base: CommitId, tree: TreeId) -> Result<(), GitError> {
    let root = root(project);
    let mut free = Vec::new();
    let mut there = false;
    for n in 1..=MOST {
        let Some(entry) = Entry::lock_soon(&root, n)? else { continue };
        let ready = entry.ready(project).filter(|_| entry.untouched().is_some());
        if !there && ready.as_ref().is_some_and(|ready| ready.tree == tree) {
            there = true;
        } else if !used(project)?.contains(&n) {
            // One that is there costs a difference.
            free.push((ready.is_none(), n));
        }
    }
    free.sort_unstable();
    for (_, n) in free {
        let Some(entry) = Entry::lock_soon(&root, n)? else { continue };
        if used(project)?.contains(&n) {
            continue;
        }
        if there {
            entry.wipe()?;
        } else {
            brought(project, entry, base, tree)?;
            there = true;
        }
    }
    Ok(())
}

/// Removes those that no workspace uses: the disk is needed for others.
pub(crate) fn shed(project: &GitProject) -> Result<(), GitError> {
    for n in 1..=MOST {
        if let Some(entry) = Entry::lock_soon(&root(project), n)?
            && !used(project)?.contains(&n)
        {
            entry.wipe()?;
        }
    }
    Ok(())
}

/// Whether a folder is a tree that a workspace needs.
pub(crate) fn is_below_something(project: &GitProject, path: &Path) -> Result<bool, GitError> {
    let number = path.strip_prefix(root(project)).ok().and_then(|name| name.to_str()?.parse().ok());
    number.map_or(Ok(false), |n| Ok(used(project)?.contains(&n)))
}

/// The trees that workspaces of this start of the machine are mounted over, or may be mounted over again. To be asked
/// with the lock of the entry: a hand-out holds it until it is written down.
pub(crate) fn used(project: &GitProject) -> Result<BTreeSet<u32>, GitError> {
    let mut found = BTreeSet::new();
    for folder in ["capture", "aside"] {
        let folder = project.enki_dir().join(folder);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(GitError::io("read", &folder, e)),
        };
        for entry in entries {
            let path = entry.map_err(|e| GitError::io("read", &folder, e))?.path();
            if path.extension().is_some_and(|end| end == "git")
                && let Some(state) = State::load(&path)?
                && let Some(over) = state.over.as_ref().filter(|_| !state.outlived_its_machine())
            {
                found.insert(over.lower);
            }
        }
    }
    Ok(found)
}
