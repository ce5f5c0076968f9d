//! `FakeWorkspaces`: workspaces in memory.

use super::agents::Hands;
use super::vcs::{Edit, FakeRepository, Files, MARKER, Merge, apply, differing, tree_id};
use enki_core::async_trait;
use enki_core::id::{CommitId, EffectId, TaskId};
use enki_core::workspace::{
    ArtifactRef, Capture, CaptureSpec, Expect, MOST_PATHS, Start, Workspace, WorkspaceError, WorkspaceErrorKind,
    WorkspaceInfo, WorkspaceProvider, WorkspaceSpec,
};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A [`WorkspaceProvider`] over a [`FakeRepository`]. Clones share everything.
///
/// Its paths are names only: nothing is on disk. Agents edit through [`Hands`].
#[derive(Clone, Debug)]
pub struct FakeWorkspaces {
    repository: FakeRepository,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    workspaces: BTreeMap<TaskId, Folder>,
    /// What was in the way of a fresh start and had not been captured.
    aside: Vec<(TaskId, Files)>,
    artifacts: Files,
    hints: Vec<(CommitId, u32)>,
}

#[derive(Debug)]
struct Folder {
    /// The attempt it was last made ready for.
    id: EffectId,
    files: Files,
    /// What the agent found.
    found: Files,
    conflicts: Vec<String>,
    /// All captured commits of the task, in order.
    captured: Vec<CommitId>,
}

impl Folder {
    /// Files that still have a marker, or that are none of the conflict's.
    fn unresolved(&self, now: &Files) -> Vec<String> {
        let marked = |path: &&String| now.get(*path).is_some_and(|text| text.contains(MARKER));
        let mut paths: Vec<String> = self.conflicts.iter().filter(marked).cloned().collect();
        paths.extend(differing(&source(&self.found), now).into_iter().filter(|path| !self.conflicts.contains(path)));
        paths.truncate(50);
        paths
    }

    /// Path and content of the artifact of that attempt's step, unless it is empty.
    fn artifact(&self, spec: &WorkspaceSpec) -> Option<(String, String)> {
        let prefix = format!(".enki/artifacts/{}/", spec.execution);
        let own = |path: &str| {
            let step = path.strip_prefix(&prefix).and_then(|p| p.strip_suffix(".md"));
            step.and_then(|s| s.parse().ok()).is_some_and(|s| TaskId::of(spec.execution, &s) == spec.task)
        };
        let found = self.files.iter().find(|(path, content)| own(path) && !content.is_empty());
        found.map(|(path, content)| (path.clone(), content.clone()))
    }
}

impl FakeWorkspaces {
    /// Workspaces of that repository.
    #[must_use]
    pub fn new(repository: FakeRepository) -> Self {
        Self { repository, state: Arc::default() }
    }

    /// Where the workspace of a task is said to be.
    #[must_use]
    pub fn path(task: TaskId) -> PathBuf {
        PathBuf::from(format!("/fake/workspaces/{task}"))
    }

    /// The content of a file in a workspace.
    #[must_use]
    pub fn read(&self, workspace: &Path, path: &str) -> Option<String> {
        let state = self.state();
        state.workspaces.iter().find(|(task, _)| Self::path(**task) == workspace)?.1.files.get(path).cloned()
    }

    /// The content of an artifact that reached the project.
    #[must_use]
    pub fn artifact(&self, path: &str) -> Option<String> {
        self.state().artifacts.get(path).cloned()
    }

    /// Changes several files of a workspace, as [`Hands::edit`] does one by one.
    ///
    /// # Errors
    ///
    /// If there is no such workspace.
    pub fn edit_all(&self, workspace: &Path, edits: &[Edit<'_>]) -> io::Result<()> {
        edits.iter().try_for_each(|(path, content)| self.edit(workspace, path, *content))
    }

    /// The hints of [`WorkspaceProvider::prepare`], in order.
    #[must_use]
    pub fn hints(&self) -> Vec<(CommitId, u32)> {
        self.state().hints.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self, commit: CommitId, attempted: &str) -> Result<Files, WorkspaceError> {
        let lost = || WorkspaceError::new(WorkspaceErrorKind::Lost, attempted, format!("commit {commit} is unknown"));
        self.repository.files(commit).ok_or_else(lost)
    }

    /// The files an attempt starts with, and which of them are in conflict.
    fn start(&self, start: Start, attempted: &str) -> Result<(Files, Vec<String>), WorkspaceError> {
        match start {
            Start::Fresh { base } => Ok((self.files(base, attempted)?, Vec::new())),
            Start::Continue { head, .. } => Ok((self.files(head, attempted)?, Vec::new())),
            Start::Resolve { onto, change } | Start::Merge { onto, change } => {
                match self.repository.merge(onto, change) {
                    Some(Merge::Clean(files)) => Ok((files, Vec::new())),
                    Some(Merge::Conflict { paths, files }) => Ok((files, paths)),
                    None => {
                        let reason = format!("commit {onto} or {change} is unknown");
                        Err(WorkspaceError::new(WorkspaceErrorKind::Lost, attempted, reason))
                    }
                }
            }
            other => {
                let reason = format!("{other:?} is not known here");
                Err(WorkspaceError::new(WorkspaceErrorKind::Environment, attempted, reason))
            }
        }
    }
}

impl Hands for FakeWorkspaces {
    fn edit(&self, workspace: &Path, path: &str, content: Option<&str>) -> io::Result<()> {
        let mut state = self.state();
        let found = state.workspaces.iter_mut().find(|(task, _)| Self::path(**task) == workspace);
        let (_, folder) = found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        apply(&mut folder.files, &[(path, content)]);
        Ok(())
    }
}

#[async_trait]
impl WorkspaceProvider for FakeWorkspaces {
    async fn create(&self, spec: &WorkspaceSpec) -> Result<Workspace, WorkspaceError> {
        let attempted = format!("make the workspace of {}", spec.task);
        let path = Self::path(spec.task);
        if let Some(folder) = self.state().workspaces.get(&spec.task)
            && folder.id == spec.id
        {
            return Ok(Workspace::at(path).with_conflicts(folder.conflicts.clone()));
        }
        let (mut files, conflicts) = self.start(spec.start, &attempted)?;
        let mut state = self.state();
        for artifact in spec.artifacts.iter().map(ArtifactRef::path) {
            if let Some(content) = state.artifacts.get(&artifact).cloned() {
                files.insert(artifact, content);
            }
        }
        let old = state.workspaces.remove(&spec.task);
        let captured = match old {
            Some(old) => {
                let known = old.captured.iter().filter_map(|commit| self.repository.files(*commit));
                if old.files != old.found && !known.into_iter().any(|files| files == source(&old.files)) {
                    state.aside.push((spec.task, old.files));
                }
                old.captured
            }
            None => Vec::new(),
        };
        let folder = Folder { id: spec.id, found: files.clone(), files, conflicts: conflicts.clone(), captured };
        state.workspaces.insert(spec.task, folder);
        Ok(Workspace::at(path).with_conflicts(conflicts))
    }

    async fn capture(&self, spec: &CaptureSpec) -> Result<Capture, WorkspaceError> {
        let wanted = &spec.workspace;
        let attempted = format!("capture the workspace of {}", wanted.task);
        let (parent, base) = match wanted.start {
            Start::Continue { base, head } => (head, base),
            Start::Resolve { onto, .. } | Start::Merge { onto, .. } => (onto, onto),
            Start::Fresh { base } => (base, base),
            _ => return Err(WorkspaceError::new(WorkspaceErrorKind::Environment, attempted, "unknown start")),
        };
        let before = self.files(parent, &attempted)?;
        let base = self.files(base, &attempted)?;
        let mut state = self.state();
        let Some(folder) = state.workspaces.get_mut(&wanted.task).filter(|folder| folder.id == wanted.id) else {
            return Err(WorkspaceError::new(WorkspaceErrorKind::Lost, attempted, "it is gone; start a new attempt"));
        };
        let now = source(&folder.files);
        match spec.expect {
            Expect::Change => {
                let unresolved = folder.unresolved(&now);
                if matches!(wanted.start, Start::Resolve { .. } | Start::Merge { .. }) && !unresolved.is_empty() {
                    return Ok(Capture::Unresolved { paths: unresolved });
                }
                if now == before {
                    return Ok(Capture::NoChange);
                }
                let mut paths = differing(&base, &now);
                let files = u32::try_from(paths.len()).unwrap_or(u32::MAX);
                paths.sort_unstable();
                paths.truncate(MOST_PATHS);
                let tree = tree_id(&now);
                let mut parents = vec![parent];
                parents.extend(if let Start::Merge { change, .. } = wanted.start { Some(change) } else { None });
                let commit = self.repository.commit(now, &parents, &spec.title, spec.at);
                self.repository.keep(commit);
                if folder.captured.last() != Some(&commit) {
                    folder.captured.push(commit);
                }
                Ok(Capture::Change { commit, tree, files, paths })
            }
            Expect::Nothing | Expect::Artifact if now != before => {
                let mut paths = differing(&before, &now);
                paths.truncate(50);
                Ok(Capture::Altered { paths })
            }
            Expect::Nothing => Ok(Capture::NoChange),
            Expect::Artifact => {
                let Some((path, content)) = folder.artifact(wanted) else { return Ok(Capture::NoArtifact) };
                state.artifacts.insert(path, content);
                Ok(Capture::Artifact)
            }
            other => {
                let reason = format!("{other:?} is not known here");
                Err(WorkspaceError::new(WorkspaceErrorKind::Environment, attempted, reason))
            }
        }
    }

    async fn remove(&self, task: TaskId) -> Result<(), WorkspaceError> {
        let mut state = self.state();
        let Some(folder) = state.workspaces.get(&task) else { return Ok(()) };
        if let Some(lost) = folder.captured.iter().find(|commit| !self.repository.is_merged(**commit)) {
            let reason = format!("commit {lost} is on no branch; merge it or give it up by name");
            let attempted = format!("remove the workspace of {task}");
            return Err(WorkspaceError::new(WorkspaceErrorKind::Unmerged, attempted, reason));
        }
        state.workspaces.remove(&task);
        state.aside.retain(|(of, _)| *of != task);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<WorkspaceInfo>, WorkspaceError> {
        let state = self.state();
        let info = |(task, folder): (&TaskId, &Folder)| {
            WorkspaceInfo::new(Some(*task), Self::path(*task), folder.captured.last().copied())
        };
        Ok(state.workspaces.iter().map(info).collect())
    }
    async fn prepare(&self, base: CommitId, wanted: u32) {
        self.state().hints.push((base, wanted));
    }
}

/// What is captured of a workspace: all but what is Enki's own.
fn source(files: &Files) -> Files {
    files.iter().filter(|(path, _)| !path.starts_with(".enki/")).map(|(p, c)| (p.clone(), c.clone())).collect()
}
