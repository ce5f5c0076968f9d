//! How a task's run ended, read from the log of its execution.

use crate::look::Logged;
use crate::notes::Ledger;
use crate::session::logs_dir;
use enki_core::execution::{DoneKind, Event, Execution, FailReason, StepState};
use enki_core::id::StepIx;
use enki_core::tier::Purpose;
use enki_core::time::Timestamp;
use enki_notes::{NewResult, NotePath, ResultStatus};
use std::path::Path;
use std::time::Duration;

/// The result of that step, as far as one can be told: none if nothing became of it.
pub(super) fn outcome(
    state: &Execution,
    events: &[Logged],
    ix: StepIx,
    (task, source_note): (NotePath, Option<String>),
    notes: &Ledger,
) -> Option<NewResult> {
    let (run, plan) = (state.step(ix), state.plan().step(ix));
    let status = match &run.state {
        StepState::Done(_) => ResultStatus::Done,
        StepState::Failed(FailReason::Timeout) => ResultStatus::Timeout,
        StepState::Failed(_) => ResultStatus::Failed,
        StepState::Cancelled => ResultStatus::Cancelled,
        // It was never begun: what it waits for failed.
        _ => return None,
    };
    let id = state.id();
    let mut result = NewResult::new(&*plan.title, status, task, id.short());
    result.attempt = run.attempts.max(1);
    result.part = (state.steps().len() > 1).then_some(ix.index() + 1);
    result.source_note = source_note;
    result.model = plan.model.as_deref().unwrap_or_else(|| notes.model_of(plan.tier)).to_owned();
    result.session = run.session.as_deref().unwrap_or_default().to_owned();
    result.duration = ran(events, ix);
    result.summary = run.output.as_deref().unwrap_or_default().to_owned();
    result.proposals = proposals(&result.summary);
    result.changes = changes(state, ix);
    result.validation = match (state.gate(), &run.state) {
        (Some(gate), StepState::Done(DoneKind::Merged { .. } | DoneKind::Resolved { .. })) => {
            format!("`{}` passed", gate.command.replace('`', "'"))
        }
        _ => String::new(),
    };
    let command = format!("`enki log {id}/{}`", plan.id);
    result.transcript = match transcript(state, events, ix) {
        Some(path) => format!("`{path}`, with what happened: {command}"),
        None => command.clone(),
    };
    if let StepState::Done(DoneKind::Merged { commit, .. }) = &run.state {
        result.commit = Some(commit.to_string());
    }
    if let StepState::Failed(reason) = &run.state {
        result.failure = Some(reason.to_string());
        result.advice = vec![format!("look at what happened: {command}"), format!("try it again: `enki retry {id}`")];
    }
    Some(result)
}

/// When the step of an execution that has ended came to its end. Of one that is tried again later the same.
pub(super) fn ended(events: &[Logged], ix: StepIx) -> Option<Timestamp> {
    let own = |one: &&Logged| one.event.step() == Some(ix);
    let all = |one: &&Logged| matches!(one.event, Event::Ended { .. });
    events.iter().rev().find(own).or_else(|| events.iter().rev().find(all)).map(|one| one.at)
}

/// Where what its last agent said stands, from the root of the project; what a reviewer said is not meant.
fn transcript(state: &Execution, events: &[Logged], ix: StepIx) -> Option<String> {
    let last = events.iter().rev().find_map(|one| match &one.event {
        Event::AttemptStarted { step, attempt, purpose, .. } if *step == ix && *purpose != Purpose::Review => {
            Some(*attempt)
        }
        _ => None,
    })?;
    let file = format!("{}.{last}.log", state.plan().step(ix).id);
    Some(logs_dir(Path::new(".enki")).join(state.id().to_string()).join(file).display().to_string())
}

/// How long its agents ran, all of them; waiting does not count.
fn ran(events: &[Logged], ix: StepIx) -> Duration {
    let (mut all, mut since) = (Duration::ZERO, None);
    for one in events {
        match &one.event {
            Event::AttemptStarted { step, .. } if *step == ix => since = Some(one.at),
            Event::AttemptEnded { step, .. } if *step == ix => {
                all += since.take().map_or(Duration::ZERO, |since| one.at.since(since));
            }
            _ => {}
        }
    }
    all
}

fn changes(state: &Execution, ix: StepIx) -> String {
    const MOST: usize = 100;
    let files = &state.step(ix).files;
    let mut lines: Vec<String> =
        files.iter().take(MOST).map(|file| format!("- `{}`", file.replace('`', "'"))).collect();
    if files.len() > MOST {
        lines.push(format!("- and {} more", files.len() - MOST));
    }
    lines.join("\n")
}

/// What an agent put under `## Proposals`: decisions that are a person's.
fn proposals(output: &str) -> Vec<String> {
    const MOST: usize = 20;
    let heading = |line: &&str| line.trim_end().eq_ignore_ascii_case("## proposals");
    let section = output.lines().skip_while(|line| !heading(line)).skip(1).take_while(|line| !line.starts_with("## "));
    let item = |line: &str| {
        let rest = line.trim().strip_prefix(['-', '*', '+'])?.strip_prefix(' ')?;
        let rest = ["[ ]", "[x]", "[X]"].iter().find_map(|mark| rest.strip_prefix(mark)).unwrap_or(rest);
        Some(rest.trim().chars().take(500).collect::<String>()).filter(|text| !text.is_empty())
    };
    section.filter_map(item).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proposals_are_the_items_of_their_section() {
        let output = "- no\n## Proposals\n\ntext\n- ship it\n* [x] drop it\n- \n## Else\n- no\n";
        assert_eq!(proposals(output), ["ship it", "drop it"]);
        assert!(proposals("nothing").is_empty());
    }
}
