//! Keeps the notes of what is driven here: their status while it runs, and all that is written when it has ended. What is
//! to be written follows from the store and the notes alone, so what a crash cut short is made up for at the next start.

use super::told::Told;
use super::{is_of_notes, is_told, notes_of, outcome};
use crate::error::CliError;
use crate::look::{self, Logged};
use crate::notes::Ledger;
use enki_core::driver::{Notice, NoticeKind};
use enki_core::engine::Event as Any;
use enki_core::execution::{Event, Execution};
use enki_core::id::{ExecutionId, StepIx};
use enki_core::store::{LogKind, Summary, TaskStore};
use enki_notes::{NoteError, NotePath, TaskStatus};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, oneshot};
use tokio::task::JoinHandle;

/// Writes the notes of a project while it is driven here.
#[derive(Debug)]
pub(crate) struct Keeper {
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts with what was left undone.
    pub(crate) fn start(
        store: Arc<dyn TaskStore>,
        notices: broadcast::Receiver<Notice>,
        log: impl FnOnce() -> Ledger + Send + 'static,
    ) -> Self {
        let (stop, stops) = oneshot::channel();
        let task = tokio::spawn(async move {
            let Ok(log) = tokio::task::spawn_blocking(log).await else { return };
            keep(Books { store, log: Arc::new(log) }, notices, stops).await;
        });
        Self { stop: Some(stop), task: Some(task) }
    }

    /// Writes what is still to be told, and ends. The driver has ended. May be dropped and asked again.
    pub(crate) async fn finish(&mut self) {
        // It may have ended by a panic; the next start makes up for it.
        self.stop.take().map(|stop| stop.send(()));
        if let Some(task) = &mut self.task {
            drop(task.await);
            self.task = None;
        }
    }
}

async fn keep(books: Books, mut notices: broadcast::Receiver<Notice>, mut stops: oneshot::Receiver<()>) {
    let root = books.log.root().to_owned();
    let Ok(told) = tokio::task::spawn_blocking(move || Told::load(&root)).await else { return };
    let mut work = Work { books, told, failed: BTreeSet::new() };
    work.catch_up().await;
    loop {
        tokio::select! {
            notice = notices.recv() => match notice {
                Ok(notice) => work.told(notice).await,
                Err(RecvError::Lagged(_)) => work.catch_up().await,
                Err(RecvError::Closed) => return work.end().await,
            },
            _ = &mut stops => break,
        }
    }
    loop {
        match notices.try_recv() {
            Ok(notice) => work.told(notice).await,
            Err(TryRecvError::Lagged(_)) => work.catch_up().await,
            Err(TryRecvError::Empty | TryRecvError::Closed) => return work.end().await,
        }
    }
}

/// What a keeper does, and what it could not do.
struct Work {
    books: Books,
    told: Told,
    /// Executions whose notes could not be written: the next start tries again.
    failed: BTreeSet<ExecutionId>,
}

impl Work {
    async fn told(&mut self, notice: Notice) {
        let NoticeKind::Event { log, event: Any::Execution(event) } = notice.kind else { return };
        if log.kind == LogKind::Execution && is_told(&event) {
            self.write(ExecutionId::new(log.id)).await;
        }
    }

    async fn write(&mut self, id: ExecutionId) {
        match self.books.write(id).await {
            Ok(Written::All) => drop(self.failed.remove(&id)),
            Ok(Written::Elsewhere) => {
                let dir = self.books.log.dir();
                tracing::warn!(execution = %id, %dir, "its notes are not where the project's are now, and are left as they are");
                self.failed.insert(id);
            }
            Err(error) => {
                complain(id, &error);
                self.failed.insert(id);
            }
        }
    }

    /// Looks at every execution that has moved since its notes were written.
    async fn catch_up(&mut self) {
        let Some(all) = self.all().await else { return };
        for summary in &all {
            if !self.told.has(summary) {
                self.write(summary.execution).await;
            }
        }
        self.keep(&all);
    }

    /// The driver has ended, and all that it did was told.
    async fn end(&mut self) {
        if let Some(all) = self.all().await {
            self.keep(&all);
        }
    }

    async fn all(&self) -> Option<Vec<Summary>> {
        let listed = self.books.store.list(&look::listed(false, u32::MAX)).await;
        listed
            .inspect_err(
                |error| tracing::warn!(%error, "the executions cannot be listed, and their notes are not kept"),
            )
            .ok()
    }

    fn keep(&mut self, all: &[Summary]) {
        self.told.keep(all.iter().filter(|summary| !self.failed.contains(&summary.execution)));
    }
}

/// Whether the notes of an execution say how far it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Written {
    /// They do, or it has none.
    All,
    /// They do not: they stand in another folder than the project's notes do now.
    Elsewhere,
}

/// The store, and the notes that follow it.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    pub(crate) store: Arc<dyn TaskStore>,
    pub(crate) log: Arc<Ledger>,
}

impl Books {
    /// Has the notes of an execution say how far it is.
    pub(crate) async fn write(&self, id: ExecutionId) -> Result<Written, CliError> {
        let events = look::events(self.store.as_ref(), id).await?;
        let Some(state) = look::fold(&events) else { return Ok(Written::All) };
        let Some(paths) = notes_of(&self.log, state.origin()) else {
            return Ok(if is_of_notes(state.origin()) { Written::Elsewhere } else { Written::All });
        };
        let log = Arc::clone(&self.log);
        let written = tokio::task::spawn_blocking(move || write(&log, &state, &events, &paths)).await;
        written.unwrap_or(Ok(())).map_err(CliError::from).map(|()| Written::All)
    }
}

/// Blocks.
fn write(log: &Ledger, state: &Execution, events: &[Logged], paths: &[NotePath]) -> Result<(), NoteError> {
    for (n, path) in paths.iter().enumerate().filter(|(n, _)| *n < state.steps().len()) {
        let ix = StepIx::at(n);
        let source = match log.read(path) {
            Ok(note) => note.head().source_note,
            Err(NoteError::NotFound { .. } | NoteError::Broken(_)) => None,
            Err(error) => return Err(error),
        };
        let ended = state.ended().and_then(|_| outcome::ended(events, ix));
        let result = ended.and_then(|at| Some((outcome::outcome(state, events, ix, (path.clone(), source), log)?, at)));
        let Some((result, at)) = result else {
            let lived = state.step(ix).lived || events.iter().any(|one| is_live(&one.event, ix));
            let id = state.id().short();
            let marked = if lived {
                log.mark_task(path, TaskStatus::Running, &[("queue_id", &id)])
            } else {
                log.mark_pending(path, &id)
            };
            match marked {
                // A person has removed or broken it: it is left as it is.
                Err(NoteError::NotFound { .. } | NoteError::Broken(_)) | Ok(()) => continue,
                Err(error) => return Err(error),
            }
        };
        for fault in log.settle(&result, at)?.faults {
            tracing::warn!(execution = %state.id(), %fault, "a note was not told how its run ended");
        }
    }
    Ok(())
}

fn is_live(event: &Event, ix: StepIx) -> bool {
    matches!(event, Event::AttemptLive { step, .. } if *step == ix)
}

fn complain(id: ExecutionId, error: &CliError) {
    tracing::warn!(execution = %id, why = %error.message, "its notes could not be written; the next start does it");
}
