//! A note goes to another project, because a person said that it is that one's.

use super::{Log, change_in, iso, read};
use crate::error::{Broken, NoteError};
use crate::front::{Document, Value};
use crate::kind::{CaptureStatus, Kind, TaskStatus};
use crate::name::NotePath;
use crate::outcome::of_task;
use crate::section::{self, TASK};
use enki_core::time::Timestamp;

/// The key of a note that says which one it was in another project, as `project:path`.
pub(super) const FROM: &str = "moved_from";

/// The key of one that went to another project.
pub(super) const TO: &str = "moved_to";

/// Two projects, by the names that a person knows them by.
#[derive(Clone, Copy, Debug)]
pub struct Between<'a> {
    /// Where the note is.
    pub from: &'a str,
    /// Where it goes.
    pub to: &'a str,
}

impl Log {
    /// The project that a note says it is of: who wrote it put its own there, and a person may have changed that.
    ///
    /// # Errors
    ///
    /// If it is not there or broken.
    pub fn project_of(&self, path: &NotePath) -> Result<Option<String>, NoteError> {
        Ok(self.read(path)?.document.text("project_primary").map(str::to_owned))
    }

    /// Gives a note to another project, in whose folder a copy of it is made with all that a person put into it; this one is
    /// cancelled, and both say where the other is. Gives the copy.
    ///
    /// # Contract
    ///
    /// The copy is written first: after a crash in between, handing it over again finds that copy and makes the link. So there
    /// is one, also if two hand it over at once. Of a task that ran here the copy says nothing of that; whoever hands it over
    /// sees to it that it does not run now.
    ///
    /// # Errors
    ///
    /// If it is not there or broken, if it is a result or a capture of which a task was made, or if it cannot be written.
    pub fn hand_over(
        &self,
        path: &NotePath,
        other: &Self,
        names: Between<'_>,
        now: Timestamp,
    ) -> Result<NotePath, NoteError> {
        let attempted = || format!("give {path} to project {}", names.to);
        // Held until both are written: another one who does the same waits, and finds the link.
        let folder = self.alone(path)?;
        let (_, document) = read(folder.folder(), path)?;
        let gone = document.text(TO).and_then(|link| link.strip_prefix(names.to)?.strip_prefix(':'));
        if let Some(copy) = gone.map(|link| other.linked(link)).transpose()?.flatten() {
            return Ok(copy);
        }
        let begun = match path.kind() {
            Kind::Result => Some("it is a result".to_owned()),
            kind if kind.is_capture() => document.text("task_note").map(|task| format!("{task} was made of it")),
            _ => None,
        };
        if let Some(why) = begun {
            let hint = format!("write another note there: enki --project {} note ...", names.to);
            return Err(NoteError::refused(attempted(), why, hint));
        }
        let origin = format!("{}:{path}", names.from);
        let copy = match other.copy_of(path.kind(), &origin)? {
            Some(copy) => copy,
            None => other.copy(path, &document, &origin, names, now)?,
        };
        change_in(&folder, path, |document| {
            document.set(TO, &Value::text(format!("{}:{copy}", names.to)))?;
            let cancelled = match path.kind() {
                Kind::Task => TaskStatus::Cancelled.as_str(),
                _ => CaptureStatus::Cancelled.as_str(),
            };
            document.set("status", &Value::text(cancelled))?;
            document.set("updated", &iso(now))
        })?;
        Ok(copy)
    }

    fn copy_of(&self, kind: Kind, origin: &str) -> Result<Option<NotePath>, NoteError> {
        let heads = self.list(&[kind])?.heads;
        Ok(heads.into_iter().find(|head| head.moved_from.as_deref() == Some(origin)).map(|head| head.path))
    }

    fn copy(
        &self,
        path: &NotePath,
        document: &Document,
        origin: &str,
        names: Between<'_>,
        now: Timestamp,
    ) -> Result<NotePath, NoteError> {
        let mut copy = document.clone();
        let mut set = |key: &str, value: Value| copy.set(key, &value);
        let filled = (|| {
            set("project_primary", Value::text(names.to))?;
            set(FROM, Value::text(origin))?;
            // A path of the other project: nothing of this one is linked to it.
            if let Some(source) = document.text("source_note") {
                set("source_note", Value::text(format!("{}:{source}", names.from)))?;
            }
            if path.kind() == Kind::Task {
                set("status", Value::text(TaskStatus::Scheduled.as_str()))?;
            }
            for run in ["queue_id", "result_note", "completed"].into_iter().filter(|key| document.text(key).is_some()) {
                set(run, Value::bare(""))?;
            }
            Ok(())
        })();
        filled.map_err(|fault| NoteError::Broken(Broken::of(path.as_str(), fault)))?;
        if path.kind() == Kind::Task && section::text(document.body(), TASK, "Result").is_some() {
            copy.set_body(section::with_part(document.body(), TASK, "Result", of_task, ""));
        }
        self.create(path.kind(), origin, now, |naming| {
            let mut copy = copy.clone();
            // Two notes never have one id, but where a person made an anchor of it: then it stays.
            if document.text("capture_id").is_some() {
                let _ = copy.set("capture_id", &Value::text(&naming.id));
            }
            copy
        })
    }
}
