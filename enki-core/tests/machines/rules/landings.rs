//! A landing that conflicts is work for one attempt: its merge lands in the branch's stead, and only if it cannot, a
//! person is asked.

use super::{after, plain, running, running_plan};
use crate::world::{World, report};
use enki_core::branch::Branch;
use enki_core::engine::{Effect, QueueId, QueueJob};
use enki_core::execution::{Command, DoneKind, EndStatus, HoldReason, Outcome, ProjectKind, StepState};
use enki_core::id::{CommitId, ExecutionId, StepIx};
use enki_core::limits::Limits;
use enki_core::merge_queue::{EffectKind, Report as Answer};
use enki_core::refinery::{Build, Check};
use enki_core::tier::Purpose;
use enki_core::workspace::{Expect, Start};
use serde_json::json;

fn paths() -> Vec<String> {
    vec!["src/lib.rs".to_owned()]
}

/// Everything of the own queue, nothing of the target's.
fn own_queue(world: &mut World, id: ExecutionId) {
    let own = QueueId::of(&Branch::integration(id));
    while let Some(effect) = world.flying.iter().find(|e| matches!(e, Effect::Queue(q, _) if *q == own)).copied() {
        world.answer(effect);
    }
}

/// The landing that is asked for, up to its build; what is to be on the target.
fn asks(world: &mut World) -> CommitId {
    let main = QueueId::of(&world.main());
    loop {
        let of = |e: &&Effect| matches!(e, Effect::Queue(q, _) if *q == main);
        let effect = world.flying.iter().find(of).copied().expect("a landing is under way");
        let Effect::Queue(queue, inner) = effect else { unreachable!() };
        if let Some(QueueJob::Build(_, _, changes, _)) = world.engine.queue_job(queue, inner) {
            return changes[0].commit;
        }
        world.answer(effect);
    }
}

/// The landing that is asked for conflicts.
fn conflicts(world: &mut World) {
    asks(world);
    world.builds = vec![paths()];
    world.queues();
}

/// A world whose step `a` is merged, and whose landing conflicts.
fn clashed(plan: serde_json::Value) -> (World, ExecutionId) {
    let (mut world, id) = running_plan(plan);
    world.work(id, "a");
    own_queue(&mut world, id);
    conflicts(&mut world);
    (world, id)
}

fn one() -> serde_json::Value {
    json!({"title": "a plan", "steps": [plain("a")]})
}

fn job(world: &World, id: ExecutionId, step: &str) -> enki_core::engine::AttemptJob {
    let Some(Effect::Attempt(place, attempt)) = world.flying_attempt(id, step) else { panic!("{step} does not run") };
    world.engine.attempt_job(place, attempt).unwrap()
}

/// What a step of Enki's own made.
fn merge(world: &World, id: ExecutionId, step: &str) -> CommitId {
    match world.of(id).step(world.ix(id, step)).state {
        StepState::Done(DoneKind::Resolved { commit }) => commit,
        ref state => panic!("{step} is {state:?}"),
    }
}

/// The one hold there is: its reason and its command.
fn hold(world: &World, id: ExecutionId) -> (String, String) {
    let holds: Vec<&HoldReason> = world.of(id).holds().values().collect();
    match holds[..] {
        [HoldReason::Landing { reason, command }] => (reason.clone(), command.clone()),
        _ => panic!("{holds:?}"),
    }
}

fn has(world: &World, id: ExecutionId, step: &str) -> bool {
    world.of(id).plan().find(step).is_some()
}

#[test]
fn a_landing_that_conflicts_is_resolved_and_its_merge_lands() {
    let (mut world, id) = clashed(one());
    let (onto, change) = (world.head(&world.main()).unwrap(), world.of(id).head().unwrap());
    assert!(world.of(id).holds().is_empty());
    let job = job(&world, id, "land-1");
    assert_eq!(job.workspace.start, Start::Merge { onto, change });
    assert_eq!((job.workspace.purpose, job.expect), (Purpose::Resolve, Expect::Change));
    assert_eq!((job.agent.role.as_str(), job.title), ("resolver", format!("Merge enki/{id}: a plan")));
    for words in ["conflict in src/lib.rs", "<<<<<<< src/lib.rs", "main was changed by others", "a plan\n\n- a\n"] {
        assert!(job.agent.prompt.contains(words), "{words}: {}", job.agent.prompt);
    }
    let counts = world.of(id).counts();
    assert_eq!((counts.total, counts.running, counts.done), (1, 0, 1), "it is no step of the plan");
    assert_eq!((world.of(id).status(), world.engine.at_rest(id)), ("running", false));
    world.end(id, "land-1", Outcome::Changed);
    let made = merge(&world, id, "land-1");
    assert_eq!(asks(&mut world), made);
    assert!(!world.of(id).has_landed(world.ix(id, "land-1")));
    world.drain();
    assert_eq!((world.of(id).ended(), world.of(id).landed()), (Some(EndStatus::Done), Some(change)));
    assert!(world.of(id).has_landed(world.ix(id, "land-1")) && world.of(id).has_landed(world.ix(id, "a")));
}

#[test]
fn a_resolver_that_cannot_leaves_the_landing_to_a_person() {
    let ends = [
        (Outcome::Unresolved { paths: paths() }, "left it in src/lib.rs"),
        // The conflict is not on the target already: the change was thrown away.
        (Outcome::NoChange, "left it in src/lib.rs"),
        (Outcome::Declined { message: "no".to_owned() }, "failed: the agent declined: no"),
        (Outcome::Tampered { what: vec!["HEAD".to_owned()] }, "failed: your repository was changed"),
    ];
    for (outcome, became) in ends {
        let (mut world, id) = clashed(one());
        world.end(id, "land-1", outcome);
        let (reason, command) = hold(&world, id);
        let begin = format!("it conflicts with main in src/lib.rs, and step land-1, which was to solve that, {became}");
        assert!(reason.starts_with(&begin), "{reason}");
        assert_eq!(command, format!("git merge enki/{id}"));
        assert_eq!((world.of(id).status(), world.of(id).ended(), world.of(id).counts().failed), ("held", None, 0));
        assert!(world.engine.at_rest(id) && !world.of(id).landing_in_the_way());
        // An answer tries with all means again.
        world.command(id, Command::Resume(None)).unwrap();
        conflicts(&mut world);
        assert!(world.attempt(id, "land-2").is_some() && world.of(id).holds().is_empty());
        world.drain();
        assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
    }
}

#[test]
fn a_resolver_has_the_budgets_of_any_attempt() {
    let (mut world, id) = clashed(one());
    for _ in 0..2 {
        world.end(id, "land-1", Outcome::TimedOut);
        assert!(world.of(id).holds().is_empty());
        let start = world.engine.next_deadline(world.now).unwrap();
        world.now = start;
        world.turn();
    }
    assert_eq!(world.of(id).step(world.ix(id, "land-1")).attempts, 3);
    world.end(id, "land-1", Outcome::TimedOut);
    assert!(hold(&world, id).0.ends_with("failed: the agent ran longer than its timeout"));
}

#[test]
fn once_a_resolver_could_not_no_other_begins_by_itself() {
    let (mut world, id) = clashed(json!({"steps": [plain("a"), plain("b")]}));
    world.end(id, "land-1", Outcome::NoChange);
    let asked = hold(&world, id);
    // By time, by a new start, and by new work.
    world.now = world.engine.next_deadline(world.now).unwrap();
    world.turn();
    conflicts(&mut world);
    world.crash();
    conflicts(&mut world);
    world.work(id, "b");
    own_queue(&mut world, id);
    conflicts(&mut world);
    assert!(!has(&world, id, "land-2"));
    assert_eq!(hold(&world, id), asked, "and the person is asked the same");
}

#[test]
fn what_a_person_merged_by_hand_after_a_resolver_could_not_ends_the_hold() {
    let (mut world, id) = clashed(one());
    world.end(id, "land-1", Outcome::NoChange);
    world.command(id, Command::Land).unwrap();
    asks(&mut world);
    let Some(Effect::Queue(queue, inner)) = world.flying.first().copied() else { panic!("it builds") };
    world.flying.clear();
    world.input(report(queue, inner, Answer::Built(Build::Empty))).unwrap();
    assert_eq!((world.of(id).ended(), world.of(id).holds().len()), (Some(EndStatus::Done), 0));
}

#[test]
fn an_answer_that_comes_while_a_start_tries_by_itself_counts_too() {
    for command in [Command::Land, Command::Resume(None)] {
        let (mut world, id) = clashed(one());
        world.end(id, "land-1", Outcome::NoChange);
        world.crash();
        assert_eq!(world.of(id).open_requests().count(), 1, "it is tried at once");
        world.command(id, command).unwrap();
        conflicts(&mut world);
        assert!(world.attempt(id, "land-2").is_some());
        world.drain();
        assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
    }
}

#[test]
fn a_resolver_that_a_person_gives_up_is_asked_about_and_cannot_be_retried() {
    let (mut world, id) = clashed(one());
    let step = world.ix(id, "land-1");
    world.command(id, Command::Cancel { step: Some(step), committing: vec![] }).unwrap();
    assert!(hold(&world, id).0.ends_with("step land-1, which was to solve that, was given up"));
    let (mut world, id) = clashed(one());
    world.end(id, "land-1", Outcome::NoChange);
    let refused = world.command(id, Command::Retry { step, mode: None, note: None }).unwrap_err().to_string();
    assert!(refused.contains(&format!("run enki land {id}")), "{refused}");
}

#[test]
fn the_work_goes_on_and_what_it_merged_meanwhile_lands_afterwards() {
    let (mut world, id) = clashed(json!({"steps": [plain("a"), after("b", "a", "merged")]}));
    world.work(id, "b");
    own_queue(&mut world, id);
    assert_eq!((world.word(id, "b"), world.of(id).open_requests().count()), ("done", 0));
    world.end(id, "land-1", Outcome::Changed);
    let made = merge(&world, id, "land-1");
    assert_eq!(asks(&mut world), made, "what was resolved lands first");
    let b = world.ix(id, "b");
    while !world.of(id).has_landed(world.ix(id, "a")) {
        assert!(!world.of(id).has_landed(b));
        let effect = world.flying[0];
        world.answer(effect);
    }
    assert!(!world.of(id).has_landed(b));
    assert_eq!(Some(asks(&mut world)), world.of(id).head());
    world.drain();
    assert_eq!((world.of(id).ended(), world.of(id).has_landed(b)), (Some(EndStatus::Done), true));
}

#[test]
fn a_target_that_moved_on_from_what_was_resolved_is_asked_with_the_branch_itself() {
    let (mut world, id) = clashed(one());
    let (main, tip) = (world.main(), world.of(id).head());
    world.end(id, "land-1", Outcome::Changed);
    let moved = world.push_to(&main);
    asks(&mut world);
    world.builds = vec![paths()];
    let build = world.flying[0];
    world.answer(build);
    assert_eq!(Some(asks(&mut world)), tip, "it may be there by now, and no agent is needed");
    conflicts(&mut world);
    let start = job(&world, id, "land-2").workspace.start;
    assert_eq!(start, Start::Merge { onto: moved, change: tip.unwrap() });
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn a_target_that_keeps_conflicting_is_left_to_a_person_in_the_end() {
    let (mut world, id) = clashed(one());
    for n in 1..=Limits::default().resolutions {
        world.end(id, &format!("land-{n}"), Outcome::Changed);
        asks(&mut world);
        world.builds = vec![paths(), paths()];
        world.queues();
    }
    assert!(!has(&world, id, "land-4"));
    assert_eq!(hold(&world, id).0, "it conflicts with main in src/lib.rs");
    world.command(id, Command::Land).unwrap();
    conflicts(&mut world);
    assert!(world.attempt(id, "land-4").is_some(), "a person's word counts anew");
}

#[test]
fn a_merge_that_something_is_in_the_way_of_waits_without_another_agent() {
    let (mut world, id) = clashed(one());
    world.end(id, "land-1", Outcome::Changed);
    let made = merge(&world, id, "land-1");
    for again in ["time", "answer"] {
        assert_eq!(asks(&mut world), made, "{again}");
        while world.of(id).open_requests().count() == 1 {
            let effect = world.flying[0];
            let Effect::Queue(queue, inner) = effect else { unreachable!() };
            if inner.kind == EffectKind::Publish {
                world.flying.clear();
                let (reason, command) = ("main has changes".to_owned(), "git merge x".to_owned());
                world.input(report(queue, inner, Answer::Blocked { reason, command })).unwrap();
            } else {
                world.answer(effect);
            }
        }
        assert!(world.of(id).landing_in_the_way());
        if again == "time" {
            world.now = world.engine.next_deadline(world.now).unwrap();
            world.turn();
        } else {
            world.command(id, Command::Resume(None)).unwrap();
        }
    }
    assert_eq!(asks(&mut world), made);
    world.drain();
    assert_eq!((world.of(id).ended(), has(&world, id, "land-2")), (Some(EndStatus::Done), false));
}

#[test]
fn a_merge_that_fails_its_check_is_a_hold_and_after_an_answer_the_branch_itself_asks() {
    let (mut world, id) = clashed(one());
    world.end(id, "land-1", Outcome::Changed);
    asks(&mut world);
    let failed = || Check::Failed { log: "1 test failed".to_owned() };
    world.checks = vec![failed(), failed(), Check::Passed];
    world.queues();
    assert_eq!(hold(&world, id).0, "the check fails on the merged tree: 1 test failed");
    world.command(id, Command::Resume(None)).unwrap();
    assert_eq!(Some(asks(&mut world)), world.of(id).head());
}

#[test]
fn a_resolver_survives_a_crash_and_so_does_what_it_made() {
    let (mut world, id) = clashed(one());
    world.crash();
    assert!(world.flying_attempt(id, "land-1").is_some());
    world.end(id, "land-1", Outcome::Changed);
    let made = merge(&world, id, "land-1");
    world.crash();
    assert_eq!(asks(&mut world), made);
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn a_resolver_is_paused_stopped_and_held_like_any_step() {
    let (mut world, id) = running_plan(one());
    world.work(id, "a");
    own_queue(&mut world, id);
    world.command(id, Command::Pause(None)).unwrap();
    conflicts(&mut world);
    assert_eq!(
        (world.word(id, "land-1"), world.attempt(id, "land-1"), world.of(id).status()),
        ("ready", None, "paused")
    );
    world.command(id, Command::Resume(None)).unwrap();
    assert!(world.attempt(id, "land-1").is_some());
    world.command(id, Command::Stop).unwrap();
    assert_eq!(world.attempt(id, "land-1"), None);
    world.command(id, Command::Resume(None)).unwrap();
    world.drain();
    assert_eq!((world.of(id).ended(), has(&world, id, "land-2")), (Some(EndStatus::Done), false));
}

#[test]
fn cancelling_ends_a_resolver_and_what_is_cancelled_lands_without_one() {
    let (mut world, id) = clashed(json!({"steps": [plain("a"), plain("b")]}));
    world.command(id, Command::Cancel { step: None, committing: vec![] }).unwrap();
    assert_eq!((world.of(id).ended(), world.word(id, "land-1")), (Some(EndStatus::Cancelled), "cancelled"));
    world.command(id, Command::Land).unwrap();
    conflicts(&mut world);
    assert!(!has(&world, id, "land-2"));
}

#[test]
fn what_failed_and_is_asked_to_land_is_resolved_and_ends_as_before() {
    let (mut world, id) = running_plan(json!({"land": "end", "steps": [plain("a"), plain("b")]}));
    world.done(id, "a");
    world.end(id, "b", Outcome::Declined { message: "no".to_owned() });
    assert_eq!(world.of(id).ended(), Some(EndStatus::Failed));
    world.command(id, Command::Land).unwrap();
    conflicts(&mut world);
    assert!(world.attempt(id, "land-1").is_some());
    assert_eq!(world.of(id).ended(), None, "it is open until that is done");
    world.drain();
    assert!(world.of(id).has_landed(StepIx(0)));
    assert_eq!(world.of(id).ended(), Some(EndStatus::Failed));
}

#[test]
fn where_a_person_has_no_git_the_command_is_one_of_ours() {
    let mut world = World::new(Limits::default());
    let mut submitted = world.submission(one(), &[]);
    submitted.project = ProjectKind::Folder;
    let id = world.submit_as(submitted);
    world.open(id);
    world.work(id, "a");
    own_queue(&mut world, id);
    conflicts(&mut world);
    world.end(id, "land-1", Outcome::NoChange);
    assert_eq!(hold(&world, id).1, format!("enki land {id}"));
}

#[test]
fn a_name_that_the_plan_has_already_is_left_to_the_plan() {
    let (mut world, id) = running(&[plain("a"), plain("land-1")]);
    world.work(id, "a");
    own_queue(&mut world, id);
    conflicts(&mut world);
    assert!(world.of(id).step(world.ix(id, "land-2")).landing.is_some());
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn no_step_can_wait_for_the_solving_of_a_landing() {
    let (mut world, id) = clashed(one());
    let steps = world.added(id, json!([after("b", "land-1", "merged")]));
    let refused = world.command(id, Command::AddSteps(steps)).unwrap_err();
    assert!(refused.to_string().contains("step land-1 solves the conflict of a landing"), "{refused}");
}
