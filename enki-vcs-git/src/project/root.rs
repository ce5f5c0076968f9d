//! Where workspaces may be.

use crate::error::GitError;
use crate::project::GitProject;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// The folder below `.enki` that holds workspaces unless another one is asked for.
const USUAL: &str = "copies";
/// Folders below `.enki` that have another use.
const TAKEN: &[&str] = &[
    "git",
    "tmp",
    "capture",
    "aside",
    "pool",
    "lower",
    "checks",
    "logs",
    "artifacts",
    "refinery.git",
    "project.git",
    "private",
    "spare",
];

/// The usual folder of workspaces.
pub(crate) fn usual(project: &GitProject) -> PathBuf {
    project.enki_dir().join(USUAL)
}

/// The folder that a wish stands for, with every link in it followed. Makes nothing.
pub(crate) fn find(project: &GitProject, wish: &Path) -> Result<PathBuf, GitError> {
    let unfit = |reason: &str| GitError::UnfitRoot { root: wish.to_owned(), reason: reason.to_owned() };
    let (base, rest) = existing(&project.root().join(wish)).map_err(|e| GitError::io("find", wish, e))?;
    if rest.components().any(|part| !matches!(part, Component::Normal(_))) {
        return Err(unfit("its `..` follows a folder that is not there: write it without"));
    }
    let root = if rest.as_os_str().is_empty() { base.clone() } else { base.join(rest) };
    let look =
        |path: &Path| -> Result<Metadata, GitError> { fs::metadata(path).map_err(|e| GitError::io("find", path, e)) };
    let there = look(&base)?;
    if !there.is_dir() {
        return Err(unfit(&format!("{} is not a folder: name another one", base.display())));
    }
    let enki = project.enki_dir();
    if project.root().starts_with(&root) || project.common_dir().starts_with(&root) {
        return Err(unfit("the repository is in it: name a folder that holds nothing else"));
    }
    if let Ok(inside) = root.strip_prefix(&enki) {
        let first = inside.components().next().map(|part| part.as_os_str().to_owned());
        if first.is_none_or(|first| TAKEN.iter().any(|taken| first == *taken)) {
            return Err(unfit("Enki keeps something else there: name another folder, such as .enki/copies"));
        }
    } else if root.starts_with(project.root()) || root.starts_with(project.common_dir()) {
        return Err(unfit("it is among the files of the repository: name a folder below .enki or outside of it"));
    }
    // Replaced workspaces are moved to `.enki/aside`, never copied: a move is there at once or not at all.
    let home = if enki.is_dir() { look(&enki)? } else { look(project.root())? };
    if there.dev() != home.dev() {
        return Err(unfit("it is on another file system than the project: name a folder on the same one"));
    }
    Ok(root)
}

/// The part of a path that is there, with links followed, and the rest.
fn existing(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    for base in path.ancestors() {
        match base.canonicalize() {
            Ok(found) => {
                let rest = path.strip_prefix(base).unwrap_or(Path::new(""));
                return Ok((found, rest.to_owned()));
            }
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
                    && base.symlink_metadata().is_err() => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}
