//! An orchestrator: it drives an engine as the production driver does, and may crash at any point of it.

use super::disk::Refused;
use super::oracle::Facts;
use super::perform::{Attempt, Stage};
use super::{Simulation, Task, name};
use enki_core::branch::Branch;
use enki_core::dispatcher::Place;
use enki_core::engine::{Effect, Engine, Input, QueueId, QueueJob, Rejected};
use enki_core::execution::Report;
use enki_core::id::AttemptNo;
use enki_core::merge_queue::{self, MergeQueue};
use enki_core::record;
use enki_core::store::Epoch;
use enki_core::time::Timestamp;
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct HostId(u64);

pub(super) struct Host {
    pub(super) engine: Engine,
    pub(super) epoch: Epoch,
    /// What it started and has neither an answer nor a stop for.
    running: BTreeSet<Effect>,
    /// Attempts it asked to stop.
    pub(super) stopping: BTreeSet<(Place, AttemptNo)>,
    /// Attempts that an earlier orchestrator had started.
    recovered: BTreeSet<Effect>,
    wake: Option<Timestamp>,
}

impl Simulation {
    /// A process starts, takes the lease, and takes up what the logs say. It first kills what an earlier one left.
    pub(super) fn start_host(&mut self) -> Result<(), String> {
        self.disk.epoch = Epoch(self.disk.epoch.0 + 1);
        self.processes.clear();
        self.oracle.restarted();
        let id = HostId(self.next_host);
        self.next_host += 1;
        let mut engine = Engine::new(self.limits.clone()).on_boot(Some(format!("boot {}", self.boots)));
        let recovered = self.disk.recover(&mut engine)?;
        if self.main_is_lost() && self.disk.open().next().is_none() && self.forgotten_moves.insert(super::target()) {
            self.note(|| "          nothing is open: nobody looks whether main has its last move".to_owned());
            self.report.forgotten_moves += 1;
        }
        let host = Host {
            engine,
            epoch: self.disk.epoch,
            running: BTreeSet::new(),
            stopping: BTreeSet::new(),
            recovered,
            wake: None,
        };
        host.engine.check().map_err(|broken| format!("after a start: {broken}"))?;
        self.hosts.insert(id, host);
        self.pump(id)
    }

    pub(super) fn restart(&mut self) -> Result<(), String> {
        if self.leader().is_none() { self.start_host() } else { Ok(()) }
    }

    /// The orchestrator that holds the lease, if one runs.
    pub(super) fn leader(&self) -> Option<HostId> {
        self.hosts.iter().find(|(_, host)| host.epoch == self.disk.epoch).map(|(id, _)| *id)
    }

    /// A process dies. Its agents die with it; what its mechanisms were doing may have been done.
    pub(super) fn crash(&mut self, id: HostId) {
        let Some(host) = self.hosts.remove(&id) else { return };
        self.note(|| format!("{id:?} crashes"));
        self.report.crashes += 1;
        if host.epoch == self.disk.epoch && self.rng.chance(self.faults.power_loss) {
            self.hosts.clear();
            self.lose_power();
        }
        self.report.stale_reports += host.engine.stale_reports();
        self.processes.retain(|_, process| process.host != id);
        if host.epoch == self.disk.epoch {
            let delay = self.some_time(20_000);
            self.after(delay, Task::Restart);
        }
    }

    /// The machine goes down, and the disk forgets the last move of a branch, which is recorded as made.
    fn lose_power(&mut self) {
        self.boots += 1;
        let open: Vec<Branch> = self.disk.open().map(Branch::integration).collect();
        if open.is_empty() {
            return;
        }
        let branch = if self.rng.chance(500) { super::target() } else { self.rng.pick(&open) };
        let Ok(events) = self.disk.queue(QueueId::of(&branch).log()) else { return };
        let mut queue: Option<MergeQueue> = None;
        for event in &events {
            match (&mut queue, event) {
                (None, merge_queue::Event::Opened { target, head }) => {
                    queue = Some(MergeQueue::new(target.clone(), *head));
                }
                (Some(queue), event) => queue.apply(event),
                (None, _) => {}
            }
        }
        let going = queue.filter(|queue| queue.paused().is_none());
        let Some(last) = going.and_then(|queue| queue.last_merged()) else { return };
        if self.repository.head(&branch) == Some(last.commit) {
            self.note(|| format!("          a loss of power takes {branch} back to {}", last.base.short()));
            self.repository.lose_move(&branch, last.base);
            self.lost_moves.insert(branch, last.commit);
            self.report.power_losses += 1;
        }
    }

    pub(super) fn deliver(&mut self, id: HostId, input: Input) -> Result<(), String> {
        if matches!(input, Input::Answered(..)) {
            self.oracle.answered(self.now());
        }
        let now = self.now();
        let Some(host) = self.hosts.get_mut(&id) else { return Ok(()) };
        match &input {
            Input::Report(execution, Report::Ended { step, attempt, .. }) => {
                host.running.remove(&Effect::Attempt(Place { execution: *execution, step: *step }, *attempt));
            }
            Input::Report(execution, Report::Opened(_) | Report::OpenFailed(_)) => {
                host.running.remove(&Effect::Open(*execution));
            }
            Input::Command(execution, _) => self.disk.load(&mut host.engine, *execution, &mut host.recovered)?,
            Input::Submit(submitted) => {
                for (external, _) in submitted.plan.externals() {
                    self.disk.load(&mut host.engine, external.execution, &mut host.recovered)?;
                }
                if let Some((after, _)) = submitted.after {
                    self.disk.load(&mut host.engine, after, &mut host.recovered)?;
                }
                self.disk.load_queue(&mut host.engine, &submitted.target)?;
            }
            _ => {}
        }
        let is_command = matches!(input, Input::Command(..) | Input::Submit(_));
        let told = input.clone();
        match host.engine.handle(input, now) {
            Ok(()) => {}
            Err(Rejected::Execution(_) | Rejected::Cycle(_)) if is_command => {}
            Err(late) if late.is_stale() => {}
            Err(rejected) => return Err(format!("I10: an answer was not understood: {rejected}: {told:?}")),
        }
        host.engine.check().map_err(|broken| format!("{broken}, after {told:?}"))?;
        if self.rng.chance(250) {
            // Several inputs share one turn.
            let delay = self.some_time(20);
            self.after(delay, Task::Wake(id));
            return Ok(());
        }
        self.pump(id)
    }

    /// One turn: append, then start and stop.
    pub(super) fn pump(&mut self, id: HostId) -> Result<(), String> {
        let now = self.now();
        let Some(host) = self.hosts.get_mut(&id) else { return Ok(()) };
        let turn = host.engine.turn(now);
        let epoch = host.epoch;
        host.engine.check().map_err(|broken| format!("{broken}, after a turn"))?;
        if !turn.appends.is_empty() {
            if self.rng.chance(self.faults.crash_before_append) {
                self.crash(id);
                return Ok(());
            }
            match self.disk.append(epoch, &turn.appends) {
                Ok(()) => {}
                Err(Refused::LeaseLost) => {
                    self.report.fenced += 1;
                    self.crash(id);
                    return Ok(());
                }
                Err(Refused::Conflict(broken)) => return Err(format!("R6: {broken}")),
            }
            if self.transcript.is_some() {
                for append in &turn.appends {
                    for event in &append.events {
                        self.note(|| format!("          {} {}", append.log, record::encode(event)));
                    }
                }
            }
            let facts: Vec<Facts<'_>> = turn.appends.iter().map(Facts::from).collect();
            self.oracle.appended(&facts, &self.repository, now)?;
            if self.rng.chance(self.faults.crash_after_append) {
                self.crash(id);
                return Ok(());
            }
        }
        for effect in &turn.stop {
            if turn.start.contains(effect) {
                return Err(format!("{} is started and stopped in one turn", name(effect)));
            }
            self.stop(id, effect);
        }
        for effect in &turn.start {
            if self.rng.chance(self.faults.crash_while_starting) {
                self.crash(id);
                return Ok(());
            }
            self.start(id, effect)?;
        }
        self.sleep(id);
        if self.rng.chance(5) {
            self.replay_equals()?;
        }
        Ok(())
    }

    /// Wakes up when the engine says that the passing of time changes something.
    fn sleep(&mut self, id: HostId) {
        let now = self.now();
        let Some(host) = self.hosts.get_mut(&id) else { return };
        let deadline = host.engine.next_deadline(now);
        if deadline != host.wake {
            host.wake = deadline;
            if let Some(at) = deadline {
                let delay = at.0.saturating_sub(now.0).max(1);
                self.after(delay, Task::Wake(id));
            }
        }
    }

    /// The clock jumped: what was set by it is set anew, as timers on the wall clock are.
    pub(super) fn clock_jumped(&mut self) {
        self.oracle.clock_jumped();
        let hosts: Vec<HostId> = self.hosts.keys().copied().collect();
        for id in hosts {
            if let Some(host) = self.hosts.get_mut(&id) {
                host.wake = None;
            }
            self.after(1, Task::Wake(id));
        }
    }

    fn start(&mut self, id: HostId, effect: &Effect) -> Result<(), String> {
        let Some(host) = self.hosts.get_mut(&id) else { return Ok(()) };
        if !host.running.insert(*effect) && matches!(effect, Effect::Attempt(..)) {
            return Err(format!("I10: {} is started while it runs", name(effect)));
        }
        match effect {
            Effect::Open(execution) => {
                let delay = self.some_time(100);
                self.after(delay, Task::Open(id, *execution));
            }
            Effect::Attempt(place, attempt) => {
                let Some(job) = host.engine.attempt_job(*place, *attempt) else {
                    return Err(format!("{} has no job", name(effect)));
                };
                // What died with its orchestrator is captured as it is and not charged; it is not run again as if
                // nothing had been.
                let recovered = host.recovered.remove(effect);
                let stage = if recovered { Stage::Capture } else { Stage::Workspace };
                let delay = self.some_time(500);
                self.after(delay, Task::Attempt(id, Box::new(Attempt::new(job, stage))));
            }
            Effect::Queue(queue, wanted) => {
                let Some(job) = host.engine.queue_job(*queue, *wanted) else {
                    return Err(format!("{} has no job", name(effect)));
                };
                let usual = match job {
                    QueueJob::Check(..) | QueueJob::CheckBase(..) => 30_000,
                    // Longer than in life: most of what can go wrong goes wrong in here.
                    QueueJob::Publish(..) => 10_000,
                    _ => 200,
                };
                let delay = self.some_time(usual);
                self.after(delay, Task::Mechanism(id, *queue, *wanted, Box::new(job)));
            }
        }
        Ok(())
    }

    fn stop(&mut self, id: HostId, effect: &Effect) {
        let Some(host) = self.hosts.get_mut(&id) else { return };
        host.running.remove(effect);
        if let Effect::Attempt(place, attempt) = effect {
            host.stopping.insert((*place, *attempt));
            // The stages still on the agenda see that they are not wanted; the last of them tells that it is gone. An
            // attempt whose report is under way has none left.
            let waits = self.agenda.values().any(
                |task| matches!(task, Task::Attempt(of, a) if *of == id && a.place() == *place && a.number() == *attempt),
            );
            if !waits {
                self.after(1, Task::Deliver(id, Input::Stopped(*place)));
            }
        }
        // A mechanism cannot be called back: it does its work, and its answer comes late.
    }

    /// Whether the host still wants that attempt.
    pub(super) fn is_stopping(&self, id: HostId, place: Place, attempt: AttemptNo) -> bool {
        self.hosts.get(&id).is_some_and(|host| host.stopping.contains(&(place, attempt)))
    }

    /// An answer on its way; maybe twice.
    pub(super) fn answer(&mut self, id: HostId, input: Input) {
        let delay = self.some_time(50);
        if self.rng.chance(self.faults.duplicate_report) {
            let later = delay + self.some_time(60_000);
            self.after(later, Task::Deliver(id, input.clone()));
        }
        self.after(delay, Task::Deliver(id, input));
    }
}
