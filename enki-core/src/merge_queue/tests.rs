//! What simulated histories found first, and the rules that only the inside shows.

mod beside;
mod broken;
mod merged;
mod stacked;

use super::*;
use crate::id::{ExecutionId, StepIx, TaskId};
use crate::refinery::{Build, Change, ChangeKind, Check, Gate, TargetState};
use std::time::Duration;

pub(super) fn commit(n: u8) -> CommitId {
    format!("{n:040x}").parse().unwrap()
}

pub(super) fn entry(n: u32) -> Entry {
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

/// The same request, for an execution's own landing.
pub(super) fn landing(n: u32) -> Entry {
    let mut entry = entry(n);
    entry.change.kind = ChangeKind::Landing { execution: ExecutionId::new(1), title: "l".into() };
    entry
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

/// A queue that merged its first change, with a second one in the works on top of it.
fn merged_and_going_on() -> MergeQueue {
    let mut queue = queue();
    queue.apply(&Event::Booted { boot: "before".into() });
    to_the_check(&mut queue);
    hear(&mut queue, &Input::Enqueue(Box::new(entry(2)))).unwrap();
    answer(&mut queue, Report::Checked(Check::Passed));
    answer(&mut queue, Report::Published);
    assert_eq!(first(&queue).base, commit(50));
    queue
}

fn looks_again(queue: &mut MergeQueue, head: u8) -> Vec<Event> {
    let state = TargetState { head: Some(commit(head)), contains: false, was_there: false };
    hear(queue, &Input::Inspected { state, rebooted: true }).unwrap()
}

#[test]
fn what_the_disk_lost_is_published_again_before_what_was_built_on_it() {
    let mut queue = merged_and_going_on();
    let above = first(&queue).no;
    looks_again(&mut queue, 1);
    let again = first(&queue);
    assert_eq!((again.candidate.unwrap().commit, again.stage), (commit(50), Stage::Publishing));
    assert_eq!(in_flight(&queue).kind, EffectKind::Publish);
    answer(&mut queue, Report::Published);
    assert_eq!((first(&queue).no, first(&queue).base, queue.head()), (above, commit(50), Some(commit(50))));
}

#[test]
fn what_was_past_the_point_of_no_return_on_top_of_it_begins_to_commit_again() {
    let mut queue = merged_and_going_on();
    answer(&mut queue, Report::Imported);
    let candidate = Candidate { commit: commit(51), tree: format!("{:040x}", 8).parse().unwrap(), base: commit(50) };
    answer(&mut queue, Report::Built(Build::Candidate { candidate, commits: vec![Some(candidate.commit)] }));
    answer(&mut queue, Report::Checked(Check::Passed));
    let publishes = in_flight(&queue);
    assert_eq!(publishes.kind, EffectKind::Publish);
    looks_again(&mut queue, 1);
    assert_eq!(hear(&mut queue, &Input::Report(publishes, Report::Published)), Err(Rejected::Stale(publishes.line)));
    let events = answer(&mut queue, Report::Published);
    let commits = |event: &Event| matches!(event, Event::Committing { line } if *line == publishes.line);
    assert!(events.iter().any(commits), "{events:?}");
    answer(&mut queue, Report::Published);
    assert!(queue.is_empty() && queue.head() == Some(commit(51)));
}

#[test]
fn a_target_that_somebody_set_back_asks_although_more_is_in_the_works() {
    let mut queue = merged_and_going_on();
    looks_again(&mut queue, 9);
    assert_eq!(queue.paused(), Some(&QueuePause::Rewound { commit: commit(50) }));
}
