//! What must be true whatever happens, judged from outside: from what became durable and from what was really done.
//!
//! It shares no code with the machines. Its model of an execution is as naive as can be.

mod known;
mod service;

use super::Report;
use crate::fakes::FakeRepository;
use enki_core::branch::Branch;
use enki_core::engine::{Event, LogAppend, QueueId};
use enki_core::execution::{self, EndStatus, HoldReason};
use enki_core::id::{AttemptNo, CommitId, ExecutionId, StepIx, TreeId};
use enki_core::merge_queue::{self, QueuePause};
use enki_core::plan::{External, NeedOn};
use enki_core::refinery::Candidate;
use enki_core::spec::Condition;
use enki_core::store::LogId;
use enki_core::tier::Purpose;
use enki_core::time::Timestamp;
use enki_core::workspace::Start;
use known::{Known, KnownStep, Queue};
use service::Service;
use std::collections::{BTreeMap, BTreeSet};

/// Judges a history from outside: it is told what became durable and what was really done, and says which promise is
/// broken. Also for whoever drives the machines otherwise than the simulator does.
#[derive(Debug, Default)]
pub struct Oracle {
    executions: BTreeMap<ExecutionId, Known>,
    queues: BTreeMap<LogId, Queue>,
    /// Runs of the gate that really took place, by tree: failures and passes.
    gate_runs: BTreeMap<TreeId, (u32, u32)>,
    /// What the refinery really moved a branch to.
    published: BTreeSet<(Branch, CommitId)>,
    captured: BTreeSet<CommitId>,
    /// Conflicts of landings that were given to an agent.
    resolutions: u64,
    /// Landings of what such an agent made.
    resolved: u64,
    /// Whether one execution alone starts attempts in this batch: then their order in it is known.
    alone: bool,
    /// The service that all agents share.
    service: Service,
    /// Branches that a person took back or away: what was merged there may be gone, by that person's wish.
    pub tampered: BTreeSet<Branch>,
}

/// What one log got in an append.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Which log.
    pub log: LogId,
    /// The facts, in order.
    pub events: &'a [Event],
}

impl<'a> From<&'a LogAppend> for Facts<'a> {
    fn from(append: &'a LogAppend) -> Self {
        Self { log: append.log, events: &append.events }
    }
}

impl Oracle {
    /// Looks at what just became durable, as one batch.
    ///
    /// # Errors
    ///
    /// Which promise is broken, and how.
    pub fn appended(&mut self, batch: &[Facts<'_>], repository: &FakeRepository, now: Timestamp) -> Result<(), String> {
        let executions = &self.executions;
        let tested = |id: ExecutionId, ix: StepIx| {
            executions.get(&id).and_then(|known| known.steps.get(ix.index())).is_some_and(|step| step.tested)
        };
        self.service.appended(batch, now, tested)?;
        let mut merges: BTreeSet<CommitId> = BTreeSet::new();
        for append in batch {
            let mut prepared = self.queues.get(&append.log).map(|queue| queue.commits.clone()).unwrap_or_default();
            for event in append.events {
                match event {
                    Event::Queue(merge_queue::Event::Prepared { line, commits, .. }) => {
                        prepared.insert(*line, commits.clone());
                    }
                    Event::Queue(merge_queue::Event::Merged { line, .. }) => {
                        merges.extend(prepared.get(line).into_iter().flatten().flatten());
                    }
                    _ => {}
                }
            }
        }
        let starts = |append: &&Facts<'_>| {
            append.events.iter().any(|e| matches!(e, Event::Execution(execution::Event::AttemptStarted { .. })))
        };
        self.alone = batch.iter().filter(starts).count() == 1;
        for append in batch {
            let mut due: BTreeSet<StepIx> = BTreeSet::new();
            for event in append.events {
                match event {
                    Event::Execution(event) => {
                        let id = ExecutionId::new(append.log.id);
                        self.execution_event(id, event, &merges, &mut due, repository)
                            .map_err(|broken| format!("{id}: {broken}, by {event:?}"))?;
                    }
                    Event::Queue(event) => self
                        .queue_event(append.log, event, repository)
                        .map_err(|broken| format!("{}: {broken}, by {event:?}", append.log))?,
                }
            }
            if let Some(known) = self.executions.get(&ExecutionId::new(append.log.id))
                && known.unanswered
            {
                return Err("a landing could not be resolved, and nobody is asked in the same append".to_owned());
            }
            if let Some(step) = due.first() {
                return Err(format!("R16: checkpoint step {} became done without its hold in the same append", step.0));
            }
        }
        Ok(())
    }

    /// Another process takes up what the logs say.
    pub fn restarted(&mut self) {
        self.service.restarted();
    }

    /// The clock was set.
    pub const fn clock_jumped(&mut self) {
        self.service.clock_jumped();
    }

    /// The service answered an attempt that lives.
    pub fn answered(&mut self, now: Timestamp) {
        self.service.answered(now);
    }

    fn execution_event(
        &mut self,
        id: ExecutionId,
        event: &execution::Event,
        merges: &BTreeSet<CommitId>,
        due: &mut BTreeSet<StepIx>,
        repository: &FakeRepository,
    ) -> Result<(), String> {
        use execution::Event as E;
        if let E::AttemptStarted { step, attempt, start, .. } = event {
            self.may_start(id, *step, *attempt, due)?;
            self.avoids_overlaps(id, *step, due)?;
            match start {
                Start::Resolve { onto, .. } => self.may_resolve(id, *step, *onto)?,
                Start::Merge { onto, change } => self.may_merge(id, *step, *onto, *change, repository)?,
                _ => {}
            }
        }
        if let E::StepCancelled { step } = event {
            let merging = self.executions.get(&id).and_then(|known| known.steps.get(step.index())?.request);
            let queue = self.queues.get(&QueueId::of(&Branch::integration(id)).log());
            if merging.is_some_and(|merging| queue.is_some_and(|queue| queue.no_return.contains(&merging))) {
                return Err("a step is cancelled whose merge is being committed".to_owned());
            }
        }
        if let E::AttemptEnded { end, .. } = event {
            self.captured.extend(end.work.map(|work| work.commit));
        }
        let known = self.executions.entry(id).or_default();
        if known.ended
            && !matches!(
                event,
                E::StepRetried { .. }
                    | E::StepAccepted { .. }
                    | E::CancelRequested
                    | E::LandingAsked
                    | E::StepCancelled { .. }
            )
        {
            let revived = matches!(event, E::Ended { .. });
            if !revived && !known.news_after_the_end(event) {
                return Err("I8: it had ended".to_owned());
            }
        }
        match event {
            E::Submitted(submitted) => *known = Known::new(submitted),
            E::Opened { base } => (known.opened, known.head) = (true, Some(*base)),
            E::AttemptStarted { step, attempt, purpose, .. } => {
                let resolves = *purpose == Purpose::Resolve && known.step(*step).lands.is_none();
                if resolves {
                    known.resolving = Some(*step);
                }
                let step = known.step(*step);
                (step.live, step.attempts, step.running) = (Some(*attempt), attempt.0, true);
                step.resolves = resolves;
            }
            E::AttemptLive { step, .. } => known.step(*step).lived(),
            E::AttemptEnded { step, attempt, end, next } => {
                let of = known.step(*step);
                if of.live.take() != Some(*attempt) {
                    return Err(format!("I10: attempt {attempt} ended, which was not live"));
                }
                if !matches!(end.outcome, execution::Outcome::NotStarted { .. }) {
                    of.lived();
                }
                if let Some((onto, tip)) = of.lands {
                    known.landing_step_ended(next, (onto, tip), repository)?;
                }
                known.proceed(*step, next, due);
            }
            E::AttemptStopped { step, .. } => known.step(*step).live = None,
            E::StepMerged { step, commit } => {
                if !merges.contains(commit) {
                    return Err("R3: a step is merged, but no queue says so in the same append".to_owned());
                }
                (known.step(*step).merged, known.step(*step).request) = (Some(*commit), None);
                known.head = Some(*commit);
                known.done(*step, due);
            }
            E::MergeRefused { step, next, .. } => known.proceed(*step, next, due),
            E::MergeRequested { step, request } => {
                known.resolving = Some(*step);
                let step = known.step(*step);
                (step.level, step.running, step.request) = (2, false, Some(*request));
            }
            E::LandingRequested { request, tip, merge } => known.asks(*request, *tip, *merge, repository)?,
            E::Landed { .. } => {
                self.resolved += u64::from(known.asked_as.is_some());
                (known.landing, known.merged, known.resolutions, known.gave_up) = (None, None, 0, false);
            }
            E::LandingRefused { .. } => known.landing = None,
            E::LandingResolution { step, onto, tip, .. } => {
                if known.cancelling || known.asked != Some(*tip) || known.landing.is_some() {
                    return Err(format!("a landing is resolved that was not refused: {known:?}"));
                }
                known.resolutions += 1;
                if known.gave_up || known.resolutions > 3 {
                    return Err("a landing is resolved again although a person is to be asked".to_owned());
                }
                known.steps.push(KnownStep { lands: Some((*onto, *tip)), ..KnownStep::new(step) });
                self.resolutions += 1;
            }
            E::CancelRequested => known.cancelling = true,
            E::LandingAsked => {
                (known.ended, known.status) = (false, None);
                (known.resolutions, known.gave_up) = (0, false);
            }
            E::HoldOpened { hold, reason } => {
                if let HoldReason::Checkpoint { step } = reason {
                    due.remove(step);
                }
                if reason.stops_starts() {
                    known.stops.insert(*hold);
                }
                // Nothing that could not be resolved is forgotten.
                known.unanswered = false;
            }
            E::HoldClosed { hold, .. } => {
                known.stops.remove(hold);
                if known.landing.is_none() {
                    (known.resolutions, known.gave_up) = (0, false);
                }
            }
            E::Paused { step: None } => known.paused = true,
            E::Resumed { step: None } => known.paused = false,
            E::Paused { step: Some(step) } => {
                // Another conflict may be resolved meanwhile.
                known.resolving = known.resolving.filter(|of| of != step);
                known.step(*step).paused = true;
            }
            E::Resumed { step: Some(step) } => known.step(*step).paused = false,
            E::StepsAdded { steps } => known.steps.extend(steps.iter().map(KnownStep::new)),
            E::StepCancelled { step } => {
                let cancelling = known.cancelling;
                let step = known.step(*step);
                let gives_up = step.lands.is_some() && !step.dead && !cancelling;
                (step.dead, step.live, step.running, step.level) = (true, None, false, 0);
                (known.gave_up, known.unanswered) = (known.gave_up || gives_up, known.unanswered || gives_up);
                due.clear();
            }
            E::StepRetried { step, .. } => {
                (known.ended, known.status) = (false, None);
                // Its turn ended when it failed. Begun again, it waits for another one, or clashes no more.
                known.resolving = known.resolving.filter(|of| of != step);
                let step = known.step(*step);
                (step.dead, step.level, step.running) = (false, 0, false);
            }
            E::StepAccepted { step, next, .. } => {
                (known.ended, known.status) = (false, None);
                known.step(*step).dead = false;
                known.proceed(*step, next, due);
            }
            E::Ended { status } => {
                known.ended = true;
                known.status = Some(*status);
                known.stops.clear();
            }
            _ => {}
        }
        Ok(())
    }

    /// A step begins on files that others of its execution are on only if nothing else of its kind could have begun.
    fn avoids_overlaps(&self, id: ExecutionId, ix: StepIx, due: &BTreeSet<StepIx>) -> Result<(), String> {
        let Some(known) = self.executions.get(&id).filter(|_| self.alone) else { return Ok(()) };
        let step = &known.steps[ix.index()];
        let works = || self.executions.values().flat_map(|known| &known.steps).filter(|step| step.works());
        let among = known.steps.iter().filter(|other| other.works());
        if step.running || step.attempts > 0 || !among.into_iter().any(|other| other.overlaps(step)) {
            return Ok(());
        }
        // Who goes ahead after a wait is chosen by something else.
        if self.service.chooses() {
            return Ok(());
        }
        for (n, other) in known.steps.iter().enumerate() {
            let alike = other.tier == step.tier && other.priority <= step.priority && (step.gated || !other.gated);
            let free = other.attempts == 0 && !other.running && !works().any(|at_work| at_work.overlaps(other));
            // What this model knows of other executions is enough to forbid a start, not to ask for one.
            let inside = other.needs.iter().all(|need| matches!(need.on, NeedOn::Step(_)));
            let ready = || inside && self.may_start(id, StepIx::at(n), AttemptNo(1), due).is_ok();
            if n != ix.index() && alike && free && ready() {
                return Err(format!("it begins on files in use, while step {n} could have begun on free ones"));
            }
        }
        Ok(())
    }

    /// Conflicts of one execution are resolved one at a time, each on the head as it is then.
    fn may_resolve(&self, id: ExecutionId, ix: StepIx, onto: CommitId) -> Result<(), String> {
        let known = self.executions.get(&id).ok_or("an attempt of an execution that does not exist")?;
        if known.head != Some(onto) {
            return Err(format!("a conflict is resolved on {onto}, but the head is {:?}", known.head));
        }
        if let Some(other) = known.resolving.filter(|other| *other != ix) {
            let step = &known.steps[other.index()];
            let over = step.dead || step.level == 3 || (step.level == 0 && !step.running);
            let yields = step.paused && step.live.is_none() && step.request.is_none();
            if !over && !yields {
                return Err(format!("a conflict is resolved while that of step {} is", other.0));
            }
        }
        let another = |(n, step): (usize, &KnownStep)| n != ix.index() && step.live.is_some() && step.resolves;
        if known.steps.iter().enumerate().any(another) {
            return Err("two conflicts are resolved at the same time".to_owned());
        }
        Ok(())
    }

    /// A landing is resolved between where the target was and the tip that was refused, while nothing asks to land.
    fn may_merge(
        &self,
        id: ExecutionId,
        ix: StepIx,
        onto: CommitId,
        change: CommitId,
        repository: &FakeRepository,
    ) -> Result<(), String> {
        let known = self.executions.get(&id).ok_or("an attempt of an execution that does not exist")?;
        if known.steps[ix.index()].lands != Some((onto, change)) || known.landing.is_some() {
            return Err(format!("step {} resolves another landing than the one that was refused", ix.0));
        }
        let target: Branch = "main".parse().expect("a branch name");
        let was_there = self.published.contains(&(target.clone(), onto))
            || repository.left(&target, onto)
            || repository.head(&target).is_some_and(|head| repository.contains(head, onto));
        if !was_there {
            return Err(format!("a landing is resolved on {onto}, where the target never was"));
        }
        Ok(())
    }

    /// Promises R15, R16, I3, I4 and I9 for one start.
    fn may_start(&self, id: ExecutionId, ix: StepIx, attempt: AttemptNo, due: &BTreeSet<StepIx>) -> Result<(), String> {
        let known = self.executions.get(&id).ok_or("an attempt of an execution that does not exist")?;
        let step = &known.steps[ix.index()];
        if let Some(step) = due.first() {
            return Err(format!("R16: an attempt starts after checkpoint step {}", step.0));
        }
        if known.paused || step.paused || !known.stops.is_empty() || known.ended || !known.opened {
            return Err(format!("I9: it may not start anything: {known:?}"));
        }
        if step.live.is_some() || attempt.0 != step.attempts + 1 {
            return Err(format!("I4: attempt {attempt} after {} with {:?} live", step.attempts, step.live));
        }
        if step.running {
            return Ok(());
        }
        if step.dead || step.level > 0 {
            return Err(format!("I8: it is over: {step:?}"));
        }
        for need in &step.needs {
            let satisfied = match need.on {
                NeedOn::Step(on) => known.steps[on.index()].satisfies(need.condition),
                NeedOn::External(External { execution, step }) => {
                    self.executions.get(&execution).is_some_and(|of| match step {
                        Some(on) => of.steps[on.index()].satisfies(need.condition),
                        None => match need.condition {
                            Condition::Started => of.opened,
                            Condition::Completed => {
                                of.steps.iter().all(|s| s.level >= 2 || s.dead || s.lands.is_some())
                            }
                            Condition::Merged => of.status == Some(EndStatus::Done),
                        },
                    })
                }
            };
            if !satisfied {
                return Err(format!("R15: it starts before its need {need:?}"));
            }
        }
        Ok(())
    }

    fn queue_event(
        &mut self,
        log: LogId,
        event: &merge_queue::Event,
        repository: &FakeRepository,
    ) -> Result<(), String> {
        use merge_queue::Event as E;
        let queue = self.queues.entry(log).or_default();
        match event {
            E::Opened { target, .. } => queue.target = Some(target.clone()),
            E::Queued(entry) => {
                let known = queue.entries.insert(entry.change.request, (**entry).clone());
                known.is_none().then_some(()).ok_or("Q3: the request was here before")?;
            }
            E::Withdrawn { request } => {
                queue.withdrawn.insert(*request);
            }
            E::BatchFormed { line, base, members } => {
                queue.lines.insert(*line, (members.clone(), *base));
            }
            E::Prepared { line, candidate, commits } => {
                queue.candidates.insert(*line, *candidate);
                queue.commits.insert(*line, commits.clone());
            }
            E::Committing { line } => {
                let candidate = queue.candidates.get(line).ok_or("Q1: nothing was built")?;
                let (members, base) = queue.lines.get(line).ok_or("Q1: no such line")?;
                let gate = |request| queue.entries.get(request).and_then(|entry| entry.gate.as_ref());
                let gated = members.iter().any(|request| gate(request).is_some());
                let passes = self.gate_runs.get(&candidate.tree).map_or(0, |runs| runs.1);
                if gated && passes == 0 {
                    return Err("R2: it commits a tree that never passed".to_owned());
                }
                if candidate.base != *base {
                    return Err("R2: it commits what was built on another base".to_owned());
                }
                queue.no_return.clone_from(members);
                queue.committing.insert(*line);
            }
            E::Merged { line, commit } => {
                queue.no_return.clear();
                let (members, _) = queue.lines.get(line).ok_or("Q1: no such line")?.clone();
                if !queue.committing.contains(line) {
                    return Err("R3: merged without the point of no return".to_owned());
                }
                for request in members {
                    if queue.withdrawn.contains(&request) {
                        return Err(format!("{request} was withdrawn"));
                    }
                    let change = &queue.entries.get(&request).ok_or("Q2: nobody asked")?.change;
                    let landing = matches!(change.kind, enki_core::refinery::ChangeKind::Landing { .. });
                    let again = !landing && !queue.merged_changes.insert(change.commit);
                    if queue.merged.insert(request, *commit).is_some() || again {
                        return Err(format!("Q3: {request} is merged twice"));
                    }
                }
                let target = queue.target.clone().ok_or("a queue begins with its target")?;
                let there = repository.head(&target).is_some_and(|head| repository.contains(head, *commit));
                if !there && !self.published.contains(&(target, *commit)) {
                    return Err("R3: it says merged, but the branch never was there".to_owned());
                }
            }
            E::Republishing { line, candidate } => {
                // What was past that point on top of it is before it again.
                queue.no_return.clear();
                queue.lines.insert(*line, (Vec::new(), candidate.base));
                queue.candidates.insert(*line, *candidate);
                queue.committing.insert(*line);
            }
            E::Stale { .. } | E::Ejected { charged: false, .. } => queue.no_return.clear(),
            E::QueuePaused { why } => queue.stopped = matches!(why, QueuePause::Infrastructure { .. }),
            E::QueueResumed => queue.stopped = false,
            E::Ejected { request, charged: true, .. } => {
                queue.no_return.clear();
                let last = queue.lines.iter().rev().find(|(_, (members, _))| members.contains(request));
                let (line, base) = last.map(|(line, (members, base))| (line, members.len(), *base)).map_or(
                    Err("Q2: no line"),
                    |(line, members, base)| {
                        if members == 1 { Ok((*line, base)) } else { Err("Q4: charged in company") }
                    },
                )?;
                let tree = queue.candidates.get(&line).ok_or("Q4: charged before it was built")?.tree;
                let failures = self.gate_runs.get(&tree).map_or(0, |runs| runs.0);
                let base = repository.get(base).ok_or("the base is unknown")?.tree;
                let green = self.gate_runs.get(&base).is_some_and(|runs| runs.1 > 0);
                if failures < 2 || !green {
                    return Err(format!("Q4: charged after {failures} real failures, base green: {green}"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The gate really ran on a tree.
    pub fn gate_ran(&mut self, tree: TreeId, passed: bool) {
        let runs = self.gate_runs.entry(tree).or_default();
        *(if passed { &mut runs.1 } else { &mut runs.0 }) += 1;
    }

    /// The refinery really moved a branch.
    ///
    /// # Errors
    ///
    /// Which promise is broken, and how.
    pub fn moved(&mut self, target: &Branch, from: Option<CommitId>, candidate: &Candidate) -> Result<(), String> {
        let queue = self.queues.get(&QueueId::of(target).log()).ok_or("R3: moved for a queue nobody recorded")?;
        if !queue.committing.iter().any(|line| queue.candidates.get(line) == Some(candidate)) {
            return Err(format!("R3: {target} moved before the point of no return was durable"));
        }
        if from != Some(candidate.base) {
            return Err(format!("R2: {target} moved from {from:?} to what was built on {}", candidate.base));
        }
        self.published.insert((target.clone(), candidate.commit));
        Ok(())
    }

    /// Whether the start of that attempt is durable and it has not ended.
    pub fn is_live(&self, id: ExecutionId, step: StepIx, attempt: AttemptNo) -> bool {
        let step = self.executions.get(&id).and_then(|known| known.steps.get(step.index()));
        step.is_some_and(|step| step.live == Some(attempt))
    }

    /// Counts what became of executions.
    pub(super) fn tally(&self, report: &mut Report) {
        (report.landing_conflicts, report.resolved_landings) = (self.resolutions, self.resolved);
        for known in self.executions.values() {
            report.executions += 1;
            report.steps += known.steps.len() as u64;
            match known.status {
                Some(EndStatus::Done) => report.done += 1,
                Some(EndStatus::Failed) => report.failed += 1,
                Some(EndStatus::Cancelled) => report.cancelled += 1,
                None => {}
            }
        }
    }

    /// What must be true when all is over: the last look. `lost` are the branches of which a disk lost a move that nobody has
    /// made again, `forgotten` those of them of which all executions had ended when a process began.
    ///
    /// # Errors
    ///
    /// Which promise is broken, and how.
    pub fn at_the_end(
        &self,
        repository: &FakeRepository,
        lost: &BTreeSet<Branch>,
        forgotten: &BTreeSet<Branch>,
    ) -> Result<(), String> {
        if let Some(lost) = self.captured.iter().find(|commit| !repository.reachable(**commit)) {
            return Err(format!("R1: captured commit {lost} is lost"));
        }
        for (id, known) in &self.executions {
            let integration = Branch::integration(*id);
            let target: Branch = "main".parse().expect("a branch name");
            for (n, step) in known.steps.iter().enumerate() {
                let Some(commit) = step.merged.filter(|_| step.level == 3) else { continue };
                let on = |branch: &Branch| {
                    // A queue that could not look is stopped: nobody builds on that branch before a person lets it look
                    // again. That of an execution that ended looks when it is taken up again, to land or to be retried.
                    let stopped = self.queues.get(&QueueId::of(branch).log()).is_some_and(|queue| queue.stopped);
                    let stopped = stopped || *branch == integration || forgotten.contains(branch);
                    self.tampered.contains(branch)
                        || (lost.contains(branch) && stopped)
                        || repository.head(branch).is_some_and(|head| repository.contains(head, commit))
                };
                // What has landed needs no branch of its own any more: an execution that ended is not taken up to repair it.
                if !on(&integration) && !on(&target) {
                    return Err(format!("R3: step {n} of {id} is done, but not on its integration branch"));
                }
                if known.status == Some(EndStatus::Done) && !self.tampered.contains(&integration) && !on(&target) {
                    return Err(format!("R3: {id} is done, but step {n} is not on the target"));
                }
            }
        }
        self.merged_once(repository)
    }

    /// Each attempt's work is in a branch's history at most once (R3).
    fn merged_once(&self, repository: &FakeRepository) -> Result<(), String> {
        for (branch, head) in repository.branches() {
            if self.tampered.contains(&branch) {
                continue;
            }
            let mut seen = BTreeSet::new();
            for commit in repository.history(head) {
                let message = repository.get(commit).map(|c| c.message).unwrap_or_default();
                let trailers: Vec<&str> = message.lines().filter(|line| line.starts_with("Enki-")).collect();
                if !trailers.is_empty() && !seen.insert(trailers.join(" ")) {
                    return Err(format!("R3: {branch} has {trailers:?} twice"));
                }
            }
        }
        Ok(())
    }
}
