//! Order, checking and publishing of changes on one target branch. No git in it: the mechanisms are the methods of
//! [`crate::refinery::Refinery`].
//!
//! Changes wait in a [`lot`](self); a line is one candidate of one or several of them. What reaches the target passed
//! its check as exactly that tree on exactly that parent (R2), and is recorded as [`Event::Committing`] before the target
//! moves, so that a crash at any instant is finished or undone by proof (R3).
//!
//! * **Order**: age in steps of half an hour with priorities as a head start, then priority, then how many wait for it.
//! * **Batches**: up to [`Limits::max_batch`] changes in one candidate, as many as the rate of failures makes worth it. A
//!   batch that fails is split; nobody is blamed for the company they were in.
//! * **Blame**: only for failing twice, alone, on a base that passes (Q4); never for infrastructure (Q5); not for failing
//!   together with what was merged meanwhile.
//! * **Window**: up to [`Limits::window`] lines at once, each built on the one before; only the first publishes (Q6).

mod apply;
mod decide;
mod event;
mod line;
mod lot;
mod next;
#[cfg(test)]
mod tests;
mod verdicts;

pub use event::{Effect, EffectKind, Eject, Entry, Event, Input, LineNo, Partner, QueuePause, Rejected, Report};
pub use line::{Line, Stage};
pub use lot::Member;
pub use verdicts::Flakes;

use crate::branch::Branch;
use crate::id::{CommitId, RequestId, TreeId};
use crate::limits::Limits;
use crate::refinery::{Candidate, Change, ChangeKind, Gate};
use crate::time::Timestamp;
use lot::Lot;
use std::collections::{BTreeMap, VecDeque};
use verdicts::Verdicts;

/// The state of one queue.
#[derive(Clone, Debug, PartialEq)]
pub struct MergeQueue {
    target: Branch,
    head: Option<CommitId>,
    /// Whether the target may have moved since `head` was known: it is looked at before a line is formed.
    unsure: bool,
    lot: Lot,
    /// Candidates in the works, each built on the one before.
    lines: VecDeque<Line>,
    last_line: u64,
    paused: Option<QueuePause>,
    verdicts: Verdicts,
    /// What was merged last, for those who do not go with it.
    merged: VecDeque<Partner>,
    merges: u64,
    /// The candidate that the target moved to last.
    last: Option<Candidate>,
    /// How many lines it dares to have at once.
    window: u32,
    /// Answers to what was asked beside the lines.
    asides: u32,
    boot: Option<String>,
}

impl MergeQueue {
    /// The state after [`Event::Opened`], the first event of every queue.
    #[must_use]
    pub fn new(target: Branch, head: Option<CommitId>) -> Self {
        Self {
            target,
            head,
            unsure: false,
            lot: Lot::default(),
            lines: VecDeque::new(),
            last_line: 0,
            paused: None,
            verdicts: Verdicts::default(),
            merged: VecDeque::new(),
            merges: 0,
            last: None,
            window: 1,
            asides: 0,
            boot: None,
        }
    }

    /// What it publishes to.
    #[must_use]
    pub const fn target(&self) -> &Branch {
        &self.target
    }

    /// Where the target is, as far as known.
    #[must_use]
    pub const fn head(&self) -> Option<CommitId> {
        self.head
    }

    /// The candidates in the works; the first one is the next to be published.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = &Line> {
        self.lines.iter()
    }

    /// The line of that number.
    #[must_use]
    pub fn line(&self, no: LineNo) -> Option<&Line> {
        self.lines.iter().find(|line| line.no == no)
    }

    /// Changes that wait, in order.
    pub fn waiting(&self) -> impl Iterator<Item = &Entry> {
        self.lot.in_order().map(|member| &member.entry)
    }

    /// Changes that wait or are in the works.
    pub fn requests(&self) -> impl Iterator<Item = RequestId> {
        let lined = self.lines.iter().flat_map(|line| &line.members);
        lined.chain(self.lot.in_order()).map(Member::request)
    }

    /// Number of changes that wait or are in the works.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lot.len() + self.lines.iter().map(|line| line.members.len()).sum::<usize>()
    }

    /// Whether nothing waits and nothing is in the works.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lot.len() == 0 && self.lines.is_empty()
    }

    /// Why nothing is published, if so.
    #[must_use]
    pub const fn paused(&self) -> Option<&QueuePause> {
        self.paused.as_ref()
    }

    /// How often the check said two things about one tree.
    #[must_use]
    pub const fn flakes(&self) -> Flakes {
        self.verdicts.flakes
    }

    /// What the target moved to last, and from where: looked at again at a start, as the disk may have lost it.
    #[must_use]
    pub const fn last_merged(&self) -> Option<Candidate> {
        self.last
    }

    /// The start of the machine under which the last commit began.
    #[must_use]
    pub fn boot(&self) -> Option<&str> {
        self.boot.as_deref()
    }

    /// Changes past the point of no return.
    pub fn committing(&self) -> impl Iterator<Item = RequestId> {
        let lines = self.lines.iter().filter(|line| line.stage == Stage::Publishing);
        lines.flat_map(|line| &line.members).map(Member::request)
    }

    /// Whether a change is past the point of no return.
    #[must_use]
    pub fn is_committing(&self, request: RequestId) -> bool {
        self.committing().any(|committing| committing == request)
    }

    /// Whether a change is here.
    #[must_use]
    pub fn contains(&self, request: RequestId) -> bool {
        self.lot.get(request).is_some() || self.lines.iter().any(|line| line.has(request))
    }

    /// The tree of the head, if it passed that gate lately: for whoever takes the head further.
    #[must_use]
    pub fn head_passed(&self, gate: &Gate, now: Timestamp, limits: &Limits) -> Option<TreeId> {
        let candidate = self.last.filter(|candidate| self.head == Some(candidate.commit))?;
        self.verdicts.passed(candidate.tree, gate, now, limits).then_some(candidate.tree)
    }

    /// What should be in flight at `now`.
    pub fn effects(&self, now: Timestamp) -> impl Iterator<Item = Effect> {
        let lines = self.lines.iter().filter(|_| self.paused.is_none()).filter_map(move |line| line.effect(now));
        lines.chain(self.aside().map(|kind| Effect { line: LineNo(0), kind, attempt: self.asides }))
    }

    /// Whether what was begun for a line is still wanted: a clock that is set makes nothing wait that runs.
    #[must_use]
    pub fn goes_on(&self, begun: Effect) -> bool {
        self.paused.is_none() && self.line(begun.line).and_then(Line::effect_after_wait) == Some(begun)
    }

    /// What is wanted beside the lines.
    fn aside(&self) -> Option<EffectKind> {
        if self.looks() {
            Some(EffectKind::Look)
        } else if self.paused.is_some() || !self.waits_for_a_check() {
            None
        } else if self.unpredicted().next().is_some() {
            Some(EffectKind::Predict)
        } else {
            self.to_try().map(|_| EffectKind::Try)
        }
    }

    /// Whether it waits to be told where the target is.
    fn looks(&self) -> bool {
        let unknown = self.head.is_none() || self.unsure;
        let ready = match &self.paused {
            None => self.lines.is_empty(),
            // A change of the target is what ends this pause.
            Some(QueuePause::BaseRed { .. }) => true,
            Some(_) => false,
        };
        unknown && ready && self.lot.len() > 0
    }

    /// While a check runs there is time to find out what is next.
    fn waits_for_a_check(&self) -> bool {
        self.lines.front().is_some_and(|line| {
            matches!(line.stage, Stage::Checking | Stage::CheckingBase | Stage::CheckingOldBase)
                && line.gate().is_some()
        })
    }

    /// Waiting changes of which it is not known what they conflict with.
    fn unpredicted(&self) -> impl Iterator<Item = &Member> {
        self.lot.first().filter(|member| !member.predicted && member.is_step())
    }

    /// What to ask a prediction about: those that nothing is known of, and the others they are compared with.
    #[must_use]
    pub fn to_predict(&self) -> (Vec<&Change>, Vec<&Change>) {
        let lined = self.lines.iter().flat_map(|line| &line.members);
        let others = self.lot.first().filter(|member| member.predicted).chain(lined).filter(|member| member.is_step());
        (self.unpredicted().map(|m| &m.entry.change).collect(), others.map(|m| &m.entry.change).collect())
    }

    /// The waiting change that seems to conflict with the target, to be built at once so that it can go back.
    #[must_use]
    pub fn to_try(&self) -> Option<&Change> {
        self.lot.first().find(|member| member.off).map(|member| &member.entry.change)
    }

    /// When after `now` the passing of time alone changes something.
    #[must_use]
    pub fn next_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let lines = self.lines.iter().filter(|_| self.paused.is_none());
        lines.map(|line| line.wait.until).filter(|at| *at > now).min()
    }

    /// Checks the state against itself (merge-queue invariants Q1, Q2, Q6, Q9).
    ///
    /// # Errors
    ///
    /// The invariant that is broken.
    pub fn check(&self) -> Result<(), String> {
        self.lot.check()?;
        let mut seen = BTreeMap::new();
        for request in self.requests() {
            if seen.insert(request, ()).is_some() {
                return Err(format!("Q2: {request} is here twice"));
            }
        }
        let mut below: Option<&Line> = None;
        for line in &self.lines {
            if line.stage == Stage::Publishing && (below.is_some() || !line.passed) {
                return Err(format!("Q6: line {} publishes, and is not first or did not pass", line.no.0));
            }
            if line.candidate.is_some_and(|candidate| candidate.base != line.base) {
                return Err(format!("Q1: line {} was not built on its base", line.no.0));
            }
            if let Some(below) = below
                && below.candidate.map(|candidate| candidate.commit) != Some(line.base)
            {
                return Err(format!("Q6: line {} is not built on the one before it", line.no.0));
            }
            let clash = |member: &Member| line.members.iter().any(|other| member.clashes.contains(&other.request()));
            if line.members.iter().any(clash) {
                return Err(format!("Q9: members of line {} are known to conflict", line.no.0));
            }
            below = Some(line);
        }
        Ok(())
    }
}

impl Change {
    /// Its title, one line.
    #[must_use]
    pub fn title(&self) -> &str {
        match &self.kind {
            ChangeKind::Step { title, .. } | ChangeKind::Landing { title, .. } => title,
        }
    }
}
