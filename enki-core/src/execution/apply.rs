//! How events change the state. Total: it cannot fail, live or on replay.

use super::Execution;
use super::event::{EndStatus, Event, HoldNo, HoldReason, NeedState, Next, RetryMode};
use super::outcome::Refusal;
use super::step::{Clash, ClashKind, DoneKind, FailReason, LandingMerge, Run, Running, StepRun, StepState, View};
use crate::agent::Usage;
use crate::chain::Then;
use crate::id::StepIx;
use crate::plan::NeedOn;
use crate::spec::Condition;
use crate::tier::Purpose;
use crate::time::{Timestamp, Wait};
use std::sync::Arc;

/// What a caller has to look at again after events were applied.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Touched {
    /// Steps whose demand or effect may have changed. May hold a step twice.
    pub steps: Vec<StepIx>,
    /// Whether the execution as a whole may start more or less than before: look at all [`Execution::candidates`].
    pub all: bool,
}

impl Execution {
    /// Changes the state by one event of this execution's log. The first, [`Event::Submitted`], is [`Execution::new`].
    /// One about a step that is not there changes nothing: none is ever decided, so only a damaged log has one.
    pub fn apply(&mut self, event: &Event) {
        self.apply_noting(event, &mut Touched::default());
    }

    /// Whether an event of this execution's log is about steps that are there, so that [`Execution::apply`] will not
    /// leave it out.
    ///
    /// # Errors
    ///
    /// The name of the event and what it is about, in words.
    pub fn fits(&self, event: &Event) -> Result<(), String> {
        let name = || format!("{event:?}").chars().take_while(char::is_ascii_alphanumeric).collect::<String>();
        let added = match event {
            Event::StepsAdded { steps } => &steps[..],
            Event::LandingResolution { step, .. } => std::slice::from_ref(&**step),
            _ => &[],
        };
        self.plan.check_stored(added).map_err(|reason| format!("{}: {reason}", name()))?;
        match event.step() {
            Some(ix) if ix.index() >= self.steps.len() => {
                Err(format!("{} is about step {} of {}", name(), ix.0 + 1, self.steps.len()))
            }
            _ => Ok(()),
        }
    }

    /// The same, noting what has to be looked at again.
    pub fn apply_noting(&mut self, event: &Event, touched: &mut Touched) {
        if event.step().is_some_and(|ix| ix.index() >= self.steps.len()) {
            return;
        }
        let resolver = self.resolver();
        self.apply_known(event, touched);
        if self.resolver() != resolver {
            touched.steps.extend(resolver.into_iter().chain(self.resolver()));
        }
    }

    fn apply_known(&mut self, event: &Event, touched: &mut Touched) {
        match event {
            Event::Submitted(submitted) => {
                *self = Self::new(submitted);
                touched.all = true;
            }
            Event::Opened { base } => {
                (self.base, self.head, touched.all) = (Some(*base), Some(*base), true);
            }
            Event::Triggered => (self.triggered, touched.all) = (true, true),
            Event::PredecessorChanged { state } => self.predecessor = *state,
            Event::NeedChanged { external, state } => self.need_changed(*external as usize, *state, touched),
            Event::AttemptStarted { step, attempt, purpose, start, sandbox } => {
                let run = Run::Live { attempt: *attempt, start: *start, confirmed: false };
                if *purpose == Purpose::Resolve && self.steps[step.index()].landing.is_none() {
                    self.turn = Some(*step);
                }
                self.change(*step, touched, |s| {
                    s.attempts = attempt.0;
                    s.sandbox = *sandbox;
                    s.spent = Usage::default();
                    s.state = StepState::Running(Running { purpose: *purpose, run });
                });
            }
            Event::AttemptLive { step, session, .. } => self.change(*step, touched, |s| {
                s.lived = true;
                if let StepState::Running(Running { run: Run::Live { confirmed, .. }, .. }) = &mut s.state {
                    *confirmed = true;
                }
                s.note_session(session.as_deref());
            }),
            Event::AttemptSpent { step, usage, .. } => {
                self.take_usage(*step, *usage);
                touched.steps.push(*step);
            }
            Event::BudgetWarned { .. } => {}
            Event::BudgetSet { of, budget } => {
                Arc::make_mut(&mut self.plan).set_budget(*of, *budget);
                touched.all = true;
            }
            Event::AttemptEnded { step, attempt, end, next } => {
                self.take_usage(*step, end.usage);
                let goes_on = self.goes_on_with(*step, end);
                self.change(*step, touched, |s| {
                    s.notice(end.notices.iter().map(String::as_str));
                    if let super::Outcome::Policy { reason } = &end.outcome {
                        s.notice([format!("attempt {attempt} was refused: {reason}").as_str()]);
                    }
                    s.lived |= !matches!(end.outcome, super::Outcome::NotStarted { .. });
                    s.note_session(end.session.as_deref());
                    s.note_files(&end.files);
                    s.course.note_claims(&end.claims);
                    match &end.outcome {
                        super::Outcome::Changed | super::Outcome::Artifact => {
                            s.has_artifact |= end.outcome == super::Outcome::Artifact;
                            s.course.note_work(end.work.map(|w| w.tree));
                        }
                        super::Outcome::Reviewed(verdict) => s.course.note_verdict(*attempt, end.saw, verdict),
                        _ => {}
                    }
                    if goes_on {
                        s.work = end.work.map(Box::new);
                        s.course.note_work(end.work.map(|w| w.tree));
                    }
                    if matches!(end.outcome, super::Outcome::Changed) || end.is_tampered_work() {
                        s.work = end.work.map(Box::new);
                        s.clash = None;
                    }
                    if let Some(output) = &end.output {
                        s.output = Some(output.as_str().into());
                    }
                });
                self.proceed(*step, next, touched);
            }
            Event::AttemptStopped { step, .. } => self.change(*step, touched, |s| {
                if let StepState::Running(running) = &mut s.state {
                    running.run = Run::Wanted { wait: Wait::NONE };
                }
            }),
            Event::StepMerged { step, commit } => {
                self.head = Some(*commit);
                self.landing.merges += 1;
                self.steps[step.index()].merge_no = self.landing.merges;
                self.proceed(*step, &Next::Done(DoneKind::Merged { commit: *commit }), touched);
            }
            Event::MergeRefused { step, reason, next } => {
                self.note_clash(*step, reason, touched);
                self.steps[step.index()].course.follow_up();
                self.proceed(*step, next, touched);
            }
            Event::MergeRequested { step, request } => {
                self.turn = Some(*step);
                self.change(*step, touched, |s| {
                    s.requests += 1;
                    // The resolution that was charged is not used; it is charged again if the change is refused again.
                    s.course.resolutions = s.course.resolutions.saturating_sub(1);
                    s.state = StepState::Merging { request: *request };
                });
            }
            Event::LandingRequested { request, tip, merge } => self.landing.requested(*request, *tip, *merge),
            Event::Landed { .. } => self.landing.done(),
            Event::LandingAsked => {
                (self.ended, touched.all) = (None, true);
                self.landing.asked_for();
            }
            Event::LandingRefused { again, since, reason, .. } => {
                self.landing.refused(reason, again.map(|until| Wait { until, since: *since }));
            }
            Event::LandingResolution { step, .. } if self.plan.check_stored(std::slice::from_ref(step)).is_err() => {}
            Event::LandingResolution { step, onto, tip, paths, findings } => {
                let merges = self.landing.tried.map_or(self.landing.merges, |offer| offer.merges);
                let landing = LandingMerge { onto: *onto, tip: *tip, paths: paths.clone(), merges };
                self.add_landing_step(step, landing, findings, touched);
            }
            Event::HoldOpened { hold, reason } => {
                if let HoldReason::Checkpoint { step } = reason {
                    self.due_checkpoints.remove(step);
                }
                if let (HoldReason::Landing { .. }, Some(step)) = (reason, self.landing.resolver) {
                    (self.landing.resolver, self.landing.gave_up) = (None, Some(step));
                }
                self.next_hold = hold.0 + 1;
                self.holds.insert(*hold, reason.clone());
                touched.all = true;
            }
            Event::HoldClosed { hold, .. } => {
                // Whoever answers either wants it to land again.
                if matches!(self.holds.remove(hold), Some(HoldReason::Landing { .. } | HoldReason::Rewound)) {
                    self.landing.hold_closed();
                }
                touched.all = true;
            }
            Event::Paused { step: None } => (self.paused, touched.all) = (true, true),
            Event::Resumed { step: None } => (self.paused, touched.all) = (false, true),
            Event::Paused { step: Some(step) } => self.change(*step, touched, |s| s.paused = true),
            Event::Resumed { step: Some(step) } => self.change(*step, touched, |s| s.paused = false),
            Event::ServiceWaits { pool, wait } => drop(self.services.insert(*pool, wait.clone())),
            Event::ServiceFreed => self.services.clear(),
            Event::StepsAdded { steps } if self.plan.check_stored(steps).is_err() => {}
            Event::StepsAdded { steps } => {
                let first = self.steps.len();
                touched.steps.extend(Arc::make_mut(&mut self.plan).extend(steps.clone()));
                self.begin_steps(first);
                touched.steps.extend((first..self.steps.len()).map(StepIx::at));
            }
            Event::CancelRequested => {
                (self.cancelling, touched.all) = (true, true);
                self.landing.resolver = None;
            }
            Event::StepAmended { step, amendment } => {
                Arc::make_mut(&mut self.plan).amend(*step, amendment);
                touched.steps.push(*step);
            }
            Event::StepCancelled { step } => self.change(*step, touched, |s| s.state = StepState::Cancelled),
            Event::StepRetried { step, mode, note } => {
                if let Some(note) = note {
                    self.change(*step, touched, |s| s.note = Some(note.as_str().into()));
                }
                if matches!(self.ended, Some(EndStatus::Failed)) {
                    self.ended = None;
                    touched.all = true;
                }
                if let (RetryMode::Continue, StepState::Failed(FailReason::Budget { then, .. })) =
                    (mode, &self.steps[step.index()].state)
                {
                    let then = (**then).clone();
                    return self.proceed(*step, &then, touched);
                }
                self.change(*step, touched, |s| {
                    let work = s.work.take().filter(|_| *mode == RetryMode::Continue);
                    if *mode == RetryMode::Fresh {
                        (s.files, s.has_artifact) = Default::default();
                    }
                    let course = std::mem::take(&mut s.course).renewed();
                    *s = StepRun {
                        course,
                        attempts: s.attempts,
                        requests: s.requests,
                        paused: s.paused,
                        findings: s.findings.take().filter(|_| work.is_some()),
                        note: s.note.take(),
                        clash: s.clash.take().filter(|_| work.is_some()),
                        files: std::mem::take(&mut s.files),
                        has_artifact: s.has_artifact,
                        notices: std::mem::take(&mut s.notices),
                        usage: s.usage,
                        work,
                        unmet: s.unmet,
                        dead: s.dead,
                        ..StepRun::default()
                    };
                });
            }
            Event::StepAccepted { step, by, why, tree, next } => {
                if matches!(self.ended, Some(EndStatus::Failed)) {
                    (self.ended, touched.all) = (None, true);
                }
                self.change(*step, touched, |s| {
                    s.accepted = *tree;
                    s.notice([format!("taken as it is by {by}: {why}").as_str()]);
                });
                self.proceed(*step, next, touched);
            }
            Event::Ended { status } => {
                (self.ended, touched.all) = (Some(*status), true);
                self.landing.asked = false;
                self.holds.clear();
                self.services.clear();
            }
        }
    }

    /// Remembers what stands in the way of a change, in the order of such refusals.
    fn note_clash(&mut self, step: StepIx, reason: &Refusal, touched: &mut Touched) {
        let kind = match reason {
            Refusal::Conflict { paths, .. } => Some(ClashKind::Conflict { paths: paths.clone() }),
            Refusal::Interaction { with, .. } => Some(ClashKind::Interaction { with: with.clone() }),
            _ => None,
        };
        let (at, fresh) = (self.head, self.next_clash);
        self.next_clash += 1;
        self.change(step, touched, |s| {
            let no = s.clash.as_ref().map_or(fresh, |known| known.no);
            s.clash = kind.map(|kind| Box::new(Clash { kind, no, at }));
        });
    }

    fn proceed(&mut self, step: StepIx, next: &Next, touched: &mut Touched) {
        if matches!(next, Next::Done(_)) && self.plan.step(step).checkpoint {
            self.due_checkpoints.insert(step);
        }
        if let Next::Done(DoneKind::Resolved { commit }) = next {
            self.landing_resolved(step, *commit);
        }
        self.change(step, touched, |s| match next {
            Next::Done(kind) => {
                s.course.take(Then::Complete);
                s.clash = None;
                s.state = StepState::Done(*kind);
            }
            Next::Merge { request } => {
                s.course.take(Then::Complete);
                s.requests += 1;
                s.state = StepState::Merging { request: *request };
            }
            Next::Run { purpose, not_before, since, at, charge, findings } => {
                s.course.take(Then::Run { purpose: *purpose, at: *at, charge: *charge });
                s.findings = findings.as_deref().map(Into::into);
                let wait = Wait { until: *not_before, since: *since };
                s.state = StepState::Running(Running { purpose: *purpose, run: Run::Wanted { wait } });
            }
            Next::Fail(reason) => s.state = StepState::Failed(reason.clone()),
        });
    }

    /// Sets up the states of steps from `first` on: their unsatisfied and dead edges.
    pub(super) fn begin_steps(&mut self, first: usize) {
        self.externals.resize(self.plan.externals().len(), NeedState::Waiting);
        for at in first..self.plan.steps().len() {
            let mut run = StepRun::default();
            for need in &self.plan.steps()[at].needs {
                let view = match need.on {
                    NeedOn::Step(on) if on.index() < first => self.steps[on.index()].view(),
                    NeedOn::Step(_) | NeedOn::External(_) => StepRun::default().view(),
                };
                run.unmet += u32::from(!view.satisfies(need.condition));
                run.dead += u32::from(view.dead);
            }
            self.counts.total += 1;
            self.steps.push(run);
            self.count(StepIx::at(at), true);
        }
        // Then what new steps see of each other, and of outside things that are known already.
        let fresh = StepRun::default().view();
        let mut touched = Touched::default();
        let seen: Vec<StepIx> =
            (first..self.steps.len()).map(StepIx::at).filter(|ix| self.steps[ix.index()].view() != fresh).collect();
        for ix in seen {
            self.spread(ix, fresh, &mut touched);
        }
        for external in 0..self.externals.len() {
            let state = self.externals[external];
            for n in 0..self.plan.externals()[external].1.len() {
                let (ix, condition) = self.plan.externals()[external].1[n];
                if ix.index() >= first {
                    let view = self.steps[ix.index()].view();
                    self.edge(ix, (false, false), (state.satisfies(condition), state == NeedState::Dead));
                    self.spread(ix, view, &mut touched);
                }
            }
        }
    }

    fn need_changed(&mut self, external: usize, state: NeedState, touched: &mut Touched) {
        let Some(known) = self.externals.get_mut(external) else { return };
        let before = std::mem::replace(known, state);
        for n in 0..self.plan.externals()[external].1.len() {
            let (ix, condition) = self.plan.externals()[external].1[n];
            let view = self.steps[ix.index()].view();
            let was = (before.satisfies(condition), before == NeedState::Dead);
            self.edge(ix, was, (state.satisfies(condition), state == NeedState::Dead));
            touched.steps.push(ix);
            self.spread(ix, view, touched);
        }
    }

    /// One step changes, and with it what its dependents see.
    fn change(&mut self, ix: StepIx, touched: &mut Touched, with: impl FnOnce(&mut StepRun)) {
        let before = self.steps[ix.index()].view();
        self.count(ix, false);
        with(&mut self.steps[ix.index()]);
        self.count(ix, true);
        if self.turn == Some(ix) && !self.steps[ix.index()].keeps_turn() {
            self.turn = None;
        }
        touched.steps.push(ix);
        self.spread(ix, before, touched);
    }

    /// Tells dependents, and theirs, while anything they see changes.
    fn spread(&mut self, ix: StepIx, before: View, touched: &mut Touched) {
        let mut open = vec![(ix, before)];
        while let Some((ix, before)) = open.pop() {
            let after = self.steps[ix.index()].view();
            if before == after {
                continue;
            }
            for n in 0..self.plan.dependents(ix).len() {
                let (dependent, condition) = self.plan.dependents(ix)[n];
                let view = self.steps[dependent.index()].view();
                let was = (before.satisfies(condition), before.dead);
                if self.edge(dependent, was, (after.satisfies(condition), after.dead)) {
                    touched.steps.push(dependent);
                }
                open.push((dependent, view));
            }
        }
    }

    /// One edge into a step changes from `was` to `is`: (satisfied, dead). Whether the step's readiness changed.
    fn edge(&mut self, ix: StepIx, was: (bool, bool), is: (bool, bool)) -> bool {
        if was == is {
            return false;
        }
        let step = &mut self.steps[ix.index()];
        let before = (step.unmet == 0, step.dead > 0);
        let clash = step.waits_for_turn();
        step.unmet = step.unmet + u32::from(was.0) - u32::from(is.0);
        step.dead = step.dead + u32::from(is.1) - u32::from(was.1);
        let after = (step.unmet == 0, step.dead > 0);
        if before == after {
            return false;
        }
        let (step, pending) = (&self.steps[ix.index()], self.steps[ix.index()].state == StepState::Pending);
        for (no, put) in clash.map(|no| (no, false)).into_iter().chain(step.waits_for_turn().map(|no| (no, true))) {
            set(&mut self.clashes, (no, ix), put);
        }
        if pending {
            self.counts.blocked = self.counts.blocked + u32::from(after.1) - u32::from(before.1);
            if after == (true, false) {
                self.ready.insert(ix);
            } else {
                self.ready.remove(&ix);
            }
        }
        true
    }

    /// Takes a step out of the counts and sets, or puts it in, by its state.
    pub(super) fn count(&mut self, ix: StepIx, put: bool) {
        let step = &self.steps[ix.index()];
        if let Some(no) = step.waits_for_turn() {
            set(&mut self.clashes, (no, ix), put);
        }
        let counted = step.landing.is_none();
        let tally = |n: &mut u32| match (counted, put) {
            (true, true) => *n += 1,
            (true, false) => *n -= 1,
            (false, _) => {}
        };
        match &step.state {
            StepState::Pending => {
                tally(&mut self.counts.pending);
                if step.dead > 0 {
                    tally(&mut self.counts.blocked);
                } else if step.unmet == 0 {
                    set(&mut self.ready, ix, put);
                }
            }
            StepState::Running(running) => {
                tally(&mut self.counts.running);
                set(&mut self.active, ix, put);
                if let Run::Wanted { wait } = running.run
                    && wait.until > Timestamp::default()
                {
                    set(&mut self.timers, (wait.until, ix), put);
                }
            }
            StepState::Merging { request } => {
                tally(&mut self.counts.merging);
                set(&mut self.active, ix, put);
                if put {
                    self.requests.insert(*request, ix);
                } else {
                    self.requests.remove(request);
                }
            }
            StepState::Done(_) => tally(&mut self.counts.done),
            StepState::Failed(_) => tally(&mut self.counts.failed),
            StepState::Cancelled => tally(&mut self.counts.cancelled),
        }
    }
}

fn set<T: Ord>(set: &mut std::collections::BTreeSet<T>, value: T, put: bool) {
    if put {
        set.insert(value);
    } else {
        set.remove(&value);
    }
}

impl NeedState {
    /// Whether an edge of that condition is satisfied. Across executions, merged means landed.
    #[must_use]
    pub const fn satisfies(self, condition: Condition) -> bool {
        match (self, condition) {
            (Self::Waiting | Self::Dead, _) | (Self::Started, Condition::Completed | Condition::Merged) => false,
            (Self::Completed, condition) => !matches!(condition, Condition::Merged),
            (Self::Landed, _) | (Self::Started, Condition::Started) => true,
        }
    }
}

impl Execution {
    pub(super) const fn next_hold_no(&self) -> HoldNo {
        HoldNo(self.next_hold)
    }
}
