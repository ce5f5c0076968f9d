//! Random lives of a queue against what it promises, looked at from outside.

use super::{Bench, commit, entry, request};
use enki_core::id::{CommitId, RequestId};
use enki_core::limits::Limits;
use enki_core::merge_queue::{Effect, EffectKind, Eject, Event, Input, MergeQueue, QueuePause, Report};
use enki_core::refinery::{Build, Check, TargetState};
use enki_core::tier::Priority;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
enum Op {
    Enqueue(u8),
    Withdraw(u8),
    Pause,
    Resume,
    /// Somebody moves the target.
    Move,
    /// A mechanism answers, the way that the number says.
    Answer(u8, u8),
    /// The answer that was given last comes once more.
    Again,
    Wait(u8),
    /// The state is taken up from the log.
    Crash,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => any::<u8>().prop_map(Op::Enqueue),
        1 => any::<u8>().prop_map(Op::Withdraw),
        1 => Just(Op::Pause),
        2 => Just(Op::Resume),
        1 => Just(Op::Move),
        20 => (any::<u8>(), any::<u8>()).prop_map(|(which, how)| Op::Answer(which, how)),
        1 => Just(Op::Again),
        2 => any::<u8>().prop_map(Op::Wait),
        1 => Just(Op::Crash),
    ]
}

/// What is true, whatever the queue believes.
struct World {
    bench: Bench,
    /// All that the target was at, in order.
    target: Vec<CommitId>,
    asked: u64,
    last: Option<(Effect, Report)>,
    passed: BTreeSet<CommitId>,
    /// Runs that failed, of a candidate.
    failures: BTreeMap<CommitId, u32>,
    committing: BTreeSet<CommitId>,
    merged: BTreeSet<RequestId>,
    gone: BTreeSet<RequestId>,
}

impl World {
    fn new(batch: u32, window: u32, adaptive: bool) -> Self {
        let mut limits = Limits::default();
        (limits.max_batch, limits.window, limits.adaptive_batch) = (batch, window, adaptive);
        Self {
            bench: Bench::new(limits),
            target: vec![commit(1)],
            asked: 0,
            last: None,
            passed: BTreeSet::new(),
            failures: BTreeMap::new(),
            committing: BTreeSet::new(),
            merged: BTreeSet::new(),
            gone: BTreeSet::new(),
        }
    }

    fn head(&self) -> CommitId {
        *self.target.last().unwrap()
    }

    fn hear(&mut self, input: &Input) {
        let before = self.bench.queue.clone();
        if let Ok(events) = self.bench.hear(input) {
            self.look(&before, &events);
        } else {
            assert_eq!(before, self.bench.queue, "what is refused changes nothing");
        }
    }

    /// Checks what was just recorded.
    fn look(&mut self, before: &MergeQueue, events: &[Event]) {
        let mut queue = before.clone();
        for event in events {
            let candidate = |line: &enki_core::merge_queue::LineNo| queue.line(*line).and_then(|line| line.candidate);
            match event {
                Event::Committing { line } => {
                    let candidate = candidate(line).expect("Q1: something was built");
                    assert!(self.passed.contains(&candidate.commit), "Q1: the published tree passed, on that parent");
                    assert!(queue.paused().is_none(), "Q12: while paused, nothing is published");
                    let others = queue.lines().filter(|line| line.stage == enki_core::merge_queue::Stage::Publishing);
                    assert_eq!(others.count(), 0, "Q6: one at a time");
                    assert_eq!(queue.lines().next().map(|first| first.no), Some(*line), "Q6: only the first");
                    self.committing.insert(candidate.commit);
                }
                Event::Merged { line, commit } => {
                    assert!(self.target.contains(commit), "R3: the target was there");
                    for member in &queue.line(*line).unwrap().members {
                        assert!(self.merged.insert(member.request()), "Q3: merged once");
                        assert!(!self.gone.contains(&member.request()), "Q2: it had gone");
                    }
                }
                Event::Ejected { request, reason, charged } => {
                    assert!(self.gone.insert(*request) && !self.merged.contains(request), "Q2: it is in one place");
                    assert_eq!(*charged, matches!(reason, Eject::Failed { .. } | Eject::TimedOut { .. }), "Q5");
                    if *charged {
                        let line = queue.lines().next().expect("Q4: it is in the works");
                        assert!(line.has(*request) && line.members.len() == 1, "Q4: alone");
                        let failed = self.failures.get(&line.candidate.unwrap().commit).copied().unwrap_or(0);
                        assert!(failed >= 2, "Q4: it failed twice, not {failed} times");
                        assert!(self.passed.contains(&line.base), "Q4: the base passed");
                    }
                }
                Event::Withdrawn { request } => {
                    assert!(self.gone.insert(*request), "Q2");
                }
                _ => {}
            }
            queue.apply(event);
            if let Err(broken) = queue.check() {
                panic!("{broken}, by {event:?}");
            }
        }
        for n in 0..self.asked {
            let (request, here) = (request(n), queue.contains(request(n)));
            let places = usize::from(here)
                + usize::from(self.merged.contains(&request))
                + usize::from(self.gone.contains(&request));
            assert_eq!(places, 1, "Q2: change {n} is in {places} places");
        }
    }

    fn perform(&mut self, op: Op) {
        match op {
            Op::Enqueue(how) => {
                let priority = [Priority::High, Priority::Normal, Priority::Low][usize::from(how % 3)];
                let mut entry = entry(self.asked, priority, self.bench.now);
                entry.frees = u32::from(how / 3 % 4);
                if how > 240 {
                    entry.gate = None;
                }
                self.asked += 1;
                self.hear(&Input::Enqueue(Box::new(entry)));
            }
            Op::Withdraw(which) if self.asked > 0 => {
                self.hear(&Input::Withdraw(request(u64::from(which) % self.asked)));
            }
            Op::Withdraw(_) => {}
            Op::Pause => self.hear(&Input::Pause(QueuePause::Person)),
            Op::Resume => self.hear(&Input::Resume),
            Op::Move => self.target.push(commit(5_000_000 + self.target.len() as u64)),
            Op::Answer(which, how) => {
                let effects = self.bench.effects();
                if !effects.is_empty() {
                    self.answer(effects[usize::from(which) % effects.len()], how);
                }
            }
            Op::Again => {
                if let Some((effect, report)) = self.last.clone() {
                    self.hear(&Input::Report(effect, report));
                }
            }
            Op::Wait(minutes) => self.bench.now = self.bench.now.plus(Duration::from_secs(60 * u64::from(minutes))),
            Op::Crash => self.crash(),
        }
    }

    /// Q10: the same log gives the same state.
    fn crash(&mut self) {
        let mut queue = MergeQueue::new(self.bench.queue.target().clone(), None);
        self.bench.log.iter().for_each(|event| queue.apply(event));
        assert_eq!(queue, self.bench.queue);
    }

    fn answer(&mut self, effect: Effect, how: u8) {
        let text = || format!("fault {how}");
        let good = how < 160;
        let check = match how {
            160..=200 => Check::Failed { log: text() },
            201..=215 => Check::TimedOut { log: text() },
            216..=235 => Check::Unknown { reason: text() },
            _ => Check::Passed,
        };
        let report = match effect.kind {
            EffectKind::Look => return self.hear(&Input::Seen((how < 250).then(|| self.head()))),
            EffectKind::Inspect => unreachable!("only an engine wants it"),
            _ if how > 235 => Report::Failed(text()),
            EffectKind::Predict => self.predict(how),
            EffectKind::Try => {
                let request = self.bench.queue.to_try().unwrap().request;
                let conflict = Build::Conflict { request, paths: vec![text()], hunks: text() };
                Report::Tried(request, if good { conflict } else { Build::Empty })
            }
            EffectKind::Import if good => Report::Imported,
            EffectKind::Import => Report::ImportRefused { request: self.bench.members(effect)[0], policy: text() },
            EffectKind::Build if good => {
                let build = self.bench.build(effect);
                if let Build::Candidate { candidate, .. } = &build
                    && self.bench.queue.line(effect.line).is_some_and(|line| line.gate().is_none())
                {
                    self.passed.insert(candidate.commit);
                }
                Report::Built(build)
            }
            EffectKind::Build if how < 170 => Report::Built(Build::Empty),
            EffectKind::Build => {
                let members = self.bench.members(effect);
                let request = members[usize::from(how) % members.len()];
                Report::Built(Build::Conflict { request, paths: vec![text()], hunks: text() })
            }
            EffectKind::Check => {
                self.ran(self.bench.queue.line(effect.line).unwrap().candidate.unwrap().commit, &check);
                Report::Checked(check)
            }
            EffectKind::CheckBase => {
                self.ran(self.bench.queue.line(effect.line).unwrap().base, &check);
                Report::BaseChecked(check)
            }
            EffectKind::CheckOldBase => Report::OldBaseChecked(check),
            EffectKind::Publish => self.publish(effect, how),
        };
        self.last = Some((effect, report.clone()));
        self.hear(&Input::Report(effect, report));
    }

    fn ran(&mut self, commit: CommitId, check: &Check) {
        match check {
            Check::Passed => {
                self.passed.insert(commit);
            }
            Check::Failed { .. } | Check::TimedOut { .. } => *self.failures.entry(commit).or_default() += 1,
            Check::Unknown { .. } => {}
        }
    }

    fn predict(&self, how: u8) -> Report {
        let (of, others) = self.bench.queue.to_predict();
        let of: Vec<RequestId> = of.iter().map(|change| change.request).collect();
        let all: Vec<RequestId> = of.iter().copied().chain(others.iter().map(|change| change.request)).collect();
        let clashes = if how % 2 == 1 && all.len() > 1 { vec![(all[0], all[all.len() - 1])] } else { Vec::new() };
        let off = if how.is_multiple_of(5) { vec![of[0]] } else { Vec::new() };
        Report::Predicted { of, clashes, off }
    }

    fn publish(&mut self, effect: Effect, how: u8) -> Report {
        let line = self.bench.queue.line(effect.line).unwrap();
        let candidate = line.candidate.unwrap();
        if self.target.contains(&candidate.commit) {
            let state = TargetState { head: Some(self.head()), contains: true, was_there: false };
            return if how.is_multiple_of(2) { Report::Published } else { Report::Moved(state) };
        }
        if self.head() != candidate.base {
            let state = TargetState { head: Some(self.head()), contains: false, was_there: false };
            return Report::Moved(state);
        }
        if how > 230 {
            return Report::Blocked { reason: "dirty".to_owned(), command: "git merge".to_owned() };
        }
        assert!(self.committing.contains(&candidate.commit), "R3: recorded before the target moves");
        self.target.push(candidate.commit);
        // It moved, but the answer gets lost.
        if how > 150 { Report::Failed("killed".to_owned()) } else { Report::Published }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_promise_is_kept_after_every_input_and_the_queue_ends(
        batch in 1u32..5,
        window in 1u32..4,
        adaptive in any::<bool>(),
        ops in proptest::collection::vec(op(), 1..160),
    ) {
        let mut world = World::new(batch, window, adaptive);
        for op in ops {
            world.perform(op);
        }
        world.crash();
        // Q7: with a gate that answers and no more faults, it empties, or pauses with a reason.
        for _ in 0..4_000 {
            if world.bench.queue.paused().is_some() {
                world.hear(&Input::Resume);
            }
            if world.bench.queue.is_empty() {
                break;
            }
            let Some(effect) = world.bench.effects().first().copied() else {
                world.bench.now = world.bench.queue.next_deadline(world.bench.now).expect("Q7: something is wanted");
                continue;
            };
            world.answer(effect, 0);
        }
        prop_assert!(world.bench.queue.is_empty(), "Q7: {:?}", world.bench.queue);
    }
}
