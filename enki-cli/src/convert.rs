//! Errors of the library as errors of the command line, each with its exit code and what to do.

use crate::error::{CliError, chain};
use crate::exit::Exit;
use enki_core::agent::AgentError;
use enki_core::driver::DriverError;
use enki_core::engine::Rejected;
use enki_core::execution;
use enki_core::recall::RecallError;
use enki_core::store::{StoreError, StoreErrorKind};
use enki_process::SpawnError;
use enki_vcs_git::GitError;

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

impl From<&StoreError> for CliError {
    fn from(error: &StoreError) -> Self {
        let (exit, hint) = match &error.kind {
            StoreErrorKind::Held(_) | StoreErrorKind::LeaseLost(_) => {
                (Exit::Locked, "`enki status` shows who drives; try again when that process has ended")
            }
            StoreErrorKind::Conflict { .. } | StoreErrorKind::Busy => (Exit::Locked, "try again"),
            StoreErrorKind::Full => (Exit::Environment, "free some space, then run the same command again"),
            StoreErrorKind::ReadOnly => (Exit::Environment, "check the permissions of .enki and how it is mounted"),
            StoreErrorKind::Unsupported(_) => (
                Exit::Environment,
                "move the project to a local disk, or set store.any_file_system = true at your own risk",
            ),
            StoreErrorKind::Io(_) => (Exit::Environment, "check the disk, then run the same command again"),
            StoreErrorKind::Corrupt(_) | StoreErrorKind::Replaced => {
                (Exit::Store, "keep the file; backups lie beside it as enki.db.backup-*")
            }
            StoreErrorKind::Newer { .. } => (Exit::Store, "use a newer enki"),
            StoreErrorKind::Duplicate(_) | StoreErrorKind::Invalid(_) => (Exit::Internal, "please report this"),
            _ => (Exit::Internal, "please report this"),
        };
        Self::new(exit, chain(error)).hint(hint)
    }
}

impl From<DriverError> for CliError {
    fn from(error: DriverError) -> Self {
        match &error {
            DriverError::Store(store) => Self::from(store.as_ref()),
            DriverError::Rejected(Rejected::Execution(execution::Rejected::NotFound(_))) | DriverError::NotFound(_) => {
                Self::new(Exit::NotFound, error.to_string()).hint("`enki status` lists the executions")
            }
            DriverError::Rejected(Rejected::UnknownExecution(_)) => {
                Self::new(Exit::NotFound, error.to_string()).hint("`enki status` lists the executions")
            }
            DriverError::Rejected(_) => {
                Self::usage(error.to_string()).hint("`enki status ID` shows the state; nothing changed")
            }
            DriverError::Plan(_) => Self::usage(error.to_string()).hint("fix the plan; nothing was stored"),
            DriverError::RequestIdConflict { .. } => Self::usage(error.to_string()).hint("nothing was stored"),
            DriverError::Ambiguous { .. } => Self::usage(error.to_string()).hint("give more digits"),
            DriverError::Record { .. } => Self::new(Exit::Store, error.to_string())
                .hint("keep the file; backups lie beside it as enki.db.backup-*"),
            _ => Self::new(Exit::Internal, error.to_string()),
        }
    }
}

impl From<GitError> for CliError {
    fn from(error: GitError) -> Self {
        // What to do stands behind the colon or semicolon of these errors already.
        let exit = if matches!(
            error,
            GitError::NoSuchBranch { .. }
                | GitError::NoSuchRemoteBranch { .. }
                | GitError::UnfitRoot { .. }
                | GitError::UnfitBranch { .. }
        ) {
            Exit::Usage
        } else {
            Exit::Environment
        };
        let text = error.to_string();
        match text.split_once(": ").filter(|_| has_remedy(&error)) {
            Some((what, remedy)) => Self::new(exit, what).hint(remedy),
            None => Self::new(exit, text),
        }
    }
}

const fn has_remedy(error: &GitError) -> bool {
    matches!(
        error,
        GitError::Missing { .. }
            | GitError::TooOld { .. }
            | GitError::NotARepository { .. }
            | GitError::TooBroad { .. }
            | GitError::Bare { .. }
            | GitError::Unborn { .. }
            | GitError::CutOff { .. }
            | GitError::DubiousOwnership { .. }
    )
}

impl From<RecallError> for CliError {
    fn from(error: RecallError) -> Self {
        Self::environment(chain(&error))
            .hint("check what is there and its permissions, then run the same command again")
    }
}

impl From<SpawnError> for CliError {
    fn from(error: SpawnError) -> Self {
        Self::environment(error.to_string()).hint("set `agent.command`, or pass --agent")
    }
}

impl From<AgentError> for CliError {
    fn from(error: AgentError) -> Self {
        Self::environment(chain(&error)).hint("set `agent.command`, or pass --agent")
    }
}
