//! A clock that is set back makes nothing wait longer than it was to wait, and stops nothing.

use super::{plain, running};
use crate::world::{World, report};
use enki_core::branch::Branch;
use enki_core::engine::{Effect, QueueId};
use enki_core::execution::{Command, Outcome};
use enki_core::id::ExecutionId;
use enki_core::merge_queue::{EffectKind, Report as Answer};
use enki_core::refinery::Check;
use enki_core::time::Timestamp;
use std::time::Duration;

/// Three seconds, an hour, a day and ten years, in milliseconds.
const JUMPS: [i64; 4] = [3000, 3_600_000, 86_400_000, 315_360_000_000];

/// Time goes on, and then the clock is set back.
fn set_back(world: &mut World, after: i64, by: i64) {
    world.now = Timestamp(world.now.0 + after - by);
    world.turn();
}

/// What the execution's own queue has in the works.
fn checking(world: &World, id: ExecutionId) -> Option<Effect> {
    let own = QueueId::of(&Branch::integration(id));
    let is =
        |effect: &&Effect| matches!(effect, Effect::Queue(queue, of) if *queue == own && of.kind == EffectKind::Check);
    world.flying.iter().find(is).copied()
}

#[test]
fn a_wait_before_another_try_is_over_when_the_clock_stands_before_its_begin() {
    for (jump, crash) in JUMPS.into_iter().flat_map(|jump| [(jump, false), (jump, true)]) {
        let (mut world, id) = running(&[plain("a")]);
        world.end(id, "a", Outcome::TimedOut);
        assert_eq!(world.attempt(id, "a"), None);
        set_back(&mut world, 1000, jump);
        if crash {
            world.crash();
        }
        assert!(world.attempt(id, "a").is_some(), "set back by {jump} ms, crash: {crash}");
    }
}

#[test]
fn a_clock_that_is_set_back_by_less_than_has_passed_makes_a_wait_twice_as_long_at_most() {
    let (mut world, id) = running(&[plain("a")]);
    world.end(id, "a", Outcome::TimedOut);
    let begun = world.now;
    set_back(&mut world, 4000, 4000);
    assert_eq!(world.attempt(id, "a"), None, "it stands where it stood when the wait began");
    world.drain_to_attempt(id, "a");
    assert!((5000..=5500).contains(&(world.now.0 - begun.0)), "{:?}", world.now);
}

#[test]
fn an_attempt_after_a_refusal_starts_whatever_became_of_the_clock() {
    for jump in JUMPS {
        let (mut world, id) = running(&[plain("a")]);
        world.builds = vec![vec!["a.rs".to_owned()]];
        world.command(id, Command::Pause(Some(world.ix(id, "a")))).unwrap();
        world.work(id, "a");
        world.queues();
        assert_eq!((world.word(id, "a"), world.attempt(id, "a")), ("paused", None));
        world.now = Timestamp(world.now.0 - jump);
        // Not even the moment at which it was refused counts.
        world.crash();
        world.command(id, Command::Resume(Some(world.ix(id, "a")))).unwrap();
        assert!(world.attempt(id, "a").is_some(), "set back by {jump} ms");
    }
}

#[test]
fn a_check_that_waits_is_begun_when_the_clock_is_set_back_and_then_left_alone() {
    for jump in JUMPS {
        let (mut world, id) = running(&[plain("a")]);
        world.checks = vec![Check::Unknown { reason: "no disk".to_owned() }];
        world.work(id, "a");
        while let Some(effect) = world.flying.first().copied() {
            world.answer(effect);
        }
        assert_eq!(world.word(id, "a"), "merging", "it waits for another try");
        let refused = world.now;
        set_back(&mut world, 1000, jump);
        let begun = checking(&world, id).unwrap_or_else(|| panic!("set back by {jump} ms"));
        // The clock comes to where the wait counts again: before its begin, in it, and behind it.
        for at in [refused.0 - 1, refused.0, refused.0 + 5000, refused.0 + 60_000] {
            world.now = Timestamp(at);
            world.turn();
            assert_eq!(checking(&world, id), Some(begun), "set back by {jump} ms, at {at}");
        }
        world.queues();
        assert_eq!(world.word(id, "a"), "done");
    }
}

#[test]
fn a_check_that_runs_is_not_stopped_by_a_clock_that_is_set_back() {
    let (mut world, id) = running(&[plain("a")]);
    world.checks = vec![Check::Unknown { reason: "no disk".to_owned() }];
    world.work(id, "a");
    while let Some(effect) = world.flying.first().copied() {
        world.answer(effect);
    }
    world.now = world.engine.next_deadline(world.now).unwrap();
    world.turn();
    let begun = checking(&world, id).expect("its wait is over");
    // Into the wait that is over already.
    set_back(&mut world, 0, 2000);
    assert_eq!(checking(&world, id), Some(begun));
    world.command(id, Command::Cancel { step: None, committing: vec![] }).unwrap();
    assert_eq!(checking(&world, id), None, "what is not wanted any more is stopped");
}

#[test]
fn a_full_disk_makes_nobody_wait_longer_by_as_much_as_the_clock_is_set_back() {
    for jump in &JUMPS[1..] {
        let (mut world, id) = running(&[plain("a"), plain("b")]);
        let until = world.now.plus(Duration::from_secs(60));
        world.end(id, "a", Outcome::DiskLow { until, reason: "8 MB are free".to_owned() });
        set_back(&mut world, 1000, *jump);
        assert!(world.attempt(id, "a").is_some(), "set back by {jump} ms");
    }
}

#[test]
fn a_landing_is_tried_again_when_the_clock_stands_before_its_wait() {
    for jump in &JUMPS {
        let (mut world, id) = running(&[plain("a")]);
        world.work(id, "a");
        while world.of(id).holds().is_empty() {
            let effect = world.flying.first().copied().expect("a landing is under way");
            match effect {
                Effect::Queue(queue, of) if of.kind == EffectKind::Publish && queue == QueueId::of(&world.main()) => {
                    world.flying.clear();
                    let (reason, command) = ("main has changes".to_owned(), "git stash".to_owned());
                    world.input(report(queue, of, Answer::Blocked { reason, command })).unwrap();
                }
                other => world.answer(other),
            }
        }
        set_back(&mut world, 1, 0);
        assert_eq!(world.of(id).open_requests().count(), 0, "it waits");
        set_back(&mut world, 1000, *jump);
        assert_eq!(world.of(id).open_requests().count(), 1, "set back by {jump} ms");
    }
}
