//! The queue: executions that were made of task notes. There is no other queue and no other status: an entry is an
//! execution whose origin names its notes, and what its notes say of it follows from its log.

pub(crate) mod driven;
pub(crate) mod keeper;
mod outcome;
pub(crate) mod trace;

use crate::error::CliError;
use enki_core::execution::{Event, Execution};
use enki_core::spec::{AfterSpec, AfterWhen, NeedSpec, PlanSpec, StepSpec};
use enki_core::tier::Tier;
use enki_notes::{Log, NotePath, Task};
use serde_json::Value;

/// How a task is to be run, where its note does not say it.
#[derive(Clone, Debug, Default)]
pub(crate) struct How {
    pub(crate) at: Option<String>,
    pub(crate) after: Option<(String, AfterWhen)>,
    pub(crate) timeout: Option<u64>,
    pub(crate) model: Option<String>,
    pub(crate) tier: Option<Tier>,
    pub(crate) target: Option<String>,
}

/// Where an execution of these tasks says that it comes from.
pub(crate) fn origin(tasks: &[Task]) -> String {
    let paths: Vec<&str> = tasks.iter().map(|task| task.path.as_str()).collect();
    format!("note({})", paths.join(BETWEEN))
}

/// The notes of an execution, one for each step, if it was made of any.
pub(crate) fn notes_of(log: &Log, origin: &str) -> Option<Vec<NotePath>> {
    let inner = origin.strip_prefix("note(")?.strip_suffix(')')?;
    // A name may have in it what stands between names.
    log.path(inner).map(|path| vec![path]).or_else(|| inner.split(BETWEEN).map(|path| log.path(path)).collect())
}

const BETWEEN: &str = ", ";

/// The plan of tasks that are done one after another; a failure blocks the rest.
pub(crate) fn plan(tasks: &[Task], how: &How) -> Result<PlanSpec, CliError> {
    let name = |n: usize| if tasks.len() == 1 { "task".to_owned() } else { format!("task-{}", n + 1) };
    let mut steps = Vec::with_capacity(tasks.len());
    for (n, task) in tasks.iter().enumerate() {
        let mut step = step(task, how)?;
        step.id = name(n);
        if n > 0 {
            step.needs = vec![NeedSpec { step: Some(name(n - 1)), ..NeedSpec::default() }];
        }
        steps.push(step);
    }
    Ok(PlanSpec {
        steps,
        target: how.target.clone(),
        at: how.at.clone(),
        after: how.after.clone().map(|(execution, when)| AfterSpec { execution, when }),
        request_id: Some(request_id(tasks)),
        ..PlanSpec::default()
    })
}

/// By this a task is submitted once, whatever cuts it short: again only after its execution has ended.
fn request_id(tasks: &[Task]) -> String {
    let one = |task: &Task| match &task.queue_id {
        Some(before) => format!("{}:{before}", task.path),
        None => task.path.to_string(),
    };
    format!("note:{}", tasks.iter().map(one).collect::<Vec<_>>().join(BETWEEN))
}

fn step(task: &Task, how: &How) -> Result<StepSpec, CliError> {
    let line: Vec<&str> = task.title.split_whitespace().collect();
    let title: String = line.join(" ").chars().filter(|c| !c.is_control()).take(TITLE).collect();
    let description = task.prompt.clone().ok_or_else(|| {
        CliError::usage(format!("{} says nothing of what is to be done", task.path))
            .hint("write it under ## Prompt, then add it again; nothing was started")
    })?;
    let model = how.model.clone().or_else(|| task.model.clone());
    let written = task.tier.as_deref().map(|word| tier(word, &task.path)).transpose()?;
    let of_model = model.as_deref().and_then(tier_of);
    let tier = match (&how.model, how.tier) {
        (_, Some(tier)) => Some(tier),
        (Some(_), None) => of_model.or(written),
        (None, None) => written.or(of_model),
    };
    Ok(StepSpec {
        title: if title.is_empty() { "A task of a note".to_owned() } else { title },
        description,
        // A name of a tier's model is the tier: its own model, whatever that is called here.
        model: model.filter(|name| tier_of(name).is_none()),
        tier,
        timeout: how.timeout,
        acceptance: task.acceptance.clone(),
        done_when: task.goal.clone(),
        ..StepSpec::default()
    })
}

fn tier(word: &str, note: &NotePath) -> Result<Tier, CliError> {
    serde_json::from_value(Value::String(word.to_ascii_lowercase())).map_err(|_| {
        CliError::usage(format!("{note}: {word:?} is no tier"))
            .hint("write light, standard or heavy there; nothing was started")
    })
}

/// The tier that a model's name stands for.
fn tier_of(model: &str) -> Option<Tier> {
    match model.to_ascii_lowercase().as_str() {
        "haiku" => Some(Tier::Light),
        "sonnet" => Some(Tier::Standard),
        "opus" => Some(Tier::Heavy),
        _ => None,
    }
}

/// Longest title of a step, in characters.
const TITLE: usize = 120;

/// How far an entry is, in the words of the queue.
pub(crate) fn word(execution: &Execution, timed_out: bool) -> &'static str {
    match execution.status() {
        "scheduled" if execution.after().is_some() => "waiting (after)",
        "scheduled" => "waiting (time)",
        "running" if execution.steps().iter().all(|step| !step.lived) => "queued",
        "failed" if timed_out => "timeout",
        other => other,
    }
}

/// Whether an event may change what notes say.
fn is_told(event: &Event) -> bool {
    matches!(event, Event::Submitted(_) | Event::AttemptLive { .. } | Event::Ended { .. })
}
