//! A command while nobody drives: the machines are taken from the store, decide, and what they decide is appended. No
//! agent starts; whoever drives next takes it up.

use crate::error::CliError;
use crate::exit::Exit;
use crate::look;
use crate::steer::{Decides, Make, state_in};
use enki_core::branch::Branch;
use enki_core::engine::{Engine, Input, LogAppend, QueueId};
use enki_core::id::ExecutionId;
use enki_core::limits::Limits;
use enki_core::record;
use enki_core::store::{Append, Holder, Lease, LogId, TaskStore};
use enki_core::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// The machines of a project nobody drives.
#[derive(Debug)]
pub(crate) struct Offline {
    store: Arc<dyn TaskStore>,
    engine: Engine,
    lease: Lease,
    clock: fn() -> Timestamp,
}

impl Offline {
    /// Takes the lease and loads all that is open. The caller holds the project lock.
    pub(crate) async fn open(
        store: Arc<dyn TaskStore>,
        holder: &Holder,
        limits: Limits,
        clock: fn() -> Timestamp,
    ) -> Result<Self, CliError> {
        let now = clock();
        let lease = store.acquire("project", holder, now, now.plus(Duration::from_secs(30))).await?;
        let mut engine = Engine::new(limits);
        engine.drain();
        let mut offline = Self { store, engine, lease, clock };
        for summary in offline.store.list(&look::listed(true, u32::MAX)).await? {
            offline.load(summary.execution).await?;
        }
        Ok(offline)
    }

    /// Gives the lease back.
    pub(crate) async fn close(self) -> Result<(), CliError> {
        Ok(self.store.release(self.lease).await?)
    }

    /// Loads an execution with what it needs.
    async fn load(&mut self, id: ExecutionId) -> Result<(), CliError> {
        let mut wanted = vec![id];
        while let Some(id) = wanted.pop() {
            if self.engine.holds_execution(id) {
                continue;
            }
            let events = look::events(self.store.as_ref(), id).await?;
            if events.is_empty() {
                continue;
            }
            self.engine.load_execution(events.into_iter().map(|logged| logged.event)).map_err(|error| {
                let log = LogId::execution(id);
                let message = format!("log {log} cannot be read at event {}: {error}", error.version().0);
                CliError::new(Exit::Store, message).hint("keep the file; backups lie beside it as enki.db.backup-*")
            })?;
            let Some(execution) = self.engine.execution(id) else { continue };
            wanted.extend(execution.plan().externals().iter().map(|(external, _)| external.execution));
            wanted.extend(execution.after().map(|(after, _)| after));
            for branch in [Branch::integration(id), execution.target().clone()] {
                if self.engine.queue(&branch).is_none() {
                    let events = look::queue_events(self.store.as_ref(), QueueId::of(&branch)).await?;
                    self.engine.load_queue(events);
                }
            }
        }
        Ok(())
    }

    /// Appends what was decided. What should be in flight is left to whoever drives next: it follows from the state.
    async fn append(&mut self) -> Result<(), CliError> {
        let now = (self.clock)();
        let appends = self.engine.turn(now).appends;
        if !appends.is_empty() {
            let batch = appends.iter().map(|append| encode(append, now)).collect();
            self.store.append(&self.lease, batch).await?;
        }
        Ok(())
    }
}

impl Decides for Offline {
    async fn decide(&mut self, execution: ExecutionId, make: Make) -> Result<(), CliError> {
        self.load(execution).await?;
        let commands = make(&self.engine)?;
        let now = (self.clock)();
        for command in commands {
            let input = Input::Command(execution, command);
            self.engine.handle(input, now).map_err(enki_core::driver::DriverError::from)?;
        }
        self.append().await
    }

    async fn state(&mut self, execution: ExecutionId) -> Result<(String, Vec<String>), CliError> {
        // Nobody's agents run now.
        Ok((state_in(&self.engine, execution).0, Vec::new()))
    }
}

fn encode(append: &LogAppend, at: Timestamp) -> Append {
    Append {
        log: append.log,
        expected: append.expected,
        at,
        format: record::FORMAT,
        events: append.events.iter().map(record::encode).collect(),
        summary: append.summary.clone(),
        tasks: append.tasks.clone(),
    }
}
