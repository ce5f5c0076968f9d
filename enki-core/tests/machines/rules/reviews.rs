//! Model sections 3.4 and 4: the review loop.

use super::{reviewed, running};
use crate::world::{World, step};
use enki_core::execution::{Command, EndStatus, Escalation, FailReason, Outcome, RetryMode, Standing};
use enki_core::id::ExecutionId;
use enki_core::limits::Limits;
use enki_core::plan::Plan;
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
fn a_review_that_says_nothing_is_asked_again_as_often_as_is_configured() {
    let mut world = World::new(Limits::default());
    world.plan_limits.reviews.reask = 2;
    let id = world.start(json!({"steps": [reviewed("a", 3)]}));
    world.plan_limits.reviews.reask = 0;
    world.end(id, "a", Outcome::Changed);
    let a = world.ix(id, "a");
    for asked in 1..=2 {
        world.end(id, "a", Outcome::Reviewed(Verdict::default()));
        assert_eq!((world.purpose(id, "a"), world.of(id).step(a).course.reasks), (Some(Purpose::Review), asked));
        world.crash();
    }
    world.reviewed(id, "a", Gate::Revise);
    world.end(id, "a", Outcome::Changed);
    assert_eq!(world.of(id).step(a).course.reasks, 0, "the next review begins anew");
    world.end(id, "a", Outcome::Reviewed(Verdict::default()));
    world.reviewed(id, "a", Gate::Revise);
    assert_eq!(world.purpose(id, "a"), Some(Purpose::Fix), "what could not be read is no review that found the same");
    world.end(id, "a", Outcome::Changed);
    for _ in 0..3 {
        world.end(id, "a", Outcome::Reviewed(Verdict::default()));
    }
    assert_eq!(*world.failure(id, "a"), FailReason::Escalated(Escalation::Unparsable));
    assert_eq!(world.of(id).step(a).course.fixes, 2, "it cost no fix");
}

#[test]
fn what_a_plan_leaves_open_is_copied_from_the_defaults_when_it_is_submitted() {
    let mut world = World::new(Limits::default());
    let defaults = &mut world.plan_limits.reviews;
    (defaults.min_score, defaults.max_fixes) = (7.0, 1);
    defaults.max_moves.insert("fix_loop".to_owned(), 12);
    let steps = json!([
        step("code", json!({"review": "code"})),
        step("own", json!({"review": {"min_score": 9.0, "max_fixes": 2}})),
        step("loop", json!({"review": {"kind": "fix_loop", "max_fixes": 5}})),
        step("many", json!({"review": {"max_fixes": 50}})),
    ]);
    let id = world.start(json!({"steps": steps}));
    let of = |step: &str| {
        let review = world.of(id).plan().step(world.ix(id, step)).review.as_ref().unwrap();
        (review.min_score, review.max_fixes, review.max_moves)
    };
    assert_eq!(of("code"), (7.0, 1, 20));
    assert_eq!(of("own"), (9.0, 2, 20), "what the plan says counts");
    assert_eq!(of("loop"), (7.0, 5, 12), "exactly what its fixes may take");
    assert_eq!(of("many"), (7.0, 50, 102), "where nothing is set the usual makes room for all fixes");
    let spec = serde_json::from_value(
        json!({"steps": [step("loop", json!({"review": {"kind": "fix_loop", "max_fixes": 6}}))]}),
    );
    let refused = Plan::build(&spec.unwrap(), &world.plan_limits, &std::collections::HashMap::new()).unwrap_err();
    assert!(
        refused.to_string().contains("6 fixes take up to 14 moves, and review.max_transitions allows 12"),
        "{refused}"
    );
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
    let note = Some(" keep the old name\n".to_owned());
    world.command(id, Command::Retry { step, mode: None, note }).unwrap();
    assert_eq!(world.attempt(id, "a").unwrap().0, attempts + 1, "numbers go on");
    let prompt = |world: &World| {
        let place = enki_core::dispatcher::Place { execution: id, step };
        world.engine.attempt_job(place, world.attempt(id, "a").unwrap()).unwrap().agent.prompt
    };
    let told = "## What a person adds\n\nkeep the old name\n";
    assert!(prompt(&world).contains(told), "{}", prompt(&world));
    let job =
        world.engine.attempt_job(enki_core::dispatcher::Place { execution: id, step }, world.attempt(id, "a").unwrap());
    assert_eq!(job.unwrap().workspace.start, Start::Continue { base: captured.base, head: captured.commit });
    assert_eq!(world.of(id).step(step).course.fixes, 0, "and budgets begin anew");
    world.end(id, "a", Outcome::Changed);
    assert_eq!(world.purpose(id, "a"), Some(Purpose::Review));
    assert!(prompt(&world).contains(told), "whoever reviews it knows what was asked for");
}

#[test]
fn a_fresh_retry_starts_from_the_head() {
    let (mut world, id) = running(&[reviewed("a", 0)]);
    never_content(&mut world, id);
    let step = world.ix(id, "a");
    world.command(id, Command::Retry { step, mode: Some(RetryMode::Fresh), note: None }).unwrap();
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

    world.command(id, Command::Retry { step: world.ix(id, "b"), mode: None, note: None }).unwrap();
    assert_eq!(world.of(id).joined_chains(), None, "a retry opens it again");
}

fn accepted(world: &mut World, id: ExecutionId, step: &str) -> Result<(), enki_core::engine::Rejected> {
    let step = world.ix(id, step);
    let (by, why) = ("somebody".to_owned(), "it is good enough".to_owned());
    world.command(id, Command::Accept { step, by, why })
}

#[test]
fn a_person_takes_what_escalated_as_it_is_and_its_check_still_counts() {
    let (mut world, id) = running(&[reviewed("a", 1), step("b", json!({"needs": ["a"]}))]);
    assert!(accepted(&mut world, id, "a").is_err(), "it is at work");
    never_content(&mut world, id);
    assert_eq!((world.of(id).ended(), world.word(id, "b")), (Some(EndStatus::Failed), "blocked"));
    let a = world.ix(id, "a");
    let tree = world.of(id).step(a).work.as_ref().unwrap().tree;
    let nobody = Command::Accept { step: a, by: " ".to_owned(), why: "x".to_owned() };
    assert!(world.command(id, nobody).is_err(), "somebody has to answer for it");
    accepted(&mut world, id, "a").unwrap();
    assert_eq!((world.words(id), world.of(id).ended()), (vec!["merging", "pending"], None));
    let run = world.of(id).step(a);
    assert_eq!((run.accepted, run.attempts), (Some(tree), 4), "exactly what was captured, and no attempt more");
    assert_eq!(run.notices.last().map(|notice| &**notice), Some("taken as it is by somebody: it is good enough"));
    world.crash();
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
    assert!(accepted(&mut world, id, "a").is_err(), "it is done");

    let (mut world, id) = running(&[reviewed("a", 0)]);
    never_content(&mut world, id);
    accepted(&mut world, id, "a").unwrap();
    let failed = enki_core::refinery::Check::Failed { log: "red".to_owned() };
    world.checks = vec![failed.clone(), failed];
    world.drain();
    assert!(matches!(world.failure(id, "a"), FailReason::Check { .. }), "{:?}", world.failure(id, "a"));
}

#[test]
fn what_no_review_saw_may_be_taken_too_and_what_comes_after_it_is_reviewed_again() {
    let (mut world, id) = running(&[reviewed("a", 2)]);
    world.end(id, "a", Outcome::Changed);
    for _ in 0..2 {
        world.end(id, "a", Outcome::Void { paths: vec!["x".to_owned()] });
    }
    assert_eq!(*world.failure(id, "a"), FailReason::Escalated(Escalation::ReviewerEdited));
    let a = world.ix(id, "a");
    accepted(&mut world, id, "a").unwrap();
    let failed = enki_core::refinery::Check::Failed { log: "red".to_owned() };
    world.checks = vec![failed.clone(), failed];
    world.queues();
    assert_eq!(world.purpose(id, "a"), Some(Purpose::Fix), "the check gives it back as any other");
    world.end(id, "a", Outcome::Changed);
    assert_eq!(world.purpose(id, "a"), Some(Purpose::Review), "the word was about that tree only");
    world.drain();
    assert_eq!((world.of(id).ended(), world.of(id).step(a).course.fixes), (Some(EndStatus::Done), 1));
}

#[test]
fn only_an_escalation_is_a_persons_to_overrule() {
    let (mut world, id) = running(&[step("a", json!({}))]);
    world.end(id, "a", Outcome::AgentError { message: "no".to_owned(), transient: false });
    let refused = accepted(&mut world, id, "a").unwrap_err().to_string();
    assert!(refused.contains("did not escalate"), "{refused}");
    let (mut world, id) = running(&[reviewed("a", 2)]);
    world.end(id, "a", Outcome::Asks { question: "which?".to_owned() });
    let refused = accepted(&mut world, id, "a").unwrap_err().to_string();
    assert!(refused.contains("captured nothing"), "{refused}");
}
