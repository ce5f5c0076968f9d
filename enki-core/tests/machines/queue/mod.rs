//! The merge queue alone, in a small world of its own: what it promises (Q1 to Q12), and what it costs.

mod expectations;
mod order;
mod others;
mod promises;

use enki_core::id::{AttemptNo, CommitId, ExecutionId, RequestId, StepIx, TaskId, TreeId};
use enki_core::limits::Limits;
use enki_core::merge_queue::{Effect, EffectKind, Entry, Event, Input, MergeQueue, Rejected, Report};
use enki_core::refinery::{Build, Candidate, Change, ChangeKind, Check, Gate};
use enki_core::tier::Priority;
use enki_core::time::Timestamp;
use std::collections::HashMap;
use std::time::Duration;

pub(super) fn commit(n: u64) -> CommitId {
    format!("{n:040x}").parse().unwrap()
}

pub(super) fn tree(n: u64) -> TreeId {
    format!("{n:040x}").parse().unwrap()
}

pub(super) fn request(n: u64) -> RequestId {
    RequestId::of(ExecutionId::new(u128::from(n) + 1), Some(StepIx(0)), 1)
}

/// A step's change; its commit is known by its number.
pub(super) fn entry(n: u64, priority: Priority, at: Timestamp) -> Entry {
    let execution = ExecutionId::new(1);
    let kind = ChangeKind::Step {
        task: TaskId::of(execution, &"a".parse().unwrap()),
        attempt: AttemptNo(1),
        title: format!("change {n}"),
        summary: String::new(),
    };
    let change = Change { request: request(n), kind, commit: commit(1_000_000 + n), at };
    Entry { priority, ..Entry::new(change, Some(Gate::new("make check", Duration::from_secs(60)))) }
}

/// A queue whose events are applied as an engine does.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) queue: MergeQueue,
    pub(super) limits: Limits,
    pub(super) now: Timestamp,
    pub(super) log: Vec<Event>,
    /// What each candidate holds.
    pub(super) built: HashMap<CommitId, Vec<RequestId>>,
    ids: u64,
}

impl Bench {
    pub(super) fn new(limits: Limits) -> Self {
        let target: enki_core::branch::Branch = "main".parse().unwrap();
        let log = vec![Event::Opened { target: target.clone(), head: Some(commit(1)) }];
        let queue = MergeQueue::new(target, Some(commit(1)));
        Self { queue, limits, now: Timestamp(1_000_000), log, built: HashMap::new(), ids: 1 }
    }

    /// Hears an input, and gives what was recorded.
    pub(super) fn hear(&mut self, input: &Input) -> Result<Vec<Event>, Rejected> {
        let mut events = self.queue.decide(input, self.now, &self.limits)?;
        events.iter().for_each(|event| self.queue.apply(event));
        loop {
            let more = self.queue.settle(&self.limits);
            if more.is_empty() {
                break;
            }
            more.iter().for_each(|event| self.queue.apply(event));
            events.extend(more);
        }
        self.log.extend(events.iter().cloned());
        Ok(events)
    }

    pub(super) fn enqueue(&mut self, entry: Entry) {
        self.hear(&Input::Enqueue(Box::new(entry))).unwrap();
    }

    pub(super) fn effects(&self) -> Vec<Effect> {
        self.queue.effects(self.now).collect()
    }

    pub(super) fn report(&mut self, effect: Effect, report: Report) -> Result<Vec<Event>, Rejected> {
        self.hear(&Input::Report(effect, report))
    }

    /// The members of a line.
    pub(super) fn members(&self, effect: Effect) -> Vec<RequestId> {
        let line = self.queue.line(effect.line).expect("the line is there");
        line.members.iter().map(enki_core::merge_queue::Member::request).collect()
    }

    /// A candidate of the line, of a commit for each member.
    pub(super) fn build(&mut self, effect: Effect) -> Build {
        let members = self.members(effect);
        let base = self.queue.line(effect.line).unwrap().base;
        let first = self.ids + 1;
        self.ids += members.len() as u64;
        let commits: Vec<_> = (first..=self.ids).map(|n| Some(commit(n))).collect();
        let candidate = Candidate { commit: commit(self.ids), tree: tree(self.ids), base };
        self.built.insert(candidate.commit, members);
        Build::Candidate { candidate, commits }
    }

    /// Answers an effect as a world without faults does; the check and its like by what `passes` says of the members.
    pub(super) fn answer(&mut self, effect: Effect, passes: impl FnOnce(&[RequestId]) -> bool) -> Vec<Event> {
        let verdict = |yes| if yes { Check::Passed } else { Check::Failed { log: "no".to_owned() } };
        let report = match effect.kind {
            EffectKind::Look => {
                let head = self.queue.head().unwrap_or_else(|| commit(1));
                return self.hear(&Input::Seen(Some(head))).unwrap();
            }
            EffectKind::Inspect => unreachable!("only an engine wants it"),
            EffectKind::Predict => {
                let of = self.queue.to_predict().0.iter().map(|change| change.request).collect();
                Report::Predicted { of, clashes: Vec::new(), off: Vec::new() }
            }
            EffectKind::Try => Report::Tried(self.queue.to_try().unwrap().request, Build::Empty),
            EffectKind::Import => Report::Imported,
            EffectKind::Build => Report::Built(self.build(effect)),
            EffectKind::Check => Report::Checked(verdict(passes(&self.members(effect)))),
            EffectKind::CheckBase => Report::BaseChecked(Check::Passed),
            EffectKind::CheckOldBase => Report::OldBaseChecked(verdict(passes(&self.members(effect)))),
            EffectKind::Publish => Report::Published,
        };
        self.report(effect, report).unwrap()
    }
}
