//! Workspaces go when nothing in them would be lost (promise R1).

use crate::error::GitError;
use crate::git::objects::{Kept, New};
use crate::project::GitProject;
use crate::project::refs::archive_ref;
use crate::there;
use crate::workspaces::agent_git;
use crate::workspaces::place::{Captured, Place, StartState, State};
use crate::workspaces::pool;
use crate::workspaces::setup;
use crate::workspaces::stage::{Staged, stage};
use crate::workspaces::{base_ref, keep_staged, left_id, prepare_capture_dir};
use enki_core::branch::Branch;
use enki_core::crash_point;
use enki_core::id::{AttemptNo, CommitId, ExecutionId, TaskId};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Removes the workspaces of a task. Gives the reason if something would be lost; then nothing was removed.
///
/// What was captured last must be on a branch or archived, and so must be what is in folders that were kept aside.
/// Captures of earlier attempts were superseded: the refs that keep them stay.
pub(crate) fn remove(project: &GitProject, root: &Path, task: TaskId) -> Result<Option<String>, GitError> {
    let all = Workspaces::of(project, root, task)?;
    if let Some(words) = all.loss(project)? {
        return Ok(Some(words));
    }
    let place = &all.place;
    if let Some(state) = State::load(&place.capture)?
        && let Some(captured) = state.captured
        && !is_landed(project, &state, captured, task)?
        && project.commit_at(&archive_ref(captured.commit))?.is_none()
    {
        let words = format!("commit {} is on no branch yet; refs/enki/kept keeps it: land it first", captured.commit);
        return Ok(Some(words));
    }
    crash_point!("merge.10.before");
    if place.mounted().is_some() {
        setup::tear_down(project, &place.work, &task.to_string());
    }
    for place in std::iter::once(place).chain(&all.aside) {
        match place.detach() {
            // Whatever was unmounted already is mounted again by whoever comes next.
            Err(error @ GitError::Busy { .. }) => return Ok(Some(error.to_string())),
            result => result?,
        }
    }
    if place.mounted().is_some() {
        discard(project, &place.work)?;
        discard(project, &place.capture)?;
    } else {
        pool::give_back(project, &place.work, &place.capture)?;
    }
    for place in &all.aside {
        discard(project, &place.work)?;
        discard(project, &place.capture)?;
    }
    all.histories.iter().try_for_each(|path| discard(project, path))?;
    let lock = project.write_lock()?;
    project.delete_ref(&lock, &base_ref(task))?;
    place.remove_lock(project)?;
    project.watch().ends(task);
    crash_point!("merge.10.after");
    Ok(None)
}

/// Takes a folder away at once, then deletes it: one of which half is deleted would look like an agent's work.
pub(crate) fn discard(project: &GitProject, path: &Path) -> Result<(), GitError> {
    if fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    let tmp = project.enki_dir().join("tmp");
    let dir = tempfile::Builder::new().prefix("gone-").tempdir_in(&tmp);
    let dir = dir.map_err(|e| GitError::io("make a folder in", &tmp, e))?;
    fs::rename(path, dir.path().join("it")).map_err(|e| GitError::io("move away", path, e))?;
    crash_point!("workspace.delete");
    if let Err(error) = agent_git::remove(&dir.keep()) {
        tracing::debug!(path = %path.display(), %error, "a removed folder is left among the temporary ones");
    }
    Ok(())
}

/// All folders of a task.
pub(crate) struct Workspaces {
    pub(crate) place: Place,
    pub(crate) aside: Vec<Place>,
    /// Commits that agents made for themselves; their files were captured.
    histories: Vec<PathBuf>,
}

impl Workspaces {
    /// Waits until nobody else is at them.
    pub(crate) fn of(project: &GitProject, root: &Path, task: TaskId) -> Result<Self, GitError> {
        let place = Place::of(project, root, task)?;
        let (mut aside, mut histories) = (Vec::new(), Vec::new());
        for (work, capture) in place.kept_aside()? {
            if work.extension().is_some_and(|end| end == "agent") {
                histories.push(work);
            } else {
                aside.push(place.at_aside(project, work, capture)?);
            }
        }
        Ok(Self { place, aside, histories })
    }

    /// What is only in these folders, in words; none if nothing is.
    pub(crate) fn loss(&self, project: &GitProject) -> Result<Option<String>, GitError> {
        for place in std::iter::once(&self.place).chain(&self.aside) {
            if let Some(words) = loss_of(project, place)? {
                return Ok(Some(words));
            }
        }
        Ok(None)
    }

    /// Captures what nobody captured, as far as it may come into the person's repository.
    pub(crate) fn save(&self, project: &GitProject) -> Result<(), GitError> {
        for place in std::iter::once(&self.place).chain(&self.aside) {
            if let Some(words) = place.lost() {
                return Err(GitError::Gone(words.to_owned()));
            }
            if let Some(Left { state, staged }) = left(project, place)? {
                keep_staged(project, place, &state, &staged)?;
            }
        }
        Ok(())
    }

    /// Archives what the policy refused: never to be merged, but to be kept.
    pub(crate) fn archive_refused(&self, project: &GitProject) -> Result<(), GitError> {
        for place in std::iter::once(&self.place).chain(&self.aside) {
            for commit in refused(project, place)? {
                let archived = project.keep(&place.capture, commit, &New::All, &archive_ref(commit))?;
                if let Kept::Refused(words) = archived {
                    let words = format!("{commit} in {} cannot be archived: {words}", place.capture.display());
                    return Err(GitError::Gone(words));
                }
            }
        }
        Ok(())
    }
}

/// Files that no commit has.
struct Left {
    state: State,
    staged: Staged,
}

fn left(project: &GitProject, place: &Place) -> Result<Option<Left>, GitError> {
    let Some(state) = State::load(&place.capture)?.filter(|_| place.has_work()) else { return Ok(None) };
    if !state.ready && matches!(state.start, StartState::Fresh { .. }) {
        // Interrupted before anybody could work in it.
        return Ok(None);
    }
    prepare_capture_dir(project, place)?;
    let staged = stage(project, place)?;
    let known = [state.populated, state.parent_tree, state.last_known()].contains(&staged.tree);
    Ok((!known || !staged.left_out.is_empty()).then_some(Left { state, staged }))
}

fn loss_of(project: &GitProject, place: &Place) -> Result<Option<String>, GitError> {
    if let Some(words) = place.lost() {
        return Ok(Some(words.to_owned()));
    }
    let shown = place.work.display();
    if place.has_work() && !place.capture.exists() {
        return Ok(Some(format!("nobody knows any more what {shown} was made from: take out of it what you need")));
    }
    if let Some(Left { state, staged }) = left(project, place)? {
        if let Some(file) = staged.left_out.first() {
            return Ok(Some(format!("{} in {shown}, and cannot be captured: take out what you need", file.why)));
        }
        let known = [state.populated, state.parent_tree, state.last_known()].contains(&staged.tree);
        if !known && !is_pinned(project, place, &left_id(&state, staged.tree))? {
            return Ok(Some(format!("the files in {shown} differ from what was captured last: capture them first")));
        }
    }
    let refused = refused(project, place)?;
    Ok(refused.first().map(|commit| {
        format!("commit {commit} was refused by the policy for changes, and is only in {}", place.capture.display())
    }))
}

/// Whether what was committed of files that were left is kept by a ref of the person's repository.
fn is_pinned(project: &GitProject, place: &Place, left: &str) -> Result<bool, GitError> {
    let Some(text) = there::text(&place.capture.join("refs/enki/in").join(left))? else { return Ok(false) };
    let commit = text.trim().parse::<CommitId>().ok();
    Ok(project.held()?.iter().any(|held| Some(held.commit) == commit))
}

/// Commits that are in the private git directory alone.
fn refused(project: &GitProject, place: &Place) -> Result<Vec<CommitId>, GitError> {
    let mut commits = BTreeSet::new();
    for entry in there::entries(&place.capture.join("refs/enki/in"))? {
        let text = there::text(&entry.path())?.unwrap_or_default();
        commits.extend(text.trim().parse::<CommitId>().ok());
    }
    if !commits.is_empty() {
        for held in project.held()? {
            commits.remove(&held.commit);
        }
    }
    Ok(commits.into_iter().collect())
}

/// Whether a captured change is on the integration branch, on HEAD, or on one of the first 50 branches.
fn is_landed(project: &GitProject, state: &State, captured: Captured, task: TaskId) -> Result<bool, GitError> {
    let marks = (task, AttemptNo(captured.attempt));
    let has = |tip: CommitId| -> Result<bool, GitError> {
        // First what is so for each step that was merged.
        Ok(project.memo().is_on(marks, tip)
            || project.recorded(tip, Some(state.parent))?.contains(&marks)
            || project.is_ancestor(captured.commit, tip)?
            || project.adds_nothing(tip, captured.commit)?)
    };
    let integration = state.execution.parse::<ExecutionId>().ok();
    let integration = integration.map(|execution| Branch::integration(execution).full_ref());
    if let Some(tip) = integration.map(|full_ref| project.position(&full_ref)).transpose()?.flatten()
        && has(tip)?
    {
        return Ok(true);
    }
    let list = ["for-each-ref", "--count=50", "--sort=-committerdate", "--format=%(objectname)", "refs/heads"];
    let heads = project.at_person().args(list).ok()?;
    let mut tips: BTreeSet<CommitId> = project.commit_at("HEAD")?.into_iter().collect();
    tips.extend(String::from_utf8_lossy(&heads.stdout).lines().filter_map(|id| id.parse::<CommitId>().ok()));
    for tip in tips {
        if has(tip)? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl GitProject {
    /// Whether merging a commit would change nothing on a tip. Done in a private git directory that goes at once.
    pub(crate) fn adds_nothing(&self, tip: CommitId, commit: CommitId) -> Result<bool, GitError> {
        let tmp = self.ensure_enki_dir()?.join("tmp");
        let dir = tempfile::tempdir_in(&tmp).map_err(|e| GitError::io("make a folder in", &tmp, e))?;
        self.private_git_dir(dir.path(), &[self.common_dir()])?;
        // Without a common ancestor there is nothing to compare.
        let Ok(merged) = self.merge(dir.path(), tip, commit) else { return Ok(false) };
        Ok(merged.stages.is_empty() && merged.tree == self.tree_of(self.common_dir(), tip)?)
    }
}
