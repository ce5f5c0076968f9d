//! What an outside coordinator is told of the chains of an execution, derived from its log: never stored, so that the same
//! log gives the same directives, in the same order, however often it is asked.

use super::event::{Event, Next};
use super::outcome::Outcome;
use super::step::FailReason;
use super::{Execution, Refusal, StepState};
use crate::chain::wid;
use crate::gv::{Directive, Spawned};
use crate::id::StepIx;
use crate::review::Reviewer;
use crate::tier::Purpose;

impl Execution {
    /// The directive that follows from an event of this execution, whose state is that after the event.
    #[must_use]
    pub fn directive(&self, event: &Event) -> Option<Directive> {
        match event {
            Event::AttemptEnded { step, end, next, .. } => {
                let judged = matches!(end.outcome, Outcome::Reviewed(_));
                self.of_next(*step, next, judged)
            }
            Event::MergeRefused { step, reason, next } => self.of_next(*step, next, matches!(reason, Refusal::Empty)),
            Event::StepAccepted { step, next, .. } => self.of_next(*step, next, true),
            // It goes on where a budget stopped it.
            Event::StepRetried { step, .. } => match &self.steps.get(step.index())?.state {
                StepState::Running(running) => self.of_run(*step, running.purpose),
                _ => None,
            },
            _ => None,
        }
    }

    fn of_next(&self, ix: StepIx, next: &Next, judged: bool) -> Option<Directive> {
        let (plan, course) = (self.plan.steps().get(ix.index())?, &self.steps.get(ix.index())?.course);
        plan.review.as_ref()?;
        let wid = wid(self.task(ix), course.number);
        match next {
            Next::Run { purpose, .. } => self.of_run(ix, *purpose),
            Next::Merge { .. } | Next::Done(_) if judged => Some(Directive::Complete { wid }),
            Next::Fail(FailReason::Escalated(reason)) => {
                let last = course.rounds.last().and_then(|round| round.score);
                let score = last.map_or_else(String::new, |score| format!(", last score {score}/10"));
                Some(Directive::Escalate { wid, reason: format!("{reason}{score}") })
            }
            _ => None,
        }
    }

    /// The attempt that a chain wants, in the state that it is in.
    fn of_run(&self, ix: StepIx, purpose: Purpose) -> Option<Directive> {
        let (plan, course) = (self.plan.steps().get(ix.index())?, &self.steps.get(ix.index())?.course);
        let review = plan.review.as_ref()?;
        let wid = wid(self.task(ix), course.number);
        let task = |verb: &str| format!("{verb} step {}: {}", plan.id, plan.title);
        match purpose {
            Purpose::Review => {
                let tests = match &review.state(course.at).does {
                    crate::review::Does::Review(Reviewer::Command { .. }) => true,
                    crate::review::Does::Review(Reviewer::Agent { role }) => role.as_deref() == Some("tester"),
                    _ => false,
                };
                let (kind, verb) = if tests { (Spawned::Tester, "Test") } else { (Spawned::Reviewer, "Review") };
                Some(Directive::spawn(wid, kind, &task(verb)))
            }
            Purpose::Fix => {
                let of = format!(" (fix {} of {})", course.fixes, review.max_fixes);
                Some(Directive::spawn(wid, Spawned::Engineer, &(task("Fix") + &of)))
            }
            Purpose::Work | Purpose::Resolve => None,
        }
    }
}
