//! What this process knows of commits that it made or looked at itself, so that git is not asked twice.
//!
//! Only facts that cannot change are here: a commit's tree and first parent follow from its id. Whether it is still
//! there is not such a fact: whoever uses one of these gets an error from git if it is gone. After a restart nothing is
//! known, and everything is asked.

use crate::error::GitError;
use crate::git::index::Trees;
use crate::keep::spare::Spares;
use crate::project::GitProject;
use enki_core::id::{AttemptNo, CommitId, TaskId, TreeId};
use std::collections::{HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many commits are remembered; the oldest are forgotten.
const REMEMBERED: usize = 3_000;
/// How far back a line of commits is followed.
const FOLLOWED: usize = 1_000;

/// What is known of a commit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Known {
    pub(crate) tree: TreeId,
    /// Its first parent, unless it has none.
    pub(crate) parent: Option<CommitId>,
    /// The ref that keeps it, and all that it needs, since it passed inspection or was built here.
    pub(crate) kept: Option<String>,
    /// The pack in the refinery that holds what is new in it, without its ending, and the last commit in that pack.
    pub(crate) pack: Option<(PathBuf, CommitId)>,
}

#[derive(Debug, Default)]
pub(crate) struct Memo {
    commits: Mutex<Table>,
    pub(crate) trees: Trees,
    /// Spare copies of what came into the person's repository lately.
    pub(crate) spares: Spares,
}

#[derive(Debug, Default)]
struct Table {
    known: HashMap<CommitId, Known>,
    order: VecDeque<CommitId>,
    /// The commit that was built last for an attempt's change.
    built: HashMap<(TaskId, AttemptNo), CommitId>,
}

impl Memo {
    pub(crate) fn put(&self, commit: CommitId, tree: TreeId, parent: Option<CommitId>) {
        let mut table = self.table();
        if table.known.contains_key(&commit) {
            return;
        }
        if table.order.len() == REMEMBERED
            && let Some(oldest) = table.order.pop_front()
        {
            table.known.remove(&oldest);
        }
        table.order.push_back(commit);
        table.known.insert(commit, Known { tree, parent, kept: None, pack: None });
    }

    /// Remembers that it passed inspection or was built here, and that the ref keeps it and all that it needs, durably.
    pub(crate) fn kept(&self, commit: CommitId, full_ref: &str) {
        if let Some(known) = self.table().known.get_mut(&commit) {
            known.kept = Some(full_ref.to_owned());
        }
    }

    /// Remembers the pack that holds what is new in a commit, and the last commit in it.
    pub(crate) fn packed(&self, commit: CommitId, pack: &Path, last: CommitId) {
        if let Some(known) = self.table().known.get_mut(&commit) {
            known.pack = Some((pack.to_owned(), last));
        }
    }

    pub(crate) fn get(&self, commit: CommitId) -> Option<Known> {
        self.table().known.get(&commit).cloned()
    }

    /// The commits that follow `from` up to `to` by first parents, oldest first; none if that line is not known.
    pub(crate) fn line(&self, from: CommitId, to: CommitId) -> Option<Vec<CommitId>> {
        let table = self.table();
        let (mut line, mut at) = (Vec::new(), to);
        while at != from {
            if line.len() == FOLLOWED {
                return None;
            }
            line.push(at);
            at = table.known.get(&at)?.parent?;
        }
        line.reverse();
        Some(line)
    }

    /// Remembers the commit that was built for an attempt's change and says so by its trailers.
    pub(crate) fn built(&self, of: (TaskId, AttemptNo), commit: CommitId) {
        let mut table = self.table();
        if table.built.len() == REMEMBERED {
            table.built.clear();
        }
        table.built.insert(of, commit);
    }

    /// Whether the commit that was built last for that change is known to be on the line that ends at `tip`.
    pub(crate) fn is_on(&self, of: (TaskId, AttemptNo), tip: CommitId) -> bool {
        let built = self.table().built.get(&of).copied();
        built.is_some_and(|commit| self.line(commit, tip).is_some())
    }

    /// Nothing is known any more: what was seen is gone.
    pub(crate) fn forget(&self) {
        *self.table() = Table::default();
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GitProject {
    /// Where a ref of the person's repository is, if a file says so plainly. `None` says nothing: it may be packed, a
    /// name for another ref, or in a table; git then has to be asked.
    pub(crate) fn plainly_at(&self, full_ref: &str) -> Option<CommitId> {
        if self.facts().ref_format != "files" {
            return None;
        }
        let text = fs::read_to_string(self.common_dir().join(full_ref)).ok()?;
        text.strip_suffix('\n')?.parse().ok()
    }

    /// Where a ref of the person's repository is, by its file or else by git.
    pub(crate) fn position(&self, full_ref: &str) -> Result<Option<CommitId>, GitError> {
        match self.plainly_at(full_ref) {
            Some(commit) => Ok(Some(commit)),
            None => self.commit_at(full_ref),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(n: usize) -> CommitId {
        format!("{n:040x}").parse().unwrap()
    }

    #[test]
    fn a_line_is_followed_only_over_what_is_known() {
        let memo = Memo::default();
        let tree = "a".repeat(40).parse().unwrap();
        (2..5).for_each(|n| memo.put(commit(n), tree, Some(commit(n - 1))));
        assert_eq!(memo.line(commit(1), commit(4)), Some(vec![commit(2), commit(3), commit(4)]));
        assert_eq!(memo.line(commit(4), commit(4)), Some(vec![]));
        assert_eq!(memo.line(commit(4), commit(2)), None);
        memo.put(commit(9), tree, None);
        assert_eq!(memo.line(commit(1), commit(9)), None);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let memo = Memo::default();
        let tree = "a".repeat(40).parse().unwrap();
        (0..=REMEMBERED).for_each(|n| memo.put(commit(n), tree, None));
        assert_eq!(memo.get(commit(0)), None);
        assert!(memo.get(commit(1)).is_some() && memo.get(commit(REMEMBERED)).is_some());
    }
}
