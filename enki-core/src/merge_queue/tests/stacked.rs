//! Lines that are built on others, and what becomes of them.

use super::*;

fn id(n: u32) -> RequestId {
    entry(n).change.request
}

fn limits() -> Limits {
    Limits { window: 8, max_batch: 2, adaptive_batch: false, ..Limits::default() }
}

/// As [`super::hear`], with several lines at once.
fn hear(queue: &mut MergeQueue, input: &Input) -> Result<Vec<Event>, Rejected> {
    let mut events = queue.decide(input, Timestamp(0), &limits())?;
    events.iter().for_each(|event| queue.apply(event));
    loop {
        let more = queue.settle(&limits());
        if more.is_empty() {
            queue.check().unwrap();
            return Ok(events);
        }
        more.iter().for_each(|event| queue.apply(event));
        events.extend(more);
    }
}

fn effect_of(queue: &MergeQueue, line: u64) -> Effect {
    queue.effects(Timestamp(0)).find(|effect| effect.line == LineNo(line)).expect("the line wants something")
}

fn answer(queue: &mut MergeQueue, line: u64, report: Report) -> Vec<Event> {
    let effect = effect_of(queue, line);
    hear(queue, &Input::Report(effect, report)).unwrap()
}

fn build(queue: &mut MergeQueue, line: u64, n: u8) {
    answer(queue, line, Report::Imported);
    let base = queue.line(LineNo(line)).unwrap().base;
    let candidate = Candidate { commit: commit(n), tree: format!("{n:040x}").parse().unwrap(), base };
    answer(queue, line, Report::Built(Build::Candidate { candidate, commits: vec![] }));
}

/// A queue of these changes that dares several lines, with the target at commit 1.
fn daring(entries: impl IntoIterator<Item = Entry>) -> MergeQueue {
    let mut queue = MergeQueue::new("main".parse().unwrap(), Some(commit(1)));
    queue.window = 6;
    hear(&mut queue, &Input::Pause(QueuePause::Person)).unwrap();
    entries.into_iter().for_each(|entry| drop(hear(&mut queue, &Input::Enqueue(Box::new(entry))).unwrap()));
    hear(&mut queue, &Input::Resume).unwrap();
    hear(&mut queue, &Input::Seen(Some(commit(1)))).unwrap();
    queue
}

fn lines(queue: &MergeQueue) -> Vec<u64> {
    queue.lines().map(|line| line.no.0).collect()
}

fn failed() -> Report {
    Report::Checked(Check::Failed { log: "no".into() })
}

#[test]
fn nothing_is_built_on_what_is_not_built_or_failed() {
    let mut queue = daring((1..=4).map(entry));
    assert_eq!(lines(&queue), [1]);
    build(&mut queue, 1, 11);
    assert_eq!(lines(&queue), [1, 2], "on a candidate that is checked");
    build(&mut queue, 2, 12);
    let events = answer(&mut queue, 1, failed());
    assert!(matches!(events[..], [Event::CheckRecorded { .. }, Event::BatchSplit { .. }, ..]), "{events:?}");
    // One by one now.
    let mut queue = daring((1..=2).map(entry).chain([landing(3)]));
    hear(&mut queue, &Input::Withdraw(id(2))).unwrap();
    hear(&mut queue, &Input::Seen(Some(commit(1)))).unwrap();
    let first = lines(&queue)[0];
    build(&mut queue, first, 11);
    hear(&mut queue, &Input::Enqueue(Box::new(entry(4)))).unwrap();
    assert_eq!(lines(&queue), [first, first + 1]);
    answer(&mut queue, first, failed());
    assert_eq!(lines(&queue), [first], "what was built on it fell apart, and nothing new is");
    assert_eq!(queue.window, 3, "it dares half as much");
    answer(&mut queue, first, Report::Checked(Check::Passed));
    assert_eq!(queue.window, 3, "a pass alone is no loss");
    answer(&mut queue, first, Report::Published);
    assert_eq!((queue.window, queue.head()), (4, Some(commit(11))));
}

#[test]
fn nothing_is_built_on_a_landing() {
    let mut queue = daring([landing(1), entry(2)]);
    build(&mut queue, 1, 11);
    assert_eq!(lines(&queue), [1]);
}

#[test]
fn what_leaves_the_first_line_has_the_target_looked_at_before_another_is_formed() {
    let mut queue = daring((1..=2).map(entry));
    assert!(queue.line(LineNo(1)).unwrap().has(id(2)));
    hear(&mut queue, &Input::Withdraw(id(1))).unwrap();
    assert!(lines(&queue).is_empty());
    assert_eq!(effect_of(&queue, 0).kind, EffectKind::Look);
}

#[test]
fn a_change_that_does_not_go_with_those_below_it_conflicts_with_all_of_them() {
    let mut queue = daring((1..=4).map(entry));
    build(&mut queue, 1, 11);
    answer(&mut queue, 2, Report::Imported);
    let conflict = Build::Conflict { request: id(4), paths: vec![], hunks: String::new() };
    let events = answer(&mut queue, 2, Report::Built(conflict));
    assert_eq!(events[0], Event::LeftOut { line: LineNo(2), request: id(4) });
    assert_eq!(queue.lot.get(id(4)).unwrap().clashes, (1..=3).map(id).collect());
    assert!(queue.lines().nth(1).is_some_and(|line| line.has(id(3)) && !line.has(id(4))));
}

#[test]
fn what_adds_nothing_to_what_is_not_published_yet_is_not_sent_back_for_it() {
    let mut queue = daring((1..=4).map(entry));
    build(&mut queue, 1, 11);
    answer(&mut queue, 2, Report::Imported);
    let events = answer(&mut queue, 2, Report::Built(Build::Empty));
    assert_eq!(events[0], Event::LeftOut { line: LineNo(2), request: id(3) });
    assert!(queue.contains(id(3)) && queue.contains(id(4)));
}

#[test]
fn a_candidate_on_another_base_is_built_again() {
    let mut queue = daring([entry(1)]);
    answer(&mut queue, 1, Report::Imported);
    let candidate = Candidate { commit: commit(11), tree: format!("{:040x}", 11).parse().unwrap(), base: commit(9) };
    let events = answer(&mut queue, 1, Report::Built(Build::Candidate { candidate, commits: vec![] }));
    assert!(matches!(events[..], [Event::Deferred { .. }]), "{events:?}");
}

#[test]
fn the_wait_before_another_try_is_over_when_its_time_is_reached() {
    let mut queue = daring([entry(1)]);
    let first = effect_of(&queue, 1);
    let events = answer(&mut queue, 1, Report::Failed("no disk".into()));
    let [Event::Deferred { until, .. }] = events[..] else { panic!("{events:?}") };
    assert_eq!(queue.next_deadline(Timestamp(0)), Some(until));
    assert_eq!(queue.effects(Timestamp(until.0 - 1)).count(), 0);
    assert_eq!(queue.next_deadline(until), None);
    let again = queue.effects(until).next().unwrap();
    assert!(again.attempt > first.attempt, "it is another try: {again:?}");
}

#[test]
fn a_refusal_that_names_a_stranger_is_no_answer() {
    let mut queue = daring([entry(1)]);
    let import = effect_of(&queue, 1);
    let refused = Report::ImportRefused { request: id(9), policy: "size".into() };
    assert_eq!(hear(&mut queue, &Input::Report(import, refused)), Err(Rejected::Stale(import.line)));
}

#[test]
fn a_publishing_that_a_pause_interrupted_is_another_try_after_it() {
    let mut queue = daring((1..=4).map(entry));
    build(&mut queue, 1, 11);
    build(&mut queue, 2, 12);
    answer(&mut queue, 1, Report::Checked(Check::Passed));
    let publish = effect_of(&queue, 1);
    assert_eq!((publish.kind, queue.lines().len()), (EffectKind::Publish, 2));
    hear(&mut queue, &Input::Pause(QueuePause::Person)).unwrap();
    hear(&mut queue, &Input::Resume).unwrap();
    assert!(effect_of(&queue, 1).attempt > publish.attempt);
    assert!(queue.line(LineNo(2)).is_none(), "what is not past the point of no return is built anew");
}

#[test]
fn a_batch_that_fails_is_halved_and_a_small_one_tried_one_by_one() {
    for (size, parts) in [(4, vec![1, 1, 1, 1]), (5, vec![3, 2])] {
        let limits = Limits { max_batch: 8, adaptive_batch: false, ..Limits::default() };
        let mut queue = daring((1..=size).map(entry));
        let members = (1..=size).map(|n| Member { entry: entry(n), ..queue.lines[0].members[0].clone() }).collect();
        queue.lines = [Line::new(LineNo(1), members, commit(1))].into();
        assert_eq!((queue.len(), queue.is_empty()), (size as usize + queue.lot.len(), false));
        queue.lines[0].failed = Some(Check::Failed { log: "no".into() });
        queue.lines[0].stage = Stage::Decided;
        let events = queue.settle(&limits);
        let [Event::BatchSplit { groups, .. }] = &events[..] else { panic!("{events:?}") };
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), parts);
    }
}
