//! What is remembered of earlier work: told to an agent before it starts, and added to in the background once facts are
//! durable. A memory that fails is said once and fails nothing else.

use crate::agent::AgentSpec;
use crate::engine::{Engine, Event, LogAppend};
use crate::id::ExecutionId;
use crate::recall::{self, Fault, Note, Query, Recall, RecallError};
use crate::store::LogKind;
use crate::tier::Purpose;
use crate::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How long an agent's start waits for what is remembered: better none than late.
const SEARCH: Duration = Duration::from_secs(2);

/// How long the end of a driver waits for what is still to be written.
const FINISH: Duration = Duration::from_secs(5);

/// Most notes that are written at once.
const BATCH: usize = 256;

/// The memory, and whether it was said that it does not work. Once is enough.
pub(super) struct Memory {
    recall: Arc<dyn Recall>,
    said: AtomicBool,
}

/// Has notes written, in order.
pub(super) struct Remember {
    task: Option<(mpsc::UnboundedSender<Note>, JoinHandle<()>)>,
}

impl Remember {
    /// Starts the task that writes. Without a memory nothing is noted.
    pub(super) fn start(memory: Option<Arc<Memory>>) -> Self {
        let task = memory.map(|memory| {
            let (notes, wanted) = mpsc::unbounded_channel();
            (notes, tokio::spawn(write(memory, wanted)))
        });
        Self { task }
    }

    /// Looks for facts that are worth remembering.
    pub(super) fn look(&self, engine: &Engine, appends: &[LogAppend], now: Timestamp) {
        let Some((notes, _)) = &self.task else { return };
        for append in appends.iter().filter(|append| append.log.kind == LogKind::Execution) {
            let Some(execution) = engine.execution(ExecutionId::new(append.log.id)) else { continue };
            for event in &append.events {
                let Event::Execution(event) = event else { continue };
                for note in recall::notes(execution, event, now) {
                    // A writer that is gone said why.
                    let _ = notes.send(note);
                }
            }
        }
    }

    /// Waits for what was noted, but not for ever.
    pub(super) async fn finish(&mut self) {
        let Some((notes, task)) = self.task.take() else { return };
        drop(notes);
        if tokio::time::timeout(FINISH, task).await.is_err() {
            tracing::warn!("some of what is to be remembered was not written in time");
        }
    }
}

async fn write(memory: Arc<Memory>, mut wanted: mpsc::UnboundedReceiver<Note>) {
    let mut notes = Vec::new();
    while wanted.recv_many(&mut notes, BATCH).await > 0 {
        let (recall, batch) = (Arc::clone(&memory.recall), std::mem::take(&mut notes));
        match tokio::task::spawn_blocking(move || recall.record(&batch)).await {
            Ok(Ok(recorded)) => memory.faults(&recorded.faults),
            Ok(Err(error)) => memory.broken(&error),
            Err(_) => memory.failed("the backend panicked"),
        }
    }
}

impl Memory {
    /// The memory of a driver.
    pub(super) fn new(recall: Arc<dyn Recall>) -> Arc<Self> {
        Arc::new(Self { recall, said: AtomicBool::new(false) })
    }

    /// Adds what fits to an agent's prompt. An agent that goes on with its own conversation was told already.
    pub(super) async fn tell(&self, query: Query, agent: &mut AgentSpec) {
        if agent.purpose == Purpose::Resolve || agent.resume.is_some() {
            return;
        }
        let recall = Arc::clone(&self.recall);
        let search = tokio::task::spawn_blocking(move || recall.search(&query));
        match tokio::time::timeout(SEARCH, search).await {
            Ok(Ok(Ok(found))) => {
                self.faults(&found.faults);
                if let Some(block) = recall::block(&found.hits) {
                    agent.prompt.push_str(&block);
                }
            }
            Ok(Ok(Err(error))) => self.broken(&error),
            Ok(Err(_)) => self.failed("the backend panicked"),
            Err(_) => self.failed("it takes too long to answer"),
        }
    }

    fn faults(&self, faults: &[Fault]) {
        if let Some(fault) = faults.first() {
            self.failed(&fault.to_string());
        }
    }

    fn broken(&self, error: &RecallError) {
        let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
        self.failed(&format!("{error}{source}"));
    }

    fn failed(&self, why: &str) {
        if !self.said.swap(true, Ordering::Relaxed) {
            tracing::warn!(why, "the memory of earlier work does not work as it should; runs go on without it");
        }
    }
}
