//! A command while nobody drives: the machines are taken from the store, decide, and what they decide is appended. No
//! agent starts; whoever drives next takes it up.

use crate::error::CliError;
use crate::exit::Exit;
use crate::look;
use crate::steer::{Decides, Make, state_in};
use enki_core::branch::Branch;
use enki_core::driver::DriverError;
use enki_core::engine::{Engine, Input, LogAppend, QueueId};
use enki_core::execution::Command;
use enki_core::id::ExecutionId;
use enki_core::limits::Limits;
use enki_core::record;
use enki_core::store::{Append, Found, Holder, Lease, LogId, StoreError, TaskStore};
use enki_core::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// The machines of a project as they are stored.
#[derive(Debug)]
pub(crate) struct Shelf {
    /// None as long as nothing was ever submitted.
    store: Option<Arc<dyn TaskStore>>,
    engine: Engine,
}

impl Shelf {
    /// Loads all that is open. Nothing is written.
    pub(crate) async fn open(store: Option<Arc<dyn TaskStore>>, limits: Limits) -> Result<Self, CliError> {
        let mut engine = Engine::new(limits);
        engine.drain();
        let mut shelf = Self { store, engine };
        let open = match &shelf.store {
            Some(store) => store.list(&look::listed(true, u32::MAX)).await?,
            None => Vec::new(),
        };
        for summary in open {
            shelf.load(summary.execution).await?;
        }
        Ok(shelf)
    }

    /// The machines.
    pub(crate) const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What an id may mean.
    pub(crate) async fn find(&self, id: &str) -> Result<Vec<Found>, StoreError> {
        match &self.store {
            Some(store) => store.find(id).await,
            None => Ok(Vec::new()),
        }
    }

    /// Loads an execution with what it needs.
    pub(crate) async fn load(&mut self, id: ExecutionId) -> Result<(), CliError> {
        let Some(store) = self.store.clone() else { return Ok(()) };
        let mut wanted = vec![id];
        while let Some(id) = wanted.pop() {
            if self.engine.holds_execution(id) {
                continue;
            }
            let events = look::events(store.as_ref(), id).await?;
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
                    let events = look::queue_events(store.as_ref(), QueueId::of(&branch)).await?;
                    self.engine.load_queue(events);
                }
            }
        }
        Ok(())
    }
}

/// The machines of a project nobody drives, to be moved by commands.
#[derive(Debug)]
pub(crate) struct Offline {
    store: Arc<dyn TaskStore>,
    shelf: Shelf,
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
        let shelf = Shelf::open(Some(Arc::clone(&store)), limits).await?;
        Ok(Self { store, shelf, lease, clock })
    }

    /// Gives the lease back.
    pub(crate) async fn close(self) -> Result<(), CliError> {
        Ok(self.store.release(self.lease).await?)
    }

    /// The machines.
    pub(crate) const fn shelf(&mut self) -> &mut Shelf {
        &mut self.shelf
    }

    /// Does what somebody wants of an execution. Durable on return.
    pub(crate) async fn command(&mut self, execution: ExecutionId, command: Command) -> Result<(), DriverError> {
        let now = (self.clock)();
        self.shelf.engine.handle(Input::Command(execution, command), now)?;
        self.append().await
    }

    /// Appends what was decided. What should be in flight is left to whoever drives next: it follows from the state.
    async fn append(&mut self) -> Result<(), DriverError> {
        let now = (self.clock)();
        let appends = self.shelf.engine.turn(now).appends;
        if !appends.is_empty() {
            let batch = appends.iter().map(|append| encode(append, now)).collect();
            self.store.append(&self.lease, batch).await?;
        }
        Ok(())
    }
}

impl Decides for Offline {
    async fn decide(&mut self, execution: ExecutionId, make: Make) -> Result<(), CliError> {
        self.shelf.load(execution).await?;
        let commands = make(&self.shelf.engine)?;
        let now = (self.clock)();
        for command in commands {
            let input = Input::Command(execution, command);
            self.shelf.engine.handle(input, now).map_err(DriverError::from)?;
        }
        Ok(self.append().await?)
    }

    async fn state(&mut self, execution: ExecutionId) -> Result<(String, Vec<String>), CliError> {
        // Nobody's agents run now.
        Ok((state_in(&self.shelf.engine, execution).0, Vec::new()))
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
