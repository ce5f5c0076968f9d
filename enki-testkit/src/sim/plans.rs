//! Random plans and commands, from a simulation's own random numbers.

use super::rng::Rng;
use enki_core::engine::Engine;
use enki_core::execution::{Answer, Command, Execution, ProjectKind, RetryMode, Submitted};
use enki_core::id::{ExecutionId, StepIx};
use enki_core::limits::Limits;
use enki_core::plan::{External, Plan, PlanLimits};
use enki_core::refinery::Gate;
use enki_core::spec::{
    AfterSpec, AfterWhen, Condition, Land, NeedSpec, PlanSpec, ReviewSpec, ReviewTable, ReviewWord, StepSpec,
};
use enki_core::tier::{Priority, Tier};
use enki_core::time::Timestamp;
use std::collections::HashMap;
use std::time::Duration;

const CONDITIONS: [Condition; 3] = [Condition::Started, Condition::Completed, Condition::Merged];

/// A new execution; it may wait for those that are there.
pub(super) fn submit(rng: &mut Rng, number: u64, existing: &[&Execution], now: Timestamp) -> Submitted {
    let id = ExecutionId::new((u128::from(number) << 64) | u128::from(rng.next() >> 16));
    let mut externals = HashMap::new();
    let most = if rng.chance(100) { 12 } else { 6 };
    let count = 1 + rng.index(most);
    let mut steps = Vec::new();
    for n in 0..count {
        steps.push(step(rng, n, &[]));
    }
    for other in existing {
        if rng.chance(300) {
            let whole = rng.chance(300);
            let step = (!whole).then(|| StepIx::at(rng.index(other.steps().len())));
            let name = format!("{}-{:?}", other.id(), step);
            externals.insert(name.clone(), External { execution: other.id(), step });
            let waiting = rng.index(count);
            let condition = rng.pick(&CONDITIONS);
            steps[waiting].needs.push(NeedSpec { step: None, task: Some(name), condition });
        }
    }
    let mut after = None;
    if let Some(other) = existing.last().filter(|_| rng.chance(200)) {
        let name = other.id().to_string();
        externals.insert(name.clone(), External { execution: other.id(), step: None });
        after = Some(AfterSpec { execution: name, when: rng.pick(&[AfterWhen::Success, AfterWhen::Any]) });
    }
    let land = rng.pick(&[Land::Each, Land::Each, Land::End]);
    let spec = PlanSpec { title: Some("a plan".into()), land: Some(land), after, steps, ..PlanSpec::default() };
    let plan = Plan::build(&spec, &PlanLimits::default(), &externals).expect("random plans are acyclic");
    let gate = Gate::new("gate", Duration::from_secs(600));
    Submitted {
        id,
        target: "main".parse().expect("a branch name"),
        land: plan.land,
        after: plan.after,
        plan: plan.into(),
        origin: "cli".to_owned(),
        gate: rng.chance(850).then_some(gate),
        created: now,
        start_at: rng.chance(150).then(|| now.plus(Duration::from_secs(rng.below(600)))),
        approval: rng.chance(100),
        project: ProjectKind::default(),
    }
}

/// A step named after its number that needs earlier ones, and `known` ones by name.
fn step(rng: &mut Rng, n: usize, known: &[String]) -> StepSpec {
    let mut step = StepSpec {
        id: format!("s{n}"),
        title: "a step".to_owned(),
        description: "do it".to_owned(),
        checkpoint: rng.chance(80),
        tier: Some(rng.pick(&Tier::ALL)),
        priority: Some(rng.pick(&[Priority::High, Priority::Normal, Priority::Low])),
        role: rng.chance(120).then(|| "researcher".to_owned()),
        done_when: rng.chance(200).then(|| "it works".to_owned()),
        ..StepSpec::default()
    };
    if rng.chance(600) {
        step.scope.files.push(rng.pick(&["shared.txt", "src/a.txt", "src/b.txt", "docs/c.txt"]).to_owned());
        step.scope.directories.extend(rng.chance(200).then(|| "src".to_owned()));
    }
    step.review = match rng.below(4) {
        0 | 1 => None,
        2 => Some(ReviewSpec::Word(ReviewWord::Code)),
        _ => {
            let kind = rng.pick(&["code", "code", "test_then_fix", "fix_loop", "review_only"]);
            let fixes = (kind != "review_only").then(|| u32::try_from(rng.below(4)).unwrap_or(0));
            let command = (kind == "fix_loop").then(|| "true".to_owned());
            Some(ReviewSpec::Table(ReviewTable {
                max_fixes: fixes,
                kind: Some(kind.to_owned()),
                command,
                ..ReviewTable::default()
            }))
        }
    };
    for _ in 0..rng.below(4) {
        let on = if known.is_empty() {
            if n == 0 {
                break;
            }
            format!("s{}", rng.index(n))
        } else {
            rng.pick(known)
        };
        if step.needs.iter().all(|need| need.step.as_ref() != Some(&on)) {
            step.needs.push(NeedSpec { step: Some(on), task: None, condition: rng.pick(&CONDITIONS) });
        }
    }
    step
}

/// Something a person asks of one of the executions.
pub(super) fn command(rng: &mut Rng, engine: &Engine, limits: &Limits) -> Option<(ExecutionId, Command)> {
    let all: Vec<&Execution> = engine.executions().collect();
    let execution = *all.get(rng.index(all.len()))?;
    let any = StepIx::at(rng.index(execution.steps().len()));
    let command = match rng.below(100) {
        0..14 => Command::Pause(None),
        14..32 => Command::Resume(None),
        32..40 => Command::Pause(Some(any)),
        40..50 => Command::Resume(Some(any)),
        50..54 => Command::Cancel { step: None, committing: Vec::new() },
        54..62 => Command::Cancel { step: Some(any), committing: Vec::new() },
        62..80 => {
            let mode = rng.pick(&[None, Some(RetryMode::Continue), Some(RetryMode::Fresh)]);
            let failed = (0..execution.steps().len()).map(StepIx::at).find(|ix| execution.word(*ix) == "failed");
            Command::Retry { step: failed.unwrap_or(any), mode, note: None }
        }
        80..86 => {
            let holds: Vec<_> = execution.holds().keys().copied().collect();
            let answer = if rng.chance(900) { Answer::Approve } else { Answer::Reject };
            Command::Decide { hold: *holds.get(rng.index(holds.len()))?, answer, committing: Vec::new() }
        }
        86..88 => {
            let failed = (0..execution.steps().len()).map(StepIx::at).find(|ix| execution.word(*ix) == "failed");
            Command::Accept { step: failed?, by: "somebody".to_owned(), why: "it will do".to_owned() }
        }
        88..92 => Command::Stop,
        92..94 => Command::Land,
        _ => {
            let first = execution.steps().len();
            let mut known: Vec<String> = execution.plan().steps().iter().map(|s| s.id.to_string()).collect();
            let mut specs = Vec::new();
            for n in 0..1 + rng.index(3) {
                specs.push(step(rng, first + n, &known));
                known.push(format!("s{}", first + n));
            }
            let max = PlanLimits { max_steps: limits.max_steps, ..PlanLimits::default() };
            Command::AddSteps(execution.plan().check_added(&specs, &max, &HashMap::new()).ok()?)
        }
    };
    Some((execution.id(), command))
}
