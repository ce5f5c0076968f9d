//! A world around the engine: branches that are a list of commits, agents and checks that answer what a test says, and
//! a second copy of every machine that is folded from the stored events alone. Time is virtual.

use enki_core::agent::Usage;
use enki_core::branch::Branch;
use enki_core::budget::BudgetOf;
use enki_core::dispatcher::Place;
use enki_core::engine::{Effect, Engine, Event, Input, QueueId, QueueJob, Rejected, Turn};
use enki_core::execution::{
    self, AttemptEnd, Charge, Command, Execution, Next, Outcome, Report, StepState, Submitted, Work,
};
use enki_core::id::{AttemptNo, CommitId, ExecutionId, StepIx, TreeId};
use enki_core::limits::Limits;
use enki_core::merge_queue::{self, MergeQueue};
use enki_core::plan::{External, NeedOn, Plan, PlanLimits};
use enki_core::record;
use enki_core::refinery::{Build, Candidate, Check, Gate, TargetState};
use enki_core::role::RoleOutput;
use enki_core::spec::{Condition, PlanSpec, StepSpec};
use enki_core::store::{LogId, LogKind};
use enki_core::tier::Purpose;
use enki_core::time::Timestamp;
use enki_core::verdict::{self, Verdict};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

/// See the module.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) now: Timestamp,
    /// What is in flight, in the order in which it was started.
    pub(crate) flying: Vec<Effect>,
    /// What was asked to end because of a budget, in order.
    pub(crate) halted: Vec<Effect>,
    /// Whether the notes of steps are read before they start.
    pub(crate) reads_notes: bool,
    /// Steps whose note is to be read, in order.
    pub(crate) to_read: Vec<Place>,
    /// All bodies that were appended.
    pub(crate) logs: BTreeMap<LogId, Vec<String>>,
    /// Each branch with all commits it was ever at; the last is its head.
    pub(crate) branches: HashMap<Branch, Vec<CommitId>>,
    /// Answers of the coming checks; passed once there are none.
    pub(crate) checks: Vec<Check>,
    /// Answers of the coming builds: files in conflict; built once there are none.
    pub(crate) builds: Vec<Vec<String>>,
    /// The start of the machine that the next engine runs on.
    pub(crate) boot: Option<String>,
    shadows: BTreeMap<ExecutionId, Execution>,
    /// Whether reviewers have a login of their own.
    pub(crate) own_reviewer: bool,
    /// Until when the attempts of each execution were asked to wait, those of a reviewer with a login of its own apart.
    waits: HashMap<(ExecutionId, bool), Timestamp>,
    /// What was warned of: whose budget, which attempt if it is that of a run, and the share of which limit.
    warned: HashSet<(ExecutionId, String, u64, u8)>,
    shadow_queues: BTreeMap<LogId, MergeQueue>,
    /// What plans are held against.
    pub(crate) plan_limits: PlanLimits,
    ids: u64,
    executions: u128,
}

impl World {
    pub(crate) fn new(limits: Limits) -> Self {
        let main: Branch = "main".parse().unwrap();
        let mut world = Self {
            engine: Engine::new(limits),
            now: Timestamp(1_000_000),
            flying: Vec::new(),
            halted: Vec::new(),
            reads_notes: false,
            to_read: Vec::new(),
            logs: BTreeMap::new(),
            branches: HashMap::new(),
            checks: Vec::new(),
            builds: Vec::new(),
            boot: None,
            shadows: BTreeMap::new(),
            own_reviewer: false,
            waits: HashMap::new(),
            warned: HashSet::new(),
            shadow_queues: BTreeMap::new(),
            plan_limits: PlanLimits::default(),
            ids: 0,
            executions: 0,
        };
        let first = world.commit();
        world.branches.insert(main, vec![first]);
        world
    }

    pub(crate) fn commit(&mut self) -> CommitId {
        self.ids += 1;
        format!("{:040x}", self.ids).parse().unwrap()
    }

    pub(crate) fn tree(&mut self) -> TreeId {
        self.ids += 1;
        format!("{:040x}", self.ids).parse().unwrap()
    }

    pub(crate) fn head(&self, branch: &Branch) -> Option<CommitId> {
        self.branches.get(branch).and_then(|all| all.last()).copied()
    }

    pub(crate) fn main(&self) -> Branch {
        "main".parse().unwrap()
    }

    /// What submitting that plan would record.
    pub(crate) fn submission(&mut self, spec: serde_json::Value, externals: &[(&str, External)]) -> Submitted {
        let externals: HashMap<String, External> = externals.iter().map(|(n, e)| ((*n).to_owned(), *e)).collect();
        let spec: PlanSpec = serde_json::from_value(spec).unwrap();
        let plan = Plan::build(&spec, &self.plan_limits, &externals).unwrap_or_else(|e| panic!("{e}"));
        self.executions += 1;
        Submitted {
            id: ExecutionId::new(self.executions),
            origin: "cli".to_owned(),
            target: self.main(),
            land: plan.land,
            gate: Some(Gate::new("make check", Duration::from_secs(60))),
            created: self.now,
            start_at: None,
            after: plan.after,
            approval: false,
            project: execution::ProjectKind::default(),
            plan: plan.into(),
        }
    }

    pub(crate) fn submit(&mut self, spec: serde_json::Value) -> ExecutionId {
        let submitted = self.submission(spec, &[]);
        self.submit_as(submitted)
    }

    pub(crate) fn submit_as(&mut self, submitted: Submitted) -> ExecutionId {
        let id = submitted.id;
        self.input(Input::Submit(Box::new(submitted))).unwrap();
        id
    }

    /// Submits, and opens the integration branch.
    pub(crate) fn start(&mut self, spec: serde_json::Value) -> ExecutionId {
        let id = self.submit(spec);
        self.open(id);
        id
    }

    pub(crate) fn open(&mut self, id: ExecutionId) {
        self.answer(Effect::Open(id));
    }

    /// Steps to add, checked against the plan as it is.
    pub(crate) fn added(&self, id: ExecutionId, steps: serde_json::Value) -> enki_core::plan::Added {
        let specs: Vec<StepSpec> = serde_json::from_value(steps).unwrap();
        let plan = self.of(id).plan();
        plan.check_added(&specs, &PlanLimits::default(), &HashMap::new()).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Hands in an input and takes the turn that follows, checking everything.
    pub(crate) fn input(&mut self, input: Input) -> Result<(), Rejected> {
        let result = self.engine.handle(input, self.now);
        self.turn();
        result
    }

    pub(crate) fn command(&mut self, id: ExecutionId, command: Command) -> Result<(), Rejected> {
        self.input(Input::Command(id, command))
    }

    pub(crate) fn report(&mut self, id: ExecutionId, report: Report) -> Result<(), Rejected> {
        self.input(Input::Report(id, report))
    }

    pub(crate) fn turn(&mut self) {
        let turn = self.engine.turn(self.now);
        self.take(turn);
    }

    fn take(&mut self, turn: Turn) {
        for append in turn.appends {
            let log = self.logs.entry(append.log).or_default();
            assert_eq!(log.len() as u64, append.expected.0, "the expected version of {}", append.log);
            assert_eq!(append.summary.is_some(), append.log.kind == LogKind::Execution);
            for event in &append.events {
                let body = record::encode(event);
                let read = record::decode(append.log.kind, record::FORMAT, &body).unwrap_or_else(|e| panic!("{e}"));
                assert_eq!(read, *event, "{body}");
                self.logs.get_mut(&append.log).unwrap().push(body);
                self.fold(append.log, read);
            }
        }
        for effect in turn.stop {
            self.flying.retain(|flying| *flying != effect);
            if let Effect::Attempt(place, _) = effect {
                self.engine.handle(Input::Stopped(place), self.now).unwrap();
            }
        }
        for effect in turn.start {
            assert!(!self.flying.contains(&effect), "{effect:?} was started twice");
            self.flying.push(effect);
        }
        self.to_read.extend(turn.read);
        for effect in turn.halt {
            assert!(self.flying.contains(&effect), "{effect:?} is halted and does not run");
            self.halted.push(effect);
        }
        self.check();
    }

    /// Applies a stored event to the second copy, checking what must hold at that moment.
    fn fold(&mut self, log: LogId, event: Event) {
        match event {
            Event::Execution(execution::Event::Submitted(submitted)) => {
                assert!(self.shadows.insert(submitted.id, Execution::new(&submitted)).is_none());
            }
            Event::Execution(event) => {
                let shadow = self.shadows.get_mut(&ExecutionId::new(log.id)).unwrap();
                let last = matches!(shadow.ended(), Some(execution::EndStatus::Done | execution::EndStatus::Cancelled));
                let asked = matches!(event, execution::Event::LandingAsked);
                assert!(!last || asked, "I8: {event:?} after the end");
                if let execution::Event::AttemptStarted { step, purpose, .. } = &event {
                    assert!(shadow.may_start(), "I9: attempt of step {step:?} although {}", shadow.status());
                    assert!(!shadow.step(*step).paused, "I9: attempt of a paused step {step:?}");
                    assert!(shadow.step(*step).live().is_none(), "I4: a second attempt of step {step:?}");
                    let pool = (shadow.id(), self.own_reviewer && *purpose == Purpose::Review);
                    let waits = self.waits.get(&pool).is_none_or(|until| *until <= self.now);
                    assert!(waits, "an attempt of step {step:?} starts although the service asked to wait");
                    for of in [BudgetOf::Execution, BudgetOf::Step(*step)] {
                        let over = shadow.spent(of).find(enki_core::budget::Spent::is_over);
                        assert!(over.is_none(), "an attempt of step {step:?} starts although {over:?}");
                    }
                    if shadow.step(*step).state == StepState::Pending {
                        for need in &shadow.plan().step(*step).needs {
                            assert!(satisfied(shadow, need.on, need.condition), "I3: step {step:?}, {need:?}");
                        }
                    }
                }
                if let execution::Event::AttemptEnded { step, end, next, .. } = &event
                    && let Outcome::RateLimited { until } | Outcome::Unavailable { until, .. } = end.outcome
                {
                    let StepState::Running(running) = &shadow.step(*step).state else { unreachable!() };
                    let pool = (shadow.id(), self.own_reviewer && running.purpose == Purpose::Review);
                    let known = self.waits.entry(pool).or_insert(until);
                    *known = until.max(*known);
                    let charged = matches!(next, Next::Run { charge, .. } if *charge != Charge::Repeat);
                    assert!(!charged, "a service that waits was charged: {next:?}");
                }
                if event == execution::Event::ServiceFreed {
                    self.waits.retain(|(of, _), _| *of != shadow.id());
                }
                if let execution::Event::BudgetWarned { percent, spent } = &event {
                    let attempt = match spent.of {
                        BudgetOf::Run(step) => shadow.step(step).attempts,
                        _ => 0,
                    };
                    let of = format!("{:?} {:?} {attempt}", spent.of, spent.unit);
                    let fresh = self.warned.insert((shadow.id(), of, spent.limit, *percent));
                    assert!(fresh, "it was warned of twice: {event:?}");
                }
                shadow.apply(&event);
            }
            Event::Queue(merge_queue::Event::Opened { target, head }) => {
                assert!(self.shadow_queues.insert(log, MergeQueue::new(target, head)).is_none());
            }
            Event::Queue(event) => self.shadow_queues.get_mut(&log).unwrap().apply(&event),
        }
    }

    /// Everything that must hold after every input.
    pub(crate) fn check(&self) {
        self.engine.check().unwrap_or_else(|e| panic!("{e}"));
        for execution in self.engine.executions() {
            let id = execution.id();
            assert!(self.shadows.get(&id) == Some(execution), "I7: the fold of {id} differs from the live state");
            for at in 0..execution.steps().len() {
                let ix = StepIx::at(at);
                if execution.step(ix).state == StepState::Pending {
                    assert_eq!(execution.word(ix) == "blocked", dead(execution, ix), "I2: step {at}");
                }
            }
        }
        for (log, shadow) in &self.shadow_queues {
            assert_eq!(self.engine.queue(shadow.target()), Some(shadow), "I7: the fold of {log} differs");
        }
    }

    /// Dies, and comes back with nothing but what was appended.
    pub(crate) fn crash(&mut self) {
        let mut engine = Engine::new(self.engine.limits().clone()).on_boot(self.boot.clone());
        engine = engine.with_own_reviewer(self.own_reviewer).with_notes(self.reads_notes);
        for (log, bodies) in &self.logs {
            let events = bodies.iter().map(|body| record::decode(log.kind, record::FORMAT, body).unwrap());
            match log.kind {
                LogKind::Execution => {
                    let events = events.map(|e| if let Event::Execution(e) = e { e } else { unreachable!() });
                    engine.load_execution(events).unwrap();
                }
                _ => {
                    let events = events.map(|e| if let Event::Queue(e) = e { e } else { unreachable!() });
                    engine.load_queue(events).unwrap();
                }
            }
        }
        self.engine = engine;
        self.flying.clear();
        self.to_read.clear();
        self.turn();
    }

    /// The events of an execution, as they are stored.
    pub(crate) fn log(&self, id: ExecutionId) -> Vec<execution::Event> {
        let bodies = self.logs[&LogId::execution(id)].iter();
        let decoded = bodies.map(|body| record::decode(LogKind::Execution, record::FORMAT, body).unwrap());
        decoded.map(|event| if let Event::Execution(event) = event { event } else { unreachable!() }).collect()
    }

    pub(crate) fn of(&self, id: ExecutionId) -> &Execution {
        self.engine.execution(id).unwrap()
    }

    pub(crate) fn ix(&self, id: ExecutionId, step: &str) -> StepIx {
        self.of(id).plan().find(step).unwrap_or_else(|| panic!("no step {step}"))
    }

    pub(crate) fn word(&self, id: ExecutionId, step: &str) -> &'static str {
        self.of(id).word(self.ix(id, step))
    }

    /// The words of all steps, in order.
    pub(crate) fn words(&self, id: ExecutionId) -> Vec<&'static str> {
        (0..self.of(id).steps().len()).map(|n| self.of(id).word(StepIx::at(n))).collect()
    }

    /// The live attempt of a step.
    pub(crate) fn attempt(&self, id: ExecutionId, step: &str) -> Option<AttemptNo> {
        self.of(id).step(self.ix(id, step)).live()
    }

    /// What the running step's attempt is for.
    pub(crate) fn purpose(&self, id: ExecutionId, step: &str) -> Option<Purpose> {
        match &self.of(id).step(self.ix(id, step)).state {
            StepState::Running(running) => Some(running.purpose),
            _ => None,
        }
    }

    /// The agent of a step says it runs.
    pub(crate) fn live(&mut self, id: ExecutionId, step: &str) {
        let attempt = self.attempt(id, step).unwrap_or_else(|| panic!("step {step} is {}", self.word(id, step)));
        let step = self.ix(id, step);
        self.report(id, Report::Live { step, attempt, session: None }).unwrap();
    }

    /// The live attempt of a step says what it used up to now.
    pub(crate) fn uses(&mut self, id: ExecutionId, step: &str, tokens: u64) {
        let attempt = self.attempt(id, step).unwrap_or_else(|| panic!("step {step} is {}", self.word(id, step)));
        let (step, usage) = (self.ix(id, step), tokens_of(tokens));
        self.report(id, Report::Spent { step, attempt, usage }).unwrap();
    }

    /// Lets time pass until a step has a live attempt again.
    pub(crate) fn drain_to_attempt(&mut self, id: ExecutionId, step: &str) {
        while self.attempt(id, step).is_none() {
            self.now = self.engine.next_deadline(self.now).expect("another attempt is due");
            self.turn();
        }
    }

    /// The live attempt of a step ends so, having used that.
    pub(crate) fn end_using(&mut self, id: ExecutionId, step: &str, outcome: Outcome, tokens: u64) {
        let attempt = self.attempt(id, step).unwrap_or_else(|| panic!("step {step} is {}", self.word(id, step)));
        let mut end = self.ending(outcome, attempt);
        end.usage = tokens_of(tokens);
        let step = self.ix(id, step);
        self.ended(id, step, attempt, end).unwrap();
    }

    /// The live attempt of a step ends so.
    pub(crate) fn end(&mut self, id: ExecutionId, step: &str, outcome: Outcome) {
        let attempt = self.attempt(id, step).unwrap_or_else(|| panic!("step {step} is {}", self.word(id, step)));
        let end = self.ending(outcome, attempt);
        let step = self.ix(id, step);
        self.ended(id, step, attempt, end).unwrap();
    }

    pub(crate) fn ended(
        &mut self,
        id: ExecutionId,
        step: StepIx,
        attempt: AttemptNo,
        end: AttemptEnd,
    ) -> Result<(), Rejected> {
        let effect = Effect::Attempt(enki_core::dispatcher::Place { execution: id, step }, attempt);
        self.flying.retain(|flying| *flying != effect);
        self.report(id, Report::Ended { step, attempt, end: Box::new(end) })
    }

    /// An end with the work that belongs to it.
    pub(crate) fn ending(&mut self, outcome: Outcome, attempt: AttemptNo) -> AttemptEnd {
        let mut end = AttemptEnd::new(outcome);
        if end.outcome == Outcome::Changed {
            let (commit, tree) = (self.commit(), self.tree());
            end.work = Some(Work { base: commit, commit, tree, attempt });
            end.output = Some(format!("output of attempt {attempt}"));
        }
        end
    }

    pub(crate) fn reviewed(&mut self, id: ExecutionId, step: &str, gate: verdict::Gate) {
        self.end(id, step, Outcome::Reviewed(Verdict::of(gate)));
    }

    /// Works the step off in the way that succeeds, up to its merge.
    pub(crate) fn work(&mut self, id: ExecutionId, step: &str) {
        while self.attempt(id, step).is_some() {
            let effect = self.flying_attempt(id, step).expect("a live attempt is in flight");
            self.answer(effect);
        }
    }

    pub(crate) fn flying_attempt(&self, id: ExecutionId, step: &str) -> Option<Effect> {
        let step = self.ix(id, step);
        let is = |e: &&Effect| matches!(e, Effect::Attempt(p, _) if p.execution == id && p.step == step);
        self.flying.iter().find(is).copied()
    }

    /// Lets the queues go on until nothing of theirs is in flight.
    pub(crate) fn queues(&mut self) {
        while let Some(effect) = self.flying.iter().find(|e| matches!(e, Effect::Queue(..))).copied() {
            self.answer(effect);
        }
    }

    /// Answers everything in the way that succeeds, lets time pass, until nothing is to be done.
    pub(crate) fn drain(&mut self) {
        for _ in 0..10_000 {
            if let Some(effect) = self.flying.first().copied() {
                self.answer(effect);
            } else if let Some(at) = self.engine.next_deadline(self.now) {
                self.now = at;
                self.turn();
            } else {
                return;
            }
        }
        panic!("it does not come to rest: {:?}", self.flying);
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, by: Duration) {
        self.now = self.now.plus(by);
        self.turn();
    }

    /// The answer to an effect that succeeds, or what [`World::checks`] and [`World::builds`] say.
    pub(crate) fn answer(&mut self, effect: Effect) {
        let before = self.flying.len();
        self.flying.retain(|flying| *flying != effect);
        assert_eq!(self.flying.len() + 1, before, "{effect:?} is not in flight");
        let input = match effect {
            Effect::Open(id) => {
                let target = self.of(id).target().clone();
                match self.head(&target) {
                    None => Input::Report(id, Report::OpenFailed("no such branch".to_owned())),
                    Some(base) => {
                        let opened = self.branches.entry(Branch::integration(id)).or_insert_with(|| vec![base])[0];
                        Input::Report(id, Report::Opened(opened))
                    }
                }
            }
            Effect::Attempt(place, attempt) => {
                let job = self.engine.attempt_job(place, attempt).expect("what is in flight has a job");
                let outcome = match job.workspace.purpose {
                    Purpose::Review => Outcome::Reviewed(Verdict::of(verdict::Gate::Pass)),
                    _ if self.of(place.execution).plan().step(place.step).output == RoleOutput::Artifact => {
                        Outcome::Artifact
                    }
                    _ => Outcome::Changed,
                };
                let end = Box::new(self.ending(outcome, attempt));
                Input::Report(place.execution, Report::Ended { step: place.step, attempt, end })
            }
            Effect::Queue(id, effect) => {
                match self.engine.queue_job(id, effect).expect("what is in flight has a job") {
                    QueueJob::Look(branch) => Input::Queue(id, merge_queue::Input::Seen(self.head(&branch))),
                    QueueJob::Import(..) => report(id, effect, merge_queue::Report::Imported),
                    QueueJob::Inspect(branch, candidate) => Input::Queue(id, self.inspected(&branch, candidate.commit)),
                    QueueJob::Predict(_, of, _) => {
                        let of = of.into_iter().map(|(request, _)| request).collect();
                        let predicted = merge_queue::Report::Predicted { of, clashes: Vec::new(), off: Vec::new() };
                        report(id, effect, predicted)
                    }
                    QueueJob::Try(_, change, _) => {
                        report(id, effect, merge_queue::Report::Tried(change.request, Build::Empty))
                    }
                    QueueJob::CheckOldBase(..) => {
                        report(id, effect, merge_queue::Report::OldBaseChecked(self.next_check()))
                    }
                    QueueJob::Build(_, base, changes, _) => {
                        let paths = if self.builds.is_empty() { Vec::new() } else { self.builds.remove(0) };
                        let build = if paths.is_empty() {
                            let candidate = Candidate { commit: self.commit(), tree: self.tree(), base };
                            Build::Candidate { candidate, commits: vec![Some(candidate.commit); changes.len()] }
                        } else {
                            let hunks = format!("<<<<<<< {}", paths[0]);
                            Build::Conflict { request: changes[0].request, paths, hunks }
                        };
                        report(id, effect, merge_queue::Report::Built(build))
                    }
                    QueueJob::Check(..) => report(id, effect, merge_queue::Report::Checked(self.next_check())),
                    QueueJob::CheckBase(..) => report(id, effect, merge_queue::Report::BaseChecked(self.next_check())),
                    QueueJob::Publish(_, branch, expected, candidate) => {
                        report(id, effect, self.publish(&branch, expected, &candidate))
                    }
                    job => unreachable!("{job:?}"),
                }
            }
        };
        self.input(input).unwrap_or_else(|e| panic!("{effect:?}: {e}"));
    }

    fn inspected(&self, branch: &Branch, commit: CommitId) -> merge_queue::Input {
        let all = self.branches.get(branch);
        let head = all.and_then(|all| all.last()).copied();
        let contains = all.is_some_and(|all| all.contains(&commit));
        let state = TargetState { head, contains, was_there: false };
        merge_queue::Input::Inspected { state, rebooted: false }
    }

    fn next_check(&mut self) -> Check {
        if self.checks.is_empty() { Check::Passed } else { self.checks.remove(0) }
    }

    fn publish(&mut self, branch: &Branch, expected: CommitId, candidate: &Candidate) -> merge_queue::Report {
        let Some(commits) = self.branches.get_mut(branch) else {
            return merge_queue::Report::Moved(TargetState { head: None, contains: false, was_there: false });
        };
        if commits.contains(&candidate.commit) {
            merge_queue::Report::Published
        } else if commits.last() == Some(&expected) {
            commits.push(candidate.commit);
            merge_queue::Report::Published
        } else {
            let state = TargetState { head: commits.last().copied(), contains: false, was_there: false };
            merge_queue::Report::Moved(state)
        }
    }

    /// Somebody else moves a branch.
    pub(crate) fn push_to(&mut self, branch: &Branch) -> CommitId {
        let commit = self.commit();
        self.branches.get_mut(branch).unwrap().push(commit);
        commit
    }
}

/// So many tokens, a hundredth of a cent each.
pub(crate) fn tokens_of(tokens: u64) -> Usage {
    let (read, written) = (tokens / 2, tokens - tokens / 2);
    let usage = serde_json::json!({"input_tokens": read, "output_tokens": written, "cost_micro_usd": tokens * 100});
    serde_json::from_value(usage).unwrap()
}

pub(crate) fn report(id: QueueId, effect: merge_queue::Effect, report: merge_queue::Report) -> Input {
    Input::Queue(id, merge_queue::Input::Report(effect, report))
}

/// A step for a plan in JSON.
pub(crate) fn step(id: &str, more: serde_json::Value) -> serde_json::Value {
    let mut step = serde_json::json!({"id": id, "title": id, "description": "do it"});
    for (key, value) in more.as_object().unwrap() {
        step[key] = value.clone();
    }
    step
}

/// Whether an edge is satisfied, by the words of model section 5.
pub(crate) fn satisfied(execution: &Execution, on: NeedOn, condition: Condition) -> bool {
    match on {
        NeedOn::Step(on) => {
            let step = execution.step(on);
            match condition {
                Condition::Started => match &step.state {
                    StepState::Running(_) => step.lived,
                    state => matches!(state, StepState::Merging { .. } | StepState::Done(_)),
                },
                Condition::Completed => matches!(step.state, StepState::Merging { .. } | StepState::Done(_)),
                Condition::Merged => matches!(step.state, StepState::Done(_)),
            }
        }
        NeedOn::External(external) => {
            let at = execution.plan().externals().iter().position(|(known, _)| *known == external).unwrap();
            execution.externals()[at].satisfies(condition)
        }
    }
}

/// Whether a step that has not started can never start: a need of it is failed or cancelled, or is such a step.
pub(crate) fn dead(execution: &Execution, ix: StepIx) -> bool {
    execution.plan().step(ix).needs.iter().any(|need| match need.on {
        NeedOn::Step(on) => match &execution.step(on).state {
            StepState::Failed(_) | StepState::Cancelled => true,
            StepState::Pending => dead(execution, on),
            StepState::Running(_) | StepState::Merging { .. } | StepState::Done(_) => false,
        },
        NeedOn::External(external) => {
            let at = execution.plan().externals().iter().position(|(known, _)| *known == external).unwrap();
            execution.externals()[at] == execution::NeedState::Dead
        }
    })
}
