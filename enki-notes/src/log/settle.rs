//! What is written when a run has ended: the result, and the links to it.

use super::{Log, Naming, change_in, id, iso, mark};
use crate::error::NoteError;
use crate::folder::Folder;
use crate::front::{Document, Value};
use crate::kind::{CaptureStatus, Kind, ResultStatus, TaskStatus};
use crate::name::{Micros, NotePath, ending};
use crate::outcome::{NewResult, of_task};
use crate::section::{self, RESULT, TASK};
use enki_core::time::Timestamp;
use sha2::{Digest, Sha256};

/// What was written of a run.
#[derive(Debug)]
#[non_exhaustive]
pub struct Settled {
    /// The result.
    pub result: NotePath,
    /// The issue that was filed, if it failed.
    pub issue: Option<NotePath>,
    /// What could not be linked: notes that a person removed, moved or broke. They are left as they are.
    pub faults: Vec<NoteError>,
}

/// A decision that a run leaves to a person.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Proposal {
    /// The result in which it stands.
    pub result: NotePath,
    /// What is proposed.
    pub text: String,
}

impl Log {
    /// Writes down how a task's run ended: a result note; links and status in the note that the task was made of; an entry
    /// in the activity log; an issue, if it failed; and at last the task's own status, link and `## Result`.
    ///
    /// # Contract
    ///
    /// Called again with the same result and time it writes what was not written yet, and nothing twice: a crash at any
    /// point repeats, but never doubles a file. There is one issue for each execution and reason, however often it is tried
    /// again. The task's status comes last, so a task that says it has ended has all the rest. Notes that a person has
    /// removed or broken are told, and stop nothing.
    ///
    /// # Errors
    ///
    /// If something cannot be written.
    pub fn settle(&self, new: &NewResult, ended: Timestamp) -> Result<Settled, NoteError> {
        self.settle_with(new, ended, |_| Ok(true))
    }

    /// The same for results that are committed where they stand: `commit` is given the paths of what was written below that
    /// root, before anything else says that they are there. If it says `false` (the files were changed beside it, and may be
    /// gone), what is missing is written once more, and it is asked again.
    ///
    /// # Errors
    ///
    /// If something cannot be written or committed.
    pub fn settle_with(
        &self,
        new: &NewResult,
        ended: Timestamp,
        mut commit: impl FnMut(&[String]) -> Result<bool, NoteError>,
    ) -> Result<Settled, NoteError> {
        let at = Micros::new(ended.0.saturating_mul(1000));
        let mut faults = Vec::new();
        let mut told = |done: Result<(), NoteError>| match done {
            Err(fault @ (NoteError::NotFound { .. } | NoteError::Broken(_))) => {
                faults.push(fault);
                Ok(())
            }
            done => done,
        };
        let slug = new.slug();
        let tried = if new.attempt > 1 { format!("{slug}-attempt{}", new.attempt) } else { slug.clone() };
        let mut tries = 0..TRIES;
        let result = loop {
            let result =
                self.once(Kind::Result, at, &tried, &ending(at, &tried), &tried, |naming| new.render(naming))?;
            let activity = self.log_activity(&new.activity(at, &self.project, &result), &result)?;
            if commit(&[result.to_string(), activity])? {
                break result;
            }
            if tries.next().is_none() {
                let why = "something else changes its branch all the time";
                return Err(NoteError::refused(
                    format!("commit {result}"),
                    why,
                    "see what does; the next start tries again",
                ));
            }
        };
        if let Some(source) = new.source_note.as_deref().and_then(|path| NotePath::parse(self.dir.parts(), path)) {
            told(self.link(&source, &result, new.status, ended))?;
        }
        let issue = match new.issue(&self.project) {
            Some(issue) => {
                let reason = Sha256::digest(new.failure.as_deref().unwrap_or_default());
                let reason: String = reason.iter().take(3).map(|byte| format!("{byte:02x}")).collect();
                let slug = format!("{slug}-{reason}");
                let unique = format!("-{slug}.md");
                let render = |naming: &Naming<'_>| issue.render(naming, std::slice::from_ref(&result));
                Some(self.once(Kind::Issue, at, &slug, &unique, &issue.text, render)?)
            }
            None => None,
        };
        told(self.close_task(new, &result, ended))?;
        Ok(Settled { result, issue, faults })
    }

    /// What runs leave to a person and nobody has ticked or removed, the newest first.
    ///
    /// # Errors
    ///
    /// If the results cannot be listed. One that is broken has none.
    pub fn proposals(&self) -> Result<Vec<Proposal>, NoteError> {
        let mut found = Vec::new();
        for head in self.list(&[Kind::Result])?.heads {
            let note = match self.read(&head.path) {
                Ok(note) => note,
                Err(NoteError::NotFound { .. } | NoteError::Broken(_)) => continue,
                Err(error) => return Err(error),
            };
            let listed = section::text(note.document.body(), RESULT, "Proposals").unwrap_or_default();
            let open = |line: &str| line.trim_start().strip_prefix("- [ ] ").map(|text| text.trim().to_owned());
            found.extend(listed.lines().filter_map(open).map(|text| Proposal { result: head.path.clone(), text }));
        }
        Ok(found)
    }

    /// Makes a note whose name ends in words of Enki's, unless there is one that ends like that: that one is it.
    pub(super) fn once(
        &self,
        kind: Kind,
        at: Micros,
        slug: &str,
        unique: &str,
        text: &str,
        render: impl FnOnce(&Naming<'_>) -> Document,
    ) -> Result<NotePath, NoteError> {
        let failed = |error| NoteError::io(format!("write the {kind} note of {slug}"), error);
        let folder = Folder::make(self.home(kind), &self.parts(kind)).and_then(Folder::changing).map_err(failed)?;
        let names = folder.folder().names_that_end(unique).map_err(failed)?;
        if let Some(file) = names.first() {
            return Ok(NotePath::new(self.dir.parts(), kind, file));
        }
        let file = format!("{kind}-{}{}", self.owner.as_str(), ending(at, slug));
        let naming = Naming { at, project: &self.project, id: id(&file, text) };
        // Whoever put one of that name there in this moment is no other Enki.
        folder.create(&file, &render(&naming).to_bytes()).map_err(failed)?;
        Ok(NotePath::new(self.dir.parts(), kind, &file))
    }

    /// Tells the note that the task was made of.
    fn link(
        &self,
        source: &NotePath,
        result: &NotePath,
        status: ResultStatus,
        now: Timestamp,
    ) -> Result<(), NoteError> {
        change_in(&self.alone(source)?, source, |document| {
            if document.text("result_note") == Some(result.as_str()) {
                return Ok(());
            }
            document.set("result_note", &Value::text(result.as_str()))?;
            document.set("updated", &iso(now))?;
            let open = document.text("status").and_then(CaptureStatus::read) == Some(CaptureStatus::Promoted);
            if source.kind().is_capture() && status == ResultStatus::Done && open {
                mark(document, CaptureStatus::Resolved, now)?;
            }
            Ok(())
        })
    }

    fn close_task(&self, new: &NewResult, result: &NotePath, ended: Timestamp) -> Result<(), NoteError> {
        let status = match new.status {
            ResultStatus::Done => TaskStatus::Done,
            ResultStatus::Failed | ResultStatus::Timeout => TaskStatus::Failed,
            ResultStatus::Cancelled => TaskStatus::Cancelled,
        };
        change_in(&self.alone(&new.task)?, &new.task, |document| {
            document.set("status", &Value::text(status.as_str()))?;
            document.set("result_note", &Value::text(result.as_str()))?;
            document.set("completed", &iso(ended))?;
            let text = new.of_task(result);
            document.set_body(section::with_part(document.body(), TASK, "Result", of_task, &text));
            Ok(())
        })
    }

    /// Puts an entry at the end of the activity log, unless it is there. Gives the path of its file.
    fn log_activity(&self, entry: &str, result: &NotePath) -> Result<String, NoteError> {
        let dir: Vec<&str> = self.dir.parts().iter().map(String::as_str).collect();
        let failed = |error| NoteError::io(format!("write {}/activity.md", dir.join("/")), error);
        let folder = Folder::make(self.home(Kind::Result), &dir).and_then(Folder::changing).map_err(failed)?;
        let name = |n: usize| if n < 2 { "activity.md".to_owned() } else { format!("activity-{n}.md") };
        let path = |n: usize| format!("{}/{}", dir.join("/"), name(n));
        let number = |file: &str| file.strip_prefix("activity-")?.strip_suffix(".md")?.parse::<usize>().ok();
        let names = folder.folder().names().map_err(failed)?;
        let last = names.iter().filter_map(|file| number(file)).max().unwrap_or(1);
        let mark = result.as_str().as_bytes();
        // One that was written just before a crash may be the last of a file that is full.
        if last > 1 && folder.folder().look_for(&name(last - 1), mark).map_err(failed)?.is_some_and(|(found, _)| found)
        {
            return Ok(path(last - 1));
        }
        for n in last.. {
            let done = match folder.folder().look_for(&name(n), mark).map_err(failed)? {
                Some((true, _)) => true,
                Some((false, size)) if size > FULL => continue,
                Some((false, _)) => folder.append(&name(n), entry.as_bytes()).map_err(failed)?,
                None => folder.create(&name(n), format!("# Activity\n\n{entry}").as_bytes()).map_err(failed)?,
            };
            // Whoever came in between is looked at.
            return if done { Ok(path(n)) } else { self.log_activity(entry, result) };
        }
        unreachable!("a file of a number that nobody has used is made")
    }
}

/// A file of the activity log that is larger, in bytes, is followed by another one: it is copied for each entry.
const FULL: u64 = 256 << 10;

/// How often what was written is committed again that something else has changed in between.
const TRIES: usize = 20;
