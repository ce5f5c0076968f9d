//! The files of one folder, read with care: no links, nothing large, nothing that is not a file.

use super::Owner;
use crate::error::CliError;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

/// A folder whose files of one ending count.
pub(super) struct Folder {
    path: PathBuf,
    ending: &'static str,
    owner: Owner,
}

/// A file that was there.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
}

impl Found {
    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }
}

impl Folder {
    pub(super) const fn new(path: PathBuf, ending: &'static str, owner: Owner) -> Self {
        Self { path, ending, owner }
    }

    /// Its files, by name. None if there is no such folder.
    pub(super) fn read(&self) -> Result<Vec<Found>, CliError> {
        let unreadable = |path: &Path, error: &std::io::Error| {
            CliError::environment(format!("cannot read {}: {error}", path.display())).hint("check its permissions")
        };
        match self.path.symlink_metadata() {
            Ok(found) if found.is_dir() => {}
            // A person may keep their own folder elsewhere.
            Ok(found) if found.is_symlink() && self.owner == Owner::Person && self.path.is_dir() => {}
            Ok(_) => {
                let message = format!("{} is not a folder of the place where it is", self.path.display());
                return Err(CliError::usage(message).hint("make it a real folder, or remove it"));
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(unreadable(&self.path, &error)),
        }
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(|error| unreadable(&self.path, &error))? {
            let path = entry.map_err(|error| unreadable(&self.path, &error))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.ends_with(self.ending) && !name.starts_with('.') {
                paths.push(path);
            }
            if paths.len() > MOST {
                let message = format!("{} has more than {MOST} files", self.path.display());
                return Err(CliError::usage(message).hint("remove those that are not needed"));
            }
        }
        paths.sort();
        paths.into_iter().map(|path| self.one(path)).collect()
    }

    fn one(&self, path: PathBuf) -> Result<Found, CliError> {
        let refused =
            |what: &str, hint: &str| Err(CliError::usage(format!("{} {what}", path.display())).hint(hint.to_owned()));
        let found = path.symlink_metadata();
        match found {
            Ok(found) if found.is_symlink() => return refused("is a symbolic link", "put the file itself there"),
            Ok(found) if !found.is_file() => return refused("is not a regular file", "move it away"),
            Ok(_) | Err(_) => {}
        }
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes));
        if let Err(error) = read {
            let message = format!("cannot read {}: {error}", path.display());
            return Err(CliError::environment(message).hint("check its permissions"));
        }
        if bytes.len() as u64 > LIMIT {
            return refused("is larger than the limit of 128 KiB", "shorten its texts");
        }
        Ok(Found { path, bytes })
    }
}

/// Largest file, in bytes, and how many of them.
const LIMIT: u64 = 128 << 10;
const MOST: usize = 200;
