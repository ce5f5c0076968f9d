//! Events of an execution, as they are stored.

use super::plan::{After, Plan, Start, Step, is_default};
use crate::agent::Usage;
use crate::branch::Branch;
use crate::budget::{Budget, BudgetOf, Spent};
use crate::execution::{
    Answer, AttemptEnd, EndStatus, Event, HoldNo, HoldReason, NeedState, Next, ProjectKind, Refusal, RetryMode,
    ServiceWait, Submitted,
};
use crate::id::{AttemptNo, CommitId, ExecutionId, RequestId, StepIx, TreeId};
use crate::plan::Amendment;
use crate::refinery::Gate;
use crate::spec::Land;
use crate::tier::{Pool, Purpose};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What an execution records; see the variant of that name of [`Event`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionEvent<'a> {
    /// It exists; the first event of its log.
    Submitted {
        /// Its id.
        id: ExecutionId,
        /// The plan.
        plan: Plan<'a>,
        /// Where it came from.
        origin: Cow<'a, str>,
        /// Branch on which its work lands.
        target: Cow<'a, Branch>,
        /// When merged work lands.
        land: Land,
        /// What a merged tree must pass.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gate: Option<Cow<'a, Gate>>,
        /// When it was submitted.
        created: Timestamp,
        /// Start not before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start_at: Option<Timestamp>,
        /// Start not before that one ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<After>,
        /// Held for approval before anything starts.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        approval: bool,
        /// What the target is in.
        #[serde(default, skip_serializing_if = "is_default")]
        project: ProjectKind,
    },
    /// Its integration branch is there.
    Opened {
        /// Where it began.
        base: CommitId,
    },
    /// Something needed from outside changed.
    NeedChanged {
        /// Position among the plan's outside needs, in order of first mention.
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
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sandbox: Option<u8>,
    },
    /// Its agent runs.
    AttemptLive {
        /// Which step.
        step: StepIx,
        /// Which attempt.
        attempt: AttemptNo,
        /// The agent's own session.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<Cow<'a, str>>,
    },
    /// What it used up to now.
    AttemptSpent {
        /// Which step.
        step: StepIx,
        /// Which attempt.
        attempt: AttemptNo,
        /// All of it.
        usage: Usage,
    },
    /// A share of a budget is used.
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
        end: Cow<'a, AttemptEnd>,
        /// What follows.
        next: Cow<'a, Next>,
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
        reason: Cow<'a, Refusal>,
        /// What follows.
        next: Cow<'a, Next>,
    },
    /// A change that was refused for a conflict asks once more.
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
        /// The branch's head.
        tip: CommitId,
        /// The merge with the target that is to land instead, if there was a conflict.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        merge: Option<CommitId>,
    },
    /// It has landed.
    Landed {
        /// The request.
        request: RequestId,
        /// The target's new head.
        commit: CommitId,
    },
    /// A person wants what is merged to land.
    LandingAsked,
    /// It could not land.
    LandingRefused {
        /// The request.
        request: RequestId,
        /// Why.
        reason: Cow<'a, Refusal>,
        /// When it is tried again although nothing is heard.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        again: Option<Timestamp>,
        /// Since when it waits for that.
        #[serde(default, skip_serializing_if = "Timestamp::is_unknown")]
        since: Timestamp,
    },
    /// It conflicts with the target, and a step added at the end of the plan resolves that.
    LandingResolution {
        /// The step.
        step: Box<Step<'a>>,
        /// Head of the target.
        onto: CommitId,
        /// Tip of the integration branch.
        tip: CommitId,
        /// Files in conflict.
        paths: Cow<'a, [String]>,
        /// What conflicts in them.
        #[serde(default, skip_serializing_if = "str::is_empty")]
        findings: Cow<'a, str>,
    },
    /// A person has to look.
    HoldOpened {
        /// Its number.
        hold: HoldNo,
        /// Why.
        reason: Cow<'a, HoldReason>,
    },
    /// The person did, or the reason is gone.
    HoldClosed {
        /// Its number.
        hold: HoldNo,
        /// The answer of the person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<Cow<'a, Answer>>,
    },
    /// A person paused it, or one step.
    Paused {
        /// One step; all if missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<StepIx>,
    },
    /// The pause is over.
    Resumed {
        /// One step; all if missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<StepIx>,
    },
    /// A service asks to wait.
    ServiceWaits {
        /// Whose login.
        pool: Pool,
        /// Until when, and why.
        wait: Cow<'a, ServiceWait>,
    },
    /// A person lets services be asked again before their time.
    ServiceFreed,
    /// Steps were added at the end of the plan.
    StepsAdded {
        /// They.
        steps: Vec<Step<'a>>,
    },
    /// A person changed what a step is about before it started.
    StepAmended {
        /// Which.
        step: StepIx,
        /// What it is about from now on.
        amendment: Cow<'a, Amendment>,
    },
    /// A step was given up.
    StepCancelled {
        /// Which.
        step: StepIx,
    },
    /// The execution is being given up.
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
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// A person took what an escalated step captured as it is.
    StepAccepted {
        /// Which.
        step: StepIx,
        /// Who.
        by: Cow<'a, str>,
        /// Why.
        why: Cow<'a, str>,
        /// Exactly this tree.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tree: Option<TreeId>,
        /// What follows.
        next: Cow<'a, Next>,
    },
    /// It is over.
    Ended {
        /// How.
        status: EndStatus,
    },
}

impl<'a> From<&'a Event> for ExecutionEvent<'a> {
    fn from(event: &'a Event) -> Self {
        match event {
            Event::Submitted(submitted) => Self::submitted(submitted),
            Event::Opened { base } => Self::Opened { base: *base },
            Event::NeedChanged { external, state } => Self::NeedChanged { external: *external, state: *state },
            Event::PredecessorChanged { state } => Self::PredecessorChanged { state: *state },
            Event::Triggered => Self::Triggered,
            Event::AttemptStarted { step, attempt, purpose, start, sandbox } => Self::AttemptStarted {
                step: *step,
                attempt: *attempt,
                purpose: *purpose,
                start: (*start).into(),
                sandbox: *sandbox,
            },
            Event::AttemptLive { step, attempt, session } => {
                Self::AttemptLive { step: *step, attempt: *attempt, session: session.as_deref().map(Cow::Borrowed) }
            }
            Event::AttemptSpent { step, attempt, usage } => {
                Self::AttemptSpent { step: *step, attempt: *attempt, usage: *usage }
            }
            Event::BudgetWarned { percent, spent } => Self::BudgetWarned { percent: *percent, spent: *spent },
            Event::BudgetSet { of, budget } => Self::BudgetSet { of: *of, budget: *budget },
            Event::AttemptEnded { step, attempt, end, next } => Self::AttemptEnded {
                step: *step,
                attempt: *attempt,
                end: Cow::Borrowed(end),
                next: Cow::Borrowed(next),
            },
            Event::StepMerged { step, commit } => Self::StepMerged { step: *step, commit: *commit },
            Event::MergeRefused { step, reason, next } => {
                Self::MergeRefused { step: *step, reason: Cow::Borrowed(reason), next: Cow::Borrowed(next) }
            }
            Event::MergeRequested { step, request } => Self::MergeRequested { step: *step, request: *request },
            Event::LandingRequested { request, tip, merge } => {
                Self::LandingRequested { request: *request, tip: *tip, merge: *merge }
            }
            Event::Landed { request, commit } => Self::Landed { request: *request, commit: *commit },
            Event::LandingRefused { request, reason, again, since } => {
                let (again, since) = (*again, *since);
                Self::LandingRefused { request: *request, reason: Cow::Borrowed(reason), again, since }
            }
            Event::LandingResolution { step, onto, tip, paths, findings } => Self::LandingResolution {
                step: Box::new((&**step).into()),
                onto: *onto,
                tip: *tip,
                paths: Cow::Borrowed(paths),
                findings: Cow::Borrowed(findings),
            },
            Event::HoldOpened { hold, reason } => Self::HoldOpened { hold: *hold, reason: Cow::Borrowed(reason) },
            Event::HoldClosed { hold, answer } => {
                Self::HoldClosed { hold: *hold, answer: answer.as_ref().map(Cow::Borrowed) }
            }
            Event::Paused { step } => Self::Paused { step: *step },
            Event::Resumed { step } => Self::Resumed { step: *step },
            Event::ServiceWaits { pool, wait } => Self::ServiceWaits { pool: *pool, wait: Cow::Borrowed(wait) },
            Event::ServiceFreed => Self::ServiceFreed,
            Event::StepsAdded { steps } => Self::StepsAdded { steps: steps.iter().map(Step::from).collect() },
            Event::StepAmended { step, amendment } => {
                Self::StepAmended { step: *step, amendment: Cow::Borrowed(amendment) }
            }
            Event::StepCancelled { step } => Self::StepCancelled { step: *step },
            Event::CancelRequested => Self::CancelRequested,
            Event::LandingAsked => Self::LandingAsked,
            Event::AttemptStopped { step, attempt } => Self::AttemptStopped { step: *step, attempt: *attempt },
            Event::StepRetried { step, mode, note } => {
                Self::StepRetried { step: *step, mode: *mode, note: note.clone() }
            }
            Event::StepAccepted { step, by, why, tree, next } => Self::StepAccepted {
                step: *step,
                by: Cow::Borrowed(by),
                why: Cow::Borrowed(why),
                tree: *tree,
                next: Cow::Borrowed(next),
            },
            Event::Ended { status } => Self::Ended { status: *status },
        }
    }
}

impl<'a> ExecutionEvent<'a> {
    fn submitted(submitted: &'a Submitted) -> Self {
        Self::Submitted {
            id: submitted.id,
            plan: (&*submitted.plan).into(),
            origin: Cow::Borrowed(&submitted.origin),
            target: Cow::Borrowed(&submitted.target),
            land: submitted.land,
            gate: submitted.gate.as_ref().map(Cow::Borrowed),
            created: submitted.created,
            start_at: submitted.start_at,
            after: submitted.after.map(After::from),
            approval: submitted.approval,
            project: submitted.project,
        }
    }

    /// The event it stands for, or what is wrong with it.
    pub(super) fn into_event(self) -> Result<Event, String> {
        Ok(match self {
            Self::Submitted { id, plan, origin, target, land, gate, created, start_at, after, approval, project } => {
                Event::Submitted(Box::new(Submitted {
                    id,
                    plan: plan.into_plan()?.into(),
                    origin: origin.into_owned(),
                    target: target.into_owned(),
                    land,
                    gate: gate.map(Cow::into_owned),
                    created,
                    start_at,
                    after: after.map(After::into_pair),
                    approval,
                    project,
                }))
            }
            Self::Opened { base } => Event::Opened { base },
            Self::NeedChanged { external, state } => Event::NeedChanged { external, state },
            Self::PredecessorChanged { state } => Event::PredecessorChanged { state },
            Self::Triggered => Event::Triggered,
            Self::AttemptStarted { step, attempt, purpose, start, sandbox } => {
                Event::AttemptStarted { step, attempt, purpose, start: start.into(), sandbox }
            }
            Self::AttemptLive { step, attempt, session } => {
                Event::AttemptLive { step, attempt, session: session.map(Cow::into_owned) }
            }
            Self::AttemptSpent { step, attempt, usage } => Event::AttemptSpent { step, attempt, usage },
            Self::BudgetWarned { percent, spent } => Event::BudgetWarned { percent, spent },
            Self::BudgetSet { of, budget } => Event::BudgetSet { of, budget },
            Self::AttemptEnded { step, attempt, end, next } => {
                Event::AttemptEnded { step, attempt, end: Box::new(end.into_owned()), next: next.into_owned() }
            }
            Self::StepMerged { step, commit } => Event::StepMerged { step, commit },
            Self::MergeRefused { step, reason, next } => {
                Event::MergeRefused { step, reason: reason.into_owned(), next: next.into_owned() }
            }
            Self::MergeRequested { step, request } => Event::MergeRequested { step, request },
            Self::LandingRequested { request, tip, merge } => Event::LandingRequested { request, tip, merge },
            Self::Landed { request, commit } => Event::Landed { request, commit },
            Self::LandingRefused { request, reason, again, since } => {
                Event::LandingRefused { request, reason: reason.into_owned(), again, since }
            }
            Self::LandingResolution { step, onto, tip, paths, findings } => Event::LandingResolution {
                step: Box::new(step.into_step()?),
                onto,
                tip,
                paths: paths.into_owned(),
                findings: findings.into_owned(),
            },
            Self::HoldOpened { hold, reason } => Event::HoldOpened { hold, reason: reason.into_owned() },
            Self::HoldClosed { hold, answer } => Event::HoldClosed { hold, answer: answer.map(Cow::into_owned) },
            Self::Paused { step } => Event::Paused { step },
            Self::Resumed { step } => Event::Resumed { step },
            Self::ServiceWaits { pool, wait } => Event::ServiceWaits { pool, wait: wait.into_owned() },
            Self::ServiceFreed => Event::ServiceFreed,
            Self::StepsAdded { steps } => {
                Event::StepsAdded { steps: steps.into_iter().map(Step::into_step).collect::<Result<_, _>>()? }
            }
            Self::StepAmended { step, amendment } => {
                Event::StepAmended { step, amendment: Box::new(amendment.into_owned()) }
            }
            Self::StepCancelled { step } => Event::StepCancelled { step },
            Self::CancelRequested => Event::CancelRequested,
            Self::LandingAsked => Event::LandingAsked,
            Self::AttemptStopped { step, attempt } => Event::AttemptStopped { step, attempt },
            Self::StepRetried { step, mode, note } => Event::StepRetried { step, mode, note },
            Self::StepAccepted { step, by, why, tree, next } => {
                Event::StepAccepted { step, by: by.into_owned(), why: why.into_owned(), tree, next: next.into_owned() }
            }
            Self::Ended { status } => Event::Ended { status },
        })
    }
}
