//! A branch beside the work: Enki adds files to it that nobody has checked out, and a person may commit to it too.
//!
//! The branch is what counts. `.enki/side/` is only its files, so that they can be read; what is missing or broken there is
//! made again of the branch.

use super::{GitProject, private_dir, put};
use crate::error::GitError;
use crate::git::Durable;
use crate::git::lock::Lock;
use crate::git::objects::{New, Old, Swap};
use crate::refinery::checkout::Use;
use crate::there;
use crate::workspaces::agent_git;
use enki_core::branch::Branch;
use enki_core::id::{CommitId, TreeId};
use enki_core::time::Timestamp;
use std::fs;
use std::path::PathBuf;

/// A branch beside the work, and the folder that has its files.
#[derive(Clone, Debug)]
pub struct SideBranch {
    project: GitProject,
    branch: Branch,
}

/// A side branch of which this has the files alone, as they are on it.
#[derive(Debug)]
pub struct HeldSide<'a> {
    side: &'a SideBranch,
    lock: Lock,
}

impl GitProject {
    /// The branch of that name; it is made by the first commit on it.
    ///
    /// # Errors
    ///
    /// [`GitError::UnfitBranch`] if it is no local branch's name or Enki's own, or if this is a folder without git, where
    /// nobody could look at it.
    pub fn side_branch(&self, name: &str) -> Result<SideBranch, GitError> {
        let unfit = |why: String| GitError::UnfitBranch { name: name.chars().take(80).collect(), why };
        let branch: Branch = name.parse().map_err(|error| unfit(format!("{error}")))?;
        if branch.remote().is_some() {
            return Err(unfit("it is one of a remote: name a local branch".to_owned()));
        }
        if branch.as_str() == "enki" || branch.as_str().starts_with("enki/") {
            return Err(unfit("branches that begin with enki/ are Enki's own: name another one".to_owned()));
        }
        if self.is_folder() {
            return Err(unfit("this folder has no git of yours: `git init` and a first commit make one".to_owned()));
        }
        Ok(SideBranch { project: self.clone(), branch })
    }
}

impl SideBranch {
    /// Its name.
    #[must_use]
    pub const fn branch(&self) -> &Branch {
        &self.branch
    }

    /// The folder of its files, as they were when it was last held.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.home().join("files")
    }

    /// Takes the files, brought to where the branch is, until it is dropped. Whoever else wants them waits. Blocks.
    ///
    /// # Errors
    ///
    /// [`GitError`] if git or the folder fails.
    pub fn hold(&self) -> Result<HeldSide<'_>, GitError> {
        self.project.ensure_enki_dir()?;
        private_dir(&self.home())?;
        let held = HeldSide { side: self, lock: Lock::acquire(&self.home().join("lock"))? };
        held.refresh()?;
        Ok(held)
    }

    fn home(&self) -> PathBuf {
        self.project.enki_dir().join("side")
    }

    fn index(&self) -> PathBuf {
        self.home().join("index")
    }

    fn next_index(&self) -> PathBuf {
        self.home().join("next")
    }

    /// Says of which branch and commit the files are.
    fn mark(&self) -> PathBuf {
        self.home().join("at")
    }

    /// Refuses to go on if the branch is checked out: a commit under somebody's files would look as if they had taken it
    /// back. Blocks.
    ///
    /// # Errors
    ///
    /// [`GitError::UnfitBranch`] if it is.
    pub fn require_unused(&self) -> Result<(), GitError> {
        let why = match self.project.use_of(&self.branch.full_ref())? {
            Use::No => return Ok(()),
            Use::CheckedOut(path) => {
                format!("it is checked out at {}: check out another one there, or name another one", path.display())
            }
            Use::Busy(why) => why,
        };
        Err(GitError::UnfitBranch { name: self.branch.to_string(), why })
    }
}

impl HeldSide<'_> {
    /// Commits those of the files, by their paths below the folder, in the name of Enki at that time. Durable on return.
    /// Files that are on the branch just so already need no commit. Blocks.
    ///
    /// `false`: somebody else has moved the branch. Nothing is committed, and the folder is brought to where the branch is;
    /// whoever made the files looks again and makes what is missing.
    ///
    /// # Errors
    ///
    /// [`GitError::UnfitBranch`] if the branch is checked out; [`GitError`] if git fails. Nothing is committed.
    pub fn commit(&self, paths: &[String], message: &str, at: Timestamp) -> Result<bool, GitError> {
        let (side, project) = (self.side, &self.side.project);
        side.require_unused()?;
        let full_ref = side.branch.full_ref();
        let parent = project.commit_at(&full_ref)?;
        if fs::read_to_string(side.mark()).ok().as_deref() != Some(&self.marked(parent)) {
            self.refresh()?;
            return Ok(false);
        }
        let tree = self.stage(parent, paths)?;
        if let Some(parent) = parent
            && tree == project.tree_of(project.common_dir(), parent)?
        {
            return Ok(true);
        }
        let commit = project.commit_tree(project.common_dir(), tree, parent.as_slice(), message, at)?;
        let new = parent.map_or(New::All, New::Since);
        let Some(objects) = project.complete(commit, &new)? else {
            return Err(GitError::Raced(format!("objects of {commit} disappear as they are made")));
        };
        // First: of a ref whose objects a loss of power took, git says that the repository is broken.
        project.sync_objects(&objects)?;
        let lock = project.write_lock()?;
        if project.swap(&lock, &full_ref, commit, parent.map_or(Old::Absent, Old::At))? == Swap::Elsewhere {
            drop(lock);
            self.refresh()?;
            return Ok(false);
        }
        project.sync_ref(&full_ref)?;
        project.spare(commit, &objects, None);
        fs::rename(side.next_index(), side.index()).map_err(|e| GitError::io("replace", &side.index(), e))?;
        put(&side.mark(), self.marked(Some(commit)).as_bytes())?;
        Ok(true)
    }

    /// The tree of that commit with those files, and an index of it beside the one that is in use: whatever became of that
    /// one, nothing of the branch is lost.
    fn stage(&self, parent: Option<CommitId>, paths: &[String]) -> Result<TreeId, GitError> {
        let (side, next) = (self.side, self.side.next_index());
        let write = || side.project.at_person_durably();
        for path in [&next, &next.with_extension("lock")] {
            agent_git::remove(path)?;
        }
        let mut entries = Vec::new();
        for path in paths {
            // As it is: the person's filters are for their own files.
            let hash = write().args(["hash-object", "-w", "--no-filters", "--"]).arg(side.files().join(path));
            entries.push(format!("100644,{},{path}", hash.ok()?.line()));
        }
        if let Some(parent) = parent {
            write().index(&next).holding(&self.lock).args(["read-tree", &parent.to_string()]).ok()?;
        }
        let mut update = write().index(&next).holding(&self.lock).args(["update-index", "--add"]);
        for entry in &entries {
            update = update.arg("--cacheinfo").arg(entry);
        }
        update.ok()?;
        write().index(&next).holding(&self.lock).arg("write-tree").ok()?.id()
    }

    /// Brings the files to where the branch is, unless they are there.
    fn refresh(&self) -> Result<(), GitError> {
        let side = self.side;
        let tip = side.project.commit_at(&side.branch.full_ref())?;
        let (now, was) = (self.marked(tip), there::text(&side.mark())?.unwrap_or_default());
        if was == now && side.files().is_dir() {
            return Ok(());
        }
        // Those of another branch, or of none, are no beginning; neither is what a loss of power left.
        let of_it = |text: &str| text.split_once('\n').map(|(branch, _)| branch.to_owned());
        if tip.is_none() || of_it(&was) != of_it(&now) || !self.check_out(tip)? {
            self.clear()?;
            if !self.check_out(tip)? {
                let why = format!("git cannot read the files of {}", side.branch);
                return Err(GitError::Gone(why));
            }
        }
        put(&side.mark(), now.as_bytes())
    }

    /// Has git write what differs. Through a git directory of ours: no filter of the person's runs.
    fn check_out(&self, tip: Option<CommitId>) -> Result<bool, GitError> {
        let (side, files) = (self.side, self.side.files());
        agent_git::remove(&side.index().with_extension("lock"))?;
        private_dir(&files)?;
        let Some(tip) = tip else { return Ok(true) };
        let git = side.project.git().at(&side.project.refinery_dir()?).durable(Durable::No).work_tree(&files);
        let git = git.index(&side.index()).holding(&self.lock).long();
        let done = git.args(["read-tree", "--reset", "-u"]).arg(tip.to_string()).run()?;
        Ok(done.code == Some(0))
    }

    fn clear(&self) -> Result<(), GitError> {
        let side = self.side;
        for path in [side.mark(), side.index(), side.index().with_extension("lock"), side.files()] {
            agent_git::remove(&path)?;
        }
        Ok(())
    }

    fn marked(&self, tip: Option<CommitId>) -> String {
        format!("{}\n{}\n", self.side.branch, tip.map_or_else(|| "none".to_owned(), |tip| tip.to_string()))
    }
}
