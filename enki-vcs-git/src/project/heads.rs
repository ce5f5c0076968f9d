//! Which branches are checked out, as far as plain files tell.

use crate::project::GitProject;
use enki_core::id::CommitId;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// What plain files tell of a branch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Plainly {
    /// The heads of all work trees name something else.
    Nowhere,
    /// The work tree of the project has it checked out, and no other.
    Here,
}

/// Where a branch is checked out, as far as the heads of all work trees are plain files. `None` says nothing: git has to
/// be asked.
pub(crate) fn plainly(project: &GitProject, full_ref: &str) -> Option<Plainly> {
    let common = project.common_dir();
    if project.facts().ref_format != "files" {
        return None;
    }
    let mut linked = Vec::new();
    match fs::read_dir(common.join("worktrees")) {
        Ok(entries) => {
            for entry in entries {
                linked.push(entry.ok()?.path().join("HEAD"));
            }
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(_) => return None,
    }
    if !linked.iter().all(|head| names_another(common, head, full_ref)) {
        return None;
    }
    let main = common.join("HEAD");
    if names_another(common, &main, full_ref) {
        return Some(Plainly::Nowhere);
    }
    let named = plain_text(&main)?;
    let here = named.trim_end().strip_prefix("ref: ") == Some(full_ref) && !is_alias(&common.join(full_ref));
    // That of the repository itself, and not one of its worktrees.
    let own = project.git_dir() == common && project.root().is_dir() && !project.is_folder();
    (here && own).then_some(Plainly::Here)
}

/// Whether a HEAD plainly names something else.
fn names_another(common: &Path, head: &Path, full_ref: &str) -> bool {
    let Some(text) = plain_text(head) else { return false };
    match text.trim_end().strip_prefix("ref: ") {
        // A name for another ref may be a name for this one.
        Some(named) => named != full_ref && !is_alias(&common.join(named)),
        None => text.trim_end().parse::<CommitId>().is_ok(),
    }
}

/// What a HEAD says. Old versions of git made it a link.
fn plain_text(head: &Path) -> Option<String> {
    fs::symlink_metadata(head).is_ok_and(|meta| meta.is_file()).then(|| fs::read_to_string(head).ok())?
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
