//! The backlog: the project's notes of kind idea that have the tag `backlog`.

use super::project::failure;
use crate::config::Config;
use crate::error::CliError;
use crate::host::Host;
use crate::notes::Notes;
use enki_core::async_trait;
use enki_core::time::Timestamp;
use enki_mcp::{Backlog, Code, Failure, Idea, Ideas, Promoted, Unreadable};
use enki_notes::{CaptureStatus, Head, Kind, Note, NoteError, NotePath, Promotion, Source, TaskStatus};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The tag by which an idea is in the backlog.
const TAG: &str = "backlog";

/// The backlog of a project.
#[derive(Clone)]
pub(super) struct Notebook {
    root: PathBuf,
    config: Config,
    /// Without streams.
    host: Arc<Mutex<Host>>,
}

impl fmt::Debug for Notebook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notebook").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Notebook {
    pub(super) fn new(root: PathBuf, config: Config, host: &Host) -> Self {
        Self { root, config, host: Arc::new(Mutex::new(host.without_streams())) }
    }

    /// Does something with the notes where it may block.
    async fn with<T: Send + 'static>(
        &self,
        open: fn(&Host, &Config, &Path) -> Result<Notes, CliError>,
        work: impl FnOnce(&Notes, Timestamp) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let this = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let host = this.host.lock().unwrap_or_else(PoisonError::into_inner);
            let notes = open(&host, &this.config, &this.root).map_err(|error| failure(&error))?;
            work(&notes, host.now())
        });
        done.await.unwrap_or_else(|error| Err(Failure::new(Code::Unavailable, error.to_string(), "please report this")))
    }
}

#[async_trait]
impl Backlog for Notebook {
    async fn add(&self, body: String) -> Result<Idea, Failure> {
        self.with(Notes::signed, move |notes, now| {
            let mut new = notes.capture(&body, Source::Conversation);
            (new.kind, new.tags) = (Some(Kind::Idea), vec![TAG.to_owned()]);
            let filed = notes.log.capture(&new, now).map_err(told)?;
            read(notes, &filed.path)
        })
        .await
    }

    async fn list(&self) -> Result<Ideas, Failure> {
        self.with(Notes::unsigned, |notes, _| {
            let listing = notes.log.list(&[Kind::Idea]).map_err(told)?;
            let mut found = Ideas::default();
            for head in listing.heads.iter().filter(|head| is_item(head) && head.is_open()) {
                match notes.log.read(&head.path) {
                    Ok(note) => found.ideas.push(idea(&note)),
                    // It went, or broke, since.
                    Err(NoteError::NotFound { .. } | NoteError::Broken(_)) => {}
                    Err(error) => return Err(told(error)),
                }
            }
            let unreadable =
                |broken: enki_notes::Broken| Unreadable { note: broken.path, line: broken.line, why: broken.why };
            found.unreadable = listing.broken.into_iter().map(unreadable).collect();
            Ok(found)
        })
        .await
    }

    async fn update(&self, id: String, body: String) -> Result<Idea, Failure> {
        self.with(Notes::unsigned, move |notes, now| {
            let head = item(notes, &id)?;
            waiting(&head)?;
            notes.log.rewrite(&head.path, &notes.clean(&body), now).map_err(told)?;
            read(notes, &head.path)
        })
        .await
    }

    async fn remove(&self, id: String) -> Result<Idea, Failure> {
        self.with(Notes::unsigned, move |notes, now| {
            let head = item(notes, &id)?;
            if head.capture_status() != Some(CaptureStatus::Cancelled) {
                waiting(&head)?;
                notes.log.mark_capture(&head.path, CaptureStatus::Cancelled, now).map_err(told)?;
            }
            read(notes, &head.path)
        })
        .await
    }

    async fn promote(&self, id: String) -> Result<Promoted, Failure> {
        self.with(Notes::signed, move |notes, now| {
            let head = item(notes, &id)?;
            let promoted = notes.log.promote(&head.path, &Promotion::default(), now).map_err(told)?;
            let task = notes.log.read_task(&promoted.task).map_err(told)?;
            let refuse = |why: &str, hint: &str| {
                Failure::new(Code::InvalidState, format!("{}: {why}; nothing was started", task.path), hint)
            };
            if task.queue_id.is_none() && task.status == Some(TaskStatus::Cancelled) {
                return Err(refuse("its status is cancelled", "a person who wants it done sets it to scheduled"));
            }
            let prompt = task
                .prompt
                .clone()
                .ok_or_else(|| refuse("its section Prompt is empty", "say there what is to be done"))?;
            Ok(Promoted {
                id: head.capture_id.unwrap_or_default(),
                task_note: task.path.to_string(),
                title: task.title,
                prompt,
                done_when: task.goal,
                acceptance: task.acceptance,
                tier: task.tier,
                model: task.model,
                execution: task.queue_id,
            })
        })
        .await
    }

    async fn started(&self, task_note: String, execution: String) -> Result<(), Failure> {
        self.with(Notes::unsigned, move |notes, _| {
            let path = notes.log.find(&task_note).map_err(told)?;
            notes.log.mark_task(&path, TaskStatus::Pending, &[("queue_id", &execution)]).map_err(told)
        })
        .await
    }
}

fn is_item(head: &Head) -> bool {
    head.tags.iter().any(|tag| tag == TAG) && head.capture_id.is_some()
}

/// The item of that id, or whose id alone begins so.
fn item(notes: &Notes, id: &str) -> Result<Head, Failure> {
    let heads = notes.log.list(&[Kind::Idea]).map_err(told)?.heads;
    let is = |head: &Head| is_item(head) && head.capture_id.as_ref().is_some_and(|own| own.starts_with(id));
    let mut found: Vec<Head> = heads.into_iter().filter(is).collect();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Failure::new(Code::NotFound, format!("no idea {id} is in the backlog"), "call enki_backlog_list")),
        several => {
            let ids = found.into_iter().take(SHOWN).filter_map(|head| head.capture_id);
            Err(Failure::new(
                Code::AmbiguousTaskSelection,
                format!("{id} may mean {several} ideas"),
                "give more digits",
            )
            .with_candidates(ids))
        }
    }
}

/// Only what waits is changed or dropped.
fn waiting(head: &Head) -> Result<(), Failure> {
    let hint = match (head.capture_status(), &head.task_note) {
        (Some(CaptureStatus::Promoted), Some(task)) => format!("its task is {task}: steer that, or edit it"),
        (Some(CaptureStatus::Promoted | CaptureStatus::Resolved | CaptureStatus::Cancelled), _) => {
            "add another idea, or let the person set its status to open".to_owned()
        }
        _ => return Ok(()),
    };
    Err(Failure::new(Code::InvalidState, format!("the idea is {}; nothing changed", head.status), hint))
}

fn read(notes: &Notes, path: &NotePath) -> Result<Idea, Failure> {
    Ok(idea(&notes.log.read(path).map_err(told)?))
}

fn idea(note: &Note) -> Idea {
    let head = note.head();
    Idea {
        id: head.capture_id.unwrap_or_default(),
        title: head.title,
        body: note.text(),
        status: head.status,
        note: note.path.to_string(),
    }
}

fn told(error: NoteError) -> Failure {
    match error {
        error @ NoteError::Refused { .. } => {
            let hint = error.hint();
            Failure::new(Code::InvalidState, error.to_string(), hint)
        }
        error => failure(&CliError::from(error)),
    }
}

/// Most candidates that an answer lists.
const SHOWN: usize = 20;
