//! Budgets of runs, steps and executions: what is told, what is stopped, and what goes on once there is more.

use super::{plain, reviewed, running, running_plan};
use crate::world::{World, step};
use enki_core::budget::{Budget, BudgetOf, Unit};
use enki_core::execution::{
    Answer, Command, EndStatus, Event, FailReason, HoldNo, HoldReason, Outcome, Rejected, RetryMode,
};
use enki_core::id::ExecutionId;
use enki_core::tier::Purpose;
use enki_core::verdict::Gate;
use enki_core::workspace::Start;
use serde_json::json;

const fn tokens(limit: u64) -> Budget {
    Budget { tokens: Some(limit), cost_micro_usd: None }
}

/// What people were told, as (whose, what, percent).
fn told(world: &World, id: ExecutionId) -> Vec<(&'static str, Unit, u8)> {
    let one = |event: &Event| match event {
        Event::BudgetWarned { percent, spent } => Some((spent.of.as_str(), spent.unit, *percent)),
        _ => None,
    };
    world.log(id).iter().filter_map(one).collect()
}

fn spent(world: &World, id: ExecutionId) -> usize {
    world.log(id).iter().filter(|event| matches!(event, Event::AttemptSpent { .. })).count()
}

fn budget(step: &str, of_step: serde_json::Value) -> serde_json::Value {
    crate::world::step(step, json!({"budget": of_step}))
}

#[test]
fn each_level_and_each_limit_warns_once_at_each_share() {
    let mut run = json!({"tokens": 1000, "cost_usd": 0.2});
    run["run"] = json!({"tokens": 400});
    let (mut world, id) = running_plan(json!({"budget": {"tokens": 4000}, "steps": [budget("a", run)]}));
    for used in [100, 199, 200, 200, 150, 319, 320, 381] {
        world.uses(id, "a", used);
        world.crash();
    }
    assert_eq!(told(&world, id), [50, 80, 95].map(|percent| ("run", Unit::Tokens, percent)));
    world.end(id, "a", Outcome::NoResult);
    world.drain_to_attempt(id, "a");
    world.uses(id, "a", 399);
    let second: Vec<_> = told(&world, id).split_off(3);
    let run = [50, 80, 95].map(|percent| ("run", Unit::Tokens, percent));
    assert_eq!(second, [&run[..], &[("step", Unit::Tokens, 50)]].concat(), "381 and 399 of 1000; each run anew");
    world.end(id, "a", Outcome::NoResult);
    world.drain_to_attempt(id, "a");
    world.uses(id, "a", 221);
    let third: Vec<_> = told(&world, id).split_off(7);
    let (run, own, usd) = (("run", Unit::Tokens), ("step", Unit::Tokens), ("step", Unit::MicroUsd));
    let all = [(run, 50), (own, 80), (own, 95), (usd, 50)].map(|((of, unit), percent)| (of, unit, percent));
    assert_eq!(
        third, all,
        "1001 tokens at a hundredth of a cent are half of 20 cents; 381 + 399 + 221 are a quarter of 4000"
    );
    let used = world.of(id).usage();
    assert_eq!((used.of(Unit::Tokens), used.of(Unit::MicroUsd)), (1001, 100_100), "the sum is exact");
}

#[test]
fn however_often_agents_tell_a_budget_costs_about_a_hundred_facts() {
    let (mut world, id) = running_plan(json!({"budget": {"tokens": 100_000}, "steps": [plain("a")]}));
    for used in 0..2000 {
        world.uses(id, "a", used * 50);
    }
    assert!((95..=103).contains(&spent(&world, id)), "{}", spent(&world, id));
    let (mut world, id) = running(&[plain("a")]);
    world.uses(id, "a", 1_000_000);
    assert_eq!(spent(&world, id), 0, "without a budget nothing depends on it");
    world.end_using(id, "a", Outcome::Changed, 7);
    assert_eq!(world.of(id).usage().of(Unit::Tokens), 7);
}

#[test]
fn a_run_that_uses_up_its_budget_is_stopped_and_its_work_is_gone_on_with() {
    let (mut world, id) = running(&[budget("a", json!({"run": {"tokens": 100}})), plain("b")]);
    world.uses(id, "a", 99);
    assert!(world.halted.is_empty());
    world.uses(id, "a", 130);
    assert_eq!(world.halted, [world.flying_attempt(id, "a").unwrap()], "asked to end, once, and only that one");
    world.uses(id, "a", 140);
    assert_eq!(world.halted.len(), 1);
    let mut end = world.ending(Outcome::Changed, world.attempt(id, "a").unwrap());
    end.outcome = Outcome::OverBudget;
    let work = end.work.unwrap().commit;
    let (ix, attempt) = (world.ix(id, "a"), world.attempt(id, "a").unwrap());
    world.ended(id, ix, attempt, end).unwrap();
    let FailReason::Budget { spent, .. } = world.failure(id, "a") else { panic!("{:?}", world.failure(id, "a")) };
    assert_eq!(
        (spent.of, spent.used, spent.limit),
        (BudgetOf::Run(ix), 140, 100),
        "also what it used since it was asked"
    );
    assert_eq!(spent.to_string(), "140 of 100 tokens of the run's budget are used");
    assert_eq!(world.of(id).step(ix).work.as_ref().unwrap().commit, work, "nothing is lost");
    world.done(id, "b");

    world.command(id, Command::Budget { of: BudgetOf::Run(ix), budget: tokens(500) }).unwrap();
    world.command(id, Command::Retry { step: ix, mode: None, note: None }).unwrap();
    let start = world.log(id).into_iter().rev().find_map(|event| match event {
        Event::AttemptStarted { step, start, .. } if step == ix => Some(start),
        _ => None,
    });
    assert!(matches!(start, Some(Start::Continue { head, .. }) if head == work), "{start:?}");
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn an_agent_that_tells_only_at_its_end_is_judged_there() {
    let mut gated = reviewed("a", 1);
    gated["budget"] = json!({"run": {"tokens": 100}});
    let (mut world, id) = running(&[gated, budget("b", json!({"run": {"tokens": 100}}))]);
    world.end_using(id, "a", Outcome::Changed, 100);
    assert!(matches!(world.failure(id, "a"), FailReason::Budget { .. }), "its review would be one attempt more");
    world.end_using(id, "b", Outcome::Changed, 100);
    assert_eq!(world.word(id, "b"), "merging", "what takes no attempt more is done");
    assert_eq!(told(&world, id).len(), 6);
    let a = world.ix(id, "a");
    world.command(id, Command::Retry { step: a, mode: None, note: None }).unwrap();
    assert_eq!(world.purpose(id, "a"), Some(Purpose::Review), "it goes on with what it was about to do");
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
    assert_eq!(world.of(id).step(a).attempts, 2);
    let answers = enki_core::audit::audit(&world.log(id), world.engine.limits());
    let asked_for = answers.iter().find(|answer| answer.rule == 8).map(|answer| &answer.kept);
    assert_eq!(asked_for, Some(&enki_core::audit::Kept::Yes), "the review it goes on with was asked for");
}

#[test]
fn the_budget_of_a_step_is_over_all_its_attempts_and_more_of_it_lets_it_go_on() {
    let mut gated = reviewed("a", 2);
    gated["budget"] = json!({"tokens": 300});
    let (mut world, id) = running(&[gated, step("b", json!({"needs": ["a"]}))]);
    world.end_using(id, "a", Outcome::Changed, 200);
    let revise = Outcome::Reviewed(enki_core::verdict::Verdict::of(Gate::Revise).saying("the name is wrong"));
    world.end_using(id, "a", revise, 100);
    let a = world.ix(id, "a");
    let FailReason::Budget { spent, .. } = world.failure(id, "a") else { panic!("{:?}", world.failure(id, "a")) };
    assert_eq!((spent.of, spent.used), (BudgetOf::Step(a), 300));
    assert_eq!(world.word(id, "b"), "blocked");
    let retry = |mode| Command::Retry { step: a, mode, note: None };
    let refused = world.command(id, retry(None)).unwrap_err().to_string();
    assert!(refused.contains("300 of 300 tokens of the step's budget are used"), "{refused}");
    let set = |limit| Command::Budget { of: BudgetOf::Step(a), budget: tokens(limit) };
    assert!(world.command(id, set(300)).is_err(), "that leaves nothing");
    world.command(id, set(1000)).unwrap();
    world.command(id, retry(Some(RetryMode::Continue))).unwrap();
    assert_eq!(
        (world.purpose(id, "a"), world.of(id).step(a).course.fixes),
        (Some(Purpose::Fix), 1),
        "the fix that was due"
    );
    assert_eq!(world.of(id).step(a).findings.as_deref(), Some("the name is wrong"), "with what it is to repair");
    world.crash();
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn an_execution_that_used_up_its_budget_is_held_until_there_is_more() {
    let (mut world, id) = running_plan(json!({"budget": {"tokens": 100, "cost_usd": 9.0},
        "steps": [plain("a"), plain("b"), step("c", json!({"needs": ["a"]}))]}));
    world.uses(id, "a", 60);
    world.uses(id, "b", 45);
    assert_eq!(world.halted.len(), 2, "each costs more");
    assert_eq!(world.of(id).status(), "held");
    world.crash();
    assert_eq!(world.halted.len(), 4, "asked again: an answer to the first may be lost");
    for step in ["a", "b"] {
        world.end(id, step, Outcome::OverBudget);
    }
    assert_eq!(world.words(id), ["running", "running", "pending"]);
    assert!(world.flying.is_empty() && world.of(id).outstanding().next().is_none());
    let hold = HoldNo(1);
    assert_eq!(world.of(id).describe(&HoldReason::Budget), "105 of 100 tokens of the execution's budget are used");
    world.command(id, Command::Resume(None)).unwrap();
    let answer = Answer::Approve;
    let refused = world.command(id, Command::Decide { hold, answer, committing: vec![] }).unwrap_err();
    assert!(refused.to_string().contains("--budget-usd"), "{refused}");
    assert!(world.flying.is_empty(), "nothing starts beyond the limit");
    world.command(id, Command::Budget { of: BudgetOf::Execution, budget: tokens(1000) }).unwrap();
    assert_eq!((world.of(id).holds().len(), world.flying.len()), (0, 2));
    assert_eq!(world.of(id).budget(BudgetOf::Execution).cost_micro_usd, Some(9_000_000), "what is not given stays");
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
}

#[test]
fn what_takes_no_agent_any_more_is_not_held_for_money() {
    let (mut world, id) = running_plan(json!({"budget": {"tokens": 100}, "steps": [plain("a")]}));
    world.end_using(id, "a", Outcome::Changed, 500);
    world.drain();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Done));
    let late = Command::Budget { of: BudgetOf::Execution, budget: tokens(1000) };
    assert!(matches!(
        world.command(id, late),
        Err(enki_core::engine::Rejected::Execution(Rejected::InvalidState { .. }))
    ));
}

#[test]
fn an_attempt_that_died_or_stopped_itself_over_its_budget_is_explained_by_it() {
    for outcome in [Outcome::Killed, Outcome::AgentError { message: "maximum budget".to_owned(), transient: false }] {
        let (mut world, id) = running(&[budget("a", json!({"tokens": 100}))]);
        world.uses(id, "a", 60);
        world.end_using(id, "a", outcome, 100);
        assert!(matches!(world.failure(id, "a"), FailReason::Budget { .. }), "{:?}", world.failure(id, "a"));
    }
    let (mut world, id) = running(&[budget("a", json!({"tokens": 100}))]);
    world.uses(id, "a", 60);
    world.end(id, "a", Outcome::Killed);
    assert_eq!(
        world.of(id).usage().of(Unit::Tokens),
        60,
        "one that was killed says nothing; what it told before counts"
    );
    assert_eq!(world.word(id, "a"), "running");
}

#[test]
fn a_stop_does_not_put_another_attempt_in_the_place_of_one_that_used_up_its_budget() {
    let (mut world, id) = running(&[budget("a", json!({"tokens": 100})), plain("b")]);
    world.uses(id, "a", 100);
    world.command(id, Command::Stop).unwrap();
    assert!(world.attempt(id, "a").is_some() && world.attempt(id, "b").is_none());
    world.end(id, "a", Outcome::OverBudget);
    world.command(id, Command::Resume(None)).unwrap();
    assert!(matches!(world.failure(id, "a"), FailReason::Budget { .. }));
}

#[test]
fn a_run_is_told_the_least_that_is_left() {
    let own = json!({"tokens": 500, "run": {"tokens": 300, "cost_usd": 0.5}});
    let (mut world, id) = running_plan(json!({"budget": {"cost_usd": 0.04}, "steps": [budget("a", own)]}));
    let left = |world: &World| world.of(id).left(world.ix(id, "a"));
    assert_eq!(left(&world), Budget { tokens: Some(300), cost_micro_usd: Some(40_000) });
    world.end_using(id, "a", Outcome::NoResult, 250);
    assert_eq!(left(&world), Budget { tokens: Some(250), cost_micro_usd: Some(15_000) });
}
