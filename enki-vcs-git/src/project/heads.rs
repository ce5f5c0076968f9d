//! Which branches are checked out, as far as plain files tell.

use crate::project::GitProject;
use enki_core::id::CommitId;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Whether the heads of all work trees are plain files that name something else. False says nothing: git has to be
/// asked.
pub(crate) fn plainly_not_checked_out(project: &GitProject, full_ref: &str) -> bool {
    let common = project.common_dir();
    let mut heads = vec![common.join("HEAD")];
    match fs::read_dir(common.join("worktrees")) {
        Ok(entries) => {
            for entry in entries {
                let Ok(entry) = entry else { return false };
                heads.push(entry.path().join("HEAD"));
            }
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(_) => return false,
    }
    let elsewhere = |head: &PathBuf| {
        // Old versions of git made HEAD a link.
        let file = fs::symlink_metadata(head).is_ok_and(|meta| meta.is_file());
        let Some(text) = file.then(|| fs::read_to_string(head).ok()).flatten() else { return false };
        match text.trim_end().strip_prefix("ref: ") {
            // A name for another ref may be a name for this one.
            Some(named) => named != full_ref && !is_alias(&common.join(named)),
            None => text.trim_end().parse::<CommitId>().is_ok(),
        }
    };
    project.facts().ref_format == "files" && heads.iter().all(elsewhere)
}

/// Whether a ref is a name for another one, or may be.
pub(crate) fn is_alias(file: &Path) -> bool {
    match fs::symlink_metadata(file) {
        Ok(meta) if meta.is_file() => !fs::read(file).is_ok_and(|text| !text.starts_with(b"ref:")),
        Ok(_) => true,
        // Packed, or not born yet; neither is an alias.
        Err(e) => e.kind() != ErrorKind::NotFound,
    }
}
