//! What an outside coordinator is told of a chain.

use super::*;
use crate::chain::{Escalation, wid};
use crate::gv::{Directive, Spawned};
use crate::verdict::{Gate, Verdict};

fn told(execution: &Execution, events: &[Event]) -> Vec<Directive> {
    events.iter().filter_map(|event| execution.directive(event)).collect()
}

/// One attempt that ends like that; what is told then.
fn after_attempt(execution: &mut Execution, outcome: Outcome) -> Vec<Directive> {
    let events = attempt(execution, A, outcome);
    told(execution, &events)
}

fn spawn(execution: &Execution, kind: Spawned, task: &str) -> Directive {
    Directive::spawn(wid(execution.task(A), execution.step(A).course.number), kind, task)
}

fn complete(execution: &Execution, number: u32) -> Directive {
    Directive::Complete { wid: wid(execution.task(A), number) }
}

fn verdict(gate: Gate, score: f32) -> Outcome {
    Outcome::Reviewed(Verdict { score: Some(score), ..Verdict::of(gate) })
}

#[test]
fn each_attempt_that_a_chain_wants_is_told_and_its_end() {
    let mut execution = open(&[step("a", json!({"review": {"max_fixes": 2}}))]);
    let review = [spawn(&execution, Spawned::Reviewer, "Review step a: a")];
    assert_eq!(after_attempt(&mut execution, Outcome::Changed), review);
    let fix = spawn(&execution, Spawned::Engineer, "Fix step a: a (fix 1 of 2)");
    assert_eq!(after_attempt(&mut execution, verdict(Gate::Revise, 5.0)), [fix]);
    start(&mut execution, A);
    let events = end(&mut execution, A, changed(41));
    assert_eq!(told(&execution, &events), review);
    let passed = after_attempt(&mut execution, verdict(Gate::Pass, 10.0));
    assert_eq!(passed, [complete(&execution, 0)]);
    let request = request(&execution, A);
    let events = report(&mut execution, Report::Refused { request, reason: Refusal::Empty }).unwrap();
    assert_eq!(told(&execution, &events).len(), 1, "it is on the target already: {events:?}");
}

#[test]
fn a_tester_and_a_command_test() {
    for reviewer in [json!({"reviewer": "tester"}), json!({"command": "cargo test"})] {
        let mut execution = open(&[step("a", json!({"review": reviewer}))]);
        let test = spawn(&execution, Spawned::Tester, "Test step a: a");
        assert_eq!(after_attempt(&mut execution, Outcome::Changed), [test]);
    }
}

#[test]
fn an_escalation_says_why_and_a_persons_word_completes_the_chain() {
    let mut execution = open(&[step("a", json!({"review": "code"}))]);
    after_attempt(&mut execution, Outcome::Changed);
    let escalated = after_attempt(&mut execution, verdict(Gate::Fail, 3.0));
    let reason = format!("{}, last score 3/10", Escalation::Replan);
    assert_eq!(escalated, [Directive::Escalate { wid: wid(execution.task(A), 0), reason }]);
    let accepted = Command::Accept { step: A, by: "me".into(), why: "good enough".into() };
    let events = command(&mut execution, accepted).unwrap();
    assert_eq!(told(&execution, &events), [complete(&execution, 0)]);
}

#[test]
fn nothing_is_told_of_what_no_review_judged() {
    let mut execution = open(&[step("a", json!({"review": "code"})), plain("b")]);
    assert_eq!(after_attempt(&mut execution, Outcome::NoChange), []);
    let events = attempt(&mut execution, B, Outcome::Changed);
    assert_eq!(told(&execution, &events), [], "it has no chain");
    let mut execution = open(&[step("a", json!({"review": "code"}))]);
    assert_eq!(after_attempt(&mut execution, declined()), [], "it failed");
}

#[test]
fn a_retry_that_goes_on_where_a_budget_stopped_it_is_told_as_that() {
    let mut execution = open(&[step("a", json!({"review": {"max_fixes": 2}}))]);
    let review = after_attempt(&mut execution, Outcome::Changed);
    let waiting = Next::Run {
        purpose: Purpose::Review,
        not_before: Timestamp(0),
        since: Timestamp(0),
        at: execution.step(A).course.at,
        charge: Charge::Nothing,
        findings: None,
    };
    let spent = crate::budget::Spent {
        of: crate::budget::BudgetOf::Step(A),
        unit: crate::budget::Unit::Tokens,
        used: 1,
        limit: 1,
    };
    let attempt = start(&mut execution, A);
    execution.apply(&Event::AttemptEnded {
        step: A,
        attempt,
        end: Box::new(AttemptEnd::new(Outcome::OverBudget)),
        next: Next::Fail(FailReason::Budget { spent, then: Box::new(waiting) }),
    });
    let continued = Event::StepRetried { step: A, mode: RetryMode::Continue, note: None };
    execution.apply(&continued);
    assert_eq!(told(&execution, std::slice::from_ref(&continued)), review);
    let fresh = Event::StepRetried { step: A, mode: RetryMode::Fresh, note: None };
    execution.apply(&fresh);
    assert_eq!(told(&execution, &[fresh]), [], "it begins anew when it starts");
}
