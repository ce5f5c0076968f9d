//! What is recorded as merged is looked at again at a start, and what a queue stopped for ends by itself.

use crate::world::{World, step};
use enki_core::branch::Branch;
use enki_core::engine::{Effect, Engine, Input, LoadError, QueueId};
use enki_core::execution::{Command, EndStatus, HoldReason};
use enki_core::id::{ExecutionId, StepIx};
use enki_core::limits::Limits;
use enki_core::merge_queue::{self, EffectKind, QueuePause};
use enki_core::record;
use enki_core::refinery::Check;
use serde_json::json;

fn plain(id: &str) -> serde_json::Value {
    step(id, json!({"review": "none"}))
}

/// One of two steps is merged and landed, on that start of the machine; then another one takes over.
fn half_way(before: &str, after: &str) -> (World, ExecutionId) {
    let mut world = World::new(Limits::default());
    world.boot = Some(before.to_owned());
    world.crash();
    let second = step("b", json!({"review": "none", "needs": ["a"]}));
    let id = world.start(json!({"steps": [plain("a"), second]}));
    world.done(id, "a");
    world.boot = Some(after.to_owned());
    (world, id)
}

fn kinds(world: &World) -> Vec<EffectKind> {
    let queue = |effect: &Effect| match effect {
        Effect::Queue(_, inner) => Some(inner.kind),
        _ => None,
    };
    world.flying.iter().filter_map(queue).collect()
}

#[test]
fn what_the_disk_lost_with_the_power_is_put_back_before_anything_is_built_on_it() {
    let (mut world, id) = half_way("first", "second");
    let main = world.main();
    for branch in [main.clone(), Branch::integration(id)] {
        let lost = world.branches.get_mut(&branch).unwrap().pop().unwrap();
        world.crash();
        assert!(kinds(&world).contains(&EffectKind::Inspect));
        world.queues();
        assert_eq!(world.head(&branch), Some(lost), "{branch}");
        // The next crash is on the same start again.
        world.boot = Some(format!("after {branch}"));
    }
    assert!(world.of(id).holds().is_empty());
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn a_look_that_failed_is_made_up_for_before_anything_else_also_after_a_crash() {
    let (mut world, id) = half_way("first", "second");
    let own = Branch::integration(id);
    let lost = world.branches.get_mut(&own).unwrap().pop().unwrap();
    world.crash();
    let reason = "git could not be started".to_owned();
    let pause = merge_queue::Input::Pause(QueuePause::Infrastructure { reason });
    world.input(Input::Queue(QueueId::of(&own), pause)).unwrap();
    world.crash();
    let looks = |world: &World| {
        let wanted = |effect: &Effect| matches!(effect, Effect::Queue(queue, inner) if *queue == QueueId::of(&own) && inner.kind == EffectKind::Inspect);
        world.flying.iter().any(wanted)
    };
    assert!(!looks(&world), "it is stopped");
    world.command(id, Command::Resume(None)).unwrap();
    assert!(looks(&world));
    world.queues();
    assert_eq!(world.head(&own), Some(lost));
}

#[test]
fn what_somebody_moved_back_waits_for_a_person() {
    let (mut world, id) = half_way("first", "first");
    let main = world.main();
    let before = world.branches[&main][0];
    world.branches.insert(main.clone(), vec![before]);
    world.crash();
    world.queues();
    assert!(matches!(world.engine.queue(&main).unwrap().paused(), Some(QueuePause::Rewound { .. })));
    assert!(matches!(world.of(id).holds().values().next(), Some(HoldReason::Trouble { .. })));
    assert_eq!(world.head(&main), Some(before), "nothing is put back without being asked");
    world.command(id, Command::Resume(None)).unwrap();
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn all_that_a_red_target_held_up_go_on_once_it_is_mended() {
    let mut world = World::new(Limits::default());
    let first = world.start(json!({"steps": [plain("a")]}));
    let second = world.start(json!({"steps": [plain("a")]}));
    let failed = || Check::Failed { log: "red".to_owned() };
    let main = world.main();
    // Somebody else breaks the target, so that what lands is merged and checked anew.
    world.push_to(&main);
    world.work(first, "a");
    world.checks = vec![Check::Passed, failed(), failed(), failed()];
    world.queues();
    assert!(matches!(world.engine.queue(&main).unwrap().paused(), Some(QueuePause::BaseRed { .. })));
    assert!(matches!(world.of(first).holds().values().next(), Some(HoldReason::Trouble { .. })));
    let mended = world.push_to(&main);
    // Only with the next change somebody looks.
    world.done(second, "a");
    world.drain();
    for id in [first, second] {
        assert!(world.of(id).holds().is_empty());
        assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
    }
    assert!(world.branches[&main].contains(&mended));
}

#[test]
fn a_log_about_a_step_that_is_not_there_is_refused_by_name_and_not_taken_up() {
    let (world, id) = super::running(&[plain("a")]);
    let log = enki_core::store::LogId::execution(id);
    let read = |body: &String| match record::decode(log.kind, record::FORMAT, body).unwrap() {
        enki_core::engine::Event::Execution(event) => event,
        enki_core::engine::Event::Queue(event) => panic!("{event:?}"),
    };
    let good: Vec<_> = world.logs[&log].iter().map(read).collect();
    let mut bad = good.clone();
    bad.push(enki_core::execution::Event::StepCancelled { step: StepIx(7) });
    let mut engine = Engine::new(Limits::default());
    let error = engine.load_execution(bad.clone()).unwrap_err();
    assert_eq!(error.version().0, bad.len() as u64);
    assert!(error.to_string().starts_with("StepCancelled is about step 8 of 1; the log is damaged"), "{error}");
    assert!(!engine.holds_execution(id));
    assert_eq!(engine.load_execution([]), Err(LoadError::NoBeginning));
    assert_eq!(engine.load_execution(good.clone()), Ok(id));
    // To apply it changes nothing and fails nowhere, as everything that is applied.
    let mut machine = world.of(id).clone();
    machine.apply(&bad[good.len()]);
    assert!(machine == *world.of(id));
}
