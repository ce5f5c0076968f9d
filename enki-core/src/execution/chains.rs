//! How the chains of an execution stand, as people and coordinators see them.

use super::Execution;
use super::step::{FailReason, StepState};
use crate::chain::{Escalation, wid};
use crate::id::StepIx;
use crate::tier::Purpose;

/// The chain of one step, the newest if a refused merge opened another one.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ChainView {
    /// Its name.
    pub wid: String,
    /// How it stands.
    pub standing: Standing,
    /// Fixes begun.
    pub fixes: u32,
    /// Fixes before a person is asked.
    pub max_fixes: u32,
    /// The score of each verdict of the step so far, in order; `None` of one that gave no score.
    pub scores: Vec<Option<f32>>,
}

/// How a chain stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It goes on, in the state of that name.
    Open(Box<str>),
    /// What it made passed, or there was nothing to judge.
    Complete,
    /// A person has to look.
    Escalated(Escalation),
    /// An attempt or what was handed in failed, and no budget was left.
    Failed,
    /// It was given up.
    Cancelled,
}

impl Standing {
    /// The state if it is open, else how it ended, in one word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Open(state) => state,
            Self::Complete => "complete",
            Self::Escalated(_) => "escalated",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Execution {
    /// The chain of a step; `None` if it is not reviewed, or has not begun since it was last tried.
    #[must_use]
    pub fn chain(&self, ix: StepIx) -> Option<ChainView> {
        let (step, plan) = (self.steps.get(ix.index())?, self.plan.steps().get(ix.index())?);
        let (review, course) = (plan.review.as_ref()?, &step.course);
        let standing = match &step.state {
            _ if step.attempts == 0 => return None,
            StepState::Pending => return None,
            StepState::Running(running) if running.purpose == Purpose::Resolve => Standing::Open("resolving".into()),
            StepState::Running(_) => Standing::Open(review.state(course.at).name.clone()),
            StepState::Merging { .. } | StepState::Done(_) => Standing::Complete,
            StepState::Failed(FailReason::Escalated(reason)) => Standing::Escalated(*reason),
            StepState::Failed(_) => Standing::Failed,
            StepState::Cancelled => Standing::Cancelled,
        };
        Some(ChainView {
            wid: wid(self.task(ix), course.number),
            standing,
            fixes: course.fixes,
            max_fixes: review.max_fixes,
            scores: course.rounds.iter().map(|round| round.score).collect(),
        })
    }

    /// The chains of all steps in plan order, once the last one has ended: none is open, and none will begin by itself.
    /// `None` before that, and if there was none.
    #[must_use]
    pub fn joined_chains(&self) -> Option<Vec<(StepIx, ChainView)>> {
        let gated = (0..self.steps.len()).map(StepIx::at).filter(|ix| self.plan.step(*ix).review.is_some());
        let mut all = Vec::new();
        for ix in gated {
            match self.chain(ix) {
                Some(ChainView { standing: Standing::Open(_), .. }) => return None,
                Some(chain) => all.push((ix, chain)),
                // What is blocked does not begin by itself.
                None if self.word(ix) == "blocked" || self.ended.is_some() => {}
                None if matches!(self.step(ix).state, StepState::Cancelled) => {}
                None => return None,
            }
        }
        (!all.is_empty()).then_some(all)
    }
}
