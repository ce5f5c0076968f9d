//! The only way the state changes, live and on replay.

use super::lot::Member;
use super::{Event, Line, MergeQueue, Partner, QueuePause, Stage};
use crate::id::{CommitId, RequestId};
use crate::refinery::{Candidate, Check};
use crate::time::{Timestamp, Wait};

/// Number of merged changes that are remembered.
const REMEMBERED: usize = 64;

impl MergeQueue {
    /// Changes the state by one event of this queue's log. Total: it cannot fail, live or on replay.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Opened { target, head } => *self = Self::new(target.clone(), *head),
            Event::Queued(entry) => {
                // Whoever else writes to the target had all the time since the last change to do so.
                self.unsure |= self.is_empty() || self.paused.is_some();
                let head = self.head.filter(|_| !self.unsure);
                self.lot.arrive((**entry).clone(), head, self.merges);
            }
            Event::Withdrawn { request } => self.leave(*request),
            Event::Ejected { request, reason, charged } => {
                if matches!(reason, super::Eject::Rewound | super::Eject::Moved) {
                    self.head = None;
                }
                if *charged {
                    self.verdicts.charged(*request);
                }
                if self.lot.get(*request).is_some_and(|member| member.off) {
                    self.asides += 1;
                }
                self.leave(*request);
            }
            Event::QueuePaused { why } => self.pause(why),
            Event::QueueResumed => self.resume(),
            Event::TargetSeen { head } => (self.head, self.unsure) = (Some(*head), false),
            Event::BatchFormed { line, base, members } => {
                self.last_line = line.0;
                let take = |request: &RequestId| self.lot.take(*request);
                let mut taken: Vec<Member> = members.iter().filter_map(take).collect();
                self.lot.leave_groups(members);
                for member in &mut taken {
                    member.old_base.get_or_insert(*base);
                }
                self.lines.push_back(Line::new(*line, taken, *base));
            }
            Event::ImportRecorded { line } => self.with(*line, |line| line.at(Stage::Building)),
            Event::Prepared { line, candidate, commits } => self.with(*line, |line| {
                line.candidate = Some(*candidate);
                line.commits.clone_from(commits);
                line.passed = line.gate().is_none();
                line.at(if line.passed { Stage::Decided } else { Stage::Checking });
            }),
            Event::VerdictReused { line, .. } => self.with(*line, |line| {
                line.passed = true;
                line.at(Stage::Decided);
            }),
            Event::CheckRecorded { line, check, at } => self.checked(*line, check, *at),
            Event::Confirming { line } => self.with(*line, |line| line.at(Stage::Checking)),
            Event::BatchSplit { line, groups } => {
                self.dissolve(*line);
                self.lot.split(groups);
            }
            Event::LeftOut { line, request } => self.leave_out(*line, *request),
            Event::CheckingBase { line } => self.with(*line, |line| line.at(Stage::CheckingBase)),
            Event::BaseRecorded { line, check, .. } => {
                let passed = *check == Check::Passed;
                if let Some((base, gate)) = self.line(*line).and_then(|l| Some((l.base, l.gate()?.clone())))
                    && passed
                {
                    self.verdicts.base_passed(base, &gate);
                }
                self.with(*line, |line| {
                    line.base_passed = passed;
                    line.at(Stage::Decided);
                });
            }
            Event::CheckingOldBase { line } => self.with(*line, |line| line.at(Stage::CheckingOldBase)),
            Event::OldBaseRecorded { line, check } => self.with(*line, |line| {
                line.old_base_passed = Some(*check == Check::Passed);
                line.at(Stage::Decided);
            }),
            Event::Predicted { of, clashes, off } => self.predicted(of, clashes, off),
            Event::Tried { request } => {
                self.asides += 1;
                self.lot.with(*request, |member| member.off = false);
            }
            Event::Deferred { line, until, since, .. } => self.with(*line, |line| {
                line.tries += 1;
                line.failures += 1;
                line.wait = Wait { until: *until, since: *since };
            }),
            Event::Verified { .. } => {}
            Event::Booted { boot } => self.boot = Some(boot.clone()),
            Event::Committing { line } => self.with(*line, |line| line.at(Stage::Publishing)),
            Event::Republishing { line, candidate } => {
                self.last_line = line.0;
                self.republish(*line, *candidate);
            }
            Event::Merged { commit, .. } => self.publish(*commit),
            Event::Stale { line, head } => {
                (self.head, self.unsure) = (Some(*head), false);
                self.with(*line, |line| line.members.iter_mut().for_each(|member| member.entry.rebuilds += 1));
                self.dissolve(*line);
            }
        }
    }

    /// What was merged last is published again, before whatever is built on it.
    fn republish(&mut self, no: super::LineNo, candidate: Candidate) {
        match self.lines.front_mut() {
            Some(above) if above.base != candidate.commit => {
                let above = above.no;
                self.dissolve(above);
            }
            // Past the point of no return, and stopped before it again: it cannot have happened.
            Some(above) if above.stage == Stage::Publishing => above.at(Stage::Decided),
            _ => {}
        }
        let mut again = Line::new(no, Vec::new(), candidate.base);
        (again.candidate, again.passed) = (Some(candidate), true);
        again.at(Stage::Publishing);
        self.lines.push_front(again);
    }

    fn with(&mut self, no: super::LineNo, of: impl FnOnce(&mut Line)) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.no == no) {
            of(line);
        }
    }

    /// A line and all that is built on it fall apart; their members wait again, at their places.
    fn dissolve(&mut self, no: super::LineNo) {
        let Some(at) = self.lines.iter().position(|line| line.no == no) else { return };
        for line in self.lines.drain(at..) {
            line.members.into_iter().for_each(|member| self.lot.put(member));
        }
    }

    /// What is built on a line falls apart.
    fn dissolve_above(&mut self, no: super::LineNo) {
        let above = self.lines.iter().position(|line| line.no == no).and_then(|at| self.lines.get(at + 1));
        if let Some(above) = above.map(|line| line.no) {
            self.dissolve(above);
        }
    }

    fn leave(&mut self, request: RequestId) {
        if let Some((at, no)) = self.lines.iter().position(|l| l.has(request)).map(|at| (at, self.lines[at].no)) {
            self.dissolve(no);
            self.unsure |= at == 0;
        }
        self.lot.remove(request);
    }

    /// It conflicts with the members before it, or with what is not published yet.
    fn leave_out(&mut self, no: super::LineNo, request: RequestId) {
        let mut before = Vec::new();
        for line in &self.lines {
            before.extend(line.members.iter().map(Member::request).take_while(|member| *member != request));
            if line.no == no {
                break;
            }
        }
        self.dissolve(no);
        self.lot.leave_groups(&[request]);
        self.lot.clash(request, before);
    }

    fn pause(&mut self, why: &QueuePause) {
        match why {
            QueuePause::TargetGone => self.head = None,
            QueuePause::Rewound { .. } => {
                (self.head, self.last) = (None, None);
                self.lines.retain(|line| !line.members.is_empty());
            }
            QueuePause::Person | QueuePause::BaseRed { .. } | QueuePause::Infrastructure { .. } => {}
        }
        self.paused = Some(why.clone());
    }

    fn resume(&mut self) {
        // A person may have mended the target: what is not past the point of no return is built anew on it.
        self.unsure = true;
        if let Some(QueuePause::BaseRed { .. }) = self.paused.take() {
            self.head = None;
        }
        match self.lines.front_mut() {
            Some(line) if line.stage == Stage::Publishing => {
                line.tries += 1;
                line.failures = 0;
                line.wait = Wait::NONE;
                let no = line.no;
                self.dissolve_above(no);
            }
            Some(line) => {
                let no = line.no;
                self.dissolve(no);
            }
            None => {}
        }
    }

    fn checked(&mut self, no: super::LineNo, check: &Check, at: Timestamp) {
        let Some(line) = self.lines.iter_mut().find(|line| line.no == no) else { return };
        self.verdicts.flakes.runs += 1;
        if *check == Check::Passed {
            self.verdicts.flakes.flaky += u64::from(line.failed.is_some());
            line.passed = true;
            if let (Some(candidate), Some(gate)) = (line.candidate, line.gate()) {
                self.verdicts.remember(candidate.tree, gate, at);
            }
        } else {
            line.failed = Some(check.clone());
            line.fails += 1;
        }
        line.at(Stage::Decided);
        if *check != Check::Passed {
            self.window = (self.window / 2).max(1);
            self.dissolve_above(no);
        }
    }

    fn predicted(&mut self, of: &[RequestId], clashes: &[(RequestId, RequestId)], off: &[RequestId]) {
        self.asides += 1;
        for request in of {
            self.lot.with(*request, |member| {
                member.predicted = true;
                member.off |= off.contains(request);
            });
        }
        for (one, other) in clashes {
            self.lot.clash(*one, [*other]);
            self.lot.clash(*other, [*one]);
        }
    }

    fn publish(&mut self, commit: CommitId) {
        (self.head, self.unsure) = (Some(commit), false);
        let Some(line) = self.lines.pop_front() else { return };
        self.last = line.candidate;
        if let (Some(candidate), Some(gate)) = (line.candidate, line.gate()) {
            // Whatever told it: this tree is fit to be a base.
            self.verdicts.base_passed(commit, gate);
            if line.members.iter().any(|member| member.entry.passed == Some(candidate.tree)) {
                let at = line.members[0].entry.change.at;
                self.verdicts.remember(candidate.tree, &gate.clone(), at);
            }
            self.window = self.window.saturating_add(1);
        }
        for member in line.members {
            self.verdicts.merged();
            self.merges += 1;
            let request = member.request();
            let title = member.entry.change.title().to_owned();
            self.merged.push_back(Partner { request, title });
            if self.merged.len() > REMEMBERED {
                self.merged.pop_front();
            }
            self.lot.merged(request);
        }
    }
}
