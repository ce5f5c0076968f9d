//! What the suites of workspaces and of the refinery see of a project from outside.

use crate::fakes::FakeRepository;
use enki_core::branch::Branch;
use enki_core::id::CommitId;
use std::future::Future;

pub use crate::fakes::vcs::Edit;

/// A project's repository, looked at and changed as a person does it, past the backend under test.
///
/// Its branch `main` is there from the start, and nobody has it checked out.
pub trait Project {
    /// Where a branch is.
    fn head(&self, branch: &Branch) -> impl Future<Output = Option<CommitId>>;

    /// Commits edits on top of a branch and moves it there.
    fn commit(&self, branch: &Branch, edits: &[Edit<'_>]) -> impl Future<Output = CommitId>;

    /// Puts a branch somewhere, wherever it was; `None` deletes it.
    fn set(&self, branch: &Branch, to: Option<CommitId>) -> impl Future<Output = ()>;

    /// The content of a file in a commit, if it has that file.
    fn file(&self, commit: CommitId, path: &str) -> impl Future<Output = Option<String>>;

    /// The parents of a commit.
    fn parents(&self, commit: CommitId) -> impl Future<Output = Vec<CommitId>>;

    /// The message of a commit.
    fn message(&self, commit: CommitId) -> impl Future<Output = String>;

    /// Whether some ref, the backend's own ones included, has the commit in its history: what a collection of garbage
    /// would leave.
    fn reachable(&self, commit: CommitId) -> impl Future<Output = bool>;
}

/// The branch that is there from the start.
#[must_use]
pub fn main() -> Branch {
    "main".parse().expect("a branch name")
}

impl Project for FakeRepository {
    async fn head(&self, branch: &Branch) -> Option<CommitId> {
        Self::head(self, branch)
    }
    async fn commit(&self, branch: &Branch, edits: &[Edit<'_>]) -> CommitId {
        Self::edit(self, branch, edits, "by a person")
    }
    async fn set(&self, branch: &Branch, to: Option<CommitId>) {
        Self::set(self, branch, to);
    }
    async fn file(&self, commit: CommitId, path: &str) -> Option<String> {
        self.files(commit)?.remove(path)
    }
    async fn parents(&self, commit: CommitId) -> Vec<CommitId> {
        self.get(commit).map(|c| c.parents).unwrap_or_default()
    }
    async fn message(&self, commit: CommitId) -> String {
        self.get(commit).map(|c| c.message).unwrap_or_default()
    }
    async fn reachable(&self, commit: CommitId) -> bool {
        Self::reachable(self, commit)
    }
}
