//! Candidates that a loss of power took, or a `git clean -fdx`: what is in `.enki/` is made for speed, and not durable.

use crate::error::GitError;
use crate::project::GitProject;
use crate::there;
use enki_core::refinery::Candidate;
use std::fs;
use std::path::Path;

/// Whether the refinery has not all of a candidate any more. What it still has is put aside then, so that all is made
/// anew: git does not write an object again that is there by name, though it be empty.
pub(crate) fn put_aside(project: &GitProject, candidate: Candidate) -> Result<bool, GitError> {
    let dir = project.refinery_dir()?;
    let range = [candidate.commit.to_string(), format!("^{}", candidate.base)];
    let walk = project.git().at(&dir).args(["rev-list", "--objects", "--quiet"]).args(range).run()?;
    if walk.code == Some(0) && !has_empty_object(&dir.join("objects"))? {
        return Ok(false);
    }
    let folder = project.enki_dir().join("aside");
    let mut names = (1_u32..).map(|n| folder.join(format!("refinery-{}.{n}.git", candidate.commit.short())));
    let aside = names.find(|aside| fs::symlink_metadata(aside).is_err());
    let aside = aside.expect("numbers do not end");
    fs::rename(&dir, &aside).map_err(|e| GitError::io("put aside", &dir, e))?;
    project.memo().forget();
    Ok(true)
}

fn has_empty_object(objects: &Path) -> Result<bool, GitError> {
    for folder in there::entries(objects)?.iter().filter(|folder| folder.file_name().len() == 2) {
        let files = there::entries(&folder.path())?;
        if files.iter().any(|file| file.metadata().is_ok_and(|meta| meta.len() == 0)) {
            return Ok(true);
        }
    }
    Ok(false)
}
