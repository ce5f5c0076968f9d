//! The queue: executions that were made of task notes. There is no other queue and no other status: an entry is an
//! execution whose origin names its notes, and what its notes say of it follows from its log.

pub(crate) mod add;
pub(crate) mod briefs;
pub(crate) mod driven;
pub(crate) mod keeper;
pub(crate) mod list;
pub(crate) mod model;
mod outcome;
pub(crate) mod prompt;
mod told;
pub(crate) mod trace;
pub(crate) mod wait;

use crate::error::CliError;
use enki_core::execution::{Event, Execution, NeedState};
use enki_core::spec::{AfterSpec, AfterWhen, NeedSpec, PlanSpec, StepSpec};
use enki_core::tier::Tier;
use enki_notes::{Log, NotePath, Task};
use model::{Wish, choose};

/// How a task is to be run, where its note does not say it.
#[derive(Clone, Debug, Default)]
pub(crate) struct How {
    pub(crate) at: Option<String>,
    pub(crate) after: Option<(String, AfterWhen)>,
    pub(crate) timeout: Option<u64>,
    pub(crate) model: Option<String>,
    pub(crate) tier: Option<Tier>,
    /// Where nobody says a tier.
    pub(crate) last: Option<Tier>,
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

/// Whether an execution was made of notes, wherever they are.
fn is_of_notes(origin: &str) -> bool {
    origin.starts_with("note(")
}

const BETWEEN: &str = ", ";

/// The plan of tasks that are done one after another; a failure blocks the rest. `project` is the model of its tasks, if it has
/// one. With it comes what whoever adds them should know.
pub(crate) fn plan(tasks: &[Task], how: &How, project: Option<&str>) -> Result<(PlanSpec, Vec<String>), CliError> {
    let name = |n: usize| if tasks.len() == 1 { "task".to_owned() } else { format!("task-{}", n + 1) };
    let (mut steps, mut notes) = (Vec::with_capacity(tasks.len()), Vec::new());
    for (n, task) in tasks.iter().enumerate() {
        let (mut step, raised) = step(task, how, project)?;
        notes.extend(raised.map(|why| format!("{}: {why}", task.path)));
        step.id = name(n);
        if n > 0 {
            step.needs = vec![NeedSpec { step: Some(name(n - 1)), ..NeedSpec::default() }];
        }
        steps.push(step);
    }
    let plan = PlanSpec {
        steps,
        target: how.target.clone(),
        at: how.at.clone(),
        after: how.after.clone().map(|(execution, when)| AfterSpec { execution, when }),
        request_id: Some(request_id(tasks)),
        ..PlanSpec::default()
    };
    Ok((plan, notes))
}

/// By this a task is submitted once, whatever cuts it short: again only after its execution has ended.
fn request_id(tasks: &[Task]) -> String {
    let one = |task: &Task| match &task.queue_id {
        Some(before) => format!("{}:{before}", task.path),
        None => task.path.to_string(),
    };
    format!("note:{}", tasks.iter().map(one).collect::<Vec<_>>().join(BETWEEN))
}

fn step(task: &Task, how: &How, project: Option<&str>) -> Result<(StepSpec, Option<String>), CliError> {
    let description = task.prompt.clone().ok_or_else(|| {
        CliError::usage(format!("{} says nothing of what is to be done", task.path))
            .hint("write it under ## Prompt, then add it again; nothing was started")
    })?;
    let written = task.tier.as_deref().map(|word| tier(word, &task.path)).transpose()?;
    let asked = Wish { model: how.model.as_deref(), tier: how.tier };
    let noted = Wish { model: task.model.as_deref(), tier: written };
    let chosen = choose(asked, noted, project, how.last, &format!("{} {}", task.title, wanted(&description)));
    let step = StepSpec {
        title: title(&task.title, "A task of a note"),
        description,
        model: chosen.model,
        tier: chosen.tier,
        // What was said here comes before what the note says, also when it starts.
        pinned: how.model.is_some() || how.tier.is_some(),
        timeout: how.timeout,
        acceptance: task.acceptance.clone(),
        done_when: task.goal.clone(),
        ..StepSpec::default()
    };
    Ok((step, chosen.raised))
}

/// What a prompt wants, without what Enki put after the text that it quotes: the last commits may be about anything.
fn wanted(prompt: &str) -> &str {
    let ends = ["\n> ## Source context\n", "\n> ## Related Notes\n"].iter().filter_map(|heading| prompt.find(heading));
    &prompt[..ends.min().unwrap_or(prompt.len())]
}

/// A step's title of a text; the other one if it says nothing.
fn title(text: &str, otherwise: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    let title: String = line.join(" ").chars().filter(|c| !c.is_control()).take(TITLE).collect();
    if title.is_empty() { otherwise.to_owned() } else { title }
}

fn tier(word: &str, note: &NotePath) -> Result<Tier, CliError> {
    model::tier(word).map_err(|_| {
        CliError::usage(format!("{note}: {word:?} is no tier"))
            .hint("write light, standard or heavy there; nothing was started")
    })
}

/// Longest title of a step, in characters.
const TITLE: usize = 120;

/// How far an entry is, in the words of the queue.
pub(crate) fn word(execution: &Execution, timed_out: bool) -> &'static str {
    match execution.status() {
        "scheduled" if execution.after().is_some() && !is_after_over(execution) => "waiting (after)",
        "scheduled" => "waiting (time)",
        "running" if execution.steps().iter().all(|step| !step.lived) => "queued",
        "failed" if timed_out => "timeout",
        other => other,
    }
}

/// Whether it waits no more for the entry before it: then it waits for its time alone.
fn is_after_over(execution: &Execution) -> bool {
    match execution.predecessor_state() {
        NeedState::Landed => true,
        NeedState::Dead => matches!(execution.after(), Some((_, AfterWhen::Any))),
        NeedState::Waiting | NeedState::Started | NeedState::Completed => false,
    }
}

/// Whether an event may change what notes say.
fn is_told(event: &Event) -> bool {
    matches!(event, Event::Submitted(_) | Event::AttemptLive { .. } | Event::Ended { .. })
}
