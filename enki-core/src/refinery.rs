//! `Refinery`: five small idempotent mechanisms below the merge queue, and the opening of an integration branch.

use crate::branch::Branch;
use crate::id::{AttemptNo, CommitId, EffectId, ExecutionId, RequestId, TaskId, TreeId};
use crate::time::Timestamp;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Builds, checks and publishes. All policy is in [`crate::merge_queue`]; no method decides anything.
///
/// # Contract
///
/// Every method is idempotent: the same arguments again give the same answer, or finish what a crash interrupted.
/// None loses a commit. An error means "not known, or could not try"; everything a caller plans for is a value.
#[async_trait]
pub trait Refinery: fmt::Debug + Send + Sync {
    /// Makes the integration branch at the head of the target, unless it exists, and gives its first base.
    ///
    /// # Errors
    ///
    /// [`RefineryError`] if the target does not exist or cannot be read.
    async fn open(&self, target: &Branch, integration: &Branch) -> Result<CommitId, RefineryError>;

    /// Brings a change in, inspected, and keeps it by a ref.
    ///
    /// # Errors
    ///
    /// [`RefineryError`] if it could not be tried.
    async fn import(&self, change: &Change) -> Result<Import, RefineryError>;

    /// Builds what would be published: `changes` on `base`, without a checkout. Deterministic: the same arguments
    /// give the same commit id. No changes at all give the base itself as the candidate, to be checked as it is.
    ///
    /// # Errors
    ///
    /// [`RefineryError`] if it could not be tried.
    async fn build(&self, base: CommitId, changes: &[Change], id: EffectId) -> Result<Build, RefineryError>;

    /// Whether the commits of each pair conflict with each other, in the order of the pairs. Only advice: it decides
    /// what is tried first, never what is published. A backend that cannot tell says that none do.
    ///
    /// # Errors
    ///
    /// [`RefineryError`] if it could not be tried; the queue goes on without.
    async fn predict(&self, pairs: &[(CommitId, CommitId)]) -> Result<Vec<bool>, RefineryError> {
        Ok(vec![false; pairs.len()])
    }

    /// Runs the gate on exactly the candidate's tree.
    ///
    /// # Errors
    ///
    /// [`RefineryError`] if it could not be tried; the queue treats it like [`Check::Unknown`].
    async fn check(&self, candidate: &Candidate, gate: &Gate, id: EffectId) -> Result<Check, RefineryError>;

    /// Moves the target from `expected` to the candidate by compare-and-swap. Durable on return. An anchor ref keeps
    /// the candidate from before the move on.
    ///
    /// # Errors
    ///
    /// [`RefineryError`] if it is not known whether the target moved; `inspect` then tells.
    async fn publish(
        &self,
        target: &Branch,
        expected: CommitId,
        candidate: &Candidate,
    ) -> Result<Publish, RefineryError>;

    /// Looks at the target, for recovery: where it is, and whether the candidate is on it or ever was.
    ///
    /// # Errors
    ///
    /// [`RefineryError`] if it cannot be read.
    async fn inspect(&self, target: &Branch, candidate: Option<CommitId>) -> Result<TargetState, RefineryError>;
}

/// One change that asks to be published.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The landing try; its id.
    pub request: RequestId,
    /// What kind of change, and for whom.
    pub kind: ChangeKind,
    /// The commit.
    pub commit: CommitId,
    /// Date of the commit that will be built.
    pub at: Timestamp,
}

/// What kind of change it is.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// The work of one step: squashed into one commit with the trailers `Enki-Task` and `Enki-Attempt`.
    Step {
        /// The task.
        task: TaskId,
        /// The attempt whose capture this is.
        attempt: AttemptNo,
        /// First line of the message, one line.
        title: String,
        /// Body of the message, may be empty.
        summary: String,
    },
    /// The tip of an integration branch: a fast-forward where it can be, else a merge commit.
    Landing {
        /// The execution.
        execution: ExecutionId,
        /// First line of a merge commit's message, one line.
        title: String,
    },
}

/// Answer of [`Refinery::import`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Import {
    /// It is in and passed inspection.
    Imported,
    /// It is against the policy; kept, and never merged.
    Refused {
        /// The rule and the paths, in one line.
        reason: String,
    },
}

/// Answer of [`Refinery::build`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Build {
    /// What would be published.
    Candidate {
        /// Its tip.
        candidate: Candidate,
        /// The commit of each change, in order; `None` for one that changes nothing on top of those before it.
        commits: Vec<Option<CommitId>>,
    },
    /// The first change that does not merge, and where.
    Conflict {
        /// Which change.
        request: RequestId,
        /// Files in conflict, relative.
        paths: Vec<String>,
        /// What conflicts in them, for whoever resolves it; at most 16 KiB.
        hunks: String,
    },
    /// The tree would equal the base: nothing to publish.
    Empty,
}

/// A commit that may become the target's head.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The commit.
    pub commit: CommitId,
    /// Its tree: what a check is bound to.
    pub tree: TreeId,
    /// The head it was built on.
    pub base: CommitId,
}

/// The check command, read from configuration at the base, never from a change.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// A shell command, run in a checkout of the candidate.
    pub command: String,
    /// Wall-clock limit.
    #[serde(with = "crate::time::millis")]
    pub timeout: Duration,
    /// Digest of everything else that an answer depends on: settings, versions of tools, files outside the tree. An
    /// answer is used again only for the same tree, command and environment.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub environment: String,
}

impl Gate {
    /// That command, with that limit.
    #[must_use]
    pub fn new(command: impl Into<String>, timeout: Duration) -> Self {
        Self { command: command.into(), timeout, environment: String::new() }
    }

    /// The same, with that digest of what its answers depend on beside tree and command.
    #[must_use]
    pub fn in_environment(mut self, digest: impl Into<String>) -> Self {
        self.environment = digest.into();
        self
    }
}

/// Answer of [`Refinery::check`].
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Exit 0 on exactly this tree.
    Passed,
    /// The command said no.
    Failed {
        /// Last lines of its output.
        log: String,
    },
    /// It ran longer than [`Gate::timeout`]; counts as a failure once confirmed.
    TimedOut {
        /// Last lines of its output.
        log: String,
    },
    /// Infrastructure: not startable, killed by a signal that is not ours, disk full. Never charged.
    Unknown {
        /// What happened, in one line.
        reason: String,
    },
}

/// Answer of [`Refinery::publish`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Publish {
    /// The target is the candidate, or contains it already.
    Published,
    /// The target was not at `expected`. Nothing was changed.
    Moved {
        /// Where it is now; `None` if it is gone.
        now: Option<CommitId>,
    },
    /// The target is checked out with changes, so it was left alone.
    Blocked {
        /// Why, in one line.
        reason: String,
        /// The one command that finishes it.
        command: String,
    },
}

/// Answer of [`Refinery::inspect`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TargetState {
    /// Where the target is; `None` if it is gone.
    pub head: Option<CommitId>,
    /// Whether the candidate is an ancestor of the head, or the head.
    pub contains: bool,
    /// Whether the target was once at the candidate and was moved away from it.
    pub was_there: bool,
}

/// A mechanism could not be tried, or its answer got lost.
#[derive(Debug, thiserror::Error)]
#[error("{attempted}: {reason}")]
#[non_exhaustive]
pub struct RefineryError {
    /// What was attempted, on what.
    pub attempted: String,
    /// Why it failed and what to do next.
    pub reason: String,
    /// Whether another try may help without anybody's doing.
    pub transient: bool,
    /// Whether the candidate itself is not there any more, all of it: then it is to be built again.
    pub lost: bool,
}

impl RefineryError {
    /// An error in that attempt.
    #[must_use]
    pub fn new(attempted: impl Into<String>, reason: impl Into<String>, transient: bool) -> Self {
        Self { attempted: attempted.into(), reason: reason.into(), transient, lost: false }
    }

    /// The same, because the candidate is not there any more.
    #[must_use]
    pub fn of_lost_candidate(mut self) -> Self {
        self.lost = true;
        self
    }
}
