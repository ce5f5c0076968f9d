//! What an input means.

use super::lot::{Member, age};
use super::{
    Effect, EffectKind, Eject, Event, Input, Line, LineNo, MergeQueue, Partner, QueuePause, Rejected, Report, Stage,
};
use crate::id::{CommitId, RequestId};
use crate::limits::Limits;
use crate::refinery::{Build, Candidate, Check, TargetState};
use crate::retry::backoff;
use crate::time::Timestamp;

impl MergeQueue {
    /// Decides what an input means.
    ///
    /// # Errors
    ///
    /// [`Rejected`] if the state does not accept it. Nothing changed then.
    pub fn decide(&self, input: &Input, now: Timestamp, limits: &Limits) -> Result<Vec<Event>, Rejected> {
        match input {
            Input::Enqueue(entry) if self.contains(entry.change.request) => Err(Rejected::Known(entry.change.request)),
            Input::Enqueue(entry) => {
                let mut entry = entry.clone();
                entry.age = age(now, entry.priority, limits);
                Ok(vec![Event::Queued(entry)])
            }
            Input::Withdraw(request) if self.is_committing(*request) => Err(Rejected::Committing(*request)),
            Input::Withdraw(request) if !self.contains(*request) => Err(Rejected::Unknown(*request)),
            Input::Withdraw(request) => Ok(vec![Event::Withdrawn { request: *request }]),
            // A person's word stands, whatever else it stopped for: that may end by itself.
            Input::Pause(why)
                if self.paused.is_none() || (*why == QueuePause::Person && self.paused != Some(QueuePause::Person)) =>
            {
                Ok(vec![Event::QueuePaused { why: why.clone() }])
            }
            Input::Pause(_) => Ok(vec![]),
            Input::Resume if self.paused.is_some() => Ok(vec![Event::QueueResumed]),
            Input::Resume => Ok(vec![]),
            Input::Seen(_) if !self.looks() => Err(Rejected::Stale(LineNo(0))),
            Input::Seen(Some(head)) => Ok(self.seen(*head)),
            Input::Seen(None) if self.paused.is_some() => Ok(vec![]),
            Input::Seen(None) => Ok(vec![Event::QueuePaused { why: QueuePause::TargetGone }]),
            Input::Inspected { state, rebooted } => Ok(self.inspected(state, *rebooted)),
            Input::Report(of, report) if of.line == LineNo(0) => self.beside(*of, report),
            Input::Report(of, report) => {
                // A second answer about an earlier try must not be taken for the answer about this one.
                let line = self.line(of.line).filter(|line| line.tries == of.attempt);
                line.and_then(|line| self.report(line, report, now, limits)).ok_or(Rejected::Stale(of.line))
            }
        }
    }

    fn seen(&self, head: CommitId) -> Vec<Event> {
        // A target that does not pass its check was mended by somebody: that ends the pause.
        let mended = matches!(self.paused, Some(QueuePause::BaseRed { .. })) && self.head != Some(head);
        let resumed = mended.then_some(Event::QueueResumed);
        resumed.into_iter().chain([Event::TargetSeen { head }]).collect()
    }

    /// The recovery table of the merge protocol, for what is recorded as merged.
    fn inspected(&self, state: &TargetState, rebooted: bool) -> Vec<Event> {
        let Some(last) = self.last.filter(|_| self.paused.is_none()) else { return Vec::new() };
        match state.head {
            // A line in the works finds out by itself where the target is.
            Some(head) if state.contains && self.lines.is_empty() && self.head != Some(head) => {
                vec![Event::TargetSeen { head }]
            }
            Some(_) if state.contains => Vec::new(),
            None => vec![Event::QueuePaused { why: QueuePause::TargetGone }],
            // Power loss took the move, and nobody has moved it since.
            Some(head) if head == last.base && rebooted => {
                vec![Event::Republishing { line: LineNo(self.last_line + 1), candidate: last }]
            }
            Some(_) => vec![Event::QueuePaused { why: QueuePause::Rewound { commit: last.commit } }],
        }
    }

    fn beside(&self, of: Effect, report: &Report) -> Result<Vec<Event>, Rejected> {
        let stale = Err(Rejected::Stale(LineNo(0)));
        if of.attempt != self.asides {
            return stale;
        }
        match report {
            Report::Predicted { of: known, clashes, off } => {
                Ok(vec![Event::Predicted { of: known.clone(), clashes: clashes.clone(), off: off.clone() }])
            }
            Report::Tried(request, Build::Conflict { paths, hunks, .. }) if self.lot.get(*request).is_some() => {
                let reason = self.conflict(*request, paths, hunks, self.head);
                Ok(vec![Event::Ejected { request: *request, reason, charged: false }])
            }
            Report::Tried(request, _) => Ok(vec![Event::Tried { request: *request }]),
            // Not knowing where the target is, nothing can go on.
            Report::Failed(reason) if of.kind == EffectKind::Look && self.looks() => {
                Ok(vec![Event::QueuePaused { why: QueuePause::Infrastructure { reason: reason.clone() } }])
            }
            // It was only advice.
            Report::Failed(_) if of.kind == EffectKind::Predict => {
                let of = self.unpredicted().map(Member::request).collect();
                Ok(vec![Event::Predicted { of, clashes: Vec::new(), off: Vec::new() }])
            }
            Report::Failed(_) => match self.to_try() {
                Some(change) if of.kind == EffectKind::Try => Ok(vec![Event::Tried { request: change.request }]),
                _ => stale,
            },
            _ => stale,
        }
    }

    fn report(&self, line: &Line, report: &Report, now: Timestamp, limits: &Limits) -> Option<Vec<Event>> {
        let no = line.no;
        Some(match (line.stage, report) {
            (Stage::Importing, Report::Imported) => vec![Event::ImportRecorded { line: no }],
            (Stage::Importing, Report::ImportRefused { request, policy }) if line.has(*request) => {
                vec![eject(*request, Eject::Refused { policy: policy.clone() })]
            }
            (Stage::Building, Report::Built(build)) => self.built(line, build, now, limits)?,
            (Stage::Checking, Report::Checked(Check::Unknown { reason })) => vec![defer(line, reason, now, limits)],
            (Stage::Checking, Report::Checked(check)) => {
                vec![Event::CheckRecorded { line: no, check: check.clone(), at: now }]
            }
            (Stage::CheckingBase, Report::BaseChecked(check)) => base_checked(line, check, now, limits),
            (Stage::CheckingOldBase, Report::OldBaseChecked(Check::Unknown { reason })) => {
                vec![defer(line, reason, now, limits)]
            }
            (Stage::CheckingOldBase, Report::OldBaseChecked(check)) => {
                vec![Event::OldBaseRecorded { line: no, check: check.clone() }]
            }
            (Stage::Publishing, Report::Published) => vec![Event::Merged { line: no, commit: line.candidate?.commit }],
            (Stage::Publishing, Report::Moved(state)) => moved(line, state, now, limits)?,
            // What is put back is nobody's landing that could wait: the queue does, and tries again when it goes on.
            (Stage::Publishing, Report::Blocked { reason, command }) if line.members.is_empty() => {
                let reason = format!("{reason}; {command}");
                vec![Event::QueuePaused { why: QueuePause::Infrastructure { reason } }]
            }
            (Stage::Publishing, Report::Blocked { reason, command }) => {
                eject_all(line, &Eject::Blocked { reason: reason.clone(), command: command.clone() })
            }
            // What nobody asked to merge is only put back: without it nothing can be.
            (Stage::Checking | Stage::Publishing, Report::Lost(_)) if line.members.is_empty() => {
                rewound(line.candidate?)
            }
            (Stage::Checking | Stage::Publishing, Report::Lost(_)) => stale(line, line.base, limits),
            (_, Report::Failed(reason) | Report::Lost(reason)) => vec![defer(line, reason, now, limits)],
            _ => return None,
        })
    }

    fn built(&self, line: &Line, build: &Build, now: Timestamp, limits: &Limits) -> Option<Vec<Event>> {
        let first = self.lines.front().is_some_and(|first| first.no == line.no);
        Some(match build {
            Build::Candidate { candidate, commits } if candidate.base == line.base => {
                let prepared = Event::Prepared { line: line.no, candidate: *candidate, commits: commits.clone() };
                let known = line.gate().is_some_and(|gate| {
                    let brought = line.members.iter().any(|member| member.entry.passed == Some(candidate.tree));
                    brought || self.verdicts.passed(candidate.tree, gate, now, limits)
                });
                let reused = known.then_some(Event::VerdictReused { line: line.no, tree: candidate.tree });
                [prepared].into_iter().chain(reused).collect()
            }
            Build::Candidate { .. } => vec![defer(line, "the candidate is on another base", now, limits)],
            Build::Conflict { request, paths, hunks } => {
                let at = line.members.iter().position(|member| member.request() == *request)?;
                if at == 0 && first {
                    vec![eject(*request, self.conflict(*request, paths, hunks, Some(line.base)))]
                } else {
                    // With others of the batch, or with what is not published yet: it is not said what comes of those.
                    vec![Event::LeftOut { line: line.no, request: *request }]
                }
            }
            Build::Empty if first => eject_all(line, &Eject::Empty),
            Build::Empty => vec![Event::LeftOut { line: line.no, request: line.members.first()?.request() }],
        })
    }

    fn conflict(&self, request: RequestId, paths: &[String], hunks: &str, onto: Option<CommitId>) -> Eject {
        let lined = || self.lines.iter().flat_map(|line| &line.members).find(|member| member.request() == request);
        let with = match self.lot.get(request).or_else(lined) {
            Some(member) => {
                let mut since = self.merged_since(member);
                if since.len() > 1 {
                    since.retain(|partner| member.clashes.contains(&partner.request));
                }
                since
            }
            None => Vec::new(),
        };
        Eject::Conflict { paths: paths.to_vec(), hunks: hunks.to_owned(), onto, with }
    }

    /// What was merged since a change was queued, as far as it is remembered, latest last.
    pub(super) fn merged_since(&self, member: &Member) -> Vec<Partner> {
        let count = usize::try_from(self.merges - member.merges_before).unwrap_or(usize::MAX);
        self.merged.iter().skip(self.merged.len().saturating_sub(count)).cloned().collect()
    }
}

fn base_checked(line: &Line, check: &Check, now: Timestamp, limits: &Limits) -> Vec<Event> {
    let recorded = Event::BaseRecorded { line: line.no, check: check.clone(), at: now };
    match check {
        Check::Passed => vec![recorded],
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
        // It is back where it was: publish again.
        Some(head) if head == candidate.base && !state.was_there => {
            vec![defer(line, "the target moved and came back", now, limits)]
        }
        Some(_) if line.members.is_empty() => rewound(candidate),
        Some(_) if state.was_there => eject_all(line, &Eject::Rewound),
        Some(head) => stale(line, head, limits),
    })
}

/// The candidate is of no use any more: another one is built there, unless that was done too often.
fn stale(line: &Line, head: CommitId, limits: &Limits) -> Vec<Event> {
    let tired = |member: &&Member| member.entry.rebuilds >= limits.rebuilds;
    let tired: Vec<Event> =
        line.members.iter().filter(tired).map(|member| eject(member.request(), Eject::Moved)).collect();
    if tired.is_empty() { vec![Event::Stale { line: line.no, head }] } else { tired }
}

fn rewound(candidate: Candidate) -> Vec<Event> {
    vec![Event::QueuePaused { why: QueuePause::Rewound { commit: candidate.commit } }]
}

pub(super) const fn eject(request: RequestId, reason: Eject) -> Event {
    let charged = matches!(reason, Eject::Failed { .. } | Eject::TimedOut { .. });
    Event::Ejected { request, reason, charged }
}

fn eject_all(line: &Line, reason: &Eject) -> Vec<Event> {
    line.members.iter().map(|member| eject(member.request(), reason.clone())).collect()
}

/// Infrastructure is never charged: tried again after a wait, then the queue pauses.
fn defer(line: &Line, reason: &str, now: Timestamp, limits: &Limits) -> Event {
    let failures = line.failures + 1;
    if failures as usize > limits.check_backoff.len() {
        return Event::QueuePaused { why: QueuePause::Infrastructure { reason: reason.to_owned() } };
    }
    let until = now.plus(backoff(&limits.check_backoff, failures, line.no.0));
    Event::Deferred { line: line.no, until, since: now, reason: reason.to_owned() }
}
