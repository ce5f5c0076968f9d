//! Which change is next, how many go together, and how far the queue looks ahead.

use super::{Bench, commit, entry, request};
use enki_core::id::RequestId;
use enki_core::limits::Limits;
use enki_core::merge_queue::{Effect, EffectKind, Eject, Event, Input, QueuePause, Report};
use enki_core::refinery::{Build, Check, TargetState};
use enki_core::tier::Priority;
use enki_core::time::Timestamp;
use std::time::Duration;

fn limits(max_batch: u32, window: u32) -> Limits {
    let mut limits = Limits::default();
    (limits.max_batch, limits.window, limits.adaptive_batch) = (max_batch, window, false);
    limits
}

fn effect(bench: &Bench, kind: EffectKind) -> Effect {
    bench.effects().into_iter().find(|effect| effect.kind == kind).unwrap_or_else(|| panic!("{kind:?} is wanted"))
}

/// Takes the first line from its import to where its check runs.
fn to_the_check(bench: &mut Bench) -> Effect {
    for kind in [EffectKind::Look, EffectKind::Import, EffectKind::Build] {
        if let Some(effect) = bench.effects().into_iter().find(|effect| effect.kind == kind) {
            bench.answer(effect, |_| true);
        }
    }
    effect(bench, EffectKind::Check)
}

/// Runs until nothing is wanted; gives what was merged, in order.
fn drain(bench: &mut Bench, passes: impl Fn(&[RequestId]) -> bool) -> Vec<RequestId> {
    let mut merged = Vec::new();
    for _ in 0..10_000 {
        let Some(effect) = bench.effects().first().copied() else { return merged };
        let lined = if effect.kind == EffectKind::Publish { bench.members(effect) } else { Vec::new() };
        bench.answer(effect, &passes);
        merged.extend(lined);
        bench.queue.check().unwrap();
    }
    panic!("it never ends: {:?}", bench.effects())
}

fn verdict(yes: bool) -> Report {
    Report::Checked(if yes { Check::Passed } else { Check::Failed { log: "no".to_owned() } })
}

#[test]
fn priority_then_what_frees_most_then_age_decides() {
    let mut bench = Bench::new(limits(1, 1));
    let at = bench.now;
    bench.enqueue(entry(0, Priority::Low, at));
    to_the_check(&mut bench);
    for (n, priority, frees) in [
        (1, Priority::Low, 0),
        (2, Priority::Normal, 1),
        (3, Priority::Normal, 4),
        (4, Priority::High, 0),
        (5, Priority::Low, 0),
    ] {
        let mut entry = entry(n, priority, at);
        entry.frees = frees;
        bench.enqueue(entry);
    }
    let order = drain(&mut bench, |_| true);
    assert_eq!(order, [0, 4, 3, 2, 1, 5].map(request));
}

#[test]
fn nothing_starves_while_others_of_higher_priority_keep_coming() {
    let mut bench = Bench::new(limits(1, 1));
    bench.enqueue(entry(0, Priority::High, bench.now));
    let low = entry(1, Priority::Low, bench.now);
    let begun = bench.now;
    to_the_check(&mut bench);
    bench.enqueue(low);
    for n in 2..500 {
        bench.now = bench.now.plus(Duration::from_secs(60));
        bench.enqueue(entry(n, Priority::High, bench.now));
        // One change is merged each minute: the next one is always there already.
        loop {
            let effect = bench.effects()[0];
            let members = if effect.line.0 == 0 { Vec::new() } else { bench.members(effect) };
            bench.answer(effect, |_| true);
            if effect.kind == EffectKind::Publish {
                if members == [request(1)] {
                    let waited = bench.now.since(begun);
                    assert!(waited > Duration::from_secs(25 * 60), "a low one waits: {waited:?}");
                    assert!(waited < Duration::from_secs(95 * 60), "and not for ever: {waited:?}");
                    return;
                }
                break;
            }
        }
    }
    panic!("the low one never went")
}

#[test]
fn a_batch_that_passes_is_one_candidate_and_each_change_has_its_commit() {
    let mut bench = Bench::new(limits(4, 1));
    bench.hear(&Input::Pause(QueuePause::Person)).unwrap();
    (0..6).for_each(|n| bench.enqueue(entry(n, Priority::Normal, Timestamp(0))));
    bench.hear(&Input::Resume).unwrap();
    let merged = drain(&mut bench, |_| true);
    assert_eq!(merged.len(), 6);
    let checks = bench.log.iter().filter(|event| matches!(event, Event::CheckRecorded { .. })).count();
    assert_eq!(checks, 2, "four and two");
}

#[test]
fn company_is_no_guilt_and_only_the_bad_one_goes_back() {
    let mut bench = Bench::new(limits(8, 1));
    bench.hear(&Input::Pause(QueuePause::Person)).unwrap();
    (0..8).for_each(|n| bench.enqueue(entry(n, Priority::Normal, Timestamp(0))));
    bench.hear(&Input::Resume).unwrap();
    let merged = drain(&mut bench, |members| !members.contains(&request(5)));
    assert_eq!(merged.len(), 7);
    let ejected: Vec<_> = bench
        .log
        .iter()
        .filter_map(|event| match event {
            Event::Ejected { request, reason, charged } => Some((*request, reason.clone(), *charged)),
            _ => None,
        })
        .collect();
    assert_eq!(ejected, [(request(5), Eject::Failed { log: "no".to_owned() }, true)]);
}

#[test]
fn what_fails_only_on_top_of_another_names_it_and_is_not_charged() {
    let mut bench = Bench::new(limits(1, 1));
    bench.enqueue(entry(0, Priority::Normal, Timestamp(0)));
    to_the_check(&mut bench);
    bench.enqueue(entry(1, Priority::Normal, Timestamp(0)));
    let mut landed = Vec::new();
    let mut ejected = None;
    while let Some(effect) = bench.effects().first().copied() {
        let members = if effect.line.0 == 0 { Vec::new() } else { bench.members(effect) };
        let together = landed.contains(&request(0)) && members.contains(&request(1));
        let old = effect.kind == EffectKind::CheckOldBase;
        let events = bench.answer(effect, |_| old || !together);
        if effect.kind == EffectKind::Publish {
            landed.extend(members);
        }
        ejected = events.into_iter().find_map(|event| match event {
            Event::Ejected { reason, charged, .. } => Some((reason, charged)),
            _ => ejected.take(),
        });
    }
    let Some((Eject::Interaction { with, .. }, false)) = ejected else { panic!("{ejected:?}") };
    assert_eq!(with.iter().map(|partner| &partner.title[..]).collect::<Vec<_>>(), ["change 0"]);
}

#[test]
fn what_fails_also_alone_on_its_old_base_is_charged() {
    let mut bench = Bench::new(limits(1, 1));
    bench.enqueue(entry(0, Priority::Normal, Timestamp(0)));
    to_the_check(&mut bench);
    bench.enqueue(entry(1, Priority::Normal, Timestamp(0)));
    drain(&mut bench, |members| !members.contains(&request(1)));
    let charged = bench.log.iter().any(|event| matches!(event, Event::Ejected { charged: true, .. }));
    let old = bench.log.iter().any(|event| matches!(event, Event::OldBaseRecorded { .. }));
    assert!(charged && old);
}

#[test]
fn three_failures_in_a_row_bring_the_base_under_suspicion_whatever_it_passed() {
    let mut bench = Bench::new(limits(1, 1));
    (0..4).for_each(|n| bench.enqueue(entry(n, Priority::Normal, Timestamp(0))));
    let bad = |members: &[RequestId]| members.contains(&request(0));
    drain(&mut bench, |members| bad(members));
    // The first was merged, so the base was known to pass; the third failure after it asks again.
    let bases = bench.log.iter().filter(|event| matches!(event, Event::BaseRecorded { .. })).count();
    assert_eq!(bases, 1);
    let position = |of: &dyn Fn(&Event) -> bool| bench.log.iter().position(of).unwrap();
    let base = position(&|event| matches!(event, Event::BaseRecorded { .. }));
    let ejected = bench.log[..base].iter().filter(|event| matches!(event, Event::Ejected { .. })).count();
    assert_eq!(ejected, 2);
}

#[test]
fn a_target_that_somebody_mended_ends_the_pause_for_its_red_base() {
    let mut bench = Bench::new(limits(1, 1));
    bench.enqueue(entry(0, Priority::Normal, Timestamp(0)));
    let check = to_the_check(&mut bench);
    bench.report(check, verdict(false)).unwrap();
    let check = effect(&bench, EffectKind::Check);
    bench.report(check, verdict(false)).unwrap();
    let base = effect(&bench, EffectKind::CheckBase);
    bench.report(base, Report::BaseChecked(Check::Failed { log: "red".to_owned() })).unwrap();
    assert!(matches!(bench.queue.paused(), Some(QueuePause::BaseRed { .. })));
    // Another change makes it look; as long as the target is where it was, it stays paused.
    bench.enqueue(entry(1, Priority::Normal, Timestamp(0)));
    bench.hear(&Input::Seen(Some(commit(1)))).unwrap();
    assert!(bench.queue.paused().is_some());
    bench.enqueue(entry(2, Priority::Normal, Timestamp(0)));
    let mut asked = Bench { queue: bench.queue.clone(), log: Vec::new(), ..Bench::new(limits(1, 1)) };
    asked.hear(&Input::Pause(QueuePause::Person)).unwrap();
    assert!(asked.effects().is_empty(), "a person's pause does not end by itself");
    bench.hear(&Input::Seen(Some(commit(7)))).unwrap();
    assert_eq!((bench.queue.paused(), bench.queue.head()), (None, Some(commit(7))));
    assert_eq!(drain(&mut bench, |_| true).len(), 3);
}

#[test]
fn a_passed_tree_is_not_checked_again_for_a_day_and_only_in_its_environment() {
    let mut bench = Bench::new(limits(1, 1));
    bench.enqueue(entry(0, Priority::Normal, Timestamp(0)));
    let check = to_the_check(&mut bench);
    // It passes, and then is withdrawn: the verdict on the tree stays.
    let built = bench.queue.line(check.line).unwrap().candidate.unwrap();
    bench.hear(&Input::Pause(QueuePause::Person)).unwrap();
    bench.report(check, verdict(true)).unwrap();
    bench.hear(&Input::Withdraw(request(0))).unwrap();
    bench.hear(&Input::Resume).unwrap();
    let again = |bench: &mut Bench, n: u64, environment: &str| {
        let mut entry = entry(n, Priority::Normal, Timestamp(0));
        entry.gate = entry.gate.map(|gate| gate.in_environment(environment));
        bench.enqueue(entry);
        for kind in [EffectKind::Look, EffectKind::Import] {
            let effect = effect(bench, kind);
            bench.answer(effect, |_| true);
        }
        let build = effect(bench, EffectKind::Build);
        let commits = vec![Some(built.commit)];
        let events = bench.report(build, Report::Built(Build::Candidate { candidate: built, commits })).unwrap();
        bench.hear(&Input::Pause(QueuePause::Person)).unwrap();
        let reused = events.iter().any(|event| matches!(event, Event::VerdictReused { .. }));
        if reused {
            let publish = bench.queue.lines().next().unwrap().no;
            let of = bench.queue.effects(bench.now).next();
            assert_eq!((of, bench.queue.line(publish).is_some()), (None, true));
        } else {
            bench.hear(&Input::Withdraw(request(n))).unwrap();
            bench.hear(&Input::Resume).unwrap();
        }
        reused
    };
    assert!(!again(&mut bench, 1, "another compiler"));
    bench.now = bench.now.plus(Duration::from_secs(25 * 3600));
    assert!(!again(&mut bench, 2, ""), "too old");
    bench.now = Timestamp(bench.now.0 - 2 * 3_600_000);
    assert!(again(&mut bench, 3, ""));
}

#[test]
fn changes_known_to_conflict_are_never_in_one_batch_and_the_next_conflict_goes_back_at_once() {
    let mut bench = Bench::new(limits(3, 1));
    bench.enqueue(entry(0, Priority::Normal, Timestamp(0)));
    to_the_check(&mut bench);
    (1..4).for_each(|n| bench.enqueue(entry(n, Priority::Normal, Timestamp(0))));
    let predict = effect(&bench, EffectKind::Predict);
    let of = bench.queue.to_predict().0.iter().map(|change| change.request).collect();
    let clashes = vec![(request(1), request(2))];
    bench.report(predict, Report::Predicted { of, clashes, off: vec![request(3)] }).unwrap();
    // While the check still runs, what conflicts with the target is built, and goes back.
    let try_it = effect(&bench, EffectKind::Try);
    let conflict = Build::Conflict { request: request(3), paths: vec!["a".to_owned()], hunks: "<<<".to_owned() };
    let events = bench.report(try_it, Report::Tried(request(3), conflict)).unwrap();
    assert!(
        matches!(&events[..], [Event::Ejected { reason: Eject::Conflict { .. }, charged: false, .. }]),
        "{events:?}"
    );
    drain(&mut bench, |_| true);
    let batches: Vec<usize> = bench
        .log
        .iter()
        .filter_map(|event| match event {
            Event::BatchFormed { members, .. } => Some(members.len()),
            _ => None,
        })
        .collect();
    assert_eq!(batches, [1, 1, 1]);
}

#[test]
fn a_member_that_conflicts_with_its_batch_leaves_it_and_is_named_once_the_others_are_in() {
    let mut bench = Bench::new(limits(2, 1));
    bench.hear(&Input::Pause(QueuePause::Person)).unwrap();
    (0..2).for_each(|n| bench.enqueue(entry(n, Priority::Normal, Timestamp(0))));
    bench.hear(&Input::Resume).unwrap();
    let conflict =
        |n| Report::Built(Build::Conflict { request: request(n), paths: vec!["a".to_owned()], hunks: String::new() });
    for kind in [EffectKind::Look, EffectKind::Import] {
        let effect = effect(&bench, kind);
        bench.answer(effect, |_| true);
    }
    let build = effect(&bench, EffectKind::Build);
    assert_eq!(bench.members(build).len(), 2);
    let events = bench.report(build, conflict(1)).unwrap();
    assert!(matches!(&events[0], Event::LeftOut { .. }), "{events:?}");
    for kind in [EffectKind::Import, EffectKind::Build, EffectKind::Check, EffectKind::Publish, EffectKind::Import] {
        let effect = effect(&bench, kind);
        bench.answer(effect, |_| true);
    }
    let build = effect(&bench, EffectKind::Build);
    let events = bench.report(build, conflict(1)).unwrap();
    let Event::Ejected { reason: Eject::Conflict { with, .. }, .. } = &events[0] else { panic!("{events:?}") };
    assert_eq!(with.len(), 1);
    assert_eq!(with[0].request, request(0));
}

#[test]
fn speculation_stacks_candidates_and_only_the_first_is_published() {
    let mut bench = Bench::new(limits(1, 3));
    (0..5).for_each(|n| bench.enqueue(entry(n, Priority::Normal, Timestamp(0))));
    // One at first; one more after each pass.
    let merged = drain(&mut bench, |_| true);
    assert_eq!(merged, [0, 1, 2, 3, 4].map(request));
    let bases: Vec<_> = bench
        .log
        .iter()
        .filter_map(|event| match event {
            Event::BatchFormed { line, .. } => Some(format!("formed {}", line.0)),
            Event::Merged { line, .. } => Some(format!("merged {}", line.0)),
            _ => None,
        })
        .collect();
    assert_eq!(bases[..2], ["formed 1", "merged 1"]);
    let third = bases.iter().position(|what| what == "formed 3").unwrap();
    let second = bases.iter().position(|what| what == "merged 2").unwrap();
    assert!(third < second, "the third is in the works before the second is merged: {bases:?}");
}

#[test]
fn what_is_stacked_on_a_failure_is_built_anew() {
    let mut bench = Bench::new(limits(1, 2));
    (0..4).for_each(|n| bench.enqueue(entry(n, Priority::Normal, Timestamp(0))));
    let merged = drain(&mut bench, |members| !members.contains(&request(2)));
    assert_eq!(merged, [0, 1, 3].map(request));
}

#[test]
fn what_the_disk_lost_with_the_power_is_published_again() {
    let merged = || {
        let mut bench = Bench::new(limits(1, 1));
        bench.enqueue(entry(0, Priority::Normal, Timestamp(0)));
        drain(&mut bench, |_| true);
        bench
    };
    let state = |head, contains| TargetState { head, contains, was_there: false };
    let mut bench = merged();
    let last = bench.queue.last_merged().unwrap();
    let looked = Input::Inspected { state: state(Some(last.base), false), rebooted: true };
    bench.hear(&looked).unwrap();
    let publish = effect(&bench, EffectKind::Publish);
    assert_eq!(bench.queue.line(publish.line).unwrap().candidate, Some(last));
    bench.report(publish, Report::Published).unwrap();
    assert_eq!((bench.queue.head(), bench.queue.paused()), (Some(last.commit), None));
    // Without a new start of the machine, somebody moved it.
    let mut bench = merged();
    bench.hear(&Input::Inspected { state: state(Some(last.base), false), rebooted: false }).unwrap();
    assert!(matches!(bench.queue.paused(), Some(QueuePause::Rewound { commit }) if *commit == last.commit));
    bench.hear(&Input::Resume).unwrap();
    bench.enqueue(entry(1, Priority::Normal, Timestamp(0)));
    bench.hear(&Input::Seen(Some(last.base))).unwrap();
    assert_eq!(bench.queue.head(), Some(last.base), "a person said to go on from there");
    // As it should be.
    let mut bench = merged();
    assert_eq!(bench.hear(&Input::Inspected { state: state(Some(last.commit), true), rebooted: true }).unwrap(), []);
}

#[test]
fn what_was_on_the_target_and_was_taken_away_is_not_published_a_second_time() {
    let mut bench = Bench::new(limits(1, 1));
    bench.enqueue(entry(0, Priority::Normal, Timestamp(0)));
    let check = to_the_check(&mut bench);
    bench.report(check, verdict(true)).unwrap();
    let publish = effect(&bench, EffectKind::Publish);
    for head in [commit(1), commit(9)] {
        let mut bench = Bench { queue: bench.queue.clone(), log: Vec::new(), ..Bench::new(limits(1, 1)) };
        let state = TargetState { head: Some(head), contains: false, was_there: true };
        let events = bench.report(publish, Report::Moved(state)).unwrap();
        assert!(matches!(&events[..], [Event::Ejected { reason: Eject::Rewound, charged: false, .. }]), "{events:?}");
    }
}
