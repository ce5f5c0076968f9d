//! Whether an execution went by the rules of orchestration, looked up in its log (spec of the review loop, section 11).
//! Pure: events in, answers out. What a rule says that cannot be seen in this log does not apply, and says so.

mod transcript;

pub use transcript::transcript;

use crate::advice::assign::PROTOCOL_SKILLS;
use crate::execution::{Event, Execution, FailReason, Next, Outcome, StepState};
use crate::id::StepIx;
use crate::limits::Limits;
use crate::tier::Purpose;
use std::collections::{BTreeMap, BTreeSet};

/// The answer about one rule.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// Its number in the specification, from 1.
    pub rule: u8,
    /// What it asks, in one line.
    pub asks: &'static str,
    /// Whether it was kept.
    pub kept: Kept,
}

/// Whether a rule was kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kept {
    /// Yes.
    Yes,
    /// There is nothing it is about, for this reason.
    NotApplicable(&'static str),
    /// No: each breach, in one line.
    No(Vec<String>),
}

const SECTIONS: [&str; 5] = ["summary", "changes made", "decisions made", "issues encountered", "next steps"];

/// Holds the events of an execution, from its submission on, against the eight rules.
#[must_use]
pub fn audit(events: &[Event], limits: &Limits) -> Vec<Answer> {
    let mut seen = Seen::default();
    let mut state: Option<Execution> = None;
    for event in events {
        if let Some(state) = &state {
            seen.before(state, event);
        }
        match (&mut state, event) {
            (None, Event::Submitted(submitted)) => state = Some(Execution::new(submitted)),
            (None, _) => seen.breach(1, format!("the log begins with {}", name(event))),
            (Some(state), event) => state.apply(event),
        }
        if let Some(state) = &state {
            seen.after(state, event, limits);
        }
    }
    if let Some(state) = &state {
        seen.at_the_end(state);
    }
    seen.answers()
}

/// Where a person's word stood in for a review's, one line each: no breach of a rule, and nothing to overlook.
#[must_use]
pub fn overrides(events: &[Event]) -> Vec<String> {
    let mut state: Option<Execution> = None;
    let mut found = Vec::new();
    for event in events {
        match (&mut state, event) {
            (None, Event::Submitted(submitted)) => state = Some(Execution::new(submitted)),
            (None, _) => {}
            (Some(state), event) => state.apply(event),
        }
        if let (Some(state), Event::StepAccepted { step, by, why, tree, .. }) = (&state, event)
            && let Some(plan) = state.plan().steps().get(step.index())
        {
            let tree = tree.map_or_else(String::new, |tree| format!(" (tree {})", tree.short()));
            found.push(format!("step {} was taken as it is{tree} by {by}: {why}", plan.id));
        }
    }
    found
}

#[derive(Debug, Default)]
struct Seen {
    breaches: BTreeMap<u8, Vec<String>>,
    /// Rules that had something to say.
    met: BTreeSet<u8>,
    /// What the last fact about a step asked to run next.
    wanted: BTreeMap<StepIx, Purpose>,
    attempts: BTreeMap<StepIx, u32>,
}

impl Seen {
    fn breach(&mut self, rule: u8, what: String) {
        self.met.insert(rule);
        self.breaches.entry(rule).or_default().push(what);
    }

    fn before(&mut self, state: &Execution, event: &Event) {
        if let Event::StepAccepted { step, by, .. } = event {
            self.met.insert(7);
            // A person's word stands in for a review's where a person was asked, and only there.
            if !matches!(state.step(*step).state, StepState::Failed(FailReason::Escalated(_))) {
                let id = &state.plan().step(*step).id;
                self.breach(7, format!("step {id} was taken as it is by {by}, and had not escalated"));
            }
        }
        let Event::AttemptStarted { step, attempt, purpose, .. } = event else { return };
        let id = &state.plan().step(*step).id;
        self.met.insert(1);
        let last = self.attempts.insert(*step, attempt.0).unwrap_or(0);
        self.met.insert(7);
        if attempt.0 != last + 1 {
            self.breach(7, format!("attempt {attempt} of step {id} follows attempt {last}"));
        }
        // The first attempt comes from the plan, whatever it is for.
        if matches!(purpose, Purpose::Review | Purpose::Fix) && last > 0 {
            self.met.insert(8);
            if self.wanted.get(step) != Some(purpose) {
                self.breach(8, format!("a {purpose} of step {id} began that no directive asked for"));
            }
        }
        if *purpose == Purpose::Work {
            self.skills(state, *step);
        }
    }

    fn skills(&mut self, state: &Execution, ix: StepIx) {
        let skills = |ix: StepIx| state.plan().step(ix).brief.as_ref().map_or(&[][..], |brief| &brief.skills);
        if (0..state.plan().steps().len()).all(|at| skills(StepIx::at(at)).is_empty()) {
            return;
        }
        self.met.insert(2);
        if !skills(ix).iter().any(|skill| PROTOCOL_SKILLS.contains(&skill.as_str())) {
            self.breach(2, format!("step {} worked without a protocol skill", state.plan().step(ix).id));
        }
    }

    fn after(&mut self, state: &Execution, event: &Event, limits: &Limits) {
        match event {
            Event::AttemptEnded { step, attempt, end, next } => {
                let id = &state.plan().step(*step).id;
                self.next(*step, next);
                self.met.insert(3);
                if end.outcome == Outcome::Changed && end.work.is_none() {
                    self.breach(
                        3,
                        format!("attempt {attempt} of step {id} changed something, and no commit says what"),
                    );
                }
                if let Some(output) = &end.output {
                    self.met.insert(5);
                    let text = output.to_lowercase();
                    let found = SECTIONS.iter().filter(|section| text.contains(**section)).count();
                    if found < 3 {
                        self.breach(5, format!("the output of step {id} has {found} of the five sections, not 3"));
                    }
                }
            }
            Event::MergeRefused { step, next, .. } | Event::StepAccepted { step, next, .. } => self.next(*step, next),
            Event::StepRetried { step, .. } => match &state.step(*step).state {
                // It goes on where a budget stopped it.
                StepState::Running(running) => drop(self.wanted.insert(*step, running.purpose)),
                _ => drop(self.wanted.remove(step)),
            },
            _ => {}
        }
        if matches!(event, Event::AttemptStarted { .. }) {
            let gated = |(at, run): (usize, &crate::execution::StepRun)| {
                state.plan().steps()[at].review.is_some() && matches!(run.state, StepState::Running(_))
            };
            let open = state.steps().iter().enumerate().filter(|step| gated(*step)).count();
            if open > 0 {
                self.met.insert(4);
            }
            if open > limits.chains as usize {
                self.breach(4, format!("{open} chains were open, {} may be", limits.chains));
            }
        }
    }

    fn next(&mut self, step: StepIx, next: &Next) {
        match next {
            Next::Run { purpose, .. } => self.wanted.insert(step, *purpose),
            _ => self.wanted.remove(&step),
        };
    }

    fn at_the_end(&mut self, state: &Execution) {
        for (at, run) in state.steps().iter().enumerate() {
            let plan = &state.plan().steps()[at];
            if plan.review.is_none() || run.attempts == 0 || state.ended().is_none() {
                continue;
            }
            self.met.insert(6);
            if matches!(run.state, StepState::Running(_) | StepState::Merging { .. }) {
                self.breach(6, format!("the execution has ended, and the chain of step {} is open", plan.id));
            }
        }
    }

    fn answers(mut self) -> Vec<Answer> {
        RULES
            .iter()
            .map(|(rule, asks, without)| {
                let kept = match self.breaches.remove(rule) {
                    Some(breaches) => Kept::No(breaches),
                    None if self.met.contains(rule) => Kept::Yes,
                    None => Kept::NotApplicable(without),
                };
                Answer { rule: *rule, asks, kept }
            })
            .collect()
    }
}

/// Number, what it asks, and what is the case where it does not apply.
const RULES: [(u8, &str, &str); 8] = [
    (1, "a plan comes before the first attempt", "no attempt was started"),
    (2, "each work has a protocol skill", "the plan names no skills"),
    (3, "each attempt that ended has an outcome with evidence", "no attempt has ended"),
    (4, "no more chains are open than may be", "no step is reviewed"),
    (
        5,
        "outputs have at least 3 of Summary, Changes Made, Decisions Made, Issues Encountered, Next Steps",
        "there is no output",
    ),
    (6, "every chain has come to its end", "the execution goes on, or no step is reviewed"),
    (7, "attempts were taken in order", "no attempt was started"),
    (8, "no review or fix began without a directive", "nothing was reviewed"),
];

fn name(event: &Event) -> String {
    format!("{event:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}
