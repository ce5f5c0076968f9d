//! Reading the store: executions by prefix, folded from their logs.

use crate::error::CliError;
use crate::exit::Exit;
use enki_core::engine::{Event, QueueId};
use enki_core::execution::{self, Execution};
use enki_core::id::{ExecutionId, StepIx};
use enki_core::merge_queue;
use enki_core::record;
use enki_core::store::{Found, ListFilter, LogId, StoreErrorKind, TaskStore, Version};
use enki_core::time::Timestamp;

/// What an id on the command line means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Named {
    /// Which execution.
    pub(crate) execution: ExecutionId,
    /// Which of its steps, if the id was a task's.
    pub(crate) step: Option<StepIx>,
}

/// A stored event of an execution with its number and time.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) version: Version,
    pub(crate) at: Timestamp,
    pub(crate) event: execution::Event,
}

/// A filter for the newest executions, or only the open ones.
pub(crate) fn listed(open: bool, limit: u32) -> ListFilter {
    let mut filter = ListFilter::default();
    (filter.open, filter.limit) = (open, limit);
    filter
}

/// Finds what an id means: a full id, a unique prefix of at least 4 hex digits, `EXECUTION/step`, or, without one, the
/// newest execution, an open one first.
pub(crate) async fn find(store: &dyn TaskStore, id: Option<&str>) -> Result<Named, CliError> {
    let Some(id) = id else {
        let (open, any) = (listed(true, 1), listed(false, 1));
        let newest = match store.list(&open).await?.pop() {
            Some(found) => Some(found),
            None => store.list(&any).await?.pop(),
        };
        let newest = newest.ok_or_else(|| {
            CliError::new(Exit::NotFound, "there is no execution yet").hint("start one with `enki run PLAN`")
        })?;
        return Ok(Named { execution: newest.execution, step: None });
    };
    if let Some((execution, step)) = id.split_once('/') {
        let of = Box::pin(find(store, Some(execution))).await?.execution;
        let step = load(store, of).await?.plan().find(step).ok_or_else(|| not_found(id))?;
        return Ok(Named { execution: of, step: Some(step) });
    }
    let found = match store.find(id).await {
        Ok(found) => found,
        Err(error) if matches!(error.kind, StoreErrorKind::Invalid(_)) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    match found.as_slice() {
        [] => Err(not_found(id)),
        [Found::Execution(execution)] => Ok(Named { execution: *execution, step: None }),
        [Found::Task { execution, ix, .. }] => Ok(Named { execution: *execution, step: Some(*ix) }),
        several => {
            let name = |found: &Found| match found {
                Found::Execution(execution) => execution.to_string(),
                Found::Task { task, .. } => task.to_string(),
            };
            let names = several.iter().map(name).collect::<Vec<_>>().join(", ");
            Err(CliError::usage(format!("{id:?} may mean {names}"))
                .hint("give more digits, or exec- or task- before them"))
        }
    }
}

pub(crate) fn not_found(id: &str) -> CliError {
    let shown: String = id.chars().take(60).collect();
    CliError::new(Exit::NotFound, format!("no execution or task {shown:?}"))
        .hint("`enki status` lists them; a prefix needs at least 4 hex digits")
}

/// Folds an execution from its log.
pub(crate) async fn load(store: &dyn TaskStore, id: ExecutionId) -> Result<Execution, CliError> {
    fold(&events(store, id).await?).ok_or_else(|| not_found(&id.to_string()))
}

/// Folds events, the first of which must be the submission.
pub(crate) fn fold(events: &[Logged]) -> Option<Execution> {
    let mut events = events.iter().map(|logged| &logged.event);
    let Some(execution::Event::Submitted(submitted)) = events.next() else { return None };
    let mut machine = Execution::new(submitted);
    events.for_each(|event| machine.apply(event));
    Some(machine)
}

/// The events of an execution.
pub(crate) async fn events(store: &dyn TaskStore, id: ExecutionId) -> Result<Vec<Logged>, CliError> {
    let mut all = Vec::new();
    for (version, at, event) in decoded(store, LogId::execution(id), Version(0)).await? {
        if let Event::Execution(event) = event {
            all.push(Logged { version, at, event });
        }
    }
    Ok(all)
}

/// The events of a queue.
pub(crate) async fn queue_events(store: &dyn TaskStore, id: QueueId) -> Result<Vec<merge_queue::Event>, CliError> {
    let all = decoded(store, id.log(), Version(0)).await?.into_iter();
    Ok(all.filter_map(|(_, _, event)| if let Event::Queue(event) = event { Some(event) } else { None }).collect())
}

async fn decoded(
    store: &dyn TaskStore,
    log: LogId,
    after: Version,
) -> Result<Vec<(Version, Timestamp, Event)>, CliError> {
    let rows = store.load(log, after).await?;
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        let event = record::decode(log.kind, row.format, &row.body).map_err(|error| {
            let message = format!("log {log} cannot be read at event {}: {error}", row.version.0);
            CliError::new(Exit::Store, message).hint("use a newer enki, or a backup: enki.db.backup-* beside the store")
        })?;
        all.push((row.version, row.at, event));
    }
    Ok(all)
}

/// Follows an execution through its stored log: what is told is durable, and nothing is missed.
#[derive(Debug)]
pub(crate) struct Follower {
    store: std::sync::Arc<dyn TaskStore>,
    id: ExecutionId,
    seen: Version,
    state: Option<Execution>,
}

impl Follower {
    pub(crate) fn new(store: std::sync::Arc<dyn TaskStore>, id: ExecutionId) -> Self {
        Self { store, id, seen: Version(0), state: None }
    }

    /// The state up to what was read.
    pub(crate) const fn state(&self) -> Option<&Execution> {
        self.state.as_ref()
    }

    /// The last event that was read.
    pub(crate) const fn seen(&self) -> Version {
        self.seen
    }

    /// Reads on. `each` sees every new event with the state after it.
    pub(crate) async fn advance(&mut self, mut each: impl FnMut(&Execution, &Logged)) -> Result<(), CliError> {
        for (version, at, event) in decoded(self.store.as_ref(), LogId::execution(self.id), self.seen).await? {
            self.seen = version;
            let Event::Execution(event) = event else { continue };
            match (&mut self.state, &event) {
                (None, execution::Event::Submitted(submitted)) => self.state = Some(Execution::new(submitted)),
                (Some(state), event) => state.apply(event),
                (None, _) => continue,
            }
            if let Some(state) = &self.state {
                each(state, &Logged { version, at, event });
            }
        }
        Ok(())
    }
}
