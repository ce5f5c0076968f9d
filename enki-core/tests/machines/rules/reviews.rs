//! Model sections 3.4 and 4: the review loop.

use super::{reviewed, running};
use crate::world::{World, step};
use enki_core::execution::{Command, EndStatus, Escalation, FailReason, Outcome, RetryMode, Standing};
use enki_core::id::ExecutionId;
use enki_core::tier::Purpose;
use enki_core::verdict::{Gate, Verdict};
use enki_core::workspace::Start;
use serde_json::json;

/// Works on a gated step with a reviewer who is never content; gives the number of attempts.
fn never_content(world: &mut World, id: ExecutionId) -> u32 {
    while world.attempt(id, "a").is_some() {
        match world.purpose(id, "a") {
            Some(Purpose::Review) => world.reviewed(id, "a", Gate::Revise),
            _ => world.end(id, "a", Outcome::Changed),
        }
    }
    world.of(id).step(world.ix(id, "a")).attempts
}

#[test]
fn a_chain_ends_within_its_fixes_each_of_them_reviewed() {
    for max in [0, 1, 3] {
        let (mut world, id) = running(&[reviewed("a", max)]);
        assert_eq!(never_content(&mut world, id), 2 * max + 2);
        assert_eq!(*world.failure(id, "a"), FailReason::Escalated(Escalation::FixesExhausted));
    }
}

#[test]
fn a_pass_after_a_fix_completes_the_chain() {
    let (mut world, id) = running(&[reviewed("a", 3)]);
    world.end(id, "a", Outcome::Changed);
    world.reviewed(id, "a", Gate::Revise);
    assert_eq!(world.purpose(id, "a"), Some(Purpose::Fix));
    world.end(id, "a", Outcome::Changed);
    world.reviewed(id, "a", Gate::Pass);
    assert_eq!(world.words(id), ["merging"]);
}

#[test]
fn a_review_that_fails_the_approach_starts_no_fix() {
    let (mut world, id) = running(&[reviewed("a", 3)]);
    world.end(id, "a", Outcome::Changed);
    world.reviewed(id, "a", Gate::Fail);
    assert_eq!(*world.failure(id, "a"), FailReason::Escalated(Escalation::Replan));
}

#[test]
fn a_review_that_says_nothing_escalates() {
    let (mut world, id) = running(&[reviewed("a", 3)]);
    world.end(id, "a", Outcome::Changed);
    world.end(id, "a", Outcome::Reviewed(Verdict::default()));
    assert_eq!(*world.failure(id, "a"), FailReason::Escalated(Escalation::Unparsable));
}

#[test]
fn a_review_that_changed_source_is_repeated_once() {
    let (mut world, id) = running(&[reviewed("a", 3)]);
    let void = || Outcome::Void { paths: vec!["src/lib.rs".to_owned()] };
    world.end(id, "a", Outcome::Changed);
    world.end(id, "a", void());
    assert_eq!(world.purpose(id, "a"), Some(Purpose::Review));
    world.reviewed(id, "a", Gate::Revise);
    world.end(id, "a", Outcome::Changed);
    world.end(id, "a", void());
    assert_eq!(world.words(id), ["running"], "another review has a repeat of its own");
    world.end(id, "a", void());
    assert_eq!(*world.failure(id, "a"), FailReason::Escalated(Escalation::ReviewerEdited));
}

#[test]
fn a_gated_step_with_no_change_and_no_promise_is_done() {
    let (mut world, id) = running(&[reviewed("a", 3)]);
    world.end(id, "a", Outcome::NoChange);
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn a_gated_step_with_a_promise_is_reviewed_even_without_a_change() {
    let (mut world, id) = running(&[step("a", json!({"review": "code", "done_when": "the tests pass"}))]);
    world.end(id, "a", Outcome::NoChange);
    assert_eq!(world.purpose(id, "a"), Some(Purpose::Review));
    world.reviewed(id, "a", Gate::Pass);
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn a_verdict_of_an_attempt_that_is_no_review_counts_for_nothing() {
    let (mut world, id) = running(&[reviewed("a", 3)]);
    world.reviewed(id, "a", Gate::Pass);
    assert_eq!(world.purpose(id, "a"), Some(Purpose::Work), "it is tried again");
}

#[test]
fn a_retry_after_an_escalation_continues_from_the_captured_change() {
    let (mut world, id) = running(&[reviewed("a", 0)]);
    let attempts = never_content(&mut world, id);
    let step = world.ix(id, "a");
    let captured = world.of(id).step(step).work.clone().unwrap();
    world.command(id, Command::Retry { step, mode: None }).unwrap();
    assert_eq!(world.attempt(id, "a").unwrap().0, attempts + 1, "numbers go on");
    let job =
        world.engine.attempt_job(enki_core::dispatcher::Place { execution: id, step }, world.attempt(id, "a").unwrap());
    assert_eq!(job.unwrap().workspace.start, Start::Continue { base: captured.base, head: captured.commit });
    assert_eq!(world.of(id).step(step).course.fixes, 0, "and budgets begin anew");
}

#[test]
fn a_fresh_retry_starts_from_the_head() {
    let (mut world, id) = running(&[reviewed("a", 0)]);
    never_content(&mut world, id);
    let step = world.ix(id, "a");
    world.command(id, Command::Retry { step, mode: Some(RetryMode::Fresh) }).unwrap();
    let place = enki_core::dispatcher::Place { execution: id, step };
    let job = world.engine.attempt_job(place, world.attempt(id, "a").unwrap()).unwrap();
    assert_eq!(job.workspace.start, Start::Fresh { base: world.of(id).head().unwrap() });
}

#[test]
fn chains_are_told_while_they_are_open_and_joined_in_plan_order_once_the_last_has_ended() {
    let steps = [
        reviewed("a", 1),
        reviewed("b", 0),
        super::plain("c"),
        step("d", json!({"needs": ["b"], "review": {"max_fixes": 0}})),
    ];
    let (mut world, id) = running(&steps);
    let chain = |world: &World, step: &str| world.of(id).chain(world.ix(id, step));
    assert_eq!(chain(&world, "d"), None, "it has not begun");
    assert_eq!(chain(&world, "c"), None, "nobody reviews it");
    world.end(id, "a", Outcome::Changed);
    world.end(id, "a", Outcome::Reviewed(Verdict::parse("VERDICT: REVISE\nSCORE: 7.5/10")));
    let open = chain(&world, "a").unwrap();
    assert_eq!(open.standing, Standing::Open("fixing".into()));
    assert_eq!((open.fixes, open.max_fixes, open.scores), (1, 1, vec![Some(7.5)]));
    world.end(id, "a", Outcome::Changed);
    world.reviewed(id, "a", Gate::Pass);
    assert_eq!(world.of(id).joined_chains(), None, "b is still worked on");
    world.end(id, "b", Outcome::Changed);
    world.reviewed(id, "b", Gate::Fail);

    // d cannot begin any more.
    let joined = world.of(id).joined_chains().unwrap();
    let told: Vec<_> = joined.iter().map(|(ix, chain)| (ix.index(), chain.standing.as_str())).collect();
    assert_eq!(told, [(0, "complete"), (1, "escalated")]);
    assert_eq!(joined[0].1.scores, [Some(7.5), None]);
    assert_eq!(joined[1].1.standing, Standing::Escalated(Escalation::Replan));

    world.command(id, Command::Retry { step: world.ix(id, "b"), mode: None }).unwrap();
    assert_eq!(world.of(id).joined_chains(), None, "a retry opens it again");
}
