//! Taking up what is stored: start-up and recovery are the same code.

use super::{Driver, DriverError};
use crate::branch::Branch;
use crate::crash_point;
use crate::engine::{Effect, Event, LoadError, QueueId};
use crate::execution::{self, Effect as Wanted};
use crate::id::ExecutionId;
use crate::merge_queue;
use crate::record;
use crate::store::{ListFilter, LogId, Version};

impl Driver {
    /// Loads every open execution, and what those need.
    pub(super) async fn recover(&mut self) -> Result<(), DriverError> {
        crash_point!("recovery.start");
        let open = ListFilter { open: true, limit: u32::MAX, ..ListFilter::default() };
        let mut wanted: Vec<ExecutionId> =
            self.backends.store.list(&open).await?.into_iter().map(|summary| summary.execution).collect();
        while let Some(id) = wanted.pop() {
            if !self.engine.holds_execution(id) {
                wanted.extend(self.load_one(id).await?);
                crash_point!("recovery.row");
            }
        }
        crash_point!("recovery.end");
        Ok(())
    }

    /// Loads one execution with what it needs.
    pub(super) async fn load(&mut self, id: ExecutionId) -> Result<(), DriverError> {
        let mut wanted = vec![id];
        while let Some(id) = wanted.pop() {
            if !self.engine.holds_execution(id) {
                wanted.extend(self.load_one(id).await?);
            }
        }
        Ok(())
    }

    async fn load_one(&mut self, id: ExecutionId) -> Result<Vec<ExecutionId>, DriverError> {
        let events = self.events(LogId::execution(id), |event| match event {
            Event::Execution(event) => Some(event),
            Event::Queue(_) => None,
        });
        let events: Vec<execution::Event> = events.await?;
        if events.is_empty() {
            return Err(DriverError::NotFound(id.to_string()));
        }
        let damaged = |error: LoadError| DriverError::Record {
            log: LogId::execution(id).to_string(),
            version: error.version().0,
            reason: error.to_string(),
        };
        self.engine.load_execution(events).map_err(damaged)?;
        let Some(execution) = self.engine.execution(id) else { return Ok(Vec::new()) };
        if execution.ended().is_some() {
            self.over.push_back(id);
        }
        let live = execution.outstanding().filter_map(|effect| match effect {
            Wanted::Attempt { step, attempt } => {
                Some(Effect::Attempt(crate::dispatcher::Place { execution: id, step }, attempt))
            }
            Wanted::Open => None,
        });
        self.recovered.extend(live);
        let externals = execution.plan().externals().iter().map(|(external, _)| external.execution);
        let needed = externals.chain(execution.after().map(|(after, _)| after)).collect();
        let branches = [Branch::integration(id), execution.target().clone()];
        for branch in branches {
            self.load_queue(&branch).await?;
        }
        Ok(needed)
    }

    pub(super) async fn load_queue(&mut self, branch: &Branch) -> Result<(), DriverError> {
        if self.engine.queue(branch).is_none() {
            let events = self.events(QueueId::of(branch).log(), |event| match event {
                Event::Queue(event) => Some(event),
                Event::Execution(_) => None,
            });
            let events: Vec<merge_queue::Event> = events.await?;
            self.engine.load_queue(events);
        }
        Ok(())
    }

    async fn events<T>(&self, log: LogId, of: impl Fn(Event) -> Option<T>) -> Result<Vec<T>, DriverError> {
        let rows = self.backends.store.load(log, Version(0)).await?;
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            let fail = |reason: String| DriverError::Record { log: log.to_string(), version: row.version.0, reason };
            // Whoever loads a log here goes on to write it.
            record::check_writable(row.format).map_err(|e| fail(e.to_string()))?;
            let event = record::decode(log.kind, row.format, &row.body).map_err(|e| fail(e.to_string()))?;
            events.push(of(event).ok_or_else(|| fail("it is of another kind of log".to_owned()))?);
        }
        Ok(events)
    }
}
