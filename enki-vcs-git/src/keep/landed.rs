//! What of the refs of Enki is on a branch.

use crate::error::GitError;
use crate::project::GitProject;
use crate::project::refs::Held;
use enki_core::id::{AttemptNo, CommitId, TaskId};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// What some tips have, looked at once.
#[derive(Debug)]
pub(crate) struct Landed<'a> {
    project: &'a GitProject,
    tips: Vec<CommitId>,
    /// Refs whose commit is an ancestor of a tip.
    contained: BTreeSet<String>,
    /// Changes that a commit of a tip says it is.
    recorded: BTreeSet<(TaskId, AttemptNo)>,
    /// Attempts that were captured more than once, differently: a trailer does not tell which capture it means.
    ambiguous: BTreeSet<(TaskId, AttemptNo)>,
    /// Answers about single commits, each of which costs a merge.
    merged: RefCell<BTreeMap<CommitId, bool>>,
}

impl<'a> Landed<'a> {
    pub(crate) fn on(project: &'a GitProject, tips: &[CommitId], held: &[Held]) -> Result<Self, GitError> {
        let (mut contained, mut recorded) = (BTreeSet::new(), BTreeSet::new());
        for tip in tips {
            contained.extend(project.held_by(*tip)?);
            recorded.extend(project.recorded(*tip, None)?);
        }
        let mut captures: BTreeMap<(TaskId, AttemptNo), BTreeSet<CommitId>> = BTreeMap::new();
        for held in held.iter().filter(|held| held.is(crate::project::refs::KEPT)) {
            if let Some(marks) = held.marks() {
                captures.entry(marks).or_default().insert(held.commit);
            }
        }
        let ambiguous = captures.into_iter().filter(|(_, commits)| commits.len() > 1).map(|(marks, _)| marks).collect();
        Ok(Self { project, tips: tips.to_vec(), contained, recorded, ambiguous, merged: RefCell::default() })
    }

    /// Whether a tip has the commit itself.
    pub(crate) fn contains(&self, held: &Held) -> bool {
        self.contained.contains(&held.name)
    }

    /// Whether a commit of a tip says that it is the change of the same attempt.
    pub(crate) fn records(&self, held: &Held) -> bool {
        held.marks().is_some_and(|marks| self.recorded.contains(&marks))
    }

    /// Whether nothing is lost without the ref: a tip has the commit, records just this change, or would not change
    /// by it.
    pub(crate) fn has(&self, held: &Held) -> Result<bool, GitError> {
        let sure = held.marks().is_some_and(|marks| !self.ambiguous.contains(&marks));
        if self.contains(held) || (sure && self.records(held)) {
            return Ok(true);
        }
        if let Some(known) = self.merged.borrow().get(&held.commit) {
            return Ok(*known);
        }
        let mut known = false;
        for tip in &self.tips {
            known = known || self.project.adds_nothing(*tip, held.commit)?;
        }
        self.merged.borrow_mut().insert(held.commit, known);
        Ok(known)
    }
}

impl GitProject {
    /// Those of `commits` that are no ancestors of `tips`, except of themselves.
    pub(crate) fn not_within(&self, commits: &[CommitId], tips: &[CommitId]) -> Result<Vec<CommitId>, GitError> {
        let mut left = Vec::new();
        for commit in commits {
            let mut within = false;
            for tip in tips.iter().filter(|tip| *tip != commit) {
                within = within || self.is_ancestor(*commit, *tip)?;
            }
            if !within {
                left.push(*commit);
            }
        }
        Ok(left)
    }
}
