//! `enki_execution_create`, `enki_task_create`, `enki_quick_task`, `enki_execution_add_steps`: work that was not there.

use crate::failure::{Code, Failure};
use crate::find;
use crate::machines::{Machines, seen};
use crate::office::Office;
use crate::passes::QUICK;
use crate::status::Hold;
use crate::text::{count, visible};
use enki_core::advice::approval::{self, Author};
use enki_core::advice::lint::{self, lint};
use enki_core::advice::{classify_plan, recipe};
use enki_core::driver::{Accepted, Submission};
use enki_core::execution::{Command, Execution};
use enki_core::id::{ExecutionId, InvalidId, StepIx, TaskId};
use enki_core::plan::{External, Plan, PlanProblems};
use enki_core::redact::Redactor;
use enki_core::spec::{AfterSpec, NeedSpec, PlanSpec, RECIPES, ReviewSpec, ReviewWord, StepSpec};
use enki_core::store::{Found, StoreErrorKind};
use enki_core::tier::{Priority, Tier};
use enki_core::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// One independent change.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskInput {
    /// One line, up to 120 characters.
    title: String,
    /// What to do, up to 64 KiB: paths, symbols, commands, and when it is done.
    description: String,
    /// Model and concurrency class; not a priority.
    #[serde(default)]
    tier: Option<Tier>,
    /// Kind of worker. Left out: a plain worker that changes source.
    #[serde(default)]
    role: Option<String>,
    /// Tasks or executions it waits for, by id.
    #[serde(default)]
    needs: Vec<NeedSpec>,
    /// How the work is reviewed.
    #[serde(default)]
    review: Option<ReviewSpec>,
    /// Branch on which it lands. Left out: the one checked out in the project.
    #[serde(default)]
    target: Option<String>,
    /// Start not before this RFC 3339 time.
    #[serde(default)]
    at: Option<String>,
    /// Start not before that execution ended.
    #[serde(default)]
    after: Option<AfterSpec>,
    /// Idempotency key: the same key and task again is the same task.
    #[serde(default)]
    request_id: Option<String>,
}

/// One small change.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuickInput {
    /// What to do; the first line is its title.
    prompt: String,
}

/// Steps that are to be added.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddInput {
    /// The execution's id, or at least 4 hex digits of its short id that no other has.
    execution_id: String,
    /// The steps, at least one.
    steps: Vec<StepSpec>,
}

/// An execution that is there now.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Created {
    execution_id: String,
    status: &'static str,
    /// Whether it was there already: this plan was submitted before.
    known: bool,
    steps: Vec<CreatedStep>,
    /// What it waits for before anything starts.
    holds: Vec<Hold>,
    /// Advice on how the steps are written. It refuses nothing.
    warnings: Vec<Advice>,
    /// What was made of the plan by the project's configuration.
    notes: Vec<String>,
}

/// A task that is there now.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct CreatedTask {
    task_id: String,
    execution_id: String,
    status: &'static str,
    /// Whether it was there already: this task was submitted before.
    known: bool,
    /// Advice on how it is written. It refuses nothing.
    warnings: Vec<Advice>,
    /// What was made of it by the project's configuration.
    notes: Vec<String>,
}

/// Steps that are there now.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Added {
    execution_id: String,
    status: &'static str,
    /// The new ones.
    steps: Vec<CreatedStep>,
    /// Advice on how they are written. It refuses nothing.
    warnings: Vec<Advice>,
    /// What was made of them by the project's configuration.
    notes: Vec<String>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
struct CreatedStep {
    /// Its id in the plan.
    step: String,
    task_id: String,
    status: &'static str,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Advice {
    step: String,
    rule: &'static str,
    message: String,
    suggestion: String,
}

/// A submission that was taken.
struct Taken {
    accepted: Accepted,
    warnings: Vec<Advice>,
    notes: Vec<String>,
}

pub(crate) async fn execution(
    office: &Office,
    spec: PlanSpec,
    origin: &str,
    author: Author,
) -> Result<Created, Failure> {
    let taken = submit(office, spec, origin, author).await?;
    let id = taken.accepted.execution;
    let look = move |execution: &Execution| {
        let all = (0..execution.steps().len()).map(StepIx::at);
        (execution.status(), created(execution, all), Hold::of(execution))
    };
    let (status, steps, holds) = seen(office.machines.as_ref(), move |engine| engine.execution(id).map(look))
        .await?
        .ok_or_else(|| Failure::unknown(&id.hex()))?;
    let (known, warnings, notes) = (taken.accepted.known, taken.warnings, taken.notes);
    Ok(Created { execution_id: id.hex(), status, known, steps, holds, warnings, notes })
}

pub(crate) async fn task(office: &Office, input: TaskInput, origin: &str) -> Result<CreatedTask, Failure> {
    // There is no other step whose id one could mean.
    let outside = |need: NeedSpec| match need.step {
        Some(id) => NeedSpec { step: None, task: Some(id), ..need },
        None => need,
    };
    let step = StepSpec {
        id: "task".to_owned(),
        title: input.title,
        description: input.description,
        tier: input.tier,
        role: input.role,
        needs: input.needs.into_iter().map(outside).collect(),
        review: input.review,
        ..StepSpec::default()
    };
    let spec = PlanSpec {
        steps: vec![step],
        target: input.target,
        at: input.at,
        after: input.after,
        request_id: input.request_id,
        ..PlanSpec::default()
    };
    one(office, spec, origin).await
}

pub(crate) async fn quick(office: &Office, input: QuickInput) -> Result<CreatedTask, Failure> {
    let title: String = input.prompt.trim().lines().next().unwrap_or_default().trim().chars().take(TITLE).collect();
    if title.is_empty() {
        return Err(Failure::new(Code::ValidationError, "prompt is empty", "say what to do; nothing was stored"));
    }
    let step = StepSpec {
        id: "task".to_owned(),
        title,
        description: input.prompt,
        tier: Some(Tier::Light),
        review: Some(ReviewSpec::Word(ReviewWord::None)),
        priority: Some(Priority::High),
        ..StepSpec::default()
    };
    one(office, PlanSpec { steps: vec![step], priority: Some(Priority::High), ..PlanSpec::default() }, QUICK).await
}

pub(crate) async fn one(office: &Office, spec: PlanSpec, origin: &str) -> Result<CreatedTask, Failure> {
    let Taken { accepted, warnings, notes } = submit(office, spec, origin, Author::Coordinator).await?;
    let task = standing(office, accepted.execution, accepted.known).await?;
    Ok(CreatedTask { warnings, notes, ..task })
}

/// The only task of an execution that was taken up.
pub(crate) async fn standing(office: &Office, id: ExecutionId, known: bool) -> Result<CreatedTask, Failure> {
    let look = move |execution: &Execution| (execution.plan().step(StepIx(0)).id.clone(), execution.word(StepIx(0)));
    let (step, status) = seen(office.machines.as_ref(), move |engine| engine.execution(id).map(look))
        .await?
        .ok_or_else(|| Failure::unknown(&id.hex()))?;
    Ok(CreatedTask {
        task_id: TaskId::of(id, &step).to_string(),
        execution_id: id.hex(),
        status,
        known,
        warnings: Vec::new(),
        notes: Vec::new(),
    })
}

pub(crate) async fn add_steps(office: &Office, input: AddInput) -> Result<Added, Failure> {
    let machines = office.machines.as_ref();
    let id = find::execution(machines, &input.execution_id).await?;
    let mut spec = PlanSpec { steps: input.steps, ..PlanSpec::default() };
    let warnings = advice(office, &spec);
    let notes = office.project.complete(&mut spec)?;
    let externals = externals(machines, &spec).await?;
    // What is checked against the plan must find it like that when it is added.
    let _turn = office.adding.lock().await;
    let steps = Redactor::default().clean_all(spec.steps);
    let checked = seen(machines, move |engine| {
        let execution = engine.execution(id)?;
        Some(execution.plan().check_added(&steps, &engine.plan_limits(), &externals))
    })
    .await?
    .ok_or_else(|| Failure::unknown(&input.execution_id))?;
    let checked = checked.map_err(|problems| refused(&problems))?;
    let (before, number) = (checked.upon(), checked.steps().len());
    machines.command(id, Command::AddSteps(checked)).await?;
    let look = move |execution: &Execution| {
        (execution.status(), created(execution, (before..before + number).map(StepIx::at)))
    };
    let (status, steps) = seen(machines, move |engine| engine.execution(id).map(look))
        .await?
        .ok_or_else(|| Failure::unknown(&input.execution_id))?;
    Ok(Added { execution_id: id.hex(), status, steps, warnings, notes })
}

/// Checks a plan as it was written, shapes it, and submits it. Nothing is stored if it is refused.
async fn submit(office: &Office, spec: PlanSpec, origin: &str, author: Author) -> Result<Taken, Failure> {
    let machines = office.machines.as_ref();
    let site = office.project.site(spec.target.as_deref()).await?;
    let limits = seen(machines, |engine| engine.plan_limits()).await?;
    let externals = externals(machines, &spec).await?;
    let written =
        PlanSpec { recipe: spec.recipe.clone().filter(|recipe| !RECIPES.contains(&recipe.as_str())), ..spec.clone() };
    let plan = Plan::build(&written, &limits, &externals).map_err(|problems| refused(&problems))?;
    let start_at = start(&plan)?;
    let warnings = advice(office, &spec);
    let fingerprint = spec.fingerprint();
    let mut shaped = recipe::apply(&spec, &|folder| office.project.has_folder(folder));
    if shaped.is_changed() {
        // The steps that a recipe adds say nothing of what is wanted.
        shaped.spec.class = Some(classify_plan(&spec).class);
    }
    let fingerprint = shaped.done.is_some().then_some(fingerprint);
    let mut spec = shaped.spec;
    let mut notes = office.project.complete(&mut spec)?;
    match &shaped.done {
        Some(recipe::Done::ScaffoldFirst { scaffold, tests }) => {
            notes.push(format!("recipe scaffold-first: {scaffold:?} comes first and {tests:?} last"));
        }
        Some(recipe::Done::Skipped(skip)) => notes.push(format!("recipe scaffold-first is skipped: {skip}")),
        _ => {}
    }
    let held = approval::is_held(author, spec.steps.len(), office.project.decomposition());
    let mut submission = Submission::new(spec, site.target);
    submission.gate = site.gate;
    submission.project = site.kind;
    submission.start_at = start_at;
    submission.approval = held;
    submission.fingerprint = fingerprint;
    submission.origin = origin.to_owned();
    let accepted = machines.submit(submission).await?;
    Ok(Taken { accepted, warnings, notes })
}

fn start(plan: &Plan) -> Result<Option<Timestamp>, Failure> {
    let Some(at) = plan.at.as_deref() else { return Ok(None) };
    match at.parse::<jiff::Timestamp>() {
        Ok(time) => Ok(Some(Timestamp(time.as_millisecond()))),
        Err(_) => Err(Failure::new(
            Code::PlanInvalid,
            format!("at: {at:?} is not a time"),
            "write it as in 2026-01-31T18:00:00Z, or \"now\"; nothing was stored",
        )),
    }
}

/// What the ids of other executions and tasks in a plan stand for. Unknown ones are a problem of the plan, which its
/// check finds.
async fn externals(machines: &dyn Machines, spec: &PlanSpec) -> Result<HashMap<String, External>, Failure> {
    let mut all = HashMap::new();
    for name in spec.external_names() {
        let found = match machines.find(name).await {
            Ok(found) => found,
            Err(error) if matches!(error.store_kind(), Some(StoreErrorKind::Invalid(_))) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        match found.as_slice() {
            [] => {}
            [Found::Execution(execution)] => {
                all.insert(name.to_owned(), External { execution: *execution, step: None });
            }
            [Found::Task { execution, ix, .. }] => {
                all.insert(name.to_owned(), External { execution: *execution, step: Some(*ix) });
            }
            several => {
                let name_of = |found: &Found| match found {
                    Found::Execution(id) => id.hex(),
                    Found::Task { task, .. } => task.to_string(),
                };
                let candidates = several.iter().map(name_of).collect();
                return Err(Failure::ambiguous(name, "executions or tasks", several.len(), candidates));
            }
        }
    }
    Ok(all)
}

fn refused(problems: &PlanProblems) -> Failure {
    let lines: Vec<String> = problems.0.iter().map(|problem| visible(&problem.to_string())).collect();
    Failure::new(Code::PlanInvalid, lines.join("\n"), "call again with the plan put right; nothing was stored")
}

/// A target that cannot be a branch.
pub(crate) fn not_a_branch(error: &InvalidId) -> Failure {
    Failure::new(Code::ValidationError, format!("target: {error}"), "name a local branch; nothing was stored")
}

fn advice(office: &Office, spec: &PlanSpec) -> Vec<Advice> {
    let Some(options) = office.project.lint() else { return Vec::new() };
    let of = |warning: lint::Warning| Advice {
        step: spec.steps[warning.step].id.clone(),
        rule: warning.rule.as_str(),
        message: warning.message,
        suggestion: warning.suggestion,
    };
    lint(spec, &options).into_iter().map(of).collect()
}

fn created(execution: &Execution, steps: impl Iterator<Item = StepIx>) -> Vec<CreatedStep> {
    let of = |ix| {
        let step = &execution.plan().step(ix).id;
        let task_id = TaskId::of(execution.id(), step).to_string();
        CreatedStep { step: step.to_string(), task_id, status: execution.word(ix) }
    };
    steps.map(of).collect()
}

fn told(lines: &mut Vec<String>, warnings: &[Advice], notes: &[String]) {
    lines.extend(notes.iter().map(|note| format!("note: {}", visible(note))));
    let of = |one: &Advice| {
        format!(
            "warning ({}): {}: {} {}",
            one.rule,
            visible(&one.step),
            visible(&one.message),
            visible(&one.suggestion)
        )
    };
    lines.extend(warnings.iter().map(of));
}

impl Created {
    pub(crate) fn text(&self) -> String {
        let was = if self.known { "was there already" } else { "is created" };
        let steps = count(self.steps.len(), "step", "steps");
        let mut lines = vec![format!("{} {was} with {steps} and is {}", self.execution_id, self.status)];
        lines.extend(self.steps.iter().map(CreatedStep::text));
        lines.extend(self.holds.iter().map(Hold::text));
        told(&mut lines, &self.warnings, &self.notes);
        lines.join("\n")
    }
}

impl CreatedTask {
    /// Its execution.
    pub(crate) fn execution_id(&self) -> &str {
        &self.execution_id
    }

    /// The same with what the caller should know of it.
    pub(crate) fn noted(mut self, note: Option<String>) -> Self {
        self.notes.extend(note);
        self
    }

    pub(crate) fn text(&self) -> String {
        let was = if self.known { "was there already" } else { "is created" };
        let mut lines = vec![format!("{} {was} and is {}; execution {}", self.task_id, self.status, self.execution_id)];
        told(&mut lines, &self.warnings, &self.notes);
        lines.join("\n")
    }
}

impl Added {
    pub(crate) fn text(&self) -> String {
        let steps = count(self.steps.len(), "step", "steps");
        let mut lines = vec![format!("{} got {steps} more and is {}", self.execution_id, self.status)];
        lines.extend(self.steps.iter().map(CreatedStep::text));
        told(&mut lines, &self.warnings, &self.notes);
        lines.join("\n")
    }
}

impl CreatedStep {
    fn text(&self) -> String {
        format!("  {}  {}  {}", self.task_id, self.status, self.step)
    }
}

/// Longest title of a step, in characters.
pub(crate) const TITLE: usize = 120;
