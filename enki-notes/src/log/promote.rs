//! A capture becomes a task.

use super::{Log, change_in, iso, read};
use crate::error::NoteError;
use crate::front::Value;
use crate::kind::{CaptureStatus, Kind};
use crate::name::NotePath;
use crate::task::{NewTask, plain, prompt};
use enki_core::time::Timestamp;

/// How a capture is promoted.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Promotion {
    /// When the task is done.
    pub goal: Option<String>,
    /// The model that shall do it.
    pub model: Option<String>,
    /// Light, standard or heavy.
    pub tier: Option<String>,
    /// Make a task also where there is one.
    pub again: bool,
    /// What is to be done, in place of the template around the capture's text.
    pub prompt: Option<Enriched>,
}

/// What became of asking a program for a task's prompt.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Enriched {
    /// This. No line of it is a heading of the note.
    Prompt(String),
    /// Nothing, for that reason: the template is used, and the task's note says so.
    Failed(String),
}

/// The task of a capture.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Promoted {
    /// Its note.
    pub task: NotePath,
    /// Whether it was there already.
    pub known: bool,
}

impl Log {
    /// Makes a task of a capture, and links both.
    ///
    /// # Contract
    ///
    /// The task is written first, then the capture's link: after a crash in between, promoting again finds that task
    /// and makes the link. So a capture that is promoted twice, also by two at once, has one task, unless `again` asks
    /// for another.
    ///
    /// # Errors
    ///
    /// If it is not there, broken, no capture, or was dropped or resolved; or if it cannot be written.
    pub fn promote(&self, path: &NotePath, how: &Promotion, now: Timestamp) -> Result<Promoted, NoteError> {
        let attempted = || format!("promote {path}");
        if !path.kind().is_capture() {
            let hint = "name an idea, issue or observation";
            return Err(NoteError::refused(attempted(), format!("it is a {} already", path.kind()), hint));
        }
        // Held until both are written: another one who promotes it waits, and finds the link.
        let folder = self.alone(path)?;
        let (_, document) = read(folder.folder(), path)?;
        let linked = document.text("task_note").map(|link| self.linked(link)).transpose()?.flatten();
        if let (Some(task), false) = (&linked, how.again) {
            return Ok(Promoted { task: task.clone(), known: true });
        }
        let unlinked = if linked.is_none() && !how.again { self.task_of(path)? } else { None };
        if unlinked.is_none() {
            let status = document.text("status").and_then(CaptureStatus::read);
            if let Some(over @ (CaptureStatus::Resolved | CaptureStatus::Cancelled)) = status {
                let why = format!("it is {}", over.as_str());
                return Err(NoteError::refused(attempted(), why, "set its status to open first, if it shall be done"));
            }
        }
        let (task, known) = match unlinked {
            Some(task) => (task, true),
            None => {
                let title = document.text("title").unwrap_or(path.file()).to_owned();
                let text = String::from_utf8_lossy(document.body()).into_owned();
                let (text, remark) = match &how.prompt {
                    Some(Enriched::Prompt(text)) => (plain(text), None),
                    Some(Enriched::Failed(why)) => (prompt(path, &text), Some(why.clone())),
                    None => (prompt(path, &text), None),
                };
                let new = NewTask {
                    title,
                    text,
                    remark: remark.map(|why| format!("The prompt is the template: {why}.")),
                    goal: how.goal.clone(),
                    model: how.model.clone(),
                    tier: how.tier.clone(),
                    source_note: Some(path.clone()),
                    source: None,
                };
                (self.task(&new, now)?, false)
            }
        };
        change_in(&folder, path, |document| {
            if document.text("status").and_then(CaptureStatus::read) != Some(CaptureStatus::Promoted) {
                document.set("status", &Value::text(CaptureStatus::Promoted.as_str()))?;
            }
            // With several the first stays: it is the one that is found.
            if linked.is_none() {
                document.set("task_note", &Value::text(task.as_str()))?;
            }
            document.set("updated", &iso(now))
        })?;
        Ok(Promoted { task, known })
    }

    /// Whether promoting it now makes a task: it has none that it names, or another one is asked for.
    ///
    /// # Errors
    ///
    /// If it is not there or broken.
    pub fn is_unpromoted(&self, path: &NotePath, how: &Promotion) -> Result<bool, NoteError> {
        let note = self.read(path)?;
        let linked = note.document.text("task_note").map(|link| self.linked(link)).transpose()?.flatten();
        Ok(path.kind().is_capture() && (how.again || linked.is_none()))
    }

    /// The oldest task that says it was made of that note.
    fn task_of(&self, source: &NotePath) -> Result<Option<NotePath>, NoteError> {
        let tasks = self.list(&[Kind::Task])?.heads;
        let is = |head: &super::Head| head.source_note.as_deref() == Some(source.as_str());
        Ok(tasks.into_iter().rev().find(is).map(|head| head.path))
    }
}
