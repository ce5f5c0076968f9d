//! Budgets: what a run, a step or an execution may use, and at which shares of it a person is told.

use crate::id::StepIx;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The shares of a budget, in percent, at which a person is told that they are used.
pub const WARNINGS: [u8; 3] = [50, 80, 95];

/// What may be used at most. What it is silent about has no limit.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Tokens, read and written together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Money, in millionths of a US dollar.
    #[serde(default, rename = "micro_usd", skip_serializing_if = "Option::is_none")]
    pub cost_micro_usd: Option<u64>,
}

/// What a budget counts.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Tokens, read and written together.
    Tokens,
    /// Millionths of a US dollar.
    MicroUsd,
}

/// Whose budget it is.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetOf {
    /// That of the execution: all attempts of all steps.
    Execution,
    /// That of a step: all its attempts, reviews and fixes.
    Step(StepIx),
    /// That of each single attempt of a step.
    Run(StepIx),
}

/// How much of a limit is used.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Whose limit.
    pub of: BudgetOf,
    /// Of what.
    pub unit: Unit,
    /// What is used.
    pub used: u64,
    /// What may be used.
    pub limit: u64,
}

impl Budget {
    /// The limit in that unit.
    #[must_use]
    pub const fn limit(self, unit: Unit) -> Option<u64> {
        match unit {
            Unit::Tokens => self.tokens,
            Unit::MicroUsd => self.cost_micro_usd,
        }
    }

    /// Its limits, with what it is silent about from the other one.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { tokens: self.tokens.or(other.tokens), cost_micro_usd: self.cost_micro_usd.or(other.cost_micro_usd) }
    }

    /// The smaller limit of both in each unit.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        let min = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        Self { tokens: min(self.tokens, other.tokens), cost_micro_usd: min(self.cost_micro_usd, other.cost_micro_usd) }
    }
}

impl Unit {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Tokens, Self::MicroUsd];

    /// An amount of it, for people.
    #[must_use]
    pub fn show(self, amount: u64) -> String {
        match self {
            Self::Tokens => format!("{amount} tokens"),
            Self::MicroUsd if amount.is_multiple_of(10_000) => {
                format!("${}.{:02}", amount / 1_000_000, amount / 10_000 % 100)
            }
            // Never rounded to what it is not: what is used may be just below its limit.
            Self::MicroUsd => {
                let text = format!("${}.{:06}", amount / 1_000_000, amount % 1_000_000);
                text.trim_end_matches('0').to_owned()
            }
        }
    }
}

impl BudgetOf {
    /// The step, if it is about one.
    #[must_use]
    pub const fn step(self) -> Option<StepIx> {
        match self {
            Self::Execution => None,
            Self::Step(step) | Self::Run(step) => Some(step),
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Execution => "execution",
            Self::Step(_) => "step",
            Self::Run(_) => "run",
        }
    }
}

impl Spent {
    /// Whether nothing is left.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.used >= self.limit
    }

    /// What is used and what may be, for people.
    #[must_use]
    pub fn amounts(&self) -> String {
        let limit = self.unit.show(self.limit);
        match self.unit {
            Unit::Tokens => format!("{} of {limit}", self.used),
            Unit::MicroUsd => format!("{} of {limit}", self.unit.show(self.used)),
        }
    }

    /// How much of it is used, in percent, rounded down.
    #[must_use]
    pub fn percent(&self) -> u64 {
        let share = u128::from(self.used) * 100 / u128::from(self.limit.max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    }

    /// The shares to be told of that are used now, and were not when `before` was.
    pub fn reached(self, before: u64) -> impl Iterator<Item = u8> {
        let limit = u128::from(self.limit);
        let uses = move |used: u64, percent: u8| u128::from(used) * 100 >= limit * u128::from(percent);
        WARNINGS.into_iter().filter(move |percent| uses(self.used, *percent) && !uses(before, *percent))
    }
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of the {}'s budget are used", self.amounts(), self.of.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_share_is_reached_once_however_the_use_grows() {
        let spent = |used| Spent { of: BudgetOf::Execution, unit: Unit::Tokens, used, limit: 7 };
        for step in 1..=9 {
            let uses: Vec<u64> = (0..).map(|n| n * step).take_while(|used| *used < 14 + step).collect();
            let reached: Vec<u8> = uses.windows(2).flat_map(|pair| spent(pair[1]).reached(pair[0])).collect();
            assert_eq!(reached, WARNINGS, "in steps of {step}");
        }
        assert_eq!(spent(3).reached(0).count(), 0, "3 of 7 are less than half");
    }

    #[test]
    fn money_is_shown_as_exactly_as_it_is_counted() {
        let shown = [0, 10_000, 1_234_567, 2_000_000, 999_990, 20_000_100].map(|amount| Unit::MicroUsd.show(amount));
        assert_eq!(shown, ["$0.00", "$0.01", "$1.234567", "$2.00", "$0.99999", "$20.0001"]);
    }

    #[test]
    fn no_amount_overflows() {
        let spent = Spent { of: BudgetOf::Execution, unit: Unit::Tokens, used: u64::MAX, limit: 0 };
        assert!(spent.is_over() && spent.percent() == u64::MAX && spent.reached(0).count() == 0);
        assert_eq!(Spent { limit: u64::MAX, ..spent }.percent(), 100);
    }
}
