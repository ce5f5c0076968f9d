//! Whatever reads bytes from outside survives any bytes (S12): it does not panic, takes less than a second, and less than
//! 64 MB for an input of a megabyte.
//!
//! A [`Target`] is one such reader, with what must hold beside. Its corpus is a folder of inputs: beginnings, and what was
//! found. `cargo test -p enki-fuzz` plays all of them on a stable compiler; the program `fuzz` mutates them for as long as
//! it is told to, and adds what breaks a rule to the corpus.

pub mod mutate;
pub mod target;
pub mod trial;

pub use target::{TARGETS, Target};
pub use trial::trial;

use std::path::{Path, PathBuf};

/// The inputs of a target, in the order of their names.
///
/// # Panics
///
/// If the folder of the corpus is not there or cannot be read: these files are part of the repository.
#[must_use]
pub fn corpus(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<PathBuf> = target.corpora.iter().flat_map(|folder| inside(&root().join(folder))).collect();
    files.sort();
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        (path, bytes)
    };
    files.into_iter().map(read).collect()
}

/// The folder of the workspace.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn inside(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    paths.filter(|path| path.is_file()).collect()
}
