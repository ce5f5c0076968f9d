//! Which history is simulated, and a shorter one that breaks the same promise.

use super::{Faults, Report, Simulation, Transcript};
use std::collections::BTreeSet;
use std::fmt;

/// Names one history: the same name gives the same one, byte for byte.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct History {
    /// Where its random numbers come from.
    pub seed: u64,
    /// Faults of [`Faults::NAMES`] that it has not, although the seed gives them.
    pub without: BTreeSet<String>,
    /// How long its first phase is, in virtual milliseconds.
    pub turmoil: i64,
}

/// A promise was broken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("seed {}: {broken}\nreplay it: {history}", .history.seed)]
pub struct Failure {
    /// In which history.
    pub history: History,
    /// Which promise, and how.
    pub broken: String,
}

/// Runs the history of that seed.
///
/// # Errors
///
/// What was broken, with the command that shows it again.
pub fn simulate(seed: u64) -> Result<Report, Failure> {
    History::new(seed).run()
}

/// The same, and everything that happened, a line each.
pub fn simulate_aloud(seed: u64) -> (Result<Report, Failure>, Vec<String>) {
    History::new(seed).run_aloud()
}

impl History {
    /// The history of that seed, with all its faults.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, without: BTreeSet::new(), turmoil: 40 * 60 * 1000 }
    }

    /// Runs it.
    ///
    /// # Errors
    ///
    /// What was broken, with the command that shows it again.
    pub fn run(&self) -> Result<Report, Failure> {
        Simulation::new(self, Transcript::No).run().0
    }

    /// The same, and everything that happened, a line each.
    pub fn run_aloud(&self) -> (Result<Report, Failure>, Vec<String>) {
        let (result, transcript) = Simulation::new(self, Transcript::Yes).run();
        (result, transcript.unwrap_or_default())
    }

    /// A history of the same seed that breaks the same promise with as few kinds of faults and in as little time as was
    /// found: its transcript is the one to read. Itself, if it breaks none.
    #[must_use]
    pub fn shrink(&self) -> Self {
        let Some(promise) = self.breaks() else { return self.clone() };
        let mut least = self.clone();
        let fails = |history: &Self| history.breaks().is_some_and(|other| other == promise);
        loop {
            let before = least.clone();
            for name in Faults::NAMES {
                let mut less = least.clone();
                if less.without.insert(name.to_owned()) && fails(&less) {
                    least = less;
                }
            }
            // Not every shorter one fails too: the random numbers are used for other things then.
            for part in [2, 4, 8, 16] {
                let less = Self { turmoil: least.turmoil - least.turmoil / part, ..least.clone() };
                if fails(&less) {
                    least = less;
                    break;
                }
            }
            if least == before {
                return least;
            }
        }
    }

    /// The promise that it breaks, by its id.
    fn breaks(&self) -> Option<String> {
        let broken = self.run().err()?.broken;
        Some(broken.split(':').next().unwrap_or_default().to_owned())
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = Self::new(self.seed);
        write!(f, "cargo run --release -p enki-testkit --example simulate -- --seed {}", self.seed)?;
        if self.turmoil != plain.turmoil {
            write!(f, " --turmoil {}", self.turmoil)?;
        }
        self.without.iter().try_for_each(|name| write!(f, " --without {name}"))
    }
}
