//! Workspaces go when nothing in them would be lost (promise R1).

use crate::agent_git;
use crate::error::GitError;
use crate::place::{Captured, Place, State};
use crate::project::GitProject;
use crate::stage::stage;
use crate::workspaces::{base_ref, prepare_capture_dir};
use enki_core::branch::Branch;
use enki_core::id::{CommitId, ExecutionId, TaskId};
use std::collections::BTreeSet;
use std::path::Path;

/// Removes the workspaces of a task. Gives the reason if something would be lost; then nothing was removed.
///
/// What was captured last must be on a branch. Captures of earlier attempts and of workspaces kept aside were
/// superseded: the refs that keep them stay.
pub(crate) fn remove(project: &GitProject, root: &Path, task: TaskId) -> Result<Option<String>, GitError> {
    let place = Place::of(project, root, task)?;
    let state = State::load(&place.capture);
    if let Some(state) = &state {
        if place.has_work() && state.ready {
            prepare_capture_dir(project, &place)?;
            let staged = stage(project, &place)?;
            let parent = [state.populated, state.parent_tree, state.last_known()];
            if !parent.contains(&staged.tree) || !staged.left_out.is_empty() {
                return Ok(Some("its files differ from what was captured last: capture it first".to_owned()));
            }
        }
        if let Some(captured) = state.captured
            && !is_landed(project, state, captured, task)?
        {
            let words =
                format!("commit {} is on no branch yet; refs/enki/kept keeps it: land it first", captured.commit);
            return Ok(Some(words));
        }
    }
    agent_git::remove(&place.work)?;
    agent_git::remove(&place.capture)?;
    for (work, capture) in place.kept_aside()? {
        agent_git::remove(&work)?;
        agent_git::remove(&capture)?;
    }
    let lock = project.write_lock()?;
    project.delete_ref(&lock, &base_ref(task))?;
    Ok(None)
}

/// Whether a captured change is on the integration branch, on HEAD, or on one of the first 50 branches.
fn is_landed(project: &GitProject, state: &State, captured: Captured, task: TaskId) -> Result<bool, GitError> {
    let mut tips = Vec::new();
    if let Ok(execution) = state.execution.parse::<ExecutionId>() {
        tips.extend(project.commit_at(&Branch::integration(execution).full_ref())?);
    }
    tips.extend(project.commit_at("HEAD")?);
    let list = ["for-each-ref", "--count=50", "--sort=-committerdate", "--format=%(objectname)", "refs/heads"];
    let heads = project.at_person().args(list).ok()?;
    tips.extend(String::from_utf8_lossy(&heads.stdout).lines().filter_map(|id| id.parse::<CommitId>().ok()));
    let mut seen = BTreeSet::new();
    for tip in tips.into_iter().filter(|tip| seen.insert(*tip)) {
        if project.is_ancestor(captured.commit, tip)? || is_landed_on(project, state, captured, task, tip)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the branch has a commit of this task and attempt since the base, or would not change by the change.
fn is_landed_on(
    project: &GitProject,
    state: &State,
    captured: Captured,
    task: TaskId,
    tip: CommitId,
) -> Result<bool, GitError> {
    const FORMAT: &str = "--format=%(trailers:key=Enki-Task,valueonly,separator=%x2C) %(trailers:key=Enki-Attempt,valueonly,separator=%x2C)";
    let log = project
        .at_person()
        .config("log.showSignature=false")
        .args(["log", "-z", FORMAT])
        .args([tip.to_string(), format!("^{}", state.parent)])
        .ok()?;
    let wanted = format!("{task} {}", captured.attempt);
    if String::from_utf8_lossy(&log.stdout).split('\0').any(|line| line.trim() == wanted) {
        return Ok(true);
    }
    let refinery = project.refinery_dir()?;
    // Without a common ancestor there is nothing to compare.
    let Ok(merged) = project.merge(&refinery, tip, captured.commit) else { return Ok(false) };
    Ok(merged.stages.is_empty() && merged.tree == project.tree_of(project.common_dir(), tip)?)
}
