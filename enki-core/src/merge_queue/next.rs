//! What follows from the state alone.

use super::decide::eject;
use super::{Eject, Event, Line, LineNo, MergeQueue, Stage};
use crate::limits::Limits;
use crate::refinery::Check;

impl MergeQueue {
    /// The next facts that the state calls for; empty once nothing does.
    #[must_use]
    pub fn settle(&self, limits: &Limits) -> Vec<Event> {
        if self.paused.is_some() {
            return Vec::new();
        }
        match self.lines.front() {
            Some(line) if line.stage == Stage::Decided => self.decided(line, limits),
            _ => self.form(limits).into_iter().collect(),
        }
    }

    /// The first line has its answer.
    fn decided(&self, line: &Line, limits: &Limits) -> Vec<Event> {
        let no = line.no;
        if line.passed {
            return vec![Event::Verified { line: no }, Event::Committing { line: no }];
        }
        let (Some(check), Some(gate)) = (&line.failed, line.gate()) else { return Vec::new() };
        let [member] = &line.members[..] else { return vec![split(line, limits)] };
        let suspected = self.verdicts.suspects_base();
        if line.fails < 2 {
            vec![Event::Confirming { line: no }]
        } else if !line.base_passed && (suspected || !self.verdicts.is_green(line.base, gate)) {
            vec![Event::CheckingBase { line: no }]
        } else if limits.interactions && line.old_base_passed.is_none() && self.is_overtaken(line) {
            vec![Event::CheckingOldBase { line: no }]
        } else {
            let log = match check {
                Check::Failed { log } | Check::TimedOut { log } => log.clone(),
                Check::Passed | Check::Unknown { .. } => String::new(),
            };
            let reason = if line.old_base_passed == Some(true) {
                let mut with = self.merged_since(member);
                with.drain(..with.len().saturating_sub(5));
                Eject::Interaction { with, log }
            } else if matches!(check, Check::TimedOut { .. }) {
                Eject::TimedOut { log }
            } else {
                Eject::Failed { log }
            };
            vec![eject(member.request(), reason)]
        }
    }

    /// Whether others were merged since its only member was queued, so that it may fail for their sake.
    fn is_overtaken(&self, line: &Line) -> bool {
        line.members.iter().any(|member| {
            member.is_step()
                && member.old_base.is_some_and(|old| old != line.base)
                && self.merges > member.merges_before
        })
    }

    fn form(&self, limits: &Limits) -> Option<Event> {
        let window = self.window.min(limits.window.max(1)) as usize;
        let base = match self.lines.back() {
            None => self.head.filter(|_| !self.unsure)?,
            Some(below) if self.lines.len() < window && below.may_be_built_on() => below.candidate?.commit,
            Some(_) => return None,
        };
        let members = self.lot.pick(self.verdicts.batch_size(limits), &self.lines);
        (!members.is_empty()).then(|| Event::BatchFormed { line: LineNo(self.last_line + 1), base, members })
    }
}

impl Line {
    /// A step's candidate that did not fail, as far as is known.
    fn may_be_built_on(&self) -> bool {
        let stage = matches!(self.stage, Stage::Checking | Stage::Decided | Stage::Publishing);
        let steps = !self.members.is_empty() && self.members.iter().all(super::Member::is_step);
        stage && steps && self.failed.is_none()
    }
}

/// In halves, first half first; few are tried one by one.
fn split(line: &Line, limits: &Limits) -> Event {
    let requests: Vec<_> = line.members.iter().map(super::Member::request).collect();
    let size = if requests.len() <= limits.split_to_singles.max(1) as usize { 1 } else { requests.len().div_ceil(2) };
    Event::BatchSplit { line: line.no, groups: requests.chunks(size).map(<[_]>::to_vec).collect() }
}
