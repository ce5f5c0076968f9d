//! What simulated histories found first.

use super::*;
use crate::id::{ExecutionId, StepIx, TaskId};
use crate::refinery::{Build, Change, ChangeKind, Check, Gate};
use std::time::Duration;

fn commit(n: u8) -> CommitId {
    format!("{n:040x}").parse().unwrap()
}

fn entry(n: u32) -> Entry {
    let execution = ExecutionId::new(1);
    let kind = ChangeKind::Step {
        task: TaskId::of(execution, &"a".parse().unwrap()),
        attempt: crate::id::AttemptNo(n),
        title: "t".into(),
        summary: String::new(),
    };
    let request = RequestId::of(execution, Some(StepIx(0)), n);
    let change = Change { request, kind, commit: commit(100), at: Timestamp(0) };
    let gate = Gate::new("test", Duration::from_secs(1));
    Entry::new(change, Some(gate))
}

/// A queue with one change whose target is at commit 1.
fn queue() -> MergeQueue {
    let mut queue = MergeQueue::new("main".parse().unwrap(), Some(commit(1)));
    hear(&mut queue, &Input::Enqueue(Box::new(entry(1)))).unwrap();
    hear(&mut queue, &Input::Seen(Some(commit(1)))).unwrap();
    queue
}

fn hear(queue: &mut MergeQueue, input: &Input) -> Result<Vec<Event>, Rejected> {
    let mut events = queue.decide(input, Timestamp(0), &Limits::default())?;
    events.iter().for_each(|event| queue.apply(event));
    loop {
        let more = queue.settle(&Limits::default());
        if more.is_empty() {
            queue.check().unwrap();
            return Ok(events);
        }
        more.iter().for_each(|event| queue.apply(event));
        events.extend(more);
    }
}

fn first(queue: &MergeQueue) -> &Line {
    queue.lines().next().expect("a line is in the works")
}

fn in_flight(queue: &MergeQueue) -> Effect {
    queue.effects(Timestamp(0)).next().expect("something is in flight")
}

/// Answers what is in flight.
fn answer(queue: &mut MergeQueue, report: Report) -> Vec<Event> {
    let effect = in_flight(queue);
    hear(queue, &Input::Report(effect, report)).unwrap()
}

fn to_the_check(queue: &mut MergeQueue) {
    answer(queue, Report::Imported);
    let tree = format!("{:040x}", 7).parse().unwrap();
    let base = first(queue).base;
    let candidate = Candidate { commit: commit(50), tree, base };
    answer(queue, Report::Built(Build::Candidate { candidate, commits: vec![Some(candidate.commit)] }));
}

#[test]
fn a_second_answer_about_one_try_is_not_the_answer_about_the_next() {
    let mut queue = queue();
    to_the_check(&mut queue);
    let first = in_flight(&queue);
    let failed = Input::Report(first, Report::Checked(Check::Failed { log: "no".into() }));
    let events = hear(&mut queue, &failed).unwrap();
    assert!(events.iter().any(|event| matches!(event, Event::Confirming { .. })), "{events:?}");
    assert_eq!(hear(&mut queue, &failed), Err(Rejected::Stale(first.line)));
    assert_eq!(queue.len(), 1, "one failure charges nobody");
}

#[test]
fn a_target_that_nobody_watched_is_looked_at_before_a_line_is_formed() {
    let mut queue = MergeQueue::new("main".parse().unwrap(), Some(commit(1)));
    hear(&mut queue, &Input::Enqueue(Box::new(entry(1)))).unwrap();
    assert_eq!(in_flight(&queue).kind, EffectKind::Look);
    assert!(queue.lines().next().is_none());
    hear(&mut queue, &Input::Seen(Some(commit(2)))).unwrap();
    assert_eq!(first(&queue).base, commit(2));
}

#[test]
fn after_a_resume_a_change_is_built_on_the_target_as_it_is() {
    let mut queue = queue();
    to_the_check(&mut queue);
    answer(&mut queue, Report::Checked(Check::Failed { log: "red".into() }));
    answer(&mut queue, Report::Checked(Check::Failed { log: "red".into() }));
    answer(&mut queue, Report::BaseChecked(Check::Failed { log: "red".into() }));
    assert!(matches!(queue.paused(), Some(QueuePause::BaseRed { .. })));
    hear(&mut queue, &Input::Resume).unwrap();
    hear(&mut queue, &Input::Seen(Some(commit(3)))).unwrap();
    assert_eq!(first(&queue).base, commit(3), "a person mended the target");
}

#[test]
fn a_resume_does_not_take_back_what_is_past_the_point_of_no_return() {
    let mut queue = queue();
    to_the_check(&mut queue);
    answer(&mut queue, Report::Checked(Check::Passed));
    let before = first(&queue).no;
    hear(&mut queue, &Input::Pause(QueuePause::Person)).unwrap();
    hear(&mut queue, &Input::Resume).unwrap();
    assert_eq!((first(&queue).no, first(&queue).stage), (before, Stage::Publishing));
}
