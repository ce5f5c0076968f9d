//! Model section 6: `at`, `after`, approval.

use super::{plain, running};
use crate::world::World;
use enki_core::execution::{Answer, Command, EndStatus, HoldNo, Outcome};
use enki_core::id::ExecutionId;
use enki_core::limits::Limits;
use enki_core::spec::AfterWhen;
use serde_json::json;
use std::time::Duration;

fn follower(world: &mut World, of: ExecutionId, when: AfterWhen) -> ExecutionId {
    let mut submitted = world.submission(json!({"steps": [plain("b")]}), &[]);
    submitted.after = Some((of, when));
    world.submit_as(submitted)
}

fn declined() -> Outcome {
    Outcome::Declined { message: "no".to_owned() }
}

#[test]
fn at_starts_when_its_time_is_reached_and_only_once() {
    let mut world = World::new(Limits::default());
    let mut submitted = world.submission(json!({"steps": [plain("a")]}), &[]);
    let at = world.now.plus(Duration::from_secs(60));
    submitted.start_at = Some(at);
    let id = world.submit_as(submitted);
    assert_eq!(world.of(id).status(), "scheduled");
    assert_eq!(world.engine.next_deadline(world.now), Some(at), "nothing else would wake the driver");
    world.wait(Duration::from_secs(59));
    assert!(world.flying.is_empty());
    world.wait(Duration::from_secs(1));
    assert_eq!((world.of(id).status(), world.flying.len()), ("running", 1));
    world.wait(Duration::from_secs(60));
    world.now = at;
    world.turn();
    assert_eq!(world.flying.len(), 1, "a clock that jumps back fires nothing again");
}

#[test]
fn a_time_in_the_past_fires_at_once() {
    let mut world = World::new(Limits::default());
    let mut submitted = world.submission(json!({"steps": [plain("a")]}), &[]);
    submitted.start_at = Some(enki_core::time::Timestamp(1));
    let id = world.submit_as(submitted);
    assert_eq!(world.of(id).status(), "running");
}

#[test]
fn after_success_waits_is_blocked_by_a_failure_and_unblocked_by_a_retry() {
    let (mut world, first) = running(&[plain("a")]);
    let second = follower(&mut world, first, AfterWhen::Success);
    assert_eq!(world.of(second).status(), "scheduled");
    assert!(world.of(second).waiting_for()[0].contains(&first.to_string()), "I17");
    world.end(first, "a", declined());
    assert_eq!(world.of(second).status(), "blocked");
    let step = world.ix(first, "a");
    world.command(first, Command::Retry { step, mode: None, note: None }).unwrap();
    assert_eq!(world.of(second).status(), "scheduled");
    world.done(first, "a");
    assert_eq!(world.of(second).status(), "running");
}

#[test]
fn after_any_starts_whatever_the_result() {
    let (mut world, first) = running(&[plain("a")]);
    let second = follower(&mut world, first, AfterWhen::Any);
    assert_eq!(world.of(second).status(), "scheduled");
    world.command(first, Command::Cancel { step: None, committing: vec![] }).unwrap();
    assert_eq!(world.of(second).status(), "running");
}

/// A first execution, made of a note, and one that waits for it, each time ended in another way.
#[test]
fn each_end_of_the_first_blocks_or_starts_the_one_that_waits_for_it() {
    type End = fn(&mut World, ExecutionId);
    let ends: [(&str, End); 4] = [
        ("failed", |world, first| world.end(first, "a", declined())),
        ("failed", |world, first| world.end(first, "a", Outcome::TimedOut)),
        ("cancelled", |world, first| {
            world.command(first, Command::Cancel { step: None, committing: vec![] }).unwrap();
        }),
        ("done", |world, first| world.done(first, "a")),
    ];
    for (status, end) in ends {
        for (when, then) in [(AfterWhen::Success, "blocked"), (AfterWhen::Any, "running")] {
            let mut world = World::new(Limits::default());
            let mut submitted = world.submission(json!({"steps": [plain("a")]}), &[]);
            submitted.origin = "note(docs/log/task/a.md)".to_owned();
            let first = world.submit_as(submitted);
            world.open(first);
            let second = follower(&mut world, first, when);
            assert_eq!(world.of(second).status(), "scheduled");
            end(&mut world, first);
            assert_eq!(world.of(first).status(), status);
            let then = if status == "done" { "running" } else { then };
            assert_eq!(world.of(second).status(), then, "{status} {when:?}");
        }
    }
}

#[test]
fn what_comes_after_one_that_has_ended_follows_its_end_at_once() {
    for (outcome, when, then) in [
        (None, AfterWhen::Success, "running"),
        (None, AfterWhen::Any, "running"),
        (Some(declined()), AfterWhen::Success, "blocked"),
        (Some(declined()), AfterWhen::Any, "running"),
    ] {
        let (mut world, first) = running(&[plain("a")]);
        match outcome {
            Some(outcome) => world.end(first, "a", outcome),
            None => world.done(first, "a"),
        }
        assert!(world.of(first).ended().is_some());
        let second = follower(&mut world, first, when);
        assert_eq!(world.of(second).status(), then, "{when:?}");
    }
}

#[test]
fn at_and_after_must_both_hold() {
    let (mut world, first) = running(&[plain("a")]);
    let mut submitted = world.submission(json!({"steps": [plain("b")]}), &[]);
    submitted.after = Some((first, AfterWhen::Success));
    submitted.start_at = Some(world.now.plus(Duration::from_secs(60)));
    let second = world.submit_as(submitted);
    world.done(first, "a");
    assert_eq!(world.of(second).status(), "scheduled");
    world.wait(Duration::from_secs(60));
    assert_eq!(world.of(second).status(), "running");
}

#[test]
fn nothing_starts_before_a_plan_is_approved() {
    let mut world = World::new(Limits::default());
    let mut submitted = world.submission(json!({"steps": [plain("a")]}), &[]);
    submitted.approval = true;
    let id = world.submit_as(submitted);
    assert_eq!((world.of(id).status(), world.flying.len()), ("held", 0));
    let decide = |answer| Command::Decide { hold: HoldNo(1), answer, committing: vec![] };
    world.command(id, decide(Answer::Approve)).unwrap();
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
    assert!(world.command(id, decide(Answer::Approve)).is_err(), "an answered hold is not open");
}
