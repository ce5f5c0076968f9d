//! `enki_resume`, `enki_pause`, `enki_cancel`, `enki_task_retry`: what a coordinator wants of what is there.

use crate::failure::{Code, Failure};
use crate::find;
use crate::machines::{Machines, seen};
use crate::status::Hold;
use crate::text::{count, visible};
use enki_core::engine::Engine;
use enki_core::execution::{Answer, Command, Execution, HoldNo, HoldReason, RetryMode};
use enki_core::id::{ExecutionId, StepIx, TaskId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to pause or give up.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SteerInput {
    /// Its id, or at least 4 hex digits of its short id that no other has.
    execution_id: String,
    /// Only this step: its id in the plan, or its task's.
    #[serde(default)]
    step_id: Option<String>,
}

/// What to go on with.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResumeInput {
    /// Its id, or at least 4 hex digits of its short id that no other has.
    execution_id: String,
    /// Clears the pause of this step, or answers its checkpoint: its id in the plan, or its task's.
    #[serde(default)]
    step_id: Option<String>,
    /// Which hold is answered, by its number in enki_status. Needed if several are open and only one is meant.
    #[serde(default)]
    hold: Option<u32>,
    /// The answer to one hold: `approve`, `reject` (which cancels the execution), or words for the record. An approval
    /// needs one, and it is the person's. Without an answer the pause is cleared and all other holds are answered.
    #[serde(default)]
    answer: Option<String>,
}

/// What to try again.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryInput {
    /// Its id, or at least 4 hex digits of its short id that no other has.
    task_id: String,
    /// From what it had captured, or from the beginning. Left out: what suits the reason it failed for.
    #[serde(default)]
    mode: Option<Mode>,
    /// What the person has to say to whoever works on it from now on.
    #[serde(default)]
    note: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Continue,
    Fresh,
}

/// It goes on.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Resumed {
    execution_id: String,
    status: &'static str,
    /// What still waits for an answer.
    holds_left: Vec<Hold>,
}

/// Nothing new starts.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Paused {
    execution_id: String,
    status: &'static str,
    /// Steps whose agents still work; they end by themselves.
    draining: Vec<String>,
}

/// It is given up.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Cancelled {
    execution_id: String,
    status: &'static str,
    /// Steps that this call gave up.
    cancelled: Vec<String>,
    /// Steps whose merge had begun to commit: they end as done.
    merging: Vec<String>,
}

/// It is to be tried again.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Retried {
    task_id: String,
    execution_id: String,
    /// Of the step.
    status: &'static str,
    /// Of the execution.
    execution_status: &'static str,
    /// Steps that nothing blocks any more.
    unblocked: Vec<String>,
}

pub(crate) async fn pause(machines: &dyn Machines, input: &SteerInput) -> Result<Paused, Failure> {
    let (id, step) = target(machines, &input.execution_id, input.step_id.as_deref()).await?;
    machines.command(id, Command::Pause(step)).await?;
    let now = state(machines, id, move |execution| {
        let steps = all(execution).filter(|ix| step.is_none_or(|step| step == *ix));
        (execution.status(), names(execution, steps.filter(|ix| execution.step(*ix).live().is_some())))
    });
    let (status, draining) = now.await?;
    Ok(Paused { execution_id: id.hex(), status, draining })
}

pub(crate) async fn cancel(machines: &dyn Machines, input: &SteerInput) -> Result<Cancelled, Failure> {
    let (id, step) = target(machines, &input.execution_id, input.step_id.as_deref()).await?;
    let with = |word: &'static str| {
        move |execution: &Execution| all(execution).filter(|ix| execution.word(*ix) == word).collect::<Vec<_>>()
    };
    let before = state(machines, id, with("cancelled")).await?;
    machines.command(id, Command::Cancel { step, committing: Vec::new() }).await?;
    let now = state(machines, id, move |execution| {
        let cancelled = with("cancelled")(execution).into_iter().filter(|ix| !before.contains(ix));
        let merging = names(execution, with("merging")(execution).into_iter());
        (execution.status(), names(execution, cancelled), merging)
    });
    let (status, cancelled, merging) = now.await?;
    Ok(Cancelled { execution_id: id.hex(), status, cancelled, merging })
}

/// Goes on, or answers. Whether it may bring a person's approval is the caller's to know.
pub(crate) async fn resume(machines: &dyn Machines, input: &ResumeInput, approves: bool) -> Result<Resumed, Failure> {
    let (id, step) = target(machines, &input.execution_id, input.step_id.as_deref()).await?;
    let asked = input.clone();
    let command = seen(machines, move |engine| answered(engine, id, step, &asked, approves)).await??;
    machines.command(id, command).await?;
    let left = state(machines, id, |execution| (execution.status(), Hold::of(execution))).await?;
    Ok(Resumed { execution_id: id.hex(), status: left.0, holds_left: left.1 })
}

pub(crate) async fn retry(machines: &dyn Machines, input: &RetryInput) -> Result<Retried, Failure> {
    let (id, step) = find::task(machines, &input.task_id).await?;
    let blocked = |execution: &Execution| all(execution).filter(|ix| execution.word(*ix) == "blocked").collect();
    let before: Vec<StepIx> = state(machines, id, blocked).await?;
    let mode = input.mode.map(|mode| match mode {
        Mode::Continue => RetryMode::Continue,
        Mode::Fresh => RetryMode::Fresh,
    });
    machines.command(id, Command::Retry { step, mode, note: input.note.clone() }).await?;
    state(machines, id, move |execution| Retried {
        task_id: TaskId::of(id, &execution.plan().step(step).id).to_string(),
        execution_id: id.hex(),
        status: execution.word(step),
        execution_status: execution.status(),
        unblocked: names(execution, before.into_iter().filter(|ix| execution.word(*ix) != "blocked")),
    })
    .await
}

/// What an answer is an answer to.
fn answered(
    engine: &Engine,
    id: ExecutionId,
    step: Option<StepIx>,
    input: &ResumeInput,
    approves: bool,
) -> Result<Command, Failure> {
    let execution = engine.execution(id).ok_or_else(|| Failure::unknown(&input.execution_id))?;
    let holds = execution.holds();
    let of_step = |step| {
        let of = |(no, reason): (&HoldNo, &HoldReason)| (*reason == HoldReason::Checkpoint { step }).then_some(*no);
        holds.iter().find_map(of)
    };
    let hold = match (input.hold.map(HoldNo), step.and_then(of_step)) {
        (Some(no), _) if !holds.contains_key(&no) => {
            let open: Vec<String> = holds.keys().map(|no| no.0.to_string()).collect();
            let hint = match open.is_empty() {
                true => "nothing waits for an answer there".to_owned(),
                false => format!("open are {}", open.join(", ")),
            };
            return Err(Failure::new(Code::NotFound, format!("no open hold {} of {id}", no.0), hint));
        }
        (Some(no), _) | (None, Some(no)) => Some(no),
        (None, None) if step.is_some() => return Ok(Command::Resume(step)),
        (None, None) if input.answer.is_some() => match holds.len() {
            1 => holds.keys().next().copied(),
            0 => {
                let message = format!("{id} is {}, it waits for no answer", execution.status());
                return Err(Failure::new(Code::InvalidState, message, "leave the answer out to clear a pause"));
            }
            several => {
                let message = format!("{id} waits for {several} answers");
                return Err(Failure::new(Code::ValidationError, message, "say which is meant with hold"));
            }
        },
        (None, None) => None,
    };
    let answer = input.answer.as_deref().map(|answer| match answer.trim() {
        "approve" => Answer::Approve,
        "reject" => Answer::Reject,
        words => Answer::Text(words.to_owned()),
    });
    let asks = |reason: &HoldReason| matches!(reason, HoldReason::Approval { .. });
    let wanted = match hold {
        Some(no) => holds.get(&no).filter(|reason| asks(reason)),
        None => holds.values().find(|reason| asks(reason)),
    };
    if let (Some(reason), false) = (wanted, approves) {
        let message = format!("{id} waits for the {}", visible(&execution.describe(reason)));
        let hint = "end your turn: the person is asked at their terminal, and only they can answer";
        return Err(Failure::new(Code::ApprovalRequired, message, hint));
    }
    if let (Some(reason), None) = (wanted, &answer) {
        let message = format!("{id} waits for the {}", visible(&execution.describe(reason)));
        let hint = "show the plan to the person, then call again with their answer: approve, or reject";
        return Err(Failure::new(Code::ApprovalRequired, message, hint));
    }
    Ok(match hold {
        Some(hold) => Command::Decide { hold, answer: answer.unwrap_or(Answer::Approve), committing: Vec::new() },
        None => Command::Resume(None),
    })
}

async fn target(
    machines: &dyn Machines,
    execution: &str,
    step: Option<&str>,
) -> Result<(ExecutionId, Option<StepIx>), Failure> {
    let id = find::execution(machines, execution).await?;
    Ok(match step {
        Some(step) => (id, Some(find::step(machines, id, step).await?)),
        None => (id, None),
    })
}

async fn state<T: Send + 'static>(
    machines: &dyn Machines,
    id: ExecutionId,
    look: impl FnOnce(&Execution) -> T + Send + 'static,
) -> Result<T, Failure> {
    seen(machines, move |engine| engine.execution(id).map(look)).await?.ok_or_else(|| Failure::unknown(&id.hex()))
}

fn all(execution: &Execution) -> impl Iterator<Item = StepIx> + '_ {
    (0..execution.steps().len()).map(StepIx::at)
}

fn names(execution: &Execution, steps: impl Iterator<Item = StepIx>) -> Vec<String> {
    steps.map(|ix| execution.plan().step(ix).id.to_string()).collect()
}

impl Resumed {
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![format!("{} is {}", self.execution_id, self.status)];
        lines.extend(self.holds_left.iter().map(Hold::text));
        lines.join("\n")
    }
}

impl Paused {
    pub(crate) fn text(&self) -> String {
        let drains = match self.draining.len() {
            0 => "no agent works".to_owned(),
            n => format!("{} still running: {}", count(n, "step", "steps"), self.draining.join(", ")),
        };
        format!("{} is {}; {drains}", self.execution_id, self.status)
    }
}

impl Cancelled {
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{} is {}; ", self.execution_id, self.status);
        text.push_str(&match self.cancelled.len() {
            0 => "there was nothing to cancel".to_owned(),
            n => format!("{} cancelled: {}", count(n, "step", "steps"), self.cancelled.join(", ")),
        });
        if !self.merging.is_empty() {
            text.push_str(&format!("; still merging, as it had begun: {}", self.merging.join(", ")));
        }
        text
    }
}

impl Retried {
    pub(crate) fn text(&self) -> String {
        let unblocked = match self.unblocked.len() {
            0 => String::new(),
            _ => format!("; not blocked any more: {}", self.unblocked.join(", ")),
        };
        format!("{} is {}, its execution {}{unblocked}", self.task_id, self.status, self.execution_status)
    }
}
