//! The life of one plan: steps, needs, attempts, checkpoints, pause, cancel, retry, added steps, outputs.
//!
//! [`Execution::decide`] says what an input means, [`Execution::settle`] what follows from the state alone, and
//! [`Execution::apply`] is the only way the state changes, live and on replay. What should be in flight is derived:
//! [`Execution::effect`] of a step, [`Execution::outstanding`] of all.

mod apply;
mod budget;
mod chains;
mod decide;
mod directives;
mod event;
mod input;
pub mod invariants;
mod landing;
mod outcome;
mod settle;
mod step;

pub use crate::chain::{Charge, Escalation};
pub use apply::Touched;
pub use chains::{ChainView, Standing};
pub use event::{
    Answer, Effect, EndStatus, Event, HoldNo, HoldReason, NeedState, Next, ProjectKind, Rejected, RetryMode,
    ServiceWait, Submitted,
};
pub use input::{Briefing, Command, Input, Report};
pub use outcome::{AttemptEnd, Outcome, Refusal, Work};
pub use step::{Clash, ClashKind, DoneKind, FailReason, LandingMerge, Run, Running, StepRun, StepState};

use crate::agent::Usage;
use crate::branch::Branch;
use crate::chain::Course;
use crate::id::{AttemptNo, CommitId, ExecutionId, RequestId, StepIx, TaskId};
use crate::plan::{Plan, Scope, Step};
use crate::refinery::Gate;
use crate::review::{Does, Reviewer};
use crate::spec::{AfterWhen, Condition, Land};
use crate::store::Counts;
use crate::tier::{Pool, Priority, Purpose, Tier};
use crate::time::Timestamp;
use landing::Landing;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// The state of one execution.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    id: ExecutionId,
    plan: Arc<Plan>,
    origin: String,
    target: Branch,
    land: Land,
    gate: Option<Gate>,
    created: Timestamp,
    start_at: Option<Timestamp>,
    after: Option<(ExecutionId, AfterWhen)>,
    project: ProjectKind,
    predecessor: NeedState,
    triggered: bool,
    base: Option<CommitId>,
    head: Option<CommitId>,
    steps: Vec<StepRun>,
    externals: Vec<NeedState>,
    counts: Counts,
    paused: bool,
    cancelling: bool,
    holds: BTreeMap<HoldNo, HoldReason>,
    next_hold: u32,
    landing: Landing,
    ended: Option<EndStatus>,
    usage: Usage,
    services: BTreeMap<Pool, ServiceWait>,
    ready: BTreeSet<StepIx>,
    active: BTreeSet<StepIx>,
    timers: BTreeSet<(Timestamp, StepIx)>,
    requests: BTreeMap<RequestId, StepIx>,
    due_checkpoints: BTreeSet<StepIx>,
    /// Steps that wait for the resolution of a conflict, in the order in which they were refused.
    clashes: BTreeSet<(u32, StepIx)>,
    next_clash: u32,
    /// Whose conflict is being resolved, until it is merged or given up.
    turn: Option<StepIx>,
}

/// What an execution asks of the dispatcher for one step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Demand {
    /// Nothing.
    Idle,
    /// A chain is open, but nothing may start now. Its permit is kept, or given back while the execution is held.
    Open {
        /// Whether the chain permit is given back.
        yields: bool,
    },
    /// An attempt, as soon as permits allow.
    Wants {
        /// Its concurrency class.
        tier: Tier,
        /// Whether it needs a chain permit, unless it holds one.
        chain: bool,
        /// Whose login it needs.
        pool: Pool,
        /// Its place in the order of starts; the smallest first.
        order: StartOrder,
    },
    /// An agent process lives.
    Live {
        /// Its concurrency class.
        tier: Tier,
        /// Whether it holds a chain permit.
        chain: bool,
    },
}

/// Place in the order of starts (model section 5), without age and position of the execution.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct StartOrder {
    /// Next attempts of open chains come first.
    pub fresh: bool,
    /// Then by priority; of the same priority, the dispatcher takes one whose files are free first.
    pub priority: Priority,
    /// Then by how much it frees: steps it blocks less steps that block it, negated.
    pub fan: i64,
    /// Then by the longest path below, negated.
    pub below: i64,
}

/// The files a step says it changes, below the branch on which they land.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claim {
    /// The branch.
    pub target: Branch,
    /// The files.
    pub scope: Arc<Scope>,
}

impl Execution {
    /// The state after [`Event::Submitted`], the first event of every execution.
    #[must_use]
    pub fn new(submitted: &Submitted) -> Self {
        let mut execution = Self {
            id: submitted.id,
            plan: Arc::clone(&submitted.plan),
            origin: submitted.origin.clone(),
            target: submitted.target.clone(),
            land: submitted.land,
            gate: submitted.gate.clone(),
            created: submitted.created,
            start_at: submitted.start_at,
            after: submitted.after,
            project: submitted.project,
            predecessor: NeedState::Waiting,
            triggered: submitted.start_at.is_none() && submitted.after.is_none(),
            base: None,
            head: None,
            steps: Vec::new(),
            externals: Vec::new(),
            counts: Counts::default(),
            paused: false,
            cancelling: false,
            holds: BTreeMap::new(),
            next_hold: 1,
            landing: Landing::default(),
            ended: None,
            usage: Usage::default(),
            services: BTreeMap::new(),
            ready: BTreeSet::new(),
            active: BTreeSet::new(),
            timers: BTreeSet::new(),
            requests: BTreeMap::new(),
            due_checkpoints: BTreeSet::new(),
            clashes: BTreeSet::new(),
            next_clash: 1,
            turn: None,
        };
        execution.begin_steps(0);
        if submitted.approval {
            let reason = HoldReason::Approval { point: "decomposition".to_owned() };
            execution.holds.insert(HoldNo(execution.next_hold), reason);
            execution.next_hold += 1;
        }
        execution
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> ExecutionId {
        self.id
    }

    /// Its plan, added steps included.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where it came from.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether it was made of task notes.
    pub(crate) fn is_of_note(&self) -> bool {
        self.origin.starts_with("note(")
    }

    /// Where its work lands.
    #[must_use]
    pub const fn target(&self) -> &Branch {
        &self.target
    }

    /// When merged work lands.
    #[must_use]
    pub const fn land(&self) -> Land {
        self.land
    }

    /// What a merged tree must pass.
    #[must_use]
    pub const fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    /// When it was submitted.
    #[must_use]
    pub const fn created(&self) -> Timestamp {
        self.created
    }

    /// When it may start, if it waits for a time.
    #[must_use]
    pub const fn start_at(&self) -> Option<Timestamp> {
        self.start_at
    }

    /// The execution it comes after.
    #[must_use]
    pub const fn after(&self) -> Option<(ExecutionId, AfterWhen)> {
        self.after
    }

    /// Where its integration branch began.
    #[must_use]
    pub const fn base(&self) -> Option<CommitId> {
        self.base
    }

    /// Where its integration branch is.
    #[must_use]
    pub const fn head(&self) -> Option<CommitId> {
        self.head
    }

    /// The last tip of the integration branch that has landed on the target.
    #[must_use]
    pub const fn landed(&self) -> Option<CommitId> {
        self.landing.landed
    }

    /// Its steps, in the order of the plan.
    #[must_use]
    pub fn steps(&self) -> &[StepRun] {
        &self.steps
    }

    /// The step at that position.
    #[must_use]
    pub fn step(&self, ix: StepIx) -> &StepRun {
        &self.steps[ix.index()]
    }

    /// The task id of a step.
    #[must_use]
    pub fn task(&self, ix: StepIx) -> TaskId {
        TaskId::of(self.id, &self.plan.step(ix).id)
    }

    /// Steps in each state.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// The open holds.
    #[must_use]
    pub const fn holds(&self) -> &BTreeMap<HoldNo, HoldReason> {
        &self.holds
    }

    /// Whether a person paused it.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// How it ended, if it has.
    #[must_use]
    pub const fn ended(&self) -> Option<EndStatus> {
        self.ended
    }

    /// What it cost so far.
    #[must_use]
    pub const fn usage(&self) -> Usage {
        self.usage
    }

    /// What its needs from outside are, in the order of [`Plan::externals`].
    #[must_use]
    pub fn externals(&self) -> &[NeedState] {
        &self.externals
    }

    /// Whether steps may start, as far as the execution is concerned.
    #[must_use]
    pub fn may_start(&self) -> bool {
        self.base.is_some() && !self.suspended() && self.ended.is_none() && !self.cancelling
    }

    /// Paused, or held by something that stops starts.
    #[must_use]
    pub fn suspended(&self) -> bool {
        self.paused || self.holds.values().any(HoldReason::stops_starts)
    }

    /// The status word of model section 3.1.
    #[must_use]
    pub fn status(&self) -> &'static str {
        let idle = self.counts.running + self.counts.merging == 0 && self.ready.is_empty();
        match self.ended {
            Some(EndStatus::Done) => "done",
            Some(EndStatus::Failed) => "failed",
            Some(EndStatus::Cancelled) => "cancelled",
            None if self.paused => "paused",
            None if self.suspended() || (!self.holds.is_empty() && idle) => "held",
            None if !self.triggered && self.predecessor_failed() => "blocked",
            None if !self.triggered => "scheduled",
            None => "running",
        }
    }

    /// The status word of a step, `ready` and `blocked` included.
    #[must_use]
    pub fn word(&self, ix: StepIx) -> &'static str {
        let step = self.step(ix);
        match &step.state {
            StepState::Running(_) if step.paused && step.live().is_none() => "paused",
            StepState::Running(_) => "running",
            StepState::Merging { .. } => "merging",
            StepState::Done(_) => "done",
            StepState::Failed(_) => "failed",
            StepState::Cancelled => "cancelled",
            StepState::Pending if step.dead > 0 => "blocked",
            StepState::Pending if step.paused => "paused",
            StepState::Pending if step.unmet == 0 => "ready",
            StepState::Pending => "pending",
        }
    }

    fn predecessor_failed(&self) -> bool {
        matches!(self.after, Some((_, AfterWhen::Success))) && self.predecessor == NeedState::Dead
    }

    /// What the step at `ix` asks of the dispatcher.
    #[must_use]
    pub fn demand(&self, ix: StepIx, now: Timestamp) -> Demand {
        let (step, plan) = (self.step(ix), self.plan.step(ix));
        let chain = plan.review.is_some();
        let wants = |fresh: bool, purpose: Purpose| Demand::Wants {
            tier: plan.tier_of(purpose),
            chain,
            pool: self.pool(ix, purpose),
            order: StartOrder {
                fresh,
                priority: plan.priority,
                fan: -self.plan.fan(ix),
                below: -i64::from(self.plan.below(ix)),
            },
        };
        match &step.state {
            StepState::Pending
                if step.unmet == 0 && step.dead == 0 && !step.paused && self.may_start() && self.has_turn(ix) =>
            {
                wants(true, self.next_purpose(ix))
            }
            StepState::Running(Running { purpose, run: Run::Live { .. } }) => {
                Demand::Live { tier: plan.tier_of(*purpose), chain }
            }
            StepState::Running(Running { purpose, run: Run::Wanted { wait } }) => {
                if wait.is_over(now) && !step.paused && self.may_start() && self.has_turn(ix) {
                    wants(false, *purpose)
                } else if chain {
                    Demand::Open { yields: step.paused || self.suspended() || !self.has_turn(ix) }
                } else {
                    Demand::Idle
                }
            }
            StepState::Pending
            | StepState::Merging { .. }
            | StepState::Done(_)
            | StepState::Failed(_)
            | StepState::Cancelled => Demand::Idle,
        }
    }

    /// Whether the note that a step was made of is to be read once more before its first attempt.
    #[must_use]
    pub fn awaits_note(&self, ix: StepIx) -> bool {
        let of_note = self.is_of_note();
        of_note && self.steps.get(ix.index()).is_some_and(|s| s.unbegun() && s.landing.is_none())
    }

    /// Whose login an attempt of a step needs that is for that.
    #[must_use]
    pub fn pool(&self, ix: StepIx, purpose: Purpose) -> Pool {
        let review = self.plan.step(ix).review.as_deref();
        match review.map(|review| &review.state(self.step(ix).course.at).does) {
            _ if purpose != Purpose::Review => Pool::Worker,
            Some(Does::Review(Reviewer::Command { .. })) => Pool::Command,
            _ => Pool::Reviewer,
        }
    }

    /// Services that its attempts may not ask now, as far as anybody was told.
    pub fn service_waits(&self, now: Timestamp) -> impl Iterator<Item = (Pool, &ServiceWait)> {
        self.services.iter().filter(move |(_, wait)| wait.until > now).map(|(pool, wait)| (*pool, wait))
    }

    /// What the next attempt of a step is for.
    fn next_purpose(&self, ix: StepIx) -> Purpose {
        let step = self.step(ix);
        match &step.state {
            StepState::Running(running) => running.purpose,
            _ if step.landing.is_some() => Purpose::Resolve,
            // A retry that continues: what it captured still clashes.
            _ if step.clash.is_some() && step.work.is_some() => Purpose::Resolve,
            _ => Course::first(self.plan.step(ix).review.as_deref()),
        }
    }

    /// The files the step at `ix` says it changes, if it does.
    #[must_use]
    pub fn claim(&self, ix: StepIx) -> Option<Claim> {
        let scope = Arc::clone(self.plan.scope(ix)?);
        Some(Claim { target: self.target.clone(), scope })
    }

    /// Whether the step at `ix` is on its files: from its first attempt until its change is merged or given up.
    #[must_use]
    pub fn holds_files(&self, ix: StepIx) -> bool {
        matches!(self.step(ix).state, StepState::Running(_) | StepState::Merging { .. })
    }

    /// The step whose conflict with another change is resolved now, or next. Steps of one execution that are in conflict
    /// at the same time go one by one, in the order in which they were refused: each is resolved on what those before
    /// it left. The turn ends when the change is merged or given up, or a person pauses the step.
    #[must_use]
    pub fn resolver(&self) -> Option<StepIx> {
        self.turn.or_else(|| self.clashes.first().map(|(_, ix)| *ix))
    }

    /// Whether no other conflict has to be resolved before this step goes on.
    fn has_turn(&self, ix: StepIx) -> bool {
        self.step(ix).clash.is_none() || self.resolver() == Some(ix)
    }

    /// Steps whose demand may be other than idle.
    pub fn candidates(&self) -> impl Iterator<Item = StepIx> + '_ {
        self.ready.iter().chain(&self.active).copied()
    }

    /// What should be in flight for the step at `ix`.
    #[must_use]
    pub fn effect(&self, ix: StepIx) -> Option<Effect> {
        self.step(ix).live().map(|attempt| Effect::Attempt { step: ix, attempt })
    }

    /// Whether the integration branch should be made.
    #[must_use]
    pub fn wants_open(&self) -> bool {
        self.triggered && self.base.is_none() && !self.suspended() && self.ended.is_none() && !self.cancelling
    }

    /// Everything that should be in flight: what a driver starts after a crash.
    pub fn outstanding(&self) -> impl Iterator<Item = Effect> + '_ {
        let open = self.wants_open().then_some(Effect::Open);
        open.into_iter().chain(self.active.iter().filter_map(|ix| self.effect(*ix)))
    }

    /// When after `now` the passing of time alone changes something.
    #[must_use]
    pub fn next_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let again = self
            .landing
            .again
            .map(|wait| wait.until)
            .filter(|at| *at > now && self.ended.is_none() && !self.cancelling);
        self.next_of_steps(now).into_iter().chain(again).min()
    }

    /// The same, but for another try of a landing that waits for a person: whoever waits for the execution is told of
    /// that hold, and does not wait for the person too.
    pub(crate) fn next_of_steps(&self, now: Timestamp) -> Option<Timestamp> {
        if self.ended.is_some() {
            return None;
        }
        let trigger = self.start_at.filter(|at| *at > now && !self.triggered && self.predecessor_allows());
        let timer = self.timers.range((Bound::Excluded((now, StepIx(u32::MAX))), Bound::Unbounded)).next();
        timer.map(|(at, _)| *at).into_iter().chain(trigger).min()
    }

    /// Steps whose waiting time ended after `since` and not after `now`; all that wait, if the clock was set back.
    pub fn due(&self, since: Timestamp, now: Timestamp) -> impl Iterator<Item = StepIx> + '_ {
        let set_back = now < since;
        let from = if set_back { Bound::Unbounded } else { Bound::Excluded((since, StepIx(u32::MAX))) };
        let to = if set_back { Bound::Unbounded } else { Bound::Included((now, StepIx(u32::MAX))) };
        self.timers.range((from, to)).map(|(_, ix)| *ix)
    }

    fn predecessor_allows(&self) -> bool {
        match self.after {
            None => true,
            Some((_, AfterWhen::Success)) => self.predecessor == NeedState::Landed,
            Some((_, AfterWhen::Any)) => matches!(self.predecessor, NeedState::Landed | NeedState::Dead),
        }
    }

    /// Steps this one takes outputs from: its needs that are not only `started`, in order.
    pub fn sources<'a>(&'a self, step: &'a Step) -> impl Iterator<Item = StepIx> + 'a {
        step.needs.iter().filter(|need| need.condition != Condition::Started).filter_map(|need| match need.on {
            crate::plan::NeedOn::Step(ix) => Some(ix),
            crate::plan::NeedOn::External(_) => None,
        })
    }

    /// What others see of this execution, or of one of its steps, as a need.
    #[must_use]
    pub fn need_state(&self, step: Option<StepIx>) -> NeedState {
        let Some(ix) = step else {
            return match self.ended {
                Some(EndStatus::Done) => NeedState::Landed,
                Some(EndStatus::Failed | EndStatus::Cancelled) => NeedState::Dead,
                // Open once more, to land what it has; the rest of it does not come.
                None if self.landing.asked && self.cancelling => NeedState::Dead,
                None if self.counts.pending + self.counts.running + self.counts.failed == 0
                    && self.counts.merging + self.counts.done > 0 =>
                {
                    NeedState::Completed
                }
                None if self.base.is_some() => NeedState::Started,
                None => NeedState::Waiting,
            };
        };
        let Some(run) = self.steps.get(ix.index()) else { return NeedState::Dead };
        match &run.state {
            StepState::Pending => NeedState::Waiting,
            StepState::Running(_) if run.lived => NeedState::Started,
            StepState::Running(_) => NeedState::Waiting,
            StepState::Done(_) if self.has_landed(ix) => NeedState::Landed,
            StepState::Merging { .. } | StepState::Done(_) => NeedState::Completed,
            StepState::Failed(_) | StepState::Cancelled => NeedState::Dead,
        }
    }

    /// Number of steps that have not started and directly wait for the merge of this one: what merging it first frees.
    /// Costs as much as it has dependents; theirs are not counted, they wait for more than this merge.
    #[must_use]
    pub fn frees(&self, ix: StepIx) -> u32 {
        let waits = |(dependent, condition): &&(StepIx, Condition)| {
            *condition == Condition::Merged && self.step(*dependent).state == StepState::Pending
        };
        u32::try_from(self.plan.dependents(ix).iter().filter(waits).count()).unwrap_or(u32::MAX)
    }

    /// Whether what a done step changed is on the target.
    #[must_use]
    pub fn has_landed(&self, ix: StepIx) -> bool {
        match &self.step(ix).state {
            StepState::Done(DoneKind::Merged { .. }) => self.step(ix).merge_no <= self.landing.landed_merges,
            StepState::Done(DoneKind::NoChanges | DoneKind::Artifact) => true,
            StepState::Done(DoneKind::Resolved { .. }) => {
                self.step(ix).landing.as_ref().is_some_and(|merge| merge.merges <= self.landing.landed_merges)
            }
            _ => false,
        }
    }

    /// Whether the integration branch holds work that is not on the target.
    #[must_use]
    pub fn landing_due(&self) -> bool {
        self.head.is_some() && self.head != self.base && self.head != self.landing.landed
    }

    /// Requests that are in a merge queue, with their step; without one it is the landing.
    pub fn open_requests(&self) -> impl Iterator<Item = (Option<StepIx>, RequestId)> + '_ {
        let landing = self.landing.in_flight.map(|flight| (None, flight.request));
        self.requests.iter().map(|(request, step)| (Some(*step), *request)).chain(landing)
    }

    /// Whether that request is one of a step's change.
    #[must_use]
    pub fn is_merging(&self, request: RequestId) -> bool {
        self.requests.contains_key(&request)
    }

    /// What the execution it comes after is, as far as known.
    #[must_use]
    pub const fn predecessor_state(&self) -> NeedState {
        self.predecessor
    }

    /// The next attempt number of a step.
    fn next_attempt(&self, ix: StepIx) -> AttemptNo {
        AttemptNo(self.step(ix).attempts + 1)
    }
}

#[cfg(test)]
mod tests;
