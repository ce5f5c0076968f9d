//! What a person may ask of an execution, the same whether this process drives, another does, or nobody.

use crate::error::CliError;
use crate::look;
use crate::plan_file::Fault;
use enki_core::budget::{Budget, BudgetOf};
use enki_core::driver::Orchestrator;
use enki_core::engine::Engine;
use enki_core::execution::{Answer, Command, HoldNo, RetryMode, StepState};
use enki_core::id::{ExecutionId, StepIx};
use enki_core::plan::{External, PlanLimits};
use enki_core::redact::Redactor;
use enki_core::spec::StepSpec;
use enki_core::store::{Found, TaskStore};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// A wish.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub(crate) enum Action {
    /// Start nothing new.
    Pause { id: Option<String> },
    /// Go on: clear the pause, answer the holds.
    Resume {
        id: Option<String>,
        /// What it may cost from now on.
        #[serde(default)]
        budget: Budget,
    },
    /// Give up.
    Cancel { id: String },
    /// Try a failed step again; of an execution, all that failed.
    Retry {
        id: String,
        mode: Option<RetryMode>,
        /// What each may cost from now on, over all its attempts.
        #[serde(default)]
        budget: Budget,
        /// And each of its attempts.
        #[serde(default)]
        run_budget: Budget,
        /// What is told from now on.
        #[serde(default)]
        note: Option<String>,
    },
    /// Take the work of an escalated step as it is.
    Accept { id: String, by: String, why: String },
    /// Add steps.
    Add { id: String, steps: Vec<StepSpec> },
    /// Answer one hold.
    Decide { id: String, hold: Option<u32>, answer: Answer },
    /// Land what is merged and has not landed.
    Land { id: String },
    /// Pause everything and stop all agents.
    Stop,
}

/// What became of a wish.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    /// The executions it was about.
    pub(crate) executions: Vec<String>,
    /// Their status now.
    pub(crate) status: String,
    /// Steps whose agents still run.
    pub(crate) draining: Vec<String>,
    /// In one line.
    pub(crate) message: String,
}

/// Makes a command from the state it is about.
pub(crate) type Make = Box<dyn FnOnce(&Engine) -> Result<Vec<Command>, CliError> + Send>;

/// Who decides: a running driver, or the machines taken from the store for one call.
pub(crate) trait Decides {
    /// Does what `make` makes of the state. Durable on return.
    async fn decide(&mut self, execution: ExecutionId, make: Make) -> Result<(), CliError>;
    /// The state now.
    async fn state(&mut self, execution: ExecutionId) -> Result<(String, Vec<String>), CliError>;
}

impl Decides for Orchestrator {
    async fn decide(&mut self, execution: ExecutionId, make: Make) -> Result<(), CliError> {
        self.load(execution).await?;
        for command in self.query(make).await?? {
            self.command(execution, command).await?;
        }
        Ok(())
    }

    async fn state(&mut self, execution: ExecutionId) -> Result<(String, Vec<String>), CliError> {
        Ok(self.query(move |engine| state_in(engine, execution)).await?)
    }
}

/// Status word and live steps of an execution.
pub(crate) fn state_in(engine: &Engine, id: ExecutionId) -> (String, Vec<String>) {
    let Some(execution) = engine.execution(id) else { return ("unknown".to_owned(), Vec::new()) };
    let live = execution.steps().iter().enumerate().filter(|(_, step)| step.live().is_some());
    let names = live.map(|(n, _)| execution.plan().step(StepIx::at(n)).id.to_string()).collect();
    (execution.status().to_owned(), names)
}

/// Does what is wished.
pub(crate) async fn perform(
    decides: &mut impl Decides,
    store: &dyn TaskStore,
    action: Action,
    limits: PlanLimits,
) -> Result<Done, CliError> {
    let simple = |command: Command| -> Make { Box::new(move |_: &Engine| Ok(vec![command])) };
    let (execution, make, verb): (ExecutionId, Make, String) = match action {
        Action::Pause { id } => {
            let named = look::find(store, id.as_deref()).await?;
            (named.execution, simple(Command::Pause(named.step)), "paused".into())
        }
        Action::Resume { id, budget } => {
            let named = look::find(store, id.as_deref()).await?;
            let of = named.step.map_or(BudgetOf::Execution, BudgetOf::Step);
            let more = (budget != Budget::default()).then_some(Command::Budget { of, budget });
            let commands: Vec<Command> = more.into_iter().chain([Command::Resume(named.step)]).collect();
            (named.execution, Box::new(move |_: &Engine| Ok(commands)), "resumed".into())
        }
        Action::Cancel { id } => {
            let named = look::find(store, Some(&id)).await?;
            let command = Command::Cancel { step: named.step, committing: Vec::new() };
            (named.execution, simple(command), "cancelled".into())
        }
        Action::Retry { id, mode, budget, run_budget, note } => {
            let named = look::find(store, Some(&id)).await?;
            let make = move |engine: &Engine| {
                let retries = retries(engine, named.execution, named.step, mode, note.as_deref())?;
                Ok(retries.into_iter().flat_map(|retry| with_more(retry, budget, run_budget)).collect())
            };
            (named.execution, Box::new(make), "to be tried again".into())
        }
        Action::Accept { id, by, why } => {
            let named = look::find(store, Some(&id)).await?;
            let step = named.step.ok_or_else(|| {
                CliError::usage(format!("{id:?} is an execution, and only a task is taken as it is"))
                    .hint("`enki status ID` shows its tasks")
            })?;
            (named.execution, simple(Command::Accept { step, by, why }), "takes the step as it is".into())
        }
        Action::Add { id, steps } => {
            let named = look::find(store, Some(&id)).await?;
            // As of a plan that is submitted: what is recorded stays, and goes from there into prompts and commits.
            let steps = Redactor::default().clean_all(steps);
            let externals = externals(store, &steps).await?;
            let word = if steps.len() == 1 { "step" } else { "steps" };
            let verb = format!("got {} {word} more", steps.len());
            let make = move |engine: &Engine| {
                let Some(execution) = engine.execution(named.execution) else { return Ok(Vec::new()) };
                let checked = execution.plan().check_added(&steps, &limits, &externals).map_err(|problems| {
                    let mut error = CliError::usage(problems.to_string()).hint("fix the steps; nothing was added");
                    error.faults = Fault::of(&problems);
                    error
                })?;
                Ok(vec![Command::AddSteps(checked)])
            };
            (named.execution, Box::new(make), verb)
        }
        Action::Decide { id, hold, answer } => {
            let named = look::find(store, Some(&id)).await?;
            let make = move |engine: &Engine| decided(engine, named.execution, hold, answer);
            (named.execution, Box::new(make), "answered".into())
        }
        Action::Land { id } => {
            let named = look::find(store, Some(&id)).await?;
            (named.execution, simple(Command::Land), "to land as it is".into())
        }
        Action::Stop => return stop(decides, store).await,
    };
    decides.decide(execution, make).await?;
    let (status, draining) = decides.state(execution).await?;
    let message = match (verb.as_str(), status.as_str()) {
        ("cancelled", "done") => format!("{execution} is done; there was nothing to cancel"),
        (verb, status) if verb == status => format!("{execution} is {status}"),
        _ => format!("{execution} {verb}, now {status}"),
    };
    Ok(Done { executions: vec![execution.to_string()], status, draining, message })
}

fn retries(
    engine: &Engine,
    id: ExecutionId,
    step: Option<StepIx>,
    mode: Option<RetryMode>,
    note: Option<&str>,
) -> Result<Vec<Command>, CliError> {
    let retry = |step| Command::Retry { step, mode, note: note.map(str::to_owned) };
    if let Some(step) = step {
        return Ok(vec![retry(step)]);
    }
    let Some(execution) = engine.execution(id) else { return Ok(Vec::new()) };
    // A step of Enki's own is tried again by a landing.
    let failed = execution.steps().iter().enumerate();
    let failed = failed.filter(|(_, s)| matches!(s.state, StepState::Failed(_)) && s.landing.is_none());
    let all: Vec<Command> = failed.map(|(n, _)| retry(StepIx::at(n))).collect();
    if all.is_empty() {
        return Err(CliError::usage(format!("no step of {id} has failed")).hint("`enki status ID` shows the steps"));
    }
    Ok(all)
}

/// A retry, after what its step may cost from now on.
fn with_more(retry: Command, budget: Budget, run_budget: Budget) -> Vec<Command> {
    let Command::Retry { step, .. } = retry else { return vec![retry] };
    let given = [(BudgetOf::Step(step), budget), (BudgetOf::Run(step), run_budget)];
    let given = given.into_iter().filter(|(_, budget)| *budget != Budget::default());
    given.map(|(of, budget)| Command::Budget { of, budget }).chain([retry]).collect()
}

fn decided(engine: &Engine, id: ExecutionId, hold: Option<u32>, answer: Answer) -> Result<Vec<Command>, CliError> {
    let Some(execution) = engine.execution(id) else { return Ok(Vec::new()) };
    let hold = match (hold, execution.holds().len()) {
        (Some(hold), _) => HoldNo(hold),
        (None, 1) => *execution.holds().keys().next().expect("there is one"),
        (None, 0) => {
            return Err(CliError::usage(format!("{id} waits for no answer")).hint("`enki status ID` shows the state"));
        }
        (None, n) => {
            return Err(CliError::usage(format!("{id} waits for {n} answers"))
                .hint("name one with --hold, see `enki status ID`"));
        }
    };
    Ok(vec![Command::Decide { hold, answer, committing: Vec::new() }])
}

/// What the tasks that new steps name stand for.
async fn externals(store: &dyn TaskStore, steps: &[StepSpec]) -> Result<HashMap<String, External>, CliError> {
    let mut all = HashMap::new();
    for name in steps.iter().flat_map(|step| &step.needs).filter_map(|need| need.task.as_deref()) {
        match store.find(name).await?.as_slice() {
            [Found::Execution(execution)] => {
                all.insert(name.to_owned(), External { execution: *execution, step: None });
            }
            [Found::Task { execution, ix, .. }] => {
                all.insert(name.to_owned(), External { execution: *execution, step: Some(*ix) });
            }
            // Unknown ones are a problem of the plan, found and placed by its check.
            _ => {}
        }
    }
    Ok(all)
}

async fn stop(decides: &mut impl Decides, store: &dyn TaskStore) -> Result<Done, CliError> {
    let open = store.list(&look::listed(true, 1000)).await?;
    let mut done =
        Done { executions: Vec::new(), status: "paused".into(), draining: Vec::new(), message: String::new() };
    for summary in open {
        decides.decide(summary.execution, Box::new(|_: &Engine| Ok(vec![Command::Stop]))).await?;
        let (_, live) = decides.state(summary.execution).await?;
        done.draining.extend(live);
        done.executions.push(summary.execution.to_string());
    }
    done.message = match done.executions.len() {
        0 => "nothing is open".into(),
        1 => format!("stopped {}; `enki resume` goes on", done.executions[0]),
        n => format!("stopped {n} executions; `enki resume ID` goes on"),
    };
    Ok(done)
}
