//! Results: what became of a task's run.

use crate::front::{Document, Value};
use crate::kind::ResultStatus;
use crate::log::Naming;
use crate::name::NotePath;
use std::time::Duration;

/// A result that is to be written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewResult {
    /// What the task was about.
    pub title: String,
    /// How it ended.
    pub status: ResultStatus,
    /// The task.
    pub task: NotePath,
    /// The note that the task was made of.
    pub source_note: Option<String>,
    /// The execution.
    pub queue_id: String,
    /// The model that did it.
    pub model: String,
    /// The agent's session.
    pub session: String,
    /// How long it took.
    pub duration: Duration,
    /// How many steps it had.
    pub steps: usize,
    /// What landed.
    pub commit: Option<String>,
    /// The output.
    pub summary: String,
    /// What was changed.
    pub changes: String,
    /// What it was checked by.
    pub validation: String,
    /// Decisions that are a person's.
    pub proposals: String,
    /// Where the transcript is.
    pub transcript: String,
}

impl NewResult {
    /// The result of that task's execution, about which nothing more is known.
    #[must_use]
    pub fn new(title: impl Into<String>, status: ResultStatus, task: NotePath, queue_id: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            status,
            task,
            source_note: None,
            queue_id: queue_id.into(),
            model: String::new(),
            session: String::new(),
            duration: Duration::ZERO,
            steps: 1,
            commit: None,
            summary: String::new(),
            changes: String::new(),
            validation: String::new(),
            proposals: String::new(),
            transcript: String::new(),
        }
    }

    pub(crate) fn render(&self, naming: &Naming<'_>) -> Document {
        let mut keys = vec![
            ("title", Value::text(&self.title)),
            ("date", Value::bare(naming.at.date())),
            ("timestamp", Value::bare(naming.at.iso())),
            ("status", Value::text(self.status.as_str())),
            ("task", Value::text(self.task.as_str())),
        ];
        if let Some(source) = &self.source_note {
            keys.push(("source_note", Value::text(source)));
        }
        keys.extend([
            ("queue_id", Value::text(&self.queue_id)),
            ("model", Value::text(&self.model)),
            ("session", Value::text(&self.session)),
            ("duration_s", Value::bare(format!("{:.1}", self.duration.as_secs_f64()))),
            ("steps", Value::bare(self.steps.to_string())),
        ]);
        if let Some(commit) = &self.commit {
            keys.push(("commit", Value::text(commit)));
        }
        keys.push(("tags", Value::list(["result"])));
        let sections = [
            ("Summary", &self.summary),
            ("Changes", &self.changes),
            ("Validation", &self.validation),
            ("Proposals", &self.proposals),
            ("Transcript", &self.transcript),
        ];
        let one = |(name, text): (&str, &String)| match text.trim() {
            "" => format!("\n## {name}\n"),
            text => format!("\n## {name}\n\n{text}\n"),
        };
        let mut document = Document::of(&keys, "");
        document.set_body(sections.map(one).concat().into_bytes());
        document
    }
}
