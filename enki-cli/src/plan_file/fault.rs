//! Problems of a plan that travel to whoever has its text.

use enki_core::plan::{PathPart, PlanProblem, PlanProblems};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A problem of a plan without its text, as it goes over a socket: whoever read the file knows the place.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    pub(super) path: Vec<Part>,
    #[serde(default)]
    pub(super) also: Option<Vec<Part>>,
    pub(super) message: String,
    pub(super) help: String,
}

/// [`PathPart`] as it is sent: a name or a position.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Part {
    Index(usize),
    Field(Cow<'static, str>),
}

impl Fault {
    /// All problems of a plan.
    #[must_use]
    pub fn of(problems: &PlanProblems) -> Vec<Self> {
        problems.0.iter().map(Self::from).collect()
    }
}

impl From<&PlanProblem> for Fault {
    fn from(problem: &PlanProblem) -> Self {
        let parts = |path: &Vec<PathPart>| path.iter().map(Part::from).collect();
        Self {
            path: parts(&problem.path),
            also: problem.also.as_ref().map(parts),
            message: problem.message.clone(),
            help: problem.help.clone(),
        }
    }
}

impl From<&PathPart> for Part {
    fn from(part: &PathPart) -> Self {
        match part {
            PathPart::Field(name) => Self::Field(Cow::Borrowed(*name)),
            PathPart::Index(index) => Self::Index(*index),
        }
    }
}
