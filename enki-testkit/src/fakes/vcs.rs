//! `FakeRepository`: commits, trees and branches in memory, addressed by content, with a merge by whole files.

use enki_core::branch::Branch;
use enki_core::id::{CommitId, TreeId};
use enki_core::time::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The files of a tree: contents by path.
pub type Files = BTreeMap<String, String>;

/// A change to one file: its path, and its new content or `None` to delete it.
pub type Edit<'a> = (&'a str, Option<&'a str>);

/// A repository in memory. Clones share it, as processes share one on disk.
///
/// Ids are hashes of content, so the same commit made twice is one commit. Merging is by whole files: two sides
/// conflict exactly if they changed one path in different ways.
#[derive(Clone, Debug, Default)]
pub struct FakeRepository {
    state: Arc<Mutex<State>>,
}

/// A commit.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "as in git")]
pub struct Commit {
    pub tree: TreeId,
    pub parents: Vec<CommitId>,
    pub message: String,
    pub at: Timestamp,
}

/// What became of a merge.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Merge {
    /// The files of both sides.
    Clean(Files),
    /// Both sides changed the same files in different ways.
    Conflict {
        /// Which files, in order.
        paths: Vec<String>,
        /// All files, with the conflict written into those.
        files: Files,
    },
}

#[derive(Debug, Default)]
struct State {
    trees: HashMap<TreeId, Arc<Files>>,
    commits: HashMap<CommitId, Commit>,
    branches: BTreeMap<Branch, CommitId>,
    /// What each branch was moved away from, like a reflog.
    left: HashMap<Branch, HashSet<CommitId>>,
    kept: BTreeSet<CommitId>,
}

impl FakeRepository {
    /// A repository with that branch, whose one commit has these files.
    #[must_use]
    pub fn with_files(branch: &Branch, files: &[(&str, &str)]) -> Self {
        let repository = Self::default();
        let files = files.iter().map(|(path, content)| ((*path).to_owned(), (*content).to_owned())).collect();
        let commit = repository.commit(files, &[], "first", Timestamp(0));
        repository.set(branch, Some(commit));
        repository
    }

    /// Makes a commit of these files. It is on no branch yet.
    pub fn commit(&self, files: Files, parents: &[CommitId], message: &str, at: Timestamp) -> CommitId {
        let tree = tree_id(&files);
        let commit = Commit { tree, parents: parents.to_vec(), message: message.to_owned(), at };
        let id = commit_id(&commit);
        let mut state = self.state();
        state.trees.entry(tree).or_insert_with(|| Arc::new(files));
        state.commits.entry(id).or_insert(commit);
        id
    }

    /// Commits edits on top of a branch, as a person does.
    ///
    /// # Panics
    ///
    /// If there is no such branch.
    pub fn edit(&self, branch: &Branch, edits: &[Edit<'_>], message: &str) -> CommitId {
        let head = self.head(branch).expect("the branch to edit exists");
        let mut files = self.files(head).expect("the head of a branch is known");
        apply(&mut files, edits);
        let commit = self.commit(files, &[head], message, Timestamp(0));
        self.set(branch, Some(commit));
        commit
    }

    /// Where a branch is.
    #[must_use]
    pub fn head(&self, branch: &Branch) -> Option<CommitId> {
        self.state().branches.get(branch).copied()
    }

    /// Puts a branch somewhere, wherever it was; `None` deletes it.
    pub fn set(&self, branch: &Branch, to: Option<CommitId>) {
        let mut state = self.state();
        state.note_leaving(branch, to);
        match to {
            Some(commit) => state.branches.insert(branch.clone(), commit),
            None => state.branches.remove(branch),
        };
    }

    /// Moves a branch if it is where it is expected.
    ///
    /// # Errors
    ///
    /// Where it is instead. Nothing was changed then.
    pub fn compare_and_swap(
        &self,
        branch: &Branch,
        expected: Option<CommitId>,
        to: CommitId,
    ) -> Result<(), Option<CommitId>> {
        let mut state = self.state();
        let now = state.branches.get(branch).copied();
        if now != expected {
            return Err(now);
        }
        state.note_leaving(branch, Some(to));
        state.branches.insert(branch.clone(), to);
        Ok(())
    }

    /// Takes a branch back as a loss of power does: nothing remembers that it was further.
    pub fn lose_move(&self, branch: &Branch, back_to: CommitId) {
        self.state().branches.insert(branch.clone(), back_to);
    }

    /// Whether a branch was once at that commit and was moved away.
    #[must_use]
    pub fn left(&self, branch: &Branch, commit: CommitId) -> bool {
        self.state().left.get(branch).is_some_and(|left| left.contains(&commit))
    }

    /// Keeps a commit whatever becomes of the branches.
    pub fn keep(&self, commit: CommitId) {
        self.state().kept.insert(commit);
    }

    /// A commit, if it is known.
    #[must_use]
    pub fn get(&self, commit: CommitId) -> Option<Commit> {
        self.state().commits.get(&commit).cloned()
    }

    /// The files of a commit, if it is known.
    #[must_use]
    pub fn files(&self, commit: CommitId) -> Option<Files> {
        let state = self.state();
        state.commits.get(&commit).and_then(|c| state.trees.get(&c.tree)).map(|files| (**files).clone())
    }

    /// Whether a commit is an ancestor of another, or that itself.
    #[must_use]
    pub fn contains(&self, descendant: CommitId, ancestor: CommitId) -> bool {
        self.state().ancestors([descendant]).contains(&ancestor)
    }

    /// Whether some branch has that commit in its history.
    #[must_use]
    pub fn on_a_branch(&self, commit: CommitId) -> bool {
        let state = self.state();
        state.ancestors(state.branches.values().copied()).contains(&commit)
    }

    /// Whether some branch has it, or would not change by merging it: it was squashed there.
    #[must_use]
    pub fn is_merged(&self, commit: CommitId) -> bool {
        let unchanged = |tip: CommitId| match self.merge(tip, commit) {
            Some(Merge::Clean(files)) => Some(files) == self.files(tip),
            Some(Merge::Conflict { .. }) | None => false,
        };
        self.on_a_branch(commit) || self.branches().into_iter().any(|(_, tip)| unchanged(tip))
    }

    /// Whether a branch or a kept commit has it in its history: what a collection of garbage would leave.
    #[must_use]
    pub fn reachable(&self, commit: CommitId) -> bool {
        let state = self.state();
        state.ancestors(state.branches.values().chain(&state.kept).copied()).contains(&commit)
    }

    /// All branches and where they are, in order of their names.
    #[must_use]
    pub fn branches(&self) -> Vec<(Branch, CommitId)> {
        self.state().branches.iter().map(|(branch, commit)| (branch.clone(), *commit)).collect()
    }

    /// A commit and everything it is built on, in no particular order.
    #[must_use]
    pub fn history(&self, of: CommitId) -> Vec<CommitId> {
        self.state().ancestors([of]).into_iter().collect()
    }

    /// The nearest commit that both have in their history.
    #[must_use]
    pub fn merge_base(&self, one: CommitId, other: CommitId) -> Option<CommitId> {
        let state = self.state();
        let of_one = state.ancestors([one]);
        let mut seen = HashSet::from([other]);
        let mut queue = VecDeque::from([other]);
        while let Some(at) = queue.pop_front() {
            if of_one.contains(&at) {
                return Some(at);
            }
            let parents = state.commits.get(&at).map_or(&[][..], |c| &c.parents);
            queue.extend(parents.iter().filter(|p| seen.insert(**p)));
        }
        None
    }

    /// Merges `theirs` into `ours` from their common base. `None` if one of them is not known.
    #[must_use]
    pub fn merge(&self, ours: CommitId, theirs: CommitId) -> Option<Merge> {
        let base = match self.merge_base(ours, theirs) {
            Some(base) => self.files(base)?,
            None => Files::new(),
        };
        Some(merge_files(&base, &self.files(ours)?, &self.files(theirs)?))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note_leaving(&mut self, branch: &Branch, to: Option<CommitId>) {
        if let Some(from) = self.branches.get(branch).copied()
            && to != Some(from)
        {
            self.left.entry(branch.clone()).or_default().insert(from);
        }
    }

    fn ancestors(&self, of: impl IntoIterator<Item = CommitId>) -> HashSet<CommitId> {
        let mut open: Vec<CommitId> = of.into_iter().collect();
        let mut seen = HashSet::new();
        while let Some(at) = open.pop() {
            if seen.insert(at) {
                open.extend(self.commits.get(&at).into_iter().flat_map(|c| &c.parents).copied());
            }
        }
        seen
    }
}

/// Applies edits to files.
pub fn apply(files: &mut Files, edits: &[Edit<'_>]) {
    for (path, content) in edits {
        match content {
            Some(content) => files.insert((*path).to_owned(), (*content).to_owned()),
            None => files.remove(*path),
        };
    }
}

/// The paths that differ, in order.
#[must_use]
pub fn differing(one: &Files, other: &Files) -> Vec<String> {
    let paths: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    paths.into_iter().filter(|path| one.get(*path) != other.get(*path)).cloned().collect()
}

/// Merges by whole files.
#[must_use]
pub fn merge_files(base: &Files, ours: &Files, theirs: &Files) -> Merge {
    let mut files = ours.clone();
    let mut paths = Vec::new();
    for path in differing(base, theirs) {
        let (was, mine, new) = (base.get(&path), ours.get(&path), theirs.get(&path));
        if mine == new {
            continue;
        }
        if mine == was {
            apply(&mut files, &[(&path, new.map(String::as_str))]);
        } else {
            let text = |side: Option<&String>| side.cloned().unwrap_or_default();
            let marked = format!("{MARKER} ours\n{}\n=======\n{}\n>>>>>>> theirs\n", text(mine), text(new));
            files.insert(path.clone(), marked);
            paths.push(path);
        }
    }
    if paths.is_empty() { Merge::Clean(files) } else { Merge::Conflict { paths, files } }
}

/// What a conflict in a file starts with.
pub(crate) const MARKER: &str = "<<<<<<<";

/// The id of a tree with these files.
#[must_use]
pub fn tree_id(files: &Files) -> TreeId {
    let mut hash = Sha256::new();
    for (path, content) in files {
        for part in [path, content] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    hex(&hash.finalize()).parse().expect("64 hex digits")
}

fn commit_id(commit: &Commit) -> CommitId {
    let mut hash = Sha256::new().chain_update(commit.tree.to_string());
    hash.update((commit.parents.len() as u64).to_be_bytes());
    for parent in &commit.parents {
        hash.update(parent.to_string());
    }
    hash.update(commit.at.0.to_be_bytes());
    hash.update(&commit.message);
    hex(&hash.finalize()).parse().expect("64 hex digits")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn main() -> Branch {
        "main".parse().unwrap()
    }

    #[test]
    fn edits_of_different_files_merge_and_of_one_file_conflict() {
        let repository = FakeRepository::with_files(&main(), &[("a", "1"), ("b", "1")]);
        let base = repository.head(&main()).unwrap();
        let with = |edits: &[Edit<'_>]| {
            let mut files = repository.files(base).unwrap();
            apply(&mut files, edits);
            repository.commit(files, &[base], "edit", Timestamp(1))
        };
        let (a, b, a2) = (with(&[("a", Some("2"))]), with(&[("b", None)]), with(&[("a", Some("3"))]));
        let Some(Merge::Clean(files)) = repository.merge(a, b) else { panic!("a and b do not touch") };
        assert_eq!(files, Files::from([("a".into(), "2".into())]));
        let Some(Merge::Conflict { paths, .. }) = repository.merge(a, a2) else { panic!("both changed a") };
        assert_eq!(paths, ["a"]);
        assert!(matches!(repository.merge(a, a), Some(Merge::Clean(_))));
    }

    #[test]
    fn only_branches_and_kept_commits_reach() {
        let repository = FakeRepository::with_files(&main(), &[("a", "1")]);
        let base = repository.head(&main()).unwrap();
        let loose = repository.commit(Files::new(), &[base], "loose", Timestamp(1));
        assert!(repository.reachable(base) && !repository.reachable(loose));
        repository.keep(loose);
        assert!(repository.reachable(loose) && !repository.on_a_branch(loose));
        repository.set(&main(), None);
        assert!(repository.reachable(base), "a kept commit keeps its history");
        assert!(repository.left(&main(), base));
    }

    #[test]
    fn a_swap_from_elsewhere_is_refused() {
        let repository = FakeRepository::with_files(&main(), &[("a", "1")]);
        let first = repository.head(&main()).unwrap();
        let second = repository.edit(&main(), &[("a", Some("2"))], "two");
        assert_eq!(repository.compare_and_swap(&main(), Some(first), first), Err(Some(second)));
        assert_eq!(repository.compare_and_swap(&main(), Some(second), first), Ok(()));
    }
}
