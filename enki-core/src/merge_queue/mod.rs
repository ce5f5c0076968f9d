//! Order, checking and publishing of changes on one target branch. No git in it: the mechanisms are the methods of
//! [`crate::refinery::Refinery`].
//!
//! One candidate line at a time, of one change; its inputs, events and effects leave room for batches. What reaches the
//! target passed its check as exactly that tree on exactly that parent (R2), and is recorded as [`Event::Committing`]
//! before the target moves, so that a crash at any instant is finished or undone by proof (R3).

mod event;
#[cfg(test)]
mod tests;

pub use event::{Effect, EffectKind, Eject, Entry, Event, Input, LineNo, QueuePause, Rejected, Report};

use crate::branch::Branch;
use crate::id::{CommitId, RequestId, TreeId};
use crate::limits::Limits;
use crate::refinery::{Build, Candidate, Check, TargetState};
use crate::retry::backoff;
use crate::tier::Priority;
use crate::time::Timestamp;
use std::collections::{BTreeMap, VecDeque};

/// Number of passed trees that are remembered.
const REMEMBERED: usize = 64;

/// The state of one queue.
#[derive(Clone, Debug, PartialEq)]
pub struct MergeQueue {
    target: Branch,
    head: Option<CommitId>,
    head_tree: Option<TreeId>,
    /// Whether the target may have moved since `head` was known: it is looked at before a line is formed.
    unsure: bool,
    waiting: BTreeMap<(Priority, u64), Entry>,
    places: BTreeMap<RequestId, (Priority, u64)>,
    arrivals: u64,
    line: Option<Line>,
    lines: u64,
    paused: Option<QueuePause>,
    /// Trees that passed, with the command they passed.
    passes: VecDeque<(TreeId, String)>,
    flakes: u64,
}

/// The candidate in the works.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its number.
    pub no: LineNo,
    /// The change.
    pub entry: Entry,
    /// What it is built on.
    pub base: CommitId,
    /// Where it is.
    pub stage: Stage,
    place: (Priority, u64),
    candidate: Option<Candidate>,
    failed: Option<Check>,
    tries: u32,
    failures: u32,
    not_before: Timestamp,
}

/// Where a candidate is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "each is named after the mechanism that is wanted")]
pub enum Stage {
    Importing,
    Building,
    Checking,
    CheckingBase,
    Publishing,
}

impl MergeQueue {
    /// The state after [`Event::Opened`], the first event of every queue.
    #[must_use]
    pub const fn new(target: Branch, head: Option<CommitId>) -> Self {
        Self {
            target,
            head,
            head_tree: None,
            unsure: false,
            waiting: BTreeMap::new(),
            places: BTreeMap::new(),
            arrivals: 0,
            line: None,
            lines: 0,
            paused: None,
            passes: VecDeque::new(),
            flakes: 0,
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

    /// The candidate in the works.
    #[must_use]
    pub const fn line(&self) -> Option<&Line> {
        self.line.as_ref()
    }

    /// Changes that wait, in order.
    pub fn waiting(&self) -> impl Iterator<Item = &Entry> {
        self.waiting.values()
    }

    /// Number of changes that wait or are in the works.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len() + usize::from(self.line.is_some())
    }

    /// Whether nothing waits and nothing is in the works.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Why nothing is published, if so.
    #[must_use]
    pub const fn paused(&self) -> Option<&QueuePause> {
        self.paused.as_ref()
    }

    /// Number of trees that failed and then passed.
    #[must_use]
    pub const fn flakes(&self) -> u64 {
        self.flakes
    }

    /// The candidate, once it is built.
    #[must_use]
    pub fn candidate(&self) -> Option<Candidate> {
        self.line.as_ref().and_then(|line| line.candidate)
    }

    /// Whether a change is past the point of no return.
    #[must_use]
    pub fn is_committing(&self, request: RequestId) -> bool {
        self.line.as_ref().is_some_and(|l| l.entry.change.request == request && l.stage == Stage::Publishing)
    }

    /// Whether a change is here.
    #[must_use]
    pub fn contains(&self, request: RequestId) -> bool {
        self.places.contains_key(&request)
    }

    /// The verdict on the head's tree with that command, for whoever takes the head further.
    #[must_use]
    pub fn head_passed(&self, command: &str) -> Option<TreeId> {
        self.head_tree.filter(|tree| self.passed(*tree, command))
    }

    fn passed(&self, tree: TreeId, command: &str) -> bool {
        self.passes.iter().any(|(passed, with)| *passed == tree && with == command)
    }

    /// Decides what an input means.
    ///
    /// # Errors
    ///
    /// [`Rejected`] if the state does not accept it. Nothing changed then.
    pub fn decide(&self, input: &Input, now: Timestamp, limits: &Limits) -> Result<Vec<Event>, Rejected> {
        match input {
            Input::Enqueue(entry) if self.contains(entry.change.request) => Err(Rejected::Known(entry.change.request)),
            Input::Enqueue(entry) => Ok(vec![Event::Queued(entry.clone())]),
            Input::Withdraw(request) if self.is_committing(*request) => Err(Rejected::Committing(*request)),
            Input::Withdraw(request) if !self.contains(*request) => Err(Rejected::Unknown(*request)),
            Input::Withdraw(request) => Ok(vec![Event::Withdrawn { request: *request }]),
            Input::Pause(why) if self.paused.is_none() => Ok(vec![Event::QueuePaused { why: why.clone() }]),
            Input::Pause(_) => Ok(vec![]),
            Input::Resume if self.paused.is_some() => Ok(vec![Event::QueueResumed]),
            Input::Resume => Ok(vec![]),
            Input::Seen(_) if !self.looks() => Err(Rejected::Stale(LineNo(0))),
            Input::Seen(Some(head)) => Ok(vec![Event::TargetSeen { head: *head }]),
            Input::Seen(None) => Ok(vec![Event::QueuePaused { why: QueuePause::TargetGone }]),
            Input::Report(of, report) => match &self.line {
                // A second answer about an earlier try must not be taken for the answer about this one.
                Some(line) if line.no == of.line && line.tries == of.attempt => {
                    self.report(line, report, now, limits).ok_or(Rejected::Stale(of.line))
                }
                _ => Err(Rejected::Stale(of.line)),
            },
        }
    }

    fn report(&self, line: &Line, report: &Report, now: Timestamp, limits: &Limits) -> Option<Vec<Event>> {
        let no = line.no;
        let events = match (line.stage, report) {
            (Stage::Importing, Report::Imported) => vec![Event::ImportRecorded { line: no }],
            (Stage::Importing, Report::ImportRefused(policy)) => {
                vec![eject(line, Eject::Refused { policy: policy.clone() })]
            }
            (Stage::Building, Report::Built(Build::Candidate { candidate, .. })) => self.built(line, candidate),
            (Stage::Building, Report::Built(Build::Conflict { paths, hunks, .. })) => {
                vec![eject(line, Eject::Conflict { paths: paths.clone(), hunks: hunks.clone() })]
            }
            (Stage::Building, Report::Built(Build::Empty)) => vec![eject(line, Eject::Empty)],
            (Stage::Checking, Report::Checked(check)) => self.checked(line, check, now, limits),
            (Stage::CheckingBase, Report::BaseChecked(check)) => Self::base_checked(line, check, now, limits),
            (Stage::Publishing, Report::Published) => {
                vec![Event::Merged { line: no, commit: line.candidate?.commit }]
            }
            (Stage::Publishing, Report::Moved(state)) => Self::moved(line, state, now, limits)?,
            (Stage::Publishing, Report::Blocked { reason, command }) => {
                vec![eject(line, Eject::Blocked { reason: reason.clone(), command: command.clone() })]
            }
            (_, Report::Failed(reason)) => vec![defer(line, reason, now, limits)],
            _ => return None,
        };
        Some(events)
    }

    fn built(&self, line: &Line, candidate: &Candidate) -> Vec<Event> {
        let no = line.no;
        let mut events = vec![Event::Prepared { line: no, candidate: *candidate }];
        let known =
            line.entry.gate.as_ref().is_none_or(|gate| {
                line.entry.passed == Some(candidate.tree) || self.passed(candidate.tree, &gate.command)
            });
        if known {
            if line.entry.gate.is_some() {
                events.push(Event::VerdictReused { line: no, tree: candidate.tree });
            }
            events.extend([Event::Verified { line: no }, Event::Committing { line: no }]);
        }
        events
    }

    fn checked(&self, line: &Line, check: &Check, now: Timestamp, limits: &Limits) -> Vec<Event> {
        let no = line.no;
        let recorded = Event::CheckRecorded { line: no, check: check.clone() };
        match check {
            Check::Passed => vec![recorded, Event::Verified { line: no }, Event::Committing { line: no }],
            Check::Unknown { reason } => vec![defer(line, reason, now, limits)],
            Check::Failed { .. } | Check::TimedOut { .. } if line.failed.is_none() => {
                vec![recorded, Event::Confirming { line: no }]
            }
            Check::Failed { log } | Check::TimedOut { log } => {
                let green = line.entry.gate.as_ref().is_some_and(|g| self.head_passed(&g.command).is_some());
                let then = if green {
                    eject(line, Eject::Failed { log: log.clone() })
                } else {
                    Event::CheckingBase { line: no }
                };
                vec![recorded, then]
            }
        }
    }

    fn base_checked(line: &Line, check: &Check, now: Timestamp, limits: &Limits) -> Vec<Event> {
        let recorded = Event::BaseRecorded { line: line.no, check: check.clone() };
        match check {
            Check::Passed => {
                let log = match &line.failed {
                    Some(Check::Failed { log } | Check::TimedOut { log }) => log.clone(),
                    Some(Check::Passed | Check::Unknown { .. }) | None => String::new(),
                };
                vec![recorded, eject(line, Eject::Failed { log })]
            }
            Check::Failed { log } | Check::TimedOut { log } => {
                vec![recorded, Event::QueuePaused { why: QueuePause::BaseRed { log: log.clone() } }]
            }
            Check::Unknown { reason } => vec![defer(line, reason, now, limits)],
        }
    }

    /// The recovery table of the merge protocol, for a candidate whose `Committing` is recorded.
    fn moved(line: &Line, state: &TargetState, now: Timestamp, limits: &Limits) -> Option<Vec<Event>> {
        let candidate = line.candidate?;
        Some(match state.head {
            _ if state.contains => vec![Event::Merged { line: line.no, commit: candidate.commit }],
            None => vec![Event::QueuePaused { why: QueuePause::TargetGone }],
            Some(_) if state.was_there => vec![eject(line, Eject::Rewound)],
            // It is back where it was: publish again.
            Some(head) if head == candidate.base => vec![defer(line, "the target moved and came back", now, limits)],
            Some(head) if line.entry.rebuilds < limits.rebuilds => vec![Event::Stale { line: line.no, head }],
            Some(_) => vec![eject(line, Eject::Moved)],
        })
    }

    /// The next facts that the state calls for; empty once nothing does.
    #[must_use]
    pub fn settle(&self) -> Vec<Event> {
        let head = self.head.filter(|_| !self.unsure);
        let (None, None, Some(base), Some((_, entry))) =
            (&self.line, &self.paused, head, self.waiting.first_key_value())
        else {
            return Vec::new();
        };
        vec![Event::BatchFormed { line: LineNo(self.lines + 1), base, members: vec![entry.change.request] }]
    }

    /// Changes the state by one event of this queue's log. Total: it cannot fail, live or on replay.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Opened { target, head } => *self = Self::new(target.clone(), *head),
            Event::Queued(entry) => {
                // Whoever else writes to the target had all the time since the last change to do so.
                self.unsure |= self.is_empty();
                self.arrivals += 1;
                let place = (entry.priority, self.arrivals);
                self.places.insert(entry.change.request, place);
                self.waiting.insert(place, (**entry).clone());
            }
            Event::Withdrawn { request } | Event::Ejected { request, .. } => {
                if let Event::Ejected { reason: Eject::Rewound | Eject::Moved, .. } = event {
                    (self.head, self.head_tree) = (None, None);
                }
                if let Some(place) = self.places.remove(request) {
                    self.waiting.remove(&place);
                }
                if self.line.take_if(|line| line.entry.change.request == *request).is_some() {
                    self.unsure = true;
                }
            }
            Event::QueuePaused { why } => {
                if *why == QueuePause::TargetGone {
                    (self.head, self.head_tree) = (None, None);
                }
                self.paused = Some(why.clone());
            }
            Event::QueueResumed => {
                // A person may have mended the target: what is not past the point of no return is built anew on it.
                self.unsure = true;
                if let Some(QueuePause::BaseRed { .. }) = self.paused.take() {
                    (self.head, self.head_tree) = (None, None);
                }
                match &mut self.line {
                    Some(line) if line.stage == Stage::Publishing => {
                        line.tries += 1;
                        line.failures = 0;
                        line.not_before = Timestamp::default();
                    }
                    line => {
                        if let Some(line) = line.take() {
                            self.waiting.insert(line.place, line.entry);
                        }
                    }
                }
            }
            Event::TargetSeen { head } => {
                self.unsure = false;
                if self.head != Some(*head) {
                    (self.head, self.head_tree) = (Some(*head), None);
                }
            }
            Event::BatchFormed { line, base, members } => self.form(*line, *base, members),
            Event::ImportRecorded { .. } => self.at(Stage::Building),
            Event::Prepared { candidate, .. } => {
                self.at(Stage::Checking);
                if let Some(line) = &mut self.line {
                    line.candidate = Some(*candidate);
                }
            }
            Event::CheckRecorded { check, .. } => {
                if let Some(line) = &mut self.line {
                    match (check, &line.candidate, &line.entry.gate) {
                        (Check::Passed, Some(candidate), Some(gate)) => {
                            self.flakes += u64::from(line.failed.is_some());
                            let pass = (candidate.tree, gate.command.clone());
                            remember(&mut self.passes, pass);
                        }
                        _ => line.failed = Some(check.clone()),
                    }
                }
            }
            Event::Confirming { .. } => self.at(Stage::Checking),
            Event::CheckingBase { .. } => self.at(Stage::CheckingBase),
            Event::VerdictReused { .. } | Event::BaseRecorded { .. } | Event::Verified { .. } => {}
            Event::Deferred { until, .. } => {
                if let Some(line) = &mut self.line {
                    line.tries += 1;
                    line.failures += 1;
                    line.not_before = *until;
                }
            }
            Event::Committing { .. } => self.at(Stage::Publishing),
            Event::Merged { commit, .. } => {
                (self.head, self.unsure) = (Some(*commit), false);
                if let Some(line) = self.line.take() {
                    self.places.remove(&line.entry.change.request);
                    self.head_tree = line.candidate.map(|candidate| candidate.tree);
                    if let (Some(tree), Some(gate)) = (self.head_tree, line.entry.gate) {
                        remember(&mut self.passes, (tree, gate.command));
                    }
                }
            }
            Event::Stale { head, .. } => {
                (self.head, self.head_tree, self.unsure) = (Some(*head), None, false);
                if let Some(mut line) = self.line.take() {
                    line.entry.rebuilds += 1;
                    self.waiting.insert(line.place, line.entry);
                }
            }
        }
    }

    fn form(&mut self, no: LineNo, base: CommitId, members: &[RequestId]) {
        self.lines = no.0;
        let taken = members.first().and_then(|request| self.places.get(request)).copied();
        let Some((place, entry)) = taken.and_then(|place| Some((place, self.waiting.remove(&place)?))) else { return };
        self.line = Some(Line {
            no,
            entry,
            base,
            stage: Stage::Importing,
            place,
            candidate: None,
            failed: None,
            tries: 0,
            failures: 0,
            not_before: Timestamp::default(),
        });
    }

    fn at(&mut self, stage: Stage) {
        if let Some(line) = &mut self.line {
            (line.stage, line.failures, line.not_before) = (stage, 0, Timestamp::default());
            line.tries += 1;
        }
    }

    /// What should be in flight at `now`.
    #[must_use]
    pub fn effect(&self, now: Timestamp) -> Option<Effect> {
        if self.paused.is_some() {
            return None;
        }
        let Some(line) = &self.line else {
            let look = Effect { line: LineNo(0), kind: EffectKind::Look, attempt: 0 };
            return self.looks().then_some(look);
        };
        let kind = match line.stage {
            Stage::Importing => EffectKind::Import,
            Stage::Building => EffectKind::Build,
            Stage::Checking => EffectKind::Check,
            Stage::CheckingBase => EffectKind::CheckBase,
            Stage::Publishing => EffectKind::Publish,
        };
        (line.not_before <= now).then_some(Effect { line: line.no, kind, attempt: line.tries })
    }

    /// Whether it waits to be told where the target is.
    fn looks(&self) -> bool {
        let unknown = self.head.is_none() || self.unsure;
        unknown && self.line.is_none() && self.paused.is_none() && !self.waiting.is_empty()
    }

    /// When after `now` the passing of time alone changes something.
    #[must_use]
    pub fn next_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let line = self.line.as_ref().filter(|_| self.paused.is_none())?;
        (line.not_before > now).then_some(line.not_before)
    }

    /// Checks the state against itself (merge-queue invariants Q2, Q6).
    ///
    /// # Errors
    ///
    /// The invariant that is broken.
    pub fn check(&self) -> Result<(), String> {
        let lined = self.line.as_ref().map(|line| line.entry.change.request);
        for (request, place) in &self.places {
            let waits = self.waiting.get(place).is_some_and(|entry| entry.change.request == *request);
            if waits == (lined == Some(*request)) {
                return Err(format!("Q2: {request} waits: {waits}, in the works: {lined:?}"));
            }
        }
        if self.places.len() != self.len() {
            return Err(format!("Q2: {} places for {} changes", self.places.len(), self.len()));
        }
        match &self.line {
            Some(line) if line.stage == Stage::Publishing && line.candidate.is_none_or(|c| c.base != line.base) => {
                Err(format!("Q1: line {} publishes what was not built on its base", line.no.0))
            }
            _ => Ok(()),
        }
    }
}

fn eject(line: &Line, reason: Eject) -> Event {
    let charged = matches!(reason, Eject::Failed { .. });
    Event::Ejected { request: line.entry.change.request, reason, charged }
}

/// Infrastructure is never charged: tried again after a wait, then the queue pauses.
fn defer(line: &Line, reason: &str, now: Timestamp, limits: &Limits) -> Event {
    let failures = line.failures + 1;
    if failures as usize > limits.check_backoff.len() {
        return Event::QueuePaused { why: QueuePause::Infrastructure { reason: reason.to_owned() } };
    }
    let until = now.plus(backoff(&limits.check_backoff, failures, line.no.0));
    Event::Deferred { line: line.no, until, reason: reason.to_owned() }
}

fn remember(passes: &mut VecDeque<(TreeId, String)>, pass: (TreeId, String)) {
    if !passes.contains(&pass) {
        passes.push_back(pass);
    }
    if passes.len() > REMEMBERED {
        passes.pop_front();
    }
}
