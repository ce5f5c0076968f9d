//! Which note somebody means.

use super::Log;
use crate::error::NoteError;
use crate::kind::Kind;
use crate::name::{NotePath, is_file};
use std::path::Path;

/// Fewest characters of an id or a name's beginning.
const FEWEST: usize = 4;

impl Log {
    /// The note of that path (from the root, or absolute below it), of that file name, with that capture id, or whose id
    /// or file name alone begins so.
    ///
    /// # Errors
    ///
    /// If it is none or several. Nothing outside of the folders of notes is looked at.
    pub fn find(&self, text: &str) -> Result<NotePath, NoteError> {
        let none = || NoteError::NotFound { text: text.chars().take(200).collect() };
        if text.contains('/') {
            let root = self.root.canonicalize().unwrap_or_else(|_| self.root.clone());
            let path = Path::new(text);
            let below = path.strip_prefix(&self.root).or_else(|_| path.strip_prefix(&root)).unwrap_or(path);
            let below = below.strip_prefix(".").unwrap_or(below);
            let path = below.to_str().and_then(|below| NotePath::parse(self.dir.parts(), below)).ok_or_else(none)?;
            return if self.is_there(&path)? { Ok(path) } else { Err(none()) };
        }
        for name in [text.to_owned(), format!("{text}.md")] {
            let mut found = Vec::new();
            for kind in Kind::ALL.into_iter().filter(|_| is_file(&name)) {
                let path = NotePath::new(self.dir.parts(), kind, &name);
                if self.is_there(&path)? {
                    found.push(path);
                }
            }
            if !found.is_empty() {
                return one(text, found);
            }
        }
        if text.chars().count() < FEWEST {
            return Err(none());
        }
        let listing = self.list(&Kind::ALL)?;
        let id = text.to_ascii_lowercase();
        let by_id = |head: &&super::Head| head.capture_id.as_ref().is_some_and(|own| own.starts_with(&id));
        let mut found: Vec<NotePath> = listing.heads.iter().filter(by_id).map(|head| head.path.clone()).collect();
        if found.is_empty() {
            let by_name = |head: &&super::Head| head.path.file().starts_with(text);
            found.extend(listing.heads.iter().filter(by_name).map(|head| head.path.clone()));
        }
        if found.is_empty() { Err(none()) } else { one(text, found) }
    }

    /// The path of a text that names a file of these notes from the root of the project, whether it is there or not.
    #[must_use]
    pub fn path(&self, text: &str) -> Option<NotePath> {
        NotePath::parse(self.dir.parts(), text)
    }

    fn is_there(&self, path: &NotePath) -> Result<bool, NoteError> {
        for folder in self.folders(path.kind())? {
            if folder.has(path.file()).map_err(|error| NoteError::io(format!("look for {path}"), error))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The note that a link in another one names, if it is there.
    pub(super) fn linked(&self, link: &str) -> Result<Option<NotePath>, NoteError> {
        match NotePath::parse(self.dir.parts(), link) {
            Some(path) if self.is_there(&path)? => Ok(Some(path)),
            _ => Ok(None),
        }
    }
}

fn one(text: &str, mut found: Vec<NotePath>) -> Result<NotePath, NoteError> {
    match found.len() {
        1 => Ok(found.remove(0)),
        _ => Err(NoteError::Ambiguous { text: text.to_owned(), candidates: found }),
    }
}
