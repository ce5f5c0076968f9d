//! How many runs of the check a change costs, and how many innocents are blamed: the machine itself, and models of what
//! others do, against the numbers that its policy was chosen by.
//!
//! Changes come in order, each is bad with probability p; a run on a set fails if one of it is bad, or by itself with
//! probability f. Nothing else happens: no interactions, and the base passes.

use super::{Bench, entry, others};
use enki_core::limits::Limits;
use enki_core::merge_queue::{EffectKind, Event};
use enki_core::tier::Priority;
use std::collections::HashSet;

// The numbers were found with 24,000; a third of them is within the tolerance too.
const CHANGES: usize = 8_000;
const RUNS: f64 = 0.03;
const POINTS: f64 = 0.3;

/// Percent bad, percent flaky.
const CASES: [(u32, u32); 5] = [(2, 0), (2, 5), (10, 2), (20, 5), (30, 5)];

#[derive(Clone, Copy)]
enum Policy {
    /// One by one.
    Serial,
    /// Batches of so many, in halves down to single changes.
    Halves(u32),
    /// Batches of so many, in halves down to four, those one by one: what the queue does.
    Own(u32),
}

/// What a policy came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Runs of the check for each change.
    runs: f64,
    /// Innocent changes that were blamed, in percent of all innocent ones.
    innocents: f64,
    /// Batches of which nothing was merged because a last run of their rest failed.
    thrown_away: usize,
}

impl Seen {
    pub(super) fn of(runs: usize, changes: usize, blamed: usize, innocent: usize, thrown_away: usize) -> Self {
        let share = |part: usize, whole: usize| {
            f64::from(u32::try_from(part).unwrap()) / f64::from(u32::try_from(whole).unwrap())
        };
        Self { runs: share(runs, changes), innocents: 100.0 * share(blamed, innocent), thrown_away }
    }
}

/// For each of the cases, runs and innocents.
type Column = [(f64, f64); 5];

const EXPECTED: [(Policy, Column); 4] = [
    (Policy::Serial, [(1.02, 0.0), (1.07, 0.2), (1.12, 0.0), (1.24, 0.2), (1.34, 0.2)]),
    (Policy::Halves(4), [(0.35, 0.0), (0.38, 0.0), (0.72, 0.0), (1.14, 0.0), (1.48, 0.1)]),
    (Policy::Halves(8), [(0.27, 0.0), (0.28, 0.0), (0.73, 0.0), (1.22, 0.0), (1.59, 0.1)]),
    (Policy::Own(8), [(0.27, 0.0), (0.29, 0.0), (0.72, 0.0), (1.16, 0.1), (1.46, 0.1)]),
];

const AT_ONCE: Column = [(1.0, 0.0), (1.0, 5.1), (1.0, 2.0), (1.0, 5.1), (1.0, 5.1)];
const BISECTED_4: Column = [(0.35, 0.0), (0.37, 0.2), (0.70, 0.4), (1.08, 1.8), (1.37, 2.4)];
const BISECTED_8: Column = [(0.26, 0.0), (0.27, 0.3), (0.66, 0.5), (1.05, 2.1), (1.32, 2.6)];

/// How far each case is from what is expected of it, where that is too far.
fn far_off(expected: Column, simulate: impl Fn(u32, u32) -> Seen) -> Vec<String> {
    let mut wrong = Vec::new();
    for ((bad, flaky), (runs, innocents)) in CASES.into_iter().zip(expected) {
        let seen = simulate(bad, flaky);
        if (seen.runs - runs).abs() > RUNS || (seen.innocents - innocents).abs() > POINTS {
            wrong.push(format!("{bad} % bad, {flaky} % flaky: {seen:.3?}; expected {runs} and {innocents} %"));
        }
    }
    wrong
}

#[test]
fn the_policy_costs_what_it_was_chosen_for() {
    let wrong: Vec<_> = EXPECTED
        .into_iter()
        .flat_map(|(policy, expected)| far_off(expected, |bad, flaky| simulate(policy, bad, flaky)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_policies_it_was_chosen_from_cost_what_was_found() {
    let wrong = [
        far_off(AT_ONCE, |bad, flaky| others::simulate(others::blame_at_once, 1, bad, flaky)),
        far_off(BISECTED_4, |bad, flaky| others::simulate(others::bisect_and_blame, 4, bad, flaky)),
        far_off(BISECTED_8, |bad, flaky| others::simulate(others::bisect_and_blame, 8, bad, flaky)),
    ]
    .concat();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Why the queue confirms before it blames.
#[test]
fn it_spares_the_innocent_at_about_the_cost_of_those_that_do_not() {
    for (bad, flaky) in CASES {
        let own = simulate(Policy::Own(8), bad, flaky);
        let at_once = others::simulate(others::blame_at_once, 1, bad, flaky);
        let bisected = others::simulate(others::bisect_and_blame, 8, bad, flaky);
        let seen = format!("{bad} % bad, {flaky} % flaky: {own:.3?}, {at_once:.3?}, {bisected:.3?}");
        assert!(own.runs < 1.15 * bisected.runs, "{seen}");
        if bad < 20 {
            assert!(own.runs < at_once.runs, "batching saves: {seen}");
        }
        if flaky == 0 {
            assert_eq!((own.innocents, at_once.innocents, bisected.innocents), (0.0, 0.0, 0.0), "{seen}");
            assert_eq!(bisected.thrown_away, 0, "{seen}");
        } else {
            assert!(own.innocents < bisected.innocents / 2.0 && own.innocents < at_once.innocents / 10.0, "{seen}");
            assert!(bisected.thrown_away > 0, "{seen}");
        }
    }
}

fn simulate(policy: Policy, bad: u32, flaky: u32) -> Seen {
    let mut limits = Limits::default();
    limits.adaptive_batch = false;
    limits.interactions = false;
    match policy {
        Policy::Serial => {}
        Policy::Halves(size) => (limits.max_batch, limits.split_to_singles) = (size, 1),
        Policy::Own(size) => limits.max_batch = size,
    }
    let mut dice = Dice::of(bad, flaky);
    let mut bench = Bench::new(limits);
    let (mut culprits, mut next) = (HashSet::new(), 0);
    let (mut runs, mut innocents) = (0, 0);
    loop {
        // As many wait as a batch can take and more, never all at once.
        while next < CHANGES && bench.queue.len() < 40 {
            let entry = entry(next as u64, Priority::Normal, bench.now);
            if dice.percent(bad) {
                culprits.insert(entry.change.request);
            }
            bench.enqueue(entry);
            next += 1;
        }
        let Some(effect) = bench.effects().into_iter().find(|e| e.kind != EffectKind::Predict) else { break };
        runs += usize::from(effect.kind == EffectKind::Check);
        let flake = effect.kind == EffectKind::Check && dice.percent(flaky);
        let events = bench.answer(effect, |members| !flake && members.iter().all(|m| !culprits.contains(m)));
        for event in events {
            if let Event::Ejected { request, charged, .. } = event {
                assert!(charged, "nothing but the check can be the reason");
                innocents += usize::from(!culprits.contains(&request));
            }
        }
        bench.log.clear();
    }
    assert!(bench.queue.is_empty(), "the queue ends empty");
    Seen::of(runs, CHANGES, innocents, CHANGES - culprits.len(), 0)
}

/// splitmix64.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn of(bad: u32, flaky: u32) -> Self {
        Self(0x9e37_79b9_7f4a_7c15 ^ (u64::from(bad) << 32) ^ u64::from(flaky))
    }

    pub(super) fn percent(&mut self, percent: u32) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % 100 < u64::from(percent)
    }
}
