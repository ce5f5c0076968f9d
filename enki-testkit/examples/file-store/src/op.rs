//! What stands in the journal. Types of their own: those of `enki-core` may change, what is on disk may not.

use crate::Failure;
use enki_core::id::{StepId, StepIx, TaskId};
use enki_core::memory::MemoryStore;
use enki_core::store::{
    Append, Epoch, Format, Holder, Lease, LogId, LogKind, StoreError, StoreErrorKind, Summary, TaskRow, TaskStore,
    Version,
};
use enki_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// One call that changed the store.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Op {
    Append { lease: OfLease, batch: Vec<Part> },
    Acquire { scope: String, holder: Holder, now: Timestamp, until: Timestamp },
    Renew { lease: OfLease, now: Timestamp, until: Timestamp },
    Release { lease: OfLease },
}

#[derive(Serialize, Deserialize)]
pub(crate) struct OfLease {
    scope: String,
    epoch: Epoch,
    holder: Holder,
    until: Timestamp,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Part {
    kind: LogKind,
    /// The id in hex: JSON has no such numbers.
    id: String,
    expected: Version,
    at: Timestamp,
    format: Format,
    events: Vec<String>,
    summary: Option<Summary>,
    tasks: Vec<(TaskId, StepIx, StepId)>,
}

impl Op {
    pub(crate) fn append(lease: &Lease, batch: &[Append]) -> Self {
        Self::Append { lease: lease.into(), batch: batch.iter().map(Part::from).collect() }
    }

    pub(crate) fn line(&self) -> Result<String, Failure> {
        // JSON escapes line ends, so one value is one line.
        serde_json::to_string(self).map_err(|e| StoreErrorKind::Invalid(e.to_string()).into())
    }

    pub(crate) fn parse(line: &str) -> Result<Self, Failure> {
        serde_json::from_str(line)
            .map_err(|e| StoreErrorKind::Corrupt(format!("a line says nothing known: {e}")).into())
    }

    /// Does it again. What was done once can be done again, in the same order.
    pub(crate) fn apply(self, state: &MemoryStore) -> Result<(), Failure> {
        let applied = match self {
            Self::Append { lease, batch } => {
                let batch: Option<Vec<Append>> = batch.into_iter().map(Part::back).collect();
                let batch = batch.ok_or_else(|| StoreErrorKind::Corrupt("the id of a log is no hex".into()))?;
                now(state.append(&lease.into(), batch)).map(drop)
            }
            Self::Acquire { scope, holder, now: at, until } => now(state.acquire(&scope, &holder, at, until)).map(drop),
            Self::Renew { lease, now: at, until } => now(state.renew(&lease.into(), at, until)).map(drop),
            Self::Release { lease } => now(state.release(lease.into())),
        };
        let refused =
            |e: Failure| StoreErrorKind::Corrupt(format!("a line does not follow from those before: {}", e.0));
        applied.map_err(|e| refused(e).into())
    }
}

impl From<&Append> for Part {
    fn from(append: &Append) -> Self {
        let Append { log, expected, at, format, events, summary, tasks } = append.clone();
        let tasks = tasks.into_iter().map(|TaskRow { task, ix, step }| (task, ix, step)).collect();
        Self { kind: log.kind, id: format!("{:032x}", log.id), expected, at, format, events, summary, tasks }
    }
}

impl Part {
    fn back(self) -> Option<Append> {
        let Self { kind, id, expected, at, format, events, summary, tasks } = self;
        let log = LogId { kind, id: u128::from_str_radix(&id, 16).ok()? };
        let tasks = tasks.into_iter().map(|(task, ix, step)| TaskRow { task, ix, step }).collect();
        Some(Append { log, expected, at, format, events, summary, tasks })
    }
}

impl From<&Lease> for OfLease {
    fn from(lease: &Lease) -> Self {
        let Lease { scope, epoch, holder, until } = lease.clone();
        Self { scope, epoch, holder, until }
    }
}

impl From<OfLease> for Lease {
    fn from(OfLease { scope, epoch, holder, until }: OfLease) -> Self {
        Self { scope, epoch, holder, until }
    }
}

/// The answer of a memory store, which never waits.
pub(crate) fn now<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, Failure> {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.map_err(|e| e.kind.into()),
        Poll::Pending => unreachable!("a memory store is ready at its first poll"),
    }
}
