//! The project a command acts in: the repository around the working directory, or the folder that `enki init` made one.

use crate::error::CliError;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A project's place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Project {
    /// The folder that holds `.git`, or `.enki/project.git`.
    pub root: PathBuf,
}

impl Project {
    /// The project around a folder, if there is one.
    #[must_use]
    pub fn find(start: &Path) -> Option<Self> {
        let is_one =
            |dir: &&Path| [".git", ".enki/project.git"].iter().any(|of| dir.join(of).symlink_metadata().is_ok());
        let root = start.ancestors().find(is_one)?;
        Some(Self { root: root.to_owned() })
    }

    /// The project around a folder.
    ///
    /// # Errors
    ///
    /// If there is none: a bare repository or no repository at all.
    pub fn require(start: &Path) -> Result<Self, CliError> {
        Self::find(start).ok_or_else(|| {
            if is_bare(start) {
                let message = format!("{} is a bare repository: it has no working files", start.display());
                return CliError::environment(message).hint("run enki in a clone of it, made with `git clone`");
            }
            let message = format!("{} is in no project", start.display());
            CliError::environment(message).hint(
                "`enki init` makes one of the folder as it is; or name a project with -C DIR, or make a git repository \
                 with `git init` and a first commit",
            )
        })
    }

    /// The folder of Enki's own files.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.root.join(".enki")
    }

    /// Makes the state folder, ignored by git as a whole. Overwrites nothing. Tells what was made.
    ///
    /// # Errors
    ///
    /// If it leads out of the project, or cannot be made.
    pub fn make_state_dir(&self) -> Result<Vec<PathBuf>, CliError> {
        let dir = self.state_dir();
        let mut made = Vec::new();
        let cannot = |path: &Path, error: &io::Error| {
            CliError::environment(format!("cannot make {}: {error}", path.display()))
                .hint("check the folder's permissions")
        };
        match dir.symlink_metadata() {
            Ok(found) if found.file_type().is_symlink() => {
                let message = format!("{} is a symbolic link", dir.display());
                return Err(CliError::usage(message).hint("make it a real folder: Enki's state stays in the project"));
            }
            Ok(found) if !found.is_dir() => {
                let message = format!("{} is not a folder", dir.display());
                return Err(CliError::usage(message).hint("move that file away"));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir(&dir)
                    .or_else(|e| if dir.is_dir() { Ok(()) } else { Err(e) })
                    .map_err(|e| cannot(&dir, &e))?;
                made.push(dir.clone());
            }
            Err(error) => return Err(cannot(&dir, &error)),
        }
        let ignore = dir.join(".gitignore");
        if write_new(&ignore, "*\n").map_err(|error| cannot(&ignore, &error))? {
            made.push(ignore);
        }
        Ok(made)
    }
}

/// Writes a file unless there is one. Tells whether it was written.
///
/// # Errors
///
/// What the system said.
pub fn write_new(path: &Path, text: &str) -> io::Result<bool> {
    use io::Write as _;
    match fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_bare(dir: &Path) -> bool {
    dir.ancestors().any(|dir| dir.join("HEAD").is_file() && dir.join("objects").is_dir() && dir.join("refs").is_dir())
}
