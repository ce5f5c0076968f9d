//! What an execution may use: at which level how much of it is used, what a person is told, and what is stopped.

use super::event::{Event, Next, Rejected};
use super::outcome::{AttemptEnd, Outcome};
use super::step::{FailReason, Running};
use super::{Execution, StepState};
use crate::agent::Usage;
use crate::budget::{Budget, BudgetOf, Spent, Unit};
use crate::id::{AttemptNo, StepIx};
use crate::tier::Purpose;

impl Execution {
    /// The limits of that budget.
    #[must_use]
    pub fn budget(&self, of: BudgetOf) -> Budget {
        match of {
            BudgetOf::Execution => self.plan.budget,
            BudgetOf::Step(ix) => self.plan.step(ix).budget,
            BudgetOf::Run(ix) => self.plan.step(ix).run_budget,
        }
    }

    /// How much of it is used, for each of its limits. Of a run's, by the last attempt.
    pub fn spent(&self, of: BudgetOf) -> impl Iterator<Item = Spent> + use<> {
        let used = match of {
            BudgetOf::Execution => self.usage,
            BudgetOf::Step(ix) => self.step(ix).usage,
            BudgetOf::Run(ix) => self.step(ix).spent,
        };
        let budget = self.budget(of);
        Unit::ALL
            .into_iter()
            .filter_map(move |unit| budget.limit(unit).map(|limit| Spent { of, unit, used: used.of(unit), limit }))
    }

    /// The limit that stops a live attempt: it is asked to end, and what it leaves is captured and kept.
    #[must_use]
    pub fn halts(&self, ix: StepIx) -> Option<Spent> {
        self.step(ix).live()?;
        of_attempt(ix).into_iter().flat_map(|of| self.spent(of)).find(Spent::is_over)
    }

    /// What is left for the next run of a step: the least of what all its budgets leave.
    #[must_use]
    pub fn left(&self, ix: StepIx) -> Budget {
        let mut left = self.budget(BudgetOf::Run(ix));
        for spent in [BudgetOf::Step(ix), BudgetOf::Execution].into_iter().flat_map(|of| self.spent(of)) {
            let rest = Some(spent.limit.saturating_sub(spent.used));
            left = left.min(match spent.unit {
                Unit::Tokens => Budget { tokens: rest, cost_micro_usd: None },
                Unit::MicroUsd => Budget { tokens: None, cost_micro_usd: rest },
            });
        }
        left
    }

    /// Nothing more may be used.
    pub(super) fn over_budget(&self) -> Option<Spent> {
        self.spent(BudgetOf::Execution).find(Spent::is_over)
    }

    /// Whether something is left to do that takes an agent. What merges and lands only costs nothing more.
    pub(super) fn wants_agents(&self) -> bool {
        let counts = self.counts;
        counts.pending > counts.blocked || counts.running > 0 || self.landing.resolver.is_some()
    }

    /// The levels that an attempt of a step counts to, with how much of each is used once that attempt used `usage`,
    /// and what was used before that.
    fn once_used(&self, ix: StepIx, usage: Usage) -> impl Iterator<Item = (Spent, u64)> + use<> {
        let more = usage.minus(self.step(ix).spent);
        let levels = of_attempt(ix).map(|of| self.spent(of));
        levels
            .into_iter()
            .flatten()
            .map(move |spent| (Spent { used: spent.used.saturating_add(more.of(spent.unit)), ..spent }, spent.used))
    }

    /// What an attempt uses is recorded as it goes only where a budget depends on it, and once it moved one of them by a
    /// hundredth or reached a share of it that matters: however often agents tell, a budget costs about 100 facts.
    pub(super) fn spending(&self, ix: StepIx, attempt: AttemptNo, usage: Usage) -> Vec<Event> {
        let usage = self.step(ix).spent.max(usage);
        let moved = |(spent, before): (Spent, u64)| {
            let step = u128::from(spent.used - before) * 100 >= u128::from(spent.limit);
            spent.used > before && (step || spent.is_over() || spent.reached(before).next().is_some())
        };
        if !self.once_used(ix, usage).any(moved) {
            return Vec::new();
        }
        let mut events = vec![Event::AttemptSpent { step: ix, attempt, usage }];
        events.extend(self.warnings(ix, usage));
        events
    }

    /// What a person is told once an attempt used `usage`. A share is reached once, by the fact that is recorded with it.
    pub(super) fn warnings(&self, ix: StepIx, usage: Usage) -> Vec<Event> {
        let of_one = |(spent, before): (Spent, u64)| {
            spent.reached(before).map(move |percent| Event::BudgetWarned { percent, spent })
        };
        self.once_used(ix, usage).flat_map(of_one).collect()
    }

    /// An end that a budget explains: it was stopped for it, by us or by itself, or died meanwhile.
    pub(super) fn name_budget(&self, ix: StepIx, end: &mut AttemptEnd) {
        end.usage = self.step(ix).spent.max(end.usage);
        let cut = matches!(end.outcome, Outcome::Killed | Outcome::AgentError { transient: false, .. });
        if cut && self.once_used(ix, end.usage).any(|(spent, _)| spent.is_over()) {
            end.outcome = Outcome::OverBudget;
        }
    }

    /// No further attempt of a step begins once its budget is used up, or that of the run that just ended. What needs none
    /// goes on, and more of the budget lets it go on from here.
    pub(super) fn within_budget(&self, ix: StepIx, run: Option<Usage>, next: Next) -> Next {
        let usage = run.unwrap_or(self.step(ix).spent);
        let own = |(spent, _): &(Spent, u64)| match spent.of {
            BudgetOf::Execution => false,
            BudgetOf::Step(_) => spent.is_over(),
            BudgetOf::Run(_) => run.is_some() && spent.is_over(),
        };
        match next {
            Next::Run { .. } => match self.once_used(ix, usage).find(own) {
                Some((spent, _)) => Next::Fail(FailReason::Budget { spent, then: Box::new(next) }),
                None => next,
            },
            Next::Done(_) | Next::Merge { .. } | Next::Fail(_) => next,
        }
    }

    /// A person sets limits anew; those not given stay.
    pub(super) fn set_budget(&self, of: BudgetOf, budget: Budget) -> Result<Vec<Event>, Rejected> {
        if let Some(ix) = of.step() {
            self.known(ix)?;
        }
        let action = "change the budget";
        let state = |text: String| Rejected::InvalidState { action, state: text };
        if self.is_final() || self.cancelling {
            return Err(state(format!("the execution is {}", self.status())));
        }
        let new = budget.or(self.budget(of));
        // What a run used is over with it.
        if !matches!(of, BudgetOf::Run(_)) {
            let used = |unit| match of {
                BudgetOf::Execution => self.usage.of(unit),
                BudgetOf::Step(ix) | BudgetOf::Run(ix) => self.step(ix).usage.of(unit),
            };
            for unit in Unit::ALL {
                if let Some(limit) = budget.limit(unit).filter(|limit| *limit <= used(unit)) {
                    let (used, limit) = (unit.show(used(unit)), unit.show(limit));
                    return Err(state(format!("{used} are used already, so {limit} leave nothing; give more")));
                }
            }
        }
        if new == self.budget(of) {
            return Ok(Vec::new());
        }
        Ok(vec![Event::BudgetSet { of, budget: new }])
    }

    /// The limit of its own that keeps a step from being tried again.
    pub(super) fn step_is_over(&self, ix: StepIx) -> Option<Spent> {
        self.spent(BudgetOf::Step(ix)).find(Spent::is_over)
    }

    /// Takes in what an attempt used up to now.
    pub(super) fn take_usage(&mut self, ix: StepIx, usage: Usage) {
        let step = &mut self.steps[ix.index()];
        let more = usage.minus(step.spent);
        step.spent = step.spent.max(usage);
        step.usage = step.usage.plus(more);
        self.usage = self.usage.plus(more);
    }

    /// Whether the next attempt goes on with what one left that a budget ended. A half resolved conflict is resolved anew.
    pub(super) fn goes_on_with(&self, ix: StepIx, end: &AttemptEnd) -> bool {
        let works =
            matches!(&self.step(ix).state, StepState::Running(Running { purpose: Purpose::Work | Purpose::Fix, .. }));
        works && end.outcome == Outcome::OverBudget && end.work.is_some()
    }

    /// Whether an attempt ends by itself now, because a budget of its own is used up.
    pub(super) fn ends_by_budget(&self, ix: StepIx) -> bool {
        matches!(self.step(ix).state, StepState::Running(_))
            && self.halts(ix).is_some_and(|spent| spent.of != BudgetOf::Execution)
    }
}

/// The budgets that an attempt of a step counts to, the narrowest first.
const fn of_attempt(ix: StepIx) -> [BudgetOf; 3] {
    [BudgetOf::Run(ix), BudgetOf::Step(ix), BudgetOf::Execution]
}
