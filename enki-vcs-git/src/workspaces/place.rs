//! Where a workspace is, and what Enki remembers of it.

use crate::error::GitError;
use crate::git::lock::Lock;
use crate::project::{GitProject, private_dir, put_durably};
use crate::there;
use crate::workspaces::overlay::{self, Mounted, Over};
use enki_core::id::{CommitId, EffectId, TaskId, TreeId};
use enki_core::workspace::Start;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The folders of one task's workspace.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) task: TaskId,
    /// Where the agent works.
    pub(crate) work: PathBuf,
    /// Enki's private git directory for it: index and captured objects.
    pub(crate) capture: PathBuf,
    /// Folder of workspaces that were kept aside.
    pub(crate) aside: PathBuf,
    /// Held as long as this lives, and as long as a git that was started for it.
    pub(crate) lock: Lock,
    /// How its files are there.
    pub(crate) files: overlay::Files,
}

impl Place {
    /// Waits until nobody else is at this workspace.
    pub(crate) fn of(project: &GitProject, root: &Path, task: TaskId) -> Result<Self, GitError> {
        let enki = project.ensure_enki_dir()?;
        let capture_root = enki.join("capture");
        let lock = Lock::acquire(&lock_file(&enki, task))?;
        let (work, capture) = (root.join(task.to_string()), capture_root.join(format!("{task}.git")));
        let files = overlay::Files::of(project, &work, &capture)?;
        let place = Self { task, work, capture, aside: enki.join("aside"), lock, files };
        place.drop_stale_index_lock()?;
        Ok(place)
    }

    /// Removes the file of its lock, since nothing else of the workspace is left.
    pub(crate) fn remove_lock(&self, project: &GitProject) -> Result<(), GitError> {
        self.lock.remove(&lock_file(&project.enki_dir(), self.task))
    }

    /// The branch that is checked out in the clone.
    pub(crate) fn branch_ref(&self) -> String {
        format!("refs/heads/task/{}", self.task)
    }

    /// Whether the agent's folder is there, as a folder.
    pub(crate) fn has_work(&self) -> bool {
        let lost = matches!(self.files, overlay::Files::Lost(_));
        !lost && fs::symlink_metadata(&self.work).is_ok_and(|meta| meta.is_dir())
    }

    /// Its overlay, if it is one.
    pub(crate) const fn mounted(&self) -> Option<&Mounted> {
        match &self.files {
            overlay::Files::Mounted(mounted) => Some(mounted),
            _ => None,
        }
    }

    /// Why its files cannot be looked at although they may be somewhere.
    pub(crate) fn lost(&self) -> Option<&str> {
        match &self.files {
            overlay::Files::Lost(why) => why.as_deref(),
            _ => None,
        }
    }

    /// Unmounts it, so that its folder can be moved or removed.
    pub(crate) fn detach(&self) -> Result<(), GitError> {
        if self.mounted().is_some() { overlay::detach(&self.work) } else { Ok(()) }
    }

    /// Writes a ref of the private git directory. It is ours alone, and files are its only form.
    pub(crate) fn write_ref(&self, full_ref: &str, commit: CommitId) -> Result<(), GitError> {
        let file = self.capture.join(full_ref);
        if let Some(dir) = file.parent() {
            private_dir(dir)?;
        }
        put_durably(&file, format!("{commit}\n").as_bytes())
    }

    /// Moves whatever is there out of the way, under the next free number.
    pub(crate) fn move_aside(&self, project: &GitProject) -> Result<(), GitError> {
        self.detach()?;
        let exists = |path: &Path| fs::symlink_metadata(path).is_ok();
        let free = |n: &u32| {
            let base = self.aside.join(format!("{}-{n}", self.task));
            !exists(&base) && !exists(&base.with_extension("git"))
        };
        let n = (1..).find(free).unwrap_or(u32::MAX);
        let base = self.aside.join(format!("{}-{n}", self.task));
        for (from, to) in [(&self.work, base.clone()), (&self.capture, base.with_extension("git"))] {
            if exists(from) {
                fs::rename(from, &to).map_err(|e| GitError::io("move aside", from, e))?;
            }
        }
        // For whoever looks there.
        overlay::Files::of(project, &base, &base.with_extension("git"))?;
        Ok(())
    }

    /// A kept-aside workspace of the task, as a place of its own under the same lock.
    pub(crate) fn at_aside(&self, project: &GitProject, work: PathBuf, capture: PathBuf) -> Result<Self, GitError> {
        let lock = self.lock.again().map_err(|e| GitError::io("lock", &work, e))?;
        let files = overlay::Files::of(project, &work, &capture)?;
        let place = Self { task: self.task, work, capture, aside: self.aside.clone(), lock, files };
        place.drop_stale_index_lock()?;
        Ok(place)
    }

    /// The kept-aside workspaces of the task: folder and git directory.
    pub(crate) fn kept_aside(&self) -> Result<Vec<(PathBuf, PathBuf)>, GitError> {
        let prefix = format!("{}-", self.task);
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.aside).map_err(|e| GitError::io("read", &self.aside, e))? {
            let entry = entry.map_err(|e| GitError::io("read", &self.aside, e))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(rest) = name.strip_prefix(&prefix) {
                let number = rest.strip_suffix(".git").unwrap_or(rest);
                let base = self.aside.join(format!("{prefix}{number}"));
                let pair = (base.clone(), base.with_extension("git"));
                if !found.contains(&pair) {
                    found.push(pair);
                }
            }
        }
        Ok(found)
    }

    /// Our lock says that no git is at work on this index, so one that was killed left it. One that was fed by a pipe
    /// may be in its last milliseconds.
    fn drop_stale_index_lock(&self) -> Result<(), GitError> {
        let file = self.capture.join("index.lock");
        if !file.exists() {
            return Ok(());
        }
        let mut patience = crate::git::lock::Patience::new();
        while file.exists() && patience.wait() {}
        let old = file.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
        match old {
            Some(age) if age > Duration::from_secs(1) => {
                fs::remove_file(&file).map_err(|e| GitError::io("remove the stale lock", &file, e))
            }
            _ => Ok(()),
        }
    }
}

/// What Enki remembers of a workspace, beside its index.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Version of this file.
    pub(crate) format: u32,
    /// Which attempt it was made for.
    pub(crate) attempt: String,
    /// Whose.
    pub(crate) execution: String,
    /// How its files were made.
    pub(crate) start: StartState,
    /// What a captured commit gets as parent, and its tree.
    pub(crate) parent: CommitId,
    pub(crate) parent_tree: TreeId,
    /// What the number of changed files is counted against.
    pub(crate) base_tree: TreeId,
    /// The files as they were handed out.
    pub(crate) populated: TreeId,
    /// Files that hold a conflict, for people.
    pub(crate) conflicts: Vec<String>,
    /// The start of the machine that it was made on, if that has a name.
    #[serde(default)]
    pub(crate) boot: Option<String>,
    /// What it is mounted over, if it is an overlay.
    #[serde(default)]
    pub(crate) over: Option<Over>,
    /// Making it came to its end.
    pub(crate) ready: bool,
    /// The last captured commit of the task, its tree, and the number of the attempt that it is of.
    pub(crate) captured: Option<Captured>,
    /// The last capture left files behind that are only in the workspace.
    pub(crate) refused: bool,
    /// What this attempt changed although it should not have; dropped since.
    pub(crate) altered: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct Captured {
    pub(crate) commit: CommitId,
    pub(crate) tree: TreeId,
    pub(crate) attempt: u32,
}

/// [`Start`] as it is remembered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) enum StartState {
    Fresh {
        base: CommitId,
    },
    Continue {
        base: CommitId,
        head: CommitId,
    },
    Resolve {
        onto: CommitId,
        change: CommitId,
    },
    Merge {
        onto: CommitId,
        change: CommitId,
    },
    /// A start that this version does not know.
    Other,
}

impl From<Start> for StartState {
    fn from(start: Start) -> Self {
        match start {
            Start::Fresh { base } => Self::Fresh { base },
            Start::Continue { base, head } => Self::Continue { base, head },
            Start::Resolve { onto, change } => Self::Resolve { onto, change },
            Start::Merge { onto, change } => Self::Merge { onto, change },
            _ => Self::Other,
        }
    }
}

/// Names this start of the machine, where it has a name.
pub(crate) fn boot_id() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned())
}

impl State {
    /// Whether the machine was started anew since the files were handed out. They are not synced as an agent writes
    /// them, so they may be anything then, also where the index says that it knows them.
    pub(crate) fn outlived_its_machine(&self) -> bool {
        matches!((&self.boot, boot_id()), (Some(then), Some(now)) if *then != now)
    }

    /// What was written down of a workspace; `None` if nothing was, or nothing that makes sense.
    pub(crate) fn load(capture: &Path) -> Result<Option<Self>, GitError> {
        let bytes = there::ours(&capture.join("enki-state.json"))?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    pub(crate) fn save(&self, capture: &Path) -> Result<(), GitError> {
        let file = capture.join("enki-state.json");
        let bytes = serde_json::to_vec_pretty(self).map_err(|e| GitError::io("write", &file, e.into()))?;
        put_durably(&file, &bytes)
    }

    pub(crate) fn is_of(&self, attempt: EffectId) -> bool {
        self.attempt == attempt.hex()
    }

    /// The tree that holds all that is known to be kept.
    pub(crate) fn last_known(&self) -> TreeId {
        self.captured.map_or(self.populated, |captured| captured.tree)
    }
}

fn lock_file(enki: &Path, task: TaskId) -> PathBuf {
    enki.join("capture").join(format!("{task}.lock"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_nobody_can_read_now_is_not_taken_for_none() {
        let capture = tempfile::tempdir().unwrap();
        assert!(State::load(capture.path()).unwrap().is_none(), "nothing was written down");
        let file = capture.path().join("enki-state.json");
        fs::write(&file, "{").unwrap();
        assert!(State::load(capture.path()).unwrap().is_none(), "it makes no sense");
        fs::remove_file(&file).unwrap();
        // The memory of a process at its first page: an error of the disk is the same.
        std::os::unix::fs::symlink("/proc/self/mem", &file).unwrap();
        assert!(State::load(capture.path()).is_err());
    }
}
