//! Tiers, priorities and purposes: the small words that steer scheduling.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which model and which concurrency class an attempt uses. Not a priority.
// Part of stored format 1: see `crate::record` before changing it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Small, mechanical work. Alias `haiku`.
    #[serde(alias = "haiku")]
    Light,
    /// The default. Alias `sonnet`.
    #[default]
    #[serde(alias = "sonnet")]
    Standard,
    /// Hard or wide work. Alias `opus`.
    #[serde(alias = "opus")]
    Heavy,
}

impl Tier {
    /// All tiers, from light to heavy.
    pub const ALL: [Self; 3] = [Self::Light, Self::Standard, Self::Heavy];

    /// The word used in plans, configuration and `ENKI_TIER`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Standard => "standard",
            Self::Heavy => "heavy",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which ready step starts first, before any other difference but an open chain.
// Part of stored format 1: see `crate::record` before changing it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before everything else.
    High,
    /// The default.
    #[default]
    Normal,
    /// After everything else.
    Low,
}

/// What an attempt is for.
// Part of stored format 1: see `crate::record` before changing it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Do the step.
    Work,
    /// Judge what was captured; changes nothing.
    Review,
    /// Repair what the review found.
    Fix,
    /// Solve the conflict between the step's change and its new base.
    Resolve,
}

impl Purpose {
    /// The word used in `ENKI_PURPOSE` and on screen.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Review => "review",
            Self::Fix => "fix",
            Self::Resolve => "resolve",
        }
    }
}

/// Whose login an attempt uses. What the service tells one of them, to wait, holds for all that share it.
// Part of stored format 1: see `crate::record` before changing it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// That of the agents that work; also of reviewers, unless these are another program.
    Worker,
    /// That of reviewers which are another program.
    Reviewer,
    /// None: a command that judges.
    Command,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
