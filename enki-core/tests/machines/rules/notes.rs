//! What a step is about is read once more in its note before it starts, and recorded before its first attempt.

use super::plain;
use crate::world::{World, step};
use enki_core::dispatcher::Place;
use enki_core::execution::{Briefing, Command, EndStatus, Event, HoldReason, Outcome, Rejected, Report};
use enki_core::id::{ExecutionId, StepIx};
use enki_core::limits::Limits;
use enki_core::plan::{Amendment, PlanLimits};
use enki_core::spec::StepSpec;
use enki_core::tier::Tier;
use serde_json::{Value, json};

/// An execution of those steps that was made of notes, its branch open.
fn noted(limits: Limits, steps: &[Value]) -> (World, ExecutionId) {
    let mut world = World::new(limits);
    world.reads_notes = true;
    world.crash();
    let mut submitted = world.submission(json!({"title": "a plan", "steps": steps}), &[]);
    submitted.origin = "note(docs/log/task/a.md)".to_owned();
    let id = world.submit_as(submitted);
    world.open(id);
    (world, id)
}

fn says(world: &World, id: ExecutionId, step: &str, spec: Value) -> Briefing {
    let spec = StepSpec { id: "x".into(), ..serde_json::from_value(spec).unwrap() };
    let step = world.of(id).plan().step(world.ix(id, step));
    Briefing::Says(Box::new(Amendment::check(step, &spec, &PlanLimits::default()).unwrap()))
}

fn brief(
    world: &mut World,
    id: ExecutionId,
    name: &str,
    briefing: Briefing,
) -> Result<(), enki_core::engine::Rejected> {
    let step = world.ix(id, name);
    world.to_read.retain(|place| *place != Place { execution: id, step });
    world.report(id, Report::Briefed { step, briefing })
}

fn same() -> Value {
    json!({"id": "x", "title": "Other", "description": "another text", "tier": "heavy", "acceptance": ["it builds"]})
}

#[test]
fn what_the_note_says_at_the_start_is_recorded_before_the_attempt_and_is_what_is_done() {
    let (mut world, id) = noted(Limits::default(), &[plain("a")]);
    assert_eq!(world.to_read, [Place { execution: id, step: StepIx(0) }]);
    assert!(world.attempt(id, "a").is_none() && !world.engine.at_rest(id), "it waits for its note");
    let told = says(&world, id, "a", same());
    brief(&mut world, id, "a", told).unwrap();
    assert!(world.attempt(id, "a").is_some() && world.to_read.is_empty());
    let log = world.log(id);
    let at = |wanted: fn(&Event) -> bool| log.iter().position(wanted).unwrap();
    let amended = at(|event| matches!(event, Event::StepAmended { .. }));
    assert!(amended < at(|event| matches!(event, Event::AttemptStarted { .. })), "{log:?}");
    let plan = world.of(id).plan().step(StepIx(0)).clone();
    assert_eq!((&*plan.title, &*plan.description, plan.tier), ("Other", "another text", Tier::Heavy));
    assert_eq!(world.of(id).plan().title, "a plan", "it has a title of its own");
    assert_eq!(plan.brief.unwrap().acceptance, ["it builds"]);
    // Nobody asks again: neither after a crash nor for another attempt.
    world.crash();
    assert!(world.to_read.is_empty() && world.attempt(id, "a").is_some());
    world.end(id, "a", Outcome::Stuck);
    world.drain_to_attempt(id, "a");
    assert!(world.to_read.is_empty());
}

#[test]
fn a_tier_that_was_chosen_for_it_only_becomes_more_and_only_by_whoever_knows_it() {
    let (world, id) = noted(Limits::default(), &[step("a", json!({"tier": "standard", "model": "m", "pinned": true}))]);
    for (pinned, tier, then) in [
        (true, "heavy", Tier::Heavy),
        (true, "light", Tier::Standard),
        (false, "heavy", Tier::Standard),
        (false, "light", Tier::Standard),
    ] {
        let spec =
            json!({"id": "x", "title": "a", "description": "do it", "tier": tier, "model": "n", "pinned": pinned});
        let Briefing::Says(said) = says(&world, id, "a", spec) else { unreachable!("it says something") };
        let mut plan = world.of(id).plan().clone();
        plan.amend(StepIx(0), &said);
        let amended = plan.step(StepIx(0));
        assert_eq!((amended.tier, amended.model.as_deref()), (then, Some("m")), "{pinned} {tier}");
    }
}

#[test]
fn a_crash_while_a_note_is_read_reads_it_again_and_starts_once() {
    let (mut world, id) = noted(Limits::default(), &[plain("a")]);
    world.crash();
    assert_eq!(world.to_read.len(), 1);
    let known = says(&world, id, "a", json!({"id": "x", "title": "a", "description": "do it"}));
    let before = world.log(id).len();
    brief(&mut world, id, "a", known).unwrap();
    assert_eq!(world.attempt(id, "a").unwrap().0, 1);
    let told = world.log(id).split_off(before);
    assert!(told.iter().all(|event| !matches!(event, Event::StepAmended { .. })), "nothing is new: {told:?}");
    let late = says(&world, id, "a", same());
    let refused = brief(&mut world, id, "a", late).unwrap_err();
    assert!(refused.is_stale(), "it has begun: {refused}");
}

#[test]
fn a_note_that_was_cancelled_starts_nothing_and_ends_it() {
    let (mut world, id) = noted(Limits::default(), &[plain("a"), step("b", json!({"needs": ["a"]}))]);
    brief(&mut world, id, "a", Briefing::Cancelled).unwrap();
    assert_eq!(world.words(id), ["cancelled", "cancelled"]);
    assert_eq!(world.of(id).ended(), Some(EndStatus::Cancelled));
    assert!(world.log(id).iter().all(|event| !matches!(event, Event::AttemptStarted { .. })));
}

#[test]
fn a_note_that_cannot_be_read_holds_it_and_is_read_again_when_a_person_goes_on() {
    let (mut world, id) = noted(Limits::default(), &[plain("a")]);
    let reason = "docs/log/task/a.md:3: a key twice".to_owned();
    brief(&mut world, id, "a", Briefing::Unreadable { reason: reason.clone() }).unwrap();
    let holds: Vec<&HoldReason> = world.of(id).holds().values().collect();
    assert_eq!(holds, [&HoldReason::Note { step: StepIx(0), reason: reason.clone() }]);
    assert!(world.of(id).waiting_for()[0].contains(&reason) && world.engine.at_rest(id));
    assert!(world.to_read.is_empty(), "it is left alone");
    world.crash();
    assert!(world.to_read.is_empty() && world.attempt(id, "a").is_none());
    world.command(id, Command::Resume(None)).unwrap();
    assert_eq!(world.to_read.len(), 1);
    let told = says(&world, id, "a", same());
    brief(&mut world, id, "a", told).unwrap();
    world.done(id, "a");
}

#[test]
fn a_tier_that_was_chosen_for_the_run_stays_and_one_that_nobody_names_too() {
    let (mut world, id) = noted(Limits::default(), &[step("a", json!({"tier": "light", "pinned": true}))]);
    let told = says(&world, id, "a", same());
    brief(&mut world, id, "a", told).unwrap();
    assert_eq!(world.of(id).plan().step(StepIx(0)).tier, Tier::Light);
    let (mut world, id) = noted(Limits::default(), &[step("a", json!({"tier": "light", "model": "one"}))]);
    let told = says(&world, id, "a", json!({"id": "x", "title": "a", "description": "b"}));
    brief(&mut world, id, "a", told).unwrap();
    let plan = world.of(id).plan().step(StepIx(0));
    assert_eq!((plan.tier, plan.model.as_deref()), (Tier::Light, Some("one")));
}

#[test]
fn who_gets_no_permit_after_its_note_was_read_reads_it_again_when_there_is_one() {
    let mut limits = Limits::default();
    limits.runs_by_tier = [9, 1, 9];
    let (mut world, id) = noted(limits, &[plain("a"), step("b", json!({"priority": "high"}))]);
    // Both could start, so both are read; whose answer is first takes the only permit.
    assert_eq!(world.to_read.len(), 2);
    for name in ["a", "b"] {
        let told = says(&world, id, name, json!({"id": "x", "title": name, "description": "do it"}));
        brief(&mut world, id, name, told).unwrap();
    }
    assert!(world.attempt(id, "a").is_some() && world.attempt(id, "b").is_none() && world.to_read.is_empty());
    world.work(id, "a");
    assert_eq!(world.to_read, [Place { execution: id, step: world.ix(id, "b") }]);
}

#[test]
fn of_a_long_queue_no_more_is_read_than_may_start() {
    let mut limits = Limits::default();
    limits.runs = 2;
    let names = ["a", "b", "c", "d"];
    let (mut world, id) = noted(limits, &names.map(plain));
    assert_eq!(world.to_read.len(), 2);
    let told = says(&world, id, "a", same());
    brief(&mut world, id, "a", told).unwrap();
    assert_eq!(world.to_read.len(), 1, "one runs and one is read");
}

#[test]
fn one_that_was_paused_while_its_note_was_read_does_not_start() {
    let (mut world, id) = noted(Limits::default(), &[plain("a")]);
    world.command(id, Command::Pause(None)).unwrap();
    let told = says(&world, id, "a", same());
    brief(&mut world, id, "a", told).unwrap();
    assert!(world.attempt(id, "a").is_none());
    world.command(id, Command::Resume(None)).unwrap();
    assert_eq!(world.to_read.len(), 1, "it may say something else by now");
    world.command(id, Command::Cancel { step: None, committing: vec![] }).unwrap();
    let refused = brief(&mut world, id, "a", Briefing::Cancelled).unwrap_err();
    assert!(matches!(refused, enki_core::engine::Rejected::Execution(Rejected::Stale { .. })));
}
