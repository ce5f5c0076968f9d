//! What was merged, what it means for those who come after, and what was lost of it.

use super::*;

fn id(n: u32) -> RequestId {
    entry(n).change.request
}

fn enqueue(queue: &mut MergeQueue, entry: Entry) {
    hear(queue, &Input::Enqueue(Box::new(entry))).unwrap();
}

fn build(queue: &mut MergeQueue, n: u8) -> Vec<Event> {
    answer(queue, Report::Imported);
    let candidate = Candidate { commit: commit(n), tree: tree(n), base: first(queue).base };
    answer(queue, Report::Built(Build::Candidate { candidate, commits: vec![Some(commit(n))] }))
}

fn tree(n: u8) -> TreeId {
    format!("{n:040x}").parse().unwrap()
}

/// Merges what is first, as that commit.
fn merge(queue: &mut MergeQueue, n: u8) {
    build(queue, n);
    answer(queue, Report::Checked(Check::Passed));
    answer(queue, Report::Published);
}

fn conflict(queue: &mut MergeQueue, n: u32) -> Vec<Partner> {
    answer(queue, Report::Imported);
    let conflict = Build::Conflict { request: id(n), paths: vec![], hunks: String::new() };
    let mut events = answer(queue, Report::Built(conflict));
    match events.swap_remove(0) {
        Event::Ejected { reason: Eject::Conflict { with, .. }, .. } => with,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_conflict_names_what_was_merged_since_it_was_queued() {
    let mut one = queue();
    merge(&mut one, 50);
    enqueue(&mut one, entry(2));
    hear(&mut one, &Input::Seen(Some(commit(50)))).unwrap();
    assert_eq!(conflict(&mut one.clone(), 2), [], "what was there before is not in its way");
    enqueue(&mut one, entry(3));
    enqueue(&mut one, entry(4));
    merge(&mut one, 51);
    assert_eq!(
        conflict(&mut one.clone(), 3).iter().map(|p| p.request).collect::<Vec<_>>(),
        [id(2)],
        "it can only be that"
    );
    merge(&mut one, 52);
    assert_eq!(conflict(&mut one.clone(), 4), [], "it is not known which of the two");
    one.lines[0].members[0].clashes.insert(id(3));
    assert_eq!(conflict(&mut one, 4).iter().map(|p| p.request).collect::<Vec<_>>(), [id(3)]);
}

#[test]
fn the_last_sixty_four_that_were_merged_are_remembered() {
    let mut queue = queue();
    enqueue(&mut queue, entry(900));
    let late = queue.lot.get(id(900)).unwrap().clone();
    for n in 1..=65 {
        let line = LineNo(u64::from(n));
        let member = Member { entry: entry(n), ..late.clone() };
        queue.lines = [Line::new(line, vec![member], commit(1))].into();
        queue.apply(&Event::Merged { line, commit: commit(1) });
        let since: Vec<_> = queue.merged_since(&late).into_iter().map(|partner| partner.request).collect();
        assert_eq!(since, (1.max(n.saturating_sub(63))..=n).map(id).collect::<Vec<_>>());
    }
}

#[test]
fn a_tree_that_passed_on_its_way_here_is_not_checked_again_by_whoever_comes_to_the_same() {
    let mut queue = queue();
    queue.lines[0].members[0].entry.passed = Some(tree(50));
    let events = build(&mut queue, 50);
    assert!(matches!(events[..], [Event::Prepared { .. }, Event::VerdictReused { .. }, ..]), "{events:?}");
    let gate = first(&queue).gate().unwrap().clone();
    answer(&mut queue, Report::Published);
    assert_eq!(queue.head_passed(&gate, Timestamp(0), &Limits::default()), Some(tree(50)));
    let other = Gate::new("lint", Duration::from_secs(1));
    assert_eq!(queue.head_passed(&other, Timestamp(0), &Limits::default()), None);
    queue.apply(&Event::TargetSeen { head: commit(9) });
    assert_eq!(queue.head_passed(&gate, Timestamp(0), &Limits::default()), None, "that is another head");
    enqueue(&mut queue, entry(2));
    hear(&mut queue, &Input::Seen(Some(commit(9)))).unwrap();
    let events = build(&mut queue, 50);
    assert!(matches!(events[..], [Event::Prepared { .. }, Event::VerdictReused { .. }, ..]), "{events:?}");
}

#[test]
fn a_failure_on_a_target_that_only_others_moved_is_not_tried_on_the_old_one() {
    let mut queue = queue();
    assert_eq!(first(&queue).members[0].old_base(), Some(commit(1)));
    hear(&mut queue, &Input::Pause(QueuePause::Person)).unwrap();
    hear(&mut queue, &Input::Resume).unwrap();
    hear(&mut queue, &Input::Seen(Some(commit(2)))).unwrap();
    build(&mut queue, 50);
    answer(&mut queue, Report::Checked(Check::Failed { log: "no".into() }));
    answer(&mut queue, Report::Checked(Check::Failed { log: "no".into() }));
    let events = answer(&mut queue, Report::BaseChecked(Check::Passed));
    assert!(matches!(events[1], Event::Ejected { reason: Eject::Failed { .. }, charged: true, .. }), "{events:?}");
}

#[test]
fn a_check_of_the_old_base_that_gives_no_answer_is_run_again() {
    let mut queue = queue();
    enqueue(&mut queue, entry(2));
    merge(&mut queue, 50);
    build(&mut queue, 51);
    answer(&mut queue, Report::Checked(Check::Failed { log: "no".into() }));
    answer(&mut queue, Report::Checked(Check::Failed { log: "no".into() }));
    assert_eq!(in_flight(&queue).kind, EffectKind::CheckOldBase);
    let events = answer(&mut queue, Report::OldBaseChecked(Check::Unknown { reason: "no disk".into() }));
    assert!(matches!(events[..], [Event::Deferred { .. }]), "{events:?}");
}

#[test]
fn a_candidate_that_was_lost_is_built_again() {
    let mut queue = queue();
    build(&mut queue, 50);
    for publishing in [false, true] {
        let mut queue = queue.clone();
        if publishing {
            answer(&mut queue, Report::Checked(Check::Passed));
        }
        let events = answer(&mut queue, Report::Lost("gone".into()));
        assert_eq!(events[0], Event::Stale { line: LineNo(1), head: commit(1) });
        assert!(matches!(events[1], Event::BatchFormed { .. }));
    }
}

#[test]
fn a_target_that_went_on_from_what_was_merged_is_where_the_next_one_is_built() {
    let mut queue = queue();
    merge(&mut queue, 50);
    let state = TargetState { head: Some(commit(9)), contains: true, was_there: true };
    let events = hear(&mut queue, &Input::Inspected { state, rebooted: false }).unwrap();
    assert_eq!(events, [Event::TargetSeen { head: commit(9) }]);
}

/// A queue that puts back what a loss of power took, while the next change is at its import.
fn put_back() -> MergeQueue {
    let mut queue = merged_and_going_on();
    looks_again(&mut queue, 1);
    assert!(first(&queue).members.is_empty() && in_flight(&queue).kind == EffectKind::Publish);
    queue
}

#[test]
fn what_is_in_the_works_goes_on_as_it_was_while_the_lost_is_put_back() {
    let mut queue = put_back();
    let stages: Vec<Stage> = queue.lines().map(|line| line.stage).collect();
    assert_eq!(stages, [Stage::Publishing, Stage::Importing]);
    enqueue(&mut queue, entry(3));
    let daring = Limits { window: 8, ..Limits::default() };
    queue.window = 8;
    queue.lines.truncate(1);
    assert_eq!(queue.settle(&daring), [], "and nothing is built on what is only put back");
}

#[test]
fn what_was_built_on_another_head_falls_apart_when_the_lost_is_put_back() {
    let mut queue = queue();
    merge(&mut queue, 50);
    enqueue(&mut queue, entry(2));
    hear(&mut queue, &Input::Seen(Some(commit(9)))).unwrap();
    assert_eq!(first(&queue).base, commit(9));
    looks_again(&mut queue, 1);
    assert_eq!(queue.lines().len(), 1);
    answer(&mut queue, Report::Published);
    assert_eq!(first(&queue).base, commit(50));
}

#[test]
fn what_cannot_be_put_back_asks_a_person_and_keeps_the_rest() {
    let rewound = QueuePause::Rewound { commit: commit(50) };
    let moved = TargetState { head: Some(commit(9)), contains: false, was_there: false };
    for (report, why) in [
        (Report::Lost("gone".into()), rewound.clone()),
        (Report::Moved(moved), rewound),
        (
            Report::Blocked { reason: "in use".into(), command: "git stash".into() },
            QueuePause::Infrastructure { reason: "in use; git stash".into() },
        ),
    ] {
        let mut queue = put_back();
        assert_eq!(answer(&mut queue, report), [Event::QueuePaused { why: why.clone() }]);
        assert!(queue.contains(id(2)), "{why:?}");
        let is_rewound = matches!(why, QueuePause::Rewound { .. });
        assert_eq!(queue.lines().any(|line| line.members.is_empty()), !is_rewound);
        assert!(queue.lines().any(|line| line.has(id(2))));
    }
}
