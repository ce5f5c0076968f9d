//! What a task note says when its step starts: a person may have edited it since it was put into the queue.

use super::{How, notes_of, step};
use crate::error::CliError;
use crate::host::Host;
use crate::moved;
use crate::notes::{Ledger, Notes};
use crate::registry::Registry;
use enki_core::async_trait;
use enki_core::driver::{Asked, Brief, Briefs};
use enki_notes::{Log, NoteError, NotePath, TaskStatus};
use std::path::Path;
use std::sync::Arc;

/// Reads the notes of a project.
#[derive(Debug)]
pub(crate) struct NoteBriefs {
    log: Arc<Ledger>,
    /// As it was at the start; none if it cannot be read.
    registry: Option<Arc<Registry>>,
}

impl NoteBriefs {
    pub(crate) fn new(root: &Path, host: &Host) -> Result<Self, CliError> {
        let log = Arc::new(Notes::read(host, root)?);
        Ok(Self { log, registry: Registry::load(host).ok().map(Arc::new) })
    }
}

#[async_trait]
impl Briefs for NoteBriefs {
    async fn read(&self, asked: &Asked) -> Brief {
        let paths = notes_of(&self.log, &asked.origin).unwrap_or_default();
        // Steps that were added later have no note.
        let Some(path) = paths.into_iter().nth(asked.ix.index()) else { return Brief::Known };
        let (log, id, registry) = (Arc::clone(&self.log), asked.execution.short(), self.registry.clone());
        // A note that says nothing of it leaves it as it is. What was asked for before it stays, but for what is never light.
        let asked_for = Some(asked.step.tier).filter(|_| asked.step.pinned);
        let how = How { tier: asked_for, last: Some(asked.step.tier), ..How::default() };
        let read = tokio::task::spawn_blocking(move || read(&log, &path, &id, &how, registry.as_deref())).await;
        read.unwrap_or_else(|_| Brief::Unreadable { reason: "its reader panicked".to_owned() })
    }
}

/// Blocks.
fn read(log: &Log, path: &NotePath, id: &str, how: &How, registry: Option<&Registry>) -> Brief {
    let why = |error: &CliError| {
        let hint = error.hint.as_deref().map_or_else(String::new, |hint| format!("; {hint}"));
        Brief::Unreadable { reason: format!("{}{hint}", error.message) }
    };
    let model = registry.and_then(|all| all.model_of(log.root()));
    match log.read_task(path) {
        // That of an earlier run says nothing of this one.
        Ok(task)
            if task.status == Some(TaskStatus::Cancelled) && task.queue_id.as_deref().is_none_or(|own| own == id) =>
        {
            Brief::Cancelled
        }
        Ok(_) if let Some(name) = registry.and_then(|all| moved::other(all, log.root(), log, path)) => {
            let reason = format!(
                "{path} is of project {name} now: give the entry up (enki queue cancel {id}), then put the note in again, \
                 which hands it over; or change its project_primary back"
            );
            Brief::Unreadable { reason }
        }
        Ok(task) => step(&task, how, model).map_or_else(|error| why(&error), |(spec, _)| Brief::Says(Box::new(spec))),
        Err(NoteError::NotFound { .. }) => Brief::Unreadable {
            reason: format!("{path} is not there any more; put it back, or give the entry up: enki queue cancel {id}"),
        },
        Err(NoteError::Broken(broken)) => {
            Brief::Unreadable { reason: format!("{broken}; repair it, or give the entry up: enki queue cancel {id}") }
        }
        Err(error) => why(&error.into()),
    }
}
