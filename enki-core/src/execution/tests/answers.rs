//! What an execution makes of a report or a command in a state in which it seldom comes.

use super::*;
use crate::budget::{Budget, BudgetOf, Unit};

fn stale(result: &Result<Vec<Event>, Rejected>) -> bool {
    matches!(result, Err(Rejected::Stale { .. }))
}

#[test]
fn a_branch_is_opened_once_and_not_after_the_end() {
    let mut execution = closed(&[plain("a")]);
    cancel(&mut execution, None).unwrap();
    assert_eq!(execution.ended, Some(EndStatus::Cancelled));
    assert!(stale(&report(&mut execution, Report::Opened(commit(1)))));
}

#[test]
fn what_others_are_is_news_only_if_it_is_new_and_counts_only_before_the_end() {
    let mut execution = open(&[step("a", json!({"needs": [{"task": "x"}]}))]);
    let news = |state| Report::Need { external: 0, state };
    let told = report(&mut execution, news(NeedState::Started)).unwrap();
    assert_eq!(told, [Event::NeedChanged { external: 0, state: NeedState::Started }]);
    assert_eq!(report(&mut execution, news(NeedState::Started)), Ok(vec![]));
    assert!(matches!(
        report(&mut execution, Report::Need { external: 7, state: NeedState::Dead }),
        Err(Rejected::NotFound(_))
    ));
    cancel(&mut execution, None).unwrap();
    assert_eq!(report(&mut execution, news(NeedState::Dead)), Ok(vec![]));
}

#[test]
fn a_longer_wait_for_a_service_is_recorded_and_a_shorter_one_is_known() {
    let wait = |until| Report::ServiceWaits(Pool::Worker, ServiceWait { until: Timestamp(until), why: "busy".into() });
    let mut execution = open(&[plain("a")]);
    assert_eq!(report(&mut execution, wait(10)).unwrap().len(), 1);
    assert_eq!([9, 10].map(|until| report(&mut execution, wait(until)).unwrap().len()), [0, 0]);
    assert_eq!(report(&mut execution, wait(11)).unwrap().len(), 1);
    cancel(&mut execution, None).unwrap();
    assert_eq!(report(&mut execution, wait(12)), Ok(vec![]), "nobody waits any more");
}

#[test]
fn a_landing_that_something_was_in_the_way_of_is_tried_at_the_next_start_while_it_is_wanted() {
    let mut execution = open(&[plain("a"), plain("b")]);
    execution.land = Land::Each;
    merged(&mut execution, A, 50);
    let flight = execution.landing.in_flight.unwrap();
    assert_eq!(flight.request, RequestId::of(execution.id, None, 1));
    let reason = Refusal::Blocked { reason: "in use".into(), command: "git stash".into() };
    report(&mut execution, Report::Refused { request: flight.request, reason }).unwrap();
    assert!(execution.landing.free_later);
    let taken_up = |spoil: &dyn Fn(&mut Execution)| {
        let mut execution = execution.clone();
        spoil(&mut execution);
        execution.decide(&Input::Report(Report::TakenUp), NOW, &Limits::default()).unwrap()
    };
    let [Event::LandingRequested { request, .. }] = taken_up(&|_| {})[..] else { panic!("it asks again") };
    assert_eq!(request, RequestId::of(execution.id, None, 2));
    assert_eq!(taken_up(&|e| e.ended = Some(EndStatus::Failed)), []);
    assert_eq!(taken_up(&|e| e.cancelling = true), []);
    assert_eq!(taken_up(&|e| e.landing.free_later = false), []);
}

/// A step that is reviewed and promises something, so that even an empty change is looked at.
fn promising(role: &str) -> Value {
    step("a", json!({"review": "code", "role": role, "acceptance": ["it is fast"]}))
}

#[test]
fn a_step_that_passes_without_a_change_of_its_own_is_done_as_its_role_says() {
    for (role, outcome, kind) in
        [("engineer", Outcome::NoChange, DoneKind::NoChanges), ("researcher", Outcome::Artifact, DoneKind::Artifact)]
    {
        let mut execution = open(&[promising(role)]);
        attempt(&mut execution, A, outcome);
        let passed = crate::verdict::Verdict::of(crate::verdict::Gate::Pass);
        attempt(&mut execution, A, Outcome::Reviewed(passed));
        assert_eq!(execution.step(A).state, StepState::Done(kind));
    }
}

#[test]
fn a_next_attempt_is_told_what_a_policy_refused_and_nothing_that_is_settled() {
    let mut execution = open(&[step("a", json!({"review": "code"}))]);
    attempt(&mut execution, A, Outcome::Policy { reason: "too large".into() });
    assert_eq!(execution.step(A).findings.as_deref(), Some("too large"));
    execution.timers.clear();
    execution.apply(&Event::AttemptStarted {
        step: A,
        attempt: AttemptNo(2),
        purpose: Purpose::Work,
        start: Start::Fresh { base: commit(1) },
        sandbox: None,
    });
    end(&mut execution, A, changed(41));
    assert_eq!(execution.step(A).findings, None, "a review judges what is there");
}

fn wont(result: Result<Vec<Event>, Rejected>) -> String {
    match result {
        Err(Rejected::InvalidState { state, .. }) => state,
        other => panic!("{other:?}"),
    }
}

fn retry(execution: &mut Execution, step: StepIx) -> Result<Vec<Event>, Rejected> {
    command(execution, Command::Retry { step, mode: None, note: None })
}

fn accept(execution: &mut Execution, step: StepIx) -> Result<Vec<Event>, Rejected> {
    command(execution, Command::Accept { step, by: "me".into(), why: "good enough".into() })
}

#[test]
fn a_failed_step_is_cancelled_also_after_the_end_and_a_done_one_never() {
    let mut execution = open(&[plain("a")]);
    attempt(&mut execution, A, declined());
    assert_eq!(execution.ended, Some(EndStatus::Failed));
    assert_eq!(cancel(&mut execution.clone(), Some(A)).unwrap(), [Event::StepCancelled { step: A }]);
    for status in [EndStatus::Done, EndStatus::Cancelled] {
        execution.ended = Some(status);
        assert_eq!(
            execution.decide(
                &Input::Command(Command::Cancel { step: Some(A), committing: vec![] }),
                NOW,
                &Limits::default()
            ),
            Ok(vec![])
        );
    }
}

/// A step that escalated, of a plan with one that it needs.
fn escalated() -> Execution {
    let mut execution =
        open(&[plain("a"), step("b", json!({"needs": [{"step": "a", "condition": "started"}], "review": "code"}))]);
    let attempt_of_a = start(&mut execution, A);
    report(&mut execution, Report::Live { step: A, attempt: attempt_of_a, session: None }).unwrap();
    attempt(&mut execution, B, Outcome::Changed);
    let failed = crate::verdict::Verdict::of(crate::verdict::Gate::Fail);
    attempt(&mut execution, B, Outcome::Reviewed(failed));
    assert!(matches!(execution.step(B).state, StepState::Failed(FailReason::Escalated(_))));
    execution
}

#[test]
fn what_failed_is_not_tried_again_or_taken_where_all_is_cancelled_or_what_it_needs_failed() {
    let of = |spoil: &dyn Fn(&mut Execution)| {
        let mut execution = escalated();
        spoil(&mut execution);
        let ask = |input: Command| execution.decide(&Input::Command(input), NOW, &Limits::default());
        [
            ask(Command::Retry { step: B, mode: None, note: None }),
            ask(Command::Accept { step: B, by: "me".into(), why: "good enough".into() }),
        ]
    };
    assert!(of(&|_| {}).iter().all(Result::is_ok));
    assert!(of(&|e| e.ended = Some(EndStatus::Failed)).iter().all(Result::is_ok));
    for result in of(&|e| e.cancelling = true).into_iter().chain(of(&|e| e.ended = Some(EndStatus::Done))) {
        assert!(wont(result).starts_with("the execution is"));
    }
    for result in of(&|e| drop(end(e, A, AttemptEnd::new(declined())))) {
        assert_eq!(wont(result), "step b needs a; retry that first");
    }
}

#[test]
fn what_blocks_a_step_is_named_of_the_same_plan_or_another() {
    let mut execution = open(&[plain("a"), plain("b"), step("c", json!({"needs": ["a", "b", {"task": "x"}]}))]);
    let blocked = |execution: &mut Execution| wont(retry(execution, StepIx(2)));
    attempt(&mut execution, A, declined());
    assert_eq!(blocked(&mut execution), "step c is blocked by a; retry that");
    report(&mut execution, Report::Need { external: 0, state: NeedState::Dead }).unwrap();
    assert_eq!(blocked(&mut execution), format!("step c is blocked by a, {}; retry that", ExecutionId::new(2)));
    report(&mut execution, Report::Need { external: 0, state: NeedState::Landed }).unwrap();
    assert_eq!(blocked(&mut execution), "step c is blocked by a; retry that");
}

#[test]
fn an_artifact_is_taken_as_it_is_and_nothing_is_not() {
    for (role, outcome, taken) in [("researcher", Outcome::Artifact, true), ("engineer", Outcome::NoChange, false)] {
        let mut execution = open(&[promising(role)]);
        attempt(&mut execution, A, outcome);
        let failed = crate::verdict::Verdict::of(crate::verdict::Gate::Fail);
        attempt(&mut execution, A, Outcome::Reviewed(failed));
        let result = accept(&mut execution, A);
        assert_eq!(result.is_ok(), taken, "{result:?}");
        assert_eq!(execution.step(A).state == StepState::Done(DoneKind::Artifact), taken);
    }
}

#[test]
fn what_is_cancelled_ends_once_nothing_of_it_is_committed_any_more() {
    let mut execution = open(&[plain("a"), plain("b"), plain("c")]);
    attempt(&mut execution, A, Outcome::NoChange);
    attempt(&mut execution, B, Outcome::Changed);
    let request = request(&execution, B);
    command(&mut execution, Command::Cancel { step: None, committing: vec![request] }).unwrap();
    assert_eq!(execution.ended, None);
    report(&mut execution, Report::Merged { request, commit: commit(50) }).unwrap();
    assert_eq!(execution.ended, Some(EndStatus::Cancelled));
}

#[test]
fn an_execution_whose_steps_were_all_cancelled_is_not_done() {
    let mut execution = open(&[plain("a"), plain("b")]);
    cancel(&mut execution, Some(A)).unwrap();
    assert_eq!(execution.ended, None);
    cancel(&mut execution, Some(B)).unwrap();
    assert_eq!(execution.ended, Some(EndStatus::Cancelled));
    let mut landing = open(&[plain("a")]);
    landing.apply(&Event::StepCancelled { step: A });
    landing.head = Some(commit(9));
    assert!(landing.settle(NOW).is_empty(), "what it has is to land first");
}

#[test]
fn holds_that_open_together_have_numbers_of_their_own() {
    let checkpoint = json!({"checkpoint": true});
    let mut execution = open(&[step("a", checkpoint.clone()), step("b", checkpoint), plain("c")]);
    let budget = Budget { tokens: Some(10), cost_micro_usd: None };
    execution.apply(&Event::BudgetSet { of: BudgetOf::Execution, budget });
    let landing_step = execution.landing_step();
    let merge = LandingMerge { onto: commit(1), tip: commit(2), paths: vec![], merges: 0 };
    execution.add_landing_step(&landing_step, merge, "", &mut Touched::default());
    execution.apply(&Event::StepCancelled { step: StepIx(3) });
    execution.due_checkpoints.extend([A, B]);
    (execution.steps[0].usage.input_tokens, execution.usage.input_tokens) = (10, 10);
    let held = execution.settle(NOW);
    let numbers: Vec<u32> = held
        .iter()
        .map(|event| match event {
            Event::HoldOpened { hold, .. } => hold.0,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
}

#[test]
fn a_change_that_asks_again_does_so_under_a_new_name() {
    let mut execution = open(&[plain("a"), plain("b")]);
    attempt(&mut execution, A, Outcome::Changed);
    let first = request(&execution, A);
    clashed(&mut execution, A);
    merged(&mut execution, B, 51);
    let again = request(&execution, A);
    assert_eq!(first, RequestId::of(execution.id, Some(A), 1));
    assert_eq!(again, RequestId::of(execution.id, Some(A), 2));
}

#[test]
fn conflicts_are_resolved_in_the_order_in_which_they_were_refused() {
    let mut execution = open(&[plain("a"), plain("b")]);
    for ix in [A, B] {
        attempt(&mut execution, ix, Outcome::Changed);
    }
    for ix in [B, A] {
        clashed(&mut execution, ix);
    }
    let places: Vec<_> = [B, A].map(|ix| execution.step(ix).waits_for_turn()).into();
    assert_eq!(places, [Some(1), Some(2)]);
    assert_eq!(execution.resolver(), Some(B));
    command(&mut execution, Command::Pause(Some(B))).unwrap();
    assert_eq!((execution.step(B).waits_for_turn(), execution.resolver()), (None, Some(A)));
}

#[test]
fn a_step_with_a_conflict_that_is_not_ready_waits_for_no_turn() {
    let mut execution = open(&[plain("a")]);
    attempt(&mut execution, A, Outcome::Changed);
    clashed(&mut execution, A);
    let mut step = execution.step(A).clone();
    step.state = StepState::Pending;
    assert_eq!(step.waits_for_turn(), Some(1));
    for (unmet, dead) in [(1, 0), (0, 1)] {
        (step.unmet, step.dead) = (unmet, dead);
        assert_eq!(step.waits_for_turn(), None);
    }
}

#[test]
fn a_log_that_adds_steps_which_do_not_fit_is_refused_by_name_and_not_taken_up() {
    let execution = open(&[plain("a")]);
    let mut again = execution.plan().step(A).clone();
    let nowhere = crate::plan::NeedOn::Step(StepIx(9));
    again.needs = [crate::plan::Need { on: nowhere, condition: Condition::Merged }].into();
    let bad = [
        Event::StepsAdded { steps: vec![again.clone()] },
        Event::LandingResolution {
            step: Box::new(again),
            onto: commit(1),
            tip: commit(2),
            paths: vec![],
            findings: String::new(),
        },
    ];
    for (event, name) in bad.iter().zip(["StepsAdded", "LandingResolution"]) {
        assert!(execution.fits(event).unwrap_err().starts_with(name));
        let mut same = execution.clone();
        same.apply(event);
        assert!(same == execution, "{name}");
    }
}

#[test]
fn a_retry_that_continues_keeps_what_was_done_and_a_fresh_one_only_what_it_cost() {
    let mut execution = open(&[step("a", json!({"review": "code"}))]);
    let started = start(&mut execution, A);
    let usage = crate::agent::Usage { input_tokens: 5, ..Default::default() };
    report(&mut execution, Report::Spent { step: A, attempt: started, usage }).unwrap();
    let mut work = changed(40);
    (work.usage, work.files) = (usage, vec!["src/a.rs".into()]);
    end(&mut execution, A, work);
    let failed = crate::verdict::Verdict::of(crate::verdict::Gate::Fail).saying("it panics");
    attempt(&mut execution, A, Outcome::Reviewed(failed));
    command(&mut execution, Command::Pause(Some(A))).ok();
    execution.steps[0].paused = true;
    execution.steps[0].has_artifact = true;
    execution.steps[0].findings = Some("it panics".into());
    let after = |mode, note: Option<&str>| {
        let mut execution = execution.clone();
        execution.apply(&Event::StepRetried { step: A, mode, note: note.map(str::to_owned) });
        execution.step(A).clone()
    };
    let goes_on = after(RetryMode::Continue, Some("look again"));
    assert_eq!(goes_on.findings.as_deref(), Some("it panics"));
    assert_eq!(goes_on.note.as_deref(), Some("look again"));
    assert_eq!(goes_on.files, BTreeSet::from(["src/a.rs".into()]));
    assert!(goes_on.has_artifact && goes_on.paused && goes_on.work.is_some());
    assert_eq!((goes_on.attempts, goes_on.usage), (2, usage));
    let afresh = after(RetryMode::Fresh, None);
    assert_eq!((afresh.work, afresh.findings, afresh.note), (None, None, None));
    assert!(afresh.files.is_empty() && !afresh.has_artifact && afresh.paused);
    assert_eq!((afresh.attempts, afresh.usage), (2, usage));
}

#[test]
fn steps_whose_needs_are_there_or_dead_when_they_come_count_them_so() {
    let mut execution = open(&[plain("a"), plain("b")]);
    merged(&mut execution, A, 50);
    let mut step = execution.plan().step(B).clone();
    step.id = "c".parse().unwrap();
    let needs = |on| crate::plan::Need { on: crate::plan::NeedOn::Step(on), condition: Condition::Merged };
    step.needs = [needs(A), needs(B)].into();
    let mut below = step.clone();
    (below.id, below.needs) = ("d".parse().unwrap(), [needs(StepIx(2))].into());
    execution.apply(&Event::StepsAdded { steps: vec![step.clone(), below.clone()] });
    let counted = |execution: &Execution, ix| (execution.step(ix).unmet, execution.step(ix).dead);
    assert_eq!([2, 3].map(|n| counted(&execution, StepIx(n))), [(1, 0), (1, 0)]);
    execution.apply(&Event::StepCancelled { step: B });
    (step.id, step.needs) = ("e".parse().unwrap(), [needs(StepIx(2))].into());
    (below.id, below.needs) = ("f".parse().unwrap(), [needs(StepIx(4))].into());
    execution.apply(&Event::StepsAdded { steps: vec![step, below] });
    assert_eq!([2, 3, 4, 5].map(|n| counted(&execution, StepIx(n))), [(1, 1); 4]);
    assert_eq!(invariants::check(&execution, &Limits::default()), Ok(()));
}

#[test]
fn use_is_recorded_once_it_moved_a_budget_by_a_hundredth_or_used_it_up() {
    let mut execution = open(&[plain("a"), plain("b")]);
    let budget = Budget { tokens: Some(1000), cost_micro_usd: None };
    execution.apply(&Event::BudgetSet { of: BudgetOf::Step(A), budget });
    let started = start(&mut execution, A);
    let mut spends = |tokens| {
        let usage = crate::agent::Usage { input_tokens: tokens, ..Default::default() };
        !report(&mut execution, Report::Spent { step: A, attempt: started, usage }).unwrap().is_empty()
    };
    assert_eq!([0, 9, 10, 19, 20].map(&mut spends), [false, false, true, false, true]);
    assert_eq!([990, 999, 1000].map(&mut spends), [true, false, true], "it is used up");
    assert_eq!([1000, 1005].map(&mut spends), [false, true], "what is beyond it is all recorded");
    assert!(execution.spent(BudgetOf::Step(A)).all(|spent| spent.unit == Unit::Tokens));
}

#[test]
fn agents_are_wanted_while_something_is_not_merely_blocked_runs_or_resolves() {
    let mut execution = open(&[plain("a"), after("b", "a")]);
    assert!(execution.wants_agents());
    start(&mut execution, A);
    execution.counts.blocked = execution.counts.pending;
    assert!(execution.wants_agents(), "one runs");
    execution.counts.blocked = 0;
    end(&mut execution, A, AttemptEnd::new(declined()));
    assert!(!execution.wants_agents(), "what is left is blocked");
    execution.landing.resolver = Some(A);
    assert!(execution.wants_agents());
}

#[test]
fn what_a_budget_ended_is_gone_on_with_if_it_left_work() {
    let mut execution = open(&[plain("a")]);
    start(&mut execution, A);
    let over = AttemptEnd { work: changed(40).work, ..AttemptEnd::new(Outcome::OverBudget) };
    assert!(execution.goes_on_with(A, &over));
    assert!(!execution.goes_on_with(A, &AttemptEnd::new(Outcome::OverBudget)));
    assert!(!execution.goes_on_with(A, &changed(40)));
    end(&mut execution, A, changed(40));
    assert!(!execution.goes_on_with(A, &over), "nothing runs");
}

#[test]
fn the_first_wait_after_a_failure_is_the_same_whatever_failed() {
    let waits = [Outcome::TimedOut, Outcome::NotStarted { reason: "no such program".into() }].map(|outcome| {
        let mut execution = open(&[plain("a")]);
        attempt(&mut execution, A, outcome);
        execution.next_deadline(NOW).expect("it is tried again")
    });
    assert_eq!(waits[0], waits[1]);
}

/// W10: the time that was asked for is the time that it gets.
#[test]
fn a_task_of_a_note_that_took_too_long_is_not_tried_again_by_itself() {
    let ended = |origin: &str, outcome| {
        let mut execution = open(&[plain("a")]);
        execution.origin = origin.to_owned();
        attempt(&mut execution, A, outcome);
        execution.ended
    };
    assert_eq!(ended("note(docs/log/task/task-1.md)", Outcome::TimedOut), Some(EndStatus::Failed));
    assert_eq!(ended("note(docs/log/task/task-1.md)", Outcome::Lost), None, "what was lost is");
    assert_eq!(ended("cli", Outcome::TimedOut), None, "and so is any other step");
}

#[test]
fn an_attempt_that_leaves_the_tree_that_it_found_changed_nothing() {
    let custom = r#"{"initial": "working", "max_moves": 9, "max_fixes": 2, "states": {
        "working": {"does": "work", "to": [{"when": "unchanged", "state": "judging"}, {"state": "testing"}]},
        "testing": {"does": "review", "to": [{"when": "pass", "state": "judging"}, {"when": "revise", "state": "working"}]},
        "judging": {"does": "review", "to": [{"when": "pass", "state": "complete"}, {"when": "revise", "state": "working"}]}}}"#;
    let custom: crate::review::CustomSpec = serde_json::from_str(custom).unwrap();
    let mut execution = open(&[plain("a")]);
    let mut step = execution.plan().step(A).clone();
    (step.id, step.review) = ("b".parse().unwrap(), Some(custom.check("own").unwrap().into()));
    execution.apply(&Event::StepsAdded { steps: vec![step] });
    let mut leads = |n| {
        start(&mut execution, B);
        end(&mut execution, B, changed(n));
        let review = execution.plan().step(B).review.as_ref().unwrap();
        let at = review.state(execution.step(B).course.at).name.to_string();
        let revise = crate::verdict::Verdict::of(crate::verdict::Gate::Revise).saying(format!("not {n} {at}"));
        attempt(&mut execution, B, Outcome::Reviewed(revise));
        at
    };
    assert_eq!([40, 40, 41].map(&mut leads), ["testing", "judging", "testing"]);
}

#[test]
fn a_landing_is_tried_and_resolved_boundedly_often() {
    let limits = Limits::default();
    let mut execution = open(&[plain("a")]);
    merged(&mut execution, A, 50);
    let flight = execution.landing.in_flight.unwrap();
    let reason = Refusal::Blocked { reason: "in use".into(), command: "git stash".into() };
    for (refusals, again) in [(limits.landing_tries - 1, true), (limits.landing_tries, false)] {
        execution.landing.refusals = refusals;
        let events = execution.landing_refused(flight, &reason, NOW, &limits);
        let tried = events.iter().any(|event| matches!(event, Event::LandingRefused { again: Some(_), .. }));
        assert_eq!(tried, again, "{events:?}");
    }
    assert!(execution.may_resolve_landing(&limits));
    assert!(
        !execution.may_resolve_landing(&Limits { max_steps: 1, ..Limits::default() }),
        "there is no room for a step"
    );
    execution.landing.resolutions = limits.resolutions;
    assert!(!execution.may_resolve_landing(&limits));
}

#[test]
fn the_step_that_resolves_a_landing_says_what_it_is_for_and_is_as_urgent_as_the_plan() {
    let mut execution = Execution::new(&submitted(json!({"priority": "high", "steps": [plain("a")]})));
    let step = execution.landing_step();
    assert_eq!(step.priority, execution.plan().priority);
    assert_ne!(step.priority, Step::default().priority);
    assert!(step.description.contains("main"), "{}", step.description);
    let merge = LandingMerge { onto: commit(1), tip: commit(2), paths: vec![], merges: 0 };
    execution.add_landing_step(&step, merge, "", &mut Touched::default());
    assert_eq!([A, B].map(|ix| execution.next_purpose(ix)), [Purpose::Work, Purpose::Resolve]);
}

#[test]
fn as_many_paths_of_a_capture_are_kept_as_may_be_stored() {
    let mut end = AttemptEnd::new(Outcome::Changed);
    end.keep_files((0..17).map(|n| format!("{n:01024}")).collect());
    assert_eq!(end.files.len(), 16);
}

#[test]
fn only_work_beside_which_the_repository_was_changed_is_a_persons() {
    let tampered = || Outcome::Tampered { what: vec!["HEAD".into()] };
    assert!(AttemptEnd { work: changed(40).work, ..AttemptEnd::new(tampered()) }.is_tampered_work());
    assert!(!AttemptEnd::new(tampered()).is_tampered_work(), "there is none");
    assert!(!changed(40).is_tampered_work());
}

#[test]
fn a_retry_leaves_what_a_step_needs_as_it_stands() {
    let started = json!({"needs": [{"step": "a", "condition": "started"}]});
    let mut execution = open(&[plain("a"), step("b", started), plain("c")]);
    let attempt_of_a = start(&mut execution, A);
    report(&mut execution, Report::Live { step: A, attempt: attempt_of_a, session: None }).unwrap();
    attempt(&mut execution, B, declined());
    end(&mut execution, A, AttemptEnd::new(declined()));
    let again = |execution: &mut Execution, step| {
        execution.apply(&Event::StepRetried { step, mode: RetryMode::Fresh, note: None });
        invariants::check(execution, &Limits::default()).unwrap();
    };
    let mut dead = execution.clone();
    again(&mut dead, B);
    assert_eq!((dead.step(B).dead, dead.word(B)), (1, "blocked"));
    again(&mut execution, A);
    again(&mut execution, B);
    assert_eq!((execution.step(B).unmet, execution.word(B)), (1, "pending"));
}
