//! `WorkspaceProvider`: the private clone that an attempt edits, and the capture of what it left there.

use crate::id::{AttemptNo, CommitId, EffectId, ExecutionId, StepId, TaskId, TreeId};
use crate::tier::Purpose;
use crate::time::Timestamp;
use async_trait::async_trait;
use std::fmt;
use std::path::PathBuf;

/// Makes workspaces, captures what agents left in them, and removes them when that loses nothing.
///
/// # Contract
///
/// * **Isolation.** Nothing an agent does in a workspace changes the person's repository, the store or another
///   workspace, and nothing a workspace configures is run by the host.
/// * **Never lose work** (R1). A captured commit stays reachable until it is on the target, recorded as merged, or
///   given up by an explicit command. `create` never destroys what an earlier attempt left: it captures or keeps it.
/// * **Idempotency.** The same [`WorkspaceSpec::id`] again gives the same workspace, and the same capture again gives
///   the same commit.
#[async_trait]
pub trait WorkspaceProvider: fmt::Debug + Send + Sync {
    /// Makes the workspace of an attempt ready: its files are those of [`WorkspaceSpec::start`].
    ///
    /// # Errors
    ///
    /// [`WorkspaceError`] if it could not be made. There is no fall-back to the person's checkout.
    async fn create(&self, spec: &WorkspaceSpec) -> Result<Workspace, WorkspaceError>;

    /// Commits what the attempt left, under Enki's identity, and keeps the commit by a ref. Durable on return.
    ///
    /// # Errors
    ///
    /// [`WorkspaceError`] if it is not known what is there. What the caller plans for is a [`Capture`].
    async fn capture(&self, spec: &CaptureSpec) -> Result<Capture, WorkspaceError>;

    /// Removes the workspaces of a task, kept-aside ones included, if nothing in them would be lost.
    ///
    /// # Errors
    ///
    /// [`WorkspaceError`] of kind [`WorkspaceErrorKind::Unmerged`] if captured work is neither merged nor pinned.
    async fn remove(&self, task: TaskId) -> Result<(), WorkspaceError>;

    /// All workspaces there are, also those nobody remembers.
    ///
    /// # Errors
    ///
    /// [`WorkspaceError`] if the place of workspaces cannot be read.
    async fn list(&self) -> Result<Vec<WorkspaceInfo>, WorkspaceError>;

    /// A hint: up to `wanted` fresh workspaces at `base` will be asked for soon. The latest hint counts.
    ///
    /// # Contract
    ///
    /// Idempotent, and never an error to anybody: a provider that cannot prepare, or fails to, makes workspaces when
    /// they are asked for. Returns when nothing is left to prepare; a caller that stops waiting interrupts nothing.
    async fn prepare(&self, base: CommitId, wanted: u32) {
        let _ = (base, wanted);
    }
}

/// Which workspace is wanted.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct WorkspaceSpec {
    /// Names the attempt; the idempotency key.
    pub id: EffectId,
    /// The execution.
    pub execution: ExecutionId,
    /// The task. All attempts of one task see the same path.
    pub task: TaskId,
    /// Which attempt.
    pub attempt: AttemptNo,
    /// What the attempt is for.
    pub purpose: Purpose,
    /// What the files shall be.
    pub start: Start,
    /// Artifacts of needed steps, to be placed read-only at their usual path.
    pub artifacts: Vec<ArtifactRef>,
}

impl WorkspaceSpec {
    /// A workspace for that attempt, with those files and no artifacts.
    #[must_use]
    pub fn new(
        id: EffectId,
        execution: ExecutionId,
        task: TaskId,
        attempt: AttemptNo,
        purpose: Purpose,
        start: Start,
    ) -> Self {
        Self { id, execution, task, attempt, purpose, start, artifacts: Vec::new() }
    }
}

/// What the files of a workspace are when its attempt starts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Start {
    /// A fresh workspace at `base`. One that is there already, from an earlier attempt, is kept aside.
    Fresh {
        /// Head of the integration branch when the attempt was granted.
        base: CommitId,
    },
    /// The workspace of the step as it was captured at `head`: for a review, a fix, or a retry that continues.
    Continue {
        /// The commit that the step's first attempt began from.
        base: CommitId,
        /// The last captured commit of the step.
        head: CommitId,
    },
    /// Rebuilt at `onto`, with the conflict of `change` written into the files with markers.
    Resolve {
        /// Head of the integration branch that refused the change.
        onto: CommitId,
        /// The captured commit that conflicts with it.
        change: CommitId,
    },
    /// The same files as for a [`Start::Resolve`], but what is captured is a merge: a commit with both as its parents.
    Merge {
        /// Head of the target that refused the landing.
        onto: CommitId,
        /// Tip of the integration branch that conflicts with it.
        change: CommitId,
    },
}

/// A result file of an artifact step, at `.enki/artifacts/<execution>/<step>.md`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ArtifactRef {
    /// The execution that made it.
    pub execution: ExecutionId,
    /// The step that made it.
    pub step: StepId,
}

impl ArtifactRef {
    /// The path below the project and below each workspace.
    #[must_use]
    pub fn path(&self) -> String {
        format!(".enki/artifacts/{}/{}.md", self.execution, self.step)
    }
}

/// A workspace that is ready.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Workspace {
    /// Where the agent works. Absolute.
    pub path: PathBuf,
    /// Files that hold an unsolved conflict, relative, for [`Start::Resolve`] and [`Start::Merge`]; else empty.
    pub conflicts: Vec<String>,
}

impl Workspace {
    /// A workspace at that path, without conflicts.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path, conflicts: Vec::new() }
    }

    /// The same with those files in conflict.
    #[must_use]
    pub fn with_conflicts(mut self, paths: Vec<String>) -> Self {
        self.conflicts = paths;
        self
    }
}

/// What shall be captured.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CaptureSpec {
    /// The workspace, as it was asked for.
    pub workspace: WorkspaceSpec,
    /// What the attempt is expected to have left.
    pub expect: Expect,
    /// First line of the commit message: the step's title, one line.
    pub title: String,
    /// Date of the commit, so that the same capture again gives the same id.
    pub at: Timestamp,
}

impl CaptureSpec {
    /// A capture of that workspace.
    #[must_use]
    pub fn new(workspace: WorkspaceSpec, expect: Expect, title: impl Into<String>, at: Timestamp) -> Self {
        Self { workspace, expect, title: title.into(), at }
    }
}

/// What an attempt is expected to have left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Expect {
    /// A change of the source, or none.
    Change,
    /// The artifact of the step, and no change of the source.
    Artifact,
    /// Nothing: a review. What it changed is dropped and reported.
    Nothing,
}

/// What was found in a workspace after its attempt.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Capture {
    /// A change, now a commit that a ref keeps.
    Change {
        /// The commit; its parent is the base, the last captured commit, or `onto`, by [`Start`]. A merge has both.
        commit: CommitId,
        /// Its tree.
        tree: TreeId,
        /// Number of files that differ from the base.
        files: u32,
        /// Which, relative, sorted, at most [`MOST_PATHS`].
        paths: Vec<String>,
    },
    /// The files equal the base: proof that nothing changed.
    NoChange,
    /// The artifact was there and is now at its path below the project.
    Artifact,
    /// The artifact is missing or empty.
    NoArtifact,
    /// A review or an artifact attempt changed source. The change was dropped.
    Altered {
        /// What it changed, relative, at most 50.
        paths: Vec<String>,
    },
    /// Conflict markers are still in these files, or files outside the conflict were changed.
    Unresolved {
        /// Which files, relative, at most 50.
        paths: Vec<String>,
    },
    /// The content is against the policy. It stays in the workspace, and a ref keeps what could be captured.
    Refused {
        /// The rule and the paths, in one line for the agent and for people.
        reason: String,
    },
    /// The person's repository was changed while the attempt ran, in a way that may be the agent's. Nothing of the
    /// attempt is merged; a person has to look. What it left is a commit that a ref keeps, if it changed anything.
    Tampered {
        /// What was changed, from what to what, one line each, at most 50.
        what: Vec<String>,
        /// The captured commit and its tree.
        work: Option<(CommitId, TreeId)>,
    },
    /// Another answer, with what a person should know beside it.
    Noticed {
        /// One line each, at most 50.
        notices: Vec<String>,
        /// The answer; never `Noticed` again.
        capture: Box<Self>,
    },
}

/// Most paths of changed files that one capture tells.
pub const MOST_PATHS: usize = 200;

impl Capture {
    /// The answer apart from what a person should know beside it.
    #[must_use]
    pub fn apart(self) -> (Self, Vec<String>) {
        match self {
            Self::Noticed { notices, capture } => (*capture, notices),
            plain => (plain, Vec::new()),
        }
    }

    /// The same answer with what a person should know beside it.
    #[must_use]
    pub fn noticing(self, mut notices: Vec<String>) -> Self {
        let (capture, mut before) = self.apart();
        before.append(&mut notices);
        before.truncate(50);
        if before.is_empty() { capture } else { Self::Noticed { notices: before, capture: Box::new(capture) } }
    }
}

/// A workspace found by [`WorkspaceProvider::list`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct WorkspaceInfo {
    /// Whose it is, if its name says so.
    pub task: Option<TaskId>,
    /// Where it is.
    pub path: PathBuf,
    /// The last captured commit of that task.
    pub head: Option<CommitId>,
}

impl WorkspaceInfo {
    /// A workspace at that path.
    #[must_use]
    pub fn new(task: Option<TaskId>, path: PathBuf, head: Option<CommitId>) -> Self {
        Self { task, path, head }
    }
}

/// A workspace could not be made, captured or removed.
#[derive(Debug, thiserror::Error)]
#[error("{attempted}: {reason}")]
#[non_exhaustive]
pub struct WorkspaceError {
    /// What kind of trouble it is.
    pub kind: WorkspaceErrorKind,
    /// What was attempted, on what.
    pub attempted: String,
    /// Why it failed and what to do next.
    pub reason: String,
}

impl WorkspaceError {
    /// An error of that kind.
    #[must_use]
    pub fn new(kind: WorkspaceErrorKind, attempted: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { kind, attempted: attempted.into(), reason: reason.into() }
    }
}

/// Kinds of trouble with a workspace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WorkspaceErrorKind {
    /// The workspace, or its git directory, is gone or was tampered with.
    Lost,
    /// Disk, permissions, git: outside Enki and fixable there. Another try may help.
    Environment,
    /// Captured work would be lost.
    Unmerged,
    /// There is less free space than the floor: nothing is begun. Another try helps once there is space.
    DiskLow,
}
