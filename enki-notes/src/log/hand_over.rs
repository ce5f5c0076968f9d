//! A note goes to another project, because a person said that it is that one's.

use super::{Log, iso};
use crate::error::{Broken, NoteError};
use crate::front::{Document, Value};
use crate::kind::{CaptureStatus, Kind, TaskStatus};
use crate::name::{Micros, NotePath};
use crate::outcome::of_task;
use crate::section::{self, TASK};
use enki_core::time::Timestamp;
use sha2::{Digest, Sha256};

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
    /// If it is not there or broken, if it is a result or a capture of which a task was made, if a person gave it up, or if it
    /// cannot be written.
    pub fn hand_over(
        &self,
        path: &NotePath,
        other: &Self,
        names: Between<'_>,
        now: Timestamp,
    ) -> Result<NotePath, NoteError> {
        let attempted = || format!("give {path} to project {}", names.to);
        let document = self.read(path)?.document;
        let gone = document.text(TO);
        let link = gone.and_then(|link| link.strip_prefix(names.to)?.strip_prefix(':'));
        if let Some(copy) = link.map(|link| other.linked(link)).transpose()?.flatten() {
            return Ok(copy);
        }
        let begun = match path.kind() {
            Kind::Result => Some("it is a result".to_owned()),
            _ if link.is_none() && gone.is_some() => gone.map(|link| format!("it is {link} by now")),
            kind if kind.is_capture() => document.text("task_note").map(|task| format!("{task} was made of it")),
            _ => None,
        };
        if let Some(why) = begun {
            let hint = format!("write another note there: enki --project {} note ...", names.to);
            return Err(NoteError::refused(attempted(), why, hint));
        }
        if let Some(over) = given_up(path.kind(), &document) {
            let hint = "set its status back first, if it shall be done; nothing was written";
            return Err(NoteError::refused(attempted(), format!("it is {over}"), hint));
        }
        // One folder at a time is held: somebody may hand over another one the other way.
        let copy = other.copy(path, &document, names, now)?;
        self.change(path, |document| {
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

    /// The copy of a note of another project: the one that is there, also under another name by now, or a new one.
    fn copy(
        &self,
        path: &NotePath,
        document: &Document,
        names: Between<'_>,
        now: Timestamp,
    ) -> Result<NotePath, NoteError> {
        let origin = format!("{}:{path}", names.from);
        let heads = self.list(&[path.kind()])?.heads;
        if let Some(head) = heads.into_iter().find(|head| head.moved_from.as_ref() == Some(&origin)) {
            return Ok(head.path);
        }
        let mut copy = document.clone();
        let mut set = |key: &str, value: Value| copy.set(key, &value);
        let filled = (|| {
            set("project_primary", Value::text(names.to))?;
            set(FROM, Value::text(&origin))?;
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
        let digest = Sha256::digest(&origin);
        let slug = format!("from-{}", digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect::<String>());
        let at = Micros::new(now.0.saturating_mul(1000));
        self.once(path.kind(), at, &slug, &format!("-{slug}.md"), &origin, |naming| {
            // Two notes never have one id, but where a person made an anchor of it: then it stays.
            if document.text("capture_id").is_some() {
                let _ = copy.set("capture_id", &Value::text(&naming.id));
            }
            copy
        })
    }
}

/// How a note says that nothing is to be made of it. A task that has been in the queue is cancelled with its entry, and may be
/// put in again.
fn given_up(kind: Kind, document: &Document) -> Option<&'static str> {
    let status = document.text("status")?;
    if kind == Kind::Task {
        let status = TaskStatus::read(status).filter(|_| document.text("queue_id").is_none())?;
        return (status == TaskStatus::Cancelled).then_some(status.as_str());
    }
    let status = CaptureStatus::read(status)?;
    matches!(status, CaptureStatus::Resolved | CaptureStatus::Cancelled).then_some(status.as_str())
}
