//! A state that breaks an invariant is noticed.

use super::*;
use crate::budget::{Budget, BudgetOf};

/// A step at work, one that waits for it, and one whose next attempt is wanted.
fn good() -> Execution {
    let mut execution = open(&[plain("a"), after("b", "a"), step("c", json!({"review": "code"}))]);
    start(&mut execution, A);
    attempt(&mut execution, StepIx(2), Outcome::Changed);
    assert_eq!(invariants::check(&execution, &Limits::default()), Ok(()));
    execution
}

/// What is said of an execution that was spoiled so.
fn spoiled(how: impl FnOnce(&mut Execution)) -> String {
    let mut execution = good();
    how(&mut execution);
    invariants::check(&execution, &Limits::default()).expect_err("it is noticed")
}

#[test]
fn what_is_kept_apart_from_the_steps_agrees_with_them() {
    assert!(spoiled(|e| e.steps[1].unmet = 0).contains("I2"));
    assert!(spoiled(|e| e.steps[1].dead = 1).contains("I2"));
    assert!(spoiled(|e| e.ready.extend([B])).contains("the ready set"));
    assert!(spoiled(|e| e.active.clear()).contains("the active set"));
    assert!(spoiled(|e| e.counts.blocked += 1).contains("the counts"));
    assert!(spoiled(|e| e.timers.extend([(NOW, A)])).contains("timers of step 0"));
    assert!(spoiled(|e| e.clashes.extend([(1, A)])).contains("waits at place"));
    assert!(spoiled(|e| e.turn = Some(B)).contains("the turn of step b"));
    assert!(spoiled(|e| e.usage.input_tokens = 1).contains("the execution used"));
}

#[test]
fn nothing_is_in_the_works_once_it_has_ended() {
    assert!(spoiled(|e| e.ended = Some(EndStatus::Failed)).contains("I8"));
    let mut merging = open(&[plain("a")]);
    attempt(&mut merging, A, Outcome::Changed);
    merging.ended = Some(EndStatus::Done);
    assert!(invariants::check(&merging, &Limits::default()).unwrap_err().contains("I8"));
}

#[test]
fn each_budget_of_a_chain_is_bounded() {
    let limits = Limits::default();
    let over = |how: &dyn Fn(&mut crate::chain::Course)| {
        let said = spoiled(|e| how(&mut e.steps[2].course));
        assert!(said.contains("I5: step c"), "{said}");
    };
    over(&|course| course.fixes = 100);
    over(&|course| course.moves = 1000);
    over(&|course| course.infra = limits.infra_retries + 1);
    over(&|course| course.resolutions = limits.resolutions + 1);
    over(&|course| course.voids = 2);
}

#[test]
fn nothing_is_handed_in_that_no_review_saw() {
    let said = spoiled(|e| {
        let mut execution = good();
        let passed = crate::verdict::Verdict::of(crate::verdict::Gate::Pass);
        attempt(&mut execution, StepIx(2), Outcome::Reviewed(passed));
        assert_eq!(invariants::check(&execution, &Limits::default()), Ok(()));
        execution.steps[2].work.as_mut().unwrap().tree = tree(99);
        *e = execution;
    });
    assert!(said.contains("S8"), "{said}");
}

#[test]
fn a_landing_is_resolved_by_the_one_step_that_is_for_it() {
    assert!(spoiled(|e| e.landing.resolver = Some(A)).contains("a landing is resolved by [], not by"));
    assert!(spoiled(|e| e.landing.resolutions = 100).contains("I5"));
    let resolving = || {
        let mut execution = good();
        let step = execution.landing_step();
        let merge = LandingMerge { onto: commit(1), tip: commit(2), paths: vec![], merges: 0 };
        execution.add_landing_step(&step, merge, "", &mut Touched::default());
        assert_eq!(invariants::check(&execution, &Limits::default()), Ok(()));
        execution
    };
    let offer = landing::Offer { tip: commit(2), commit: commit(2), merges: 0 };
    let mut resolved = resolving();
    resolved.landing.resolved = Some(offer);
    assert!(invariants::check(&resolved, &Limits::default()).unwrap_err().contains("while another one goes on"));
    let mut asked = resolving();
    asked.landing.in_flight = Some(landing::Flight { request: RequestId::of(asked.id, None, 1), offer });
    assert!(invariants::check(&asked, &Limits::default()).unwrap_err().contains("while another one goes on"));
}

#[test]
fn what_used_up_its_budget_is_held_while_it_goes_on() {
    let used_up = |e: &mut Execution| {
        let limit = Budget { tokens: Some(10), cost_micro_usd: None };
        e.apply(&Event::BudgetSet { of: BudgetOf::Execution, budget: limit });
        (e.steps[0].usage.input_tokens, e.usage.input_tokens) = (10, 10);
    };
    assert!(spoiled(used_up).contains("held for its budget: false"));
    assert!(spoiled(|e| e.holds.extend([(HoldNo(1), HoldReason::Budget)])).contains("held for its budget: true"));
    let mut waiting = open(&[plain("a")]);
    used_up(&mut waiting);
    for (ended, cancelling) in [(Some(EndStatus::Failed), false), (None, true)] {
        (waiting.ended, waiting.cancelling) = (ended, cancelling);
        assert_eq!(invariants::check(&waiting, &Limits::default()), Ok(()), "{ended:?}: nothing more is started");
    }
}
