//! What commands look at beyond the machines.

use crate::failure::Failure;
use enki_core::async_trait;
use enki_core::id::{CommitId, TaskId};
use enki_core::recall::Recall;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// The workspaces and the memory of a project.
#[async_trait]
pub trait Bench: fmt::Debug + Send + Sync {
    /// Where the workspace of a task is, if it has one.
    ///
    /// # Errors
    ///
    /// If that cannot be known.
    async fn workspace(&self, task: TaskId) -> Result<Option<PathBuf>, Failure>;

    /// What a workspace differs in; `None` if the task has none.
    ///
    /// # Errors
    ///
    /// If it cannot be looked at.
    async fn diff(&self, task: TaskId, ask: DiffAsk) -> Result<Option<Diff>, Failure>;

    /// What is remembered, if anything is.
    fn recall(&self) -> Option<Arc<dyn Recall>>;
}

/// What is asked of a workspace.
#[derive(Clone, Debug, Default)]
pub struct DiffAsk {
    /// Against this commit, instead of what the workspace was made from.
    pub base: Option<CommitId>,
    /// Only these files and folders, which are plain paths beneath the workspace.
    pub files: Vec<String>,
    /// Whether the places of the changes are wanted.
    pub hunks: bool,
    /// How many bytes of the patch are wanted.
    pub patch: u64,
}

/// What a workspace differs in.
#[derive(Clone, Debug, Default)]
pub struct Diff {
    /// From which commit.
    pub base: String,
    /// Paths, with lines added and removed; none of a binary file. Perhaps not all.
    pub files: Vec<(String, Option<(u64, u64)>)>,
    /// How many files differ.
    pub total: usize,
    /// Lines added and removed in all.
    pub lines: (u64, u64),
    /// Headers of hunks.
    pub hunks: Vec<String>,
    /// The beginning of the patch.
    pub patch: Vec<u8>,
    /// All of its bytes.
    pub size: u64,
}
