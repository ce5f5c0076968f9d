//! The protocol of leases and merges, exhausted within bounds that take a moment; `--example model_check` takes others.

use enki_testkit::model::{Bounds, Explored, explore};

fn exhaust(set: &[(&str, u8)]) -> Explored {
    let mut bounds = Bounds::CALM;
    for (name, times) in set {
        bounds.set(name, *times).unwrap_or_else(|| panic!("no bound {name}"));
    }
    let explored = explore(bounds).unwrap_or_else(|broken| panic!("{bounds:?}\n{broken}"));
    println!("{bounds:?}: {explored:?}");
    explored
}

#[test]
fn where_nothing_goes_wrong_there_is_one_end() {
    assert_eq!(exhaust(&[]).ends, 1);
}

#[test]
fn two_merges_survive_a_crash_and_whatever_a_person_does_to_the_target() {
    let explored = exhaust(&[("crashes", 1), ("person_commits", 1), ("person_resets", 1)]);
    assert!(explored.states > 10_000, "{explored:?}");
}

#[test]
fn two_orchestrators_never_merge_twice() {
    let explored = exhaust(&[("takeovers", 1), ("doubled_answers", 1)]);
    assert!(explored.states > 5_000, "{explored:?}");
}

#[test]
fn lost_answers_and_a_check_that_says_no_lose_nothing() {
    exhaust(&[("lost_answers", 2), ("crashes", 1)]);
    exhaust(&[("failed_checks", 2), ("crashes", 1)]);
}
