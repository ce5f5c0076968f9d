//! What an execution hears.

use super::event::{Answer, HoldNo, NeedState, RetryMode, ServiceWait};
use super::outcome::{AttemptEnd, Refusal};
use crate::agent::Usage;
use crate::budget::{Budget, BudgetOf};
use crate::id::{AttemptNo, CommitId, RequestId, StepIx};
use crate::plan::{Added, Amendment};
use crate::tier::Pool;

/// Something that happened to an execution.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A person, or a program for one, wants something.
    Command(Command),
    /// A backend answers.
    Report(Report),
    /// The dispatcher grants the permits for a step's next attempt.
    Grant(StepIx),
}

/// What a person may ask of an execution (model section 7).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Command {
    /// Add steps that were checked against the plan.
    AddSteps(Added),
    /// Start nothing new; what runs ends by itself.
    Pause(Option<StepIx>),
    /// Clear the pause and answer the holds; or clear one step's pause.
    Resume(Option<StepIx>),
    /// Kill and give up the execution or a step. Merges that have begun to commit are named, and end as done.
    Cancel {
        /// One step, or the execution.
        step: Option<StepIx>,
        /// Requests past the point of no return.
        committing: Vec<RequestId>,
    },
    /// Try a failed step again.
    Retry {
        /// Which step.
        step: StepIx,
        /// From where.
        mode: Option<RetryMode>,
        /// What a person has to say to whoever works on it from now on.
        note: Option<String>,
    },
    /// Take what an escalated step captured as it is: a person's pass in place of the review's.
    Accept {
        /// Which.
        step: StepIx,
        /// Who says so.
        by: String,
        /// And why.
        why: String,
    },
    /// Answer one hold.
    Decide {
        /// Which hold.
        hold: HoldNo,
        /// The answer.
        answer: Answer,
        /// Requests past the point of no return; a rejection lets them end as done.
        committing: Vec<RequestId>,
    },
    /// Set limits anew: those given; the others stay. Also of a step that failed, before it is tried again.
    Budget {
        /// Whose.
        of: BudgetOf,
        /// The limits, each larger than what is used.
        budget: Budget,
    },
    /// Pause, and kill what runs.
    Stop,
    /// Land what is merged and has not landed, whatever became of the rest.
    Land,
}

/// A backend's answer about one effect, or news of another machine.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Report {
    /// The integration branch is there, at its first base.
    Opened(CommitId),
    /// It could not be made.
    OpenFailed(String),
    /// The agent of an attempt runs.
    Live {
        /// Which step.
        step: StepIx,
        /// Which attempt.
        attempt: AttemptNo,
        /// The name of its own session.
        session: Option<String>,
    },
    /// What a live attempt used up to now, all of it.
    Spent {
        /// Which step.
        step: StepIx,
        /// Which attempt.
        attempt: AttemptNo,
        /// What it used.
        usage: Usage,
    },
    /// An attempt is over and what it left is captured.
    Ended {
        /// Which step.
        step: StepIx,
        /// Which attempt.
        attempt: AttemptNo,
        /// How.
        end: Box<AttemptEnd>,
    },
    /// The step's change is merged into the integration branch.
    Merged {
        /// Which request.
        request: RequestId,
        /// The step's commit on the branch. Of a batch, the last one is the branch's new head.
        commit: CommitId,
    },
    /// The queue gave a step's change back.
    Refused {
        /// Which request.
        request: RequestId,
        /// Why.
        reason: Refusal,
    },
    /// The integration branch has landed on the target.
    Landed {
        /// Which request.
        request: RequestId,
        /// The target's new head.
        commit: CommitId,
    },
    /// What the note of a step says before its first attempt.
    Briefed {
        /// Which step.
        step: StepIx,
        /// What.
        briefing: Briefing,
    },
    /// Something this execution needs from outside changed.
    Need {
        /// Position in [`Plan::externals`](crate::plan::Plan::externals).
        external: u32,
        /// What it is now.
        state: NeedState,
    },
    /// The execution that this one comes after has ended, or was revived.
    Predecessor(NeedState),
    /// A service that its attempts use asks to wait.
    ServiceWaits(Pool, ServiceWait),
    /// A person wants it to be asked again at once.
    ServiceFreed,
    /// An orchestrator takes it up from its log: what a person was asked for may have been done meanwhile.
    TakenUp,
    /// A queue it depends on stopped for a reason that is nobody's fault.
    Trouble(String),
    /// None of the queues it depends on is stopped any more.
    TroubleOver,
}

/// What the note of a step says before its first attempt.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Briefing {
    /// Nothing that is not known: it has no note of its own.
    Known,
    /// This. It may be what is known already.
    Says(Box<Amendment>),
    /// That a person gave it up.
    Cancelled,
    /// Nothing: it is gone, or cannot be read.
    Unreadable {
        /// Which file, in which line, and what is wrong.
        reason: String,
    },
}
