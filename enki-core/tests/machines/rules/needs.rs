//! Model sections 3.2 and 5: edges, blocking, order.

use super::{after, plain, running};
use crate::world::{World, step};
use enki_core::engine::{Input, Rejected};
use enki_core::execution::{Command, EndStatus, NeedState, Outcome};
use enki_core::limits::Limits;
use enki_core::plan::External;
use enki_core::refinery::Check;
use serde_json::json;

fn declined() -> Outcome {
    Outcome::Declined { message: "no".to_owned() }
}

#[test]
fn a_started_need_is_satisfied_once_its_agent_lives() {
    let (mut world, id) = running(&[plain("a"), after("b", "a", "started")]);
    assert_eq!(world.words(id), ["running", "pending"]);
    world.live(id, "a");
    assert_eq!(world.words(id), ["running", "running"]);
}

#[test]
fn an_agent_that_never_started_satisfies_nothing() {
    let (mut world, id) = running(&[plain("a"), after("b", "a", "started")]);
    world.end(id, "a", Outcome::NotStarted { reason: "no such program".to_owned() });
    assert_eq!(world.words(id), ["running", "pending"]);
}

#[test]
fn a_completed_need_is_satisfied_while_its_merge_is_outstanding() {
    let (mut world, id) = running(&[plain("a"), after("b", "a", "completed"), after("c", "a", "merged")]);
    world.work(id, "a");
    assert_eq!(world.words(id), ["merging", "running", "pending"]);
    world.queues();
    assert_eq!(world.words(id), ["done", "running", "running"]);
}

#[test]
fn a_step_that_runs_goes_on_when_its_need_fails_later() {
    let (mut world, id) = running(&[plain("a"), after("b", "a", "completed"), after("c", "b", "merged")]);
    let log = "no".to_owned();
    world.checks = vec![Check::Failed { log: log.clone() }, Check::Failed { log }, Check::Passed];
    world.work(id, "a");
    world.queues();
    assert_eq!(world.words(id), ["failed", "running", "pending"], "neither b nor what waits for it is blocked");
    world.done(id, "b");
    world.done(id, "c");
    assert_eq!(world.of(id).ended(), Some(EndStatus::Failed));
}

#[test]
fn a_failed_step_blocks_what_waits_for_it_and_nothing_else() {
    let (mut world, id) = running(&[plain("a"), after("b", "a", "merged"), after("c", "b", "started"), plain("d")]);
    world.end(id, "a", declined());
    assert_eq!(world.words(id), ["failed", "blocked", "blocked", "running"]);
    assert_eq!(world.of(id).ended(), None, "independent steps go on");
    world.done(id, "d");
    assert_eq!(world.of(id).ended(), Some(EndStatus::Failed));
}

#[test]
fn all_steps_that_may_start_in_one_pass_start_together() {
    let (mut world, id) =
        running(&[plain("a"), after("b", "a", "merged"), after("c", "a", "merged"), after("d", "a", "merged")]);
    world.done(id, "a");
    assert_eq!(world.words(id), ["done", "running", "running", "running"]);
}

#[test]
fn a_need_on_another_execution_is_satisfied_when_its_work_has_landed() {
    let (mut world, first) = running(&[plain("a"), plain("slow")]);
    let external = External { execution: first, step: Some(world.ix(first, "a")) };
    let spec = json!({"steps": [step("b", json!({"needs": [{"task": "x"}]}))]});
    let submitted = world.submission(spec, &[("x", external)]);
    let second = world.submit_as(submitted);
    world.open(second);
    world.work(first, "a");
    assert_eq!(world.of(second).externals(), [NeedState::Completed]);
    assert!(world.of(second).waiting_for()[0].contains("which step b needs"), "I17");
    world.queues();
    assert_eq!(world.of(second).externals(), [NeedState::Landed]);
    assert_eq!(world.words(second), ["running"]);
}

#[test]
fn a_failure_elsewhere_blocks_and_a_retry_there_unblocks() {
    let (mut world, first) = running(&[plain("a")]);
    let external = External { execution: first, step: Some(world.ix(first, "a")) };
    let spec = json!({"steps": [step("b", json!({"needs": [{"task": "x"}]})), after("c", "b", "merged")]});
    let submitted = world.submission(spec, &[("x", external)]);
    let second = world.submit_as(submitted);
    world.open(second);
    world.end(first, "a", declined());
    assert_eq!(world.words(second), ["blocked", "blocked"]);
    assert_eq!((world.of(second).status(), world.of(second).waiting_for().len()), ("running", 1));
    let step = world.ix(first, "a");
    world.command(first, Command::Retry { step, mode: None, note: None }).unwrap();
    assert_eq!(world.words(second), ["pending", "pending"]);
    world.drain();
    assert_eq!(world.of(second).ended(), Some(EndStatus::Done));
}

#[test]
fn added_steps_that_close_a_cycle_over_executions_are_refused() {
    let (mut world, first) = running(&[plain("a")]);
    let whole = |execution| External { execution, step: None };
    let spec = json!({"steps": [step("b", json!({"needs": [{"task": "x"}]}))]});
    let submitted = world.submission(spec, &[("x", whole(first))]);
    let second = world.submit_as(submitted);
    let externals = [("y".to_owned(), whole(second))].into();
    let specs = serde_json::from_value(json!([step("c", json!({"needs": [{"task": "y"}]}))])).unwrap();
    let specs: Vec<enki_core::spec::StepSpec> = specs;
    let steps =
        world.of(first).plan().check_added(&specs, &enki_core::plan::PlanLimits::default(), &externals).unwrap();
    let refused = world.input(Input::Command(first, Command::AddSteps(steps))).unwrap_err();
    assert!(matches!(&refused, Rejected::Cycle(path) if path.contains(&second.to_string())), "{refused}");
    assert_eq!(world.of(first).steps().len(), 1, "I18: nothing was added");
}

#[test]
fn what_frees_most_starts_first() {
    let mut limits = Limits::default();
    limits.runs = 1;
    let mut world = World::new(limits);
    let wide = [plain("a"), plain("b"), after("c", "b", "merged"), after("d", "b", "merged")];
    let id = world.start(json!({"steps": wide}));
    assert_eq!(world.words(id), ["ready", "running", "pending", "pending"]);
}
