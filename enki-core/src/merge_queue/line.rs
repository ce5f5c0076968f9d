//! A candidate in the works.

use super::lot::Member;
use super::{Effect, EffectKind, LineNo};
use crate::id::{CommitId, RequestId};
use crate::refinery::{Candidate, Check, Gate};
use crate::time::{Timestamp, Wait};

/// A candidate in the works, of one change or a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its number.
    pub no: LineNo,
    /// The changes, in order. None, if the last candidate is published once more.
    pub members: Vec<Member>,
    /// What it is built on.
    pub base: CommitId,
    /// Where it is.
    pub stage: Stage,
    /// What was built.
    pub candidate: Option<Candidate>,
    pub(super) commits: Vec<Option<CommitId>>,
    /// Whether exactly this tree passed, or needs no check.
    pub(super) passed: bool,
    /// The last answer that was a failure, and how many there were.
    pub(super) failed: Option<Check>,
    pub(super) fails: u32,
    /// Whether the base was checked for this line, and passed.
    pub(super) base_passed: bool,
    /// What the check said of the only member on the base that it was queued on.
    pub(super) old_base_passed: Option<bool>,
    pub(super) tries: u32,
    pub(super) failures: u32,
    pub(super) wait: Wait,
}

/// Where a candidate is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Stage {
    /// Its changes are brought in.
    Importing,
    /// It is built.
    Building,
    /// Its check runs.
    Checking,
    /// The check answered, or none is needed. What follows is decided once the line is the first.
    Decided,
    /// The check runs on its base.
    CheckingBase,
    /// The check runs on its only member alone, on the base that it was queued on.
    CheckingOldBase,
    /// Past the point of no return.
    Publishing,
}

impl Line {
    pub(super) const fn new(no: LineNo, members: Vec<Member>, base: CommitId) -> Self {
        Self {
            no,
            members,
            base,
            stage: Stage::Importing,
            candidate: None,
            commits: Vec::new(),
            passed: false,
            failed: None,
            fails: 0,
            base_passed: false,
            old_base_passed: None,
            tries: 0,
            failures: 0,
            wait: Wait::NONE,
        }
    }

    /// Whether a change is a member of it.
    #[must_use]
    pub fn has(&self, request: RequestId) -> bool {
        self.members.iter().any(|member| member.request() == request)
    }

    /// What it must pass; the same for all members.
    #[must_use]
    pub fn gate(&self) -> Option<&Gate> {
        self.members.first().and_then(|member| member.entry.gate.as_ref())
    }

    /// The commit of each member, in order, once it is built; `None` for one that changes nothing.
    #[must_use]
    pub fn commits(&self) -> &[Option<CommitId>] {
        &self.commits
    }

    pub(super) fn at(&mut self, stage: Stage) {
        (self.stage, self.failures, self.wait) = (stage, 0, Wait::NONE);
        self.tries += 1;
    }

    /// What is to be done for it at `now`.
    pub(super) fn effect(&self, now: Timestamp) -> Option<Effect> {
        self.effect_after_wait().filter(|_| self.wait.is_over(now))
    }

    /// The same, once it waits no more.
    pub(super) fn effect_after_wait(&self) -> Option<Effect> {
        let kind = match self.stage {
            Stage::Importing => EffectKind::Import,
            Stage::Building => EffectKind::Build,
            Stage::Checking => EffectKind::Check,
            Stage::CheckingBase => EffectKind::CheckBase,
            Stage::CheckingOldBase => EffectKind::CheckOldBase,
            Stage::Publishing => EffectKind::Publish,
            Stage::Decided => return None,
        };
        Some(Effect { line: self.no, kind, attempt: self.tries })
    }
}
