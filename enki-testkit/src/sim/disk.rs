//! What survives a crash: the logs, in their stored format.

use enki_core::branch::Branch;
use enki_core::dispatcher::Place;
use enki_core::engine::{Effect, Engine, Event, LogAppend, QueueId};
use enki_core::execution;
use enki_core::id::ExecutionId;
use enki_core::merge_queue;
use enki_core::record;
use enki_core::store::{Epoch, LogId};
use std::collections::{BTreeMap, BTreeSet};

/// The durable logs, with the fence that a store keeps: an append of an old epoch is refused as a whole.
#[derive(Debug, Default)]
pub(super) struct Disk {
    logs: BTreeMap<LogId, Vec<String>>,
    /// Executions whose row says that they are open.
    open: BTreeSet<ExecutionId>,
    pub(super) epoch: Epoch,
    pub(super) appends: u64,
}

/// The append was refused, and nothing was written.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Refused {
    /// Another orchestrator took over.
    LeaseLost,
    /// A log is not where the orchestrator thought, although nobody else may write: a defect.
    Conflict(String),
}

impl Disk {
    pub(super) fn append(&mut self, epoch: Epoch, batch: &[LogAppend]) -> Result<(), Refused> {
        if epoch != self.epoch {
            return Err(Refused::LeaseLost);
        }
        for append in batch {
            let actual = self.logs.get(&append.log).map_or(0, Vec::len) as u64;
            if append.expected.0 != actual || append.events.is_empty() {
                let (expected, count) = (append.expected.0, append.events.len());
                let text = format!("{count} events for {} at version {expected}, it is at {actual}", append.log);
                return Err(Refused::Conflict(text));
            }
        }
        for append in batch {
            self.logs.entry(append.log).or_default().extend(append.events.iter().map(record::encode));
            if let Some(row) = &append.summary {
                if row.open {
                    self.open.insert(row.execution);
                } else {
                    self.open.remove(&row.execution);
                }
            }
        }
        self.appends += 1;
        Ok(())
    }

    /// Takes up every open execution and what those need, as the driver does at its start. Gives the attempts that an
    /// earlier orchestrator had started.
    pub(super) fn recover(&self, engine: &mut Engine) -> Result<BTreeSet<Effect>, String> {
        let mut recovered = BTreeSet::new();
        for id in &self.open {
            self.load(engine, *id, &mut recovered)?;
        }
        Ok(recovered)
    }

    /// Takes up one execution with what it needs, unless it is there.
    pub(super) fn load(
        &self,
        engine: &mut Engine,
        id: ExecutionId,
        recovered: &mut BTreeSet<Effect>,
    ) -> Result<(), String> {
        let mut wanted = vec![id];
        while let Some(id) = wanted.pop() {
            if engine.holds_execution(id) {
                continue;
            }
            let log = LogId::execution(id);
            engine.load_execution(self.execution(log)?).map_err(|e| format!("log {log}: {e}"))?;
            let Some(execution) = engine.execution(id) else { continue };
            recovered.extend(execution.outstanding().filter_map(|effect| match effect {
                execution::Effect::Attempt { step, attempt } => {
                    Some(Effect::Attempt(Place { execution: id, step }, attempt))
                }
                execution::Effect::Open => None,
            }));
            wanted.extend(execution.plan().externals().iter().map(|(external, _)| external.execution));
            wanted.extend(execution.after().map(|(after, _)| after));
            for branch in [Branch::integration(id), execution.target().clone()] {
                self.load_queue(engine, &branch)?;
            }
        }
        Ok(())
    }

    pub(super) fn open(&self) -> impl Iterator<Item = ExecutionId> {
        self.open.iter().copied()
    }

    pub(super) fn load_queue(&self, engine: &mut Engine, branch: &Branch) -> Result<(), String> {
        let log = QueueId::of(branch).log();
        if engine.queue(branch).is_none() && self.logs.contains_key(&log) {
            engine.load_queue(self.queue(log)?).ok_or_else(|| format!("log {log} cannot be taken up"))?;
        }
        Ok(())
    }

    pub(super) fn execution(&self, log: LogId) -> Result<Vec<execution::Event>, String> {
        self.events(log, |event| match event {
            Event::Execution(event) => Some(event),
            Event::Queue(_) => None,
        })
    }

    pub(super) fn queue(&self, log: LogId) -> Result<Vec<merge_queue::Event>, String> {
        self.events(log, |event| match event {
            Event::Queue(event) => Some(event),
            Event::Execution(_) => None,
        })
    }

    fn events<T>(&self, log: LogId, of: impl Fn(Event) -> Option<T>) -> Result<Vec<T>, String> {
        let bodies = self.logs.get(&log).map_or(&[][..], Vec::as_slice);
        let decode = |body: &String| {
            let event = record::decode(log.kind, record::FORMAT, body).map_err(|e| format!("R9: {e}: {body}"))?;
            of(event).ok_or_else(|| format!("R9: log {log} has an event of another kind: {body}"))
        };
        bodies.iter().map(decode).collect()
    }
}
