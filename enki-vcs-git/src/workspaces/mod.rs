//! [`GitWorkspaces`]: private clones for attempts.

pub(crate) mod agent_git;
pub(crate) mod capture;
pub(crate) mod diff;
pub(crate) mod disk;
pub(crate) mod manifest;
pub(crate) mod overlay;
pub(crate) mod place;
pub(crate) mod pool;
pub(crate) mod remove;
pub(crate) mod resolve;
pub(crate) mod setup;
pub(crate) mod share;
pub(crate) mod stage;
pub(crate) mod sweep;

use crate::error::GitError;
use crate::git::objects::{New, Swap};
use crate::isolation::beneath;
use crate::isolation::scan::show_all;
use crate::keep::gc::{GitKeep, Known};
use crate::project::root;
use crate::project::{GitProject, private_dir};
use crate::workspaces::disk::Room;
use crate::workspaces::place::{Place, StartState, State};
use crate::workspaces::pool::Pool;
use crate::workspaces::resolve::{Merged, announce};
use crate::workspaces::stage::{Files, Staged, reset, stage};
use enki_core::async_trait;
use enki_core::crash_point;
use enki_core::id::{CommitId, EffectId, TaskId, TreeId};
use enki_core::tier::Purpose;
use enki_core::time::Timestamp;
use enki_core::workspace::{
    Capture, CaptureSpec, Start, Workspace, WorkspaceError, WorkspaceErrorKind, WorkspaceInfo, WorkspaceProvider,
    WorkspaceSpec,
};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// [`WorkspaceProvider`] on git: each task has a clone of its own at `.enki/copies/<task>/`.
///
/// The clone borrows the objects of the person's repository, so a start costs the checkout alone. Its files are
/// written and read through a git directory that only Enki uses; the `.git` that the agent sees is made by hand, and
/// the host never runs git on it. See the crate's documentation for what a call costs.
#[derive(Clone, Debug)]
pub struct GitWorkspaces {
    project: GitProject,
    root: Arc<Path>,
    pool: Arc<Pool>,
}

impl GitWorkspaces {
    pub(crate) fn new(project: GitProject, root: PathBuf) -> Self {
        Self { project, root: root.into(), pool: Arc::default() }
    }

    /// The folder that holds the workspaces, absolute and without links. It may not be there yet.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the project keeps, seen with what the store knows.
    #[must_use]
    pub fn keep(&self, known: Known) -> GitKeep {
        // What goes there is to be gone, not to be used again.
        let project = self.project.with_options(|options| options.pool = 0);
        GitKeep::new(project, self.root.to_path_buf(), known)
    }
}

impl GitWorkspaces {
    /// Bytes on the disk that a workspace takes, with what Enki keeps of it. Looks at every file.
    ///
    /// # Errors
    ///
    /// [`WorkspaceError`] if a folder in it cannot be read.
    pub async fn bytes(&self, workspace: &WorkspaceInfo) -> Result<u64, WorkspaceError> {
        let (enki, work) = (self.project.enki_dir(), workspace.path.clone());
        let attempted = format!("measure {}", work.display());
        on_thread(attempted, move || {
            let name = work.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let beside = work.with_extension("git");
            let capture = if beside.is_dir() { beside } else { enki.join("capture").join(format!("{name}.git")) };
            let taken = |folder: &Path| disk::taken(folder).map_err(|e| GitError::io("measure", folder, e));
            Ok(taken(&work)? + taken(&capture)?)
        })
        .await
    }
}

/// Every method runs on a thread for blocking work, to its end: a caller that stops waiting interrupts nothing.
#[async_trait]
impl WorkspaceProvider for GitWorkspaces {
    async fn create(&self, spec: &WorkspaceSpec) -> Result<Workspace, WorkspaceError> {
        let (project, root, spec) = (self.project.clone(), Arc::clone(&self.root), spec.clone());
        let attempted = format!("make the workspace of {}, attempt {}", spec.task, spec.attempt);
        let pool = Arc::clone(&self.pool);
        on_thread(attempted, move || {
            let busy = pool.busy();
            let made = match create(&project, &root, &spec) {
                // A prune took what it begins with.
                Err(_) if project.look_again().is_ok_and(|again| again > 0) => create(&project, &root, &spec),
                made => made,
            };
            drop(busy);
            pool.refill(&project);
            made
        })
        .await
    }

    async fn capture(&self, spec: &CaptureSpec) -> Result<Capture, WorkspaceError> {
        let (project, root, spec) = (self.project.clone(), Arc::clone(&self.root), spec.clone());
        let attempted = format!("capture the workspace of {}, attempt {}", spec.workspace.task, spec.workspace.attempt);
        on_thread(attempted, move || capture::capture(&project, &root, &spec)).await
    }

    async fn remove(&self, task: TaskId) -> Result<(), WorkspaceError> {
        let (project, root) = (self.project.clone(), Arc::clone(&self.root));
        let attempted = format!("remove the workspaces of {task}");
        let said = attempted.clone();
        let loss =
            on_thread(attempted.clone(), move || crate::workspaces::remove::remove(&project, &root, task)).await?;
        loss.map_or(Ok(()), |reason| Err(WorkspaceError::new(WorkspaceErrorKind::Unmerged, said, reason)))
    }

    async fn list(&self) -> Result<Vec<WorkspaceInfo>, WorkspaceError> {
        let (project, root) = (self.project.clone(), Arc::clone(&self.root));
        on_thread("list the workspaces".to_owned(), move || list(&project, &root)).await
    }

    async fn prepare(&self, base: CommitId, wanted: u32) {
        // The thread that works on it was ended, or could not be started: then nothing is prepared.
        let _ = self.pool.wish(&self.project, base, wanted).await;
    }
}

async fn on_thread<T: Send + 'static>(
    attempted: String,
    work: impl FnOnce() -> Result<T, GitError> + Send + 'static,
) -> Result<T, WorkspaceError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|e| e.workspace(attempted)),
        Err(e) => Err(WorkspaceError::new(WorkspaceErrorKind::Environment, attempted, e.to_string())),
    }
}

fn create(project: &GitProject, root: &Path, spec: &WorkspaceSpec) -> Result<Workspace, GitError> {
    let mut place = Place::of(project, root, spec.task)?;
    let old = State::load(&place.capture)?;
    let start = StartState::from(spec.start);
    if let Some(state) = &old
        && state.is_of(spec.id)
        && state.start == start
        && state.ready
        && place.has_work()
        && !state.outlived_its_machine()
    {
        return Ok(Workspace::at(place.work.clone()).with_conflicts(state.conflicts.clone()));
    }
    make_room(project)?;
    let plan = Plan::of(project, spec)?;
    match old {
        // Interrupted before anybody could work in it: there is nothing of anybody in it.
        Some(state) if !state.ready && state.is_of(spec.id) && matches!(spec.start, Start::Fresh { .. }) => {
            place.detach()?;
            agent_git::remove(&place.work)?;
            agent_git::remove(&place.capture)?;
            place.files = populate(project, &place, spec, &plan, Some(&state))?;
        }
        Some(state) if place.has_work() => {
            prepare_capture_dir(project, &place)?;
            open_up(&place.work)?;
            let anew = state.outlived_its_machine();
            if anew || matches!(spec.start, Start::Fresh { .. }) {
                if let Err(error) = keep_what_is_left(project, &place, &state) {
                    // The folder itself is kept, so nothing is lost by going on.
                    tracing::warn!(task = %spec.task, %error, "what was left in a workspace is only in its folder");
                }
                place.move_aside(project)?;
                place.files = populate(project, &place, spec, &plan, anew.then_some(&state))?;
            } else if goes_on_where_refused(&state, spec, &plan) {
                take_over(project, &place, spec, &plan, &state, state.populated)?;
            } else {
                let there = keep_what_is_left(project, &place, &state)?;
                take_over(project, &place, spec, &plan, &state, plan.populated)?;
                if there != plan.populated {
                    reset(project, &place, plan.populated)?;
                }
            }
        }
        other => {
            place.move_aside(project)?;
            place.files = populate(project, &place, spec, &plan, other.as_ref())?;
        }
    }
    equip(project, &place, spec, &plan)?;
    let conflicts = plan.conflicts();
    let mut state = State::load(&place.capture)?
        .ok_or_else(|| GitError::Gone(format!("{} disappeared meanwhile", place.capture.display())))?;
    project.begin_watch(&place, spec.id)?;
    state.ready = true;
    state.save(&place.capture)?;
    Ok(Workspace::at(place.work.clone()).with_conflicts(conflicts))
}

/// Sees to it that there is space to begin; prepared workspaces go first.
fn make_room(project: &GitProject) -> Result<(), GitError> {
    if Room::of(project)?.suffices() {
        return Ok(());
    }
    pool::shed(project)?;
    let room = Room::of(project)?;
    if room.suffices() { Ok(()) } else { Err(room.low(project)) }
}

/// What the files shall be, and what they come from.
struct Plan {
    parent: CommitId,
    parent_tree: TreeId,
    /// What the number of changed files is counted against.
    base_tree: TreeId,
    populated: TreeId,
    merged: Option<(Merged, CommitId)>,
}

impl Plan {
    fn of(project: &GitProject, spec: &WorkspaceSpec) -> Result<Self, GitError> {
        let trees = |commits: &[CommitId]| project.trees_of(project.common_dir(), commits);
        match spec.start {
            Start::Fresh { base } => {
                // What this process published is not looked for: git does not pin what is gone.
                let known = project.memo().get(base).map(|known| known.tree);
                let tree = known.map_or_else(|| trees(&[base]).map(|trees| trees[0]), Ok)?;
                Ok(Self { parent: base, parent_tree: tree, base_tree: tree, populated: tree, merged: None })
            }
            Start::Continue { base, head } => {
                let trees = trees(&[base, head])?;
                let (base_tree, tree) = (trees[0], trees[1]);
                Ok(Self { parent: head, parent_tree: tree, base_tree, populated: tree, merged: None })
            }
            Start::Resolve { onto, change } | Start::Merge { onto, change } => {
                let tree = trees(&[onto, change])?[0];
                let merged = project.merge(&project.refinery_dir()?, onto, change)?;
                let populated = merged.tree;
                let merged = Some((merged, change));
                Ok(Self { parent: onto, parent_tree: tree, base_tree: tree, populated, merged })
            }
            _ => Err(GitError::Gone("this kind of start is not known to this version".to_owned())),
        }
    }

    fn conflicts(&self) -> Vec<String> {
        self.merged.as_ref().map_or_else(Vec::new, |(merged, _)| show_all(merged.paths()))
    }

    fn state(
        &self,
        spec: &WorkspaceSpec,
        captured: Option<crate::workspaces::place::Captured>,
        populated: TreeId,
    ) -> State {
        State {
            format: 1,
            attempt: spec.id.hex(),
            execution: spec.execution.hex(),
            start: spec.start.into(),
            parent: self.parent,
            parent_tree: self.parent_tree,
            base_tree: self.base_tree,
            populated,
            conflicts: self.conflicts(),
            boot: crate::workspaces::place::boot_id(),
            over: None,
            ready: false,
            captured,
            refused: false,
            altered: None,
        }
    }
}

/// Makes the folder and its files from nothing. Says how they are there.
fn populate(
    project: &GitProject,
    place: &Place,
    spec: &WorkspaceSpec,
    plan: &Plan,
    old: Option<&State>,
) -> Result<overlay::Files, GitError> {
    pin(project, place.task, plan)?;
    let mut state = plan.state(spec, old.and_then(|state| state.captured), plan.populated);
    crash_point!("workspace.populate.before");
    let over = overlay::wanted(project);
    let fresh = matches!(spec.start, Start::Fresh { .. });
    let prepared = fresh && over.is_none() && pool::take(project, place, &state, plan.parent);
    let mut files = overlay::Files::Plain;
    if !prepared {
        prepare_capture_dir(project, place)?;
        state.save(&place.capture)?;
        private_dir(&place.work)?;
        let mut there = None;
        if let Some(marks) = over {
            match overlay::begin(project, &place.work, &place.capture, &mut state, marks) {
                Ok(mounted) => (there, files) = (Some(mounted.tree), overlay::Files::Mounted(mounted)),
                Err(error) => {
                    tracing::warn!(task = %place.task, %error, "a workspace is made of plain files");
                    state.over = None;
                    state.save(&place.capture)?;
                    agent_git::remove(&place.capture.join("index"))?;
                }
            }
        }
        if there != Some(plan.populated) {
            let at = Files { over: None, ..Files::of(place) };
            at.reset(project, &place.lock, plan.populated)?;
            setup::prepare(project, at, &place.task.to_string()).inspect_err(|_| {
                // Nobody was at work in it. The state stays, it knows what was captured before.
                let removed = if there.is_some() { overlay::end(&place.work, &place.capture) } else { Ok(()) };
                if let Err(error) = removed.and_then(|()| agent_git::remove(&place.work)) {
                    tracing::warn!(task = %place.task, %error, "a workspace that was not set up could not be removed");
                }
            })?;
        }
    }
    crash_point!("workspace.populate.after");
    Ok(files)
}

/// Lets the new attempt have the folder that is there.
fn take_over(
    project: &GitProject,
    place: &Place,
    spec: &WorkspaceSpec,
    plan: &Plan,
    old: &State,
    populated: TreeId,
) -> Result<(), GitError> {
    if plan.merged.is_some() {
        pin(project, place.task, plan)?;
    }
    prepare_capture_dir(project, place)?;
    let mut state = plan.state(spec, old.captured, populated);
    state.over.clone_from(&old.over);
    state.save(&place.capture)
}

pub(crate) fn prepare_capture_dir(project: &GitProject, place: &Place) -> Result<(), GitError> {
    let refinery = project.refinery_dir()?;
    project.private_git_dir(&place.capture, &[project.common_dir(), &refinery])
}

/// After a refusal the files stay as they are: the agent is asked to put them right, not to begin again.
fn goes_on_where_refused(state: &State, spec: &WorkspaceSpec, plan: &Plan) -> bool {
    state.refused
        && spec.purpose != Purpose::Review
        && matches!(spec.start, Start::Continue { .. })
        && (plan.parent == state.parent || state.captured.is_some_and(|captured| captured.commit == plan.parent))
}

/// The agent's own `.git`, and the artifacts it needs.
fn equip(project: &GitProject, place: &Place, spec: &WorkspaceSpec, plan: &Plan) -> Result<(), GitError> {
    let branch = place.branch_ref();
    let before = State::load(&place.capture)?.and_then(|state| state.captured).map_or(plan.parent, |c| c.commit);
    let git = place.work.join(".git");
    let known = [plan.parent, before].iter().any(|id| !agent_git::has_own_commits(&place.work, &branch, *id));
    if fs::symlink_metadata(&git).is_ok() && !known {
        // Commits of the agent's own: their files were captured, their history is kept aside with the folder.
        let n = (1..).find(|n| !place.aside.join(format!("{}-{n}.agent", place.task)).exists()).unwrap_or(u32::MAX);
        let to = place.aside.join(format!("{}-{n}.agent", place.task));
        agent_git::move_out(project, &git, &to)?;
    }
    let refinery = project.enki_dir().join("refinery.git");
    let index = place.capture.join("index");
    // Captured commits are in the person's repository; what a merge made for this workspace is not.
    let mut borrow = vec![project.common_dir()];
    if plan.merged.is_some() {
        borrow.push(&refinery);
    }
    agent_git::make(project, &place.work, Some(&branch), plan.parent, &index, &borrow)?;
    if let Some((merged, change)) = &plan.merged {
        announce(project, place, merged, *change)?;
    }
    for artifact in &spec.artifacts {
        let path = artifact.path();
        let content = beneath::read(project.root(), &path, capture::ARTIFACT_LIMIT)
            .map_err(|e| GitError::io("read the artifact", &project.root().join(&path), e))?
            .ok_or_else(|| GitError::Gone(format!("the artifact {path} is not below the project")))?;
        // What others made is only read; a fix repairs its own.
        let own = spec.purpose == Purpose::Fix && TaskId::of(artifact.execution, &artifact.step) == spec.task;
        beneath::write(&place.work, &path, &content, if own { 0o644 } else { 0o444 })
            .map_err(|e| GitError::io("place the artifact", &place.work.join(&path), e))?;
    }
    Ok(())
}

/// Keeps what the workspace's files need in the person's repository, whatever `gc` does, by one ref for each task.
fn pin(project: &GitProject, task: TaskId, plan: &Plan) -> Result<(), GitError> {
    let full_ref = base_ref(task);
    let lock = project.write_lock()?;
    if project.plainly_at(&full_ref) == Some(plan.parent)
        || project.make_plainly(&full_ref, plan.parent)? == Some(Swap::Done)
    {
        return Ok(());
    }
    let id = plan.parent.to_string();
    let update = || project.at_person_durably().args(["update-ref", &full_ref, &id]);
    let output = project.move_ref(&lock, &full_ref, &id, update)?;
    if output.code != Some(0) && output.stderr.contains("nonexistent object") {
        return Err(GitError::Gone(format!("commit {id} is not in the repository {}", project.common_dir().display())));
    }
    output.ok()?;
    Ok(())
}

/// The ref that pins what a task's workspace was made from.
pub(crate) fn base_ref(task: TaskId) -> String {
    format!("refs/enki/base/{}", task.hex())
}

/// Commits what nobody captured, and keeps it by a ref of its own. Gives the tree of the files.
fn keep_what_is_left(project: &GitProject, place: &Place, state: &State) -> Result<TreeId, GitError> {
    let staged = stage(project, place)?;
    if ![state.last_known(), state.populated].contains(&staged.tree) {
        keep_staged(project, place, state, &staged)?;
    }
    Ok(staged.tree)
}

/// Commits files that nobody captured. The person's repository keeps the commit unless the policy refuses it; the
/// private git directory keeps it in any case.
pub(crate) fn keep_staged(project: &GitProject, place: &Place, state: &State, staged: &Staged) -> Result<(), GitError> {
    let message = crate::git::message::left(place.task);
    let commit = project.commit_tree(&place.capture, staged.tree, &[state.parent], &message, Timestamp(0))?;
    let id = left_id(state, staged.tree);
    place.write_ref(&format!("refs/enki/in/{id}"), commit)?;
    let changed = project.diff(&place.capture, state.parent_tree, staged.tree)?;
    if project.inspect_changes(&place.capture, staged.tree, &changed)?.is_empty() {
        let new = New::Since(state.parent);
        project.keep(&place.capture, commit, &new, &format!("refs/enki/kept/{id}"))?;
    }
    Ok(())
}

/// Names what was left in a workspace by an attempt.
pub(crate) fn left_id(state: &State, tree: TreeId) -> String {
    EffectId::of("left", &[state.attempt.as_bytes(), tree.to_string().as_bytes()]).hex()
}

/// An agent may have taken its own rights away; ours are the same user's.
fn open_up(work: &Path) -> Result<(), GitError> {
    let mode = fs::symlink_metadata(work).map_err(|e| GitError::io("look at", work, e))?.permissions().mode();
    if mode & 0o700 == 0o700 {
        return Ok(());
    }
    fs::set_permissions(work, fs::Permissions::from_mode(0o700)).map_err(|e| GitError::io("open", work, e))
}

fn list(project: &GitProject, root: &Path) -> Result<Vec<WorkspaceInfo>, GitError> {
    let enki = project.enki_dir();
    let mut found = Vec::new();
    let shared = root != root::usual(project);
    for (folder, aside) in [(root.to_owned(), false), (enki.join("aside"), true)] {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(GitError::io("read", &folder, e)),
        };
        for entry in entries {
            let entry = entry.map_err(|e| GitError::io("read", &folder, e))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) || (aside && name.contains('.')) {
                continue;
            }
            let task = if aside { name.rsplit_once('-').map_or(&name[..], |(task, _)| task) } else { &name[..] };
            let capture = if aside {
                folder.join(format!("{name}.git"))
            } else {
                enki.join("capture").join(format!("{name}.git"))
            };
            if shared && !aside && !capture.is_dir() {
                // A folder outside the project may hold those of other projects too.
                continue;
            }
            let head = State::load(&capture)?.and_then(|state| state.captured).map(|captured| captured.commit);
            found.push(WorkspaceInfo::new(task.parse().ok(), entry.path(), head));
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}
