//! Model section 3.3: ends of attempts and what they are charged to.

use super::{after, plain, reviewed, running};
use crate::world::World;
use enki_core::dispatcher::Place;
use enki_core::engine::Input;
use enki_core::execution::{Command, EndStatus, Event, FailReason, Outcome, Report, RetryMode, Work};
use enki_core::id::{AttemptNo, ExecutionId};
use enki_core::limits::Limits;
use enki_core::time::Timestamp;
use serde_json::json;
use std::time::Duration;

/// Waits until the next attempt of the step lives; gives the seconds.
fn until_next(world: &mut World, id: ExecutionId, step: &str) -> i64 {
    let before = world.now;
    while world.attempt(id, step).is_none() {
        world.now = world.engine.next_deadline(world.now).expect("a repeat is due at some time");
        world.turn();
    }
    (world.now.0 - before.0) / 1000
}

#[test]
fn infrastructure_failures_wait_longer_each_time_and_then_fail_the_step() {
    let (mut world, id) = running(&[plain("a")]);
    world.end(id, "a", Outcome::TimedOut);
    assert_eq!(world.words(id), ["running"]);
    assert!((5..=6).contains(&until_next(&mut world, id, "a")));
    world.end(id, "a", Outcome::Stuck);
    assert!((20..=22).contains(&until_next(&mut world, id, "a")));
    world.end(id, "a", Outcome::Lost);
    assert_eq!(*world.failure(id, "a"), FailReason::Lost);
    assert_eq!(world.of(id).step(world.ix(id, "a")).attempts, 3);
}

#[test]
fn a_success_clears_the_infrastructure_budget() {
    let (mut world, id) = running(&[reviewed("a", 3)]);
    for _ in 0..3 {
        for _ in 0..2 {
            world.end(id, "a", Outcome::NoResult);
            until_next(&mut world, id, "a");
        }
        let outcome = Outcome::Changed;
        if world.purpose(id, "a") == Some(enki_core::tier::Purpose::Review) {
            world.reviewed(id, "a", enki_core::verdict::Gate::Revise);
        } else {
            world.end(id, "a", outcome);
        }
    }
    assert_eq!(world.words(id), ["running"]);
}

#[test]
fn a_rate_limit_is_not_charged_and_nothing_starts_before_its_time() {
    let (mut world, id) = running(&[plain("a")]);
    for _ in 0..10 {
        let until = world.now.plus(Duration::from_secs(600));
        world.end(id, "a", Outcome::RateLimited { until });
        assert_eq!(world.attempt(id, "a"), None);
        assert_eq!(until_next(&mut world, id, "a"), 600);
    }
    assert_eq!(world.of(id).step(world.ix(id, "a")).course.infra, 0);
}

#[test]
fn a_rate_limit_of_one_step_makes_the_others_wait_too() {
    let (mut world, id) = running(&[plain("a"), plain("b"), after("c", "b", "merged")]);
    let until = world.now.plus(Duration::from_secs(600));
    world.end(id, "a", Outcome::RateLimited { until });
    world.end(id, "b", Outcome::NoChange);
    assert_eq!(world.attempt(id, "c"), None, "c is ready, but the credential has to wait");
    assert_eq!(until_next(&mut world, id, "a"), 600);
    assert_eq!(world.attempt(id, "c"), None, "a goes ahead");
    answered(&mut world, id, "a");
    assert!(world.attempt(id, "c").is_some());
}

/// The service answers the live attempt of a step.
fn answered(world: &mut World, id: ExecutionId, step: &str) {
    let place = Place { execution: id, step: world.ix(id, step) };
    let attempt = world.attempt(id, step).unwrap();
    world.input(Input::Answered(place, attempt)).unwrap();
}

fn out() -> Outcome {
    Outcome::Unavailable { until: Timestamp::default(), reason: "529 overloaded".to_owned() }
}

/// Until when an execution was told to wait, in seconds from now.
fn told(world: &World, id: ExecutionId) -> Option<i64> {
    world.of(id).service_waits(world.now).map(|(_, wait)| (wait.until.0 - world.now.0) / 1000).next()
}

#[test]
fn an_outage_is_not_charged_and_all_wait_longer_each_time_until_the_service_is_back() {
    let (mut world, id) = running(&[plain("a"), plain("b"), after("c", "b", "merged")]);
    for floor in [30, 60, 120, 300, 600, 900, 900] {
        world.end(id, "a", out());
        assert_eq!(world.attempt(id, "a"), None);
        assert!((floor..=floor + floor / 10).contains(&until_next(&mut world, id, "a")), "{floor}");
        assert_eq!(told(&world, id), None, "it ends by itself");
    }
    let course = world.of(id).step(world.ix(id, "a")).course.clone();
    assert_eq!((course.infra, course.spawns), (0, 0));
    world.end(id, "a", out());
    world.end(id, "b", Outcome::NoChange);
    assert_eq!(world.attempt(id, "c"), None, "c is ready, but the service is out");
}

#[test]
fn what_a_service_asked_for_is_in_every_open_log_and_outlives_the_process() {
    let (mut world, id) = running(&[plain("a")]);
    let other = world.start(json!({"steps": [plain("x")]}));
    let until = world.now.plus(Duration::from_secs(600));
    world.end(id, "a", Outcome::RateLimited { until });
    let late = world.start(json!({"steps": [plain("y")]}));
    assert_eq!([told(&world, id), told(&world, other), told(&world, late)], [Some(600); 3]);
    assert_eq!(world.attempt(late, "y"), None);
    world.command(id, Command::Cancel { step: None, committing: vec![] }).unwrap();
    world.crash();
    assert_eq!(world.attempt(late, "y"), None, "who was told is gone, and the others know");
    assert_eq!(until_next(&mut world, late, "y"), 600);
}

#[test]
fn a_person_who_resumes_one_execution_lets_all_ask_again_and_that_is_kept_too() {
    let (mut world, id) = running(&[plain("a")]);
    let until = world.now.plus(Duration::from_secs(600));
    world.end(id, "a", Outcome::RateLimited { until });
    let late = world.start(json!({"steps": [plain("y")]}));
    assert_eq!(world.attempt(late, "y"), None);
    world.command(id, Command::Resume(None)).unwrap();
    world.crash();
    assert_eq!([told(&world, id), told(&world, late)], [None; 2]);
    assert!(world.attempt(id, "a").is_some() && world.attempt(late, "y").is_some());
    world.end(late, "y", Outcome::RateLimited { until });
    assert_eq!(told(&world, id), Some(600), "the same time told again is a wait again");
    let before = world.log(id).len();
    world.now = until;
    world.command(id, Command::Resume(None)).unwrap();
    assert!(world.log(id)[before..].iter().all(|event| *event != Event::ServiceFreed), "what is over needs no word");
}

#[test]
fn after_a_wait_one_attempt_goes_ahead_and_the_others_follow_once_it_was_answered() {
    let (mut world, id) = running(&[plain("a"), plain("b"), plain("c")]);
    let other = world.start(json!({"steps": [plain("x")]}));
    let live = |world: &World| -> Vec<&'static str> {
        let of = [(id, "a"), (id, "b"), (id, "c"), (other, "x")];
        of.into_iter().filter(|(of, step)| world.attempt(*of, step).is_some()).map(|(_, step)| step).collect()
    };
    let all = [(id, "a"), (id, "b"), (id, "c"), (other, "x")];
    for (of, step) in all {
        world.end(of, step, out());
    }
    assert_eq!(until_next(&mut world, id, "a") / 10, 3, "they met one outage");
    assert_eq!(live(&world), ["a"], "one of all executions");
    world.end(id, "a", out());
    assert_eq!(until_next(&mut world, id, "a") / 10, 6);
    assert_eq!(live(&world), ["a"]);
    // Nobody knows any more what was heard; the wait is in the log.
    world.crash();
    world.end(id, "a", Outcome::Killed);
    assert_eq!(live(&world), ["b"], "that one told nothing, so another goes ahead");
    let stale = AttemptNo(world.attempt(id, "b").unwrap().0 - 1);
    world.input(Input::Answered(Place { execution: id, step: world.ix(id, "b") }, stale)).unwrap();
    assert_eq!(live(&world), ["b"], "an earlier attempt's answer is stale");
    answered(&mut world, id, "b");
    assert_eq!(live(&world), ["a", "b", "c", "x"]);
    for (of, step) in all {
        assert_eq!(world.of(of).step(world.ix(of, step)).course.infra, 0, "{step} is charged nothing");
    }
}

#[test]
fn reviewers_with_a_login_of_their_own_wait_for_their_own_service() {
    for own in [false, true] {
        let mut world = World::new(Limits::default());
        world.engine = enki_core::engine::Engine::new(Limits::default()).with_own_reviewer(own);
        world.own_reviewer = own;
        let id = world.start(json!({"steps": [reviewed("a", 3), plain("b")]}));
        let until = world.now.plus(Duration::from_secs(600));
        world.end(id, "a", Outcome::Changed);
        world.end(id, "b", Outcome::RateLimited { until });
        world.end(id, "a", Outcome::Lost);
        world.wait(Duration::from_secs(30));
        assert_eq!(world.purpose(id, "a"), Some(enki_core::tier::Purpose::Review));
        assert_eq!(world.attempt(id, "a").is_some(), own, "the review is asked again");
    }
}

#[test]
fn what_one_step_alone_runs_into_is_charged_to_it_in_the_end() {
    let (mut world, id) = running(&[plain("a"), plain("b")]);
    for _ in 0..Limits::default().lone_outages {
        world.end(id, "a", out());
        world.end(id, "b", Outcome::Void { paths: vec!["x".to_owned()] });
        world.command(id, Command::Retry { step: world.ix(id, "b"), mode: None, note: None }).ok();
        until_next(&mut world, id, "b");
        assert_eq!(world.attempt(id, "a"), None, "who did not meet it goes ahead");
        answered(&mut world, id, "b");
    }
    for _ in 0..=Limits::default().infra_retries {
        world.end(id, "a", out());
        assert_eq!(told(&world, id), None);
        if world.word(id, "a") == "running" {
            until_next(&mut world, id, "a");
        }
    }
    assert_eq!(*world.failure(id, "a"), FailReason::AgentError { message: "529 overloaded".to_owned() });
}

#[test]
fn a_full_disk_is_not_charged_and_makes_all_wait() {
    let (mut world, id) = running(&[plain("a"), plain("b"), after("c", "b", "merged")]);
    let low = |now: Timestamp| Outcome::DiskLow {
        until: now.plus(Duration::from_secs(60)),
        reason: "8 MB are free".to_owned(),
    };
    for _ in 0..10 {
        let outcome = low(world.now);
        world.end(id, "a", outcome);
        assert_eq!(until_next(&mut world, id, "a"), 60);
    }
    assert_eq!(world.of(id).step(world.ix(id, "a")).course.infra, 0);
    let outcome = low(world.now);
    world.end(id, "a", outcome);
    world.end(id, "b", Outcome::NoChange);
    assert_eq!(world.attempt(id, "c"), None, "c is ready, but there is no room for it");
}

#[test]
fn an_agent_that_cannot_be_started_twice_fails_the_step() {
    let (mut world, id) = running(&[plain("a")]);
    let not_started = || Outcome::NotStarted { reason: "no such program".to_owned() };
    world.end(id, "a", not_started());
    assert_eq!(world.engine.dispatcher().runs(), 0, "the permit is returned");
    until_next(&mut world, id, "a");
    world.end(id, "a", not_started());
    assert_eq!(*world.failure(id, "a"), FailReason::Spawn { reason: "no such program".to_owned() });
}

#[test]
fn a_final_failure_is_not_repeated() {
    for outcome in [
        Outcome::Declined { message: "no".to_owned() },
        Outcome::AgentError { message: "bad key".to_owned(), transient: false },
        Outcome::NoArtifact,
    ] {
        let (mut world, id) = running(&[plain("a")]);
        world.end(id, "a", outcome);
        assert_eq!(world.of(id).ended(), Some(EndStatus::Failed));
    }
}

#[test]
fn a_late_report_of_an_old_attempt_is_refused_and_counted() {
    let (mut world, id) = running(&[plain("a")]);
    let (step, old) = (world.ix(id, "a"), world.attempt(id, "a").unwrap());
    world.end(id, "a", Outcome::Killed);
    until_next(&mut world, id, "a");
    let before = world.logs.clone();
    let end = world.ending(Outcome::Changed, old);
    assert!(world.ended(id, step, old, end).unwrap_err().is_stale());
    assert!(world.report(id, Report::Live { step, attempt: old, session: None }).unwrap_err().is_stale());
    assert_eq!((world.engine.stale_reports(), &world.logs), (2, &before));
}

#[test]
fn a_change_without_a_commit_is_no_success() {
    let (mut world, id) = running(&[plain("a")]);
    let (step, attempt) = (world.ix(id, "a"), world.attempt(id, "a").unwrap());
    world.ended(id, step, attempt, enki_core::execution::AttemptEnd::new(Outcome::Changed)).unwrap();
    assert_eq!(world.words(id), ["running"], "it is tried again");
}

#[test]
fn no_change_is_done_without_a_merge() {
    let (mut world, id) = running(&[plain("a")]);
    world.end(id, "a", Outcome::NoChange);
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
    assert!(world.flying.is_empty());
}

#[test]
fn a_repeat_that_finds_its_work_captured_goes_on_with_it() {
    let (mut world, id) = running(&[reviewed("a", 1)]);
    world.end(id, "a", Outcome::Changed);
    world.reviewed(id, "a", enki_core::verdict::Gate::Revise);
    world.end(id, "a", Outcome::NoChange);
    assert_eq!(
        world.purpose(id, "a"),
        Some(enki_core::tier::Purpose::Review),
        "what the first attempt left is reviewed"
    );
    world.done(id, "a");
}

#[test]
fn an_open_chain_that_a_person_pauses_keeps_nobody_else_waiting() {
    let mut limits = Limits::default();
    limits.chains = 1;
    let mut world = World::new(limits);
    let id = world.start(json!({"steps": [reviewed("a", 1), reviewed("b", 1)]}));
    world.end(id, "a", Outcome::Changed);
    world.end(id, "a", Outcome::TimedOut);
    assert_eq!(world.attempt(id, "b"), None, "a waits, its chain is open");
    world.command(id, Command::Pause(Some(world.ix(id, "a")))).unwrap();
    assert!(world.attempt(id, "b").is_some(), "a can go on whenever a permit is free again");
}

#[test]
fn an_open_chain_keeps_its_permit_over_a_crash() {
    let mut limits = Limits::default();
    limits.chains = 1;
    let mut world = World::new(limits);
    let id = world.start(json!({"steps": [reviewed("a", 1), reviewed("b", 1)]}));
    world.end(id, "a", Outcome::Changed);
    world.end(id, "a", Outcome::TimedOut);
    for _ in 0..2 {
        assert_eq!(
            (world.engine.dispatcher().chains(), world.attempt(id, "b")),
            (1, None),
            "a waits, its chain is open"
        );
        world.crash();
    }
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn a_step_that_a_person_paused_gives_back_its_chain_permit_and_takes_it_again() {
    let mut limits = Limits::default();
    limits.chains = 1;
    let mut world = World::new(limits);
    let id = world.start(json!({"steps": [reviewed("a", 1), reviewed("b", 1)]}));
    world.end(id, "a", Outcome::Changed);
    world.command(id, Command::Pause(Some(world.ix(id, "a")))).unwrap();
    world.end(id, "a", Outcome::TimedOut);
    assert!(world.attempt(id, "b").is_some(), "nobody waits for the person but a");
    world.command(id, Command::Resume(Some(world.ix(id, "a")))).unwrap();
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn permits_bound_what_runs_at_once() {
    let mut limits = Limits::default();
    (limits.runs, limits.chains) = (3, 2);
    let mut world = World::new(limits);
    let steps: Vec<_> =
        (0..4).map(|n| reviewed(&format!("g{n}"), 1)).chain((0..3).map(|n| plain(&format!("p{n}")))).collect();
    let id = world.start(json!({"steps": steps}));
    let running = |world: &World, kind: &str| {
        world
            .of(id)
            .plan()
            .steps()
            .iter()
            .filter(|s| s.id.as_str().starts_with(kind) && world.word(id, s.id.as_str()) == "running")
            .count()
    };
    assert_eq!((running(&world, "g"), running(&world, "p")), (2, 1));
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn an_attempt_beside_which_the_repository_was_changed_is_not_merged_and_waits_for_a_person_with_its_work() {
    let (mut world, id) = running(&[plain("a")]);
    let attempt = world.attempt(id, "a").unwrap();
    let what = vec!["hooks/post-merge was added".to_owned()];
    let mut end = world.ending(Outcome::Tampered { what: what.clone() }, attempt);
    let (commit, tree) = (world.commit(), world.tree());
    end.work = Some(Work { base: commit, commit, tree, attempt });
    end.notices = vec!["refs/heads/x moved".to_owned(), "refs/heads/x moved".to_owned()];
    world.ended(id, world.ix(id, "a"), attempt, end).unwrap();
    world.drain();
    assert_eq!(*world.failure(id, "a"), FailReason::Tampered { what });
    assert_eq!(world.of(id).ended(), Some(EndStatus::Failed));
    assert_eq!(world.of(id).step(world.ix(id, "a")).work.as_ref().map(|work| work.commit), Some(commit));

    let step = world.ix(id, "a");
    world.command(id, Command::Retry { step, mode: Some(RetryMode::Continue), note: None }).unwrap();
    world.turn();
    let run = world.of(id).step(step);
    assert_eq!(run.work.as_ref().map(|work| work.commit), Some(commit));
    assert_eq!(run.notices.iter().map(|notice| &**notice).collect::<Vec<_>>(), ["refs/heads/x moved"]);
}

#[test]
fn what_the_policy_refused_is_remembered_with_the_step() {
    let (mut world, id) = running(&[plain("a")]);
    world.end(id, "a", Outcome::Policy { reason: "ci.sh is part of the check".to_owned() });
    until_next(&mut world, id, "a");
    world.work(id, "a");
    let notices = &world.of(id).step(world.ix(id, "a")).notices;
    assert_eq!(notices.len(), 1);
    assert_eq!(&*notices[0], "attempt 1 was refused: ci.sh is part of the check");
}
