//! What others see of an execution.

use super::*;
use crate::time::Wait;

#[test]
fn it_says_what_it_was_submitted_with() {
    let mut submitted = submitted(json!({"steps": [plain("a")]}));
    (submitted.land, submitted.start_at) = (Land::Each, Some(Timestamp(9)));
    let mut execution = Execution::new(&submitted);
    assert_eq!((execution.origin(), execution.created()), ("a person", Timestamp(7)));
    assert_eq!((execution.land(), execution.start_at()), (Land::Each, Some(Timestamp(9))));
    submitted.land = Land::End;
    assert_eq!(Execution::new(&submitted).land(), Land::End);
    assert!(!execution.is_paused());
    command(&mut execution, Command::Pause(None)).unwrap();
    assert!(execution.is_paused());
    submitted.start_at = None;
    assert_eq!(Execution::new(&submitted).start_at(), None);
}

#[test]
fn as_a_need_it_is_what_all_its_steps_have_reached() {
    let mut execution = closed(&[plain("a"), plain("b")]);
    assert_eq!(execution.need_state(None), NeedState::Waiting);
    report(&mut execution, Report::Opened(commit(1))).unwrap();
    assert_eq!(execution.need_state(None), NeedState::Started);
    attempt(&mut execution, A, Outcome::NoChange);
    assert_eq!(execution.need_state(None), NeedState::Started, "one is to come");
    start(&mut execution, B);
    assert_eq!(execution.need_state(None), NeedState::Started, "one is at work");
    end(&mut execution, B, changed(41));
    assert_eq!(execution.need_state(None), NeedState::Completed, "all are done, or merge");
    let mut alone = open(&[plain("a")]);
    attempt(&mut alone, A, Outcome::Changed);
    assert_eq!(alone.need_state(None), NeedState::Completed);
    let request = request(&alone, A);
    alone.apply(&Event::StepMerged { step: A, commit: commit(50) });
    assert_eq!((alone.need_state(None), alone.is_merging(request)), (NeedState::Completed, false));
    let mut cancelled = open(&[plain("a")]);
    cancelled.apply(&Event::StepCancelled { step: A });
    assert_eq!(cancelled.need_state(None), NeedState::Started, "nothing of it is completed");
}

#[test]
fn a_step_as_a_need_has_started_once_its_agent_lives_and_landed_once_it_is_on_the_target() {
    let mut execution = open(&[plain("a"), plain("b")]);
    let attempt = start(&mut execution, A);
    assert_eq!(execution.need_state(Some(A)), NeedState::Waiting);
    report(&mut execution, Report::Live { step: A, attempt, session: None }).unwrap();
    assert_eq!(execution.need_state(Some(A)), NeedState::Started);
    end(&mut execution, A, changed(40));
    let merging = request(&execution, A);
    report(&mut execution, Report::Merged { request: merging, commit: commit(50) }).unwrap();
    assert_eq!(execution.need_state(Some(A)), NeedState::Completed, "it is on the integration branch only");
    super::attempt(&mut execution, B, Outcome::NoChange);
    assert_eq!(execution.need_state(Some(B)), NeedState::Landed, "nothing of it is to land");
    assert_eq!(execution.need_state(Some(StepIx(9))), NeedState::Dead);
}

#[test]
fn what_is_in_flight_is_the_opening_and_then_each_live_attempt() {
    let mut execution = closed(&[plain("a"), plain("b")]);
    assert_eq!(execution.outstanding().collect::<Vec<_>>(), [Effect::Open]);
    report(&mut execution, Report::Opened(commit(1))).unwrap();
    let attempt = start(&mut execution, B);
    assert_eq!(execution.outstanding().collect::<Vec<_>>(), [Effect::Attempt { step: B, attempt }]);
}

#[test]
fn the_next_deadline_is_after_now_and_only_while_it_changes_something() {
    let mut submitted = submitted(json!({"steps": [plain("a")]}));
    submitted.start_at = Some(Timestamp(5000));
    let mut execution = Execution::new(&submitted);
    let before = Timestamp(4999);
    assert_eq!(execution.next_deadline(before), Some(Timestamp(5000)));
    assert_eq!(execution.next_deadline(Timestamp(5000)), None, "it is reached");
    execution.after = Some((ExecutionId::new(2), AfterWhen::Any));
    assert_eq!(execution.next_deadline(before), None, "it comes after another one, which has not ended");
    execution.predecessor = NeedState::Landed;
    assert_eq!(execution.next_deadline(before), Some(Timestamp(5000)));
    execution.triggered = true;
    assert_eq!(execution.next_deadline(before), None, "it has begun");
    execution.landing.again = Some(Wait { until: Timestamp(5000), since: before });
    assert_eq!(execution.next_deadline(before), Some(Timestamp(5000)));
    assert_eq!(execution.next_deadline(Timestamp(5000)), None);
    assert_eq!(execution.next_of_steps(before), None, "a landing is nobody's step");
    execution.cancelling = true;
    assert_eq!(execution.next_deadline(before), None);
    (execution.cancelling, execution.ended) = (false, Some(EndStatus::Failed));
    assert_eq!(execution.next_deadline(before), None);
}

#[test]
fn outputs_are_taken_from_what_is_completed_first() {
    let needs = json!({"needs": [{"step": "a", "condition": "started"}, "b", {"task": "x"}]});
    let execution = closed(&[plain("a"), plain("b"), step("c", needs)]);
    let sources: Vec<_> = execution.sources(execution.plan().step(StepIx(2))).collect();
    assert_eq!(sources, [B]);
}

#[test]
fn what_more_waits_for_goes_first() {
    let execution = open(&[plain("a"), after("b", "a"), after("c", "b")]);
    let Demand::Wants { order, .. } = execution.demand(A, NOW) else { panic!("it may start") };
    assert!(order.below < 0 && order.fan < 0, "{order:?}");
}

#[test]
fn a_reviewer_has_a_login_of_its_own_and_a_command_needs_none() {
    let reviewed = json!({"review": {"command": "cargo test"}});
    let mut execution = open(&[step("a", json!({"review": "code"})), step("b", reviewed), plain("c")]);
    for ix in [A, B] {
        attempt(&mut execution, ix, Outcome::Changed);
    }
    assert_eq!([A, B].map(|ix| execution.pool(ix, Purpose::Review)), [Pool::Reviewer, Pool::Command]);
    assert_eq!([A, B].map(|ix| execution.pool(ix, Purpose::Fix)), [Pool::Worker; 2]);
    assert!(matches!(execution.demand(B, NOW), Demand::Wants { pool: Pool::Command, .. }));
}

#[test]
fn a_chain_gives_back_its_permit_while_a_person_or_another_conflict_keeps_it_waiting() {
    let mut execution = open(&[step("a", json!({"review": "code"}))]);
    attempt(&mut execution, A, Outcome::Changed);
    let yields = |execution: &Execution| match execution.demand(A, NOW) {
        Demand::Open { yields } => Some(yields),
        _ => None,
    };
    assert_eq!(yields(&execution), None);
    command(&mut execution, Command::Pause(None)).unwrap();
    assert_eq!((yields(&execution), execution.word(A)), (Some(true), "running"));
    command(&mut execution, Command::Resume(None)).unwrap();
    command(&mut execution, Command::Pause(Some(A))).unwrap();
    assert_eq!((yields(&execution), execution.word(A)), (Some(true), "paused"));
    command(&mut execution, Command::Resume(Some(A))).unwrap();
    start(&mut execution, A);
    command(&mut execution, Command::Pause(Some(A))).unwrap();
    assert_eq!(execution.word(A), "running", "what runs is not stopped");
}

#[test]
fn a_step_that_a_person_paused_is_a_reason_to_wait_unless_it_moves() {
    let mut execution = open(&[plain("a")]);
    attempt(&mut execution, A, Outcome::Changed);
    execution.steps[0].paused = true;
    assert!(execution.waiting_for().is_empty(), "its change merges");
    let mut execution = open(&[plain("a"), plain("b")]);
    command(&mut execution, Command::Pause(Some(A))).unwrap();
    assert_eq!(execution.waiting_for(), ["a person paused step a"]);
    start(&mut execution, B);
    assert_eq!(execution.waiting_for(), ["a person paused step a"]);
}

#[test]
fn what_waits_for_another_execution_names_it_and_the_step_that_needs_it() {
    let needs = json!({"needs": [{"task": "x"}]});
    let mut execution = open(&[step("a", needs.clone()), plain("b")]);
    let named = vec![format!("{}, which step a needs", ExecutionId::new(2))];
    assert_eq!(execution.waiting_for(), named);
    start(&mut execution, B);
    assert_eq!(execution.waiting_for(), [""; 0], "something moves");
    end(&mut execution, B, AttemptEnd::new(Outcome::NoChange));
    report(&mut execution, Report::Need { external: 0, state: NeedState::Landed }).unwrap();
    assert_eq!(execution.waiting_for(), [""; 0], "it is there");
    execution.ended = Some(EndStatus::Cancelled);
    assert_eq!(execution.waiting_for(), [""; 0]);
    let mut ended = open(&[step("a", needs), plain("b")]);
    ended.apply(&Event::Ended { status: EndStatus::Failed });
    assert_eq!(ended.waiting_for(), [""; 0], "it waits for nothing any more");
}

#[test]
fn what_waits_for_its_start_says_so() {
    let mut submitted = submitted(json!({"steps": [plain("a")]}));
    submitted.start_at = Some(Timestamp(5000));
    assert_eq!(Execution::new(&submitted).waiting_for(), ["its start time"]);
}

#[test]
fn a_chain_is_seen_from_its_first_attempt_on_and_its_resolution_by_name() {
    let review = json!({"review": "code"});
    let mut execution = open(&[step("a", review.clone()), step("b", review), plain("c")]);
    assert_eq!((execution.chain(A), execution.joined_chains()), (None, None));
    execution.apply(&Event::StepCancelled { step: A });
    assert_eq!(execution.chain(A), None, "it never began");
    attempt(&mut execution, B, declined());
    let joined = execution.joined_chains().expect("the one that was cancelled does not begin");
    assert_eq!(joined.iter().map(|(ix, _)| *ix).collect::<Vec<_>>(), [B]);
    let review = json!({"review": "code"});
    let mut execution = open(&[step("a", review.clone()), step("b", review)]);
    attempt(&mut execution, A, declined());
    assert_eq!(execution.joined_chains(), None, "another one is to begin");
    let passed = crate::verdict::Verdict::of(crate::verdict::Gate::Pass);
    attempt(&mut execution, B, Outcome::Changed);
    attempt(&mut execution, B, Outcome::Reviewed(passed));
    clashed(&mut execution, B);
    let standing = execution.chain(B).unwrap().standing;
    assert!(matches!(&standing, chains::Standing::Open(name) if name.to_string() == "resolving"), "{standing:?}");
}

#[test]
fn a_wait_is_due_once_it_ends_and_each_when_the_clock_was_set_back_but_not_when_it_stands_still() {
    let mut execution = Execution::new(&submitted(json!({"steps": [plain("a"), plain("b")]})));
    execution.timers.extend([(Timestamp(5), A), (Timestamp(9), B)]);
    let due = |since, now| execution.due(Timestamp(since), Timestamp(now)).collect::<Vec<_>>();
    assert_eq!(due(4, 5), [A]);
    assert_eq!(due(5, 9), [B]);
    assert_eq!(due(5, 5), []);
    assert_eq!(due(5, 4), [A, B]);
}
