//! What is worth remembering of an execution's facts, and what is looked for before an agent starts.

use super::words::date;
use super::{
    Category, Confidence, Decision, Entry, ErrorCategory, Failure, Note, Passed, Proposal, Query, Writer, proposed,
    words,
};
use crate::execution::{
    Answer, AttemptEnd, Charge, DoneKind, EndStatus, Escalation, Event, Execution, FailReason, Next, Outcome, Refusal,
};
use crate::id::{AttemptNo, StepIx};
use crate::plan::Step;
use crate::tier::Purpose;
use crate::time::Timestamp;

/// Most of a check's output that is kept: its end, where the reason is.
const LOG_CAP: usize = 1500;

/// What one recorded fact of an execution is worth remembering; nothing, mostly. `execution` has the fact applied.
///
/// Failures are those of work: what was stopped, had to wait for a service or for space is nobody's. Decisions are what
/// the orchestrator chose by itself where it could have gone on in another way, and the words of a person.
#[must_use]
pub fn notes(execution: &Execution, event: &Event, at: Timestamp) -> Vec<Note> {
    let entry = |entry| Note::Entry { entry, at };
    let of_step = |step: &StepIx| Some(Of { execution, ix: *step, step: execution.plan().steps().get(step.index())? });
    match event {
        Event::AttemptEnded { step, attempt, end, next } => {
            let Some(of) = of_step(step) else { return Vec::new() };
            let mut notes: Vec<Note> = of.proposals(*attempt, end, at).collect();
            match next {
                Next::Fail(reason) => notes.extend(failed(reason).map(|what| entry(of.failure(what, at)))),
                Next::Done(done) => notes.extend(of.passed(done, at)),
                Next::Run { .. } | Next::Merge { .. } => {
                    notes.extend(went_wrong(&end.outcome).map(|what| entry(of.failure(what, at))));
                }
            }
            notes.extend(of.choice(next, at).map(entry));
            notes
        }
        Event::MergeRefused { step, reason, next } => {
            let Some(of) = of_step(step) else { return Vec::new() };
            let mut notes = Vec::new();
            match next {
                Next::Done(done) => notes.extend(of.passed(done, at)),
                Next::Fail(reason) => notes.extend(failed(reason).map(|what| entry(of.failure(what, at)))),
                Next::Run { .. } | Next::Merge { .. } => {
                    notes.extend(refused(reason).map(|what| entry(of.failure(what, at))));
                }
            }
            notes.extend(of.choice(next, at).map(entry));
            notes
        }
        Event::StepMerged { step, commit } => {
            let done = DoneKind::Merged { commit: *commit };
            of_step(step).and_then(|of| of.passed(&done, at)).into_iter().collect()
        }
        Event::HoldClosed { hold, answer: Some(Answer::Text(words)) } => {
            let why = format!("answer to what the plan {:?} waited for (hold {})", title(execution), hold.0);
            vec![entry(Entry::Decision(Decision {
                date: date(at),
                category: Category::Convention,
                what: words.clone(),
                why,
                confidence: Confidence::High,
                ..Decision::default()
            }))]
        }
        Event::Ended { status: EndStatus::Done } => {
            let counts = execution.counts();
            vec![Note::Passed(Passed {
                at,
                context: String::new(),
                of: format!("plan {} ({})", title(execution), execution.id()),
                how: format!("done, {} steps", counts.done),
                summary: String::new(),
                attempts: 0,
            })]
        }
        _ => Vec::new(),
    }
}

/// What may have been remembered of a step's subject: its title, what it is about, and the files it names.
#[must_use]
pub fn query(step: &Step, now: Timestamp) -> Query {
    let mut text = format!("{} {}", step.title, step.description);
    for path in step.brief.iter().flat_map(|brief| brief.files.iter().chain(&brief.directories)) {
        text.push(' ');
        text.push_str(path);
    }
    Query { for_agent: true, limit: 8, ..Query::new(text, now) }
}

/// What went wrong, and in which words.
struct Wrong {
    category: ErrorCategory,
    error: String,
    /// Whether it is known why.
    cause: String,
}

impl Wrong {
    fn new(category: ErrorCategory, error: impl Into<String>) -> Self {
        Self { category, error: error.into(), cause: String::new() }
    }

    fn because(self, cause: impl Into<String>) -> Self {
        Self { cause: cause.into(), ..self }
    }
}

/// The outcome of an attempt that is followed by another.
fn went_wrong(outcome: &Outcome) -> Option<Wrong> {
    use ErrorCategory::{Agent, Tool, Validation};
    Some(match outcome {
        Outcome::AgentError { message, .. } => Wrong::new(Agent, format!("the agent failed: {message}")),
        Outcome::NoResult => Wrong::new(Agent, "the agent ended without a result"),
        Outcome::Declined { message } => Wrong::new(Agent, format!("the agent declined: {message}")),
        Outcome::TimedOut => Wrong::new(Agent, "the agent ran longer than its timeout"),
        Outcome::Stuck => Wrong::new(Agent, "the agent gave no sign of life"),
        Outcome::OutputLimit => Wrong::new(Agent, "the agent put out too much"),
        Outcome::Void { paths } => {
            Wrong::new(Validation, "the agent changed files that it may only read").because(paths.join(", "))
        }
        Outcome::NotStarted { reason } => Wrong::new(Tool, format!("the agent could not be started: {reason}")),
        Outcome::Workspace { reason } => Wrong::new(Tool, format!("its workspace: {reason}")),
        Outcome::Policy { reason } => Wrong::new(Validation, format!("what the agent left is against the policy: {reason}")),
        Outcome::Tampered { what } => {
            Wrong::new(Validation, "the repository was changed while the agent worked").because(what.join("; "))
        }
        Outcome::NoArtifact => Wrong::new(Validation, "the artifact is missing or empty"),
        Outcome::Unresolved { paths } => Wrong::new(Validation, format!("the conflict in {} is not solved", paths.join(", "))),
        Outcome::Changed
        | Outcome::NoChange
        | Outcome::Artifact
        | Outcome::Reviewed(_)
        | Outcome::Asks { .. }
        // Nobody's fault, or nobody knows.
        | Outcome::Lost
        | Outcome::Killed
        | Outcome::OverBudget
        | Outcome::RateLimited { .. }
        | Outcome::Unavailable { .. }
        | Outcome::DiskLow { .. } => return None,
    })
}

/// Why a queue gave a change back that is worked on again. A conflict is no failure: somebody was faster.
fn refused(reason: &Refusal) -> Option<Wrong> {
    match reason {
        Refusal::Check { log } => Some(checked(log)),
        Refusal::Interaction { with, log } => {
            let wrong = checked(log);
            let cause = format!("it passed alone, and failed together with {with}\n{}", wrong.cause);
            Some(wrong.because(cause))
        }
        Refusal::Policy { reason } => {
            Some(Wrong::new(ErrorCategory::Validation, format!("against the policy: {reason}")))
        }
        Refusal::Conflict { .. }
        | Refusal::Empty
        | Refusal::Moved
        | Refusal::Blocked { .. }
        | Refusal::Rewound
        | Refusal::Withdrawn => None,
    }
}

fn checked(log: &str) -> Wrong {
    const BUILDS: &[&str] = &["error[E", "could not compile", "SyntaxError", "error TS", "undefined reference"];
    let category =
        if BUILDS.iter().any(|sign| log.contains(sign)) { ErrorCategory::Build } else { ErrorCategory::Test };
    let last = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no output");
    Wrong::new(category, format!("the check failed: {}", last.trim())).because(tail(log))
}

/// Why a step failed for good.
fn failed(reason: &FailReason) -> Option<Wrong> {
    use ErrorCategory::{Agent, External, Tool, Validation};
    let category = match reason {
        FailReason::Check { log } => return Some(checked(log)),
        FailReason::Timeout
        | FailReason::Stuck
        | FailReason::NoResult
        | FailReason::AgentError { .. }
        | FailReason::Refused { .. }
        | FailReason::OutputLimit => Agent,
        FailReason::Spawn { .. } | FailReason::Workspace { .. } => Tool,
        FailReason::Tampered { .. } | FailReason::NoArtifact | FailReason::Conflict { .. } => Validation,
        FailReason::Escalated(Escalation::Unparsable | Escalation::ReviewerEdited) => Agent,
        FailReason::Escalated(
            Escalation::Replan
            | Escalation::FixesExhausted
            | Escalation::NoProgress
            | Escalation::TooLong
            | Escalation::NoWay,
        ) => Validation,
        FailReason::Rewound => External,
        // Nobody knows what was wrong, or nothing was.
        FailReason::Lost | FailReason::Budget { .. } | FailReason::Escalated(Escalation::ByAgent) => return None,
    };
    Some(Wrong::new(category, reason.to_string()))
}

/// The end of a log, whole lines.
fn tail(log: &str) -> String {
    let mut start = log.len().saturating_sub(LOG_CAP);
    while !log.is_char_boundary(start) {
        start += 1;
    }
    let cut = &log[start..];
    let whole = if start == 0 { 0 } else { cut.find('\n').map_or(0, |end| end + 1) };
    cut[whole..].trim().to_owned()
}

fn title(execution: &Execution) -> &str {
    let title = execution.plan().title.trim();
    if title.is_empty() { "without a title" } else { title }
}

/// A step of an execution.
struct Of<'a> {
    execution: &'a Execution,
    ix: StepIx,
    step: &'a Step,
}

impl Of<'_> {
    /// The same for every attempt at the same work, also in another execution.
    fn context(&self) -> String {
        let role = self.step.role.as_deref().map(|role| format!(" as {role}")).unwrap_or_default();
        format!("step {}: {}{role}", self.step.id, self.step.title)
    }

    fn failure(&self, wrong: Wrong, at: Timestamp) -> Entry {
        let subject = query(self.step, at).text;
        let run = &self.execution.steps()[self.ix.index()];
        let findings = run.findings.as_deref().filter(|_| wrong.cause.is_empty()).map(tail).unwrap_or_default();
        Entry::Failure(Failure {
            date: date(at),
            error: wrong.error,
            context: self.context(),
            root_cause: if wrong.cause.is_empty() { findings } else { wrong.cause },
            keywords: words(&subject).into_iter().take(12).collect(),
            category: wrong.category,
            by: Writer::Enki,
            ..Failure::default()
        })
    }

    /// What the agent of an attempt proposes to remember.
    fn proposals(&self, attempt: AttemptNo, end: &AttemptEnd, at: Timestamp) -> impl Iterator<Item = Note> {
        let from = format!(
            "attempt {attempt} of {} ({}), plan {}",
            self.step.title,
            self.execution.task(self.ix),
            title(self.execution)
        );
        end.proposals.iter().filter_map(|text| proposed(text)).map(move |entry| Note::Proposed {
            proposal: Proposal { id: String::new(), from: from.clone(), date: date(at), entry },
            at,
        })
    }

    /// Nothing of a landing's merge: it passes once it has landed, and that is noted of the plan.
    fn passed(&self, done: &DoneKind, at: Timestamp) -> Option<Note> {
        let run = &self.execution.steps()[self.ix.index()];
        let how = match done {
            DoneKind::Merged { commit } => format!("merged as {}", commit.short()),
            DoneKind::NoChanges => "nothing had to be changed".to_owned(),
            DoneKind::Artifact => "its result is there".to_owned(),
            DoneKind::Resolved { .. } => return None,
        };
        Some(Note::Passed(Passed {
            at,
            context: self.context(),
            of: format!("{} ({}) of plan {}", self.step.title, self.execution.task(self.ix), title(self.execution)),
            how,
            summary: run.output.as_deref().unwrap_or_default().to_owned(),
            attempts: run.attempts,
        }))
    }

    /// What was chosen by rule where it could have gone on in another way (G29).
    fn choice(&self, next: &Next, at: Timestamp) -> Option<Entry> {
        let (what, why) = match next {
            Next::Run { charge: Charge::Fix, purpose: Purpose::Fix, .. } => ("have it fixed", "it did not pass"),
            Next::Run { charge: Charge::Fix, .. } => ("have it done again", "it did not pass"),
            Next::Run { charge: Charge::Resolution, .. } => {
                ("have an agent join both changes", "it clashes with what was merged before it")
            }
            Next::Run { charge: Charge::Infra, .. } => ("run it again", "what failed may be no fault of the work"),
            Next::Run { charge: Charge::Spawn, .. } => ("start it again", "its agent could not be started"),
            Next::Run { charge: Charge::Reask, .. } => ("ask the reviewer again", "its answer could not be read"),
            Next::Run { charge: Charge::Void, .. } => ("run it again", "it changed files and may change none"),
            Next::Fail(FailReason::Escalated(_)) => ("ask a person", "its review loop came to no end by itself"),
            Next::Run { charge: Charge::Nothing | Charge::Repeat, .. }
            | Next::Done(_)
            | Next::Merge { .. }
            | Next::Fail(_) => return None,
        };
        Some(Entry::Decision(Decision {
            date: date(at),
            category: Category::Convention,
            what: format!("{}: {what}", self.context()),
            why: why.to_owned(),
            scope: self.step.brief.iter().flat_map(|b| b.files.iter().chain(&b.directories)).cloned().collect(),
            confidence: Confidence::High,
            by: Writer::Enki,
            ..Decision::default()
        }))
    }
}
