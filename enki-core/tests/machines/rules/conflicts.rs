//! Conflicts are work: one at a time, on the head as it is then, bounded, and always with an end a person can act on.

use super::{after, plain, reviewed, running, running_plan};
use crate::world::World;
use enki_core::branch::Branch;
use enki_core::engine::{Effect, QueueId};
use enki_core::execution::{Command, EndStatus, FailReason, Outcome, Refusal, Report, RetryMode};
use enki_core::id::{CommitId, ExecutionId};
use enki_core::tier::Purpose;
use enki_core::verdict::Gate;
use enki_core::workspace::Start;
use serde_json::json;

fn conflict() -> Vec<String> {
    vec!["src/lib.rs".to_owned()]
}

/// Everything of the own queue, nothing of the target's.
fn own_queue(world: &mut World, id: ExecutionId) {
    let own = QueueId::of(&Branch::integration(id));
    while let Some(effect) = world.flying.iter().find(|e| matches!(e, Effect::Queue(q, _) if *q == own)).copied() {
        world.answer(effect);
    }
}

/// Works the step off; the queue refuses its change for a conflict.
fn clashes(world: &mut World, id: ExecutionId, step: &str) {
    world.work(id, step);
    world.builds = vec![conflict()];
    own_queue(world, id);
}

fn prompt(world: &World, id: ExecutionId, step: &str) -> String {
    let Some(Effect::Attempt(place, attempt)) = world.flying_attempt(id, step) else { panic!("{step} does not run") };
    world.engine.attempt_job(place, attempt).unwrap().agent.prompt
}

fn start(world: &World, id: ExecutionId, step: &str) -> Start {
    let Some(Effect::Attempt(place, attempt)) = world.flying_attempt(id, step) else { panic!("{step} does not run") };
    world.engine.attempt_job(place, attempt).unwrap().workspace.start
}

fn head(world: &World, id: ExecutionId) -> CommitId {
    world.of(id).head().unwrap()
}

fn requests(world: &World, id: ExecutionId, step: &str) -> u32 {
    world.of(id).step(world.ix(id, step)).requests
}

#[test]
fn a_resolver_is_told_the_files_and_what_conflicts_in_them() {
    let (mut world, id) = running(&[plain("a")]);
    clashes(&mut world, id, "a");
    let prompt = prompt(&world, id, "a");
    assert!(prompt.contains("conflict in src/lib.rs") && prompt.contains("<<<<<<< src/lib.rs"), "{prompt}");
}

#[test]
fn of_several_conflicts_one_is_resolved_at_a_time_in_the_order_of_their_refusals() {
    let (mut world, id) = running(&[plain("a"), plain("b"), plain("c")]);
    for step in ["b", "a", "c"] {
        clashes(&mut world, id, step);
    }
    let live = |world: &World| ["a", "b", "c"].map(|step| world.attempt(id, step).is_some());
    assert_eq!(live(&world), [false, true, false]);
    assert_eq!(world.engine.dispatcher().runs(), 1, "those that wait hold no permit");
    world.end(id, "b", Outcome::Changed);
    assert_eq!(live(&world), [false; 3], "the turn is over when the change is merged, not when its agent ends");
    world.builds = vec![vec![], conflict()];
    own_queue(&mut world, id);
    assert_eq!((world.word(id, "b"), live(&world)), ("done", [true, false, false]));
    assert!(matches!(start(&world, id, "a"), Start::Resolve { onto, .. } if onto == head(&world, id)));
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn a_conflict_that_went_away_while_it_waited_costs_no_agent() {
    let (mut world, id) = running(&[plain("a"), plain("b")]);
    clashes(&mut world, id, "a");
    clashes(&mut world, id, "b");
    world.end(id, "a", Outcome::Changed);
    own_queue(&mut world, id);
    assert_eq!((world.words(id), requests(&world, id, "b")), (vec!["done", "done"], 2));
    let b = world.of(id).step(world.ix(id, "b"));
    assert_eq!((b.attempts, b.course.resolutions), (1, 0), "what was charged is given back");
}

#[test]
fn a_change_asks_again_only_if_the_head_has_moved() {
    let (mut world, id) = running(&[plain("a")]);
    clashes(&mut world, id, "a");
    assert_eq!((world.purpose(id, "a"), requests(&world, id, "a")), (Some(Purpose::Resolve), 1));
}

#[test]
fn a_head_that_moves_while_a_resolver_waits_for_its_permit_is_asked_first() {
    let mut limits = enki_core::limits::Limits::default();
    limits.runs = 1;
    let mut world = World::new(limits);
    let id = world.start(json!({"steps": [plain("a"), plain("b"), plain("c")]}));
    world.end(id, "a", Outcome::Changed);
    world.end(id, "b", Outcome::Changed);
    assert!(world.attempt(id, "c").is_some());
    // The queue holds both; the first is refused while c has the only permit, the second moves the head.
    world.builds = vec![conflict()];
    own_queue(&mut world, id);
    assert_eq!((requests(&world, id, "a"), world.words(id)), (2, vec!["done", "done", "running"]));
}

#[test]
fn a_resolver_that_waits_gives_back_its_chain_permit_and_takes_it_again() {
    let mut limits = enki_core::limits::Limits::default();
    limits.chains = 2;
    let mut world = World::new(limits);
    let id = world.start(json!({"steps": [reviewed("a", 1), reviewed("b", 1), reviewed("c", 1)]}));
    clashes(&mut world, id, "a");
    clashes(&mut world, id, "b");
    assert!(world.attempt(id, "c").is_some(), "b waits for a, and c may begin");
    assert_eq!(world.engine.dispatcher().chains(), 2);
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn a_resolver_that_a_person_paused_lets_the_next_one_pass() {
    let (mut world, id) = running(&[plain("a"), plain("b")]);
    clashes(&mut world, id, "a");
    clashes(&mut world, id, "b");
    let a = world.ix(id, "a");
    world.command(id, Command::Pause(Some(a))).unwrap();
    assert_eq!(world.attempt(id, "b"), None, "what runs ends by itself");
    world.end(id, "a", Outcome::TimedOut);
    assert!(world.attempt(id, "b").is_some());
    world.command(id, Command::Resume(Some(a))).unwrap();
    world.wait(std::time::Duration::from_secs(60));
    assert_eq!(world.attempt(id, "a"), None, "now it is the turn of b");
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn a_resolver_that_is_given_up_lets_the_next_one_pass() {
    for give_up in ["cancel", "fail"] {
        let (mut world, id) = running(&[plain("a"), plain("b")]);
        clashes(&mut world, id, "a");
        clashes(&mut world, id, "b");
        let step = Some(world.ix(id, "a"));
        match give_up {
            "cancel" => world.command(id, Command::Cancel { step, committing: vec![] }).unwrap(),
            _ => world.end(id, "a", Outcome::Unresolved { paths: conflict() }),
        }
        assert!(world.attempt(id, "b").is_some(), "{give_up}");
    }
}

#[test]
fn a_turn_survives_a_crash() {
    let (mut world, id) = running(&[plain("a"), plain("b")]);
    clashes(&mut world, id, "a");
    clashes(&mut world, id, "b");
    world.crash();
    assert!(world.attempt(id, "a").is_some() && world.attempt(id, "b").is_none());
    assert_eq!(world.flying.len(), 1);
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn a_resolver_that_leaves_markers_or_nothing_fails_the_step_and_blocks_its_dependents() {
    for outcome in [Outcome::Unresolved { paths: conflict() }, Outcome::NoChange] {
        let (mut world, id) = running(&[plain("a"), after("b", "a", "merged")]);
        clashes(&mut world, id, "a");
        world.end(id, "a", outcome);
        assert_eq!(*world.failure(id, "a"), FailReason::Conflict { paths: conflict() });
        assert_eq!((world.word(id, "b"), world.of(id).ended()), ("blocked", Some(EndStatus::Failed)));
    }
}

#[test]
fn retrying_a_conflict_continues_with_its_resolution_or_begins_afresh() {
    for mode in [None, Some(RetryMode::Fresh)] {
        let (mut world, id) = running(&[plain("a"), after("b", "a", "merged")]);
        clashes(&mut world, id, "a");
        let change = world.of(id).step(world.ix(id, "a")).work.as_ref().unwrap().commit;
        world.end(id, "a", Outcome::Unresolved { paths: conflict() });
        let step = world.ix(id, "a");
        world.command(id, Command::Retry { step, mode, note: None }).unwrap();
        let onto = head(&world, id);
        let expected = if mode.is_none() { Start::Resolve { onto, change } } else { Start::Fresh { base: onto } };
        assert_eq!(start(&world, id, "a"), expected);
        world.drain();
        assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
    }
}

#[test]
fn retrying_a_conflict_asks_the_queue_first_if_the_head_has_moved() {
    let (mut world, id) = running(&[plain("a"), plain("b"), plain("slow")]);
    clashes(&mut world, id, "a");
    world.end(id, "a", Outcome::Unresolved { paths: conflict() });
    world.work(id, "b");
    own_queue(&mut world, id);
    let step = world.ix(id, "a");
    world.command(id, Command::Retry { step, mode: None, note: None }).unwrap();
    own_queue(&mut world, id);
    assert_eq!(world.words(id), ["done", "done", "running"]);
    assert_eq!(world.of(id).step(step).attempts, 2, "no agent was needed");
}

#[test]
fn while_it_is_paused_no_change_asks_again() {
    let (mut world, id) = running(&[plain("a"), plain("b")]);
    clashes(&mut world, id, "a");
    clashes(&mut world, id, "b");
    world.command(id, Command::Pause(None)).unwrap();
    world.end(id, "a", Outcome::Changed);
    own_queue(&mut world, id);
    assert_eq!((world.word(id, "a"), requests(&world, id, "b")), ("done", 1));
    world.command(id, Command::Resume(None)).unwrap();
    own_queue(&mut world, id);
    assert_eq!(world.word(id, "b"), "done");
}

/// The queue says that the step's change fails together with another.
fn interacts(world: &mut World, id: ExecutionId, step: &str) {
    let request = enki_core::id::RequestId::of(id, Some(world.ix(id, step)), requests(world, id, step));
    let (with, log) = ("Rename the parser".to_owned(), "2 tests failed".to_owned());
    world.report(id, Report::Refused { request, reason: Refusal::Interaction { with, log } }).unwrap();
}

#[test]
fn a_change_that_fails_together_with_another_is_repaired_on_the_new_head_and_charged_to_no_fix() {
    let (mut world, id) = running_plan(json!({"steps": [reviewed("a", 0), plain("slow")]}));
    world.work(id, "a");
    let change = world.of(id).step(world.ix(id, "a")).work.as_ref().unwrap().commit;
    interacts(&mut world, id, "a");
    assert_eq!(start(&world, id, "a"), Start::Resolve { onto: head(&world, id), change });
    let prompt = prompt(&world, id, "a");
    for words in ["passed its check alone, but fails together", "Rename the parser", "2 tests failed"] {
        assert!(prompt.contains(words), "{words}: {prompt}");
    }
    assert_eq!(world.of(id).step(world.ix(id, "a")).course.fixes, 0);
    world.end(id, "a", Outcome::Changed);
    world.reviewed(id, "a", Gate::Pass);
    assert_eq!(world.word(id, "a"), "merging");
}

#[test]
fn interactions_are_bounded_and_end_in_a_failed_check() {
    let (mut world, id) = running(&[plain("a"), plain("slow")]);
    world.work(id, "a");
    interacts(&mut world, id, "a");
    world.end(id, "a", Outcome::Changed);
    interacts(&mut world, id, "a");
    assert_eq!(*world.failure(id, "a"), FailReason::Check { log: "2 tests failed".to_owned() });
    let step = world.ix(id, "a");
    world.command(id, Command::Retry { step, mode: None, note: None }).unwrap();
    assert!(matches!(start(&world, id, "a"), Start::Resolve { .. }), "a retry goes on where it was");
}

#[test]
fn a_change_that_asks_again_may_be_cancelled() {
    let (mut world, id) = running(&[plain("a"), plain("b")]);
    clashes(&mut world, id, "a");
    clashes(&mut world, id, "b");
    world.end(id, "a", Outcome::Changed);
    while requests(&world, id, "b") == 1 {
        let effect = world.flying.iter().find(|e| matches!(e, Effect::Queue(..))).copied().unwrap();
        world.answer(effect);
    }
    let step = Some(world.ix(id, "b"));
    world.command(id, Command::Cancel { step, committing: vec![] }).unwrap();
    world.drain();
    assert_eq!((world.word(id, "b"), world.of(id).ended()), ("cancelled", Some(EndStatus::Done)));
}

#[test]
fn a_turn_is_kept_over_a_stop() {
    let (mut world, id) = running(&[plain("a"), plain("b")]);
    clashes(&mut world, id, "a");
    clashes(&mut world, id, "b");
    world.command(id, Command::Stop).unwrap();
    world.command(id, Command::Resume(None)).unwrap();
    assert!(world.attempt(id, "a").is_some() && world.attempt(id, "b").is_none());
}
