//! Model sections 7 and 8: what people may ask, checkpoints and holds.

use super::{after, plain, reviewed, running};
use crate::world::{World, step};
use enki_core::engine::{Effect, Rejected};
use enki_core::execution::{self, Answer, Command, EndStatus, HoldReason, Outcome};
use enki_core::id::ExecutionId;
use enki_core::merge_queue::{self, EffectKind};
use enki_core::refinery::Build;
use serde_json::json;

fn cancel(world: &mut World, id: ExecutionId, step: Option<&str>) -> Result<(), Rejected> {
    let step = step.map(|s| world.ix(id, s));
    world.command(id, Command::Cancel { step, committing: vec![] })
}

fn retry(world: &mut World, id: ExecutionId, step: &str) -> Result<(), Rejected> {
    let step = world.ix(id, step);
    world.command(id, Command::Retry { step, mode: None, note: None })
}

fn declined() -> Outcome {
    Outcome::Declined { message: "no".to_owned() }
}

/// Lets the queues go on until the target is about to be moved.
fn until_publishing(world: &mut World) -> Effect {
    loop {
        let queue = |e: &&Effect| matches!(e, Effect::Queue(..));
        let effect = world.flying.iter().find(queue).copied().expect("something is being merged");
        if matches!(effect, Effect::Queue(_, merge_queue::Effect { kind: EffectKind::Publish, .. })) {
            return effect;
        }
        world.answer(effect);
    }
}

#[test]
fn pause_drains_and_resume_runs_nothing_again() {
    let (mut world, id) = running(&[plain("a"), after("b", "a", "merged")]);
    world.command(id, Command::Pause(None)).unwrap();
    world.command(id, Command::Pause(None)).unwrap();
    assert_eq!((world.of(id).status(), world.flying.len()), ("paused", 1), "the live attempt goes on");
    world.done(id, "a");
    assert_eq!(world.words(id), ["done", "ready"]);
    world.command(id, Command::Resume(None)).unwrap();
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
    assert!(world.of(id).steps().iter().all(|s| s.attempts == 1));
}

#[test]
fn a_paused_step_stays_behind_alone_and_is_named() {
    let (mut world, id) = running(&[plain("a"), after("b", "a", "merged"), after("c", "a", "merged")]);
    let b = world.ix(id, "b");
    world.command(id, Command::Pause(Some(b))).unwrap();
    world.drain();
    assert_eq!(world.words(id), ["done", "paused", "done"]);
    assert_eq!(world.of(id).waiting_for(), ["a person paused step b"], "I17");
    world.command(id, Command::Resume(Some(b))).unwrap();
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn stop_kills_and_each_step_wants_the_same_attempt_again() {
    let (mut world, id) = running(&[reviewed("a", 1), plain("b")]);
    world.end(id, "a", Outcome::Changed);
    let purpose = world.purpose(id, "a");
    world.command(id, Command::Stop).unwrap();
    assert!(world.flying.is_empty());
    assert_eq!(world.engine.dispatcher().runs(), 0);
    world.command(id, Command::Resume(None)).unwrap();
    assert_eq!(world.purpose(id, "a"), purpose);
    assert_eq!((world.attempt(id, "a").unwrap().0, world.attempt(id, "b").unwrap().0), (3, 2));
    assert!(world.of(id).steps().iter().all(|s| s.course.infra == 0), "nobody is charged");
}

#[test]
fn retry_unblocks_dependents_and_revives_the_execution() {
    let (mut world, id) = running(&[plain("a"), after("b", "a", "merged")]);
    world.end(id, "a", declined());
    assert_eq!((world.of(id).ended(), world.words(id)), (Some(EndStatus::Failed), vec!["failed", "blocked"]));
    retry(&mut world, id, "a").unwrap();
    assert_eq!((world.of(id).ended(), world.words(id)), (None, vec!["running", "pending"]));
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn retry_is_for_failed_steps_and_names_what_blocks_another() {
    let (mut world, id) = running(&[plain("a"), after("b", "a", "merged"), plain("c")]);
    assert!(retry(&mut world, id, "c").unwrap_err().to_string().contains("step c is running"));
    world.end(id, "a", declined());
    assert!(retry(&mut world, id, "b").unwrap_err().to_string().contains("blocked by a"));
}

#[test]
fn steps_are_added_to_executions_that_have_not_ended() {
    let (mut world, id) = running(&[plain("a")]);
    world.command(id, Command::Pause(None)).unwrap();
    let steps = world.added(id, json!([after("b", "a", "merged")]));
    let late = world.added(id, json!([plain("d"), after("e", "d", "merged")]));
    world.command(id, Command::AddSteps(steps.clone())).unwrap();
    assert_eq!(world.words(id), ["running", "pending"]);
    // By their places d would be b: e would wait for that.
    let refused = world.command(id, Command::AddSteps(late)).unwrap_err();
    assert!(refused.to_string().contains("other steps were added meanwhile"), "{refused}");
    let again = world.command(id, Command::AddSteps(steps)).unwrap_err();
    assert!(again.to_string().contains("has a step b already"), "{again}");
    world.command(id, Command::Resume(None)).unwrap();
    world.drain();
    let steps = world.added(id, json!([plain("c")]));
    assert!(world.command(id, Command::AddSteps(steps)).is_err(), "it is done");
}

#[test]
fn added_steps_may_not_need_a_failed_one() {
    let (mut world, id) = running(&[plain("a"), plain("b")]);
    world.end(id, "a", declined());
    let steps = world.added(id, json!([plain("c"), after("d", "a", "merged")]));
    let refused = world.command(id, Command::AddSteps(steps)).unwrap_err();
    assert!(matches!(refused, Rejected::Execution(execution::Rejected::DependencyFailed { .. })));
    assert_eq!(world.words(id).len(), 2, "I18: nothing was added");
}

#[test]
fn a_chain_added_below_a_blocked_step_is_blocked_and_freed_with_it() {
    let (mut world, id) = running(&[plain("a"), after("b", "a", "merged"), plain("slow")]);
    world.end(id, "a", declined());
    let chain = json!([after("e", "d", "merged"), after("c", "b", "merged"), after("d", "c", "merged")]);
    let steps = world.added(id, chain);
    world.command(id, Command::AddSteps(steps)).unwrap();
    assert_eq!(world.words(id)[1..], ["blocked", "running", "blocked", "blocked", "blocked"]);
    retry(&mut world, id, "a").unwrap();
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn cancel_of_a_step_takes_its_unstarted_dependents_along() {
    let (mut world, id) =
        running(&[plain("a"), after("b", "a", "started"), after("c", "a", "merged"), after("d", "c", "merged")]);
    world.live(id, "a");
    cancel(&mut world, id, Some("a")).unwrap();
    assert_eq!(world.words(id), ["cancelled", "running", "cancelled", "cancelled"]);
    assert_eq!(world.flying_attempt(id, "a"), None, "its agent is stopped");
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn cancel_of_everything_kills_withdraws_and_ends() {
    let (mut world, id) = running(&[plain("a"), plain("b"), after("c", "b", "merged")]);
    world.work(id, "a");
    cancel(&mut world, id, None).unwrap();
    assert_eq!((world.of(id).ended(), world.words(id)), (Some(EndStatus::Cancelled), vec!["cancelled"; 3]));
    assert!(world.flying.is_empty(), "{:?}", world.flying);
    let before = world.logs.clone();
    cancel(&mut world, id, None).unwrap();
    assert_eq!(world.logs, before, "again is fine and changes nothing");
}

#[test]
fn a_merge_that_is_being_committed_survives_a_cancel_as_done() {
    let (mut world, id) = running(&[plain("a"), plain("b")]);
    world.work(id, "a");
    let publish = until_publishing(&mut world);
    assert!(cancel(&mut world, id, Some("a")).is_err(), "alone it is refused");
    cancel(&mut world, id, None).unwrap();
    assert_eq!((world.of(id).ended(), world.words(id)), (None, vec!["merging", "cancelled"]));
    world.answer(publish);
    assert_eq!((world.of(id).ended(), world.words(id)), (Some(EndStatus::Cancelled), vec!["done", "cancelled"]));
}

#[test]
fn a_rejection_spares_a_merge_that_is_being_committed() {
    let (mut world, id) = running(&[step("c", json!({"checkpoint": true})), plain("a")]);
    world.end(id, "c", Outcome::NoChange);
    let hold = *world.of(id).holds().keys().next().unwrap();
    world.work(id, "a");
    let publish = until_publishing(&mut world);
    world.command(id, Command::Decide { hold, answer: Answer::Reject, committing: vec![] }).unwrap();
    world.answer(publish);
    assert_eq!((world.of(id).ended(), world.words(id)), (Some(EndStatus::Cancelled), vec!["done", "done"]));
}

#[test]
fn a_commit_that_fails_after_a_cancel_ends_the_execution_too() {
    let (mut world, id) = running(&[plain("a")]);
    world.work(id, "a");
    let publish = until_publishing(&mut world);
    cancel(&mut world, id, None).unwrap();
    let own = enki_core::branch::Branch::integration(id);
    world.push_to(&own);
    world.answer(publish);
    assert_eq!(world.words(id), ["merging"], "the branch had moved: it is built anew");
    while world.of(id).ended().is_none() {
        let effect = world.flying[0];
        let Effect::Queue(queue, inner) = effect else { panic!("{effect:?}") };
        if inner.kind == EffectKind::Build {
            world.flying.clear();
            let request = world.engine.queue(&own).unwrap().requests().next().unwrap();
            let conflict = Build::Conflict { request, paths: vec!["x".to_owned()], hunks: String::new() };
            world.input(crate::world::report(queue, inner, merge_queue::Report::Built(conflict))).unwrap();
        } else {
            world.answer(effect);
        }
    }
    assert_eq!((world.of(id).ended(), world.words(id)), (Some(EndStatus::Cancelled), vec!["cancelled"]));
}

#[test]
fn a_checkpoint_holds_before_anything_else_starts_also_across_a_crash() {
    let (mut world, id) =
        running(&[step("a", json!({"checkpoint": true})), after("b", "a", "merged"), plain("sibling")]);
    world.done(id, "a");
    assert_eq!((world.of(id).status(), world.words(id)), ("held", vec!["done", "ready", "running"]));
    world.crash();
    assert_eq!((world.of(id).status(), world.words(id)), ("held", vec!["done", "ready", "running"]));
    world.done(id, "sibling");
    let hold = world.of(id).holds().iter().next().map(|(n, reason)| (*n, reason.clone())).unwrap();
    assert_eq!(hold.1, HoldReason::Checkpoint { step: world.ix(id, "a") });
    world
        .command(id, Command::Decide { hold: hold.0, answer: Answer::Text("fine".to_owned()), committing: vec![] })
        .unwrap();
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn a_checkpoint_on_the_last_step_holds_the_end() {
    let (mut world, id) = running(&[step("a", json!({"checkpoint": true}))]);
    world.done(id, "a");
    assert_eq!((world.of(id).status(), world.of(id).ended()), ("held", None));
    world.command(id, Command::Resume(None)).unwrap();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn all_open_holds_must_be_answered() {
    let (mut world, id) = running(&[
        step("a", json!({"checkpoint": true})),
        step("b", json!({"checkpoint": true})),
        step("c", json!({"needs": ["a", "b"]})),
    ]);
    world.work(id, "a");
    world.work(id, "b");
    world.queues();
    let holds: Vec<_> = world.of(id).holds().keys().copied().collect();
    assert_eq!(holds.len(), 2);
    for (n, hold) in holds.into_iter().enumerate() {
        assert_eq!(world.word(id, "c"), "ready", "after {n} answers");
        world.command(id, Command::Decide { hold, answer: Answer::Approve, committing: vec![] }).unwrap();
    }
    assert_eq!(world.word(id, "c"), "running");
}

#[test]
fn what_was_in_flight_is_wanted_again_after_a_crash() {
    let (mut world, id) = running(&[plain("a"), plain("b")]);
    world.work(id, "a");
    let before = world.flying.clone();
    world.crash();
    let sorted = |mut effects: Vec<Effect>| {
        effects.sort_unstable();
        effects
    };
    assert_eq!(sorted(world.flying.clone()), sorted(before));
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn an_event_about_a_step_that_is_not_there_changes_nothing() {
    let (world, id) = running(&[plain("a")]);
    let mut execution = world.of(id).clone();
    let mut steps = world.added(id, json!([after("b", "a", "merged")])).into_steps();
    steps[0].needs[0].on = enki_core::plan::NeedOn::Step(enki_core::id::StepIx(9));
    for event in [
        execution::Event::StepCancelled { step: enki_core::id::StepIx(7) },
        execution::Event::Paused { step: Some(enki_core::id::StepIx(7)) },
        execution::Event::StepsAdded { steps },
    ] {
        execution.apply(&event);
    }
    assert!(execution == *world.of(id));
}
