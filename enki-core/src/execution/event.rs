//! What an execution records and wants.

use super::outcome::{AttemptEnd, Refusal};
use super::step::{DoneKind, FailReason};
use crate::agent::Usage;
use crate::branch::Branch;
use crate::budget::{Budget, BudgetOf, Spent};
use crate::chain::Charge;
use crate::id::{AttemptNo, CommitId, ExecutionId, RequestId, StepIx, TreeId};
use crate::plan::{Amendment, Plan, Step};
use crate::refinery::Gate;
use crate::review::StateIx;
use crate::spec::{AfterWhen, Land};
use crate::tier::{Pool, Purpose};
use crate::time::Timestamp;
use crate::workspace::Start;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// From where a retried step starts.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RetryMode {
    /// From what it had captured.
    Continue,
    /// From the integration branch's head.
    Fresh,
}

/// A person's answer to a hold.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Go on.
    Approve,
    /// Do not go on: the execution is cancelled.
    Reject,
    /// Go on, with these words for the record.
    Text(String),
}

/// What a need from outside is.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NeedState {
    /// Not yet.
    #[default]
    Waiting,
    /// Its first agent lives or has lived.
    Started,
    /// Merging or done.
    Completed,
    /// Done and landed.
    Landed,
    /// Failed or cancelled.
    Dead,
}

/// Number of a hold in its execution, from 1.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HoldNo(pub u32);

/// Why an execution waits for a person (model section 8).
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HoldReason {
    /// A checkpoint step is done.
    Checkpoint {
        /// Which.
        step: StepIx,
    },
    /// Something must be approved before it starts.
    Approval {
        /// What.
        point: String,
    },
    /// It cost as much as it may. Only more of it answers that.
    Budget,
    /// The target was moved away from work that had landed.
    Rewound,
    /// Landing waits for a person. Work goes on meanwhile.
    Landing {
        /// Why.
        reason: String,
        /// What finishes it.
        command: String,
    },
    /// The target or the queue needs help.
    Trouble {
        /// What is wrong and what to do.
        reason: String,
    },
    /// The note that says what a step is about cannot be read, so that nobody knows what a person wants of it now.
    Note {
        /// Which step.
        step: StepIx,
        /// Which file, in which line, and what is wrong.
        reason: String,
    },
}

impl HoldReason {
    /// Whether new attempts must not start while it is open.
    #[must_use]
    pub const fn stops_starts(&self) -> bool {
        !matches!(self, Self::Landing { .. })
    }
}

/// Everything an execution is made of at its start.
#[derive(Clone, Debug, PartialEq)]
pub struct Submitted {
    /// Its id.
    pub id: ExecutionId,
    /// The plan.
    pub plan: Arc<Plan>,
    /// Where it came from: `cli`, `coordinator`, ...
    pub origin: String,
    /// Where its work lands.
    pub target: Branch,
    /// When merged work lands.
    pub land: Land,
    /// What a merged tree must pass.
    pub gate: Option<Gate>,
    /// When it was submitted.
    pub created: Timestamp,
    /// Start not before.
    pub start_at: Option<Timestamp>,
    /// Start not before that one ended.
    pub after: Option<(ExecutionId, AfterWhen)>,
    /// Held for approval before anything starts.
    pub approval: bool,
    /// What the target is in.
    pub project: ProjectKind,
}

/// What a project is to the person, and with that how they can finish a landing by hand.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ProjectKind {
    /// A repository of theirs: they can merge.
    #[default]
    Repository,
    /// A folder without one: they can change its files, and ask again.
    Folder,
}

/// What an execution records.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// It exists.
    Submitted(Box<Submitted>),
    /// Its integration branch is there.
    Opened {
        /// At.
        base: CommitId,
    },
    /// Something needed from outside changed.
    NeedChanged {
        /// Position in [`Plan::externals`].
        external: u32,
        /// What it is now.
        state: NeedState,
    },
    /// The execution it comes after changed.
    PredecessorChanged {
        /// What it is now.
        state: NeedState,
    },
    /// Its time has come.
    Triggered,
    /// An attempt may run; recorded before its agent starts.
    AttemptStarted {
        /// Which step.
        step: StepIx,
        /// Which attempt.
        attempt: AttemptNo,
        /// What for.
        purpose: Purpose,
        /// From which files.
        start: Start,
        /// The level of the sandbox that its agent runs in, if that is known.
        sandbox: Option<u8>,
    },
    /// Its agent runs.
    AttemptLive {
        /// Which step.
        step: StepIx,
        /// Which attempt.
        attempt: AttemptNo,
        /// The agent's own session.
        session: Option<String>,
    },
    /// What it used up to now. Recorded only where a budget depends on it, about 100 times for each.
    AttemptSpent {
        /// Which step.
        step: StepIx,
        /// Which attempt.
        attempt: AttemptNo,
        /// All of it.
        usage: Usage,
    },
    /// A share of a budget is used: a fact for people, once for each share of each limit.
    BudgetWarned {
        /// The share, in percent.
        percent: u8,
        /// What is used.
        spent: Spent,
    },
    /// A person set a budget anew.
    BudgetSet {
        /// Whose.
        of: BudgetOf,
        /// All its limits.
        budget: Budget,
    },
    /// It is over.
    AttemptEnded {
        /// Which step.
        step: StepIx,
        /// Which attempt.
        attempt: AttemptNo,
        /// How, and what it left.
        end: Box<AttemptEnd>,
        /// What follows.
        next: Next,
    },
    /// The queue merged a step's change.
    StepMerged {
        /// Which step.
        step: StepIx,
        /// The integration branch's new head.
        commit: CommitId,
    },
    /// The queue gave a step's change back.
    MergeRefused {
        /// Which step.
        step: StepIx,
        /// Why.
        reason: Refusal,
        /// What follows.
        next: Next,
    },
    /// A change that was refused for a conflict asks once more: the head has moved since, and asking costs no agent.
    MergeRequested {
        /// Which step.
        step: StepIx,
        /// The request.
        request: RequestId,
    },
    /// The integration branch asks to land.
    LandingRequested {
        /// The request.
        request: RequestId,
        /// The branch's head, or what it was when its conflict with the target was resolved.
        tip: CommitId,
        /// The merge of it and the target that resolved the conflict, if there was one: that is to land.
        merge: Option<CommitId>,
    },
    /// It has landed.
    Landed {
        /// The request.
        request: RequestId,
        /// The target's new head.
        commit: CommitId,
    },
    /// A person wants what is merged to land, also of an execution that failed or was cancelled: it is open until
    /// that is done.
    LandingAsked,
    /// It could not land.
    LandingRefused {
        /// The request.
        request: RequestId,
        /// Why.
        reason: Refusal,
        /// When it is tried again although nothing is heard: whether the way is free is seen by trying only.
        again: Option<Timestamp>,
        /// Since when it waits for that; zero if it does not, or if that is not known.
        since: Timestamp,
    },
    /// It conflicts with the target, and a step of its own resolves that. The step is added at the end of the plan.
    LandingResolution {
        /// The step.
        step: Box<Step>,
        /// Head of the target.
        onto: CommitId,
        /// Tip of the integration branch.
        tip: CommitId,
        /// Files in conflict.
        paths: Vec<String>,
        /// What conflicts in them, for the agent.
        findings: String,
    },
    /// A person has to look.
    HoldOpened {
        /// Its number.
        hold: HoldNo,
        /// Why.
        reason: HoldReason,
    },
    /// The person did, or the reason is gone.
    HoldClosed {
        /// Its number.
        hold: HoldNo,
        /// The words of the person.
        answer: Option<Answer>,
    },
    /// A person paused it, or one step.
    Paused {
        /// One step, or all.
        step: Option<StepIx>,
    },
    /// The pause is over.
    Resumed {
        /// One step, or all.
        step: Option<StepIx>,
    },
    /// A service that its attempts use asks to wait: nothing that needs it starts before that time. Told to every open
    /// execution, whosever attempt was told.
    ServiceWaits {
        /// Whose login.
        pool: Pool,
        /// Until when, and why.
        wait: ServiceWait,
    },
    /// A person lets services be asked again before their time.
    ServiceFreed,
    /// Steps were added.
    StepsAdded {
        /// They.
        steps: Vec<Step>,
    },
    /// A person changed what a step is about before it started: recorded before its first attempt, as its note said it.
    StepAmended {
        /// Which.
        step: StepIx,
        /// What it is about from now on.
        amendment: Box<Amendment>,
    },
    /// A step was given up.
    StepCancelled {
        /// Which.
        step: StepIx,
    },
    /// The execution is being given up; its unfinished steps follow.
    CancelRequested,
    /// A live attempt was stopped, to be run again.
    AttemptStopped {
        /// Which step.
        step: StepIx,
        /// Which attempt.
        attempt: AttemptNo,
    },
    /// A failed step is tried again.
    StepRetried {
        /// Which.
        step: StepIx,
        /// From where.
        mode: RetryMode,
        /// What a person said to it.
        note: Option<String>,
    },
    /// A person took what an escalated step captured as it is. It is merged as what passed is: its check still counts.
    StepAccepted {
        /// Which.
        step: StepIx,
        /// Who.
        by: String,
        /// Why.
        why: String,
        /// Exactly this tree; none if it puts out an artifact.
        tree: Option<TreeId>,
        /// What follows.
        next: Next,
    },
    /// It is over.
    Ended {
        /// How.
        status: EndStatus,
    },
}

impl Event {
    /// The step it is about, if it is about one that must be there.
    #[must_use]
    pub const fn step(&self) -> Option<StepIx> {
        match self {
            Self::AttemptStarted { step, .. }
            | Self::AttemptLive { step, .. }
            | Self::AttemptSpent { step, .. }
            | Self::AttemptEnded { step, .. }
            | Self::AttemptStopped { step, .. }
            | Self::StepMerged { step, .. }
            | Self::MergeRefused { step, .. }
            | Self::MergeRequested { step, .. }
            | Self::StepAmended { step, .. }
            | Self::StepCancelled { step }
            | Self::StepRetried { step, .. }
            | Self::StepAccepted { step, .. } => Some(*step),
            Self::Paused { step } | Self::Resumed { step } => *step,
            Self::BudgetWarned { spent: Spent { of, .. }, .. } | Self::BudgetSet { of, .. } => of.step(),
            Self::Submitted(_)
            | Self::Opened { .. }
            | Self::NeedChanged { .. }
            | Self::PredecessorChanged { .. }
            | Self::Triggered
            | Self::LandingRequested { .. }
            | Self::Landed { .. }
            | Self::LandingRefused { .. }
            | Self::LandingAsked
            | Self::LandingResolution { .. }
            | Self::HoldOpened { .. }
            | Self::HoldClosed { .. }
            | Self::ServiceWaits { .. }
            | Self::ServiceFreed
            | Self::StepsAdded { .. }
            | Self::CancelRequested
            | Self::Ended { .. } => None,
        }
    }
}

/// A service that may not be asked for a while.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ServiceWait {
    /// Until when.
    pub until: Timestamp,
    /// What it said, in one line.
    pub why: String,
}

/// What a step does next, decided once and stored.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Next {
    /// It is done.
    Done(DoneKind),
    /// Its change asks to be merged.
    Merge {
        /// The request.
        request: RequestId,
    },
    /// Another attempt.
    Run {
        /// What for.
        purpose: Purpose,
        /// Not before.
        not_before: Timestamp,
        /// Since when it waits for that; zero if it does not, or if that is not known.
        #[serde(default, skip_serializing_if = "Timestamp::is_unknown")]
        since: Timestamp,
        /// In which state of its chain.
        #[serde(default, skip_serializing_if = "is_first")]
        at: StateIx,
        /// Which budget it is charged to.
        charge: Charge,
        /// What it is told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        findings: Option<String>,
    },
    /// It failed.
    Fail(FailReason),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_first(at: &StateIx) -> bool {
    *at == StateIx::default()
}

/// How an execution ended.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndStatus {
    /// Every step is done or cancelled, at least one done, and landed.
    Done,
    /// A step failed, and nothing more can be done.
    Failed,
    /// Given up.
    Cancelled,
}

/// What an execution wants in flight. At most one per step, and one to open the branch. Merges and landings are
/// effects of the queues.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Effect {
    /// Make the integration branch.
    Open,
    /// Prepare the workspace, run the agent, capture what it left.
    Attempt {
        /// Which step.
        step: StepIx,
        /// Which attempt.
        attempt: AttemptNo,
    },
}

/// An input that is not accepted now. Nothing changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// About an attempt or request that is not in flight any more. Counted, harmless; its commits are kept.
    #[error("a report of {got} came late; it changes nothing")]
    Stale {
        /// What it was about.
        got: String,
    },
    /// The state does not allow it.
    #[error("cannot {action}: {state}")]
    InvalidState {
        /// What was asked.
        action: &'static str,
        /// What is the case.
        state: String,
    },
    /// New steps may not need a failed or cancelled one.
    #[error("cannot add steps: step {step} {state}; retry it first, or leave the need out")]
    DependencyFailed {
        /// The needed step.
        step: String,
        /// What it is.
        state: &'static str,
    },
    /// No such step or hold.
    #[error("no {0}")]
    NotFound(String),
}
