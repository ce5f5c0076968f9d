//! A state that breaks an invariant is noticed.

use super::*;

/// Two lines at their checks, the second on the first.
fn stacked() -> MergeQueue {
    let mut queue = queue();
    to_the_check(&mut queue);
    let candidate = queue.lines[0].candidate;
    let mut second = Line::new(LineNo(2), vec![], commit(50));
    (second.candidate, second.passed) = (candidate, true);
    second.candidate.as_mut().expect("it was built").base = commit(50);
    queue.lines.push_back(second);
    assert_eq!(queue.check(), Ok(()));
    queue
}

/// How a queue that was spoiled so is called.
fn spoiled(how: impl FnOnce(&mut MergeQueue)) -> String {
    let mut queue = stacked();
    how(&mut queue);
    queue.check().unwrap_err()
}

#[test]
fn what_was_not_built_on_its_base_or_publishes_out_of_turn_is_noticed() {
    let first_publishes = |queue: &mut MergeQueue| queue.lines[0].stage = Stage::Publishing;
    assert_eq!(spoiled(first_publishes), "Q6: line 1 publishes, and is not first or did not pass");
    let second_publishes = |queue: &mut MergeQueue| queue.lines[1].stage = Stage::Publishing;
    assert_eq!(spoiled(second_publishes), "Q6: line 2 publishes, and is not first or did not pass");
    assert_eq!(spoiled(|queue| queue.lines[0].base = commit(9)), "Q1: line 1 was not built on its base");
    let elsewhere = |queue: &mut MergeQueue| {
        queue.lines[1].base = commit(9);
        queue.lines[1].candidate = None;
    };
    assert_eq!(spoiled(elsewhere), "Q6: line 2 is not built on the one before it");
}

#[test]
fn what_is_in_two_places_or_beside_what_it_conflicts_with_is_noticed() {
    let twice = |queue: &mut MergeQueue| {
        let member = queue.lines[0].members[0].clone();
        queue.lot.put(member);
    };
    assert!(spoiled(twice).ends_with("is here twice"));
    let beside_itself = |queue: &mut MergeQueue| {
        let member = &mut queue.lines[0].members[0];
        member.clashes.insert(member.request());
    };
    assert_eq!(spoiled(beside_itself), "Q9: members of line 1 are known to conflict");
    assert!(spoiled(|queue| queue.lot.split(&[vec![entry(7).change.request]])).contains("does not wait"));
}
