//! Indexes, told from each other without git.

use crate::error::GitError;
use crate::there::tells_what_it_is;
use enki_core::id::{EffectId, TreeId};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What an index ends with. Git may be told to leave the checksum out; then it is what stat says.
pub(crate) fn mark(index: &Path) -> Result<String, GitError> {
    let read = || -> io::Result<String> {
        let mut file = File::open(index)?;
        let meta = file.metadata()?;
        let mut end = [0; 32];
        let from = meta.len().saturating_sub(32);
        file.seek(SeekFrom::Start(from))?;
        let n = file.read(&mut end)?;
        let stat = if end[..n].iter().rev().take(20).all(|b| *b == 0) {
            format!(" {} {}.{} {}.{}", meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec())
        } else {
            String::new()
        };
        Ok(format!("{} {}{stat}", meta.len(), EffectId::of("mark", &[&end[..n]]).hex()))
    };
    match read() {
        Err(e) if tells_what_it_is(&e) => Ok("none".to_owned()),
        looked => looked.map_err(|e| GitError::io("read", index, e)),
    }
}

/// The trees that git made of files or of an index, so that it is not asked again about what is as it was.
#[derive(Debug, Default)]
pub(crate) struct Trees(Mutex<HashMap<PathBuf, (String, TreeId)>>);

/// Of how many that is remembered. Beyond it all are forgotten: they are asked about once more.
const REMEMBERED: usize = 1_000;

impl Trees {
    /// The tree of what is there, if it was told of exactly what that mark says.
    pub(crate) fn of(&self, there: &Path, mark: &str) -> Option<TreeId> {
        let trees = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        trees.get(there).filter(|(as_it_was, _)| as_it_was == mark).map(|(_, tree)| *tree)
    }

    pub(crate) fn remember(&self, there: &Path, mark: String, tree: TreeId) {
        let mut trees = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if trees.len() == REMEMBERED {
            trees.clear();
        }
        trees.insert(there.to_owned(), (mark, tree));
    }
}
