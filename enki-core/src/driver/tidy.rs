//! Workspaces of steps that are done go in the background: best effort, one at a time, never waited for while there is
//! work. What a provider would lose by it, it keeps and says so; that is no failure.

use super::orchestrator::Message;
use crate::engine::{Engine, Event, LogAppend};
use crate::execution::{DoneKind, Event as Fact, Execution, Next, StepState};
use crate::id::{ExecutionId, StepIx, TaskId};
use crate::record;
use crate::store::{Found, LogId, LogKind, TaskStore, Version};
use crate::workspace::WorkspaceProvider;
use futures::FutureExt;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Has workspaces removed.
pub(super) struct Tidy {
    tasks: mpsc::UnboundedSender<TaskId>,
    /// Asked for, and not answered.
    open: usize,
}

impl Tidy {
    /// Starts the task that removes them: first what an earlier process left of steps that were done, then what it is
    /// told. It ends with this.
    pub(super) fn start(
        workspaces: Arc<dyn WorkspaceProvider>,
        store: Arc<dyn TaskStore>,
        inbox: mpsc::UnboundedSender<Message>,
    ) -> Self {
        let (tasks, mut wanted) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for task in left_over(workspaces.as_ref(), store.as_ref()).await {
                if wanted.is_closed() {
                    return;
                }
                remove(workspaces.as_ref(), task).await;
            }
            while let Some(task) = wanted.recv().await {
                remove(workspaces.as_ref(), task).await;
                // A driver that has gone does not count any more.
                let _ = inbox.send(Message::Tidied);
            }
        });
        Self { tasks, open: 0 }
    }

    /// Looks for steps that got done.
    pub(super) fn look(&mut self, engine: &Engine, appends: &[LogAppend]) {
        for append in appends.iter().filter(|append| append.log.kind == LogKind::Execution) {
            let Some(execution) = engine.execution(ExecutionId::new(append.log.id)) else { continue };
            for event in &append.events {
                let Event::Execution(fact) = event else { continue };
                for step in done(execution, fact) {
                    if self.tasks.send(execution.task(step)).is_ok() {
                        self.open += 1;
                    }
                }
            }
        }
    }

    /// One more was removed.
    pub(super) const fn done(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// Whether nothing is asked for.
    pub(super) const fn is_idle(&self) -> bool {
        self.open == 0
    }
}

/// The steps whose work is safe by that fact.
fn done(execution: &Execution, fact: &Fact) -> Vec<StepIx> {
    match fact {
        // Its merge is on no branch before it has landed.
        Fact::AttemptEnded { next: Next::Done(DoneKind::Resolved { .. }), .. } => Vec::new(),
        Fact::StepMerged { step, .. }
        | Fact::AttemptEnded { step, next: Next::Done(_), .. }
        | Fact::MergeRefused { step, next: Next::Done(_), .. } => vec![*step],
        Fact::Landed { .. } => {
            let resolved =
                |step: &StepIx| matches!(execution.step(*step).state, StepState::Done(DoneKind::Resolved { .. }));
            (0..execution.steps().len()).rev().map(StepIx::at).find(resolved).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

async fn remove(workspaces: &dyn WorkspaceProvider, task: TaskId) {
    match AssertUnwindSafe(workspaces.remove(task)).catch_unwind().await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%task, %error, "the workspace of a step that is done stays"),
        Err(_) => tracing::warn!(%task, "a backend panicked while it removed a workspace"),
    }
}

/// Workspaces whose step is done, by the store: a process may have ended between the two.
async fn left_over(workspaces: &dyn WorkspaceProvider, store: &dyn TaskStore) -> Vec<TaskId> {
    let Ok(Ok(list)) = AssertUnwindSafe(workspaces.list()).catch_unwind().await else { return Vec::new() };
    let mut tasks: Vec<TaskId> = list.into_iter().filter_map(|workspace| workspace.task).collect();
    tasks.sort_unstable();
    tasks.dedup();
    let mut executions: HashMap<ExecutionId, Option<Execution>> = HashMap::new();
    let mut done = Vec::new();
    for task in tasks {
        let Ok(found) = store.find(&task.to_string()).await else { continue };
        let [Found::Task { execution: id, ix, .. }] = found[..] else { continue };
        let execution = match executions.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(stored(store, id).await),
        };
        if let Some(execution) = execution
            && execution.steps().get(ix.index()).is_some_and(|step| matches!(step.state, StepState::Done(_)))
        {
            done.push(task);
        }
    }
    done
}

/// An execution as it is stored; none if it cannot be read, which others say.
async fn stored(store: &dyn TaskStore, id: ExecutionId) -> Option<Execution> {
    let log = LogId::execution(id);
    let mut machine: Option<Execution> = None;
    for row in store.load(log, Version(0)).await.ok()? {
        match (record::decode(log.kind, row.format, &row.body).ok()?, &mut machine) {
            (Event::Execution(Fact::Submitted(submitted)), None) => machine = Some(Execution::new(&submitted)),
            (Event::Execution(event), Some(machine)) => machine.apply(&event),
            _ => return None,
        }
    }
    machine
}
