//! `FakeRefinery`: a refinery in memory.

use super::vcs::{FakeRepository, Files, Merge};
use enki_core::async_trait;
use enki_core::branch::Branch;
use enki_core::id::{CommitId, EffectId};
use enki_core::refinery::{
    Build, Candidate, Change, ChangeKind, Check, Gate, Import, Publish, Refinery, RefineryError, TargetState,
};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// A [`Refinery`] over a [`FakeRepository`]. Clones share everything.
///
/// Its gates are functions over the files of a candidate. Without one of yours, a gate understands the commands `true`,
/// `false` and `test -f <path>`; any other is [`Check::Unknown`].
#[derive(Clone)]
pub struct FakeRefinery {
    repository: FakeRepository,
    bases: Arc<Mutex<HashMap<Branch, CommitId>>>,
    judge: Arc<Judge>,
}

type Judge = dyn Fn(&Gate, &Files) -> Check + Send + Sync;

impl fmt::Debug for FakeRefinery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeRefinery").field("repository", &self.repository).finish_non_exhaustive()
    }
}

impl FakeRefinery {
    /// A refinery of that repository.
    #[must_use]
    pub fn new(repository: FakeRepository) -> Self {
        Self { repository, bases: Arc::default(), judge: Arc::new(small_shell) }
    }

    /// The same with another judge of gates.
    #[must_use]
    pub fn judged_by(mut self, judge: impl Fn(&Gate, &Files) -> Check + Send + Sync + 'static) -> Self {
        self.judge = Arc::new(judge);
        self
    }

    fn files(&self, commit: CommitId, attempted: &str) -> Result<Files, RefineryError> {
        self.repository.files(commit).ok_or_else(|| unknown(commit, attempted))
    }
}

#[async_trait]
impl Refinery for FakeRefinery {
    async fn open(&self, target: &Branch, integration: &Branch) -> Result<CommitId, RefineryError> {
        let mut bases = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(base), Some(_)) = (bases.get(integration), self.repository.head(integration)) {
            return Ok(*base);
        }
        let Some(base) = self.repository.head(target) else {
            let attempted = format!("open {integration} at {target}");
            return Err(RefineryError::new(
                attempted,
                format!("there is no branch {target}; name one there is"),
                false,
            ));
        };
        self.repository.set(integration, Some(base));
        bases.insert(integration.clone(), base);
        Ok(base)
    }

    async fn import(&self, change: &Change) -> Result<Import, RefineryError> {
        self.files(change.commit, &format!("import {}", change.request))?;
        self.repository.keep(change.commit);
        Ok(Import::Imported)
    }

    async fn build(&self, base: CommitId, changes: &[Change], _id: EffectId) -> Result<Build, RefineryError> {
        let attempted = format!("build on {}", base.short());
        let first = self.files(base, &attempted)?;
        let mut tip = base;
        let mut commits = Vec::with_capacity(changes.len());
        for change in changes {
            let commit = change.commit;
            if self.repository.contains(tip, commit) {
                commits.push(None);
                continue;
            }
            let landing = matches!(change.kind, ChangeKind::Landing { .. });
            if landing && self.repository.contains(commit, tip) {
                tip = commit;
                commits.push(Some(tip));
                continue;
            }
            let files = match self.repository.merge(tip, commit).ok_or_else(|| unknown(commit, &attempted))? {
                Merge::Clean(files) => files,
                Merge::Conflict { paths, .. } => {
                    let hunks = format!("both changed {}", paths.join(" and "));
                    return Ok(Build::Conflict { request: change.request, paths, hunks });
                }
            };
            if !landing && files == self.files(tip, &attempted)? {
                commits.push(None);
                continue;
            }
            let parents = if landing { vec![tip, commit] } else { vec![tip] };
            tip = self.repository.commit(files, &parents, &message(change), change.at);
            commits.push(Some(tip));
        }
        if !changes.is_empty() && self.files(tip, &attempted)? == first {
            return Ok(Build::Empty);
        }
        let tree = self.repository.get(tip).ok_or_else(|| unknown(tip, &attempted))?.tree;
        Ok(Build::Candidate { candidate: Candidate { commit: tip, tree, base }, commits })
    }

    async fn predict(&self, pairs: &[(CommitId, CommitId)]) -> Result<Vec<bool>, RefineryError> {
        let conflicts = |(one, other): &(CommitId, CommitId)| {
            matches!(self.repository.merge(*one, *other), Some(Merge::Conflict { .. }))
        };
        Ok(pairs.iter().map(conflicts).collect())
    }

    async fn check(&self, candidate: &Candidate, gate: &Gate, _id: EffectId) -> Result<Check, RefineryError> {
        let files = self.files(candidate.commit, &format!("check {}", candidate.commit.short()))?;
        Ok((self.judge)(gate, &files))
    }

    async fn publish(
        &self,
        target: &Branch,
        expected: CommitId,
        candidate: &Candidate,
    ) -> Result<Publish, RefineryError> {
        self.repository.keep(candidate.commit);
        match self.repository.head(target) {
            Some(head) if self.repository.contains(head, candidate.commit) => Ok(Publish::Published),
            _ => match self.repository.compare_and_swap(target, Some(expected), candidate.commit) {
                Ok(()) => Ok(Publish::Published),
                Err(now) => Ok(Publish::Moved { now }),
            },
        }
    }

    async fn inspect(&self, target: &Branch, candidate: Option<CommitId>) -> Result<TargetState, RefineryError> {
        let head = self.repository.head(target);
        let contains = head.zip(candidate).is_some_and(|(head, candidate)| self.repository.contains(head, candidate));
        let was_there = candidate.is_some_and(|candidate| self.repository.left(target, candidate));
        Ok(TargetState { head, contains, was_there })
    }
}

fn message(change: &Change) -> String {
    match &change.kind {
        ChangeKind::Step { task, attempt, title, summary } => {
            format!("{title}\n\n{summary}\n\nEnki-Task: {task}\nEnki-Attempt: {attempt}\n")
        }
        ChangeKind::Landing { title, .. } => format!("{title}\n"),
    }
}

fn unknown(commit: CommitId, attempted: &str) -> RefineryError {
    RefineryError::new(attempted, format!("commit {commit} is unknown; it was never captured here"), false)
}

fn small_shell(gate: &Gate, files: &Files) -> Check {
    let verdict = |yes| if yes { Check::Passed } else { Check::Failed { log: format!("{} said no", gate.command) } };
    match gate.command.as_str() {
        "true" => verdict(true),
        "false" => verdict(false),
        other => match other.strip_prefix("test -f ") {
            Some(path) => verdict(files.contains_key(path)),
            None => Check::Unknown { reason: format!("no command {other:?} here") },
        },
    }
}
