//! What the oracle knows of executions and queues, as their logs tell it.

use crate::fakes::FakeRepository;
use enki_core::branch::Branch;
use enki_core::chain::Course;
use enki_core::execution::{self, DoneKind, EndStatus, HoldNo, Next, Submitted};
use enki_core::id::{AttemptNo, CommitId, RequestId, StepIx};
use enki_core::merge_queue::{Entry, LineNo};
use enki_core::plan::{Need, Step};
use enki_core::refinery::Candidate;
use enki_core::review::{Does, Reviewer, State};
use enki_core::spec::Condition;
use enki_core::tier::{Priority, Tier};
use std::collections::{BTreeMap, BTreeSet};

/// An execution as its log tells it.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) steps: Vec<KnownStep>,
    pub(super) stops: BTreeSet<HoldNo>,
    pub(super) paused: bool,
    pub(super) opened: bool,
    pub(super) ended: bool,
    pub(super) cancelling: bool,
    pub(super) status: Option<EndStatus>,
    pub(super) head: Option<CommitId>,
    /// The step whose conflict is being resolved, until it is merged or given up.
    pub(super) resolving: Option<StepIx>,
    /// The landing that is under way, and the tip that asked last.
    pub(super) landing: Option<RequestId>,
    pub(super) asked: Option<CommitId>,
    /// The merge that asked in its stead.
    pub(super) asked_as: Option<CommitId>,
    /// What resolved the conflict of a landing: tip and merge.
    pub(super) merged: Option<(CommitId, CommitId)>,
    /// Conflicts of landings since the last one landed or a person answered, and whether one could not be resolved.
    pub(super) resolutions: u32,
    pub(super) gave_up: bool,
    /// Whether a person must be asked before the append ends.
    pub(super) unanswered: bool,
}

#[derive(Debug, Default)]
pub(super) struct KnownStep {
    pub(super) needs: Vec<Need>,
    pub(super) checkpoint: bool,
    pub(super) paused: bool,
    /// 0 not started, 1 lived, 2 work is done, 3 done.
    pub(super) level: u8,
    pub(super) running: bool,
    pub(super) dead: bool,
    pub(super) live: Option<AttemptNo>,
    /// Whether its last attempt is or was for a conflict.
    pub(super) resolves: bool,
    /// The two sides of a landing that it merges, if it is one of Enki's own.
    pub(super) lands: Option<(CommitId, CommitId)>,
    pub(super) attempts: u32,
    pub(super) merged: Option<CommitId>,
    /// Its request, while it merges.
    pub(super) request: Option<RequestId>,
    /// That of its first attempt.
    pub(super) tier: Tier,
    pub(super) gated: bool,
    /// Whether it has reviews that a command does, which needs no service.
    pub(super) tested: bool,
    pub(super) priority: Priority,
    /// The files and folders it says it changes.
    pub(super) files: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) target: Option<Branch>,
    pub(super) entries: BTreeMap<RequestId, Entry>,
    pub(super) lines: BTreeMap<LineNo, (Vec<RequestId>, CommitId)>,
    pub(super) commits: BTreeMap<LineNo, Vec<Option<CommitId>>>,
    pub(super) candidates: BTreeMap<LineNo, Candidate>,
    pub(super) committing: BTreeSet<LineNo>,
    /// The requests past the point of no return, until their end is known.
    pub(super) no_return: Vec<RequestId>,
    /// Whether it publishes nothing until a person lets it.
    pub(super) stopped: bool,
    pub(super) merged: BTreeMap<RequestId, CommitId>,
    pub(super) merged_changes: BTreeSet<CommitId>,
    pub(super) withdrawn: BTreeSet<RequestId>,
}

impl Known {
    pub(super) fn new(submitted: &Submitted) -> Self {
        let mut known = Self::default();
        known.steps.extend(submitted.plan.steps().iter().map(KnownStep::new));
        if submitted.approval {
            known.stops.insert(HoldNo(1));
        }
        known
    }

    pub(super) fn step(&mut self, ix: StepIx) -> &mut KnownStep {
        &mut self.steps[ix.index()]
    }

    /// What resolved a landing is a true merge of both sides; else a person is asked.
    pub(super) fn landing_step_ended(
        &mut self,
        next: &Next,
        (onto, tip): (CommitId, CommitId),
        repository: &FakeRepository,
    ) -> Result<(), String> {
        match next {
            Next::Run { .. } => {}
            Next::Done(DoneKind::Resolved { commit }) => {
                let parents = repository.get(*commit).map(|commit| commit.parents);
                if parents.as_deref() != Some(&[onto, tip]) {
                    return Err(format!("R3: {commit} is no merge of {onto} and {tip}, but of {parents:?}"));
                }
                self.merged = Some((tip, *commit));
            }
            Next::Fail(_) => (self.gave_up, self.unanswered) = (true, true),
            other => return Err(format!("a landing is resolved by {other:?}")),
        }
        Ok(())
    }

    /// What asks to land is the head of the integration branch, or what resolved its conflict.
    pub(super) fn asks(
        &mut self,
        request: RequestId,
        tip: CommitId,
        merge: Option<CommitId>,
        repository: &FakeRepository,
    ) -> Result<(), String> {
        let right = match merge {
            None => self.head == Some(tip),
            Some(merge) => self.merged == Some((tip, merge)),
        };
        let within = self.head.is_some_and(|head| repository.contains(head, tip));
        let at_work = self.steps.iter().any(|step| step.lands.is_some() && step.live.is_some());
        if !right || !within || at_work || self.landing.is_some() {
            return Err(format!("R3: {tip}, merged as {merge:?}, may not ask to land: {self:?}"));
        }
        (self.landing, self.asked, self.asked_as) = (Some(request), Some(tip), merge);
        Ok(())
    }

    pub(super) fn proceed(&mut self, ix: StepIx, next: &Next, due: &mut BTreeSet<StepIx>) {
        self.step(ix).request = if let Next::Merge { request } = next { Some(*request) } else { None };
        match next {
            Next::Done(_) => self.done(ix, due),
            Next::Merge { .. } => (self.step(ix).level, self.step(ix).running) = (2, false),
            Next::Run { .. } => {
                let step = self.step(ix);
                (step.level, step.running) = (step.level.min(1), true);
            }
            _ => (self.step(ix).level, self.step(ix).running, self.step(ix).dead) = (0, false, true),
        }
    }

    pub(super) fn done(&mut self, ix: StepIx, due: &mut BTreeSet<StepIx>) {
        let cancelling = self.cancelling;
        let step = self.step(ix);
        (step.level, step.running) = (3, false);
        // In an execution that is given up nothing more starts, with a hold or without.
        let checks = step.checkpoint && !cancelling;
        if checks {
            due.insert(ix);
        }
    }

    /// What may still be heard after the end, without consequences for its steps.
    pub(super) fn news_after_the_end(&self, event: &execution::Event) -> bool {
        matches!(
            event,
            execution::Event::NeedChanged { .. }
                | execution::Event::PredecessorChanged { .. }
                | execution::Event::HoldClosed { .. }
                | execution::Event::BudgetSet { .. }
        )
    }
}

const fn is_test(state: &State) -> bool {
    matches!(state.does, Does::Review(Reviewer::Command { .. }))
}

impl KnownStep {
    pub(super) fn new(step: &Step) -> Self {
        let brief = step.brief.iter().flat_map(|brief| brief.files.iter().chain(&brief.directories));
        Self {
            needs: step.needs.clone(),
            checkpoint: step.checkpoint,
            tier: step.tier_of(Course::first(step.review.as_deref())),
            gated: step.review.is_some(),
            tested: step.review.as_ref().is_some_and(|review| review.states().iter().any(is_test)),
            priority: step.priority,
            files: brief.cloned().collect(),
            ..Self::default()
        }
    }

    /// Whether it is at work, and with it on its files. What is cancelled is not, whatever it had asked of a queue.
    pub(super) const fn works(&self) -> bool {
        self.running || (self.request.is_some() && !self.dead)
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let in_folder = |a: &String, b: &String| a.strip_prefix(b.as_str()).is_some_and(|rest| rest.starts_with('/'));
        let touch = |a, b| a == b || in_folder(a, b) || in_folder(b, a);
        self.files.iter().any(|a| other.files.iter().any(|b| touch(a, b)))
    }

    pub(super) fn lived(&mut self) {
        self.level = self.level.max(1);
    }

    pub(super) fn satisfies(&self, condition: Condition) -> bool {
        let wanted = match condition {
            Condition::Started => 1,
            Condition::Completed => 2,
            Condition::Merged => 3,
        };
        !self.dead && self.level >= wanted
    }
}
