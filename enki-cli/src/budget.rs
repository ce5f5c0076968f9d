//! Budgets at the command line and in views: flags, defaults from the configuration, and how a used share is shown.

use crate::config::Config;
use crate::error::CliError;
use crate::render::money;
use clap::Args;
use enki_core::budget::{Budget, BudgetOf, Spent, Unit};
use enki_core::execution::{Execution, FailReason, HoldReason, StepState};
use enki_core::id::StepIx;
use enki_core::spec::{BudgetSpec, PlanSpec, StepBudgetSpec, StepSpec};
use serde::Serialize;

/// More to spend for a step that is tried again.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct More {
    /// The step may cost that much, over all its attempts
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    budget_usd: Option<String>,
    /// The step may use so many tokens, over all its attempts
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    budget_tokens: Option<String>,
    /// Each of its attempts may cost that much
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    run_budget_usd: Option<String>,
    /// Each of its attempts may use so many tokens
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    run_budget_tokens: Option<String>,
}

impl More {
    /// For the step, and for each of its runs.
    pub(crate) fn read(&self) -> Result<(Budget, Budget), CliError> {
        let own = flags("--budget", self.budget_usd.as_deref(), self.budget_tokens.as_deref())?;
        let run = flags("--run-budget", self.run_budget_usd.as_deref(), self.run_budget_tokens.as_deref())?;
        Ok((limits(own), limits(run)))
    }
}

/// Reads the flags `<prefix>-usd` and `<prefix>-tokens`.
pub(crate) fn flags(prefix: &str, usd: Option<&str>, tokens: Option<&str>) -> Result<BudgetSpec, CliError> {
    let wrong = |flag: &str, text: &str, hint: &str| {
        CliError::usage(format!("invalid value {text:?} for {prefix}-{flag}")).hint(hint)
    };
    let amount = |text: &str| text.parse().ok().filter(|usd: &f64| usd.is_finite() && (0.0..=1e6).contains(usd));
    let cost_usd = usd.map(|text| amount(text).ok_or_else(|| wrong("usd", text, "use a number from 0 to 1000000")));
    let number = |text: &str| text.parse::<u64>().ok();
    let tokens = tokens.map(|text| number(text).ok_or_else(|| wrong("tokens", text, "use a whole number")));
    Ok(BudgetSpec { tokens: tokens.transpose()?, cost_usd: cost_usd.transpose()? })
}

/// The limits that such a text means; its amounts were checked.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1000000 dollars")]
pub(crate) fn limits(spec: BudgetSpec) -> Budget {
    Budget { tokens: spec.tokens, cost_micro_usd: spec.cost_usd.map(|usd| (usd * 1e6).round() as u64) }
}

/// Fills in the budgets that a plan does not give.
pub(crate) fn fill_in(spec: &mut PlanSpec, config: &Config) {
    let whole = spec.budget.unwrap_or_default().or(configured(config, "budget"));
    spec.budget = (whole != BudgetSpec::default()).then_some(whole);
    let steps = of_steps(spec.defaults.budget, config);
    spec.defaults.budget = (steps != StepBudgetSpec::default()).then_some(steps);
}

/// The same for steps that are added to an execution, which has no defaults for them.
pub(crate) fn fill_in_steps(steps: &mut [StepSpec], config: &Config) {
    for step in steps {
        let budget = of_steps(step.budget, config);
        step.budget = (budget != StepBudgetSpec::default()).then_some(budget);
    }
}

fn of_steps(given: Option<StepBudgetSpec>, config: &Config) -> StepBudgetSpec {
    let given = given.unwrap_or_default();
    let own = given.of_step().or(configured(config, "budget.step"));
    let run = given.of_run().or(configured(config, "budget.run"));
    let run = (run != BudgetSpec::default()).then_some(run);
    StepBudgetSpec { tokens: own.tokens, cost_usd: own.cost_usd, run }
}

pub(crate) fn configured(config: &Config, prefix: &str) -> BudgetSpec {
    let (tokens, usd) = (format!("{prefix}.tokens"), format!("{prefix}.cost_usd"));
    BudgetSpec { tokens: config.get(&tokens).map(|_| config.int(&tokens)), cost_usd: config.number(&usd) }
}

/// How much of a limit is used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct BudgetView {
    /// `execution`, `step` or `run`; of a run's, by the last attempt.
    pub(crate) of: &'static str,
    /// `usd` or `tokens`.
    pub(crate) unit: &'static str,
    pub(crate) used: f64,
    pub(crate) limit: f64,
    pub(crate) percent: u64,
    #[serde(skip)]
    spent: Spent,
}

impl BudgetView {
    fn of(spent: Spent) -> Self {
        let amount = |amount: u64| match spent.unit {
            Unit::Tokens => amount as f64,
            Unit::MicroUsd => money(amount),
        };
        Self {
            of: spent.of.as_str(),
            unit: word(spent.unit),
            used: amount(spent.used),
            limit: amount(spent.limit),
            percent: spent.percent(),
            spent,
        }
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let of = if self.of == "run" { ", each attempt" } else { "" };
        format!("{} ({} %){of}", self.spent.amounts(), self.percent)
    }

    /// Whether people should see it without asking.
    pub(crate) fn matters(&self) -> bool {
        self.percent >= u64::from(enki_core::budget::WARNINGS[0])
    }
}

/// The budget of an execution.
pub(crate) fn of_execution(execution: &Execution) -> Vec<BudgetView> {
    execution.spent(BudgetOf::Execution).map(BudgetView::of).collect()
}

/// Those of a step and of its runs.
pub(crate) fn of_step(execution: &Execution, ix: StepIx) -> Vec<BudgetView> {
    [BudgetOf::Step(ix), BudgetOf::Run(ix)].into_iter().flat_map(|of| execution.spent(of)).map(BudgetView::of).collect()
}

/// The command that answers a hold.
pub(crate) fn answer_to(execution: &Execution, reason: &HoldReason) -> String {
    let resume = format!("enki resume {}", execution.id());
    match reason {
        HoldReason::Landing { command, .. } => command.clone(),
        HoldReason::Budget => {
            let over = execution.spent(BudgetOf::Execution).filter(Spent::is_over);
            over.fold(resume, |command, spent| command + &format!(" --budget-{} N", word(spent.unit)))
        }
        _ => resume,
    }
}

/// The command that tries a failed step again.
pub(crate) fn retry(execution: &Execution, ix: StepIx) -> String {
    let task = execution.task(ix);
    match &execution.step(ix).state {
        StepState::Failed(FailReason::Budget { spent, .. }) => {
            let run = if matches!(spent.of, BudgetOf::Run(_)) { "run-" } else { "" };
            format!("enki retry {task} --{run}budget-{} N", word(spent.unit))
        }
        _ => format!("enki retry {task}"),
    }
}

const fn word(unit: Unit) -> &'static str {
    match unit {
        Unit::Tokens => "tokens",
        Unit::MicroUsd => "usd",
    }
}
