//! What checks said: passes that may be used again, and how often changes fail.

use crate::id::{CommitId, RequestId, TreeId};
use crate::limits::Limits;
use crate::refinery::Gate;
use crate::time::Timestamp;
use std::collections::VecDeque;

/// Number of passed trees that are remembered.
const REMEMBERED: usize = 64;
/// Number of decided changes that the rate of failures is taken from, and how many it needs.
const DECIDED: usize = 50;
const ENOUGH: usize = 20;
/// Above this rate of failures, batches cost more than they save.
const TOO_MANY: f64 = 0.2;
/// So many changes failed one after the other that the base is suspected, whatever it passed before.
const SUSPICIOUS: usize = 2;

/// How often the check said two things about one tree.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Flakes {
    /// Runs of the check.
    pub runs: u64,
    /// Of them, failures that did not happen again.
    pub flaky: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Verdicts {
    passes: VecDeque<Pass>,
    /// A commit that passed as a base.
    green: Option<(CommitId, Gate)>,
    /// Of the last decided changes, whether they failed by their own fault.
    decided: VecDeque<bool>,
    /// Changes that failed one after the other, with nothing merged between.
    streak: Vec<RequestId>,
    pub(super) flakes: Flakes,
}

#[derive(Clone, Debug, PartialEq)]
struct Pass {
    tree: TreeId,
    gate: Gate,
    at: Timestamp,
}

impl Verdicts {
    /// Whether that tree passed that command in that environment lately. A limit of time is no part of the question.
    pub(super) fn passed(&self, tree: TreeId, gate: &Gate, now: Timestamp, limits: &Limits) -> bool {
        self.passes
            .iter()
            .any(|pass| pass.tree == tree && same(&pass.gate, gate) && now.since(pass.at) <= limits.verdict_age)
    }

    pub(super) fn remember(&mut self, tree: TreeId, gate: &Gate, at: Timestamp) {
        self.passes.retain(|pass| pass.tree != tree || !same(&pass.gate, gate));
        self.passes.push_back(Pass { tree, gate: gate.clone(), at });
        if self.passes.len() > REMEMBERED {
            self.passes.pop_front();
        }
    }

    pub(super) fn base_passed(&mut self, base: CommitId, gate: &Gate) {
        self.green = Some((base, gate.clone()));
        self.streak.clear();
    }

    pub(super) fn is_green(&self, base: CommitId, gate: &Gate) -> bool {
        self.green.as_ref().is_some_and(|(commit, by)| *commit == base && same(by, gate))
    }

    /// Whether so many failed in a row that the base is to be checked past all memory.
    pub(super) fn suspects_base(&self) -> bool {
        self.streak.len() >= SUSPICIOUS
    }

    pub(super) fn merged(&mut self) {
        self.streak.clear();
        self.decide(false);
    }

    pub(super) fn charged(&mut self, request: RequestId) {
        if !self.streak.contains(&request) {
            self.streak.push(request);
        }
        self.decide(true);
    }

    fn decide(&mut self, failed: bool) {
        self.decided.push_back(failed);
        if self.decided.len() > DECIDED {
            self.decided.pop_front();
        }
    }

    /// How many changes are worth one candidate: `1/sqrt(p)`, p being the share of those that fail.
    pub(super) fn batch_size(&self, limits: &Limits) -> usize {
        let max = limits.max_batch.max(1) as usize;
        if !limits.adaptive_batch {
            return max;
        }
        if self.decided.len() < ENOUGH {
            return 1;
        }
        let failed = self.decided.iter().filter(|failed| **failed).count();
        // At most 50 of 50: exact.
        #[expect(clippy::cast_precision_loss, reason = "both are at most 50")]
        let p = failed as f64 / self.decided.len() as f64;
        if p > TOO_MANY {
            return 1;
        }
        if failed == 0 {
            return max;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 8")]
        let size = (1.0 / p.sqrt()).round() as usize;
        size.clamp(1, max)
    }
}

fn same(one: &Gate, other: &Gate) -> bool {
    one.command == other.command && one.environment == other.environment
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ExecutionId;
    use std::time::Duration;

    fn hash<T: std::str::FromStr<Err: std::fmt::Debug>>(n: usize) -> T {
        format!("{n:040x}").parse().unwrap()
    }

    fn gate(command: &str) -> Gate {
        Gate::new(command, Duration::from_secs(1))
    }

    fn request(n: u128) -> RequestId {
        RequestId::of(ExecutionId::new(n), None, 1)
    }

    /// The size of a batch after these many changes failed, one after the other, and these many were merged since.
    fn size(failed: usize, merged: usize) -> usize {
        let mut verdicts = Verdicts::default();
        (0..failed).for_each(|_| verdicts.charged(request(1)));
        (0..merged).for_each(|_| verdicts.merged());
        verdicts.batch_size(&Limits { max_batch: 8, adaptive_batch: true, ..Limits::default() })
    }

    #[test]
    fn a_batch_is_as_large_as_the_rate_of_failures_makes_worth_it() {
        assert_eq!((size(0, 19), size(0, 20)), (1, 8), "too little is known of fewer than twenty");
        assert_eq!([size(1, 49), size(1, 24), size(1, 19), size(2, 18), size(4, 16)], [7, 5, 4, 3, 2]);
        assert_eq!([size(5, 15), size(20, 0)], [1, 1], "batches cost more than they save");
        assert_eq!([size(1, 50), size(50, 50)], [8, 8], "only the last fifty count");
    }

    #[test]
    fn a_pass_is_remembered_of_a_tree_under_a_command_the_last_sixty_four_of_them() {
        let mut verdicts = Verdicts::default();
        let limits = Limits::default();
        let passed = |verdicts: &Verdicts, tree, command: &str, now| {
            verdicts.passed(hash(tree), &gate(command), Timestamp(now), &limits)
        };
        for (tree, command) in [(1, "test"), (1, "lint"), (2, "test")] {
            verdicts.remember(hash(tree), &gate(command), Timestamp(0));
        }
        verdicts.remember(hash(1), &gate("test"), Timestamp(1));
        assert_eq!(verdicts.passes.len(), 3, "once each");
        assert!(passed(&verdicts, 1, "test", 1) && passed(&verdicts, 1, "lint", 1) && passed(&verdicts, 2, "test", 1));
        assert!(!passed(&verdicts, 2, "lint", 1));
        let a_day_later = i64::try_from(limits.verdict_age.as_millis()).unwrap() + 1;
        assert!(passed(&verdicts, 1, "test", a_day_later) && !passed(&verdicts, 1, "lint", a_day_later));
        (3..64).for_each(|tree| verdicts.remember(hash(tree), &gate("test"), Timestamp(1)));
        assert!(passed(&verdicts, 1, "lint", 1), "sixty-four are remembered");
        verdicts.remember(hash(64), &gate("test"), Timestamp(1));
        assert!(!passed(&verdicts, 1, "lint", 1) && passed(&verdicts, 2, "test", 1), "the oldest is forgotten");
    }

    #[test]
    fn the_base_is_suspected_for_different_changes_that_failed_with_nothing_merged_between() {
        let mut verdicts = Verdicts::default();
        verdicts.charged(request(1));
        verdicts.charged(request(1));
        assert!(!verdicts.suspects_base(), "one that fails again is one");
        verdicts.merged();
        verdicts.charged(request(2));
        assert!(!verdicts.suspects_base(), "what was merged shows that it passes");
        verdicts.charged(request(1));
        assert!(verdicts.suspects_base());
    }

    #[test]
    fn a_base_is_green_for_the_command_that_it_passed() {
        let mut verdicts = Verdicts::default();
        assert!(!verdicts.is_green(hash(1), &gate("test")));
        verdicts.base_passed(hash(1), &gate("test"));
        assert!(verdicts.is_green(hash(1), &gate("test")));
        assert!(!verdicts.is_green(hash(1), &gate("lint")) && !verdicts.is_green(hash(2), &gate("test")));
    }
}
