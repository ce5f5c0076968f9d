//! What to append, and, once that is durable, what to start and what to stop.

use super::{Effect, Engine, Event, QueueId, Subject};
use crate::dispatcher::Place;
use crate::execution::{self, Demand, Execution};
use crate::id::ExecutionId;
use crate::merge_queue::{self, EffectKind, LineNo};
use crate::store::{LogId, LogKind, Summary, TaskRow, Version};
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// The outcome of all inputs since the last turn. Append first; then start and stop.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Turn {
    /// What to append, as one batch.
    pub appends: Vec<LogAppend>,
    /// What to start, once the batch is durable.
    pub start: Vec<Effect>,
    /// What to stop. For an attempt, [`super::Input::Stopped`] is awaited.
    pub stop: Vec<Effect>,
    /// Steps that would start now, and whose note is to be read first: [`execution::Report::Briefed`] is awaited, and
    /// the step starts then, by what it says. After a crash they are read again.
    pub read: Vec<Place>,
    /// Attempts in flight that are to end now, because a budget is used up. Their reports are wanted.
    pub halt: Vec<Effect>,
}

/// New facts of one log.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LogAppend {
    /// Which log.
    pub log: LogId,
    /// The version it has in the store.
    pub expected: Version,
    /// The facts, in order.
    pub events: Vec<Event>,
    /// The execution's row in lists, as of now.
    pub summary: Option<Summary>,
    /// Tasks that came to be.
    pub tasks: Vec<TaskRow>,
}

impl Engine {
    /// Grants what permits allow, and gives all that has to be done since the last turn.
    pub fn turn(&mut self, now: Timestamp) -> Turn {
        let taken_up = std::mem::take(&mut self.taken_up);
        // Whoever starts nothing does not go on with what people were asked for either.
        let granting = self.granting;
        for id in taken_up.iter().filter(|_| granting) {
            // It is total on what it is told; one that has ended has nothing to say to it.
            let _ = self.execution_input(*id, &execution::Input::Report(execution::Report::TakenUp), now);
        }
        self.tick(now);
        let mut turn = Turn::default();
        self.look(now, &mut turn);
        self.reclaim_chains(&taken_up, now);
        while let Some(place) = self.dispatcher.next(&self.limits, now).filter(|_| self.granting) {
            if self.is_unread(place) {
                // No more at once than may start: of a long queue only what is next is read.
                if self.reading.len() + self.dispatcher.runs() as usize >= self.limits.runs as usize {
                    break;
                }
                self.reading.insert(place);
                self.dispatcher.update(place, Demand::Idle);
                turn.read.push(place);
                continue;
            }
            let granted = self.execution_input(place.execution, &execution::Input::Grant(place.step), now);
            if granted.is_err() {
                // Its demand was out of date; it is asked again when it changes.
                self.dispatcher.update(place, Demand::Idle);
            }
            self.look(now, &mut turn);
        }
        // Who got no permit is asked again when there is one: what counts is what stands there when it starts.
        self.read.clear();
        turn.appends = self.take_batch(now);
        turn
    }

    /// Whether a step may not start before its note was read.
    fn is_unread(&self, place: Place) -> bool {
        let awaits = |execution: &Execution| execution.awaits_note(place.step);
        self.reads_notes && !self.read.contains(&place) && self.execution(place.execution).is_some_and(awaits)
    }

    /// Chains that were open when the process before this one died keep their permits before new ones begin.
    fn reclaim_chains(&mut self, taken_up: &[ExecutionId], now: Timestamp) {
        for id in taken_up {
            let Some(execution) = self.executions.get(id).map(|slot| &slot.machine) else { continue };
            for step in execution.candidates() {
                let open = match execution.demand(step, now) {
                    Demand::Open { yields } => !yields,
                    Demand::Wants { chain, order, .. } => chain && !order.fresh,
                    Demand::Idle | Demand::Live { .. } => false,
                };
                if open {
                    self.dispatcher.reclaim(Place { execution: *id, step }, &self.limits);
                }
            }
        }
    }

    /// When to take a turn although nothing happens.
    #[must_use]
    pub fn next_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let executions = self.executions().filter_map(|e| e.next_deadline(now));
        let queues = self.queues.values().filter_map(|slot| slot.machine.next_deadline(now));
        executions.chain(queues).chain(self.dispatcher.next_deadline(now)).min()
    }

    fn tick(&mut self, now: Timestamp) {
        let since = std::mem::replace(&mut self.last_tick, now);
        if since == now {
            return;
        }
        let mut settle = Vec::new();
        for (id, slot) in &self.executions {
            if slot.machine.ended().is_none() {
                self.dirty.steps.extend(slot.machine.due(since, now).map(|step| Place { execution: *id, step }));
                settle.push(*id);
            }
        }
        for (id, slot) in &self.queues {
            if slot.machine.lines().len() > 0 {
                self.dirty.queues.insert(*id);
            }
        }
        for id in settle {
            self.settle(id, now);
        }
    }

    /// Looks at all that may have changed: demands for the dispatcher, effects for the caller.
    fn look(&mut self, now: Timestamp, turn: &mut Turn) {
        while let Some(id) = self.dirty.executions.pop_first() {
            let Some(execution) = self.execution(id) else { continue };
            let places: Vec<Place> = execution.candidates().map(|step| Place { execution: id, step }).collect();
            let wanted = execution.wants_open().then_some(Effect::Open(id));
            self.dirty.steps.extend(places);
            self.diff(Subject::Open(id), wanted, turn);
        }
        while let Some(place) = self.dirty.steps.pop_first() {
            self.look_at_step(place, now, turn);
        }
        while let Some(id) = self.dirty.queues.pop_first() {
            self.look_at_queue(id, now, turn);
        }
    }

    /// One effect for each line and one beside them. Before all others, what was merged last is looked at again.
    fn look_at_queue(&mut self, id: QueueId, now: Timestamp, turn: &mut Turn) {
        let Some(slot) = self.queues.get(&id) else { return };
        let inspect = merge_queue::Effect { line: LineNo(0), kind: EffectKind::Inspect, attempt: 0 };
        let flying = self.lines_in_flight.get(&id).cloned().unwrap_or_default();
        let begun = flying.iter().filter_map(|line| match self.in_flight.get(&Subject::Queue(id, *line)) {
            Some(Effect::Queue(_, begun)) if slot.machine.goes_on(*begun) => Some(*begun),
            _ => None,
        });
        let wanted: Vec<merge_queue::Effect> = match (self.inspecting.contains(&id), slot.machine.paused()) {
            (true, None) => vec![inspect],
            (true, Some(_)) => Vec::new(),
            (false, _) => begun.chain(slot.machine.effects(now)).collect(),
        };
        let lines: BTreeSet<LineNo> = flying.into_iter().chain(wanted.iter().map(|effect| effect.line)).collect();
        for line in lines {
            let effect = wanted.iter().find(|effect| effect.line == line).map(|effect| Effect::Queue(id, *effect));
            self.diff(Subject::Queue(id, line), effect, turn);
            let flying = self.lines_in_flight.entry(id).or_default();
            if effect.is_some() {
                flying.insert(line)
            } else {
                flying.remove(&line)
            };
        }
    }

    fn look_at_step(&mut self, place: Place, now: Timestamp, turn: &mut Turn) {
        let Some(execution) = self.executions.get(&place.execution).map(|slot| &slot.machine) else { return };
        let wanted = execution.effect(place.step).map(|effect| match effect {
            execution::Effect::Attempt { step, attempt } => Effect::Attempt(Place { step, ..place }, attempt),
            execution::Effect::Open => Effect::Open(place.execution),
        });
        let tier = execution.plan().step(place.step).tier;
        let demand = match execution.demand(place.step, now) {
            Demand::Wants { tier, chain, pool, order } => Demand::Wants { tier, chain, pool: self.login(pool), order },
            other => other,
        };
        // Its permits are not taken yet, but nobody has to be asked for them before its note was read.
        let demand = match demand {
            Demand::Wants { .. } if self.reading.contains(&place) => Demand::Idle,
            demand => demand,
        };
        let held = execution.holds_files(place.step);
        let claim = execution.claim(place.step).filter(|_| held || matches!(demand, Demand::Wants { .. }));
        let stopped = turn.stop.len();
        self.diff(Subject::Step(place), wanted, turn);
        let stops = turn.stop.len() > stopped;
        if stops || self.stopping.contains_key(&place) {
            // Its process is not gone yet: its workspace and its permit are in use.
            let demand = if matches!(demand, Demand::Wants { .. }) { Demand::Idle } else { demand };
            self.dispatcher.update(place, demand);
        } else {
            self.dispatcher.update(place, demand);
        }
        self.dispatcher.claim(place, claim, held);
        if let Some(effect @ Effect::Attempt(_, attempt)) = self.in_flight.get(&Subject::Step(place)).copied()
            && self.execution(place.execution).is_some_and(|e| e.halts(place.step).is_some())
            && self.halted.insert(place, attempt) != Some(attempt)
        {
            turn.halt.push(effect);
        }
        if stops {
            self.stopping.insert(place, tier);
            self.dispatcher.stopping(place, tier);
        }
    }

    fn diff(&mut self, subject: Subject, wanted: Option<Effect>, turn: &mut Turn) {
        let known = self.in_flight.get(&subject).copied();
        if known == wanted {
            return;
        }
        if let Some(effect) = known {
            // It was not answered: an answered effect is not in flight any more.
            self.in_flight.remove(&subject);
            turn.stop.push(effect);
        }
        if let Some(effect) = wanted {
            self.in_flight.insert(subject, effect);
            turn.start.push(effect);
        }
    }

    fn take_batch(&mut self, now: Timestamp) -> Vec<LogAppend> {
        let mut logs: BTreeMap<LogId, LogAppend> = BTreeMap::new();
        for (log, event) in self.batch.drain(..) {
            let append = logs.entry(log).or_insert_with(|| LogAppend {
                log,
                expected: Version(0),
                events: Vec::new(),
                summary: None,
                tasks: Vec::new(),
            });
            append.events.push(event);
        }
        for append in logs.values_mut() {
            let added = append.events.len() as u64;
            match append.log.kind {
                LogKind::Execution => {
                    let id = ExecutionId::new(append.log.id);
                    let slot = self.executions.get_mut(&id).expect("a fact is recorded of an execution that is here");
                    append.expected = slot.version;
                    slot.version.0 += added;
                    append.summary = Some(slot.machine.summary(now));
                    append.tasks = new_tasks(&slot.machine, &append.events);
                }
                LogKind::Queue => {
                    let slot = self
                        .queues
                        .get_mut(&QueueId(append.log.id))
                        .expect("a fact is recorded of a queue that is here");
                    append.expected = slot.version;
                    slot.version.0 += added;
                }
                LogKind::Chains | LogKind::Mail => unreachable!("what others say is no fact of a machine here"),
            }
        }
        logs.into_values().collect()
    }
}

fn new_tasks(execution: &Execution, events: &[Event]) -> Vec<TaskRow> {
    let added: usize = events
        .iter()
        .map(|event| match event {
            Event::Execution(execution::Event::Submitted(submitted)) => submitted.plan.steps().len(),
            Event::Execution(execution::Event::StepsAdded { steps }) => steps.len(),
            Event::Execution(execution::Event::LandingResolution { .. }) => 1,
            _ => 0,
        })
        .sum();
    let first = execution.steps().len() - added;
    let row = |n: usize| {
        let ix = crate::id::StepIx::at(n);
        TaskRow { task: execution.task(ix), ix, step: execution.plan().step(ix).id.clone() }
    };
    (first..execution.steps().len()).map(row).collect()
}

impl Execution {
    /// Its row in lists.
    #[must_use]
    pub fn summary(&self, now: Timestamp) -> Summary {
        Summary {
            execution: self.id(),
            title: self.plan().title.clone(),
            status: self.status().to_owned(),
            open: self.ended().is_none(),
            created: self.created(),
            updated: now,
            counts: self.counts(),
            request_id: self.plan().request_id.clone(),
            fingerprint: self.plan().fingerprint.clone(),
        }
    }
}
