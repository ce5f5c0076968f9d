//! The review loop of one step, usable alone: work, review, fix, until it is complete or a person has to look.
//!
//! [`Chain`] is the machine: [`Chain::decide`] says what an input means, [`Chain::apply`] is the only way it changes,
//! [`Chain::wanted`] says which attempt should run. It knows no plan, no repository and no clock; `examples/review_loop.rs`
//! drives one in a page. [`Course`] is what it shares with the steps of an execution: all policy, and all counters.
//! Which states there are is said by a [`Review`](crate::review::Review). [`outside`] holds chains whose directives somebody
//! else performs.
//!
//! ```text
//! New ── attempt ──> Work ──> Review ── pass ──> Complete
//!                      ^        │ revise, fixes left
//!                      │        v
//!                      └────── Fix        revise, none left; fail; no word; no progress ──> Escalated
//! ```
//!
//! With `m` fixes allowed: at most `m` fixes, `m + 1` reviews, `2 m + 2` attempts and moves, beside repeats that
//! infrastructure caused and resolutions of clashes, which have budgets of their own.

mod course;
mod machine;
pub mod outside;
mod wid;

pub use course::{Charge, Course, Ended, Known, Refused, Round, Then};
pub use machine::{Chain, Event, Input, Rejected, Report, State, Wanted};
pub use wid::{InvalidWid, Wid, wid};

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a chain needs a person.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Escalation {
    /// A review could not be understood.
    Unparsable,
    /// The review says that repairs will not help.
    Replan,
    /// It did not pass within its fixes.
    FixesExhausted,
    /// An attempt that may change nothing, a review or one of a role that only reads, changed files twice.
    ReviewerEdited,
    /// The agent asks a person to decide.
    ByAgent,
    /// A fix changed nothing, and the review found the same again.
    NoProgress,
    /// It went from state to state as often as it may.
    TooLong,
    /// The definition of the chain says nothing of this case.
    NoWay,
}

impl Escalation {
    /// The reason of it towards a person, of the five that there are: an agent that asks lacks something only a person
    /// knows; everything else came up while the chain ran.
    #[must_use]
    pub const fn to_person(self) -> &'static str {
        match self {
            Self::ByAgent => "missing_information",
            Self::Unparsable
            | Self::Replan
            | Self::FixesExhausted
            | Self::ReviewerEdited
            | Self::NoProgress
            | Self::TooLong
            | Self::NoWay => "runtime_escalation",
        }
    }

    /// The word that is shown and put in directives.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unparsable => "unparsable",
            Self::Replan => "replan",
            Self::FixesExhausted => "fixes_exhausted",
            Self::ReviewerEdited => "reviewer_edited",
            Self::ByAgent => "by_agent",
            Self::NoProgress => "no_progress",
            Self::TooLong => "too_long",
            Self::NoWay => "no_way",
        }
    }
}

impl fmt::Display for Escalation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unparsable => "the review could not be understood",
            Self::Replan => "the review asks for another plan",
            Self::FixesExhausted => "it did not pass its review within its fixes",
            Self::ReviewerEdited => "an attempt that may change no file changed some, twice",
            Self::ByAgent => "the agent asks a person to decide",
            Self::NoProgress => "the last fix changed nothing, and the review found the same again",
            Self::TooLong => "its chain went from state to state as often as it may",
            Self::NoWay => "its chain says nothing of such a verdict",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_asks_lacks_information_and_everything_else_came_up_on_the_way() {
        assert_eq!(Escalation::ByAgent.to_person(), "missing_information");
        assert_eq!(Escalation::NoProgress.to_person(), "runtime_escalation");
    }
}
