//! A `.git` for those who work in a folder: made by hand, so that no template or configuration gets into it.
//! The host never runs git on it again.

use crate::error::GitError;
use crate::project::{GitProject, private_dir, put};
use enki_core::id::CommitId;
use std::fs;
use std::path::Path;

/// Makes `<work>/.git` with HEAD at that commit and a copy of that index, borrowing the objects of those git
/// directories. What is there is replaced.
pub(crate) fn make(
    project: &GitProject,
    work: &Path,
    branch: Option<&str>,
    commit: CommitId,
    index: &Path,
    borrow: &[&Path],
) -> Result<(), GitError> {
    let dir = work.join(".git");
    remove(&dir)?;
    for sub in ["objects/info", "objects/pack", "refs/heads", "refs/tags", "info", "hooks"] {
        private_dir(&dir.join(sub))?;
    }
    let mut config = project.private_config(false);
    config.push_str("[core]\n\tlogAllRefUpdates = true\n");
    config.push_str("[user]\n\tname = Enki agent\n\temail = agent@localhost\n[commit]\n\tgpgSign = false\n");
    put(&dir.join("config"), config.as_bytes())?;
    put(&dir.join("info/exclude"), b"/.enki/\n")?;
    match branch {
        Some(full_ref) => {
            let file = dir.join(full_ref);
            private_dir(file.parent().unwrap_or(&dir))?;
            put(&file, format!("{commit}\n").as_bytes())?;
            put(&dir.join("HEAD"), format!("ref: {full_ref}\n").as_bytes())?;
        }
        None => put(&dir.join("HEAD"), format!("{commit}\n").as_bytes())?,
    }
    project.borrow(&dir, borrow)?;
    if index.exists() {
        let copy = dir.join("index");
        fs::copy(index, &copy).map_err(|e| GitError::io("write", &copy, e))?;
    }
    Ok(())
}

/// Whether the agent made commits of its own on its branch since `make`. A branch that cannot be read counts as yes.
pub(crate) fn has_own_commits(work: &Path, full_ref: &str, commit: CommitId) -> bool {
    let at = crate::isolation::beneath::read(work, &format!(".git/{full_ref}"), 200);
    !at.is_ok_and(|at| at.is_some_and(|at| at.trim_ascii() == commit.to_string().as_bytes()))
}

/// Moves a git directory out of a workspace, away from whoever works there.
pub(crate) fn move_out(project: &GitProject, git: &Path, to: &Path) -> Result<(), GitError> {
    match fs::rename(git, to) {
        Err(e) if e.kind() == std::io::ErrorKind::CrossesDevices => {}
        result => return result.map_err(|e| GitError::io("move aside", git, e)),
    }
    // Out of an overlay only its content goes.
    let tmp = project.enki_dir().join("tmp");
    let dir = tempfile::tempdir_in(&tmp).map_err(|e| GitError::io("make a folder in", &tmp, e))?;
    let copy = dir.path().join("it");
    copy_folder(git, &copy).map_err(|e| GitError::io("copy", git, e))?;
    fs::rename(&copy, to).map_err(|e| GitError::io("move aside", git, e))?;
    remove(git)
}

/// Files, folders and links, without following any.
fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, copy) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &copy)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, copy)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), copy)?;
        }
    }
    Ok(())
}

/// Removes a file, a link or a folder, whatever it is and whatever an agent did to it. Links are not followed.
pub(crate) fn remove(path: &Path) -> Result<(), GitError> {
    crate::workspaces::sweep::remove(path).map_err(|e| GitError::io("remove", path, e))
}
