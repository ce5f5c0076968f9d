//! How many runs of the check a change costs, and how many innocents are blamed: the machine itself against the numbers
//! that its policy was chosen by.
//!
//! Changes come in order, each is bad with probability p; a run on a set fails if one of it is bad, or by itself with
//! probability f. Nothing else happens: no interactions, and the base passes.

use super::{Bench, entry};
use enki_core::limits::Limits;
use enki_core::merge_queue::{EffectKind, Event};
use enki_core::tier::Priority;
use std::collections::HashSet;

// The numbers were found with 24,000; a third of them is within the tolerance too.
const CHANGES: u64 = 8_000;
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

/// Runs for each change, and innocents blamed in percent.
const EXPECTED: [(Policy, [(f64, f64); 5]); 4] = [
    (Policy::Serial, [(1.02, 0.0), (1.07, 0.2), (1.12, 0.0), (1.24, 0.2), (1.34, 0.2)]),
    (Policy::Halves(4), [(0.35, 0.0), (0.38, 0.0), (0.72, 0.0), (1.14, 0.0), (1.48, 0.1)]),
    (Policy::Halves(8), [(0.27, 0.0), (0.28, 0.0), (0.73, 0.0), (1.22, 0.0), (1.59, 0.1)]),
    (Policy::Own(8), [(0.27, 0.0), (0.29, 0.0), (0.72, 0.0), (1.16, 0.1), (1.46, 0.1)]),
];

#[test]
fn the_policy_costs_what_it_was_chosen_for() {
    let mut wrong = Vec::new();
    for (policy, expected) in EXPECTED {
        for ((bad, flaky), (runs, innocents)) in CASES.into_iter().zip(expected) {
            let (seen_runs, seen_innocents) = simulate(policy, bad, flaky);
            if (seen_runs - runs).abs() > RUNS || (seen_innocents - innocents).abs() > POINTS {
                wrong.push(format!(
                    "{bad} % bad, {flaky} % flaky: {seen_runs:.3} runs, {seen_innocents:.2} % innocents; expected {runs}, {innocents}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn simulate(policy: Policy, bad: u32, flaky: u32) -> (f64, f64) {
    let mut limits = Limits::default();
    limits.adaptive_batch = false;
    limits.interactions = false;
    match policy {
        Policy::Serial => {}
        Policy::Halves(size) => (limits.max_batch, limits.split_to_singles) = (size, 1),
        Policy::Own(size) => limits.max_batch = size,
    }
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (u64::from(bad) << 32) ^ u64::from(flaky));
    let mut bench = Bench::new(limits);
    let (mut culprits, mut next) = (HashSet::new(), 0);
    let (mut runs, mut innocents) = (0u32, 0u32);
    loop {
        // As many wait as a batch can take and more, never all at once.
        while next < CHANGES && bench.queue.len() < 40 {
            let entry = entry(next, Priority::Normal, bench.now);
            if dice.percent(bad) {
                culprits.insert(entry.change.request);
            }
            bench.enqueue(entry);
            next += 1;
        }
        let Some(effect) = bench.effects().into_iter().find(|e| e.kind != EffectKind::Predict) else { break };
        runs += u32::from(effect.kind == EffectKind::Check);
        let flake = effect.kind == EffectKind::Check && dice.percent(flaky);
        let events = bench.answer(effect, |members| !flake && members.iter().all(|m| !culprits.contains(m)));
        for event in events {
            if let Event::Ejected { request, charged, .. } = event {
                assert!(charged, "nothing but the check can be the reason");
                innocents += u32::from(!culprits.contains(&request));
            }
        }
        bench.log.clear();
    }
    assert!(bench.queue.is_empty(), "the queue ends empty");
    let changes = f64::from(u32::try_from(CHANGES).unwrap());
    (f64::from(runs) / changes, 100.0 * f64::from(innocents) / changes)
}

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn percent(&mut self, percent: u32) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % 100 < u64::from(percent)
    }
}
