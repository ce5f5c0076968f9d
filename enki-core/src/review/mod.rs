//! How work passes its gate: the states of a review chain, and what leads from one to another. One table for all kinds;
//! [`crate::chain`] walks it.

mod custom;
mod defaults;
mod guard;

pub use custom::{CustomSpec, Problem, StateSpec, WaySpec};
pub use defaults::ReviewDefaults;
pub use guard::{Facts, Guard};

use crate::tier::Purpose;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The review of one step, checked. Copied into the plan, so that what is configured later changes nothing that runs.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Review {
    /// The kind's name.
    pub kind: Box<str>,
    /// Scores below this are at best a revise. From 0 to 10.
    #[serde(deserialize_with = "crate::verdict::finite::score")]
    pub min_score: f32,
    /// Number of fixes before a person is asked.
    pub max_fixes: u32,
    /// Most moves from state to state; the chain escalates before one more.
    pub max_moves: u32,
    /// Times in a row that a review is asked again whose answer cannot be read, before a person is.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reask: u32,
    /// Its states; the first is where it starts.
    states: Vec<State>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// Position of a state in its [`Review`].
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StateIx(pub u16);

/// One open state of a chain.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct State {
    /// Its name.
    pub name: Box<str>,
    /// What an attempt does in it.
    pub does: Does,
    /// What follows; the first way whose guard holds.
    ways: Vec<Way>,
}

/// What an attempt does in a state.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Does {
    /// The step's work.
    Work,
    /// Judges what was captured.
    Review(Reviewer),
    /// Repairs what a review found. Entering such a state costs a fix.
    Fix,
}

/// Who judges.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reviewer {
    /// An agent of that role.
    Agent {
        /// The role; `reviewer` if none is named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<Box<str>>,
    },
    /// A shell command, run on a fresh checkout of exactly the captured tree. Exit 0 is a pass, anything else a revise
    /// with the end of its output as the findings.
    Command {
        /// The command.
        command: Box<str>,
        /// Its limit.
        #[serde(with = "crate::time::millis")]
        timeout: Duration,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Way {
    #[serde(default, skip_serializing_if = "Guard::is_always")]
    when: Guard,
    to: To,
}

/// Where a way leads.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum To {
    /// Another state.
    State(StateIx),
    /// The chain is complete.
    Complete,
    /// A person is asked.
    Escalate,
}

/// Chains of people's own, by name. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Chains(Arc<BTreeMap<String, Arc<Review>>>);

impl Chains {
    /// The same with one more, in place of one of the same name.
    #[must_use]
    pub fn with(mut self, review: Review) -> Self {
        Arc::make_mut(&mut self.0).insert(review.kind.to_string(), Arc::new(review));
        self
    }

    /// The chain of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Review>> {
        self.0.get(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// Limit of a reviewing command that gives none.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(1800);

impl Review {
    /// The default loop: work, review, and fix until it passes.
    #[must_use]
    pub fn work_then_fix(reviewer: Reviewer, min_score: f32, max_fixes: u32) -> Self {
        let states = vec![
            State::new("working", Does::Work, [(Guard::Always, To::State(StateIx(1)))]),
            State::judging("reviewing", reviewer, 2),
            State::new("fixing", Does::Fix, [(Guard::Always, To::State(StateIx(1)))]),
        ];
        Self::of("wrfc_loop", states, min_score, max_fixes)
    }

    /// Only a review, of what is there when the step starts.
    #[must_use]
    pub fn review_only(reviewer: Reviewer, min_score: f32) -> Self {
        let ways = [(Guard::Pass, To::Complete)];
        Self::of("review_only", vec![State::new("reviewing", Does::Review(reviewer), ways)], min_score, 0)
    }

    /// Tests first, and a fix for as long as they fail.
    #[must_use]
    pub fn test_then_fix(reviewer: Reviewer, min_score: f32, max_fixes: u32) -> Self {
        let states = vec![
            State::judging("testing", reviewer, 1),
            State::new("fixing", Does::Fix, [(Guard::Always, To::State(StateIx(0)))]),
        ];
        Self::of("test_then_fix", states, min_score, max_fixes)
    }

    /// Diagnose and apply, verify, and again until it holds.
    #[must_use]
    pub fn fix_loop(reviewer: Reviewer, min_score: f32, max_fixes: u32) -> Self {
        let states = vec![
            State::new("applying", Does::Work, [(Guard::Always, To::State(StateIx(1)))]),
            State::judging("verifying", reviewer, 2),
            State::new("fixing", Does::Fix, [(Guard::Always, To::State(StateIx(1)))]),
        ];
        Self::of("fix_loop", states, min_score, max_fixes)
    }

    fn of(kind: &str, states: Vec<State>, min_score: f32, max_fixes: u32) -> Self {
        Self { kind: kind.into(), min_score, max_fixes, max_moves: Self::bound(max_fixes), reask: 0, states }
    }

    /// Most moves that a chain of a built-in kind with so many fixes can take.
    #[must_use]
    pub const fn bound(max_fixes: u32) -> u32 {
        max_fixes.saturating_mul(2).saturating_add(2)
    }

    /// Names of the built-in kinds.
    pub const KINDS: [&str; 4] = ["wrfc_loop", "review_only", "test_then_fix", "fix_loop"];

    /// The states, the first one first.
    #[must_use]
    pub fn states(&self) -> &[State] {
        &self.states
    }

    /// A state; that of an index that is not there is the first.
    #[must_use]
    pub fn state(&self, ix: StateIx) -> &State {
        self.states.get(usize::from(ix.0)).unwrap_or(&self.states[0])
    }

    /// The first state in which work is judged: where a change goes that was made anew.
    #[must_use]
    pub fn first_review(&self) -> StateIx {
        self.first(|does| matches!(does, Does::Review(_))).unwrap_or_default()
    }

    /// The first state in which work is repaired, if there is one.
    #[must_use]
    pub fn first_fix(&self) -> Option<StateIx> {
        self.first(|does| *does == Does::Fix)
    }

    fn first(&self, is_it: impl Fn(&Does) -> bool) -> Option<StateIx> {
        let at = self.states.iter().position(|state| is_it(&state.does))?;
        u16::try_from(at).ok().map(StateIx)
    }
}

impl State {
    fn new(name: &str, does: Does, ways: impl IntoIterator<Item = (Guard, To)>) -> Self {
        Self { name: name.into(), does, ways: ways.into_iter().map(|(when, to)| Way { when, to }).collect() }
    }

    /// A review that leads on when it passes, and to that fix when it does not.
    fn judging(name: &str, reviewer: Reviewer, fix: u16) -> Self {
        let ways = [(Guard::Pass, To::Complete), (Guard::Revise, To::State(StateIx(fix)))];
        Self::new(name, Does::Review(reviewer), ways)
    }

    /// Where the facts lead; `None` if no guard holds.
    #[must_use]
    pub fn next(&self, facts: &Facts) -> Option<To> {
        self.ways.iter().find(|way| way.when.holds(facts)).map(|way| way.to)
    }

    /// The purpose of its attempts.
    #[must_use]
    pub const fn purpose(&self) -> Purpose {
        match self.does {
            Does::Work => Purpose::Work,
            Does::Review(_) => Purpose::Review,
            Does::Fix => Purpose::Fix,
        }
    }
}

impl Reviewer {
    /// An agent of the usual role.
    #[must_use]
    pub const fn agent() -> Self {
        Self::Agent { role: None }
    }

    /// That command, with the usual limit.
    #[must_use]
    pub fn command(command: &str) -> Self {
        Self::Command { command: command.into(), timeout: COMMAND_TIMEOUT }
    }
}

impl Default for Review {
    /// The default loop, with the scores and fixes of the specification.
    fn default() -> Self {
        Self::work_then_fix(Reviewer::agent(), 9.5, 3)
    }
}
