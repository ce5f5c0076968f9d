//! Who calls, and what they may.

use serde::{Deserialize, Serialize};

/// What kind of caller holds a token.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Talks to the person, makes plans and steers them. It works on nothing itself.
    Coordinator,
    /// Works on a step or repairs it.
    Worker,
    /// Works on a step that changes no source.
    Reader,
    /// Judges what was done.
    Reviewer,
    /// Brings a change together with one that landed first.
    Resolver,
    /// Does a quick task.
    Quick,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Coordinator, Self::Worker, Self::Reader, Self::Reviewer, Self::Resolver, Self::Quick];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Worker => "worker",
            Self::Reader => "reader",
            Self::Reviewer => "reviewer",
            Self::Resolver => "resolver",
            Self::Quick => "quick",
        }
    }
}
