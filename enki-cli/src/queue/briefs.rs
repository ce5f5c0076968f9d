//! What a task note says when its step starts: a person may have edited it since it was put into the queue.

use super::{How, notes_of, step};
use crate::error::CliError;
use enki_core::async_trait;
use enki_core::driver::{Asked, Brief, Briefs};
use enki_notes::{Log, NoteError, NotePath, TaskStatus};
use std::path::Path;
use std::sync::Arc;

/// Reads the notes of a project.
#[derive(Debug)]
pub(crate) struct NoteBriefs(Arc<Log>);

impl NoteBriefs {
    pub(crate) fn new(root: &Path) -> Self {
        Self(Arc::new(Log::new(root)))
    }
}

#[async_trait]
impl Briefs for NoteBriefs {
    async fn read(&self, asked: &Asked) -> Brief {
        let paths = notes_of(&self.0, &asked.origin).unwrap_or_default();
        // Steps that were added later have no note.
        let Some(path) = paths.into_iter().nth(asked.ix.index()) else { return Brief::Known };
        let (log, id) = (Arc::clone(&self.0), asked.execution.short());
        let read = tokio::task::spawn_blocking(move || read(&log, &path, &id)).await;
        read.unwrap_or_else(|_| Brief::Unreadable { reason: "its reader panicked".to_owned() })
    }
}

/// Blocks.
fn read(log: &Log, path: &NotePath, id: &str) -> Brief {
    let why = |error: &CliError| {
        let hint = error.hint.as_deref().map_or_else(String::new, |hint| format!("; {hint}"));
        Brief::Unreadable { reason: format!("{}{hint}", error.message) }
    };
    match log.read_task(path) {
        // That of an earlier run says nothing of this one.
        Ok(task)
            if task.status == Some(TaskStatus::Cancelled) && task.queue_id.as_deref().is_none_or(|own| own == id) =>
        {
            Brief::Cancelled
        }
        Ok(task) => step(&task, &How::default()).map_or_else(|error| why(&error), |spec| Brief::Says(Box::new(spec))),
        Err(NoteError::NotFound { .. }) => Brief::Unreadable {
            reason: format!("{path} is not there any more; put it back, or give the entry up: enki queue cancel {id}"),
        },
        Err(NoteError::Broken(broken)) => {
            Brief::Unreadable { reason: format!("{broken}; repair it, or give the entry up: enki queue cancel {id}") }
        }
        Err(error) => why(&error.into()),
    }
}
