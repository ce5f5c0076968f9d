//! The rules of one execution that only the inside shows, or that a whole world around it would hide.

mod answers;
mod broken;
mod seen;
mod told;

use super::*;
use crate::limits::Limits;
use crate::plan::{External, PlanLimits};
use crate::spec::PlanSpec;
use crate::workspace::Start;
use serde_json::{Value, json};
use std::collections::HashMap;

const NOW: Timestamp = Timestamp(1000);
const A: StepIx = StepIx(0);
const B: StepIx = StepIx(1);

fn commit(n: u8) -> CommitId {
    format!("{n:040x}").parse().unwrap()
}

fn tree(n: u8) -> crate::id::TreeId {
    format!("{n:040x}").parse().unwrap()
}

fn step(id: &str, more: Value) -> Value {
    let mut step = json!({"id": id, "title": id, "description": "do it"});
    step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    step
}

fn plain(id: &str) -> Value {
    step(id, json!({}))
}

fn after(id: &str, need: &str) -> Value {
    step(id, json!({"needs": [need]}))
}

/// Another execution that a step may need as `x`.
fn outside() -> External {
    External { execution: ExecutionId::new(2), step: None }
}

fn submitted(plan: Value) -> Submitted {
    let spec: PlanSpec = serde_json::from_value(plan).unwrap();
    let externals = HashMap::from([("x".to_owned(), outside())]);
    let plan = Plan::build(&spec, &PlanLimits::default(), &externals).unwrap_or_else(|e| panic!("{e}"));
    Submitted {
        id: ExecutionId::new(1),
        plan: Arc::new(plan),
        origin: "a person".to_owned(),
        target: "main".parse().unwrap(),
        land: Land::End,
        gate: None,
        created: Timestamp(7),
        start_at: None,
        after: None,
        approval: false,
        project: ProjectKind::default(),
    }
}

/// An execution of these steps whose integration branch is not open yet.
fn closed(steps: &[Value]) -> Execution {
    Execution::new(&submitted(json!({"steps": steps})))
}

/// An execution of these steps whose integration branch is open.
fn open(steps: &[Value]) -> Execution {
    let mut execution = closed(steps);
    report(&mut execution, Report::Opened(commit(1))).unwrap();
    execution
}

fn hear(execution: &mut Execution, input: &Input) -> Result<Vec<Event>, Rejected> {
    let limits = Limits::default();
    let mut events = execution.decide(input, NOW, &limits)?;
    events.iter().for_each(|event| execution.apply(event));
    execution.settle_all(NOW, &mut Touched::default(), |event| events.push(event.clone()));
    invariants::check(execution, &limits).unwrap();
    Ok(events)
}

fn report(execution: &mut Execution, report: Report) -> Result<Vec<Event>, Rejected> {
    hear(execution, &Input::Report(report))
}

fn command(execution: &mut Execution, command: Command) -> Result<Vec<Event>, Rejected> {
    hear(execution, &Input::Command(command))
}

fn cancel(execution: &mut Execution, step: Option<StepIx>) -> Result<Vec<Event>, Rejected> {
    command(execution, Command::Cancel { step, committing: vec![] })
}

/// Starts an attempt of a step.
fn start(execution: &mut Execution, step: StepIx) -> AttemptNo {
    hear(execution, &Input::Grant(step)).unwrap();
    execution.step(step).live().unwrap()
}

/// The live attempt of a step ends like that.
fn end(execution: &mut Execution, step: StepIx, end: AttemptEnd) -> Vec<Event> {
    let attempt = execution.step(step).live().unwrap();
    report(execution, Report::Ended { step, attempt, end: Box::new(end) }).unwrap()
}

/// Success, with a change to that tree.
fn changed(n: u8) -> AttemptEnd {
    let work = Work { base: commit(1), commit: commit(n), tree: tree(n), attempt: AttemptNo(1) };
    AttemptEnd { work: Some(work), ..AttemptEnd::new(Outcome::Changed) }
}

/// One attempt of a step that ends like that.
fn attempt(execution: &mut Execution, step: StepIx, outcome: Outcome) -> Vec<Event> {
    start(execution, step);
    end(execution, step, if outcome == Outcome::Changed { changed(40) } else { AttemptEnd::new(outcome) })
}

fn declined() -> Outcome {
    Outcome::Declined { message: "no".to_owned() }
}

/// The request of a step's change that is in its queue.
fn request(execution: &Execution, step: StepIx) -> RequestId {
    match execution.step(step).state {
        StepState::Merging { request } => request,
        ref other => panic!("{other:?}"),
    }
}

/// A step that is worked off, its change merged.
fn merged(execution: &mut Execution, step: StepIx, n: u8) {
    attempt(execution, step, Outcome::Changed);
    let request = request(execution, step);
    report(execution, Report::Merged { request, commit: commit(n) }).unwrap();
}

/// The change of a step is refused for a conflict.
fn clashed(execution: &mut Execution, step: StepIx) -> Vec<Event> {
    let reason = Refusal::Conflict { paths: vec!["a".to_owned()], hunks: String::new(), onto: None };
    let request = request(execution, step);
    report(execution, Report::Refused { request, reason }).unwrap()
}
