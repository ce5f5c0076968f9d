//! What an attempt left in its workspace, as a commit that a ref keeps.

use crate::error::GitError;
use crate::git::message;
use crate::git::objects::{Kept, New};
use crate::isolation::beneath;
use crate::isolation::own::{self, Own};
use crate::isolation::scan::{Changed, one_line, show, show_all};
use crate::isolation::watch::Made;
use crate::project::GitProject;
use crate::workspaces::agent_git;
use crate::workspaces::place::{Captured, Place, StartState, State};
use crate::workspaces::resolve::unresolved;
use crate::workspaces::stage::{LeftOut, Staged, reset, stage};
use crate::workspaces::{keep_staged, prepare_capture_dir};
use enki_core::crash_point;
use enki_core::id::{CommitId, EffectId, StepId, TaskId, TreeId};
use enki_core::workspace::{ArtifactRef, Capture, CaptureSpec, Expect, MOST_PATHS, WorkspaceSpec};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Largest artifact that is taken, in bytes.
pub(crate) const ARTIFACT_LIMIT: u64 = 10 << 20;

pub(crate) fn capture(project: &GitProject, root: &Path, spec: &CaptureSpec) -> Result<Capture, GitError> {
    let workspace = &spec.workspace;
    let place = Place::of(project, root, workspace.task)?;
    let state = State::load(&place.capture)?
        .filter(|state| state.ready)
        .ok_or_else(|| GitError::Gone(format!("there is no workspace of {}", workspace.task)))?;
    if !state.is_of(workspace.id) {
        return captured_before(project, workspace);
    }
    if let Some(words) = place.lost() {
        return Err(GitError::Gone(words.to_owned()));
    }
    if !place.has_work() {
        return Err(GitError::Gone(format!("{} is gone, or no folder any more", place.work.display())));
    }
    prepare_capture_dir(project, &place)?;
    if state.outlived_its_machine() {
        // Kept for whoever wants to look, and not taken for work: what the disk lost nobody can tell.
        let staged = stage(project, &place)?;
        if ![state.last_known(), state.populated].contains(&staged.tree) {
            keep_staged(project, &place, &state, &staged)?;
        }
        let words =
            format!("the machine was started anew while {} was worked in: its files may be torn", place.work.display());
        return Err(GitError::Gone(words));
    }
    let begun = project.begun(&place, workspace.id)?.0;
    let foreign = begun.map_or_else(|| Ok(Vec::new()), |begun| begun.own.foreign(&place.work))?;
    let staged = stage(project, &place)?;
    let mut notices = Vec::new();
    let known: Vec<CommitId> = std::iter::once(state.parent).chain(state.captured.map(|it| it.commit)).collect();
    // Git is not asked about a git directory that may be somebody else's.
    let own = if foreign.is_empty() { own::take_in(project, &place, workspace.id, &known)? } else { Own::None };
    if let Own::Left(why) = &own {
        notices.push(why.clone());
    }
    let tip = if let Own::Kept(tip) = own { Some(tip) } else { None };
    let made = Made { tip, parent: state.parent, parent_tree: state.parent_tree, tree: staged.tree };
    let mut drift = project.drift(&place, workspace.id, &made)?;
    if !is_what_was_asked_for(&state, workspace) {
        drift.tampered.push(format!("{}, Enki's own note of the workspace, was changed", place.capture.display()));
    }
    notices.append(&mut drift.notices);
    let answer = answer(project, spec, &place, state, &staged, &foreign, &mut notices);
    if drift.tampered.is_empty() {
        answer.map(|answer| answer.noticing(notices))
    } else {
        Ok(tampered(drift.tampered, answer, notices))
    }
}

/// What the workspace itself tells, whatever happened beside it.
fn answer(
    project: &GitProject,
    spec: &CaptureSpec,
    place: &Place,
    state: State,
    staged: &Staged,
    foreign: &[String],
    notices: &mut Vec<String>,
) -> Result<Capture, GitError> {
    match spec.expect {
        Expect::Change => change(project, spec, place, state, staged, foreign, notices),
        Expect::Artifact | Expect::Nothing => {
            notices.extend(foreign.iter().cloned());
            if let Some(paths) = drop_changes(project, place, state, staged)? {
                return Ok(Capture::Altered { paths });
            }
            if spec.expect == Expect::Artifact {
                artifact(project, &spec.workspace, place)
            } else {
                Ok(Capture::NoChange)
            }
        }
        _ => Err(GitError::Gone("this kind of expectation is not known to this version".to_owned())),
    }
}

/// Nothing of the attempt is merged, and what it left is kept all the same.
fn tampered(mut what: Vec<String>, answer: Result<Capture, GitError>, mut notices: Vec<String>) -> Capture {
    let work = match answer {
        Ok(Capture::Change { commit, tree, .. }) => Some((commit, tree)),
        Ok(Capture::Refused { reason }) => {
            notices.push(format!("it was refused as well: {reason}"));
            None
        }
        Ok(_) => None,
        Err(error) => {
            what.push(format!("what it left could not be taken in and is in its workspace only: {error}"));
            None
        }
    };
    Capture::Tampered { what, work }.noticing(notices)
}

/// Whether Enki's note of a workspace still says what the caller asked for.
fn is_what_was_asked_for(state: &State, workspace: &WorkspaceSpec) -> bool {
    let start = StartState::from(workspace.start);
    let parent = match start {
        StartState::Fresh { base } => Some(base),
        StartState::Continue { head, .. } => Some(head),
        StartState::Resolve { onto, .. } | StartState::Merge { onto, .. } => Some(onto),
        StartState::Other => None,
    };
    state.start == start && parent == Some(state.parent)
}

/// The workspace is another attempt's by now; what this one left was captured then.
fn captured_before(project: &GitProject, workspace: &WorkspaceSpec) -> Result<Capture, GitError> {
    let base = match StartState::from(workspace.start) {
        StartState::Fresh { base } | StartState::Continue { base, .. } => base.to_string(),
        StartState::Resolve { onto, .. } | StartState::Merge { onto, .. } => onto.to_string(),
        StartState::Other => String::new(),
    };
    let kept = kept_ref(workspace.id);
    let names = [format!("{kept}^{{commit}}"), format!("{kept}^{{tree}}"), format!("{base}^{{tree}}")];
    let found = project.git().look_up(project.common_dir(), &names)?;
    match (found[0].commit(), found[1].id::<TreeId>(), found[2].id::<TreeId>()) {
        (Some(commit), Some(tree), Some(base)) => {
            Ok(changed_files(commit, tree, &project.diff(project.common_dir(), base, tree)?))
        }
        _ => Err(GitError::Gone(format!("the workspace of {} belongs to another attempt by now", workspace.task))),
    }
}

/// A change of those files.
fn changed_files(commit: CommitId, tree: TreeId, changed: &[Changed]) -> Capture {
    let files = u32::try_from(changed.len()).unwrap_or(u32::MAX);
    let mut paths: Vec<String> = changed.iter().map(|change| show(&change.path)).collect();
    paths.sort_unstable();
    paths.truncate(MOST_PATHS);
    Capture::Change { commit, tree, files, paths }
}

/// The ref in the person's repository that keeps what an attempt left.
fn kept_ref(id: EffectId) -> String {
    format!("refs/enki/kept/{}", id.hex())
}

fn change(
    project: &GitProject,
    spec: &CaptureSpec,
    place: &Place,
    mut state: State,
    staged: &Staged,
    foreign: &[String],
    notices: &mut Vec<String>,
) -> Result<Capture, GitError> {
    let mut reasons: Vec<String> = staged.left_out.iter().map(|left| left.why.clone()).collect();
    reasons.extend(foreign.iter().cloned());
    let unchanged = staged.tree == state.parent_tree;
    let mut outcome = Capture::NoChange;
    if !unchanged {
        let workspace = &spec.workspace;
        let mut changed = project.diff_with_folders(&place.capture, state.parent_tree, staged.tree)?;
        let mut new: Vec<String> = changed.iter().filter_map(Changed::new_object).collect();
        changed.retain(|change| !change.is_folder());
        let findings = project.inspect_changes(&place.capture, staged.tree, &changed)?;
        notices.extend(project.named_drivers(&place.capture, &changed)?);
        let text = message::step(&spec.title, "", "", workspace.task, workspace.attempt);
        let commit = project.commit_tree(&place.capture, staged.tree, &parents(&state), &text, spec.at)?;
        crash_point!("workspace.commit");
        new.extend([staged.tree.to_string(), commit.to_string()]);
        let wrong = wrong_solution(project, place, &state, staged.tree)?;
        let refused = match &wrong {
            None if findings.is_empty() => keep(project, place, (commit, staged.tree), &new, &state, workspace.id)?,
            _ => findings,
        };
        if refused.is_empty() && wrong.is_none() {
            place.write_ref(&place.branch_ref(), commit)?;
            state.captured = Some(Captured { commit, tree: staged.tree, attempt: workspace.attempt.0 });
            if state.base_tree != state.parent_tree {
                changed = project.diff(&place.capture, state.base_tree, staged.tree)?;
            }
            outcome = changed_files(commit, staged.tree, &changed);
        } else {
            // Not for the person's repository, but not lost either.
            place.write_ref(&format!("refs/enki/in/{}", workspace.id.hex()), commit)?;
            outcome = wrong.map_or(outcome, |paths| Capture::Unresolved { paths });
            reasons.extend(refused);
        }
    }
    if !reasons.is_empty() {
        outcome = Capture::Refused { reason: one_line(&reasons) };
    }
    state.refused = !reasons.is_empty();
    state.save(&place.capture)?;
    Ok(outcome)
}

/// What a captured commit is made on: the one commit before it, or both sides of a merge.
fn parents(state: &State) -> Vec<CommitId> {
    let merged = if let StartState::Merge { change, .. } = state.start { Some(change) } else { None };
    std::iter::once(state.parent).chain(merged).collect()
}

/// Keeps the captured commit. The same attempt may be captured again after its agent did more, and then the ref is
/// taken: the later commit gets a ref of its own.
fn keep(
    project: &GitProject,
    place: &Place,
    (commit, tree): (CommitId, TreeId),
    new: &[String],
    state: &State,
    id: EffectId,
) -> Result<Vec<String>, GitError> {
    let again = EffectId::of("again", &[id.hex().as_bytes(), commit.to_string().as_bytes()]);
    for full_ref in [kept_ref(id), kept_ref(again)] {
        match project.keep(&place.capture, commit, &New::Objects(new), &full_ref)? {
            Kept::Yes => {
                project.memo().put(commit, tree, Some(state.parent));
                project.memo().kept(commit, &full_ref);
                return Ok(Vec::new());
            }
            Kept::Refused(words) => return Ok(vec![format!("git refuses {words}")]),
            Kept::Taken => {}
        }
    }
    Err(GitError::Gone(format!("{} and {} are at other commits than {commit}", kept_ref(id), kept_ref(again))))
}

fn wrong_solution(
    project: &GitProject,
    place: &Place,
    state: &State,
    tree: TreeId,
) -> Result<Option<Vec<String>>, GitError> {
    let (StartState::Resolve { onto, change } | StartState::Merge { onto, change }) = state.start else {
        return Ok(None);
    };
    let wrong = unresolved(project, place, state, onto, change, tree)?;
    Ok((!wrong.is_empty()).then(|| show_all(wrong.iter().map(|path| &path[..]))))
}

/// Puts the files back as they were handed out. Gives what had been changed, also if an earlier try already did.
fn drop_changes(
    project: &GitProject,
    place: &Place,
    mut state: State,
    staged: &Staged,
) -> Result<Option<Vec<String>>, GitError> {
    if staged.tree == state.populated && staged.left_out.is_empty() {
        return Ok(state.altered);
    }
    let changed = project.diff(&place.capture, state.populated, staged.tree)?;
    let paths = changed.iter().map(|c| &c.path[..]).chain(staged.left_out.iter().map(|left| &left.path[..]));
    let mut paths = show_all(paths);
    if let Some(before) = &state.altered {
        paths.extend(before.iter().filter(|path| !paths.contains(path)).cloned().collect::<Vec<_>>());
        paths.truncate(50);
    }
    // Written down first: after a crash in between, the files no longer tell.
    state.altered = Some(paths.clone());
    state.save(&place.capture)?;
    reset(project, place, state.populated)?;
    staged.left_out.iter().try_for_each(|left| remove_left_out(&place.work, left))?;
    Ok(Some(paths))
}

fn remove_left_out(work: &Path, left: &LeftOut) -> Result<(), GitError> {
    if left.path.is_empty() || left.path == b".git" {
        return Ok(());
    }
    agent_git::remove(&work.join(OsStr::from_bytes(&left.path)))
}

/// Copies the artifact of the step to its place below the project.
fn artifact(project: &GitProject, workspace: &WorkspaceSpec, place: &Place) -> Result<Capture, GitError> {
    let folder = format!(".enki/artifacts/{}", workspace.execution);
    let io = |e| GitError::io("look for the artifact in", &place.work.join(&folder), e);
    let names = match beneath::files(&place.work, &folder, 10_000) {
        Ok(names) => names,
        Err(e) if is_link(&e) => return Ok(refused_link(&folder)),
        Err(e) => return Err(io(e)),
    };
    let Some(step) = names.iter().find_map(|name| step_of(name, workspace)) else { return Ok(Capture::NoArtifact) };
    let path = ArtifactRef { execution: workspace.execution, step }.path();
    let content = match beneath::read(&place.work, &path, ARTIFACT_LIMIT) {
        Ok(content) => content.unwrap_or_default(),
        Err(e) if is_link(&e) => return Ok(refused_link(&path)),
        Err(e) if e.kind() == std::io::ErrorKind::InvalidInput => {
            return Ok(Capture::Refused { reason: format!("{path}: {e}") });
        }
        Err(e) => return Err(io(e)),
    };
    if content.trim_ascii().is_empty() {
        return Ok(Capture::NoArtifact);
    }
    beneath::write(project.root(), &path, &content, 0o600)
        .map_err(|e| GitError::io("write the artifact", &project.root().join(&path), e))?;
    Ok(Capture::Artifact)
}

/// The step whose artifact has that file name, if it is the one of this workspace.
fn step_of(name: &str, workspace: &WorkspaceSpec) -> Option<StepId> {
    let step: StepId = name.strip_suffix(".md")?.parse().ok()?;
    (TaskId::of(workspace.execution, &step) == workspace.task).then_some(step)
}

fn is_link(error: &std::io::Error) -> bool {
    let code = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    matches!(code, Some(rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR))
}

fn refused_link(path: &str) -> Capture {
    Capture::Refused { reason: format!("{path} is behind a symbolic link, or not a plain file") }
}
