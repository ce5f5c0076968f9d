//! The notes of a project: made, read, changed.

mod find;
mod hand_over;
mod list;
mod promote;
mod settle;

pub use hand_over::Between;
pub use list::{Head, Listing};
pub use promote::{Enriched, Promoted, Promotion};
pub use settle::{Proposal, Settled};

use crate::capture::NewCapture;
use crate::error::{Broken, NoteError};
use crate::folder::{Folder, Locked, NOTE_LIMIT};
use crate::front::{Document, Fault, Value};
use crate::kind::{CaptureStatus, Kind, TaskStatus};
use crate::name::{Micros, NotePath, Owner, file_name};
use crate::place::LogDir;
use crate::related::{Candidate, related};
use crate::task::{NewTask, Task};
use enki_core::time::Timestamp;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The notes of one project, in `docs/log/<kind>/` or what stands in its place.
///
/// # Contract
///
/// * What was made or changed is durable on return, and a reader sees a file as it was or as it is, never half of it.
/// * Any number of processes may write at once: no two notes get one name, and no change of one is lost by another's.
/// * No symbolic link is followed below the root. A note that cannot be read is never written to.
/// * The names that one `Log` gives sort in the order it gave them, also if the clock goes back.
#[derive(Debug)]
pub struct Log {
    root: PathBuf,
    /// Where results stand instead, with the activity log.
    results: Option<PathBuf>,
    dir: LogDir,
    owner: Owner,
    project: String,
    /// The time in the last name of each kind.
    last: Mutex<[i64; Kind::ALL.len()]>,
}

/// What a new note is told of itself.
#[derive(Debug)]
pub(crate) struct Naming<'a> {
    pub(crate) at: Micros,
    pub(crate) project: &'a str,
    /// 12 hex digits.
    pub(crate) id: String,
}

/// A capture that was made.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Filed {
    /// Its note.
    pub path: NotePath,
    /// Its id, 12 hex digits.
    pub capture_id: String,
}

/// A note as a whole.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Note {
    /// Where it stands.
    pub path: NotePath,
    /// What is in it.
    pub document: Document,
}

impl Note {
    /// What of it is in a list.
    #[must_use]
    pub fn head(&self) -> Head {
        Head::of(&self.path, &self.document)
    }

    /// What a capture says, without what Enki put after it.
    #[must_use]
    pub fn text(&self) -> String {
        crate::capture::text(&self.document)
    }
}

impl Log {
    /// The notes of the project in that folder, by the owner `enki`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let name = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (dir, owner, last) = (LogDir::default(), Owner::default(), Mutex::default());
        Self { root, results: None, dir, owner, project: name, last }
    }

    /// The same, written by that owner.
    #[must_use]
    pub fn by(self, owner: Owner) -> Self {
        Self { owner, ..self }
    }

    /// The same, with the notes in that folder.
    #[must_use]
    pub fn below(self, dir: LogDir) -> Self {
        Self { dir, ..self }
    }

    /// The same, with results and the activity log below another root, such as the files of a branch of their own. Results
    /// that are below the first one are read as before.
    #[must_use]
    pub fn with_results(self, root: impl Into<PathBuf>) -> Self {
        Self { results: Some(root.into()), ..self }
    }

    /// The folder that all this is in.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder below it that the notes are in.
    #[must_use]
    pub const fn dir(&self) -> &LogDir {
        &self.dir
    }

    /// Writes a capture.
    ///
    /// # Errors
    ///
    /// If it has no text, or a kind that is no capture's; or if it cannot be written.
    pub fn capture(&self, new: &NewCapture, now: Timestamp) -> Result<Filed, NoteError> {
        let (kind, _) = new.kind();
        if !kind.is_capture() {
            let why = format!("a {kind} is not an observation");
            return Err(NoteError::refused("write a capture", why, "leave the kind out, or write a task"));
        }
        if new.text.trim().is_empty() {
            return Err(NoteError::refused(format!("write an {kind}"), "it has no text", "say what you observed"));
        }
        let heads = self.newest(&Kind::CAPTURES, LOOKED_AT)?;
        let candidates = heads.iter().map(|head| Candidate { note: &head.path, text: &head.beginning });
        let links: Vec<NotePath> = related(&new.text, candidates).into_iter().cloned().collect();
        let mut id = String::new();
        let path = self.create(kind, &new.text, now, |naming| {
            id.clone_from(&naming.id);
            new.render(naming, &links)
        })?;
        Ok(Filed { path, capture_id: id })
    }

    /// Writes a task.
    ///
    /// # Errors
    ///
    /// If it has no text, or if it cannot be written.
    pub fn task(&self, new: &NewTask, now: Timestamp) -> Result<NotePath, NoteError> {
        if new.text.trim().is_empty() {
            return Err(NoteError::refused("write a task", "it has no text", "say what is to be done"));
        }
        self.create(Kind::Task, &new.text, now, |naming| new.render(naming))
    }

    /// Reads a note.
    ///
    /// # Errors
    ///
    /// If it is not there, or broken.
    pub fn read(&self, path: &NotePath) -> Result<Note, NoteError> {
        for folder in self.folders(path.kind())? {
            if folder.has(path.file()).map_err(|error| NoteError::io(format!("look for {path}"), error))? {
                let (_, document) = read(&folder, path)?;
                return Ok(Note { path: path.clone(), document });
            }
        }
        Err(not_there(path))
    }

    /// Reads a task, as a person left it.
    ///
    /// # Errors
    ///
    /// If it is not there, broken or no task.
    pub fn read_task(&self, path: &NotePath) -> Result<Task, NoteError> {
        if path.kind() != Kind::Task {
            let attempted = format!("read {path} as a task");
            return Err(NoteError::refused(attempted, format!("it is a {}", path.kind()), "name a task's note"));
        }
        Ok(Task::read(path, &self.read(path)?.document))
    }

    /// Gives a capture another text. What Enki put after the text stays.
    ///
    /// # Errors
    ///
    /// If it is not there, broken or no capture, if the text is empty, or if it cannot be written.
    pub fn rewrite(&self, path: &NotePath, text: &str, now: Timestamp) -> Result<(), NoteError> {
        let attempted = || format!("rewrite {path}");
        if !path.kind().is_capture() {
            return Err(NoteError::refused(attempted(), "it is no capture", "edit the file"));
        }
        if text.trim().is_empty() {
            return Err(NoteError::refused(
                attempted(),
                "the text is empty",
                "say what you observed, or drop the note",
            ));
        }
        self.change(path, |document| {
            document.set("title", &Value::text(crate::capture::title(text)))?;
            document.set("updated", &iso(now))?;
            crate::capture::with_text(document, text);
            Ok(())
        })
    }

    /// Says how far a capture is.
    ///
    /// # Errors
    ///
    /// If it is not there or broken, or if it cannot be written.
    pub fn mark_capture(&self, path: &NotePath, status: CaptureStatus, now: Timestamp) -> Result<(), NoteError> {
        self.change(path, |document| mark(document, status, now))
    }

    /// Says how far a task is, with keys that tell more, such as `queue_id`.
    ///
    /// # Errors
    ///
    /// If it is not there or broken, or if it cannot be written.
    pub fn mark_task(&self, path: &NotePath, status: TaskStatus, more: &[(&str, &str)]) -> Result<(), NoteError> {
        self.change(path, |document| {
            if document.text("status").and_then(TaskStatus::read) != Some(status) {
                document.set("status", &Value::text(status.as_str()))?;
            }
            more.iter().try_for_each(|(key, value)| document.set(key, &Value::text(*value)))
        })
    }

    /// Says that a task waits in the queue as that entry. One of the same entry that a person has cancelled meanwhile stays
    /// so: that is what they want of it, and whoever starts it reads it.
    ///
    /// # Errors
    ///
    /// If it is not there or broken, or if it cannot be written.
    pub fn mark_pending(&self, path: &NotePath, queue_id: &str) -> Result<(), NoteError> {
        self.change(path, |document| {
            let status = document.text("status").and_then(TaskStatus::read);
            let entry = document.text("queue_id").is_none_or(|own| own == queue_id);
            if status == Some(TaskStatus::Cancelled) && entry {
                return Ok(());
            }
            if status != Some(TaskStatus::Pending) {
                document.set("status", &Value::text(TaskStatus::Pending.as_str()))?;
            }
            document.set("queue_id", &Value::text(queue_id))
        })
    }

    /// Changes a note. Whoever changes one at the same time comes before or after.
    fn change(&self, path: &NotePath, change: impl Fn(&mut Document) -> Result<(), Fault>) -> Result<(), NoteError> {
        change_in(&self.alone(path)?, path, change)
    }

    /// The folder of a note, with nobody else who writes there. A result below a root of its own is changed where that is
    /// kept, and is not there for this.
    fn alone(&self, path: &NotePath) -> Result<Locked, NoteError> {
        let folder = self.open(&self.root, path.kind())?.ok_or_else(|| not_there(path))?;
        folder.changing().map_err(|error| NoteError::io(format!("lock the folder of {path}"), error))
    }

    fn create(
        &self,
        kind: Kind,
        text: &str,
        now: Timestamp,
        mut render: impl FnMut(&Naming<'_>) -> Document,
    ) -> Result<NotePath, NoteError> {
        let attempted = || format!("write a note in {}", self.root.join(self.parts(kind).join("/")).display());
        let failed = |error| NoteError::io(attempted(), error);
        let folder = Folder::make(&self.root, &self.parts(kind)).and_then(Folder::adding).map_err(failed)?;
        let place = Kind::ALL.iter().position(|of| *of == kind).expect("every kind is in the list");
        // Each entry is one number: what a thread that panicked left is whole.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut at = Micros::new(now.0.saturating_mul(1000).max(last[place].saturating_add(1)));
        loop {
            let file = file_name(kind, &self.owner, at);
            if !folder.folder().has(&file).map_err(failed)? {
                let naming = Naming { at, project: &self.project, id: id(&file, text) };
                if folder.create(&file, &render(&naming).to_bytes()).map_err(failed)? {
                    last[place] = at.get();
                    return Ok(NotePath::new(self.dir.parts(), kind, &file));
                }
            }
            let next = Micros::new(at.get() + 1);
            if next == at {
                return Err(NoteError::refused(attempted(), "there is no later time to name it by", "check the clock"));
            }
            at = next;
        }
    }

    /// Where new notes of that kind go.
    fn home(&self, kind: Kind) -> &Path {
        self.results.as_deref().filter(|_| kind == Kind::Result).unwrap_or(&self.root)
    }

    /// The folders of that kind that are there: where new ones go first.
    fn folders(&self, kind: Kind) -> Result<Vec<Folder>, NoteError> {
        let home = self.home(kind);
        let roots = std::iter::once(home).chain((home != self.root).then_some(self.root.as_path()));
        roots.filter_map(|root| self.open(root, kind).transpose()).collect()
    }

    fn open(&self, root: &Path, kind: Kind) -> Result<Option<Folder>, NoteError> {
        let parts = self.parts(kind);
        Folder::open(root, &parts)
            .map_err(|error| NoteError::io(format!("open {}", root.join(parts.join("/")).display()), error))
    }

    fn parts(&self, kind: Kind) -> Vec<&str> {
        self.dir.parts().iter().map(String::as_str).chain([kind.as_str()]).collect()
    }
}

/// How many of the newest captures may be related to a new one.
const LOOKED_AT: usize = 200;

/// 12 hex digits that follow from the name, which only one note has, and what it says.
fn id(file: &str, text: &str) -> String {
    let digest = Sha256::new().chain_update(file).chain_update([0]).chain_update(text).finalize();
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn iso(now: Timestamp) -> Value {
    Value::bare(Micros::new(now.0.saturating_mul(1000)).iso())
}

fn mark(document: &mut Document, status: CaptureStatus, now: Timestamp) -> Result<(), Fault> {
    if document.text("status").and_then(CaptureStatus::read) == Some(status) {
        return Ok(());
    }
    document.set("status", &Value::text(status.as_str()))?;
    document.set("updated", &iso(now))
}

fn not_there(path: &NotePath) -> NoteError {
    NoteError::NotFound { text: path.to_string() }
}

/// Reads a note with its bytes.
fn read(folder: &Folder, path: &NotePath) -> Result<(Vec<u8>, Document), NoteError> {
    let broken = |why: String| NoteError::Broken(Broken::whole(path.as_str(), why));
    let part = folder.read(path.file(), NOTE_LIMIT).map_err(|error| broken(error.to_string()))?;
    let part = part.ok_or_else(|| not_there(path))?;
    if !part.whole {
        return Err(broken(format!("it is larger than {NOTE_LIMIT} bytes")));
    }
    let document = Document::parse(&part.bytes).map_err(|fault| NoteError::Broken(Broken::of(path.as_str(), fault)))?;
    Ok((part.bytes, document))
}

fn change_in(
    folder: &Locked,
    path: &NotePath,
    change: impl Fn(&mut Document) -> Result<(), Fault>,
) -> Result<(), NoteError> {
    for _ in 0..TRIES {
        let (old, mut document) = read(folder.folder(), path)?;
        change(&mut document).map_err(|fault| NoteError::Broken(Broken::of(path.as_str(), fault)))?;
        let new = document.to_bytes();
        let failed = |error| NoteError::io(format!("write {path}"), error);
        if new == old || folder.replace(path.file(), &old, &new).map_err(failed)? {
            return Ok(());
        }
    }
    Err(NoteError::refused(format!("change {path}"), "something else changes it all the time", "try again"))
}

/// How often a note is read again that an editor has changed in between.
const TRIES: usize = 100;
