//! How an attempt ended, and why a queue gave a change back.

use crate::agent::Usage;
use crate::id::{AttemptNo, CommitId, TreeId};
use crate::time::Timestamp;
use crate::verdict::Verdict;
use serde::{Deserialize, Serialize};

/// How an attempt ended and what it left.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptEnd {
    /// How.
    pub outcome: Outcome,
    /// The captured commit, also of a failed attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
    /// Files that the captured work differs in from its base, sorted, at most 200 and 16 KiB: [`AttemptEnd::keep_files`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Ids of findings that a fix says it repaired. A claim: it moves no state, and the next review is told of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
    /// Entries that its agent proposes to remember, each a JSON object; at most 5 of 4 KiB. Data: nothing reads them but
    /// the memory, which shows them to a person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proposals: Vec<String>,
    /// What a review judged: exactly this tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saw: Option<TreeId>,
    /// Summary for dependents, at most 16 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The agent's session, for a fix that goes on with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// What it cost.
    #[serde(default, skip_serializing_if = "is_free")]
    pub usage: Usage,
    /// What a person should know of it, one line each: what changed in their repository meanwhile, say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

fn is_free(usage: &Usage) -> bool {
    *usage == Usage::default()
}

impl AttemptEnd {
    /// An end of that kind, leaving nothing.
    #[must_use]
    pub fn new(outcome: Outcome) -> Self {
        Self {
            outcome,
            work: None,
            files: Vec::new(),
            claims: Vec::new(),
            proposals: Vec::new(),
            saw: None,
            output: None,
            session: None,
            usage: Usage::default(),
            notices: Vec::new(),
        }
    }

    /// Keeps paths of a capture, as many as may be stored.
    pub fn keep_files(&mut self, mut paths: Vec<String>) {
        let mut bytes = 0;
        paths.truncate(crate::workspace::MOST_PATHS);
        paths.retain(|path| {
            bytes += path.len();
            bytes <= FILES_CAP
        });
        self.files = paths;
    }

    /// Whether it left work that only a person may go on with.
    pub(super) const fn is_tampered_work(&self) -> bool {
        matches!(self.outcome, Outcome::Tampered { .. }) && self.work.is_some()
    }
}

/// Most bytes of paths in one end.
const FILES_CAP: usize = 16 * 1024;

/// A captured change.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// The commit that the first attempt began from.
    pub base: CommitId,
    /// What was captured last.
    pub commit: CommitId,
    /// Its tree.
    pub tree: TreeId,
    /// The attempt that left it.
    pub attempt: AttemptNo,
}

/// How an attempt ended (model section 3.3).
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// Success, and source changed.
    Changed,
    /// Success, and the files equal those it started from.
    NoChange,
    /// Success, and the artifact is there.
    Artifact,
    /// A review's answer.
    Reviewed(Verdict),
    /// It asks a person to decide before it goes on.
    Asks {
        /// Its question.
        question: String,
    },
    /// The agent failed.
    AgentError {
        /// In one line.
        message: String,
        /// Whether another try may help.
        transient: bool,
    },
    /// It ended without a final result.
    NoResult,
    /// It declined.
    Declined {
        /// Its words.
        message: String,
    },
    /// It ran too long.
    TimedOut,
    /// It gave no sign of life.
    Stuck,
    /// Nobody knows how it ended.
    Lost,
    /// It was stopped by us, or died with us. Not charged.
    Killed,
    /// It was stopped, by us or by itself, because a budget is used up. What it left is gone on with.
    OverBudget,
    /// The service asked to wait. Not charged.
    RateLimited {
        /// Until when.
        until: Timestamp,
    },
    /// The service is out. Not charged.
    Unavailable {
        /// When it is asked again; filled in by the engine, which knows how often it was asked.
        until: Timestamp,
        /// What it said.
        reason: String,
    },
    /// There was too little free space to begin. Not charged.
    DiskLow {
        /// When it is tried again.
        until: Timestamp,
        /// How little there was.
        reason: String,
    },
    /// It put out too much.
    OutputLimit,
    /// A review or artifact attempt changed source.
    Void {
        /// What it changed.
        paths: Vec<String>,
    },
    /// The agent could not be started.
    NotStarted {
        /// Why.
        reason: String,
    },
    /// The workspace could not be made or captured.
    Workspace {
        /// Why.
        reason: String,
    },
    /// What it left is against the policy; the agent is told.
    Policy {
        /// The rule and the paths.
        reason: String,
    },
    /// The person's repository was changed while it ran, in a way that may be the agent's.
    Tampered {
        /// What was changed, from what to what.
        what: Vec<String>,
    },
    /// The artifact is missing or empty.
    NoArtifact,
    /// The conflict is not solved.
    Unresolved {
        /// In which files.
        paths: Vec<String>,
    },
}

/// Why the queue gave a change back.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// Its check failed, twice, on a green base.
    Check {
        /// Last lines.
        log: String,
    },
    /// It does not merge.
    Conflict {
        /// Files in conflict.
        paths: Vec<String>,
        /// What conflicts in them.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        hunks: String,
        /// The head of the target that it does not merge with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        onto: Option<CommitId>,
    },
    /// It passed its check alone, on the head before, and fails on top of another change.
    Interaction {
        /// That change, in one line.
        with: String,
        /// Last lines.
        log: String,
    },
    /// It is contained already.
    Empty,
    /// It is against the policy.
    Policy {
        /// The rule and the paths.
        reason: String,
    },
    /// The target moved too often.
    Moved,
    /// The target is checked out with changes.
    Blocked {
        /// Why.
        reason: String,
        /// What finishes it.
        command: String,
    },
    /// The target was at our commit and was moved away by somebody.
    Rewound,
    /// It was withdrawn.
    Withdrawn,
}

impl Refusal {
    /// Whether a person may put it right without a word to us, and looking costs no run of the check: what is in the
    /// way of a landing is moved, or merged by hand.
    #[must_use]
    pub const fn ends_by_itself(&self) -> bool {
        matches!(self, Self::Blocked { .. } | Self::Conflict { .. } | Self::Moved)
    }
}
