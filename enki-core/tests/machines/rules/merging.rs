//! The merge queue's algorithm and what an execution makes of its answers.

use super::{after, plain, reviewed, running, running_plan};
use crate::world::World;
use enki_core::branch::Branch;
use enki_core::engine::Effect;
use enki_core::execution::{Command, EndStatus, FailReason, HoldReason, NeedState, Outcome};
use enki_core::merge_queue::{self, EffectKind, QueuePause};
use enki_core::refinery::Check;
use enki_core::tier::Purpose;
use enki_core::verdict::Gate;
use serde_json::json;
use std::time::Duration;

fn failed() -> Check {
    Check::Failed { log: "1 test failed".to_owned() }
}

fn unknown() -> Check {
    Check::Unknown { reason: "disk full".to_owned() }
}

fn conflict() -> Vec<String> {
    vec!["src/lib.rs".to_owned()]
}

/// Everything of the own queue, nothing of the target's.
fn own_queue(world: &mut World, id: enki_core::id::ExecutionId) {
    let own = enki_core::engine::QueueId::of(&Branch::integration(id));
    while let Some(effect) = world.flying.iter().find(|e| matches!(e, Effect::Queue(q, _) if *q == own)).copied() {
        world.answer(effect);
    }
}

#[test]
fn a_check_that_fails_twice_on_a_green_base_ejects_the_change() {
    let (mut world, id) = running(&[plain("a")]);
    world.checks = vec![failed(), failed(), Check::Passed];
    world.work(id, "a");
    world.queues();
    assert_eq!(*world.failure(id, "a"), FailReason::Check { log: "1 test failed".to_owned() });
    assert!(world.checks.is_empty(), "the base was checked before anybody was blamed");
}

#[test]
fn a_base_that_passed_before_is_not_checked_again() {
    let (mut world, id) = running(&[plain("a"), after("b", "a", "merged")]);
    world.done(id, "a");
    world.checks = vec![failed(), failed()];
    world.work(id, "b");
    own_queue(&mut world, id);
    assert_eq!(world.words(id), ["done", "failed"]);
}

#[test]
fn a_pass_after_a_failure_clears_the_change_and_counts_as_a_flake() {
    let (mut world, id) = running(&[plain("a")]);
    world.checks = vec![failed()];
    world.done(id, "a");
    assert_eq!(world.engine.queue(&Branch::integration(id)).unwrap().flakes().flaky, 1);
}

#[test]
fn a_red_base_stops_the_queue_and_blames_nobody() {
    let (mut world, id) = running(&[plain("a")]);
    world.checks = vec![failed(), failed(), failed()];
    world.work(id, "a");
    world.queues();
    let own = Branch::integration(id);
    assert_eq!(world.words(id), ["merging"]);
    assert!(matches!(world.engine.queue(&own).unwrap().paused(), Some(QueuePause::BaseRed { .. })));
    assert!(matches!(world.of(id).holds().values().next(), Some(HoldReason::Trouble { .. })));
    let mended = world.push_to(&own);
    world.command(id, Command::Resume(None)).unwrap();
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
    let last = world.branches[&own].iter().rposition(|c| *c == mended).unwrap();
    assert!(last + 1 < world.branches[&own].len(), "the change was built on the mended base");
}

#[test]
fn a_newcomer_to_a_stopped_queue_is_told() {
    let (mut world, first) = running(&[plain("a")]);
    let second = world.start(json!({"steps": [plain("a")]}));
    world.done(first, "a");
    world.work(second, "a");
    own_queue(&mut world, second);
    let main = world.main();
    world.branches.remove(&main);
    world.queues();
    assert_eq!(world.engine.queue(&main).unwrap().paused(), Some(&QueuePause::TargetGone));
    let third = {
        world.branches.insert(main.clone(), vec![world.of(first).base().unwrap()]);
        let third = world.start(json!({"steps": [plain("a")]}));
        world.work(third, "a");
        own_queue(&mut world, third);
        third
    };
    for id in [second, third] {
        assert!(matches!(world.of(id).holds().values().next(), Some(HoldReason::Trouble { .. })), "I17: {id}");
    }
}

#[test]
fn a_check_without_an_answer_is_tried_again_and_then_the_queue_stops() {
    let (mut world, id) = running(&[plain("a")]);
    world.checks = vec![unknown(); 4];
    world.work(id, "a");
    let start = world.now;
    for wait in [10, 60, 300] {
        world.queues();
        let next = world.engine.next_deadline(world.now).unwrap().since(world.now).as_secs();
        assert!((wait..=wait + wait / 10 + 1).contains(&next), "{next} of {wait}");
        world.wait(Duration::from_secs(wait * 2));
    }
    world.queues();
    assert!(world.now > start);
    assert_eq!(world.words(id), ["merging"], "nobody is charged");
    let own = Branch::integration(id);
    assert!(matches!(world.engine.queue(&own).unwrap().paused(), Some(QueuePause::Infrastructure { .. })));
    world.command(id, Command::Resume(None)).unwrap();
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn a_conflict_is_resolved_by_one_attempt_on_the_new_head() {
    let (mut world, id) = running(&[plain("a"), plain("b")]);
    world.done(id, "a");
    world.builds = vec![conflict()];
    world.work(id, "b");
    own_queue(&mut world, id);
    assert_eq!(world.purpose(id, "b"), Some(Purpose::Resolve));
    let place = enki_core::dispatcher::Place { execution: id, step: world.ix(id, "b") };
    let job = world.engine.attempt_job(place, world.attempt(id, "b").unwrap()).unwrap();
    let change = world.of(id).step(place.step).work.as_ref().unwrap().commit;
    let onto = world.of(id).head().unwrap();
    assert_eq!(job.workspace.start, enki_core::workspace::Start::Resolve { onto, change });
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn a_conflict_that_was_resolved_in_vain_fails_the_step() {
    let (mut world, id) = running(&[plain("a")]);
    world.builds = vec![conflict(), conflict()];
    world.work(id, "a");
    own_queue(&mut world, id);
    world.work(id, "a");
    own_queue(&mut world, id);
    assert_eq!(*world.failure(id, "a"), FailReason::Conflict { paths: conflict() });
    assert_eq!(world.of(id).step(world.ix(id, "a")).attempts, 2);
}

#[test]
fn conflicts_with_ever_new_heads_end_too() {
    let others: Vec<String> = (0..4).map(|n| format!("other{n}")).collect();
    let steps: Vec<_> = std::iter::once("a").chain(others.iter().map(String::as_str)).map(plain).collect();
    let (mut world, id) = running(&steps);
    for other in &others[..3] {
        world.work(id, "a");
        world.builds = vec![conflict()];
        own_queue(&mut world, id);
        assert_eq!(world.purpose(id, "a"), Some(Purpose::Resolve));
        world.work(id, other);
        own_queue(&mut world, id);
    }
    world.work(id, "a");
    world.builds = vec![conflict()];
    own_queue(&mut world, id);
    assert_eq!(*world.failure(id, "a"), FailReason::Conflict { paths: conflict() });
}

#[test]
fn a_gated_step_whose_merge_is_refused_is_fixed_within_its_budget() {
    let (mut world, id) = running(&[reviewed("a", 1)]);
    for round in 0..2 {
        world.checks = vec![failed(), failed(), Check::Passed];
        world.work(id, "a");
        own_queue(&mut world, id);
        if round == 0 {
            assert_eq!(world.purpose(id, "a"), Some(Purpose::Fix));
            let findings = world.of(id).step(world.ix(id, "a")).findings.clone().unwrap();
            assert!(findings.contains("1 test failed"), "the log reaches the agent");
        }
    }
    assert!(matches!(world.failure(id, "a"), FailReason::Check { .. }));
}

#[test]
fn a_resolution_of_a_gated_step_is_reviewed_again() {
    let (mut world, id) = running(&[reviewed("a", 1)]);
    world.builds = vec![conflict()];
    world.work(id, "a");
    own_queue(&mut world, id);
    world.end(id, "a", Outcome::Changed);
    assert_eq!(world.purpose(id, "a"), Some(Purpose::Review));
    world.reviewed(id, "a", Gate::Pass);
    world.queues();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn a_target_that_moves_is_followed_and_the_change_built_anew() {
    let (mut world, id) = running(&[plain("a")]);
    world.work(id, "a");
    own_queue(&mut world, id);
    let main = world.main();
    let publishing = |e: &Effect| matches!(e, Effect::Queue(_, merge_queue::Effect { kind: EffectKind::Publish, .. }));
    let mut moves = 0;
    while world.of(id).holds().is_empty() {
        let effect = world.flying[0];
        if publishing(&effect) {
            world.push_to(&main);
            moves += 1;
        }
        world.answer(effect);
    }
    assert_eq!(moves, 6, "five times it is built anew, then a person is asked");
    assert!(matches!(world.of(id).holds().values().next(), Some(HoldReason::Landing { .. })));
    world.command(id, Command::Resume(None)).unwrap();
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn a_landing_that_is_blocked_is_a_hold_but_the_work_goes_on() {
    let (mut world, id) = running(&[plain("a"), after("b", "a", "merged")]);
    world.work(id, "a");
    own_queue(&mut world, id);
    loop {
        let effect = world.flying.iter().find(|e| matches!(e, Effect::Queue(..))).copied().unwrap();
        let Effect::Queue(queue, inner) = effect else { unreachable!() };
        if inner.kind == EffectKind::Publish {
            world.flying.retain(|e| *e != effect);
            let (reason, command) = ("main has changes".to_owned(), "git merge x".to_owned());
            let blocked = merge_queue::Report::Blocked { reason, command };
            world.input(crate::world::report(queue, inner, blocked)).unwrap();
            break;
        }
        world.answer(effect);
    }
    assert!(matches!(world.of(id).holds().values().next(), Some(HoldReason::Landing { .. })));
    assert_eq!((world.of(id).status(), world.words(id)), ("running", vec!["done", "running"]));
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done), "the next landing ends the hold");
}

/// Lets the queues go on; the target is checked out with changes as often as that.
fn blocked(world: &mut World, mut times: u32) {
    while let Some(effect) = world.flying.iter().find(|e| matches!(e, Effect::Queue(..))).copied() {
        let Effect::Queue(queue, inner) = effect else { unreachable!() };
        let target = enki_core::engine::QueueId::of(&world.main()) == queue;
        if target && inner.kind == EffectKind::Publish && times > 0 {
            times -= 1;
            world.flying.retain(|e| *e != effect);
            let (reason, command) = ("main has changes".to_owned(), "git merge x".to_owned());
            let blocked = merge_queue::Report::Blocked { reason, command };
            world.input(crate::world::report(queue, inner, blocked)).unwrap();
        } else {
            world.answer(effect);
        }
    }
    assert_eq!(times, 0);
}

#[test]
fn a_blocked_landing_is_tried_again_by_itself_and_ends_its_hold_when_the_way_is_free() {
    let (mut world, id) = running(&[plain("a")]);
    world.work(id, "a");
    blocked(&mut world, 1);
    for minutes in [1, 5, 15, 60, 60] {
        assert!(world.engine.at_rest(id), "whoever waits for it is told of the hold");
        assert_eq!(world.of(id).holds().len(), 1);
        let next = world.engine.next_deadline(world.now).unwrap();
        let wait = next.since(world.now).as_secs();
        assert!((minutes * 60..=minutes * 66).contains(&wait), "{wait} s of {minutes} min");
        world.now = next;
        world.turn();
        assert!(!world.engine.at_rest(id));
        blocked(&mut world, 1);
    }
    world.now = world.engine.next_deadline(world.now).unwrap();
    world.turn();
    world.queues();
    assert_eq!((world.of(id).ended(), world.of(id).holds().len()), (Some(EndStatus::Done), 0));
}

#[test]
fn an_orchestrator_that_takes_up_a_blocked_landing_tries_it_at_once() {
    let (mut world, id) = running(&[plain("a")]);
    world.work(id, "a");
    blocked(&mut world, 1);
    assert!(world.flying.is_empty());
    world.crash();
    world.queues();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn a_landing_that_a_person_merged_by_hand_ends_its_hold() {
    let (mut world, id) = running(&[plain("a")]);
    world.work(id, "a");
    own_queue(&mut world, id);
    world.builds = vec![conflict()];
    world.queues();
    world.end(id, "land-1", Outcome::Unresolved { paths: conflict() });
    assert!(matches!(world.of(id).holds().values().next(), Some(HoldReason::Landing { .. })));
    world.now = world.engine.next_deadline(world.now).unwrap();
    world.turn();
    while let Some(Effect::Queue(queue, inner)) = world.flying.first().copied() {
        if inner.kind == EffectKind::Build {
            world.flying.clear();
            let empty = merge_queue::Report::Built(enki_core::refinery::Build::Empty);
            world.input(crate::world::report(queue, inner, empty)).unwrap();
        } else {
            world.answer(world.flying[0]);
        }
    }
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn a_landing_whose_check_fails_is_not_tried_again_by_time() {
    let (mut world, id) = running(&[plain("a")]);
    world.work(id, "a");
    own_queue(&mut world, id);
    let main = world.main();
    world.push_to(&main);
    world.checks = vec![failed(), failed(), Check::Passed];
    world.queues();
    assert!(matches!(world.of(id).holds().values().next(), Some(HoldReason::Landing { .. })));
    assert_eq!(world.engine.next_deadline(world.now), None, "a run of the check for nothing");
}

#[test]
fn an_answer_to_a_landing_hold_tries_at_once_and_waits_shortly_again() {
    let (mut world, id) = running(&[plain("a")]);
    world.work(id, "a");
    blocked(&mut world, 1);
    world.wait(Duration::from_secs(120));
    blocked(&mut world, 1);
    world.command(id, Command::Resume(None)).unwrap();
    blocked(&mut world, 1);
    let wait = world.engine.next_deadline(world.now).unwrap().since(world.now).as_secs();
    assert!((60..=66).contains(&wait), "{wait}");
}

#[test]
fn landing_at_the_end_happens_once_when_all_steps_are_done() {
    let (mut world, id) = running_plan(json!({"land": "end", "steps": [plain("a"), after("b", "a", "merged")]}));
    let main = world.main();
    world.done(id, "a");
    assert_eq!(world.branches[&main].len(), 1);
    world.done(id, "b");
    assert_eq!((world.branches[&main].len(), world.of(id).ended()), (2, Some(EndStatus::Done)));
}

#[test]
fn with_landing_at_the_end_a_failure_lands_nothing() {
    let (mut world, id) = running_plan(json!({"land": "end", "steps": [plain("a"), plain("b")]}));
    world.done(id, "a");
    world.end(id, "b", Outcome::Declined { message: "no".to_owned() });
    let main = world.main();
    assert_eq!((world.branches[&main].len(), world.of(id).ended()), (1, Some(EndStatus::Failed)));
}

#[test]
fn what_an_ended_execution_merged_lands_when_a_person_asks_and_it_ends_as_before() {
    for cancelled in [false, true] {
        let (mut world, id) = running_plan(json!({"land": "end", "steps": [plain("a"), plain("b")]}));
        world.done(id, "a");
        world.end(id, "b", Outcome::Declined { message: "no".to_owned() });
        if cancelled {
            world.command(id, Command::Cancel { step: None, committing: vec![] }).unwrap();
        }
        let status = world.of(id).ended();
        assert_eq!(status, Some(if cancelled { EndStatus::Cancelled } else { EndStatus::Failed }));
        world.command(id, Command::Land).unwrap();
        assert_eq!(world.of(id).ended(), None);
        assert_eq!(world.of(id).need_state(None), if cancelled { NeedState::Dead } else { NeedState::Started });
        world.crash();
        world.drain();
        let main = world.main();
        assert_eq!((world.branches[&main].len(), world.of(id).ended()), (2, status));
        let a = world.ix(id, "a");
        assert!(world.of(id).has_landed(a) && !world.of(id).landing_due());
        world.command(id, Command::Land).unwrap();
        assert_eq!(world.of(id).ended(), status, "nothing is left to land");
    }
}

#[test]
fn a_landing_that_is_asked_for_and_blocked_waits_for_a_person_and_can_be_asked_for_again() {
    let (mut world, id) = running_plan(json!({"land": "end", "steps": [plain("a"), plain("b")]}));
    world.done(id, "a");
    world.end(id, "b", Outcome::Declined { message: "no".to_owned() });
    world.command(id, Command::Land).unwrap();
    while let Some(effect) = world.flying.first().copied() {
        let Effect::Queue(queue, inner) = effect else { unreachable!() };
        if inner.kind == EffectKind::Publish {
            world.flying.clear();
            let (reason, command) = ("main has changes".to_owned(), "git merge x".to_owned());
            let blocked = merge_queue::Report::Blocked { reason, command };
            world.input(crate::world::report(queue, inner, blocked)).unwrap();
        } else {
            world.answer(effect);
        }
    }
    assert!(matches!(world.of(id).holds().values().next(), Some(HoldReason::Landing { .. })));
    assert_eq!(world.of(id).status(), "held");
    world.command(id, Command::Land).unwrap();
    world.drain();
    let main = world.main();
    assert_eq!((world.branches[&main].len(), world.of(id).ended()), (2, Some(EndStatus::Failed)));
}

#[test]
fn a_merge_frees_the_steps_that_have_not_started_and_wait_for_it() {
    let steps = [plain("a"), after("b", "a", "merged"), after("c", "a", "merged"), after("d", "a", "completed")];
    let (mut world, id) = running(&steps);
    let a = world.ix(id, "a");
    assert_eq!(world.of(id).frees(a), 2, "not the one that waits for its work only");
    let step = Some(world.ix(id, "c"));
    world.command(id, Command::Cancel { step, committing: vec![] }).unwrap();
    assert_eq!(world.of(id).frees(a), 1);
    world.done(id, "a");
    assert_eq!((world.of(id).frees(a), world.word(id, "b")), (0, "running"));
}

#[test]
fn what_the_target_contains_already_is_done() {
    let (mut world, id) = running(&[plain("a")]);
    world.work(id, "a");
    while let Some(effect) = world.flying.first().copied() {
        let Effect::Queue(queue, inner) = effect else { panic!("{effect:?}") };
        if inner.kind == EffectKind::Build {
            world.flying.clear();
            let empty = merge_queue::Report::Built(enki_core::refinery::Build::Empty);
            world.input(crate::world::report(queue, inner, empty)).unwrap();
        } else {
            world.answer(effect);
        }
    }
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn a_queue_that_is_paused_publishes_nothing_and_loses_nothing() {
    let (mut world, id) = running(&[plain("a")]);
    world.work(id, "a");
    let own = enki_core::engine::QueueId::of(&Branch::integration(id));
    world.input(enki_core::engine::Input::Queue(own, merge_queue::Input::Pause(QueuePause::Person))).unwrap();
    assert!(world.flying.is_empty());
    world.input(enki_core::engine::Input::Queue(own, merge_queue::Input::Resume)).unwrap();
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}
