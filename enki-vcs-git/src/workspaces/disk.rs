//! Free space, and how much a folder takes.

use crate::error::GitError;
use crate::project::GitProject;
use crate::workspaces::overlay;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The most that the usual floor asks for.
const FLOOR: u64 = 1 << 30;

/// What is free on the project's disk, and what has to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Room {
    free: u64,
    floor: u64,
}

impl Room {
    /// Asks the file system of `.enki`, or of the project before that is there.
    pub(crate) fn of(project: &GitProject) -> Result<Self, GitError> {
        let enki = project.enki_dir();
        let at = if enki.is_dir() { &enki } else { project.root() };
        let disk = rustix::fs::statvfs(at).map_err(|e| GitError::io("ask for the free space of", at, e.into()))?;
        let usual = FLOOR.min(disk.f_blocks.saturating_mul(disk.f_frsize) / 50);
        let floor = project.options().min_free_bytes.unwrap_or(usual);
        Ok(Self { free: disk.f_bavail.saturating_mul(disk.f_frsize), floor })
    }

    /// Whether a workspace may be begun.
    pub(crate) const fn suffices(self) -> bool {
        self.free >= self.floor
    }

    /// Whether workspaces may be made that nobody has asked for: they leave as much again.
    pub(crate) const fn is_ample(self) -> bool {
        self.free >= self.floor.saturating_mul(2)
    }

    /// The error that says what is missing.
    pub(crate) fn low(self, project: &GitProject) -> GitError {
        GitError::DiskLow { path: project.root().to_owned(), free: self.free, floor: self.floor }
    }
}

/// Bytes on the disk that a folder takes, without following links. Files with several names count once for each.
/// Looks at every file; what disappears meanwhile does not count, nor does what is mounted there.
pub(crate) fn taken(folder: &Path) -> io::Result<u64> {
    if overlay::is_mount(folder) {
        return Ok(0);
    }
    let mut bytes = 0;
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        for entry in entries {
            let entry = entry?;
            let Ok(meta) = entry.metadata() else { continue };
            bytes += meta.blocks() * 512;
            if meta.is_dir() {
                open.push(entry.path());
            }
        }
    }
    Ok(bytes)
}
