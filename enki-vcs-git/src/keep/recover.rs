//! Work that a ref keeps, and its way back to a branch.

use crate::error::GitError;
use crate::git::objects::{Old, Swap};
use crate::keep::gc::{GitKeep, Life};
use crate::keep::landed::Landed;
use crate::project::refs::{ANCHOR, ARCHIVE, Held, KEPT};
use crate::workspaces::remove::Workspaces;
use enki_core::branch::Branch;
use enki_core::id::{AttemptNo, CommitId, TaskId};
use enki_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// A commit of an attempt that refs keep.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Pin {
    /// It.
    pub commit: CommitId,
    /// The refs.
    pub refs: Vec<String>,
    /// Whose work it is, by its trailers.
    pub task: Option<TaskId>,
    /// Of which attempt; none if nobody reported it.
    pub attempt: Option<AttemptNo>,
    /// First line of its message.
    pub title: String,
    /// When it was captured; 1970 for what was left uncaptured.
    pub at: Timestamp,
    /// Files that it changes.
    pub files: u32,
    /// How it stands to the targets.
    pub standing: Standing,
}

/// How pinned work stands to the targets.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Standing {
    /// On none of them.
    Unmerged,
    /// On none of them, and given up or superseded.
    Archived,
    /// Merged: nothing would be lost without the pin.
    Landed,
}

/// What became of the wish for a branch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Restored {
    /// The branch is at the commit, since now or before.
    Yes,
    /// The branch exists, at that commit. It was not touched.
    Taken(CommitId),
}

impl GitKeep {
    /// Captures the files that nobody captured, in workspaces of executions that are not open. What the policy for
    /// changes refuses stays in its workspace. Gives the tasks whose files could not be looked at, and why. Blocks.
    ///
    /// # Errors
    ///
    /// [`GitError`] if the folders cannot be read.
    pub fn save_left(&self) -> Result<Vec<(TaskId, String)>, GitError> {
        self.project.ensure_enki_dir()?;
        let tasks: BTreeSet<TaskId> = self.folders()?.into_iter().filter_map(|(_, task)| task).collect();
        let mut failed = Vec::new();
        for task in tasks.into_iter().filter(|task| self.known.life(*task) != Some(Life::Open)) {
            let saved = Workspaces::of(&self.project, &self.root, task).and_then(|all| all.save(&self.project));
            if let Err(error) = saved {
                failed.push((task, error.to_string()));
            }
        }
        Ok(failed)
    }

    /// Every pinned attempt, newest first; what was left uncaptured before all. Blocks.
    ///
    /// # Errors
    ///
    /// [`GitError`] if the refs cannot be read.
    pub fn pins(&self) -> Result<Vec<Pin>, GitError> {
        self.project.ensure_enki_dir()?;
        let held = self.project.held()?;
        let tips: Vec<CommitId> = self.targets()?.into_iter().map(|(_, tip)| tip).collect();
        let landed = Landed::on(&self.project, &tips, &held)?;
        let mut pins: BTreeMap<CommitId, Pin> = BTreeMap::new();
        for held in held.iter().filter(|held| [KEPT, ANCHOR, ARCHIVE].iter().any(|kind| held.is(kind))) {
            if let Some(pin) = pins.get_mut(&held.commit) {
                pin.refs.push(held.name.clone());
            } else {
                pins.insert(held.commit, pin_of(held, &landed)?);
            }
        }
        for pin in pins.values_mut() {
            if pin.standing == Standing::Unmerged && pin.refs.iter().all(|name| name.starts_with(ARCHIVE)) {
                pin.standing = Standing::Archived;
            }
        }
        self.count_files(&mut pins)?;
        let mut pins: Vec<Pin> = pins.into_values().collect();
        pins.sort_by_key(|pin| {
            (pin.at != Timestamp(0), std::cmp::Reverse(pin.at), pin.task, std::cmp::Reverse(pin.attempt), pin.commit)
        });
        Ok(pins)
    }

    /// Makes a branch at a pinned commit, and checks nothing out. A branch that is there is never moved. Blocks.
    ///
    /// # Errors
    ///
    /// [`GitError`] if it cannot be made.
    pub fn restore(&self, commit: CommitId, branch: &Branch) -> Result<Restored, GitError> {
        let full_ref = branch.full_ref();
        let lock = self.project.write_lock()?;
        if self.project.swap(&lock, &full_ref, commit, Old::Absent)? == Swap::Done {
            self.project.sync_ref(&full_ref)?;
            return Ok(Restored::Yes);
        }
        match self.project.commit_at(&full_ref)? {
            Some(now) if now == commit => Ok(Restored::Yes),
            Some(now) => Ok(Restored::Taken(now)),
            None => Err(GitError::Raced(format!("{full_ref} is made and deleted by somebody else"))),
        }
    }

    fn count_files(&self, pins: &mut BTreeMap<CommitId, Pin>) -> Result<(), GitError> {
        for (commit, files) in self.project.files_of(pins.keys().copied())? {
            if let Some(pin) = pins.get_mut(&commit) {
                pin.files = u32::try_from(files.len()).unwrap_or(u32::MAX);
            }
        }
        Ok(())
    }
}

fn pin_of(held: &Held, landed: &Landed<'_>) -> Result<Pin, GitError> {
    let standing = if landed.has(held)? { Standing::Landed } else { Standing::Unmerged };
    Ok(Pin {
        commit: held.commit,
        refs: vec![held.name.clone()],
        task: held.task,
        attempt: held.attempt,
        title: held.title.clone(),
        at: held.at,
        files: 0,
        standing,
    })
}
