//! What other tools do when a batch fails, as small models: to be measured in the same world as the queue, which must
//! not do any of it.

use super::expectations::{Dice, Seen};

/// Enough that chance is far below the tolerance; a model costs nothing.
const CHANGES: usize = 240_000;

/// A run of the check on some changes.
type Run<'a> = dyn FnMut(&[usize]) -> bool + 'a;

/// What became of one batch.
#[derive(Default)]
pub(super) struct Fate {
    blamed: Vec<usize>,
    thrown_away: bool,
}

/// One by one, and the first failure is the last word.
pub(super) fn blame_at_once(batch: &[usize], run: &mut Run<'_>) -> Fate {
    let blamed = batch.iter().copied().filter(|change| !run(&[*change])).collect();
    Fate { blamed, thrown_away: false }
}

/// A failed batch is run once more and then bisected. The last suspect is blamed without a run of its own, and what is
/// left is run as a whole at the end; if that fails, all of it is thrown away.
pub(super) fn bisect_and_blame(batch: &[usize], run: &mut Run<'_>) -> Fate {
    let mut fate = Fate::default();
    if run(batch) || run(batch) {
        return fate;
    }
    find_culprits(batch, run, &mut fate.blamed);
    let left: Vec<_> = batch.iter().copied().filter(|change| !fate.blamed.contains(change)).collect();
    fate.thrown_away = !left.is_empty() && !run(&left);
    fate
}

/// Looks for who is to blame in what is known, or thought, to fail.
fn find_culprits(failing: &[usize], run: &mut Run<'_>, blamed: &mut Vec<usize>) {
    let (first, second) = failing.split_at(failing.len() / 2);
    if first.is_empty() {
        blamed.extend(second);
    } else if run(first) {
        // Then it must be the other half: no run is spent on that.
        find_culprits(second, run, blamed);
    } else {
        find_culprits(first, run, blamed);
        if !run(second) {
            find_culprits(second, run, blamed);
        }
    }
}

pub(super) fn simulate(policy: fn(&[usize], &mut Run<'_>) -> Fate, size: usize, bad: u32, flaky: u32) -> Seen {
    let mut dice = Dice::of(bad, flaky);
    let culprits: Vec<bool> = (0..CHANGES).map(|_| dice.percent(bad)).collect();
    let changes: Vec<usize> = (0..CHANGES).collect();
    let mut runs = 0;
    let (mut innocents, mut thrown_away) = (0, 0);
    for batch in changes.chunks(size) {
        let fate = policy(batch, &mut |members| {
            runs += 1;
            let flake = dice.percent(flaky);
            !flake && !members.iter().any(|change| culprits[*change])
        });
        innocents += fate.blamed.iter().filter(|change| !culprits[**change]).count();
        thrown_away += usize::from(fate.thrown_away);
    }
    let guilty = culprits.iter().filter(|bad| **bad).count();
    Seen::of(runs, CHANGES, innocents, CHANGES - guilty, thrown_away)
}
