//! What waits for the person: what is asked, and what an answer does.

use crate::coordinator::is_escalated;
use crate::steer::Action;
use enki_core::budget::Budget;
use enki_core::execution::{Answer, EndStatus, Execution, HoldReason, StepState};
use enki_core::id::{ExecutionId, StepIx};

/// Something that is asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Question {
    pub(super) key: Key,
    /// In one line.
    pub(super) text: String,
    /// What one should know to answer it, shown once.
    pub(super) more: Vec<String>,
    kind: Kind,
}

/// What tells one question from another.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Key {
    /// A hold.
    Hold(ExecutionId, u32),
    /// A step, after so many attempts.
    Step(ExecutionId, usize, u32),
    /// Whether to give an execution up.
    Cancel(String),
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Kind {
    Approval { id: String, hold: u32 },
    Checkpoint { id: String, hold: u32 },
    Escalated { task: String, step: String },
    Cancel { id: String },
}

/// What an answer does.
#[derive(Debug)]
pub(super) enum Does {
    /// That.
    Steer(Action),
    /// The person finishes this line first.
    Write(String),
    /// It waits on; and these words say how to come back to it.
    Waits(&'static str),
}

impl Question {
    /// Whether to give up a whole plan.
    pub(super) fn cancel(id: &str, title: &str) -> Self {
        let (key, kind) = (Key::Cancel(id.to_owned()), Kind::Cancel { id: id.to_owned() });
        Self { key, text: format!("give up the plan {title:?}? What is merged is kept"), more: Vec::new(), kind }
    }

    /// The answers, and what each does.
    pub(super) const fn answers(&self) -> &'static [(&'static str, &'static str)] {
        match self.kind {
            Kind::Approval { .. } => &[("y", "approve"), ("n", "not now")],
            Kind::Checkpoint { .. } => &[("y", "go on"), ("n", "not now")],
            Kind::Escalated { .. } => &[("r", "try again"), ("a", "take it as it is"), ("n", "not now")],
            Kind::Cancel { .. } => &[("y", "give it up"), ("n", "no")],
        }
    }

    /// What that answer does; nothing if the line is none.
    pub(super) fn answer(&self, line: &str) -> Option<Does> {
        let word = answer_word(line)?;
        let go_on =
            |id: &str, hold: u32| Action::Decide { id: id.to_owned(), hold: Some(hold), answer: Answer::Approve };
        Some(match (&self.kind, word) {
            (Kind::Cancel { id }, 'y') => Does::Steer(Action::Cancel { id: id.clone() }),
            (Kind::Cancel { .. }, 'n') => Does::Waits("it goes on"),
            (Kind::Approval { id, hold } | Kind::Checkpoint { id, hold }, 'y') => Does::Steer(go_on(id, *hold)),
            (Kind::Escalated { task, .. }, 'r') => {
                let (budget, run_budget) = (Budget::default(), Budget::default());
                Does::Steer(Action::Retry { id: task.clone(), mode: None, budget, run_budget, note: None })
            }
            (Kind::Escalated { step, .. }, 'a') => Does::Write(format!("/accept {step} ")),
            (Kind::Escalated { .. }, 'n') => Does::Waits("it stays as it is; /retry or /accept come back to it"),
            (_, 'n') => Does::Waits("it waits; /resume goes on, /cancel gives it up"),
            _ => return None,
        })
    }
}

/// A line that answers a question, and is nothing else.
pub(super) fn answer_word(line: &str) -> Option<char> {
    match line.trim().to_lowercase().as_str() {
        "y" | "yes" => Some('y'),
        "n" | "no" => Some('n'),
        "r" => Some('r'),
        "a" => Some('a'),
        _ => None,
    }
}

/// What an execution asks the person.
pub(super) fn of(state: &Execution) -> Vec<Question> {
    let (id, name) = (state.id(), state.id().to_string());
    let mut all = Vec::new();
    let gates = !state.is_paused() && state.ended().is_none();
    for (hold, reason) in state.holds().iter().filter(|_| gates) {
        let key = Key::Hold(id, hold.0);
        let (hold, what) = (hold.0, state.describe(reason));
        all.push(match reason {
            HoldReason::Approval { .. } => {
                let width = state.plan().steps().iter().map(|step| step.id.as_str().len()).max().unwrap_or(0);
                let step = |step: &enki_core::plan::Step| format!("  {:width$}  {}", step.id.as_str(), step.title);
                let mut more = vec![format!("{name} {:?} would do:", state.plan().title)];
                more.extend(crate::render::waves(state.plan()).iter().map(|wave| format!("  {wave}")));
                more.extend(state.plan().steps().iter().map(step));
                let kind = Kind::Approval { id: id.hex(), hold };
                Question { key, text: format!("{:?}: {what}", state.plan().title), more, kind }
            }
            HoldReason::Checkpoint { step } => {
                let output = state.step(*step).output.as_deref().unwrap_or_default();
                let heading = format!("output of {}:", state.plan().step(*step).id);
                let lines = output.lines().map(|line| format!("  {line}"));
                let more =
                    if output.trim().is_empty() { Vec::new() } else { std::iter::once(heading).chain(lines).collect() };
                Question { key, text: what, more, kind: Kind::Checkpoint { id: id.hex(), hold } }
            }
            // These have commands of their own, which the plan shows.
            _ => continue,
        });
    }
    if state.ended() == Some(EndStatus::Cancelled) {
        return all;
    }
    for (n, run) in state.steps().iter().enumerate().filter(|(_, run)| is_escalated(run)) {
        let StepState::Failed(reason) = &run.state else { continue };
        let step = state.plan().step(StepIx::at(n)).id.to_string();
        let text = format!("{step}: {reason}");
        let kind = Kind::Escalated { task: state.task(StepIx::at(n)).to_string(), step };
        all.push(Question { key: Key::Step(id, n, run.attempts), text, more: Vec::new(), kind });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Play, plan};
    use super::*;

    #[test]
    fn a_plan_that_waits_for_approval_shows_what_it_would_do() {
        let play = Play::held(7, plan());
        let [asked] = &of(&play.state)[..] else { panic!() };
        assert!(asked.more.iter().any(|line| line.contains("wave 2  greet, bye")), "{:?}", asked.more);
        let Some(Does::Steer(Action::Decide { hold: Some(1), answer: Answer::Approve, .. })) = asked.answer(" Yes ")
        else {
            panic!("{:?}", asked.answer("yes"))
        };
        assert!(asked.answer("r").is_none() && asked.answer("yes, but greet later").is_none());
    }

    #[test]
    fn what_a_review_escalated_is_tried_again_or_taken_with_a_reason() {
        let mut play = Play::new(7, plan());
        play.escalate("greet");
        let [asked] = &of(&play.state)[..] else { panic!() };
        let Some(Does::Steer(Action::Retry { id, .. })) = asked.answer("r") else { panic!() };
        assert_eq!(id, play.state.task(StepIx::at(1)).to_string());
        let Some(Does::Write(line)) = asked.answer("a") else { panic!() };
        assert_eq!(line, "/accept greet ");
        assert!(asked.answer("y").is_none());
        play.cancel();
        assert!(of(&play.state).is_empty());
    }
}
