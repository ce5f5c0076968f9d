//! A rule of the kernel opens a folder with all that is in it, and none can close a part of it again. So a folder that
//! holds something hidden is opened by its parts.

use super::Sandbox;
use std::path::{Path, PathBuf};

/// What a path is opened for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Grant {
    /// To see which names are in it, and no more.
    List,
    Read,
    Write,
}

/// What of the file system a sandbox opens, in paths without links.
pub(crate) fn grants(sandbox: &Sandbox) -> Vec<(PathBuf, Grant)> {
    let hidden: Vec<PathBuf> = sandbox.hidden.iter().map(|path| real(path)).collect();
    let writable = sandbox.writable.iter().chain(&sandbox.tmp).map(|path| (path, Grant::Write));
    let readable = sandbox.readable.iter().map(|path| (path, Grant::Read));
    let mut all = Vec::new();
    for (path, grant) in readable.chain(writable) {
        if let Ok(root) = path.canonicalize() {
            open(&root, grant, &hidden, &mut all);
        }
    }
    all
}

/// Where a link leads, and the path as it is if that cannot be told.
pub(super) fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn open(path: &Path, grant: Grant, hidden: &[PathBuf], all: &mut Vec<(PathBuf, Grant)>) {
    if hidden.iter().any(|hidden| hidden == path) {
        return;
    }
    if !hidden.iter().any(|hidden| hidden.starts_with(path)) {
        all.push((path.to_owned(), grant));
        return;
    }
    all.push((path.to_owned(), Grant::List));
    // What cannot be listed stays closed, and so does what is made there later.
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        // A link needs no right of its own; where it leads is opened on its own or not at all.
        if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
            open(&entry.path(), grant, hidden, all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::SandboxLevel;
    use std::fs;

    #[test]
    fn what_is_hidden_is_left_out_of_what_is_open_and_a_longer_path_counts() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for folder in ["home/.cargo/bin", "home/.ssh", "home/enki/work", "other"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("home/.cargo/credentials.toml"), "secret").unwrap();
        std::os::unix::fs::symlink(root.join("home/.ssh"), root.join("home/.cargo/link")).unwrap();
        let sandbox = Sandbox::new(SandboxLevel::Rules, None)
            .readable([root.join("home"), root.join("gone")])
            .writable([root.join("home/enki/work")])
            .hidden(["home/.ssh", "home/enki", "home/.cargo/credentials.toml"].map(|path| root.join(path)));
        let mut found: Vec<(String, Grant)> = grants(&sandbox)
            .into_iter()
            .map(|(path, grant)| (path.strip_prefix(&root).unwrap().display().to_string(), grant))
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let wanted = [
            ("home", Grant::List),
            ("home/.cargo", Grant::List),
            ("home/.cargo/bin", Grant::Read),
            ("home/enki/work", Grant::Write),
        ];
        assert_eq!(found, wanted.map(|(path, grant)| (path.to_owned(), grant)));
    }
}
