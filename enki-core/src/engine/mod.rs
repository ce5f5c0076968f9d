//! All machines together, still without I/O: executions, their queues and the dispatcher, and what one means for the
//! other.
//!
//! A caller hands in inputs with [`Engine::handle`], then takes a [`Turn`]: what to append, and, once that is durable,
//! what to start and what to stop. The tokio driver and the simulator are such callers. After a crash the same code
//! goes on: [`Engine::load_execution`], [`Engine::load_queue`], then a turn.

mod cycle;
mod job;
mod route;
mod services;
mod turn;

pub use job::{AttemptJob, CommandReview, Prediction, QueueJob};
pub use turn::{LogAppend, Turn};

use crate::branch::Branch;
use crate::dispatcher::{Dispatcher, Place};
use crate::execution::{self, Demand, Execution};
use crate::id::{AttemptNo, EffectId, ExecutionId, RequestId, StepIx};
use crate::limits::Limits;
use crate::merge_queue::{self, EffectKind, LineNo, MergeQueue};
use crate::plan::PlanLimits;
use crate::prompt::Prompts;
use crate::review::{Chains, ReviewDefaults};
use crate::role::Roles;
use crate::store::{LogId, LogKind, Version};
use crate::tier::Tier;
use crate::time::{Timestamp, Wait};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Names the queue of a target branch: a hash of its name.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct QueueId(u128);

impl QueueId {
    /// The queue of that branch.
    #[must_use]
    pub fn of(target: &Branch) -> Self {
        let hex = EffectId::of("queue", &[target.as_str().as_bytes()]).hex();
        Self(u128::from_str_radix(&hex, 16).expect("an effect id is 32 hex digits"))
    }

    /// Its log.
    #[must_use]
    pub const fn log(self) -> LogId {
        LogId { kind: LogKind::Queue, id: self.0 }
    }
}

/// Something that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// A checked plan is submitted.
    Submit(Box<execution::Submitted>),
    /// A person wants something of an execution. For a cancel and a decision, the engine fills in what is being
    /// committed.
    Command(ExecutionId, execution::Command),
    /// A backend answers about an execution's effect.
    Report(ExecutionId, execution::Report),
    /// A backend answers about a queue's effect.
    Queue(QueueId, merge_queue::Input),
    /// An agent that was to be stopped is gone.
    Stopped(Place),
    /// An agent was answered by its service. No fact: after a restart it is heard again.
    Answered(Place, AttemptNo),
}

/// A fact of one of the machines.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Of an execution.
    Execution(execution::Event),
    /// Of a queue.
    Queue(merge_queue::Event),
}

/// Something that should be in flight.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Effect {
    /// Make the integration branch of an execution.
    Open(ExecutionId),
    /// Prepare the workspace, run the agent, capture what it left.
    Attempt(Place, AttemptNo),
    /// Run one mechanism for a queue.
    Queue(QueueId, merge_queue::Effect),
}

/// An input that was not accepted. Nothing changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// By the execution.
    #[error(transparent)]
    Execution(#[from] execution::Rejected),
    /// By the queue.
    #[error(transparent)]
    Queue(#[from] merge_queue::Rejected),
    /// There is no such execution here.
    #[error("no execution {0}")]
    UnknownExecution(ExecutionId),
    /// There is no such queue here.
    #[error("no merge queue of that branch")]
    UnknownQueue,
    /// The id is taken; draw another.
    #[error("execution {0} exists already")]
    Duplicate(ExecutionId),
    /// New needs would make steps of several executions wait for each other.
    #[error("these would wait for each other: {0}")]
    Cycle(String),
}

impl Rejected {
    /// Whether it was only late: harmless, and nobody has to be told.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        matches!(
            self,
            Self::Execution(execution::Rejected::Stale { .. })
                | Self::Queue(merge_queue::Rejected::Stale(_) | merge_queue::Rejected::Known(_))
        )
    }
}

/// The log of an execution that no machine ever recorded. It is damaged, or was put together by hand.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// It is empty, or does not begin with what was submitted.
    #[error("the log does not begin with what was submitted; restore it from a backup")]
    NoBeginning,
    /// An event is about something that is not there.
    #[error("{reason}; the log is damaged, restore it from a backup")]
    Misfit {
        /// Which event.
        version: Version,
        /// Its name, and what is not there.
        reason: String,
    },
}

impl LoadError {
    /// Which event of the log it is about.
    #[must_use]
    pub const fn version(&self) -> Version {
        match self {
            Self::NoBeginning => Version(1),
            Self::Misfit { version, .. } => *version,
        }
    }
}

/// All machines together.
#[derive(Debug)]
pub struct Engine {
    limits: Limits,
    executions: BTreeMap<ExecutionId, Slot<Execution>>,
    queues: BTreeMap<QueueId, Slot<MergeQueue>>,
    dispatcher: Dispatcher,
    /// Who needs something of an execution.
    watchers: HashMap<ExecutionId, BTreeSet<ExecutionId>>,
    /// Whose request it is.
    requests: HashMap<RequestId, ExecutionId>,
    /// Events decided and applied, not yet taken for appending.
    batch: Vec<(LogId, Event)>,
    dirty: Dirty,
    in_flight: HashMap<Subject, Effect>,
    stopping: HashMap<Place, Tier>,
    /// Whether the notes of steps are read before their first attempt.
    reads_notes: bool,
    /// Steps whose note is being read.
    reading: BTreeSet<Place>,
    /// Steps whose note was read for this turn. In a later one it may say something else.
    read: BTreeSet<Place>,
    /// The attempt of each step that was asked to end last.
    halted: HashMap<Place, AttemptNo>,
    last_tick: Timestamp,
    stale: u64,
    granting: bool,
    /// Executions that were loaded since the last turn.
    taken_up: Vec<ExecutionId>,
    /// Lines of a queue, 0 for what is beside them, that something is in flight about.
    lines_in_flight: HashMap<QueueId, BTreeSet<LineNo>>,
    /// Queues whose last merge is to be looked at again before anything else.
    inspecting: BTreeSet<QueueId>,
    /// Names this start of the machine, if it is known.
    boot: Option<String>,
    /// Whether reviewers are another program than workers, with a login of its own.
    own_reviewer: bool,
    roles: Roles,
    prompts: Prompts,
    chains: Chains,
    reviews: ReviewDefaults,
}

#[derive(Debug)]
struct Slot<M> {
    machine: M,
    version: Version,
}

/// What something in flight is about: at most one effect each.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum Subject {
    Open(ExecutionId),
    Step(Place),
    Queue(QueueId, LineNo),
}

/// What has to be looked at when the next turn is taken.
#[derive(Debug, Default)]
struct Dirty {
    steps: BTreeSet<Place>,
    executions: BTreeSet<ExecutionId>,
    queues: BTreeSet<QueueId>,
}

impl Engine {
    /// An engine without executions.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            executions: BTreeMap::new(),
            queues: BTreeMap::new(),
            dispatcher: Dispatcher::default(),
            watchers: HashMap::new(),
            requests: HashMap::new(),
            batch: Vec::new(),
            dirty: Dirty::default(),
            in_flight: HashMap::new(),
            stopping: HashMap::new(),
            reads_notes: false,
            reading: BTreeSet::new(),
            read: BTreeSet::new(),
            halted: HashMap::new(),
            last_tick: Timestamp::default(),
            stale: 0,
            granting: true,
            taken_up: Vec::new(),
            lines_in_flight: HashMap::new(),
            inspecting: BTreeSet::new(),
            boot: None,
            own_reviewer: false,
            roles: Roles::built_in(),
            prompts: Prompts::built_in(),
            chains: Chains::default(),
            reviews: ReviewDefaults::default(),
        }
    }

    /// The same with those roles and prompts. What a role decides was copied into the steps when their plan was checked;
    /// from here come the words and tools of the attempts that start.
    #[must_use]
    pub fn with_words(mut self, roles: Roles, prompts: Prompts) -> Self {
        (self.roles, self.prompts) = (roles, prompts);
        self
    }

    /// What new plans and steps are held against.
    #[must_use]
    pub fn plan_limits(&self) -> PlanLimits {
        PlanLimits {
            max_steps: self.limits.max_steps,
            roles: self.roles.clone(),
            chains: self.chains.clone(),
            reviews: self.reviews.clone(),
        }
    }

    /// The same with those review chains of people's own.
    #[must_use]
    pub fn with_chains(mut self, chains: Chains) -> Self {
        self.chains = chains;
        self
    }

    /// The same, where reviews of new steps that say no more are like that.
    #[must_use]
    pub fn with_reviews(mut self, reviews: ReviewDefaults) -> Self {
        self.reviews = reviews;
        self
    }

    /// The same, on that start of the machine: what it loses with its power is told from what somebody moved.
    #[must_use]
    pub fn on_boot(mut self, boot: Option<String>) -> Self {
        self.boot = boot;
        self
    }

    /// The same, where reviewers are another program than workers, with a login of its own.
    #[must_use]
    pub const fn with_own_reviewer(mut self, own: bool) -> Self {
        self.own_reviewer = own;
        self
    }

    /// The same, where a caller reads the note of a step before its first attempt: [`Turn::read`].
    #[must_use]
    pub const fn with_notes(mut self, reads: bool) -> Self {
        self.reads_notes = reads;
        self
    }

    /// The limits it decides by.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The execution of that id, if it is here.
    #[must_use]
    pub fn execution(&self, id: ExecutionId) -> Option<&Execution> {
        self.executions.get(&id).map(|slot| &slot.machine)
    }

    /// All executions that are here, oldest first.
    pub fn executions(&self) -> impl Iterator<Item = &Execution> {
        self.executions.values().map(|slot| &slot.machine)
    }

    /// The queue of that branch, if it is here.
    #[must_use]
    pub fn queue(&self, target: &Branch) -> Option<&MergeQueue> {
        self.queues.get(&QueueId::of(target)).map(|slot| &slot.machine)
    }

    /// The queue of that id, if it is here.
    #[must_use]
    pub fn queue_of(&self, id: QueueId) -> Option<&MergeQueue> {
        self.queues.get(&id).map(|slot| &slot.machine)
    }

    /// The permits.
    #[must_use]
    pub const fn dispatcher(&self) -> &Dispatcher {
        &self.dispatcher
    }

    /// Number of reports that came late.
    #[must_use]
    pub const fn stale_reports(&self) -> u64 {
        self.stale
    }

    /// From now on no attempt is granted: what runs may end, nothing new starts. The state of no execution changes.
    pub const fn drain(&mut self) {
        self.granting = false;
    }

    /// Whether nothing more happens to an execution by itself: it has ended, or waits for a person, for another
    /// execution, or for something said in [`Execution::waiting_for`]. To be asked after a turn.
    #[must_use]
    pub fn at_rest(&self, id: ExecutionId) -> bool {
        let now = self.last_tick;
        let Some(execution) = self.execution(id) else { return true };
        if execution.ended().is_some() {
            return true;
        }
        let queues = [QueueId::of(&Branch::integration(id)), QueueId::of(execution.target())];
        // Also one without a line yet, that first has to look where its target is.
        let goes_on = |request| {
            let of = queues.iter().filter_map(|queue| self.queues.get(queue)).map(|slot| &slot.machine);
            of.into_iter().any(|queue| queue.contains(request) && queue.paused().is_none())
        };
        let busy_queue = execution.open_requests().any(|(_, request)| goes_on(request));
        let waits = |place: Place| {
            self.has_agent(place) || matches!(execution.demand(place.step, now), execution::Demand::Wants { .. })
        };
        let busy = execution.candidates().any(|step| waits(Place { execution: id, step }));
        let open = self.in_flight.contains_key(&Subject::Open(id)) || queues.iter().any(|queue| self.inspects(*queue));
        !(busy_queue || busy || open || execution.next_of_steps(now).is_some())
    }

    /// Whether an agent works for a step, or is being stopped.
    #[must_use]
    pub fn has_agent(&self, place: Place) -> bool {
        self.stopping.contains_key(&place) || self.in_flight.contains_key(&Subject::Step(place))
    }

    /// Whether a queue first has to look at what was merged last. One that is stopped does so when it goes on.
    fn inspects(&self, id: QueueId) -> bool {
        self.inspecting.contains(&id) && self.queues.get(&id).is_some_and(|slot| slot.machine.paused().is_none())
    }

    /// Whether an execution is here.
    #[must_use]
    pub fn holds_execution(&self, id: ExecutionId) -> bool {
        self.executions.contains_key(&id)
    }

    /// Takes up an execution from its log. What was in flight is wanted again, and is in the next turn.
    ///
    /// # Errors
    ///
    /// [`LoadError`] if no machine ever recorded such a log. Nothing was taken up then.
    pub fn load_execution(
        &mut self,
        events: impl IntoIterator<Item = execution::Event>,
    ) -> Result<ExecutionId, LoadError> {
        let mut events = events.into_iter();
        let Some(execution::Event::Submitted(submitted)) = events.next() else { return Err(LoadError::NoBeginning) };
        let mut machine = Execution::new(&submitted);
        let mut version = Version(1);
        for event in events {
            version.0 += 1;
            machine.fits(&event).map_err(|reason| LoadError::Misfit { version, reason })?;
            machine.apply(&event);
            self.note_disk(&event);
        }
        let id = machine.id();
        for (pool, wait) in machine.service_waits(Timestamp(i64::MIN)) {
            self.dispatcher.services_mut().wait(pool, wait.until);
        }
        self.watch(&machine);
        for (_, request) in machine.open_requests() {
            self.requests.insert(request, id);
        }
        self.dirty.executions.insert(id);
        self.taken_up.push(id);
        self.executions.insert(id, Slot { machine, version });
        Ok(id)
    }

    /// Gives up the memory of an execution that has ended: whoever asks for it takes it up again from its log, as after a
    /// restart. Says whether it is not here any more: one stays as long as something of it is in flight, or another one
    /// waits for it.
    pub fn forget(&mut self, id: ExecutionId) -> bool {
        let Some(execution) = self.execution(id) else { return true };
        let branch = Branch::integration(id);
        let own = QueueId::of(&branch);
        let of_it = |subject: &Subject| match subject {
            Subject::Open(of) => *of == id,
            Subject::Step(place) => place.execution == id,
            Subject::Queue(queue, _) => *queue == own,
        };
        let open = |other: &Execution| other.ended().is_none();
        let mut watchers = self.watchers.get(&id).into_iter().flatten().filter_map(|other| self.execution(*other));
        let busy = open(execution)
            || watchers.any(open)
            || execution.open_requests().next().is_some()
            || !self.batch.is_empty()
            || self.taken_up.contains(&id)
            || self.dirty.executions.contains(&id)
            || self.dirty.steps.iter().any(|place| place.execution == id)
            || self.in_flight.keys().any(of_it)
            || self.stopping.keys().any(|place| place.execution == id)
            || self.queues.get(&own).is_some_and(|slot| slot.machine.lines().len() > 0)
            || self.executions().any(|other| *other.target() == branch);
        if busy {
            return false;
        }
        let after = execution.after().map(|(after, _)| after);
        let needed = execution.plan().externals().iter().map(|(external, _)| external.execution).chain(after);
        let needed: BTreeSet<ExecutionId> = needed.collect();
        for step in (0..execution.steps().len()).map(StepIx::at) {
            let place = Place { execution: id, step };
            self.dispatcher.update(place, Demand::Idle);
            self.dispatcher.claim(place, None, false);
            self.halted.remove(&place);
            self.read.remove(&place);
        }
        for of in needed {
            if let Some(watchers) = self.watchers.get_mut(&of) {
                watchers.remove(&id);
                if watchers.is_empty() {
                    self.watchers.remove(&of);
                }
            }
        }
        self.requests.retain(|_, of| *of != id);
        self.queues.remove(&own);
        self.lines_in_flight.remove(&own);
        self.inspecting.remove(&own);
        self.executions.remove(&id).is_some()
    }

    /// All share the disk.
    fn note_disk(&mut self, event: &execution::Event) {
        if let execution::Event::AttemptEnded { end, next, .. } = event
            && let execution::Outcome::DiskLow { until, .. } = end.outcome
        {
            let since = if let execution::Next::Run { since, .. } = next { *since } else { Timestamp::default() };
            self.dispatcher.wait_for_disk(Wait { until, since });
        }
    }

    /// Takes up a queue from its log.
    pub fn load_queue(&mut self, events: impl IntoIterator<Item = merge_queue::Event>) -> Option<QueueId> {
        let mut events = events.into_iter();
        let Some(merge_queue::Event::Opened { target, head }) = events.next() else { return None };
        let id = QueueId::of(&target);
        let mut machine = MergeQueue::new(target, head);
        let mut version = Version(1);
        for event in events {
            machine.apply(&event);
            version.0 += 1;
        }
        self.dirty.queues.insert(id);
        // What an execution that still runs believes to be on the target is proved, before anything is built on it.
        let target = machine.target();
        let concerns =
            |e: &Execution| e.ended().is_none() && (e.target() == target || Branch::integration(e.id()) == *target);
        if machine.last_merged().is_some() && self.executions().any(concerns) {
            self.inspecting.insert(id);
        }
        self.queues.insert(id, Slot { machine, version });
        Some(id)
    }

    /// Takes in what happened. Decided, applied in memory and noted for the next turn.
    ///
    /// # Errors
    ///
    /// [`Rejected`]: nothing changed. Stale reports are counted.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Result<(), Rejected> {
        let result = self.take_in(input, now);
        if result.as_ref().is_err_and(Rejected::is_stale) {
            self.stale += 1;
        }
        result
    }

    fn take_in(&mut self, input: Input, now: Timestamp) -> Result<(), Rejected> {
        match input {
            Input::Submit(submitted) => self.submit(submitted, now),
            Input::Command(id, execution::Command::Cancel { step, .. }) => {
                let committing = self.committing(id);
                self.execution_input(id, &execution::Command::Cancel { step, committing }.into(), now)
            }
            Input::Command(id, execution::Command::Decide { hold, answer, .. }) => {
                let committing = self.committing(id);
                self.execution_input(id, &execution::Command::Decide { hold, answer, committing }.into(), now)
            }
            Input::Command(id, command) => {
                if let execution::Command::AddSteps(added) = &command {
                    self.check_cycles(id, added.steps())?;
                }
                self.execution_input(id, &command.into(), now)
            }
            Input::Report(id, execution::Report::Briefed { step, briefing }) => {
                let place = Place { execution: id, step };
                if self.reading.remove(&place) {
                    self.read.insert(place);
                    self.dirty.steps.insert(place);
                }
                self.execution_input(id, &execution::Input::Report(execution::Report::Briefed { step, briefing }), now)
            }
            Input::Report(id, report) => {
                let answers = match &report {
                    execution::Report::Ended { step, .. } => Some(Subject::Step(Place { execution: id, step: *step })),
                    execution::Report::Opened(_) | execution::Report::OpenFailed(_) => Some(Subject::Open(id)),
                    _ => None,
                };
                let report = self.timed(id, report, now);
                self.execution_input(id, &execution::Input::Report(report), now)?;
                self.answered(answers);
                Ok(())
            }
            Input::Queue(id, input) => {
                let beside = |kind| {
                    let subject = Subject::Queue(id, LineNo(0));
                    let flying = self.in_flight.get(&subject);
                    matches!(flying, Some(Effect::Queue(_, effect)) if effect.kind == kind).then_some(subject)
                };
                let answers = match &input {
                    merge_queue::Input::Report(of, _) => Some(Subject::Queue(id, of.line)),
                    // News of the target nobody asked for answers nothing else that is in flight.
                    merge_queue::Input::Seen(_) => beside(EffectKind::Look),
                    merge_queue::Input::Inspected { .. } => beside(EffectKind::Inspect),
                    _ => None,
                };
                let input = self.completed(id, input);
                self.queue_input(id, &input, now)?;
                if matches!(input, merge_queue::Input::Inspected { .. }) {
                    self.inspecting.remove(&id);
                    self.dirty.queues.insert(id);
                }
                self.answered(answers);
                Ok(())
            }
            Input::Answered(place, attempt) => {
                self.heard(place, attempt, now);
                Ok(())
            }
            Input::Stopped(place) => {
                if self.stopping.remove(&place).is_some() {
                    self.dispatcher.stopped(place);
                    self.dirty.steps.insert(place);
                }
                Ok(())
            }
        }
    }

    /// Only the engine knows on which start of the machine it is.
    fn completed(&self, id: QueueId, input: merge_queue::Input) -> merge_queue::Input {
        match input {
            merge_queue::Input::Inspected { state, .. } => {
                let before = self.queues.get(&id).and_then(|slot| slot.machine.boot());
                let rebooted = before.is_some() && self.boot.is_some() && before != self.boot.as_deref();
                merge_queue::Input::Inspected { state, rebooted }
            }
            input => input,
        }
    }

    fn answered(&mut self, subject: Option<Subject>) {
        if let Some(subject) = subject {
            self.in_flight.remove(&subject);
            if let Subject::Open(id) = subject {
                self.dirty.executions.insert(id);
            }
        }
    }

    fn submit(&mut self, submitted: Box<execution::Submitted>, now: Timestamp) -> Result<(), Rejected> {
        let id = submitted.id;
        if self.executions.contains_key(&id) {
            return Err(Rejected::Duplicate(id));
        }
        let machine = Execution::new(&submitted);
        self.watch(&machine);
        let needed: Vec<_> = machine.plan().externals().iter().map(|(external, _)| *external).collect();
        self.executions.insert(id, Slot { machine, version: Version(0) });
        self.record_execution(id, vec![execution::Event::Submitted(submitted)], now);
        for (n, external) in needed.iter().enumerate() {
            let state = self.execution(external.execution).map(|e| e.need_state(external.step)).unwrap_or_default();
            let report = execution::Report::Need { external: u32::try_from(n).unwrap_or(u32::MAX), state };
            self.execution_input(id, &execution::Input::Report(report), now)?;
        }
        if let Some((after, _)) = self.execution(id).and_then(Execution::after) {
            let state = self.execution(after).map(|e| e.need_state(None)).unwrap_or_default();
            self.execution_input(id, &execution::Input::Report(execution::Report::Predecessor(state)), now)?;
        }
        self.settle(id, now);
        self.tell_waits(id, now);
        Ok(())
    }

    fn watch(&mut self, execution: &Execution) {
        let needed = execution.plan().externals().iter().map(|(external, _)| external.execution);
        for of in needed.chain(execution.after().map(|(after, _)| after)) {
            self.watchers.entry(of).or_default().insert(execution.id());
        }
    }

    fn committing(&self, id: ExecutionId) -> Vec<RequestId> {
        let Some(execution) = self.execution(id) else { return Vec::new() };
        let queues = [Branch::integration(id), execution.target().clone()];
        queues.iter().filter_map(|branch| self.queue(branch)).flat_map(MergeQueue::committing).collect()
    }

    /// Checks every machine, and the permits. For tests and simulations; costs as much as the state is large.
    ///
    /// # Errors
    ///
    /// The invariant that is broken.
    pub fn check(&self) -> Result<(), String> {
        for execution in self.executions() {
            execution::invariants::check(execution, &self.limits).map_err(|e| format!("{}: {e}", execution.id()))?;
        }
        for slot in self.queues.values() {
            slot.machine.check()?;
        }
        self.dispatcher.check(&self.limits)
    }
}

impl From<execution::Command> for execution::Input {
    fn from(command: execution::Command) -> Self {
        Self::Command(command)
    }
}
