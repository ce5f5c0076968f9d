//! The state of one step.

use super::event::Next;
use super::outcome::Work;
use crate::agent::Usage;
use crate::budget::Spent;
use crate::chain::{Course, Escalation};
use crate::id::{AttemptNo, CommitId, RequestId, TreeId};
use crate::spec::Condition;
use crate::tier::Purpose;
use crate::time::Wait;
use crate::workspace::Start;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// Where a step is (model section 3.2). `ready` and `blocked` are derived, see [`super::Execution::word`].
#[derive(Clone, Debug, Default, PartialEq)]
pub enum StepState {
    /// Not started.
    #[default]
    Pending,
    /// In its chain: an attempt lives or is wanted.
    Running(Running),
    /// Its change is in the merge queue.
    Merging {
        /// The request.
        request: RequestId,
    },
    /// Done.
    Done(DoneKind),
    /// Failed.
    Failed(FailReason),
    /// Given up.
    Cancelled,
}

/// A running step.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    /// What the attempt is for: working, reviewing, fixing or resolving.
    pub purpose: Purpose,
    /// Whether it lives.
    pub run: Run,
}

/// Whether an attempt lives.
#[derive(Clone, Debug, PartialEq)]
pub enum Run {
    /// Wanted, as soon as permits and a wait allow.
    Wanted {
        /// That wait.
        wait: Wait,
    },
    /// Granted: its agent is starting or lives.
    Live {
        /// Which attempt.
        attempt: AttemptNo,
        /// From which files.
        start: Start,
        /// Whether its agent is known to run.
        confirmed: bool,
    },
}

/// What stands in the way of a captured change, until it is resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Clash {
    /// What it is.
    pub kind: ClashKind,
    /// Its place among the conflicts of the execution, from 1.
    pub(super) no: u32,
    /// Head of the integration branch when the change was refused.
    pub(super) at: Option<CommitId>,
}

/// How a change clashes with what was merged before it.
#[derive(Clone, Debug, PartialEq)]
pub enum ClashKind {
    /// It does not merge.
    Conflict {
        /// Files in conflict.
        paths: Vec<String>,
    },
    /// It merges, but fails its check together with another change.
    Interaction {
        /// That change, in one line.
        with: String,
    },
}

/// What a step of Enki's own merges, so that the integration branch can land in spite of a conflict with the target.
#[derive(Clone, Debug, PartialEq)]
pub struct LandingMerge {
    /// Head of the target.
    pub onto: CommitId,
    /// Tip of the integration branch.
    pub tip: CommitId,
    /// Files in conflict.
    pub paths: Vec<String>,
    /// Merges into the integration branch up to that tip.
    pub(super) merges: u32,
}

/// How a step got done.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DoneKind {
    /// Its change is merged.
    Merged {
        /// As this commit.
        commit: CommitId,
    },
    /// Nothing had to be changed.
    NoChanges,
    /// Its artifact is there.
    Artifact,
    /// The conflict of a landing is resolved.
    Resolved {
        /// By this merge of the target and the integration branch, which is to land.
        commit: CommitId,
    },
}

/// Why a step failed (model section 12).
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[expect(missing_docs, reason = "the variants are the failure reasons of model section 12, the fields their detail")]
pub enum FailReason {
    Timeout,
    Stuck,
    Lost,
    NoResult,
    Spawn {
        reason: String,
    },
    AgentError {
        message: String,
    },
    Refused {
        message: String,
    },
    OutputLimit,
    /// More of it lets the step go on with what it was about to do.
    Budget {
        spent: Spent,
        then: Box<Next>,
    },
    Workspace {
        reason: String,
    },
    Tampered {
        what: Vec<String>,
    },
    NoArtifact,
    Escalated(Escalation),
    Conflict {
        paths: Vec<String>,
    },
    Check {
        log: String,
    },
    Rewound,
}

impl fmt::Display for FailReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("the agent ran longer than its timeout"),
            Self::Stuck => f.write_str("the agent gave no sign of life"),
            Self::Lost => f.write_str("the agent was lost"),
            Self::NoResult => f.write_str("the agent ended without a result"),
            Self::Spawn { reason } => write!(f, "the agent could not be started: {reason}"),
            Self::AgentError { message } => write!(f, "the agent failed: {message}"),
            Self::Refused { message } => write!(f, "the agent declined: {message}"),
            Self::OutputLimit => f.write_str("the agent put out too much"),
            Self::Budget { spent, .. } => write!(f, "{spent}"),
            Self::Workspace { reason } => write!(f, "its workspace: {reason}"),
            Self::Tampered { what } => write!(
                f,
                "your repository was changed while the agent worked, and nothing of it is merged: {}; put right what \
                 you did not do yourself, then retry",
                what.join("; ")
            ),
            Self::NoArtifact => f.write_str("the artifact is missing or empty"),
            Self::Escalated(reason) => reason.fmt(f),
            Self::Conflict { paths } => write!(f, "conflict in {}", paths.join(", ")),
            Self::Check { log } => write!(f, "the check failed: {}", log.lines().last().unwrap_or("no output")),
            Self::Rewound => f.write_str("the target was moved away from its change"),
        }
    }
}

/// A step with its counters.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct StepRun {
    /// Where it is.
    pub state: StepState,
    /// Whether a person paused it.
    pub paused: bool,
    /// Attempts so far; the next is one more.
    pub attempts: u32,
    /// Merge requests so far.
    pub requests: u32,
    /// How far its chain is, and what it has used.
    pub course: Course,
    /// Whether its first attempt lives or has lived, since the last retry.
    pub lived: bool,
    /// What was captured last.
    pub work: Option<Box<Work>>,
    /// Files that its work and fixes changed, each as it was captured: the union, sorted.
    pub files: BTreeSet<Box<str>>,
    /// Whether its document is there, if it puts one out.
    pub has_artifact: bool,
    /// Summary for dependents.
    pub output: Option<Box<str>>,
    /// The session of whoever works on it, for a fix to go on with; a reviewer's is never one.
    pub session: Option<Box<str>>,
    /// What the next attempt is told.
    pub findings: Option<Box<str>>,
    /// What a person said when they had it tried again. It is told to all that come after.
    pub note: Option<Box<str>>,
    /// What its change clashes with.
    pub clash: Option<Box<Clash>>,
    /// What it merges, if it is a step of Enki's own that resolves the conflict of a landing. It is in no count.
    pub landing: Option<Box<LandingMerge>>,
    /// What a person should know of its attempts, the newest last, at most 50.
    pub notices: Vec<Box<str>>,
    /// The tree that a person took as it is, in place of a review that passed.
    pub accepted: Option<TreeId>,
    /// What all its attempts used, those of before a retry too.
    pub usage: Usage,
    /// What of that its last attempt used, up to now if it lives.
    pub spent: Usage,
    /// The level of the sandbox that the agent of its last attempt ran in, if that is known.
    pub sandbox: Option<u8>,
    /// Its place among the merges into the integration branch, from 1.
    pub(super) merge_no: u32,
    /// Edges that are not satisfied.
    pub(super) unmet: u32,
    /// Edges to needs that are failed, cancelled or blocked.
    pub(super) dead: u32,
}

/// Most files that a step remembers as changed.
const MOST_FILES: usize = 1000;

impl StepRun {
    /// Whether no attempt of it was ever started.
    pub(super) fn unbegun(&self) -> bool {
        self.state == StepState::Pending && self.attempts == 0
    }

    /// The live attempt.
    #[must_use]
    pub const fn live(&self) -> Option<AttemptNo> {
        match &self.state {
            StepState::Running(Running { run: Run::Live { attempt, .. }, .. }) => Some(*attempt),
            _ => None,
        }
    }

    /// Keeps the session of the attempt that runs. A fix goes on with the conversation of the work: in a reviewer's it
    /// would be told that it may change nothing, and the reviewer may be another program.
    pub(super) fn note_session(&mut self, session: Option<&str>) {
        let works = matches!(&self.state, StepState::Running(running) if running.purpose != Purpose::Review);
        if let (true, Some(session)) = (works, session) {
            self.session = Some(session.into());
        }
    }

    /// Keeps which files were changed, up to a number that nobody reads to its end.
    pub(super) fn note_files(&mut self, files: &[String]) {
        let room = MOST_FILES.saturating_sub(self.files.len());
        let new: Vec<&String> = files.iter().filter(|file| !self.files.contains(file.as_str())).take(room).collect();
        self.files.extend(new.into_iter().map(|file| file.as_str().into()));
    }

    /// Keeps what a person should know; the same is said once.
    pub(super) fn notice<'a>(&mut self, notices: impl IntoIterator<Item = &'a str>) {
        for notice in notices {
            if !self.notices.iter().any(|known| **known == *notice) {
                self.notices.push(notice.into());
            }
        }
        let surplus = self.notices.len().saturating_sub(50);
        self.notices.drain(..surplus);
    }

    /// Its place among those that wait for the resolution of a conflict, if it does.
    pub(super) fn waits_for_turn(&self) -> Option<u32> {
        let waits = match &self.state {
            StepState::Pending => self.unmet == 0 && self.dead == 0,
            StepState::Running(running) => matches!(running.run, Run::Wanted { .. }),
            _ => false,
        };
        self.clash.as_ref().filter(|_| waits && !self.paused).map(|clash| clash.no)
    }

    /// Whether it may keep the turn to be resolved: its change is on its way. One that a person paused lets others pass.
    pub(super) const fn keeps_turn(&self) -> bool {
        match &self.state {
            StepState::Running(Running { run: Run::Wanted { .. }, .. }) => !self.paused,
            StepState::Running(_) | StepState::Merging { .. } => true,
            StepState::Pending | StepState::Done(_) | StepState::Failed(_) | StepState::Cancelled => false,
        }
    }

    /// What dependents can see of it.
    pub(super) fn view(&self) -> View {
        let level = match &self.state {
            StepState::Pending => 0,
            StepState::Running(_) => u8::from(self.lived),
            StepState::Merging { .. } => 2,
            StepState::Done(_) => 3,
            StepState::Failed(_) | StepState::Cancelled => 0,
        };
        let dead = match &self.state {
            StepState::Failed(_) | StepState::Cancelled => true,
            StepState::Pending => self.dead > 0,
            StepState::Running(_) | StepState::Merging { .. } | StepState::Done(_) => false,
        };
        View { level, dead }
    }
}

/// What dependents can see of a step: how far it is, and whether it is dead to them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct View {
    level: u8,
    pub(super) dead: bool,
}

impl View {
    pub(super) const fn satisfies(self, condition: Condition) -> bool {
        let wanted = match condition {
            Condition::Started => 1,
            Condition::Completed => 2,
            Condition::Merged => 3,
        };
        self.level >= wanted
    }
}
