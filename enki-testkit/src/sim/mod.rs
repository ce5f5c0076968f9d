//! The real machines in a simulated world: one random seed gives plans, outcomes, delays, faults, and what people do.
//!
//! A history has two phases. In the first anything of `reliability` section 2 may happen: crashes before and after each
//! append, takeovers by a second orchestrator while the first still runs, lost answers, duplicate and late reports,
//! flaky gates, conflicts, people who move, reset or delete branches, clocks that jump. In the second nothing fails any
//! more and a person answers whatever is asked: then every execution has to end (R8).
//!
//! What drives is [`enki_core::engine::Engine`] as the production driver uses it; what it drives are the fakes of this
//! crate, which keep the contracts of the traits. Time is virtual: nothing sleeps, and a history takes well under a
//! millisecond for each simulated minute. The same seed gives the same history, byte for byte (R13).

mod disk;
mod faults;
mod heal;
mod history;
mod host;
mod oracle;
mod perform;
mod plans;
mod rng;

pub use faults::Faults;
pub use history::{Failure, History, simulate, simulate_aloud};
pub use oracle::{Facts, Oracle};
pub use rng::Rng;

use crate::fakes::{FakeRefinery, FakeRepository, FakeWorkspaces};
use disk::Disk;
use enki_core::branch::Branch;
use enki_core::dispatcher::Place;
use enki_core::engine::{Effect, Input, QueueId, QueueJob};
use enki_core::execution::{self, Execution};
use enki_core::id::{AttemptNo, ExecutionId};
use enki_core::limits::Limits;
use enki_core::merge_queue::{self, MergeQueue};
use enki_core::store::LogId;
use enki_core::time::Timestamp;
use host::{Host, HostId};
use perform::Attempt;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What a history was like.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is a number of things that happened")]
pub struct Report {
    pub executions: u64,
    pub steps: u64,
    pub done: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub events: u64,
    pub appends: u64,
    pub crashes: u64,
    pub power_losses: u64,
    pub forgotten_moves: u64,
    pub takeovers: u64,
    pub fenced: u64,
    pub stale_reports: u64,
    pub attempts: u64,
    pub merges: u64,
    pub landing_conflicts: u64,
    pub resolved_landings: u64,
    pub commands: u64,
    pub person_changes: u64,
    pub clock_jumps: u64,
}

impl Report {
    /// Adds up two.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            executions: self.executions + other.executions,
            steps: self.steps + other.steps,
            done: self.done + other.done,
            failed: self.failed + other.failed,
            cancelled: self.cancelled + other.cancelled,
            events: self.events + other.events,
            appends: self.appends + other.appends,
            crashes: self.crashes + other.crashes,
            power_losses: self.power_losses + other.power_losses,
            forgotten_moves: self.forgotten_moves + other.forgotten_moves,
            takeovers: self.takeovers + other.takeovers,
            fenced: self.fenced + other.fenced,
            stale_reports: self.stale_reports + other.stale_reports,
            attempts: self.attempts + other.attempts,
            merges: self.merges + other.merges,
            landing_conflicts: self.landing_conflicts + other.landing_conflicts,
            resolved_landings: self.resolved_landings + other.resolved_landings,
            commands: self.commands + other.commands,
            person_changes: self.person_changes + other.person_changes,
            clock_jumps: self.clock_jumps + other.clock_jumps,
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Transcript {
    Yes,
    No,
}

/// What happens at a moment.
#[derive(Debug)]
enum Task {
    /// An answer reaches an orchestrator.
    Deliver(HostId, Input),
    /// An orchestrator looks at the time.
    Wake(HostId),
    /// An attempt goes one stage on.
    Attempt(HostId, Box<Attempt>),
    /// An agent that was asked to stop is gone.
    Gone(HostId, Box<Attempt>),
    /// A mechanism does its work for a queue.
    Mechanism(HostId, QueueId, merge_queue::Effect, Box<QueueJob>),
    /// The integration branch is made.
    Open(HostId, ExecutionId),
    /// A person does something.
    Person,
    /// Something goes wrong.
    Chaos,
    /// An orchestrator starts after a crash.
    Restart,
}

/// An agent's process.
#[derive(Clone, Debug)]
struct Process {
    attempt: AttemptNo,
    host: HostId,
}

struct Simulation {
    history: History,
    rng: Rng,
    faults: Faults,
    healing: bool,
    /// Milliseconds since the beginning, which only grow.
    elapsed: i64,
    /// What the wall clock shows more than that.
    skew: i64,
    agenda: BTreeMap<(i64, u64), Task>,
    numbered: u64,
    limits: Limits,
    disk: Disk,
    repository: FakeRepository,
    refinery: FakeRefinery,
    workspaces: FakeWorkspaces,
    processes: BTreeMap<Place, Process>,
    /// The one that holds the lease, unless it crashed, and those that do not know yet that they lost it.
    hosts: BTreeMap<HostId, Host>,
    next_host: u64,
    submitted: u64,
    /// Branches that a person deleted, and where they were.
    lost_heads: BTreeMap<Branch, enki_core::id::CommitId>,
    /// Moves of branches that a loss of power took, and that are to be made again.
    lost_moves: BTreeMap<Branch, enki_core::id::CommitId>,
    /// Those of them that nobody made again before the last execution ended, and the process died: nobody looks then.
    forgotten_moves: BTreeSet<Branch>,
    /// Starts of the machine.
    boots: u64,
    oracle: Oracle,
    report: Report,
    transcript: Option<Vec<String>>,
}

/// More events than any history needs; beyond, something goes round in circles (R8).
const TOO_MANY: u64 = 40_000;

impl Simulation {
    fn new(history: &History, transcript: Transcript) -> Self {
        let mut rng = Rng::new(history.seed);
        let mut faults = Faults::draw(&mut rng);
        for name in &history.without {
            if let Some(often) = faults.by_name(name) {
                *often = 0;
            }
        }
        let files = [("README.md", "first\n"), ("shared.txt", "first\n")];
        let repository = FakeRepository::with_files(&target(), &files);
        let mut limits = Limits::default();
        limits.max_batch = 1 + u32::try_from(rng.below(4)).unwrap_or(0);
        limits.adaptive_batch = rng.chance(300);
        limits.window = 1 + u32::try_from(rng.below(3)).unwrap_or(0);
        if rng.chance(300) {
            limits.runs = 1 + u32::try_from(rng.below(4)).unwrap_or(0);
            limits.runs_by_tier = [limits.runs, 2, 1];
            limits.chains = 1 + u32::try_from(rng.below(3)).unwrap_or(0);
        }
        Self {
            history: history.clone(),
            faults,
            healing: false,
            elapsed: 0,
            skew: 1_700_000_000_000,
            agenda: BTreeMap::new(),
            numbered: 0,
            limits,
            disk: Disk::default(),
            refinery: FakeRefinery::new(repository.clone()),
            workspaces: FakeWorkspaces::new(repository.clone()),
            repository,
            processes: BTreeMap::new(),
            hosts: BTreeMap::new(),
            next_host: 1,
            submitted: 0,
            lost_heads: BTreeMap::new(),
            lost_moves: BTreeMap::new(),
            forgotten_moves: BTreeSet::new(),
            boots: 0,
            oracle: Oracle::default(),
            report: Report::default(),
            transcript: (transcript == Transcript::Yes).then(Vec::new),
            rng,
        }
    }

    fn run(mut self) -> (Result<Report, Failure>, Option<Vec<String>>) {
        let history = self.history.clone();
        let result = self.live().map_err(|broken| Failure { history, broken });
        if let Err(failure) = &result {
            self.note(|| failure.broken.clone());
        }
        (result.map(|()| self.report), self.transcript)
    }

    fn live(&mut self) -> Result<(), String> {
        let faults = self.faults.clone();
        self.note(|| format!("{faults:?}"));
        self.start_host()?;
        self.after(0, Task::Person);
        if self.faults.crash_any_time + self.faults.takeover + self.faults.clock_jump > 0 {
            self.after(30_000, Task::Chaos);
        }
        while let Some(entry) = self.agenda.first_entry() {
            let (at, _) = *entry.key();
            if at > self.history.turmoil {
                break;
            }
            let task = entry.remove();
            self.step(at, task)?;
        }
        self.heal()?;
        self.finish()
    }

    fn step(&mut self, at: i64, task: Task) -> Result<(), String> {
        self.elapsed = self.elapsed.max(at);
        self.report.events += 1;
        if self.report.events > TOO_MANY {
            return Err(format!("R8: it goes on and on; next would be {task:?}"));
        }
        let (now, elapsed) = (self.now(), self.elapsed);
        self.note(|| format!("{elapsed:>9} {now}: {}", describe(&task)));
        match task {
            Task::Deliver(host, input) => self.deliver(host, input),
            Task::Wake(host) => self.pump(host),
            Task::Attempt(host, attempt) => self.attempt_goes_on(host, attempt),
            Task::Gone(host, attempt) => self.agent_is_gone(host, *attempt),
            Task::Mechanism(host, queue, effect, job) => self.mechanism(host, queue, effect, &job),
            Task::Open(host, execution) => self.open(host, execution),
            Task::Person => self.person(),
            Task::Chaos => self.chaos(),
            Task::Restart => self.restart(),
        }
    }

    /// The wall clock.
    const fn now(&self) -> Timestamp {
        Timestamp(self.elapsed.saturating_add(self.skew))
    }

    fn after(&mut self, delay: i64, task: Task) {
        self.numbered += 1;
        self.agenda.insert((self.elapsed.saturating_add(delay), self.numbered), task);
    }

    /// Some time: mostly short, sometimes long.
    fn some_time(&mut self, usual: u64) -> i64 {
        let slow = self.rng.chance(self.faults.slow_backend);
        let most = if slow { usual * 50 } else { usual };
        i64::try_from(1 + self.rng.below(most)).unwrap_or(1)
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(transcript) = &mut self.transcript {
            transcript.push(line());
        }
    }

    /// All is over: the last look.
    fn finish(&mut self) -> Result<(), String> {
        for host in self.hosts.values() {
            self.report.stale_reports += host.engine.stale_reports();
        }
        self.oracle.tally(&mut self.report);
        self.report.appends = self.disk.appends;
        self.replay_equals()?;
        if let Some((place, process)) = self.processes.first_key_value() {
            return Err(format!("R11: an agent outlived its execution: {place:?} {process:?}"));
        }
        let lost = self.lost_moves.keys().cloned().collect();
        self.oracle.at_the_end(&self.repository, &lost, &self.forgotten_moves)
    }

    /// The state of the living orchestrator is the fold of its logs (I7, R9).
    fn replay_equals(&self) -> Result<(), String> {
        let Some(host) = self.hosts.values().find(|host| host.epoch == self.disk.epoch) else { return Ok(()) };
        for live in host.engine.executions() {
            let folded = fold(self.disk.execution(LogId::execution(live.id()))?);
            if folded.as_ref() != Some(live) {
                return Err(format!("I7: {} differs from the fold of its log:\n{live:?}\n{folded:?}", live.id()));
            }
            for branch in [Branch::integration(live.id()), live.target().clone()] {
                let Some(live) = host.engine.queue(&branch) else { continue };
                let folded = fold_queue(self.disk.queue(QueueId::of(&branch).log())?);
                if folded.as_ref() != Some(live) {
                    return Err(format!("I7: queue {branch} differs from the fold of its log:\n{live:?}\n{folded:?}"));
                }
            }
        }
        Ok(())
    }
}

fn fold(events: Vec<execution::Event>) -> Option<Execution> {
    let mut events = events.into_iter();
    let Some(execution::Event::Submitted(submitted)) = events.next() else { return None };
    let mut machine = Execution::new(&submitted);
    events.for_each(|event| machine.apply(&event));
    Some(machine)
}

fn fold_queue(events: Vec<merge_queue::Event>) -> Option<MergeQueue> {
    let mut events = events.into_iter();
    let Some(merge_queue::Event::Opened { target, head }) = events.next() else { return None };
    let mut machine = MergeQueue::new(target, head);
    events.for_each(|event| machine.apply(&event));
    Some(machine)
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("history", &self.history)
            .field("elapsed", &self.elapsed)
            .finish_non_exhaustive()
    }
}

/// A task as one line, the same in every run.
fn describe(task: &Task) -> String {
    match task {
        Task::Attempt(host, attempt) => format!("{host:?} {}", attempt.describe()),
        Task::Gone(host, attempt) => format!("{host:?} {} is gone", attempt.describe()),
        Task::Mechanism(host, queue, effect, _) => format!("{host:?} {} {effect:?}", queue.log()),
        other => format!("{other:?}"),
    }
}

fn target() -> Branch {
    "main".parse().expect("a branch name")
}

/// An effect as one line.
fn name(effect: &Effect) -> String {
    format!("{effect:?}")
}
