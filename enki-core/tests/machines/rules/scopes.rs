//! Steps that declare the same files are not started together while there is other work: an order, not a ban.

use super::plain;
use crate::world::{World, step};
use enki_core::execution::{Command, EndStatus, Outcome};
use enki_core::id::{ExecutionId, StepIx};
use enki_core::limits::Limits;
use serde_json::{Value, json};

fn on(id: &str, path: &str) -> Value {
    step(id, json!({"scope": {"files": [path]}}))
}

/// A world in which two agents may live, and an execution of those steps.
fn two(steps: &[Value]) -> (World, ExecutionId) {
    let mut limits = Limits::default();
    limits.runs = 2;
    let mut world = World::new(limits);
    let id = world.start(json!({"steps": steps}));
    (world, id)
}

fn live(world: &World, id: ExecutionId) -> Vec<String> {
    let steps = world.of(id).plan().steps().iter().enumerate();
    steps.filter(|(n, _)| world.of(id).step(StepIx::at(*n)).live().is_some()).map(|(_, s)| s.id.to_string()).collect()
}

#[test]
fn a_step_on_other_files_starts_before_one_on_the_same() {
    let (world, id) = two(&[on("a", "src/lib.rs"), on("b", "src/lib.rs"), on("c", "src/main.rs")]);
    assert_eq!(live(&world, id), ["a", "c"]);
}

#[test]
fn if_only_overlapping_work_is_ready_it_starts() {
    let (world, id) = two(&[on("a", "src/lib.rs"), on("b", "src"), on("c", "./src/lib.rs")]);
    assert_eq!(live(&world, id), ["a", "b"]);
}

#[test]
fn a_step_without_a_scope_overlaps_with_nobody() {
    let (world, id) = two(&[on("a", "src/lib.rs"), on("b", "src/lib.rs"), plain("c")]);
    assert_eq!(live(&world, id), ["a", "c"]);
}

#[test]
fn a_higher_priority_starts_although_it_overlaps() {
    let mut b = on("b", "src/lib.rs");
    b["priority"] = json!("high");
    let mut a = on("a", "src/lib.rs");
    a["priority"] = json!("high");
    let (world, id) = two(&[a, b, on("c", "src/main.rs")]);
    assert_eq!(live(&world, id), ["a", "b"]);
}

#[test]
fn files_are_taken_until_the_change_is_merged_or_given_up() {
    for merged in [true, false] {
        let (mut world, id) = two(&[on("a", "f"), on("b", "f"), on("c", "g"), on("d", "h"), on("e", "i")]);
        assert_eq!(live(&world, id), ["a", "c"]);
        world.end(id, "a", Outcome::Changed);
        assert_eq!(live(&world, id), ["c", "d"], "the change of a waits in the queue");
        if merged {
            world.queues();
        } else {
            let step = Some(world.ix(id, "a"));
            world.command(id, Command::Cancel { step, committing: vec![] }).unwrap();
        }
        world.end(id, "d", Outcome::NoChange);
        assert_eq!(live(&world, id), ["b", "c"], "now its files are free: {merged}");
        world.drain();
        assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
    }
}

#[test]
fn files_of_another_execution_with_the_same_target_count_and_those_of_another_target_do_not() {
    for (target, expected) in [("main", "d"), ("other", "c")] {
        let (mut world, first) = two(&[on("a", "f"), plain("b")]);
        let mut second = world.submission(json!({"steps": [on("c", "f"), on("d", "g")]}), &[]);
        second.target = target.parse().unwrap();
        let head = world.head(&world.main()).unwrap();
        world.branches.insert(second.target.clone(), vec![head]);
        let second = world.submit_as(second);
        world.open(second);
        world.end(first, "b", Outcome::NoChange);
        assert_eq!(live(&world, second), [expected], "{target}");
    }
}

#[test]
fn files_are_still_taken_after_a_crash() {
    let (mut world, id) = two(&[on("a", "f"), on("b", "f"), on("c", "g"), on("d", "h")]);
    world.crash();
    world.end(id, "c", Outcome::NoChange);
    assert_eq!(live(&world, id), ["a", "d"]);
}

#[test]
fn a_plan_that_is_all_on_the_same_files_ends() {
    let steps: Vec<Value> = (0..100).map(|n| on(&format!("s{n}"), "src")).collect();
    let (mut world, id) = two(&steps);
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}
