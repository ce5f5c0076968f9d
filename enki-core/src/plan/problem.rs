//! What is wrong with a plan, and where.

use std::fmt;

/// Where in a plan a problem lies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PathPart {
    /// A field of a table.
    Field(&'static str),
    /// A position in a list, from 0.
    Index(usize),
}

impl From<&'static str> for PathPart {
    fn from(name: &'static str) -> Self {
        Self::Field(name)
    }
}

impl From<usize> for PathPart {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// Something in a plan that cannot be accepted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlanProblem {
    /// The field it is about, from the top.
    pub path: Vec<PathPart>,
    /// A second place that is part of it, such as the first use of a duplicate id.
    pub also: Option<Vec<PathPart>>,
    /// What is wrong, with the value.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl fmt::Display for PlanProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, part) in self.path.iter().enumerate() {
            match part {
                PathPart::Field(name) if n == 0 => write!(f, "{name}")?,
                PathPart::Field(name) => write!(f, ".{name}")?,
                PathPart::Index(index) => write!(f, "[{index}]")?,
            }
        }
        write!(f, ": {}; {}", self.message, self.help)
    }
}

/// All that is wrong with a plan, at least one thing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlanProblems(pub Vec<PlanProblem>);

impl fmt::Display for PlanProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for PlanProblems {}
