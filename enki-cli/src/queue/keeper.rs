//! Keeps the notes of what is driven here: their status while it runs, and all that is written when it has ended. What is
//! to be written follows from the store and the notes alone, so what a crash cut short is made up for at the next start.

use super::{is_told, notes_of, outcome};
use crate::error::CliError;
use crate::look::{self, Logged};
use enki_core::driver::{Notice, NoticeKind};
use enki_core::engine::Event as Any;
use enki_core::execution::{Event, Execution};
use enki_core::id::{ExecutionId, StepIx};
use enki_core::store::{Found, LogKind, TaskStore};
use enki_notes::{Head, Kind, Log, NoteError, NotePath, TaskStatus};
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
        log: impl FnOnce() -> Log + Send + 'static,
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
    books.catch_up().await;
    loop {
        tokio::select! {
            notice = notices.recv() => match notice {
                Ok(notice) => books.told(notice).await,
                Err(RecvError::Lagged(_)) => books.catch_up().await,
                Err(RecvError::Closed) => return,
            },
            _ = &mut stops => break,
        }
    }
    loop {
        match notices.try_recv() {
            Ok(notice) => books.told(notice).await,
            Err(TryRecvError::Lagged(_)) => books.catch_up().await,
            Err(TryRecvError::Empty | TryRecvError::Closed) => return,
        }
    }
}

/// The store, and the notes that follow it.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    pub(crate) store: Arc<dyn TaskStore>,
    pub(crate) log: Arc<Log>,
}

impl Books {
    async fn told(&self, notice: Notice) {
        let NoticeKind::Event { log, event: Any::Execution(event) } = notice.kind else { return };
        if log.kind == LogKind::Execution && is_told(&event) {
            let id = ExecutionId::new(log.id);
            self.write(id).await.unwrap_or_else(|error| complain(id, &error));
        }
    }

    /// Looks at every task that was started and does not say that it has ended.
    pub(crate) async fn catch_up(&self) {
        let log = Arc::clone(&self.log);
        let listed = tokio::task::spawn_blocking(move || log.list(&[Kind::Task])).await;
        let heads = match listed {
            Ok(Ok(listing)) => listing.heads,
            Ok(Err(error)) => return tracing::warn!(%error, "the notes of tasks cannot be listed, and are not kept"),
            Err(_) => return,
        };
        let open = |head: &Head| matches!(head.task_status(), Some(TaskStatus::Pending | TaskStatus::Running));
        let ids: BTreeSet<String> = heads.into_iter().filter(open).filter_map(|head| head.queue_id).collect();
        for text in ids {
            // A note from elsewhere names what nobody here knows.
            let Ok(found) = self.store.find(&text).await else { continue };
            let [Found::Execution(id)] = found.as_slice() else { continue };
            self.write(*id).await.unwrap_or_else(|error| complain(*id, &error));
        }
    }

    /// Has the notes of an execution say how far it is.
    pub(crate) async fn write(&self, id: ExecutionId) -> Result<(), CliError> {
        let events = look::events(self.store.as_ref(), id).await?;
        let Some(state) = look::fold(&events) else { return Ok(()) };
        let Some(paths) = notes_of(&self.log, state.origin()) else { return Ok(()) };
        let log = Arc::clone(&self.log);
        let written = tokio::task::spawn_blocking(move || write(&log, &state, &events, &paths)).await;
        written.unwrap_or(Ok(())).map_err(CliError::from)
    }
}

/// Blocks.
fn write(log: &Log, state: &Execution, events: &[Logged], paths: &[NotePath]) -> Result<(), NoteError> {
    for (n, path) in paths.iter().enumerate().filter(|(n, _)| *n < state.steps().len()) {
        let ix = StepIx::at(n);
        let source = match log.read(path) {
            Ok(note) => note.head().source_note,
            Err(NoteError::NotFound { .. } | NoteError::Broken(_)) => None,
            Err(error) => return Err(error),
        };
        let ended = state.ended().and_then(|_| outcome::ended(events, ix));
        let result = ended.and_then(|at| Some((outcome::outcome(state, events, ix, path.clone(), source)?, at)));
        let Some((result, at)) = result else {
            let lived = state.step(ix).lived || events.iter().any(|one| is_live(&one.event, ix));
            let status = if lived { TaskStatus::Running } else { TaskStatus::Pending };
            match log.mark_task(path, status, &[("queue_id", &state.id().short())]) {
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
