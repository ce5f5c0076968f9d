//! Tells the provider of workspaces what will be asked for soon, without ever waiting for it.

use crate::engine::{Engine, LogAppend};
use crate::id::{CommitId, ExecutionId};
use crate::store::LogKind;
use crate::workspace::WorkspaceProvider;
use std::sync::Arc;
use tokio::sync::watch;

/// Where workspaces will begin, and how many at most.
type Hint = (CommitId, u32);

/// Passes hints on, one at a time: the latest wins.
pub(super) struct Ahead {
    hints: watch::Sender<Option<Hint>>,
}

impl Ahead {
    /// Starts the task that passes them on. It ends with this.
    pub(super) fn start(workspaces: Arc<dyn WorkspaceProvider>) -> Self {
        let (hints, mut latest) = watch::channel(None::<Hint>);
        tokio::spawn(async move {
            while latest.changed().await.is_ok() {
                loop {
                    let Some((base, wanted)) = *latest.borrow_and_update() else { break };
                    tokio::select! {
                        () = workspaces.prepare(base, wanted) => break,
                        changed = latest.changed() => if changed.is_err() { return },
                    }
                }
            }
        });
        Self { hints }
    }

    /// Looks at the execution that moved last: fresh workspaces begin at the head of its integration branch.
    pub(super) fn look(&self, engine: &Engine, appends: &[LogAppend]) {
        let moved = appends.iter().rfind(|append| append.log.kind == LogKind::Execution);
        if let Some(append) = moved
            && let Some(hint) = hint(engine, ExecutionId::new(append.log.id))
        {
            self.hints.send_if_modified(|last| last.replace(hint) != Some(hint));
        }
    }
}

/// As many as steps have not begun, and no more than may run at once.
fn hint(engine: &Engine, id: ExecutionId) -> Option<Hint> {
    let execution = engine.execution(id)?;
    let to_come = if execution.ended().is_some() { 0 } else { execution.counts().pending };
    Some((execution.head()?, to_come.min(engine.limits().runs)))
}
