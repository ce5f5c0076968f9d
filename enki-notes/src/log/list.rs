//! Lists of notes: by what their front matter says, of which alone is read.

use super::{Log, hand_over};
use crate::error::{Broken, NoteError};
use crate::folder::Folder;
use crate::front::{Document, FRONT_LIMIT};
use crate::kind::{CaptureStatus, Kind, TaskStatus};
use crate::name::{NotePath, is_file, stamp_of};
use enki_core::time::Timestamp;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// What a list tells of a note.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Head {
    /// Where it stands.
    pub path: NotePath,
    /// What it is about.
    pub title: String,
    /// How far it is, as written.
    pub status: String,
    /// A capture's id.
    pub capture_id: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// When it was made, as written.
    pub timestamp: Option<String>,
    /// The task that was made of it.
    pub task_note: Option<String>,
    /// The note that it was made of.
    pub source_note: Option<String>,
    /// The execution that a task was started as.
    pub queue_id: Option<String>,
    /// The note of another project that it is a copy of, as `project:path`.
    pub moved_from: Option<String>,
    /// The copy of it in another project, as `project:path`.
    pub moved_to: Option<String>,
    /// The beginning of what it says.
    pub beginning: String,
}

/// Notes, the newest first, and what stands among them and cannot be read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Listing {
    /// Those that can be read.
    pub heads: Vec<Head>,
    /// Those that cannot, by path.
    pub broken: Vec<Broken>,
}

impl Head {
    pub(super) fn of(path: &NotePath, document: &Document) -> Self {
        let key = |key: &str| document.text(key).map(ToOwned::to_owned);
        let body = document.body();
        let beginning = String::from_utf8_lossy(&body[..body.len().min(BEGINNING)]);
        Self {
            path: path.clone(),
            title: key("title").unwrap_or_else(|| crate::capture::title(&beginning)),
            status: key("status").unwrap_or_default(),
            capture_id: key("capture_id"),
            tags: document.list("tags").into_iter().map(ToOwned::to_owned).collect(),
            timestamp: key("timestamp").or_else(|| key("created")).or_else(|| key("date")),
            task_note: key("task_note"),
            source_note: key("source_note"),
            queue_id: key("queue_id"),
            moved_from: key(hand_over::FROM),
            moved_to: key(hand_over::TO),
            beginning: beginning.into_owned(),
        }
    }

    /// How far a capture is; none for a word of a person's own, and for what is no capture.
    #[must_use]
    pub fn capture_status(&self) -> Option<CaptureStatus> {
        self.path.kind().is_capture().then(|| CaptureStatus::read(&self.status)).flatten()
    }

    /// How far a task is; none for a word of a person's own, and for what is no task.
    #[must_use]
    pub fn task_status(&self) -> Option<TaskStatus> {
        (self.path.kind() == Kind::Task).then(|| TaskStatus::read(&self.status)).flatten()
    }

    /// Whether nothing says that it is over, which a word of a person's own does not either.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let capture = matches!(
            self.capture_status(),
            Some(CaptureStatus::Resolved | CaptureStatus::Cancelled | CaptureStatus::Promoted)
        );
        let task = matches!(self.task_status(), Some(TaskStatus::Done | TaskStatus::Failed | TaskStatus::Cancelled));
        !capture && !task && self.path.kind() != Kind::Result
    }

    /// The date in its name, or of its timestamp: `2026-01-31`.
    #[must_use]
    pub fn date(&self) -> Option<String> {
        match stamp_of(self.path.file()) {
            Some(stamp) => Some(format!("{}-{}-{}", &stamp[..4], &stamp[4..6], &stamp[6..8])),
            None => self.timestamp.as_deref().and_then(|text| text.get(..10)).map(ToOwned::to_owned),
        }
    }
}

impl Log {
    /// The notes of those kinds.
    ///
    /// # Errors
    ///
    /// If a folder cannot be read. A file that cannot is in the list as broken.
    pub fn list(&self, kinds: &[Kind]) -> Result<Listing, NoteError> {
        let mut listing = Listing::default();
        for (folder, paths) in self.paths(kinds)? {
            for path in paths {
                match path.and_then(|path| head(&folder, &path)) {
                    Ok(Some(head)) => listing.heads.push(head),
                    // It has gone since.
                    Ok(None) => {}
                    Err(broken) => listing.broken.push(broken),
                }
            }
        }
        listing.heads.sort_by_cached_key(|head| newest_first(&head.path));
        listing.broken.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(listing)
    }

    /// The notes of those kinds, each with what tells it from what it was, without a look inside: another stamp means that
    /// it may have changed. One that was changed just before `now` has a stamp of its own each time, since another change
    /// in the same instant could not be told from it.
    ///
    /// # Errors
    ///
    /// If a folder cannot be read.
    pub fn stamps(&self, kinds: &[Kind], now: Timestamp) -> Result<Vec<(NotePath, String)>, NoteError> {
        let mut all = Vec::new();
        for (folder, paths) in self.paths(kinds)? {
            for path in paths.into_iter().flatten() {
                // What cannot be looked at cannot be read either.
                let Ok(Some(stamp)) = folder.stamp(path.file()) else { continue };
                let settled = stamp.modified < now.0.saturating_sub(UNSETTLED);
                all.push((path, if settled { stamp.text } else { format!("{} {}", stamp.text, now.0) }));
            }
        }
        Ok(all)
    }

    /// The newest notes of those kinds that can be read, at most that many.
    pub(super) fn newest(&self, kinds: &[Kind], most: usize) -> Result<Vec<Head>, NoteError> {
        let found = self.paths(kinds)?;
        let mut all: Vec<(&Folder, &NotePath)> =
            found.iter().flat_map(|(folder, paths)| paths.iter().flatten().map(move |path| (folder, path))).collect();
        all.sort_by_cached_key(|(_, path)| newest_first(path));
        Ok(all.into_iter().take(most).filter_map(|(folder, path)| head(folder, path).ok().flatten()).collect())
    }

    /// What is in the folders of those kinds.
    #[expect(clippy::type_complexity, reason = "it is taken apart at once")]
    fn paths(&self, kinds: &[Kind]) -> Result<Vec<(Folder, Vec<Result<NotePath, Broken>>)>, NoteError> {
        let mut all = Vec::new();
        for kind in kinds {
            let mut seen: BTreeSet<String> = BTreeSet::new();
            let folders = self.folders(*kind)?;
            let several = folders.len() > 1;
            for folder in folders {
                let listed = || format!("list {}", self.parts(*kind).join("/"));
                let mut names = folder.names().map_err(|error| NoteError::io(listed(), error))?;
                if several {
                    // One that is in both is read in the first.
                    names.retain(|name| seen.insert(name.clone()));
                }
                let path = |name: String| {
                    let path = NotePath::new(self.dir.parts(), *kind, &name);
                    let odd = name.contains('\u{fffd}') || !is_file(&name);
                    if odd {
                        Err(Broken::whole(path.as_str(), "its name has characters that no note's has"))
                    } else {
                        Ok(path)
                    }
                };
                all.push((folder, names.into_iter().map(path).collect()));
            }
        }
        Ok(all)
    }
}

/// Names without a date come last.
fn newest_first(path: &NotePath) -> Reverse<(Option<String>, String)> {
    Reverse((stamp_of(path.file()).map(ToOwned::to_owned), path.as_str().to_owned()))
}

/// Reads as little of a file as its front matter and beginning need; `None` if it is not there.
fn head(folder: &Folder, path: &NotePath) -> Result<Option<Head>, Broken> {
    for most in [FIRST_READ, FRONT_LIMIT + FIRST_READ] {
        let part = match folder.read(path.file(), most) {
            Ok(Some(part)) => part,
            Ok(None) => return Ok(None),
            Err(error) => return Err(Broken::whole(path.as_str(), error.to_string())),
        };
        match Document::parse_head(&part.bytes, part.whole) {
            Ok(Some(document)) => return Ok(Some(Head::of(path, &document))),
            Ok(None) => {}
            Err(fault) => return Err(Broken::of(path.as_str(), fault)),
        }
    }
    Err(Broken::whole(path.as_str(), "its front matter has no end"))
}

/// How long after a change another one may have the same time, in milliseconds: longer than the clock of any file system
/// takes for a step.
const UNSETTLED: i64 = 2_100;

/// What is read of a note at first, which is enough for nearly all.
const FIRST_READ: usize = 4 << 10;

/// How much of what a note says is in a list, in bytes.
const BEGINNING: usize = 2 << 10;
