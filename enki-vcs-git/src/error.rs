//! What can go wrong with git, and how it is said through the traits of the core.

use enki_core::refinery::RefineryError;
use enki_core::workspace::{WorkspaceError, WorkspaceErrorKind};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Git, or the repository, is not as it has to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// There is no git to run.
    #[error("no executable git in {searched:?}: install git 2.38 or newer, or put it on PATH")]
    Missing {
        /// The `PATH` that was searched.
        searched: String,
    },
    /// Git is too old.
    #[error("{} is git {version}, and Enki needs 2.38 or newer: install a newer git, or put one first on PATH", program.display())]
    TooOld {
        /// Which program.
        program: PathBuf,
        /// What it says it is.
        version: String,
    },
    /// The folder is in no repository.
    #[error("{} is in no project: `enki init` makes one of the folder as it is; or go to a git repository, or make one with `git init` and a first commit", path.display())]
    NotARepository {
        /// The folder.
        path: PathBuf,
    },
    /// The folder is too much to be one project.
    #[error("{} cannot be a project, because {reason}: make a folder for the project, and run `enki init` there", path.display())]
    TooBroad {
        /// The folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The repository has no files to work on.
    #[error("{} is a bare repository: run Enki in a clone that has a work tree", path.display())]
    Bare {
        /// The folder.
        path: PathBuf,
    },
    /// Nothing is committed yet.
    #[error("{} has no commit yet on branch {branch:?}: make a first commit, Enki will not make one for you", path.display())]
    Unborn {
        /// The repository.
        path: PathBuf,
        /// The branch that HEAD names.
        branch: String,
    },
    /// A table of refs has no end, and git shows none of them.
    #[error(
        "{} was cut off by a loss of power, and without it git shows no branch at all: commit nothing; put its folder back \
         from a copy, or take its name out of `tables.list` beside it, and all refs are as they were before it was written",
        file.display()
    )]
    CutOff {
        /// The table.
        file: PathBuf,
    },
    /// The person's git does not trust the folder.
    #[error(
        "git does not trust {}, because somebody else owns it: if you do, run `git config --global --add safe.directory {}`",
        path.display(), path.display()
    )]
    DubiousOwnership {
        /// The folder that git names.
        path: PathBuf,
    },
    /// The repository is of a kind that Enki cannot work with.
    #[error("{} cannot be used: {reason}", path.display())]
    Unsupported {
        /// The repository.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// Workspaces cannot be where they shall be.
    #[error("workspaces cannot be in {}: {reason}", root.display())]
    UnfitRoot {
        /// Where they shall be.
        root: PathBuf,
        /// Why not, and what to do.
        reason: String,
    },
    /// A branch cannot be the one beside the work.
    #[error("branch {name:?} cannot be the one of results: {why}")]
    UnfitBranch {
        /// Which one.
        name: String,
        /// Why not, and what to do.
        why: String,
    },
    /// There is no local branch of that name.
    #[error("there is no local branch {name:?}; {}", candidates_text(candidates))]
    NoSuchBranch {
        /// What was asked for.
        name: String,
        /// What may have been meant: local branches, then a remote branch or tag of the name.
        candidates: Vec<String>,
    },
    /// No remote has that branch, or there is no such remote.
    #[error("there is no branch {name:?} at a remote; {}", remote_candidates_text(candidates))]
    NoSuchRemoteBranch {
        /// What was asked for, `<remote>:<branch>`.
        name: String,
        /// What may have been meant.
        candidates: Vec<String>,
    },
    /// A remote could not be reached, or its answer got lost.
    #[error("{attempted} failed: {said}")]
    Remote {
        /// What was attempted, with which remote.
        attempted: String,
        /// What git said, in one line.
        said: String,
    },
    /// A lock of git stays.
    #[error("{} has been there for {} s: another git is at work, or one was killed; see to it that none runs, then try again", file.display(), age.as_secs())]
    Locked {
        /// The lock.
        file: PathBuf,
        /// How old it is.
        age: Duration,
    },
    /// Git said no.
    #[error("{attempted} failed ({}): {stderr}", exit_text(*code))]
    Failed {
        /// The call.
        attempted: String,
        /// Its exit status; `None` if a signal ended it.
        code: Option<i32>,
        /// What it said.
        stderr: String,
    },
    /// Git did not end in time.
    #[error("{attempted} did not end within {} s", after.as_secs())]
    TimedOut {
        /// The call.
        attempted: String,
        /// The limit.
        after: Duration,
    },
    /// Git said more than is taken.
    #[error("{attempted} put out more than {limit} bytes")]
    TooMuch {
        /// The call.
        attempted: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// Git said something else than it is documented to say.
    #[error("{attempted} put out {output:?}, which Enki does not understand")]
    Unexpected {
        /// The call.
        attempted: String,
        /// What it said, shortened.
        output: String,
    },
    /// The operating system said no.
    #[error("{attempted}: {source}")]
    Io {
        /// What was attempted, on what.
        attempted: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Something that must be there is not.
    #[error("{0}")]
    Gone(String),
    /// A workspace cannot be unmounted.
    #[error("{} is in use and cannot be unmounted: end what has a file or a shell open there, then try again", path.display())]
    Busy {
        /// The workspace.
        path: PathBuf,
    },
    /// There is less free space than there has to be.
    #[error(
        "{} MB are free on the disk of {}, and a workspace is begun with at least {} MB: make room, or lower workspace.min_free_mb",
        free >> 20, path.display(), floor >> 20
    )]
    DiskLow {
        /// The project.
        path: PathBuf,
        /// What is free, in bytes.
        free: u64,
        /// What has to be, in bytes.
        floor: u64,
    },
    /// A command of the project that prepares a workspace, or what it left, is not as it has to be.
    #[error("{0}")]
    Setup(String),
    /// Somebody else changed the same thing at the same time, again and again.
    #[error("{0}")]
    Raced(String),
}

impl GitError {
    /// An error of the operating system on that path.
    pub(crate) fn io(attempted: &str, path: &std::path::Path, source: io::Error) -> Self {
        Self::Io { attempted: format!("{attempted} {}", path.display()), source }
    }

    /// Whether another try may help without anybody's doing.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        use rustix::io::Errno;
        match self {
            Self::Locked { .. } | Self::TimedOut { .. } | Self::Raced(_) | Self::Remote { .. } | Self::Busy { .. } => {
                true
            }
            // No process, descriptor or memory just now.
            Self::Io { source, .. } => source.raw_os_error().map(Errno::from_raw_os_error).is_some_and(|errno| {
                matches!(errno, Errno::AGAIN | Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::INTR)
            }),
            _ => false,
        }
    }

    pub(crate) fn workspace(self, attempted: impl Into<String>) -> WorkspaceError {
        let kind = match &self {
            Self::Gone(_) => WorkspaceErrorKind::Lost,
            Self::DiskLow { .. } => WorkspaceErrorKind::DiskLow,
            _ => WorkspaceErrorKind::Environment,
        };
        WorkspaceError::new(kind, attempted, self.to_string())
    }

    pub(crate) fn refinery(self, attempted: impl Into<String>) -> RefineryError {
        let transient = self.is_transient();
        RefineryError::new(attempted, self.to_string(), transient)
    }
}

fn candidates_text(candidates: &[String]) -> String {
    if candidates.is_empty() {
        "there is no branch at all".to_owned()
    } else {
        format!("there are: {}", candidates.join(", "))
    }
}

fn remote_candidates_text(candidates: &[String]) -> String {
    if candidates.is_empty() {
        "there is no remote: `git remote add origin URL` makes one".to_owned()
    } else {
        format!("there may be: {}", candidates.join(", "))
    }
}

fn exit_text(code: Option<i32>) -> String {
    code.map_or_else(|| "ended by a signal".to_owned(), |code| format!("exit {code}"))
}
