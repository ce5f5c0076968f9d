//! One line for each event that people want to see, and the JSON of every event.

use super::Paint;
use crate::budget;
use crate::source::visible;
use enki_core::budget::{BudgetOf, WARNINGS};
use enki_core::engine::Event as Any;
use enki_core::execution::{AttemptEnd, DoneKind, EndStatus, Event, Execution, Next, Outcome, Refusal, RetryMode};
use enki_core::id::StepIx;
use enki_core::record;
use enki_core::tier::{Pool, Purpose};
use enki_core::time::Timestamp;
use serde_json::{Value, json};

/// What an event says to people; nothing for those that only keep books. `execution` is the state after it.
pub(crate) fn line(execution: &Execution, event: &Event, at: Timestamp, paint: Paint) -> Option<String> {
    let step = |ix: StepIx| execution.plan().steps().get(ix.index()).map_or("?", |step| step.id.as_str());
    Some(match event {
        Event::Submitted(submitted) => {
            let steps = execution.plan().steps().len();
            let title = visible(&submitted.plan.title);
            let word = if steps == 1 { "step" } else { "steps" };
            format!("{} {title}: {steps} {word}, target {}", paint.bold(&execution.id().to_string()), submitted.target)
        }
        Event::Opened { base } => paint.dim(&format!("branch enki/{} at {}", execution.id(), base.short())),
        Event::AttemptStarted { step: ix, attempt, purpose, .. } => {
            let again = if attempt.0 > 1 { format!(" (attempt {attempt})") } else { String::new() };
            let word = match purpose {
                Purpose::Work => "started",
                Purpose::Review => "review started",
                Purpose::Fix => "fix started",
                Purpose::Resolve => "resolving a conflict",
            };
            format!("{} {word}{again}", paint.busy(step(*ix)))
        }
        Event::AttemptEnded { step: ix, end, next, .. } => {
            let notices = end.notices.iter().map(|text| notice(step(*ix), text, paint));
            let lines: Vec<String> = notices.chain(ended(step(*ix), end, next, at, paint)).collect();
            return (!lines.is_empty()).then(|| lines.join("\n         "));
        }
        Event::BudgetWarned { percent, spent } => {
            // Of several that are reached at once, the last says it all.
            let last = WARNINGS.into_iter().filter(|share| spent.percent() >= u64::from(*share)).max();
            if last != Some(*percent) {
                return None;
            }
            let whose = spent.of.step().map_or_else(String::new, |ix| format!("{} ", step(ix)));
            let word = paint.wait(&format!("{whose}budget {percent} %:"));
            format!("{word} {spent}")
        }
        Event::BudgetSet { of, .. } => {
            let whose = of.step().map_or("the execution", step);
            let limits: Vec<String> = execution.spent(*of).map(|spent| spent.unit.show(spent.limit)).collect();
            let each = if matches!(of, BudgetOf::Run(_)) { "each run of " } else { "" };
            format!("{each}{whose} may use {} now", limits.join(" and "))
        }
        Event::StepMerged { step: ix, commit } => {
            let title = visible(&execution.plan().step(*ix).title);
            format!("{} merged as {}  {}", paint.good(step(*ix)), commit.short(), paint.dim(&title))
        }
        Event::MergeRefused { step: ix, reason, next } => {
            let why = refusal(reason);
            match next {
                Next::Fail(_) => format!("{} {}: {why}", paint.bad(step(*ix)), paint.bad("failed")),
                Next::Done(_) => format!("{} done, its change was contained already", paint.good(step(*ix))),
                Next::Run { purpose: Purpose::Resolve, .. } => {
                    let waits = execution.resolver().filter(|turn| turn != ix);
                    let after = waits.map_or_else(String::new, |turn| format!(" after that of {}", step(turn)));
                    format!("{} came back from the merge queue: {why}; it is resolved{after}", paint.wait(step(*ix)))
                }
                _ => format!("{} came back from the merge queue: {why}; it is tried again", paint.wait(step(*ix))),
            }
        }
        Event::MergeRequested { step: ix, .. } => {
            format!("{} asks to be merged on the new head", paint.busy(step(*ix)))
        }
        Event::Landed { commit, .. } => {
            format!("{} on {} at {}", paint.good("landed"), execution.target(), commit.short())
        }
        Event::LandingResolution { step, .. } => {
            format!("{} is added: it solves the conflict with {}", paint.busy(step.id.as_str()), execution.target())
        }
        Event::LandingRefused { reason, .. } => {
            format!("{} on {}: {}", paint.wait("cannot land"), execution.target(), refusal(reason))
        }
        Event::HoldOpened { hold, reason } => {
            let answer = match reason {
                enki_core::execution::HoldReason::Landing { .. } => String::new(),
                _ => format!("; go on with: {}", budget::answer_to(execution, reason)),
            };
            format!("{} {}: {}{answer}", paint.wait("held"), hold.0, visible(&execution.describe(reason)))
        }
        Event::HoldClosed { hold, .. } => format!("hold {} answered", hold.0),
        Event::Paused { step: None } => paint.wait("paused"),
        Event::Paused { step: Some(ix) } => format!("{} {}", step(*ix), paint.wait("paused")),
        Event::Resumed { step: None } => "resumed".to_owned(),
        Event::Resumed { step: Some(ix) } => format!("{} resumed", step(*ix)),
        Event::ServiceWaits { pool, wait } => {
            let of = if *pool == Pool::Reviewer { "reviewers" } else { "agents" };
            let (word, until, why) = (paint.wait("waits"), super::time(wait.until), visible(&wait.why));
            let id = execution.id();
            format!("{word} for the service of its {of} until {until}: {why}; to ask it earlier: enki resume {id}")
        }
        Event::ServiceFreed => "asks the services of its agents again".to_owned(),
        Event::StepsAdded { steps } => {
            let names: Vec<&str> = steps.iter().map(|step| step.id.as_str()).collect();
            format!("added {}", names.join(", "))
        }
        Event::StepAmended { step: ix, .. } => {
            let title = visible(&execution.plan().step(*ix).title);
            format!("{} starts by what its note says now  {}", paint.wait(step(*ix)), paint.dim(&title))
        }
        Event::StepCancelled { step: ix } => format!("{} cancelled", step(*ix)),
        Event::LandingAsked => paint.wait("to land as it is"),
        Event::CancelRequested => paint.wait("cancelling"),
        Event::AttemptStopped { step: ix, .. } => format!("{} stopped, to be run again", step(*ix)),
        Event::StepRetried { step: ix, mode, note } => {
            let from = if *mode == RetryMode::Fresh { "from the start" } else { "from what it had" };
            let note = note.as_ref().map(|note| format!(": {}", visible(note)));
            format!("{} is tried again {from}{}", step(*ix), note.unwrap_or_default())
        }
        Event::StepAccepted { step: ix, by, why, .. } => {
            format!("{} is taken as it is by {}: {}", paint.wait(step(*ix)), visible(by), visible(why))
        }
        Event::Ended { status } => match status {
            EndStatus::Done => paint.good("done"),
            EndStatus::Failed => paint.bad("failed"),
            EndStatus::Cancelled => paint.wait("cancelled"),
        },
        _ => return None,
    })
}

/// What a person should know beside how it went.
fn notice(step: &str, text: &str, paint: Paint) -> String {
    format!("{} {} {}", paint.wait(step), paint.wait("notice:"), visible(text))
}

fn ended(step: &str, end: &AttemptEnd, next: &Next, at: Timestamp, paint: Paint) -> Option<String> {
    let happened = match &end.outcome {
        Outcome::Reviewed(verdict) => {
            let tree = end.saw.map_or_else(String::new, |tree| format!(" (tree {})", tree.short()));
            format!("reviewed: {}{tree}", visible(&verdict.summary()))
        }
        Outcome::Asks { question } => format!("asks: {}", visible(question)),
        Outcome::Changed => "changed source".to_owned(),
        Outcome::NoChange => "changed nothing".to_owned(),
        Outcome::Artifact => "wrote its result".to_owned(),
        Outcome::AgentError { message, .. } => format!("agent failed: {}", visible(message)),
        Outcome::NoResult => "ended without a result".to_owned(),
        Outcome::Declined { message } => format!("declined: {}", visible(message)),
        Outcome::TimedOut => "ran out of time".to_owned(),
        Outcome::Stuck => "gave no sign of life".to_owned(),
        Outcome::Lost => "was lost".to_owned(),
        Outcome::Killed => "was stopped".to_owned(),
        Outcome::OverBudget => "was stopped: its budget is used up".to_owned(),
        Outcome::RateLimited { until } => format!("has to wait until {}", super::clock(*until)),
        Outcome::Unavailable { reason, .. } => format!("found its service out: {}", visible(reason)),
        Outcome::DiskLow { reason, .. } => format!("has to wait: {}", visible(reason)),
        Outcome::OutputLimit => "put out too much".to_owned(),
        Outcome::Void { paths } => format!("changed what it may not: {}", visible(&paths.join(", "))),
        Outcome::NotStarted { reason } => format!("could not start: {}", visible(reason)),
        Outcome::Workspace { reason } => format!("workspace: {}", visible(reason)),
        Outcome::Policy { reason } => format!("refused: {}", visible(reason)),
        Outcome::Tampered { what } => format!("your repository was changed meanwhile: {}", visible(&what.join("; "))),
        Outcome::NoArtifact => "left no result file".to_owned(),
        Outcome::Unresolved { paths } => format!("left conflicts in {}", visible(&paths.join(", "))),
        _ => "ended".to_owned(),
    };
    Some(match next {
        Next::Done(DoneKind::NoChanges) => format!("{} done (no changes)", paint.good(step)),
        Next::Done(DoneKind::Artifact) => format!("{} done, its result is kept", paint.good(step)),
        Next::Done(DoneKind::Merged { .. }) => format!("{} done", paint.good(step)),
        Next::Done(DoneKind::Resolved { commit }) => {
            format!("{} done, solved by the merge {}", paint.good(step), commit.short())
        }
        // What follows at once, the merge or the next attempt, has a line of its own.
        Next::Merge { .. } if matches!(end.outcome, Outcome::Reviewed(_)) => format!("{} {happened}", paint.good(step)),
        Next::Merge { .. } => return None,
        Next::Run { purpose: Purpose::Review, .. } => format!("{} worked; its review follows", paint.busy(step)),
        Next::Run { purpose: Purpose::Fix, .. } => format!("{} {happened}; a fix follows", paint.wait(step)),
        Next::Run { not_before, .. } if *not_before > at => {
            format!("{} {happened}; tried again at {}", paint.wait(step), super::clock(*not_before))
        }
        Next::Run { .. } => format!("{} {happened}; tried again", paint.wait(step)),
        Next::Fail(reason) => {
            let before =
                if matches!(end.outcome, Outcome::Reviewed(_)) { format!("{happened}; ") } else { String::new() };
            format!("{} {before}{}: {}", paint.bad(step), paint.bad("failed"), visible(&reason.to_string()))
        }
        _ => format!("{step} {happened}"),
    })
}

fn refusal(reason: &Refusal) -> String {
    match reason {
        Refusal::Check { log } => format!("its check failed: {}", visible(log.lines().last().unwrap_or("no output"))),
        Refusal::Conflict { paths, .. } => format!("conflict in {}", visible(&paths.join(", "))),
        Refusal::Interaction { with, .. } => format!("its check fails together with \"{}\"", visible(with)),
        Refusal::Empty => "it is contained already".to_owned(),
        Refusal::Policy { reason } => visible(reason),
        Refusal::Moved => "the target moved too often".to_owned(),
        Refusal::Blocked { reason, command } => format!("{}; run: {}", visible(reason), visible(command)),
        Refusal::Rewound => "somebody moved the target away from it".to_owned(),
        Refusal::Withdrawn => "it was withdrawn".to_owned(),
        _ => "refused".to_owned(),
    }
}

/// `enki.event.v1`: the event as it is stored, with what it is about in words.
pub(crate) fn to_json(execution: &Execution, event: &Event, at: Timestamp) -> Value {
    let body = record::encode(&Any::Execution(event.clone()));
    let body: Value = serde_json::from_str(&body).unwrap_or(Value::String(body));
    let step = event.step().and_then(|ix| execution.plan().steps().get(ix.index())).map(|step| step.id.as_str());
    json!({"schema": "enki.event.v1", "execution_id": execution.id().to_string(), "at": super::time(at), "step": step,
        "event": body})
}
